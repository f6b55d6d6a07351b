"""Sources of somebody else's making, which a fill is given as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from market_assets.sources.contract import SourceSettings, Usage

if TYPE_CHECKING:
    from market_assets.market.timeframes import Timeframe


class ForeignSource:
    """A source called `vendor` that names no first bar and has no horizon.

    Who inherits from it gives its traits and its answers.
    """

    Settings: ClassVar[type[SourceSettings]] = SourceSettings
    concurrency = 1

    def __init__(self) -> None:
        self.name = "vendor"
        self.usage = Usage()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def earliest(self, symbol: str, timeframe: Timeframe) -> None: ...

    def answers_for(self, symbol: str, timeframe: Timeframe) -> None: ...

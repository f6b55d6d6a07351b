"""What all checks stand on: the vendor under test, and a trial before it."""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING
from unittest import SkipTest

from market_assets.market.timeframes import Timeframe
from market_assets.sources.testing.candles import candles_from
from market_assets.sources.testing.double import VendorDouble
from market_assets.sources.testing.exchange import Exchange
from market_assets.sources.testing.trial import Trial, unopened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from market_assets.sources.contract import Traits
    from market_assets.sources.testing.candles import Candle


@cache
def _traits_of(vendor: type[VendorDouble] | VendorDouble) -> Traits:
    """The traits of a source, which may take a second to build."""
    double = vendor if isinstance(vendor, VendorDouble) else vendor()
    with unopened(Trial(Exchange(double, [], page=1), Timeframe.M1)) as source:
        return source.traits


class Checks:
    """Checks of one source.

    Attributes:
        vendor: The class of the vendor's double, or a double.
    """

    vendor: type[VendorDouble] | VendorDouble

    @cached_property
    def double(self) -> VendorDouble:
        """The vendor's double."""
        return self.vendor if isinstance(self.vendor, VendorDouble) else self.vendor()

    @cached_property
    def traits(self) -> Traits:
        """The traits of the source with the double's settings."""
        return _traits_of(self.vendor)

    @cached_property
    def timeframe(self) -> Timeframe:
        """The shortest timeframe that the source has for the double's kind."""
        return min(self.timeframes, key=lambda timeframe: timeframe.micros)

    @cached_property
    def timeframes(self) -> frozenset[Timeframe]:
        """Every timeframe that the source has for the double's kind."""
        return self.traits.timeframes_for(self.double.kind)

    @property
    def bar(self) -> timedelta:
        """The length of the shortest timeframe."""
        return self.timeframe.duration

    @property
    def first(self) -> datetime:
        """The open of the first candle of `candles`."""
        return self.double.first(self.timeframe)

    def candles(self, count: int, timeframe: Timeframe | None = None) -> list[Candle]:
        """So many true candles from the first on."""
        length = timeframe or self.timeframe
        whole = self.double.whole_volumes
        return candles_from(self.double.first(length), length, count, whole_volumes=whole)

    def trial(
        self,
        candles: Sequence[Candle],
        *,
        timeframe: Timeframe | None = None,
        page: int | None = None,
        settings: Mapping[str, object] | None = None,
        **behaviour: object,
    ) -> Trial:
        """A source before a vendor that has some candles.

        Args:
            candles: What it has.
            timeframe: Their length; the shortest by default.
            page: Rows in an answer at most.
            settings: The source's, beside those of the double.
            behaviour: Of the `Exchange`.
        """
        exchange = Exchange(
            self.double,
            candles,
            page or self.double.page or self.traits.page_size,
            latest=self.traits.latest_only,
            **behaviour,  # type: ignore[arg-type]
        )
        return Trial(exchange, timeframe or self.timeframe, settings or {})

    def needs(self, fact: object, words: str) -> None:
        """Skip a check that does not concern this source.

        Raises:
            SkipTest: The fact is false, with these words.
        """
        if not fact:
            raise SkipTest(words)

    @cached_property
    def retries(self) -> bool:
        """Whether the source sends a request again, as every source of `HttpSettings` does."""
        return "retries" in self.double.source.Settings.model_fields

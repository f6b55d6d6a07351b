"""What the HTTP API asks of Dagster, whoever answers it: `market_assets/defs/launching.py` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from market_assets.fill.options import FillOptions
    from market_assets.market.datasets import Dataset
    from market_assets.work.run import Trigger


@dataclass(frozen=True)
class Range:
    """Partitions of a dataset that one run fills.

    Attributes:
        dataset: Fetched candles.
        first: The key of the first partition.
        last: The key of the last one.
    """

    dataset: Dataset
    first: str
    last: str


@dataclass(frozen=True)
class RunState:
    """How a run is.

    Attributes:
        run_id: Its id.
        status: Dagster's word: QUEUED, STARTED, SUCCESS, FAILURE, CANCELED, ...
        started_at: When it began (UTC); None while it waits.
        ended_at: When it ended (UTC); None before that.
        tags: Its tags, by name.
    """

    run_id: str
    status: str
    started_at: datetime | None
    ended_at: datetime | None
    tags: Mapping[str, str]


class Platform(Protocol):
    """Dagster, as far as it is asked over HTTP."""

    def daemons(self) -> Mapping[str, bool]:
        """Whether each daemon that is needed is alive.

        Raises:
            PlatformError: Dagster cannot be reached.
        """

    def launch(self, part: Range, options: FillOptions, trigger: Trigger) -> str:
        """Have Dagster start a run, and give its id.

        Raises:
            PlatformError: Dagster cannot be reached, or refuses.
        """

    def run(self, run_id: str) -> RunState | None:
        """How a run is; None where Dagster knows of none.

        Raises:
            PlatformError: Dagster cannot be reached.
        """

    def page_of(self, run_id: str) -> str:
        """The address of a run's page."""

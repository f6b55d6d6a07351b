"""The options of a fill as the config of a run: what the launchpad shows, and what a sensor sends.

Dagster reads the annotations of a config at run time, so that this module does without postponed
ones.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from market_assets.defs.keys import op_config
from market_assets.fill.options import FillOptions

_MINUTE = timedelta(minutes=1)


class FillConfig(dg.Config):
    """What a run may be told in the launchpad.

    Attributes:
        symbols: Fill only these; empty for all of the profile.
        refetch: Ask also for bars that are stored or explained, to find revisions.
        newest_first: Fill the newest partition first.
        only_due: Leave out gaps that were asked for a short while ago, as repairs do.
        recheck: Ask also for so many of the newest stored bars, to find late revisions.
        max_fills: Send at most so many requests; 0 for no limit.
        max_minutes: Stop asking after so many minutes and keep what was had; 0 for no limit.
    """

    symbols: list[str] = Field(default_factory=list)
    refetch: bool = False
    newest_first: bool = False
    only_due: bool = False
    recheck: int = Field(default=0, ge=0)
    max_fills: int = Field(default=0, ge=0)
    max_minutes: float = Field(default=0.0, ge=0)

    def to_options(self) -> FillOptions:
        """The options that it spells."""
        return FillOptions(
            symbols=tuple(self.symbols),
            newest_first=self.newest_first,
            refetch=self.refetch,
            only_due=self.only_due,
            recheck=self.recheck,
            max_fills=self.max_fills or None,
            max_time=self.max_minutes * _MINUTE if self.max_minutes else None,
        )


def run_config_of(keys: Sequence[dg.AssetKey], options: FillOptions) -> dict[str, Any]:
    """The run config that fills candle assets with some options; empty for the usual ones."""
    config = FillConfig(
        symbols=list(options.symbols),
        refetch=options.refetch,
        newest_first=options.newest_first,
        only_due=options.only_due,
        recheck=options.recheck,
        max_fills=options.max_fills or 0,
        max_minutes=(options.max_time or timedelta()) / _MINUTE,
    )
    special = config.model_dump(exclude_defaults=True)
    return op_config(keys, special) if special else {}

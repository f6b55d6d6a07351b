"""From the names of starters and what is wished otherwise to the parts of a first universe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.config.starter_files import files_part
from market_assets.config.starter_table import FILES
from market_assets.config.starters import apart, check_wishes, part_of, starters_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path

    from market_assets.config.starters import Part, Wishes


def parts_of(names: Sequence[str], wishes: Wishes, *, base: Path, today: date) -> list[Part]:
    """The parts of a first universe, a profile with its source each.

    Args:
        names: The starters, in the order of the file.
        wishes: What is wanted otherwise.
        base: The folder of the universe's file.
        today: The present day (UTC).

    Raises:
        StarterError: What is asked for does not go together; it names the option.
        CalendarError: There is no such calendar.
    """
    starters = starters_of(names)
    check_wishes(starters, wishes, today)
    parts = [
        files_part(wishes, base=base, today=today)
        if starter.name == FILES
        else part_of(starter, wishes, today)
        for starter in starters
    ]
    return apart(parts)

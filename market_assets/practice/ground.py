"""The practice ground: the packaged universe as of today. Pure, except for `keep`.

The packaged file is written for one Monday. Its days are moved on by whole weeks for each use, so
that five to six weeks of candles lie behind them, weekdays stay weekdays, and faults strike where
they did. The first command that makes a home keeps the result in it: its days stand still from then
on, and the file can be read, edited and copied.
"""

from __future__ import annotations

import os
import re
import tempfile
from datetime import date, timedelta
from pathlib import Path

WRITTEN_FOR = date(2025, 12, 1)
"""The Monday that the packaged universe is written for."""

KEPT = "practice.yaml"
"""The name of the practice universe in a home folder."""


def moved(text: str, today: date) -> str:
    """A universe file with its days moved on by whole weeks.

    Each day lies as far behind today as it did behind `WRITTEN_FOR`, to the week.

    Args:
        text: The file, with days such as 2025-10-27, also within times.
        today: The day in UTC.
    """
    weeks = timedelta(weeks=(today - WRITTEN_FOR).days // 7)
    return re.sub(
        r"\b\d{4}-\d\d-\d\d(?!\d)", lambda day: str(date.fromisoformat(day[0]) + weeks), text
    )


def keep(packaged: Path, home: Path, today: date) -> None:
    """Write the packaged universe as of today into a home that has none.

    Of two processes that try at once one does.

    Raises:
        OSError: The home cannot be written.
    """
    target = home / KEPT
    if target.exists():
        return
    with tempfile.TemporaryDirectory(dir=home, prefix=".practice_") as folder:
        draft = Path(folder, KEPT)
        draft.write_text(moved(packaged.read_text(encoding="utf-8"), today), encoding="utf-8")
        try:
            # A link is there as a whole or not at all, and never takes the place of another.
            os.link(draft, target)
        except FileExistsError:
            return

"""The hours of a calendar as a file, so that a process need not ask the libraries for them.

To import pandas and both libraries, and to work out fifty years of sessions, takes more than all
else that most commands do. A file has what came out of that, with the corrections of this package,
and its basis: all that it depends on. Where any of that is another now, or the file is not whole,
it is as if there was none.
"""

from __future__ import annotations

import json
import sys
import zoneinfo
from datetime import date, datetime, timedelta
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import polars as pl

from market_assets.market.calendars.corrections import CORRECTIONS
from market_assets.market.calendars.halts import halts_of
from market_assets.market.calendars.schedules import Schedule
from market_assets.market.timeframes import TS, Window
from market_assets.private import OURS_ALONE, put_private

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARIES = ("exchange_calendars", "pandas_market_calendars")

MAKERS = (
    *LIBRARIES,
    "korean_lunar_calendar",
    "numpy",
    "pandas",
    "polars",
    "pyluach",
    "python-dateutil",
    "toolz",
    "tzdata",
)
"""The packages by which hours are worked out: the libraries, and what they are made with."""

_SCHEMA = pl.Schema({"session": pl.Date(), "open": TS, "close": TS})

_DIGEST = 64
"""Letters of the digest with which a file begins, and which is that of all the rest."""


def read_hours(folder: Path, name: str, today: date) -> Schedule | None:
    """The hours of a calendar out of its file.

    Args:
        folder: Where the files are.
        name: The name that the calendar is asked for by.
        today: The day on the machine's clock, in its own zone: the libraries look a year ahead.

    Returns:
        None where there is no file, or none that is whole and has the basis of today.
    """
    try:
        content = _path(folder, name).read_bytes()
    except OSError:
        return None
    digest, content = content[:_DIGEST], content[_DIGEST:]
    if digest != sha256(content).hexdigest().encode():
        return None
    head, _, body = content.partition(b"\n")
    facts = json.loads(head)
    # Whatever another release may have written: what follows is read as this one writes it.
    if facts.get("basis") != basis_of(name, facts.get("zone", ""), year_after(today)):
        return None
    length = facts["length"]
    parts = [part for part in (body[:length], body[length:]) if part]
    frames = [pl.read_ipc(BytesIO(part)) for part in parts]
    if any(frame.schema != _SCHEMA for frame in frames):
        return None
    calendar = facts["calendar"]
    return Schedule(
        ZoneInfo(facts["zone"]),
        frames[-1],
        Window(*map(datetime.fromisoformat, facts["window"])),
        halts_of(calendar),
        CORRECTIONS.get(calendar, ()),
        frames[0],
        calendar,
    )


def write_hours(folder: Path, name: str, schedule: Schedule, last: date) -> None:
    """Put the hours of a calendar into its file, all of it or nothing.

    Args:
        folder: Where the files are. It is made where its home is there: a home is not.
        name: The name that the calendar is asked for by.
        schedule: Its hours, as the libraries and our corrections have them.
        last: The day until which the libraries look ahead.

    Raises:
        OSError: It cannot be written.
    """
    zone = schedule.zone.key
    frames = [schedule.uncorrected, schedule.spans]
    before, after = (_bytes(frame) for frame in frames)
    facts = {
        "calendar": schedule.calendar,
        "zone": zone,
        "window": [schedule.known.start.isoformat(), schedule.known.end.isoformat()],
        "length": len(before),
        "basis": basis_of(name, zone, last),
    }
    content = b"\n".join((json.dumps(facts).encode(), before + (b"" if after == before else after)))
    folder.mkdir(OURS_ALONE, exist_ok=True)
    put_private(_path(folder, name), sha256(content).hexdigest().encode() + content)


def year_after(today: date) -> date:
    """The last day that the libraries look at on a day, as exchange_calendars works it out."""
    is_leap_day = (today.month, today.day) == (2, 29)
    return today.replace(year=today.year + 1, day=28 if is_leap_day else today.day)


def basis_of(name: str, zone: str, last: date) -> dict[str, Any]:
    """All that the hours of a calendar depend on, as JSON has it.

    Args:
        name: The name that the calendar is asked for by.
        zone: Its time zone.
        last: The day until which the libraries look ahead. What is known ends with the week before,
            so that it is the same for a week.
    """
    return {
        "name": name,
        "week": (last - timedelta(days=last.weekday())).isoformat(),
        "zone": _digest_of_zone(zone),
        **installed(),
    }


@cache
def installed() -> dict[str, Any]:
    """What is installed of all that hours are worked out by, at the first call of a process."""
    rules = sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        rules.update(path.read_bytes())
    return {
        "python": sys.version,
        "packages": {name: _version(name) for name in MAKERS},
        "libraries": _digest_of_libraries(),
        "rules": rules.hexdigest(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _digest_of_libraries() -> str:
    """A digest of when the files of both libraries were written: somebody may have mended them."""
    digest = sha256()
    for library in LIBRARIES:
        spec = find_spec(library)
        for place in (spec and spec.submodule_search_locations) or ():
            digest.update("\n".join(sorted(_stamps(Path(place)))).encode())
    return digest.hexdigest()


def _stamps(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.py"):
        stat = path.stat()
        yield f"{path.relative_to(folder)} {stat.st_size} {stat.st_mtime_ns}"


@cache
def _digest_of_zone(name: str) -> str:
    """A digest of the rules of a time zone, as this machine has them.

    Where they come from the package `tzdata`, its release says the same.
    """
    for folder in zoneinfo.TZPATH:
        path = Path(folder, name)
        if path.is_file():
            return sha256(path.read_bytes()).hexdigest()
    return ""


def _bytes(frame: pl.DataFrame | None) -> bytes:
    buffer = BytesIO()
    if frame is not None:
        frame.write_ipc(buffer)
    return buffer.getvalue()


def _path(folder: Path, name: str) -> Path:
    return folder / f"{quote(name, safe='')}.hours"

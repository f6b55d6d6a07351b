"""Hours that are kept in a file: they are those of the libraries, or none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zoneinfo
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import requires
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import market_assets
from market_assets.market.calendars import hours_file, libraries
from market_assets.market.calendars.hours_file import (
    LIBRARIES,
    MAKERS,
    read_hours,
    write_hours,
    year_after,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from market_assets.market.calendars.schedules import Schedule

PACKAGE = Path(market_assets.__file__).parent

TODAY = datetime.now(UTC).astimezone().date()

PROGRAM = """
import sys
{before}
from datetime import date
from market_assets.market.calendars.sessions import has_calendar, load_calendar
from market_assets.market.timeframes import Timeframe, Window
assert has_calendar("XTAI")
week = Window.of_days(date(2024, 10, 28), date(2024, 11, 2))
print(*load_calendar("XTAI").bars(Timeframe.D1, week)["session"].dt.day())
print("pandas" in sys.modules)
"""


def be_another_process() -> None:
    """Forget what is looked at once in a process."""
    hours_file.installed.cache_clear()
    hours_file._digest_of_zone.cache_clear()


@pytest.fixture(autouse=True)
def _another_process() -> Iterator[None]:
    be_another_process()
    yield
    be_another_process()


@pytest.fixture(scope="module")
def schedules() -> dict[str, Schedule]:
    """A calendar of each kind: with halts, with corrections, of the second library, and ours."""
    names = ("XNYS", "XTKS", "CME Globex Equity", "FOREX")
    return {name: libraries.schedule(name) for name in names}


@pytest.fixture
def folder(tmp_path: Path, schedules: dict[str, Schedule]) -> Path:
    for name, schedule in schedules.items():
        write_hours(tmp_path / "calendars", name, schedule, libraries.last_day())
    return tmp_path / "calendars"


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a process that loads a calendar, over a home, with the package at some place."""

    def start(before: str = "", root: Path = PACKAGE.parent) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(root),
            "PYTHONSAFEPATH": "1",
            "MARKET_ASSETS_HOME": str(tmp_path / "home"),
        }
        (tmp_path / "home").mkdir(exist_ok=True)
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(before=before)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    return start


def answer(started: subprocess.Popen[str]) -> list[str]:
    output, _ = started.communicate(timeout=120)
    assert started.returncode == 0
    return output.splitlines()


def test_what_is_read_is_what_the_libraries_say(folder: Path, schedules: dict[str, Schedule]):
    for name, schedule in schedules.items():
        kept = read_hours(folder, name, TODAY)
        assert kept is not None
        assert kept.spans.equals(schedule.spans)
        assert kept.uncorrected is not None
        assert kept.uncorrected.equals(schedule.uncorrected)
        assert kept.spans.schema == schedule.spans.schema
        for fact in ("zone", "known", "halts", "changes", "calendar"):
            assert getattr(kept, fact) == getattr(schedule, fact)


def test_the_files_are_for_their_owner_alone(folder: Path):
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_name_that_is_no_name_of_a_file_has_one(folder: Path, schedules: dict[str, Schedule]):
    write_hours(folder, "24/5", schedules["FOREX"], libraries.last_day())
    assert read_hours(folder, "24/5", TODAY) is not None
    assert read_hours(folder, "24/7", TODAY) is None


def test_a_file_that_is_not_whole_is_none(folder: Path):
    path = folder / "FOREX.hours"
    content = path.read_bytes()
    for length in (0, 10, 64, 65, 300, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        assert read_hours(folder, "FOREX", TODAY) is None
    path.write_bytes(content + b"\n")
    assert read_hours(folder, "FOREX", TODAY) is None


def test_a_file_with_another_byte_is_none(folder: Path):
    path = folder / "FOREX.hours"
    content = path.read_bytes()
    for place in range(0, len(content), len(content) // 97):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert read_hours(folder, "FOREX", TODAY) is None
    path.write_bytes(content)
    assert read_hours(folder, "FOREX", TODAY) is not None


def test_a_file_under_the_name_of_another_calendar_is_none(folder: Path):
    shutil.copy(folder / "XNYS.hours", folder / "XTKS.hours")
    assert read_hours(folder, "XTKS", TODAY) is None


def test_a_file_serves_for_as_long_as_the_libraries_would_say_the_same(folder: Path):
    # They look a year ahead, and a calendar is known up to the Monday before that day.
    last = libraries.last_day()
    monday = last - timedelta(days=last.weekday())
    for days in range(-1, 8):
        today = year_before(monday + timedelta(days=days))
        assert (read_hours(folder, "XNYS", today) is not None) == (0 <= days < 7)


def year_before(day: date) -> date:
    return day.replace(year=day.year - 1)


def test_a_year_after_is_what_the_libraries_take_for_it():
    assert year_after(TODAY) == libraries.last_day()
    assert year_after(date(2028, 2, 29)) == date(2029, 2, 28)
    assert year_after(date(2027, 2, 28)) == date(2028, 2, 28)


@pytest.mark.parametrize("package", ["exchange_calendars", "pandas", "tzdata"])
def test_another_release_makes_it_anew(folder: Path, tmp_path: Path, monkeypatch, package: str):
    release = tmp_path / "newer" / f"{package}-99.1.dist-info"
    release.mkdir(parents=True)
    (release / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 99.1\n")
    monkeypatch.syspath_prepend(release.parent)
    be_another_process()
    assert read_hours(folder, "XNYS", TODAY) is None


def test_every_package_that_the_libraries_need_counts():
    needed = {
        re.match(r"[\w.-]+", requirement)[0].replace("_", "-").lower()  # type: ignore[index]
        for library in LIBRARIES
        for requirement in requires(library) or ()
        if "extra ==" not in requirement
    }
    assert needed <= {maker.replace("_", "-") for maker in MAKERS}


def test_a_library_that_somebody_has_mended_makes_it_anew(tmp_path: Path):
    holidays = tmp_path / "us_holidays.py"
    holidays.write_text("CLOSED = 1")
    before = list(hours_file._stamps(tmp_path))
    os.utime(holidays, (1, 1))
    assert list(hours_file._stamps(tmp_path)) != before


def test_other_rules_of_its_time_zone_make_it_anew(folder: Path, tmp_path: Path):
    (tmp_path / "America").mkdir()
    shutil.copy(
        next(Path(place, "Asia/Tokyo") for place in places() if Path(place, "Asia/Tokyo").exists()),
        tmp_path / "America" / "New_York",
    )
    try:
        zoneinfo.reset_tzpath(to=[tmp_path])
        be_another_process()
        assert read_hours(folder, "XNYS", TODAY) is None
    finally:
        zoneinfo.reset_tzpath()
    be_another_process()
    assert read_hours(folder, "XNYS", TODAY) is not None


def places() -> list[str]:
    packaged = Path(sys.modules["tzdata"].__path__[0]) if "tzdata" in sys.modules else Path()
    return [*zoneinfo.TZPATH, str(packaged / "zoneinfo")]


def test_what_cannot_be_written_is_an_error(tmp_path: Path, schedules: dict[str, Schedule]):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "no home" / "calendars"):
        with pytest.raises(OSError, match=r"exists|No such"):
            write_hours(place, "FOREX", schedules["FOREX"], libraries.last_day())


# Whole processes


def test_two_processes_at_once_and_a_change_of_our_corrections(tmp_path: Path, process):
    root = tmp_path / "another"
    shutil.copytree(
        PACKAGE, root / "market_assets", ignore=shutil.ignore_patterns("__pycache__", "*.yaml")
    )
    both = [process(root=root) for _ in range(2)]
    assert [answer(started) for started in both] == [["28 29 30 1", "True"]] * 2
    assert [path.name for path in (tmp_path / "home" / "calendars").iterdir()] == ["XTAI.hours"]
    assert answer(process(root=root)) == ["28 29 30 1", "False"]

    corrections = root / "market_assets/market/calendars/corrections.py"
    corrections.write_text(
        corrections.read_text().replace("date(2024, 10, 31)", "date(2024, 11, 1)")
    )
    assert answer(process(root=root)) == ["28 29 30 31", "True"]
    assert answer(process(root=root)) == ["28 29 30 31", "False"]


def test_a_home_that_cannot_be_written_has_calendars_too(tmp_path: Path, process):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "calendars").touch()
    assert answer(process()) == ["28 29 30 1", "True"]


def test_libraries_that_somebody_else_has_loaded_are_believed_and_not_noted(
    tmp_path: Path, process
):
    assert answer(process("import exchange_calendars")) == ["28 29 30 1", "True"]
    assert not (tmp_path / "home" / "calendars").exists()

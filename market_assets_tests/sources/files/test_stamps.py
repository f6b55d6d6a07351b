"""How stamps are written, and what is read of them."""

# ruff: noqa: DTZ001, FBT001 - walls bear no zone

from __future__ import annotations

from datetime import datetime

import polars as pl
import pytest

from market_assets.sources.files.stamps import StampError, read_stamps
from market_assets_tests.sources.files.test_clocks import micros


@pytest.mark.parametrize(
    ("text", "wall", "hours", "dated"),
    [
        ("2024-03-08", datetime(2024, 3, 8), None, True),
        ("2024/3/8 9:30", datetime(2024, 3, 8, 9, 30), None, False),
        ("2024-03-08 00:00:00+09:00", datetime(2024, 3, 8), 9, False),
        ("2024-03-08T00:00:00-0330", datetime(2024, 3, 8), -3.5, False),
        ("2024-03-08T00:00Z", datetime(2024, 3, 8), 0, False),
        ("20240308", datetime(2024, 3, 8), None, True),
        ("20240308 093000", datetime(2024, 3, 8, 9, 30), None, False),
        ("20240308093000", datetime(2024, 3, 8, 9, 30), None, False),
        ("8-Mar-2024 4:30 PM", datetime(2024, 3, 8, 16, 30), None, False),
        ("March 8, 2024", datetime(2024, 3, 8), None, True),
        ("Fri, 08 Mar 2024 12:00:00 GMT", datetime(2024, 3, 8, 12), 0, False),
        ("2024-03-08 12-AM", datetime(2024, 3, 8), None, False),
        ("2024-03-08 24:00", datetime(2024, 3, 9), None, False),
        ("20240308 09:30:00 US/Eastern", datetime(2024, 3, 8, 9, 30), -5, False),
        ("20240308  09:30:00 America/New_York", datetime(2024, 3, 8, 9, 30), -5, False),
        ("2024-03-08 09:30:00 America/Chicago", datetime(2024, 3, 8, 9, 30), -6, False),
        ("2024-03-08T09:30:00-05:00[America/New_York]", datetime(2024, 3, 8, 9, 30), -5, False),
        (
            "Fri Mar 08 2024 09:30:00 GMT-0500 (Eastern Standard Time)",
            datetime(2024, 3, 8, 9, 30),
            -5,
            False,
        ),
        ("20240308093000000", datetime(2024, 3, 8, 9, 30), None, False),
        ("2024-03-08 4:30PM America/New_York", datetime(2024, 3, 8, 16, 30), -5, False),
        ("13/02/2024", datetime(2024, 2, 13), None, True),
        ("02/13/2024", datetime(2024, 2, 13), None, True),
        ("01.02.2024", datetime(2024, 2, 1), None, True),
    ],
)
def test_text_is_read_by_its_shape(
    text: str, wall: datetime, hours: float | None, dated: bool
) -> None:
    row = read_stamps(pl.Series([text])).row(0, named=True)

    assert row["wall"] == micros(wall)
    assert row["offset"] == (None if hours is None else int(hours * 3_600_000_000))
    assert row["dated"] is dated


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2024-13-01",
        "2024-02-30",
        "24:00",
        "13/02/24",
        "5",
        "45362.5",
        "2024-03-08 25:00",
    ],
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert read_stamps(pl.Series([text]))["wall"].to_list() == [None]


@pytest.mark.parametrize("dates", [["01/02/2024"], ["01-02-2024"], ["13/02/2024", "02/13/2024"]])
def test_dates_that_can_be_read_two_ways_want_a_format(dates: list[str]) -> None:
    with pytest.raises(StampError, match="set format to"):
        read_stamps(pl.Series(dates))

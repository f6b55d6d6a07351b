"""What the calendar libraries say, against hours that are known by hand and by real candles."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import polars as pl
import pytest

from market_assets.errors import CalendarError
from market_assets.market.calendars.sessions import calendar_names, load_calendar
from market_assets.market.gaps import missing
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets_tests.support.calendars import candles, day, outside, span

PRESETS = ["24/7", "XNYS", "CME Globex Equity", "FOREX"]
GOLDEN = Path(__file__).with_name("golden")

at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone

XNYS_MINUTES = {
    **dict.fromkeys(["2001-09-11", "2004-06-11", "2007-01-02", "2012-10-29", "2012-10-30"], 0),
    **dict.fromkeys(["2018-12-05", "2022-06-20", "2025-01-09"], 0),
    **dict.fromkeys(["2025-07-03", "2025-11-28", "2025-12-24"], 210),
    **dict.fromkeys(["2021-06-18", "1998-01-02", "2025-07-02"], 390),
}

FIRST = date(2010, 1, 1)

FUTURES = frozenset({time(16), time(16, 15), time(15, 15)})
"""The closes of ordinary days over the years."""

CALENDARS = {
    "XNYS": ("xnys", {time(16)}),
    "CME Globex Equity": ("cme_globex_equity", FUTURES),
    "FOREX": ("forex", {time(17)}),
    "CMEGlobex_FX": ("cme_globex_fx", FUTURES),
    "CMEGlobex_CL": ("cme_globex_energy_and_metals", FUTURES),
    "CMEGlobex_GC": ("cme_globex_energy_and_metals", FUTURES),
    "CME Globex Fixed Income": ("cme_globex_fixed_income", FUTURES),
    "CME Globex Crypto": ("cme_globex_crypto", FUTURES),
    "CMEGlobex_Grains": ("cme_globex_grains", {time(13, 20)}),
    "XKRX": ("xkrx", {time(15), time(15, 30)}),
}


@pytest.mark.parametrize(("text", "minutes"), XNYS_MINUTES.items())
def test_new_york_has_that_many_minutes_on_that_day(text: str, minutes: int):
    assert len(load_calendar("XNYS").expected(Timeframe.M1, day(text))) == minutes


@pytest.mark.parametrize(
    "opens",
    ["2025-03-07 14:30", "2025-03-10 13:30", "2025-10-31 13:30", "2025-11-03 14:30"],
    ids=str,
)
def test_new_york_opens_at_half_past_nine_on_its_own_clock(opens: str):
    assert load_calendar("XNYS").bars(Timeframe.M1, day(opens[:10]))["ts"][0] == at(opens)


# Golden weeks


@pytest.mark.parametrize(
    ("calendar", "file"),
    [
        ("24/7", "always_open.csv"),
        ("XNYS", "xnys.csv"),
        ("CME Globex Equity", "cme_globex_equity.csv"),
        ("FOREX", "forex.csv"),
    ],
)
def test_whole_weeks_are_as_written_down_by_hand(calendar: str, file: str):
    schema = {"week": pl.Date, "session": pl.Date, "open": TS, "close": TS}
    golden = pl.read_csv(GOLDEN / file, comment_prefix="#", schema=schema)
    for (sunday,), week in golden.partition_by("week", as_dict=True, include_key=False).items():
        spans = load_calendar(calendar).spans(Window.of_days(sunday, sunday + timedelta(days=7)))
        assert spans.rows() == week.rows(), f"week of {sunday}"


# Names, loading, bounds


def test_every_kind_of_name_is_listed_once_and_loads():
    names = calendar_names()
    assert names == sorted(set(names))
    assert {
        *PRESETS,
        "FX",
        "Forex",
        "NASDAQ",
        "CMES",
        "CMEGlobex_FX",
        "XTKS",
        "CBOT_Equity",
        "us_futures",
    } <= set(names)
    for name in (
        "24/5",
        "LSE",
        "XHKG",
        "XSHG",
        "XSAU",
        "XJPX",
        "EUREX",
        "SIFMA_US",
        "CME Globex Crypto",
        "CBOE_Futures",
    ):
        calendar = load_calendar(name)
        spans = calendar.spans(calendar.known)
        assert spans.null_count().sum_horizontal()[0] == 0
        assert (spans["close"] > spans["open"]).all()
        assert (spans["open"].slice(1) >= spans["close"].head(spans.height - 1)).all()
        assert spans["session"].is_sorted()


@pytest.mark.parametrize("name", ["ASEX", "XTAE"])
def test_a_calendar_that_its_library_cannot_build_on_this_pandas_says_so(name: str):
    try:
        assert load_calendar(name).known.start.year == 1970
    except CalendarError as error:
        # Which of the two it is depends on the pandas installed.
        assert "on pandas 3" in str(error)  # noqa: PT017
        assert "install another release of pandas" in str(error)  # noqa: PT017 - likewise


def golden(name: str) -> dict[date, str]:
    lines = [
        line
        for line in (GOLDEN / f"days_{name}.csv").read_text().splitlines()
        if not line.startswith("#")
    ]
    return {date.fromisoformat(row["day"]): row["close"] for row in csv.DictReader(lines)}


@pytest.mark.parametrize("calendar", CALENDARS)
def test_all_days_from_2010_to_2026_are_the_golden_ones(calendar: str):
    name, usual = CALENDARS[calendar]
    answers = golden(name)
    loaded = load_calendar(calendar)
    last = min(date(2026, 12, 31), loaded.known.end.date() - timedelta(days=8))
    spans = loaded.spans(Window.of_days(FIRST - timedelta(days=5), last + timedelta(days=5)))
    closes = dict(spans.group_by("session").agg(pl.max("close")).iter_rows())

    found = {}
    for at in range((last - FIRST).days + 1):
        day = FIRST + timedelta(days=at)
        close = closes.get(day)
        local = close and close.replace(tzinfo=UTC).astimezone(loaded.zone).time()
        if local in usual and answers.get(day, "closed") != f"{local:%H:%M}":
            continue
        if local or day.weekday() < 5:
            found[day] = f"{local:%H:%M}" if local else "closed"
    assert found == {day: close for day, close in answers.items() if day <= last}


def test_the_days_of_new_york_are_those_of_23_years_of_apple(shared: Path):
    days = candles(shared, "equity/lean__AAPL__1d")
    assert (days[0], days[-1]) == (at("1998-01-02"), at("2021-03-31"))
    assert load_calendar("XNYS").expected(Timeframe.D1, span(days)).to_list() == days.to_list()


def test_the_hours_of_new_york_are_those_that_a_second_library_has():
    window = Window.of_days(date(2007, 1, 1), date(2026, 1, 1))
    assert load_calendar("XNYS").spans(window).equals(load_calendar("stock").spans(window))


def test_every_minute_of_new_york_is_in_a_year_of_spy(shared: Path):
    ts = candles(shared, "equity/admf-spy__SPY__1m")
    expected = load_calendar("XNYS").expected(Timeframe.M1, span(ts))
    assert missing(expected, ts).is_empty()
    per_day = expected.to_frame().group_by(pl.col("ts").dt.date()).len()
    assert dict(per_day["len"].value_counts().iter_rows()) == {390: 191, 210: 3}
    assert len(outside("XNYS", Timeframe.M1, ts)) == 587

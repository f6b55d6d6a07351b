from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_assets.errors import CalendarError
from market_assets.market.calendars.sessions import calendar_names, load_calendar
from market_assets.market.timeframes import TS, Timeframe, Window

PRESETS = ["24/7", "XNYS", "CME Globex Equity", "FOREX"]
NEW_YORK = ZoneInfo("America/New_York")
CHICAGO = ZoneInfo("America/Chicago")
GOLDEN = Path(__file__).with_name("golden")

at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone


def day(text: str) -> Window:
    first = date.fromisoformat(text)
    return Window.of_days(first, first + timedelta(days=1))


def session_of(calendar: str, text: str) -> list[tuple[datetime, datetime]]:
    """The stretches of one session, on the clock of its exchange."""
    loaded = load_calendar(calendar)
    first = date.fromisoformat(text)
    spans = loaded.spans(Window.of_days(first - timedelta(days=2), first + timedelta(days=2)))
    return [
        (
            opens.replace(tzinfo=UTC).astimezone(loaded.zone),
            closes.replace(tzinfo=UTC).astimezone(loaded.zone),
        )
        for session, opens, closes in spans.iter_rows()
        if session == first
    ]


def closes_at(calendar: str, text: str) -> str | None:
    stretches = session_of(calendar, text)
    return f"{stretches[-1][1]:%H:%M}" if stretches else None


# Case 1

XNYS_MINUTES = {
    **dict.fromkeys(["2001-09-11", "2004-06-11", "2007-01-02", "2012-10-29", "2012-10-30"], 0),
    **dict.fromkeys(["2018-12-05", "2022-06-20", "2025-01-09"], 0),
    **dict.fromkeys(["2025-07-03", "2025-11-28", "2025-12-24"], 210),
    **dict.fromkeys(["2021-06-18", "1998-01-02", "2025-07-02"], 390),
}


@pytest.mark.parametrize(("text", "minutes"), XNYS_MINUTES.items())
def test_new_york_has_that_many_minutes_on_that_day(text: str, minutes: int):
    assert len(load_calendar("XNYS").expected(Timeframe.M1, day(text))) == minutes


# Case 2


@pytest.mark.parametrize(
    "opens",
    ["2025-03-07 14:30", "2025-03-10 13:30", "2025-10-31 13:30", "2025-11-03 14:30"],
    ids=str,
)
def test_new_york_opens_at_half_past_nine_on_its_own_clock(opens: str):
    assert load_calendar("XNYS").bars(Timeframe.M1, day(opens[:10]))["ts"][0] == at(opens)


# Cases 3 to 5


@pytest.mark.parametrize(
    ("text", "close"),
    [
        ("2023-04-07", "08:15"),
        ("2025-01-09", "08:30"),
        ("2018-12-05", "08:30"),
        ("2022-06-20", "12:00"),
        ("2026-04-03", "08:15"),
        ("2025-01-08", "16:00"),
        ("2024-03-29", None),
        ("2025-04-18", None),
        ("2007-01-02", None),
        ("2004-06-11", "08:00"),
    ],
)
def test_equity_index_futures_end_their_session_then(text: str, close: str | None):
    assert closes_at("CME Globex Equity", text) == close


def test_other_cme_groups_trade_on_the_day_of_mourning_on_which_equities_stop():
    assert closes_at("CMEGlobex_FX", "2025-01-09") == "16:00"
    assert closes_at("CMEGlobex_EnergyAndMetals", "2025-01-09") == "16:00"


@pytest.mark.parametrize(
    "calendar", ["CME Globex Equity", "CMEGlobex_FX", "CMEGlobex_GC", "CMEGlobex_CL"]
)
def test_cme_groups_rest_from_four_to_five_in_chicago(calendar: str):
    loaded = load_calendar(calendar)
    clock = (
        pl.col("ts").dt.replace_time_zone("UTC").dt.convert_time_zone("America/Chicago").dt.hour()
    )
    bars = loaded.bars(Timeframe.M1, Window.of_days(date(2022, 1, 1), date(2026, 1, 1)))
    assert bars.filter(clock == 16).is_empty()


def test_the_calendar_without_a_daily_halt_is_still_there_for_who_names_it():
    assert len(load_calendar("CMES").expected(Timeframe.M1, day("2025-02-04"))) == 24 * 60


def test_the_afternoon_pause_is_there_until_june_2021_and_gone_after():
    calendar = load_calendar("CME Globex Equity")
    window = Window.of_days(date(2020, 12, 1), date(2021, 12, 1))
    clock = pl.col("ts").dt.replace_time_zone("UTC").dt.convert_time_zone("America/Chicago").dt
    pause = (clock.hour() == 15) & clock.minute().is_between(15, 29)
    full = (
        calendar.bars(Timeframe.M1, window).filter(clock.hour() == 15, ~pause)["session"].unique()
    )
    trading = calendar.bars(Timeframe.M1, window).filter(pause)["session"].unique().sort()
    assert trading[0] == date(2021, 6, 28)
    assert set(trading) == {session for session in full if session >= date(2021, 6, 28)}


def test_a_week_of_futures_begins_on_sunday_at_five_in_chicago_on_either_side_of_the_clock_change():
    calendar = load_calendar("CME Globex Equity")
    for sunday, hour in (("2025-03-02", 23), ("2025-03-09", 22)):
        assert calendar.bars(Timeframe.M1, day(sunday))["ts"][0] == at(f"{sunday} {hour}:00")
        assert day(sunday).start.date() in calendar.trading_days(day(sunday)).to_list()
    week = calendar.bars(Timeframe.W1, Window.of_days(date(2025, 3, 10), date(2025, 3, 17)))
    assert week.row(0)[:3] == (at("2025-03-10"), at("2025-03-09 22:00"), at("2025-03-14 21:00"))


# Case 6


def test_currencies_trade_from_sunday_to_friday_five_in_new_york_and_a_session_is_a_day():
    window = Window.of_days(date(2019, 1, 7), date(2026, 1, 5))
    spans = load_calendar("FOREX").spans(window)
    for session, opens, closes in spans.iter_rows():
        opened, closed = (x.replace(tzinfo=UTC).astimezone(NEW_YORK) for x in (opens, closes))
        assert (opened.hour, closed.hour) == (17, 17)
        assert (opened.date(), closed.date()) == (session - timedelta(days=1), session)
        assert session.weekday() < 5
    assert (spans["close"] - spans["open"]).unique().to_list() == [timedelta(hours=24)]
    gaps = (spans["open"] - spans["close"].shift()).drop_nulls()
    weekends = gaps.filter(gaps.is_between(timedelta(hours=47), timedelta(hours=49)))
    assert sorted(set(weekends)) == [timedelta(hours=47), timedelta(hours=48), timedelta(hours=49)]


@pytest.mark.parametrize("name", ["FOREX", "FX", "Forex"])
def test_no_name_leads_to_the_library_s_currency_session_on_saturday_night(name: str):
    saturday = day("2025-02-08")
    assert load_calendar(name).bars(Timeframe.M1, saturday).is_empty()


@pytest.mark.parametrize("year", range(2010, 2027))
def test_currencies_have_no_session_on_christmas_and_new_year(year: int):
    assert closes_at("FOREX", f"{year}-12-25") is None
    assert closes_at("FOREX", f"{year}-01-01") is None


@pytest.mark.parametrize(
    ("text", "close"),
    [
        ("2014-12-24", "14:00"),
        ("2015-12-31", "14:00"),
        ("2016-12-30", "14:00"),
        ("2018-12-24", "17:00"),
    ],
)
def test_currencies_close_early_before_the_holidays_in_the_years_that_were_seen_to(
    text: str, close: str
):
    assert closes_at("FOREX", text) == close


# Case 7

HALTS = ["2020-03-09 09:34:13", "2020-03-12 09:35:44", "2020-03-16 09:30:01", "2020-03-18 12:56:17"]


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.M5])
@pytest.mark.parametrize("text", HALTS)
def test_bars_inside_a_market_wide_halt_are_allowed_but_not_expected(
    text: str, timeframe: Timeframe
):
    start = at(text).replace(tzinfo=NEW_YORK).astimezone(UTC)
    end = start + timedelta(minutes=15)
    for name in ("XNYS", "NASDAQ", "stock"):
        calendar = load_calendar(name)
        bars = calendar.bars(timeframe, day(text[:10]))
        halted = bars.filter("halted")
        assert halted.height == (14 if timeframe is Timeframe.M1 else 2)
        assert halted["opens_at"][0].replace(tzinfo=UTC) >= start
        assert halted["closes_at"][-1].replace(tzinfo=UTC) <= end
        assert len(calendar.expected(timeframe, day(text[:10]))) == bars.height - halted.height


def test_a_halt_of_new_york_is_none_elsewhere():
    assert not load_calendar("24/7").bars(Timeframe.M1, day("2020-03-09"))["halted"].any()
    assert not load_calendar("XLON").bars(Timeframe.M1, day("2020-03-09"))["halted"].any()


# Case 8

_PRINT_GRID = """
import sys
from datetime import date
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe, Window
for name in ("24/7", "XNYS", "CME Globex Equity", "FOREX"):
    for timeframe in (Timeframe.H1, Timeframe.D1, Timeframe.W1):
        bars = load_calendar(name).bars(
            timeframe, Window.of_days(date(2025, 1, 6), date(2025, 12, 1))
        )
        print(name, timeframe, bars.hash_rows().sum())
"""


def test_the_time_zone_of_the_machine_changes_nothing():
    def printed(zone: str) -> str:
        environ = {**os.environ, "TZ": zone}
        return subprocess.run(
            [sys.executable, "-c", _PRINT_GRID],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert printed("America/New_York") == printed("Asia/Kolkata") != ""


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


def test_a_calendar_is_loaded_once():
    assert load_calendar("XNYS") is load_calendar("XNYS")


def test_an_unknown_name_is_answered_with_the_closest_ones():
    with pytest.raises(
        CalendarError, match=r"'cme globex equities'.*did you mean 'CME Globex Equity'"
    ):
        load_calendar("cme globex equities")
    with pytest.raises(CalendarError, match=r"calendar_names\(\) lists them all"):
        load_calendar("?")


@pytest.mark.parametrize("name", ["ASEX", "XTAE"])
def test_a_calendar_that_its_library_cannot_build_on_this_pandas_says_so(name: str):
    try:
        assert load_calendar(name).known.start.year == 1970
    except CalendarError as error:
        # Which of the two it is depends on the pandas installed.
        assert "on pandas 3" in str(error)  # noqa: PT017
        assert "install another release of pandas" in str(error)  # noqa: PT017 - likewise


def test_a_window_beyond_what_the_calendar_knows_is_refused_with_the_years_it_knows():
    calendar = load_calendar("XTKS")
    with pytest.raises(
        CalendarError, match=r"'XTKS' knows 1997-01-06 to 20.*1990-01-01 00:00.*reaches beyond"
    ):
        calendar.bars(Timeframe.D1, Window.of_days(date(1990, 1, 1), date(2000, 1, 1)))
    for ask in (
        calendar.spans,
        calendar.trading_days,
        lambda w: calendar.expected(Timeframe.M1, w),
    ):
        with pytest.raises(CalendarError):
            ask(Window.of_days(date(2024, 1, 1), date(2099, 1, 1)))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_knows_1998_and_next_spring_whenever_today_is(name: str):
    known = load_calendar(name).known
    assert known.start == datetime(1970, 1, 5, tzinfo=UTC)
    assert known.end > datetime.now(UTC) + timedelta(days=300)


def test_a_market_that_never_closes_loads_neither_pandas_nor_a_calendar_library():
    code = (
        "import sys\n"
        "from market_assets.market.calendars.sessions import load_calendar\n"
        "load_calendar('24/7')\n"
        "print({'pandas', 'exchange_calendars', 'pandas_market_calendars'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# The grid


def test_bars_carry_their_bounds_and_their_session():
    bars = load_calendar("XNYS").bars(Timeframe.H1, day("2025-03-10"))
    assert bars.schema == {
        "ts": TS,
        "opens_at": TS,
        "closes_at": TS,
        "session": pl.Date,
        "halted": pl.Boolean,
    }
    assert bars.height == 7
    assert bars.row(0) == (
        at("2025-03-10 13:30"),
        at("2025-03-10 13:30"),
        at("2025-03-10 14:30"),
        date(2025, 3, 10),
        False,
    )
    assert bars.row(6)[:3] == (
        at("2025-03-10 19:30"),
        at("2025-03-10 19:30"),
        at("2025-03-10 20:00"),
    )


def test_a_day_and_a_week_are_named_after_their_date_and_open_and_close_with_the_market():
    forex = load_calendar("FOREX")
    window = Window.of_days(date(2025, 3, 10), date(2025, 3, 12))
    monday, tuesday = forex.bars(Timeframe.D1, window).rows()
    assert monday == (
        *[at("2025-03-10"), at("2025-03-09 21:00"), at("2025-03-10 21:00")],
        date(2025, 3, 10),
        False,
    )
    assert tuesday[0] == at("2025-03-11")
    (week,) = (
        load_calendar("XNYS")
        .bars(Timeframe.W1, Window.of_days(date(2025, 6, 30), date(2025, 7, 7)))
        .rows()
    )
    assert week == (
        *[at("2025-06-30"), at("2025-06-30 13:30"), at("2025-07-03 17:00")],
        *[date(2025, 6, 30), False],
    )


def test_a_week_whose_monday_is_a_holiday_is_still_named_after_the_monday():
    (week,) = (
        load_calendar("XNYS")
        .bars(Timeframe.W1, Window.of_days(date(2025, 1, 20), date(2025, 1, 27)))
        .rows()
    )
    assert week[0] == at("2025-01-20")
    assert week[1] == at("2025-01-21 14:30")


def test_a_lunch_break_ends_one_grid_and_begins_another():
    spans = load_calendar("XTKS").spans(day("2024-01-04"))
    assert spans.rows() == [
        (date(2024, 1, 4), at("2024-01-04 00:00"), at("2024-01-04 02:30")),
        (date(2024, 1, 4), at("2024-01-04 03:30"), at("2024-01-04 06:00")),
    ]
    hours = (
        load_calendar("XTKS").bars(Timeframe.H1, day("2024-01-04")).select("opens_at", "closes_at")
    )
    assert [(o.hour * 60 + o.minute, c.hour * 60 + c.minute) for o, c in hours.iter_rows()] == [
        *[(0, 60), (60, 120), (120, 150)],
        *[(210, 270), (270, 330), (330, 360)],
    ]
    assert load_calendar("XTKS").bars(Timeframe.D1, day("2024-01-04")).row(0)[1:3] == (
        spans["open"][0],
        spans["close"][1],
    )


def test_four_hours_are_cut_where_futures_paused_and_where_they_closed():
    bars = load_calendar("CME Globex Equity").bars(
        Timeframe.H4,
        Window(datetime(2021, 6, 23, 22, tzinfo=UTC), datetime(2021, 6, 24, 22, tzinfo=UTC)),
    )
    assert [
        (o.hour, c.hour, c.minute) for o, c in bars.select("opens_at", "closes_at").iter_rows()
    ] == [
        *[(22, 2, 0), (2, 6, 0), (6, 10, 0), (10, 14, 0), (14, 18, 0), (18, 20, 15)],
        (20, 21, 0),
    ]


@pytest.mark.parametrize("timeframe", list(Timeframe))
@pytest.mark.parametrize("name", PRESETS)
def test_an_empty_window_has_no_bar(name: str, timeframe: Timeframe):
    calendar = load_calendar(name)
    instant = datetime(2025, 3, 11, 15, 0, 30, tzinfo=UTC)
    empty = Window(instant, instant)
    assert calendar.bars(timeframe, empty).is_empty()
    assert calendar.bars_touching(timeframe, empty).is_empty()
    assert calendar.expected(timeframe, empty).is_empty()
    assert calendar.spans(empty).is_empty()
    assert calendar.trading_days(empty).is_empty()


def test_a_bar_is_expected_only_once_it_has_closed():
    calendar = load_calendar("XNYS")
    now = datetime(2025, 3, 11, 15, 0, 30, tzinfo=UTC)
    assert calendar.expected(Timeframe.M1, day("2025-03-11"), until=now)[-1] == at(
        "2025-03-11 14:59"
    )
    assert calendar.expected(Timeframe.M1, day("2025-03-11"), until=now + timedelta(seconds=30))[
        -1
    ] == at("2025-03-11 15:00")
    close = datetime(2025, 3, 11, 20, tzinfo=UTC)
    assert calendar.expected(
        Timeframe.D1, day("2025-03-11"), until=close - timedelta(seconds=1)
    ).is_empty()
    assert len(calendar.expected(Timeframe.D1, day("2025-03-11"), until=close)) == 1


def test_a_window_inside_a_bar_touches_it_though_it_does_not_open_there():
    calendar = load_calendar("XNYS")
    inside = Window(
        datetime(2025, 3, 11, 14, 0, tzinfo=UTC), datetime(2025, 3, 11, 14, 1, tzinfo=UTC)
    )
    for timeframe, opened in (
        (Timeframe.H1, at("2025-03-11 13:30")),
        (Timeframe.W1, at("2025-03-10")),
    ):
        assert calendar.bars(timeframe, inside).is_empty()
        assert calendar.bars_touching(timeframe, inside)["ts"].to_list() == [opened]


windows = st.builds(
    lambda start, minutes: Window(start, start + timedelta(minutes=minutes)),
    st.datetimes(at("2012-06-01"), at("2026-06-01")).map(
        lambda x: x.replace(tzinfo=UTC, second=0, microsecond=0)
    ),
    st.integers(0, 20 * 24 * 60),
)
calendars = st.sampled_from([*PRESETS, "XTKS"]).map(load_calendar)
every_timeframe = st.sampled_from(list(Timeframe))


@given(calendars, st.sampled_from([t for t in Timeframe if t.intraday]), windows)
def test_intraday_bars_fill_each_stretch_of_trading_without_gap_or_overlap(
    calendar, timeframe, window
):
    spans = calendar.spans(window)
    if spans.is_empty():
        assert calendar.bars_touching(timeframe, window).is_empty()
        return
    whole = Window.spanning(spans["open"], spans["close"])
    bars = calendar.bars(timeframe, whole)
    assert (bars["closes_at"] - bars["opens_at"]).sum() == (spans["close"] - spans["open"]).sum()
    assert bars["ts"].is_sorted()
    assert bars["ts"].n_unique() == bars.height
    assert (bars["opens_at"].slice(1) >= bars["closes_at"].head(bars.height - 1)).all()
    assert ((bars["closes_at"] - bars["opens_at"]) <= timeframe.duration).all()
    assert bars["session"].unique().sort().to_list() == spans["session"].unique().sort().to_list()


@given(calendars, every_timeframe, windows, windows)
def test_what_a_window_holds_does_not_depend_on_how_it_is_asked_for(
    calendar, timeframe, left, right
):
    whole = Window(min(left.start, right.start), max(left.end, right.end))
    bars, touching = calendar.bars(timeframe, whole), calendar.bars_touching(timeframe, whole)
    assert calendar.bars(timeframe, left).equals(bars.filter(left.holds()))
    start, end = (bound.replace(tzinfo=None) for bound in (right.start, right.end))
    shares_an_instant = (
        (pl.col("opens_at") < end) & (pl.col("closes_at") > start) & (not right.empty)
    )
    assert calendar.bars_touching(timeframe, right).equals(touching.filter(shares_an_instant))
    assert (
        calendar.expected(timeframe, left).to_list()
        == bars.filter(left.holds(), ~pl.col("halted"))["ts"].to_list()
    )


@settings(max_examples=40)
@given(calendars, windows)
def test_a_trading_day_is_one_on_which_a_minute_opens(calendar, window):
    minutes = calendar.bars(Timeframe.M1, window)
    assert (
        calendar.trading_days(window).to_list() == minutes["ts"].dt.date().unique().sort().to_list()
    )


@settings(max_examples=40)
@given(calendars, windows)
def test_every_session_is_one_day_bar_and_every_week_with_a_session_one_week_bar(calendar, window):
    first = window.start.date() - timedelta(days=window.start.weekday())
    whole = Window.of_days(
        first, first + timedelta(weeks=1 + (window.end.date() - first).days // 7)
    )
    days = calendar.bars(Timeframe.D1, whole)
    weeks = calendar.bars(Timeframe.W1, whole)
    mondays = [session - timedelta(days=session.weekday()) for session in days["session"]]
    assert weeks["ts"].dt.date().to_list() == sorted(set(mondays))
    assert days["ts"].dt.date().to_list() == days["session"].to_list()

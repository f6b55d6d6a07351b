"""What the calendar libraries have wrong is right here, each with its reason."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from market_assets.market.calendars.corrections import CORRECTIONS
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe, Window
from market_assets_tests.support.calendars import day

NEW_YORK = ZoneInfo("America/New_York")

at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone

HALTS = ["2020-03-09 09:34:13", "2020-03-12 09:35:44", "2020-03-16 09:30:01", "2020-03-18 12:56:17"]

EVE = [f"{year}-12-24" for year in (2012, 2013, 2014, 2015, 2018, 2019, 2020, 2024, 2025)]
LABOR_DAYS = ["2022-09-05", "2023-09-04", "2024-09-02", "2025-09-01"]

TABLE = [
    *(("CMEGlobex_CL", day, "<17:00-12:45") for day in EVE),
    *(("CMEGlobex_GC", day, "<17:00-12:45") for day in EVE),
    *(("CMEGlobex_CL", day, "<17:00-13:30") for day in LABOR_DAYS),
    ("CMEGlobex_CL", "2025-07-04", "<17:00-12:00"),
    ("CMEGlobex_GC", "2025-11-28", "<17:00-13:45"),
    *(("CMEGlobex_FX", day, "<17:00-12:00") for day in ("2025-07-04", "2026-06-19", "2026-07-03")),
    *(
        ("CMEGlobex_FX", day, "<17:00-10:15")
        for day in ("2010-04-02", "2012-04-06", "2015-04-03", "2023-04-07")
    ),
    *(("CME Globex Fixed Income", day, "closed") for day in ("2024-03-29", "2025-04-18")),
    *(("CME Globex Crypto", day, "closed") for day in ("2024-03-29", "2025-04-18")),
    ("CME Globex Fixed Income", "2023-04-07", "<17:00-10:15"),
    *(("CMEGlobex_Grains", day, "closed") for day in ("2022-06-20", "2024-06-19", "2026-06-19")),
    *(
        ("CMEGlobex_Oilseeds", day, "08:30-12:05")
        for day in ("2019-11-29", "2024-11-29", "2025-11-28")
    ),
    *(
        ("CMEGlobex_Grains", day, "<19:00-07:45 08:30-12:05")
        for day in ("2019-12-24", "2024-12-24", "2025-12-24")
    ),
    *(
        ("CMEGlobex_Grains", day, "08:30-13:20")
        for day in ("2018-07-05", "2024-12-26", "2026-01-02")
    ),
    ("CMEGlobex_Grains", "2024-06-20", "<19:00-07:45 08:30-13:20"),
    ("CFE", "2014-06-20", "08:30-15:15"),
    *((name, "2024-06-18", "<17:00-16:00") for name in ("CFE", "XCBF", "CBOE_Futures")),
    ("CFE", "2024-11-29", "<17:00-12:15"),
    ("EUREX", "2018-12-07", "08:00-22:00"),
    *((name, "2018-12-10", "01:10-22:00") for name in ("EUREX", "XEUR")),
    ("XHKG", "2023-09-01", "closed"),
    *(("XHKG", day, "13:30-16:00") for day in ("2020-08-19", "2021-06-28")),
    *(
        ("XKRX", day, "10:00-16:30")
        for day in ("2021-11-18", "2022-11-17", "2023-11-16", "2024-11-14", "2025-11-13")
    ),
    ("XKRX", "2024-11-15", "09:00-15:30"),
    *((name, "2023-11-12", "18:15-19:15") for name in ("XBOM", "BSE", "NSE", "XNSE")),
    ("XBOM", "2024-11-01", "18:00-19:00"),
    ("XBOM", "2025-10-21", "13:45-14:45"),
    *(("XBOM", day, "09:15-15:30") for day in ("2020-02-01", "2026-02-01")),
    ("XBOM", "2024-03-02", "09:15-10:00 11:30-12:30"),
    ("XBOM", "2024-05-18", "09:15-10:00 11:45-12:40"),
    *((name, "2013-11-14", "09:15-15:30") for name in ("XBOM", "BSE", "NSE")),
    *((name, "2013-11-15", "closed") for name in ("XBOM", "BSE", "NSE")),
    *((name, "2024-01-20", "09:15-15:30") for name in ("XBOM", "NSE")),
    *((name, "2024-12-24", "<17:00-12:45") for name in ("NYMEX", "COMEX")),
    *((name, "2024-06-18", "<17:00-16:00") for name in ("NYMEX", "COMEX")),
    ("XKLS", "2024-06-18", "09:00-12:30 14:30-17:00"),
    ("XBKK", "2024-03-22", "10:00-12:30 14:30-16:30"),
    ("XBKK", "2024-06-18", "10:00-12:30 14:00-16:30"),
    ("XPHS", "2024-06-19", "09:30-12:00 13:00-15:30"),
    ("XIDX", "2024-06-20", "09:00-12:00 13:30-15:50"),
    ("XIDX", "2024-06-21", "09:00-11:30 14:00-15:50"),
    ("XSES", "2015-06-18", "09:00-17:00"),
    ("XSES", "2024-06-18", "09:00-12:00 13:00-17:00"),
    ("XTKS", "2011-11-18", "09:00-11:00 12:30-15:00"),
    ("XTKS", "2011-11-21", "09:00-11:30 12:30-15:00"),
    ("XTAI", "2024-10-31", "closed"),
    ("XTAI", "2024-10-30", "09:00-13:30"),
]


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


def hours_of(calendar: str, text: str) -> str:
    """The stretches of one session on its exchange's clock; `<` marks the evening before."""
    loaded, session = load_calendar(calendar), date.fromisoformat(text)
    spans = loaded.spans(Window.of_days(session - timedelta(days=2), session + timedelta(days=2)))

    def wall_of(instant: datetime) -> str:
        local = instant.replace(tzinfo=UTC).astimezone(loaded.zone)
        return ("<" if local.date() < session else "") + f"{local:%H:%M}"

    own = [
        f"{wall_of(opens)}-{wall_of(closes)}"
        for day, opens, closes in spans.iter_rows()
        if day == session
    ]
    return " ".join(own) or "closed"


@pytest.mark.parametrize(("calendar", "day", "hours"), TABLE)
def test_a_day_that_the_libraries_have_wrong_is_right(calendar: str, day: str, hours: str):
    assert hours_of(calendar, day) == hours


@pytest.mark.parametrize(
    "text",
    ["2020-03-09 09:34:13", "2020-03-12 09:35:44", "2020-03-16 09:30:01", "2020-03-18 12:56:17"],
)
def test_a_market_wide_halt_stops_index_futures_too(text: str):
    start = datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).astimezone(UTC)
    around = Window(start - timedelta(minutes=5), start + timedelta(minutes=30))
    halted = load_calendar("CME Globex Equity").bars(Timeframe.M1, around).filter("halted")
    assert halted.height == 14
    assert halted["opens_at"][0].replace(tzinfo=UTC) >= start
    assert not load_calendar("CMEGlobex_FX").bars(Timeframe.M1, around)["halted"].any()


def test_every_correction_has_a_reason_and_reaches_a_calendar():
    names = {"BSE": "XBOM", "CFE": "CBOE_Futures", "CME_Agriculture": "CBOT_Agriculture"}
    names |= {"CMEGlobex_GrainsAndOilseeds": "CMEGlobex_Grains"}
    for name, corrections in CORRECTIONS.items():
        assert all(change.reason for change in corrections)
        calendar = load_calendar(names.get(name, name))
        assert calendar.spans(calendar.known).height


def test_a_corrected_day_says_why():
    assert load_calendar("XBOM").reasons_for(date(2024, 11, 1)) == [
        "Muhurat: the session of Diwali"
    ]
    assert load_calendar("XTAI").reasons_for(date(2024, 10, 31)) == [
        "typhoon Kong-rey: the exchange stays closed"
    ]
    assert load_calendar("XTAI").reasons_for(date(2024, 10, 30)) == []

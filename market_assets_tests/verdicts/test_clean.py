"""What a source gave is either a candle that may be stored, or a row with the reason why not.

Nothing is lost in between.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from math import inf, isfinite, nan

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from market_assets.config.kinds import Kind, PriceRules
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.sources.contract import CANDLE_SCHEMA, Unread, epoch_to_us
from market_assets.verdicts.clean import (
    CANDLE,
    FAULTS,
    REJECT_SCHEMA,
    Cleaned,
    Question,
    Reason,
    RowRules,
    clean,
)

at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone

DAY = Window.of_days(date(2025, 3, 3), date(2025, 3, 4))
START = at("2025-03-03")
GOOD = (1.5, 2.0, 1.0, 1.25, 10.0)


def rows(*given_rows: tuple[object, ...]) -> pl.DataFrame:
    """Rows as a source gives them.

    A row is a time (text, datetime or None), then the numbers of a good candle with some of them
    changed.
    """
    table = [
        (at(ts) if isinstance(ts, str) else ts, *(numbers or GOOD)) for ts, *numbers in given_rows
    ]
    return pl.DataFrame(table, schema=CANDLE_SCHEMA, orient="row")


def candle(ts: object, **changed: float | None) -> tuple[object, ...]:
    return (ts, *(dict(zip(CANDLE[1:], GOOD, strict=True)) | changed).values())


def cleaned(
    answer: pl.DataFrame,
    *,
    timeframe: Timeframe = Timeframe.M1,
    window: Window = DAY,
    calendar: str = "24/7",
    until: datetime = datetime(2026, 1, 1, tzinfo=UTC),
    rules: PriceRules | None = None,
    **traits: bool,
) -> Cleaned:
    grid = load_calendar(calendar).bars(timeframe, window)
    closed = pl.col("closes_at") <= pl.lit(until.replace(tzinfo=None)).cast(TS)
    bars, unfinished = grid.filter(closed).select("ts"), grid.filter(~closed)["ts"]
    question = Question("BTCUSDT", "tBTCUSD", timeframe, window, bars, unfinished)
    return clean(answer, question, RowRules(rules or PriceRules(), 0.1, **traits))


def reasons(result: Cleaned) -> list[str]:
    return result.rejects["reason"].to_list()


def test_good_candles_are_kept_as_they_are():
    answer = rows(("2025-03-03 00:00",), ("2025-03-03 00:01",), ("2025-03-03 23:59",))
    result = cleaned(answer)
    assert_frame_equal(result.candles, answer)
    assert result.rejects.is_empty()
    assert result.rejects.schema == REJECT_SCHEMA


def test_an_empty_answer_is_no_candle_and_no_reject():
    result = cleaned(rows())
    assert result.candles.schema == CANDLE_SCHEMA
    assert result.candles.is_empty()
    assert result.rejects.is_empty()


def test_an_unsorted_page_is_sorted():
    answer = rows(("2025-03-03 00:02",), ("2025-03-03 00:00",), ("2025-03-03 00:01",))
    result = cleaned(answer)
    assert_frame_equal(result.candles, answer.sort("ts"))
    assert result.rejects.is_empty()


BAD = {
    Reason.NO_TIME: candle(None),
    Reason.OUTSIDE_WINDOW: candle("2025-03-04 00:00"),
    Reason.OFF_GRID: candle("2025-03-03 00:05:30"),
    Reason.NO_NUMBER: candle("2025-03-03 00:05", high=nan),
    Reason.NOT_POSITIVE: candle("2025-03-03 00:05", low=0.0),
    Reason.HIGH_BELOW_LOW: candle("2025-03-03 00:05", high=0.5),
    Reason.OUTSIDE_RANGE: candle("2025-03-03 00:05", open=2.5),
    Reason.BAD_VOLUME: candle("2025-03-03 00:05", volume=-1.0),
    Reason.UNFINISHED: candle("2025-03-03 23:59"),
}


@pytest.mark.parametrize(("reason", "bad"), BAD.items(), ids=[reason.name for reason in BAD])
def test_a_bad_row_is_rejected_with_its_reason_and_stops_no_other(
    reason: Reason, bad: tuple[object, ...]
):
    answer = rows(("2025-03-03 00:00",), bad, ("2025-03-03 00:01",))
    result = cleaned(answer, until=datetime(2025, 3, 3, 23, 59, 30, tzinfo=UTC))
    assert result.candles["ts"].to_list() == [at("2025-03-03 00:00"), at("2025-03-03 00:01")]
    assert reasons(result) == [reason]
    assert result.rejects.schema == REJECT_SCHEMA
    assert result.rejects.select("symbol", "ts").row(0) == ("BTCUSDT", answer["ts"][1])


@pytest.mark.parametrize("reason", [*Unread, Reason.NO_TIME])
def test_a_row_that_its_source_could_not_read_is_rejected_as_the_source_says(reason: str):
    good = rows(("2025-03-03 00:00",), ("2025-03-03 00:01",))
    said = "A.csv line 3: nonsense"
    bad = pl.DataFrame({"ts": [at("2025-03-03 00:00")], "refused": [str(reason)], "said": [said]})
    result = cleaned(pl.concat([good, bad.cast({"ts": TS})], how="diagonal"))
    assert_frame_equal(result.candles, good)
    assert result.rejects.select("ts", "reason", "values").row(0) == (
        at("2025-03-03 00:00"),
        reason,
        said,
    )
    assert reason in FAULTS


def test_every_reason_but_the_closed_market_is_the_sources_fault_or_a_matter_of_time():
    elsewhere = {Reason.OTHER_SYMBOL, Reason.CLOSED_MARKET, Reason.DUPLICATE, Reason.CONFLICT}
    assert set(BAD) | elsewhere == set(Reason), "a reason without a test"
    assert set(Reason) - FAULTS == {Reason.CLOSED_MARKET, Reason.UNFINISHED}


def test_a_reject_shows_its_numbers():
    result = cleaned(rows(candle("2025-03-03 00:05", close=None, volume=nan, high=1e9)))
    assert result.rejects["values"].to_list() == ["o=1.5 h=1000000000.0 l=1.0 c=null v=NaN"]


# Case 15


def test_the_bar_that_is_still_open_is_never_stored():
    answer = rows(*((f"2025-03-03 00:0{minute}",) for minute in range(5)))
    for until, kept in (("00:03:00", 3), ("00:02:59.999999", 2), ("00:00:30", 0)):
        result = cleaned(answer, until=datetime.fromisoformat(f"2025-03-03 {until}+00:00"))
        assert result.candles.height == kept
        assert reasons(result) == [Reason.UNFINISHED] * (5 - kept)


def test_the_days_bar_is_open_until_the_session_ends():
    months = Window.of_days(date(2025, 3, 1), date(2025, 4, 1))
    answer = rows(("2025-03-03",), ("2025-03-04",))
    during, after = datetime(2025, 3, 4, 20, 59, tzinfo=UTC), datetime(2025, 3, 4, 21, tzinfo=UTC)
    options = {"timeframe": Timeframe.D1, "window": months, "calendar": "XNYS"}
    assert reasons(cleaned(answer, until=during, **options)) == [Reason.UNFINISHED]
    assert reasons(cleaned(answer, until=after, **options)) == []


# Case 16


def test_a_time_is_moved_onto_the_grid_within_a_tenth_of_the_timeframe():
    answer = rows(
        ("2025-03-03 00:01:06",),  # 10 % late
        ("2025-03-03 00:02:54",),  # 10 % early, means 00:03
        ("2025-03-03 00:05:06.000001",),
        ("2025-03-03 00:06:53.999999",),
        ("2025-03-02 23:59:54",),  # before the window, but it means its first bar
    )
    result = cleaned(answer)
    assert result.candles["ts"].to_list() == [
        at("2025-03-03 00:00"),
        at("2025-03-03 00:01"),
        at("2025-03-03 00:03"),
    ]
    assert reasons(result) == [Reason.OFF_GRID] * 2
    assert result.rejects["ts"].to_list() == [
        at("2025-03-03 00:05:06.000001"),
        at("2025-03-03 00:06:53.999999"),
    ]


@pytest.mark.parametrize(
    ("timeframe", "slot"),
    [
        (Timeframe.M1, None),  # 25 % of a minute after 09:28
        (Timeframe.M5, None),
        (Timeframe.M15, None),  # 12 % of 15 minutes before 09:30
        (Timeframe.M30, "2018-02-09 09:30"),  # 6 % of half an hour
        (Timeframe.H1, None),
    ],
)
def test_the_time_that_binance_gave_after_its_outage(timeframe: Timeframe, slot: str | None):
    stamp = pl.select(epoch_to_us(pl.lit(1518168494789))).item()
    assert stamp == at("2018-02-09 09:28:14.789")
    window = Window.of_days(date(2018, 2, 9), date(2018, 2, 10))
    result = cleaned(rows((stamp,)), timeframe=timeframe, window=window)
    assert result.candles["ts"].to_list() == ([at(slot)] if slot else [])
    assert reasons(result) == ([] if slot else [Reason.OFF_GRID])


def test_two_rows_that_land_on_one_bar_are_never_merged_in_silence():
    answer = rows(candle("2025-03-03 00:01:03"), candle("2025-03-03 00:00:58", close=1.75))
    result = cleaned(answer)
    assert result.candles.is_empty()
    assert reasons(result) == [Reason.CONFLICT] * 2


def test_of_two_different_rows_the_one_at_the_bars_exact_time_is_kept():
    answer = rows(
        candle("2025-03-03 00:01:03", close=1.75),
        candle("2025-03-03 00:01"),
        candle("2025-03-03 00:00:57"),
    )
    result = cleaned(answer)
    assert_frame_equal(result.candles, answer[1])
    assert reasons(result) == [Reason.DUPLICATE] * 2


def test_of_two_rows_alike_one_is_kept():
    answer = rows(
        candle("2025-03-03 00:01"),
        candle("2025-03-03 00:02"),
        candle("2025-03-03 00:01"),
        candle("2025-03-03 00:02:03"),
    )
    result = cleaned(answer)
    assert_frame_equal(result.candles, answer[:2])
    assert reasons(result) == [Reason.DUPLICATE] * 2


def test_two_different_rows_at_the_same_exact_time_are_both_rejected():
    result = cleaned(rows(candle("2025-03-03 00:01"), candle("2025-03-03 00:01", volume=11.0)))
    assert result.candles.is_empty()
    assert reasons(result) == [Reason.CONFLICT] * 2


def test_a_bad_row_is_no_rival_of_a_good_one_for_the_same_bar():
    answer = rows(candle("2025-03-03 00:01", close=nan), candle("2025-03-03 00:01"))
    result = cleaned(answer)
    assert_frame_equal(result.candles, answer[1])
    assert reasons(result) == [Reason.NO_NUMBER]


def test_null_volumes_are_alike():
    answer = rows(candle("2025-03-03 00:01", volume=None), candle("2025-03-03 00:01", volume=None))
    assert cleaned(answer, rules=Kind.FOREX.prices).candles.height == 1


# Case 17


def test_microseconds_follow_milliseconds_without_a_hole():
    stamps = pl.DataFrame({"ts": [1735689540000, 1735689600000000]}).select(
        epoch_to_us(pl.col("ts"))
    )["ts"]
    window = Window.of_days(date(2024, 12, 31), date(2025, 1, 2))
    result = cleaned(rows((stamps[0],), (stamps[1],)), window=window)
    assert result.candles["ts"].to_list() == [at("2024-12-31 23:59"), at("2025-01-01 00:00")]


# Case 18


@pytest.mark.parametrize("name", CANDLE[1:5])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (nan, Reason.NO_NUMBER),
        (None, Reason.NO_NUMBER),
        (inf, Reason.NO_NUMBER),
        (-inf, Reason.NO_NUMBER),
        (0.0, Reason.NOT_POSITIVE),
        (-1.0, Reason.NOT_POSITIVE),
    ],
)
def test_no_price_of_a_candle_is_no_price(name: str, value: float | None, reason: Reason):
    result = cleaned(rows(candle("2025-03-03 00:01", **{name: value})))
    assert result.candles.is_empty()
    assert reasons(result) == [reason]


def test_crude_oil_below_zero_is_a_price_where_the_profile_allows_it():
    # The May 2020 contract of WTI settled at -37.63 on 2020-04-20.
    answer = rows(("2020-04-20", 17.73, 17.85, -40.32, -37.63, 247_947.0))
    options = {
        "timeframe": Timeframe.D1,
        "window": Window.of_days(date(2020, 4, 1), date(2020, 5, 1)),
        "calendar": "CMEGlobex_CL",
    }
    assert reasons(cleaned(answer, rules=Kind.EQUITY.prices, **options)) == [Reason.NOT_POSITIVE]
    assert_frame_equal(cleaned(answer, rules=Kind.FUTURES.prices, **options).candles, answer)
    flat = rows(("2020-04-20", 0.0, 0.0, 0.0, 0.0, 0.0))
    assert cleaned(flat, rules=Kind.FUTURES.prices, **options).candles.height == 1
    upside_down = rows(("2020-04-20", -2.0, -3.0, -1.0, -2.0, 0.0))
    assert reasons(cleaned(upside_down, rules=Kind.FUTURES.prices, **options)) == [
        Reason.HIGH_BELOW_LOW
    ]


@pytest.mark.parametrize("volume", [nan, inf, -1.0, None])
def test_a_volume_that_is_none(volume: float | None):
    answer = rows(candle("2025-03-03 00:01", volume=volume))
    assert reasons(cleaned(answer)) == [Reason.BAD_VOLUME]
    optional = cleaned(answer, rules=PriceRules(volume_optional=True))
    assert reasons(optional) == ([] if volume is None else [Reason.BAD_VOLUME])


def test_a_volume_of_zero_is_a_volume():
    assert cleaned(rows(candle("2025-03-03 00:01", volume=0.0))).candles.height == 1


@pytest.mark.parametrize(
    ("name", "value"), [("open", 0.5), ("open", 2.5), ("close", 0.5), ("close", 2.5)]
)
def test_open_and_close_lie_within_high_and_low(name: str, value: float):
    answer = rows(candle("2025-03-03 00:01", **{name: value}))
    assert reasons(cleaned(answer)) == [Reason.OUTSIDE_RANGE]
    bitmex = cleaned(answer, open_outside_range=True)
    assert reasons(bitmex) == ([] if name == "open" else [Reason.OUTSIDE_RANGE])


def test_a_year_of_bitmex_whose_open_is_the_previous_close(shared):
    answer = pl.read_parquet(shared / "data/crypto/bitmex__XBTUSD__1m.parquet").drop("symbol")
    year = Window.of_days(date(2017, 7, 1), date(2018, 7, 1))
    kept = cleaned(answer, window=year, open_outside_range=True)
    assert_frame_equal(kept.candles, answer)
    assert Counter(reasons(cleaned(answer, window=year))) == {Reason.OUTSIDE_RANGE: 60_801}


def test_a_bar_of_another_symbol_is_rejected():
    answer = rows(*((f"2025-03-03 00:0{minute}",) for minute in range(4)))
    answer = answer.with_columns(symbol=pl.Series(["tBTCUSD", "tETHUSD", None, "BTCUSDT"]))
    result = cleaned(answer)
    assert_frame_equal(result.candles, answer.select(CANDLE)[:1])
    assert reasons(result) == [Reason.OTHER_SYMBOL] * 3
    assert set(result.rejects["symbol"]) == {"BTCUSDT"}, (
        "rejects are listed under the symbol that was asked for"
    )


def test_a_bar_outside_the_window_is_rejected_though_the_calendar_has_it():
    hour = Window(datetime(2025, 3, 3, 1, tzinfo=UTC), datetime(2025, 3, 3, 2, tzinfo=UTC))
    answer = rows(
        ("2025-03-03 00:59",), ("2025-03-03 01:00",), ("2025-03-03 01:59",), ("2025-03-03 02:00",)
    )
    for sent in (answer, answer[:2], answer[2:]):
        grid = load_calendar("24/7").bars(Timeframe.M1, DAY)
        # The bars of a longer window than was asked for.
        bars, unfinished = grid.select("ts"), grid["ts"].clear()
        question = Question("BTCUSDT", "tBTCUSD", Timeframe.M1, hour, bars, unfinished)
        result = clean(sent, question, RowRules(PriceRules(), 0.1))
        assert_frame_equal(result.candles, sent.filter(hour.holds()))
        assert set(reasons(result)) == {Reason.OUTSIDE_WINDOW}


def test_bars_outside_the_session_are_left_out_without_blame():
    answer = rows(
        ("2025-03-03 14:29",),
        ("2025-03-03 14:30",),
        ("2025-03-03 20:59",),
        ("2025-03-03 21:00",),
        ("2025-03-03 22:00:30",),
    )
    result = cleaned(answer, calendar="XNYS")
    assert result.candles["ts"].to_list() == [at("2025-03-03 14:30"), at("2025-03-03 20:59")]
    assert reasons(result) == [Reason.CLOSED_MARKET, Reason.CLOSED_MARKET, Reason.OFF_GRID]


def test_on_a_day_without_a_session_every_bar_is_outside_it():
    sunday = Window.of_days(date(2025, 3, 2), date(2025, 3, 3))
    result = cleaned(rows(("2025-03-02 15:00",)), calendar="XNYS", window=sunday)
    assert reasons(result) == [Reason.CLOSED_MARKET]


def test_the_hours_of_a_session_are_its_own_grid():
    answer = rows(
        ("2025-03-03 14:30",), ("2025-03-03 15:00",), ("2025-03-03 15:30",), ("2025-03-03 20:30",)
    )
    result = cleaned(answer, timeframe=Timeframe.H1, calendar="XNYS")
    assert result.candles["ts"].to_list() == [
        at("2025-03-03 14:30"),
        at("2025-03-03 15:30"),
        at("2025-03-03 20:30"),
    ]
    assert reasons(result) == [Reason.OFF_GRID]


# Whatever comes


prices = st.sampled_from([1.0, 1.0, 1.0, 1.5, 2.0, 0.0, -1.0, nan, inf, None])
volumes = st.sampled_from([0.0, 1.0, 2.0, -1.0, nan, None])
seconds = st.one_of(
    st.integers(-3, 12).map(lambda minute: 60 * minute),
    st.integers(-200, 800),
    st.just(None),
)
answers = st.lists(
    st.tuples(
        seconds,
        prices,
        prices,
        prices,
        prices,
        volumes,
        st.sampled_from(["tBTCUSD", "tBTCUSD", "tETHUSD", None]),
    ),
    max_size=12,
)
rule_sets = st.builds(PriceRules, positive=st.booleans(), volume_optional=st.booleans())
TEN_MINUTES = Window(datetime(2025, 3, 3, tzinfo=UTC), datetime(2025, 3, 3, 0, 10, tzinfo=UTC))
NOW = datetime(2025, 3, 3, 0, 8, 30, tzinfo=UTC)


def framed(given_rows: list[tuple], *, named: bool) -> pl.DataFrame:
    table = [
        (None if second is None else START + timedelta(seconds=second), *numbers)
        for second, *numbers in given_rows
    ]
    frame = pl.DataFrame(table, schema={**CANDLE_SCHEMA, "symbol": pl.String}, orient="row")
    return frame if named else frame.drop("symbol")


def possible(row: dict, rules: PriceRules, *, open_outside_range: bool) -> bool:
    """Whether a row's numbers may be a candle's: the rules once more, in plain Python."""
    values = [row[name] for name in ("open", "high", "low", "close")]
    if any(value is None or not isfinite(value) for value in values) or (
        rules.positive and min(values) <= 0
    ):
        return False
    volume = row["volume"]
    if not (rules.volume_optional if volume is None else isfinite(volume) and volume >= 0):
        return False
    inside = row["low"] <= row["close"] <= row["high"]
    return inside and (open_outside_range or row["low"] <= row["open"] <= row["high"])


@settings(max_examples=150)
@given(given_rows=answers, rules=rule_sets, named=st.booleans(), open_outside_range=st.booleans())
@example(
    given_rows=[(0, 1.0, 1.0, 1.0, 1.0, 1.0, "tBTCUSD"), (None,) * 7],
    rules=PriceRules(),
    named=False,
    open_outside_range=False,
)
def test_no_row_is_lost_and_what_is_kept_may_be_stored(
    given_rows, rules, named, open_outside_range
):
    answer = framed(given_rows, named=named)
    result = cleaned(
        answer, window=TEN_MINUTES, until=NOW, rules=rules, open_outside_range=open_outside_range
    )
    kept = result.candles
    assert kept.height + result.rejects.height == answer.height
    assert kept.schema == CANDLE_SCHEMA
    assert result.rejects.null_count().row(0)[2:] == (0, 0)
    assert set(reasons(result)) <= set(Reason)

    closed_bars = [START + timedelta(minutes=minute) for minute in range(8)]
    opens = kept["ts"].to_list()
    assert opens == sorted(set(opens))
    assert set(opens) <= set(closed_bars)
    assert all(
        possible(row, rules, open_outside_range=open_outside_range)
        for row in kept.iter_rows(named=True)
    )

    # Each kept candle is one of the rows, moved by at most a tenth; each bar with one good row and
    # no rival is kept.
    near = timedelta(seconds=6)
    own = answer.filter(pl.col("symbol") == "tBTCUSD") if named else answer
    good = [
        row
        for row in own.iter_rows(named=True)
        if row["ts"] and possible(row, rules, open_outside_range=open_outside_range)
    ]
    for bar in closed_bars:
        candidates = [row for row in good if abs(row["ts"] - bar) <= near]
        stored = kept.filter(pl.col("ts") == bar).rows()
        values = [tuple(row[name] for name in CANDLE[1:]) for row in candidates]
        assert not stored or stored[0][1:] in values
        if len(set(values)) == 1:
            assert len(stored) == 1


@st.composite
def flawless(draw):
    """Some of the bars of a window, in order, each a possible candle."""
    minutes = sorted(draw(st.sets(st.integers(0, 9), min_size=1)))
    table = []
    for minute in minutes:
        low, open_, close, high = sorted(draw(st.lists(st.floats(0.5, 5), min_size=4, max_size=4)))
        table.append(
            (START + timedelta(minutes=minute), open_, high, low, close, draw(st.floats(0, 100)))
        )
    return pl.DataFrame(table, schema=CANDLE_SCHEMA, orient="row")


@given(flawless(), st.integers(0, 10), st.sampled_from(sorted(BAD, key=str)))
def test_a_flawless_page_is_kept_alike_whether_a_bad_row_comes_with_it_or_not(page, place, reason):
    assert_frame_equal(cleaned(page, window=TEN_MINUTES).candles, page)
    named = page.with_columns(symbol=pl.lit("tBTCUSD"))
    assert_frame_equal(cleaned(named, window=TEN_MINUTES).candles, page)
    spoiled = pl.concat([page[:place], rows(BAD[reason]), page[place:]])
    result = cleaned(spoiled, window=TEN_MINUTES)
    assert_frame_equal(result.candles, page)
    assert result.rejects.height == 1


@given(flawless(), st.randoms())
def test_the_order_of_rows_does_not_matter(page, random):
    places = list(range(page.height))
    random.shuffle(places)
    assert_frame_equal(cleaned(page[places], window=TEN_MINUTES).candles, page)

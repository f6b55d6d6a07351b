"""The story of one bar, told out of a real store after real fills."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from market_assets.errors import CalendarError, UniverseError
from market_assets.expected.series import prepare
from market_assets.market.timeframes import Timeframe, Window
from market_assets.work.run import Run
from market_assets_tests.support.fill_ground import Ground, at, candles, every
from market_assets_tests.support.stories import said, told

HOUR = timedelta(hours=1)
HOLE = at("2025-02-27T10:00")


@pytest.fixture
def holed(empty_ground: Ground) -> Ground:
    """A profile of hours; its only source lacks one."""
    ground = empty_ground
    opens = [ts for ts in every(HOUR, at("2025-02-26"), at("2025-03-01")) if ts != HOLE]
    ground.add_archive("files", {"BTC": candles(opens)})
    ground.keep("symbols: {BTC: {}}\nend: null")
    return ground


def test_a_stored_bar_is_told_with_its_values_and_who_answered(ground: Ground) -> None:
    ground.keep("symbols: {BTC: {}}")
    ground.fill(run=Run("run-1"))
    story = told(ground, "BTC", "2025-02-26T10:59:59")
    assert (story.state, story.missing) == ("stored", False)
    assert story.bar is not None
    assert (story.bar.ts, story.bar.closes_at) == (at("2025-02-26T10:00"), at("2025-02-26T11:00"))
    row = ground.rows("BTC").row(10, named=True)
    assert story.values == {
        name: row[name] for name in ("open", "high", "low", "close", "volume", "source")
    }
    assert story.verdict.startswith(f"Stored, from vendor: open {row['open']:.12g} ")
    assert "vendor answered for 2025-02-26 00:00..2025-03-01 00:00 UTC with 72 bars" in said(story)
    assert "a fill of 2025-02-26..2025-03-01 began: SUCCEEDED, run run-1" in said(story)
    assert {event.at for event in story.events} == {ground.clock()}
    assert "--refetch" in story.coming


def test_an_open_bar_says_who_was_asked_and_when_it_is_due_again(holed: Ground) -> None:
    holed.fill()
    story = told(holed, "BTC", HOLE)
    assert (story.state, story.missing) == ("open", True)
    assert story.verdict == "Missing, asked for once: files answered without it."
    assert story.gap is not None
    assert (story.gap["attempts"], story.gap["first_ts"], story.gap["asked_at"]) == (
        1,
        HOLE,
        holed.clock(),
    )
    # The answer counts towards a confirmation:
    # it is no use to ask before the second would count.
    assert "No repair asks for it before 2025-03-01 13:00Z" in story.coming
    assert "2 answers that there is no such bar explain it (1 so far)" in story.coming
    assert (
        "seen to be absent, now one of 1 bars from 2025-02-27 10:00Z to 2025-02-27 10:00Z"
        in said(story)
    )
    holed.wait(hours=1)
    assert "It is due" in told(holed, "BTC", HOLE).coming


def test_a_bar_that_two_answers_lack_is_explained_and_one_that_comes_then_is_a_repaired_one(
    holed: Ground,
) -> None:
    holed.fill()
    holed.wait(hours=2)
    # A file that has not changed is the same witness.
    opens = [ts for ts in every(HOUR, at("2025-02-26"), at("2025-03-01")) if ts != HOLE]
    holed.add_archive("files", {"BTC": candles(opens).with_columns(pl.col("volume") + 1)})
    holed.fill()
    story = told(holed, "BTC", HOLE)
    assert (story.state, story.missing) == ("outage", False)
    assert story.verdict == (
        "Explained as outage, the market was open, but no source has this bar: "
        "files answered without it."
    )
    assert "not asked for any more" in story.coming
    assert "answer 2 of 2 that there is no such bar" in said(story)

    holed.add_archive("files", {"BTC": candles(every(HOUR, at("2025-02-26"), at("2025-03-01")))})
    holed.wait(hours=2)
    holed.fill(refetch=True)
    story = told(holed, "BTC", HOLE)
    assert story.state == "stored"
    assert (
        "repaired: it had been outage since 2025-03-01 12:00Z, one of 1 bars, "
        "and had been asked for 2 times" in said(story)
    )


def test_an_abandoned_bar_says_why_and_that_it_is_not_asked_for_any_more(holed: Ground) -> None:
    holed.keep("symbols: {BTC: {}}\nrepair: {legacy_cutoff: 2025-02-28}")
    holed.fill()
    story = told(holed, "BTC", HOLE)
    assert (story.state, story.missing) == ("abandoned", True)
    assert story.verdict == (
        "Missing, and abandoned: legacy cutoff: before 2025-02-28, and asked for once; "
        "files answered without it."
    )
    assert "repair --abandoned" in story.coming


def test_a_bar_that_nobody_asked_for_says_who_will(ground: Ground) -> None:
    ground.keep("start: 2023-01-01\nsymbols: {BTC: {}}\nend: null")
    for prepared in (False, True):
        story = told(ground, "BTC", "2025-02-26T10:00")
        assert (story.state, story.missing, story.events) == ("open", True, ())
        assert story.verdict == "Missing: nobody has asked a source for it yet."
        assert story.coming == "The next repair or backfill of partition 2025-02-26 asks for it."
        old = told(ground, "BTC", "2023-02-26T10:00")
        assert old.coming.startswith(
            "Nothing happens by itself, because partition 2023-02-26 is older"
        )
        assert "(365d)" in old.coming
        if not prepared:
            ground.fill(window=Window(at("2025-02-01"), at("2025-02-02")))
            # A source has named the first bar meanwhile; the day itself is as it was.
            with ground.store.writing("testing") as transaction:
                transaction.connection.execute("DELETE FROM ops.genesis")


def test_a_bar_that_somebody_deleted_is_told_as_gone(ground: Ground) -> None:
    ground.keep("symbols: {BTC: {}}")
    ground.fill()
    ground.lose("ts = '2025-02-26 10:00'")
    story = told(ground, "BTC", "2025-02-26T10:00")
    assert story.missing
    assert (
        story.verdict == "Missing: "
        "it has gone from the store since the partition was judged at 2025-03-01 12:00Z."
    )


def test_a_quiet_bar_is_explained_by_a_source_that_leaves_such_bars_out(
    empty_ground: Ground,
) -> None:
    ground = empty_ground
    opens = [ts for ts in every(HOUR, at("2025-02-26"), at("2025-03-01")) if ts != HOLE]
    ground.add_archive("files", {"BTC": candles(opens)}, quiet_minutes="omitted")
    ground.keep("symbols: {BTC: {}}")
    ground.fill()
    story = told(ground, "BTC", HOLE)
    assert (story.state, story.missing) == ("no_trade", False)
    assert "the silence is not longer than 1h" in story.verdict
    assert "it leaves bars without a trade out" in said(story)


def test_before_the_genesis_it_says_who_named_it_and_when(ground: Ground) -> None:
    ground.keep("symbols: {LATE: {}}")
    ground.fill()
    story = told(ground, "LATE", "2025-02-26T10:00")
    assert (story.state, story.missing) == ("before genesis", False)
    # Its first trade was at half past eight.
    assert story.verdict == "LATE has its first bar at 2025-02-27 09:00Z, as a source has named it."
    (naming,) = [event for event in story.events if "named" in event.what]
    assert naming.what.startswith("vendor named 2025-02-27")
    assert naming.at == ground.clock()


def test_before_the_start_after_the_end_and_in_the_future_nothing_is_expected(
    ground: Ground,
) -> None:
    ground.keep("symbols: {BTC: {start: 2025-02-27, end: 2025-02-28}}\nend: null")
    assert (
        told(ground, "BTC", "2025-02-26T10:00").verdict
        == "BTC is kept from 2025-02-27 on: that is its start in the universe."
    )
    assert told(ground, "BTC", "2025-02-28T10:00").state == "after end"
    assert told(ground, "BTC", "1960-02-28T10:00").state == "before start"
    ground.keep("symbols: {BTC: {}}\nend: null")
    story = told(ground, "BTC", "2025-03-01T12:10")
    assert (story.state, story.missing) == ("not closed yet", False)
    assert story.verdict == "This bar closes at 2025-03-01 13:00Z, and it is 2025-03-01 12:00Z now."
    assert story.coming.startswith("The first update from 10s after its close")
    with pytest.raises(CalendarError, match="knows"):
        told(ground, "BTC", "9000-01-01T00:00")


def test_when_the_market_is_closed_the_sessions_around_are_named(ground: Ground) -> None:
    ground.keep("kind: EQUITY\nstart: 2025-02-24\nsymbols: {SPY: {}}\nend: null")
    story = told(ground, "SPY", "2025-03-01T15:00")
    assert (story.state, story.bar, story.missing) == ("market closed", None, False)
    assert story.verdict == (
        "The market is closed then by the calendar XNYS: "
        "trading stopped at 2025-02-28 21:00Z (session 2025-02-28), "
        "and it goes on at 2025-03-03 14:30Z (session 2025-03-03)."
    )


def test_a_halted_bar_may_be_absent(ground: Ground) -> None:
    # All American shares stood still for fifteen minutes from 13:34:13Z of that day on.
    ground.keep(
        "kind: EQUITY\n"
        "start: 2020-03-09\n"
        "end: 2020-03-10\n"
        "timeframes: {fetch: [1m]}\n"
        "symbols: {SPY: {}}"
    )
    for prepared in (False, True):
        story = told(ground, "SPY", "2020-03-09T13:40")
        assert (story.state, story.missing) == ("halted", False)
        assert "the whole market stood still" in story.verdict
        assert told(ground, "SPY", "2020-03-09T13:33").state == "open"
        if not prepared:
            with ground.store.writing("testing") as transaction:
                prepare(transaction, ground.profile)


def test_a_stored_bar_that_is_not_expected_any_more_is_told_as_both(ground: Ground) -> None:
    ground.keep("symbols: {BTC: {}}")
    ground.fill()
    ground.keep("symbols: {BTC: {start: 2025-02-27}}")
    story = told(ground, "BTC", "2025-02-26T10:00")
    assert story.state == "stored"
    assert "Nothing is expected there, though: BTC is kept from 2025-02-27 on" in story.verdict


def test_what_cannot_be_told_is_refused(ground: Ground) -> None:
    ground.keep("symbols: {BTC: {}}\ntimeframes: {fetch: [1h], derive: [4h]}")
    with pytest.raises(UniverseError, match="XRP: no such symbol; it has BTC"):
        told(ground, "XRP", "2025-02-26")
    with pytest.raises(ValueError, match="does not fetch 4h"):
        told(ground, "BTC", "2025-02-26", Timeframe.H4)

"""Sampled partitions are compared with the symbol's other sources.

The result is a verdict, a table and a story.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from market_assets.alerts.facts import store_troubles
from market_assets.alerts.troubles import Level
from market_assets.market.timeframes import Timeframe, Window
from market_assets.practice.faults import Fault
from market_assets.reports.story import story_of
from market_assets_tests.support.fill_ground import asked, at, keys

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
ALL = "agreement: {sample: 1}\n"
BTC = "symbols: {BTC: {}}\n"
TWO_DAYS = "timeframes: {fetch: [1m]}\nend: 2025-02-28\n"


def agreements(outcomes) -> dict[str, object]:
    """The verdict on each partition that has one."""
    return {
        outcome.partition.key: verdict
        for outcome in outcomes
        for verdict in outcome.verdicts
        if verdict.check == "agreement"
    }


def passed(outcomes) -> dict[str, bool]:
    return {key: verdict.passed for key, verdict in agreements(outcomes).items()}


@pytest.fixture
def twins(ground, vendor):
    """A ground with two sources that have the same candles.

    They are a vendor, and a copy of it that is asked second.
    """
    ground.add_vendor("copy", vendor)
    return ground


def copied(ground, **changes: pl.Expr) -> pl.DataFrame:
    """What is stored of BTC, changed, as an archive would hold it."""
    return (
        ground.rows("BTC")
        .select("ts", "open", "high", "low", "close", "volume")
        .with_columns(**changes)
    )


class TestWhatIsCompared:
    def test_nothing_is_asked_compared_or_judged_without_a_sample(self, ground, second_vendor):
        ground.add_vendor("second", second_vendor, venue="there")
        ground.keep(TWO_DAYS + BTC)

        outcomes = ground.fill()

        assert agreements(outcomes) == {}
        assert asked(second_vendor) == []
        assert ground.table("SELECT * FROM ops.agreement").is_empty()

    def test_two_sources_that_have_the_same_agree_in_each_partition(self, twins):
        twins.keep(ALL + TWO_DAYS + BTC)

        outcomes = twins.fill()

        assert passed(outcomes) == {"2025-02-26": True, "2025-02-27": True}
        assert [one.facts["compared"] for one in agreements(outcomes).values()] == [1440, 1440]
        rows = twins.table(
            """
            SELECT partition, source, other, kind, compared, tolerance
            FROM ops.agreement
            ORDER BY ALL
            """
        )
        assert rows.rows() == [
            (day, "vendor", "copy", "agrees", 1440, "close 0.001, volume 0.01")
            for day in ("2025-02-26", "2025-02-27")
        ]
        assert twins.table("SELECT * FROM ops.disagreements").is_empty()

    def test_a_sample_is_the_same_in_every_fill(self, twins):
        twins.keep("agreement: {sample: 40%}\nstart: 2025-02-01\n" + BTC)

        first, again = passed(twins.fill()), passed(twins.fill(refetch=True))

        assert first == again
        assert 3 < len(first) < 20

    def test_what_was_compared_is_judged_again_without_being_asked_for_again(self, twins, vendor):
        twins.keep(ALL + BTC)
        twins.fill()
        vendor.log.clear()

        outcomes = twins.fill()

        assert passed(outcomes) == dict.fromkeys(keys(outcomes), True)
        assert asked(vendor) == []

    def test_rows_that_changed_without_being_compared_are_compared_by_the_next_fill(
        self, ground, vendor
    ):
        """The state after a fill that had no comparison after its commit.

        The fill was killed, or had no time left, between the two.
        """
        ground.keep(BTC)
        ground.fill()
        ground.add_archive("files", {"BTC": copied(ground)})
        ground.keep(ALL + BTC)
        assert set(passed(ground.fill()).values()) == {True}
        revised = Window(at("2025-02-27T10:00"), at("2025-02-27T12:00"))
        vendor.set_faults([Fault(fault="revision", start=revised.start, end=revised.end)])
        ground.keep(BTC)
        ground.wait(minutes=1)
        assert sum(outcome.revised for outcome in ground.fill(refetch=True)) == 2
        ground.keep(ALL + BTC)

        outcomes = ground.fill()

        assert [key for key, is_same in passed(outcomes).items() if not is_same] == ["2025-02-27"]
        ground.fill()
        assert ground.requests() == 0

    def test_what_the_second_gave_for_want_of_the_first_is_compared_with_neither(
        self, twins, vendor, second_vendor
    ):
        vendor.set_faults(
            [Fault(fault="hole", start=at("2025-02-27T10:00"), end=at("2025-02-27T12:00"))]
        )
        del twins.settings["copy"]
        twins.add_vendor("second", second_vendor)
        twins.keep(ALL + BTC)

        assert set(passed(twins.fill()).values()) == {False}  # it has other candles

        found = twins.table(
            "SELECT partition, source, other, compared FROM ops.agreement GROUP BY ALL ORDER BY ALL"
        )
        assert found.rows() == [
            ("2025-02-26", "vendor", "second", 24),
            ("2025-02-27", "vendor", "second", 22),
            ("2025-02-28", "vendor", "second", 24),
        ]

    def test_another_venue_is_compared_though_it_fills_nothing_and_volumes_are_left_out(
        self, ground, vendor
    ):
        ground.settings["vendor"]["venue"] = "here"
        ground.add_vendor("copy", vendor, venue="there")
        ground.keep(ALL + BTC)

        outcomes = ground.fill()

        assert set(passed(outcomes).values()) == {True}
        assert set(ground.rows()["source"]) == {"vendor"}
        assert set(ground.table("SELECT tolerance FROM ops.agreement")["tolerance"]) == {
            "close 0.001"
        }

    def test_a_running_day_is_compared_at_most_once_an_hour_and_once_more_when_it_is_over(
        self, twins, clock
    ):
        clock.now = at("2025-02-28T12:00")
        twins.keep(
            "agreement: {sample: 1}\ntimeframes: {fetch: [1m]}\nstart: 2025-02-28\nend: null\n"
            + BTC
        )
        seen = []
        for minutes in (0, 30, 30, 11 * 60 + 1):
            twins.wait(minutes=minutes)
            twins.fill(window=Window(at("2025-02-28T00:00"), at("2025-03-01T00:00")))
            seen += twins.table("SELECT compared, until_ts FROM ops.agreement").rows()
        assert [compared for compared, _ in seen] == [720, 720, 780, 1440]
        assert seen[-1][1] == at("2025-03-01T00:00").replace(tzinfo=None)

    def test_a_source_that_does_not_reach_a_partition_says_nothing_there(self, ground):
        ground.add_archive("files", {"BTC": copied_hours(ground)})
        ground.keep(ALL + BTC)

        outcomes = ground.fill()

        assert list(agreements(outcomes)) == ["2025-02-27"]
        assert agreements(outcomes)["2025-02-27"].facts["compared"] == 4


def copied_hours(ground) -> pl.DataFrame:
    """What the vendor has of four hours."""
    ground.keep(BTC)
    ground.fill()
    rows = copied(ground).filter(
        pl.col("ts").is_between(
            *(at(f"2025-02-27T{hour}:00").replace(tzinfo=None) for hour in ("08", "11"))
        )
    )
    with ground.store.writing("testing") as transaction:
        transaction.connection.execute("DELETE FROM kept.candles_1h")
        transaction.connection.execute("DELETE FROM ops.coverage")
    return rows


class TestDisagreement:
    @pytest.fixture
    def beside(self, ground):
        """Fill two days of minutes from the vendor, and fill again beside an archive.

        The archive is a changed copy of these days.
        """

        def fill_beside(changed, **sampling: object):
            ground.keep(TWO_DAYS + BTC)
            ground.fill()
            ground.add_archive("files", {"BTC": changed(copied(ground))})
            ground.keep(
                TWO_DAYS + BTC + (f"agreement: {sampling or {'sample': 1}}\n".replace("'", ""))
            )
            return ground.fill()

        return fill_beside

    def test_wrong_closes_and_volumes_are_counted_and_shown_worst_first(self, ground, beside):
        wrong = pl.col("ts") == at("2025-02-27T10:00").replace(tzinfo=None)
        outcomes = beside(
            lambda rows: rows.with_columns(
                close=pl.when(wrong).then(pl.col("close") * 1.01).otherwise("close"),
                high=pl.when(wrong).then(pl.col("high") * 1.02).otherwise("high"),
                volume=pl.when(wrong).then(pl.col("volume") * 2).otherwise("volume"),
            )
        )

        assert passed(outcomes) == {"2025-02-26": True, "2025-02-27": False}
        found = agreements(outcomes)["2025-02-27"]
        assert (
            found.facts["close: bars"],
            found.facts["volume: bars"],
            found.facts["compared"],
        ) == (1, 1, 1440)
        assert found.facts["close: largest difference"] == pytest.approx(0.01)
        assert found.tables["bars"][0]["ts"] == "2025-02-27 10:00Z"
        kinds = ground.table(
            "SELECT partition, kind, bars, first_ts FROM ops.disagreements ORDER BY kind"
        ).rows()
        first = at("2025-02-27T10:00").replace(tzinfo=None)
        assert kinds == [("2025-02-27", "close", 1, first), ("2025-02-27", "volume", 1, first)]
        assert all(outcome.filled and outcome.new == outcome.revised == 0 for outcome in outcomes)

    @pytest.mark.parametrize(
        ("offset", "kind", "seconds"),
        [("1m", "shifted by a bar", 60), ("-1h", "shifted clock", -3600)],
    )
    def test_shifted_times_are_named(self, beside, offset, kind, seconds):
        outcomes = beside(lambda rows: rows.with_columns(pl.col("ts").dt.offset_by(offset)))

        found = agreements(outcomes)["2025-02-27"]
        assert (found.passed, found.facts[f"{kind}: seconds"]) == (False, seconds)

    def test_adjusted_prices_are_named(self, beside):
        prices = pl.col("open", "high", "low", "close")
        outcomes = beside(lambda rows: rows.with_columns(prices / 7))

        assert agreements(outcomes)["2025-02-27"].facts["adjusted: ratio"] == pytest.approx(1 / 7)

    def test_it_is_over_once_both_have_the_same_and_the_partition_is_compared_again(
        self, ground, beside
    ):
        beside(lambda rows: rows.with_columns(pl.col("close") * 1.002, pl.col("high") * 1.002))
        (trouble,) = self.troubles(ground)
        assert (trouble.level, trouble.count, trouble.subject) == (Level.WARNING, 2, "candles_1m")
        assert (
            "2025-02-27, vendor and files: theirs are 1.002 times ours throughout"
            in trouble.details[0]
        )
        assert ground.gaps().is_empty()

        for name in ("files", "more"):
            ground.add_archive(name, {"BTC": copied(ground)})
        ground.keep(TWO_DAYS + BTC + ALL + "sources: [vendor, more]\n")
        assert self.troubles(ground) == []  # the universe does not have that source any more
        ground.keep(TWO_DAYS + BTC + ALL)
        outcomes = ground.fill(refetch=True)

        assert set(passed(outcomes).values()) == {True}
        assert self.troubles(ground) == []

    def test_other_tolerances_are_judged_anew_by_the_next_fill(self, ground, beside):
        assert not any(
            passed(beside(lambda rows: rows.with_columns(pl.col("close", "high") * 1.002))).values()
        )

        ground.keep(TWO_DAYS + BTC + "agreement: {sample: 1, close: 1%}\n")

        assert all(passed(ground.fill()).values())

    def test_the_story_of_a_bar_tells_of_it(self, ground, beside):
        beside(lambda rows: rows.with_columns(pl.col("close", "high") * 1.002))
        with ground.store.reading("testing") as view:
            story = story_of(
                view,
                ground.scope(Timeframe.M1),
                "BTC",
                at("2025-02-27T10:00"),
            )
        (event,) = (event.what for event in story.events if "compared" in event.what)
        assert event.startswith(
            "partition 2025-02-27 was compared with files: theirs are 1.002 times ours"
        )

    @staticmethod
    def troubles(ground):
        with ground.store.reading("testing") as view:
            found = store_troubles(view, ground.universe, ground.clock())
        return [trouble for trouble in found if trouble.kind == "disagreement"]


class TestNoComparison:
    @pytest.fixture
    def down(self, twins, second_vendor):
        """The second source is down."""
        second_vendor.set_faults([Fault(fault="error", status=503)])
        del twins.settings["copy"]
        twins.add_vendor("second", second_vendor)
        twins.keep(ALL + BTC + "end: 2025-02-27\n")
        return twins

    def test_a_source_that_fails_is_no_agreement_and_fails_no_partition(self, down):
        (outcome,) = down.fill()

        (found,) = agreements([outcome]).values()
        assert outcome.filled
        assert (found.passed, found.facts["compared"], found.facts["not_compared"]) == (False, 0, 1)
        assert "503" in found.tables["without_comparison"][0]["why"]
        assert down.table("SELECT * FROM ops.disagreements").is_empty()
        assert TestDisagreement.troubles(down) == []

    def test_it_is_tried_again_after_an_hour(self, down, second_vendor):
        down.fill()
        second_vendor.set_faults([])
        second_vendor.log.clear()
        down.wait(minutes=59)
        (before,) = agreements(down.fill()).values()
        assert (before.facts["not_compared"], len(second_vendor.log)) == (1, 0)

        down.wait(minutes=1)
        (after,) = agreements(down.fill()).values()

        assert (after.facts["not_compared"], after.facts["compared"]) == (0, 24)

    def test_a_source_that_has_nothing_at_that_time_says_so(self, ground, second_vendor):
        second_vendor.set_faults([Fault(fault="hole")])
        ground.add_vendor("second", second_vendor)
        ground.keep(ALL + BTC + "end: 2025-02-27\n")

        (found,) = agreements(ground.fill()).values()

        assert found.tables["without_comparison"][0]["why"] == "second has none of the 24 bars"

    def test_a_fill_whose_time_ends_while_the_other_source_answers_leaves_what_was_known(
        self, twins, slow_vendor
    ):
        twins.keep(ALL + BTC)
        twins.fill()
        slow_vendor.set_faults([Fault(fault="delay", seconds=30)])
        twins.add_vendor("copy", slow_vendor, total_timeout=40, timeout=40, max_elapsed=40)
        twins.keep("agreement: {sample: 1, close: 1%}\n" + BTC)  # so that it is due

        outcomes = twins.fill(max_time=timedelta(seconds=3))

        assert set(passed(outcomes).values()) == {True}
        assert set(twins.table("SELECT kind, tolerance FROM ops.agreement").rows()) == {
            ("agrees", "close 0.001, volume 0.01")
        }

    def test_a_fill_whose_time_is_spent_writes_nothing_down(self, twins):
        twins.keep(BTC)
        twins.fill()
        twins.keep(ALL + BTC)

        outcomes = twins.fill(max_time=timedelta())

        assert agreements(outcomes) == {}
        assert twins.table("SELECT * FROM ops.agreement").is_empty()


def test_real_records_of_two_recorders_agree_and_their_hole_is_only_counted(empty_ground, shared):
    ground = empty_ground
    for name in ("histdata", "mt4-2020"):
        path = str(shared / "data" / "forex" / f"{name}__{{symbol}}__{{timeframe}}.parquet")
        ground.add_source(name, type="archive", path=path, quiet_minutes="omitted")
    ground.keep(
        "kind: FOREX\n"
        "start: 2020-05-18\n"
        "end: 2020-05-27\n"
        "timeframes: {fetch: [1m]}\n"
        "symbols: {EURUSD: {}}\n"
        "agreement: {sample: 1, close: 0.01%}\n"
    )

    outcomes = ground.fill()

    # histdata has nothing from the 23rd to the 31st: there, all rows are of the other one, and
    # nothing can be compared with them.
    found = agreements(outcomes)
    assert [key for key, verdict in found.items() if verdict.passed] == [
        f"2020-05-{day}" for day in (18, 19, 20, 21, 22)
    ]
    assert all(verdict.facts["compared"] > 1000 for verdict in found.values() if verdict.passed)
    assert all(verdict.facts["compared"] == 0 for verdict in found.values() if not verdict.passed)

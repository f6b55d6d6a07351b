"""Corporate actions: which hold, and which hold no more."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from market_assets.enrich.actions.adjust import adjustments, known_by
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets_tests.support.store_rows import actions, days

NEW_YORK = "America/New_York"
KEPT = (Timeframe.M1, Timeframe.D1, Timeframe.W1)


class TestRecord:
    def test_what_is_said_again_keeps_its_date_of_record(self, kept):
        first = kept.tell(actions(("A", "2024-07-02", "1"), ("A", "2024-07-02", 2.0)))
        recorded = kept.clock.now
        kept.clock.now += timedelta(days=1)

        again = kept.tell(actions(("A", "2024-07-02", "1"), ("A", "2024-07-02", 2.0)))

        assert (first.new, again.new, again.changed, again.withdrawn) == (2, 0, 0, 0)
        assert kept.sql("FROM us.corporate_actions")["recorded_at"].unique().to_list() == [
            recorded.replace(tzinfo=None)
        ]
        assert kept.sql("FROM ops.action_revisions").is_empty()
        assert kept.sql("FROM ops.action_answers")["answered_at"][0] == kept.clock.now.replace(
            tzinfo=None
        )

    def test_a_corrected_amount_takes_the_place_of_the_old_one_which_stays_known_by_then(
        self, kept
    ):
        kept.candles(Timeframe.D1, days("A", ("2024-07-01", 100.0), ("2024-07-02", 100.0)))
        kept.tell(actions(("A", "2024-07-02", "1"), ("A", "2024-07-03", "1")))
        kept.clock.now += timedelta(days=2)

        corrected = kept.tell(actions(("A", "2024-07-02", "2")))

        assert (corrected.new, corrected.changed, corrected.withdrawn) == (0, 1, 1)
        first, second = (kept.clock.now - timedelta(days=back) for back in (2, 0))
        for known, close in (
            (first - timedelta(1), 100.0),
            (first, 99.0 * 0.99),
            (second - timedelta(1), 99.0 * 0.99),
            (second, 98.0),
            (None, 98.0),
        ):
            by = "" if known is None else f", known_by := TIMESTAMP '{known.replace(tzinfo=None)}'"
            found = kept.sql(f"FROM us.adjusted_1d(DATE '2024-07-05'{by}) ORDER BY ts")["close"][0]
            assert found == pytest.approx(close)
            with kept.store.reading("all of it") as view:
                every = view.actions.of("us")
            closes = pl.DataFrame(
                {"symbol": "A", "session": [date(2024, 7, 1), date(2024, 7, 2)], "close": 100.0}
            )
            factors = adjustments(
                known_by(every, known or kept.clock.now), closes, as_of=date(2024, 7, 5)
            )
            assert 100.0 * (factors["price_factor"][0] if factors.height else 1.0) == pytest.approx(
                close
            )

    def test_other_symbols_and_other_profiles_are_left_alone(self, kept):
        kept.tell(actions(("A", "2024-07-02", "1"), ("B", "2024-07-02", "1")))
        with kept.store.writing("another") as transaction:
            for timeframe in KEPT:
                transaction.candles.create(Dataset.candles("other", timeframe), derived=False)
            transaction.actions.create("other", KEPT, NEW_YORK)
            transaction.actions.put("other", {"A": "told"}, actions(("A", "2024-07-02", "3")))

        kept.tell(actions(), "A")

        assert kept.sql("FROM us.corporate_actions")["symbol"].to_list() == ["B"]
        assert kept.sql("FROM other.corporate_actions")["amount"].to_list() == [3.0]
        assert kept.sql("SELECT profile, symbol FROM ops.action_revisions").rows() == [("us", "A")]

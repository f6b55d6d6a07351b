"""A question is checked against the universe before the store is opened, and names its fault."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime

import pytest

from market_assets.config.load import load_universe
from market_assets.errors import ReadError
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Window
from market_assets.reports.question import Question, dataset_named
from market_assets_tests.support.store_rows import at, flat

KEYS = """
sources: {practice: {}}
profiles:
  kept:
    kind: CRYPTO
    start: 2025-02-03
    timeframes: {fetch: [1h], features: [1h]}
    sources: [practice]
    symbols: {BTC: {}, ETH: {}}
"""
DAY = Window(datetime(2025, 2, 3, tzinfo=UTC), datetime(2025, 2, 4, tzinfo=UTC))


@pytest.fixture
def universe(tmp_path):
    path = tmp_path / "universe.yaml"
    path.write_text(textwrap.dedent(KEYS))
    return load_universe(path, environ={})


@pytest.mark.parametrize(
    ("table", "owner", "wishes", "fault"),
    [
        ("candles_1h", "kpt", {}, ("profile", True)),
        ("candles_4h", "kept", {}, ("timeframe", True)),
        ("candles_1h", "kept", {"symbols": ["BTX"]}, ("symbols", True)),
        ("features_1h", "kept", {"adjusted": True}, ("adjusted", False)),
        ("features_1h", "kept", {"quality": True}, ("quality", False)),
    ],
)
def test_a_fault_is_told_with_its_parameter(universe, table, owner, wishes, fault):
    with pytest.raises(ReadError) as refused:
        Question.about(universe, dataset_named(owner, table), **wishes)
    assert (refused.value.key, refused.value.absent) == fault


def test_a_name_that_is_no_table_is_the_fault_of_the_question():
    with pytest.raises(ReadError, match="candles_2h") as refused:
        dataset_named("kept", "candles_2h")
    assert (refused.value.key, refused.value.absent) == ("table", False)


def test_the_same_question_is_asked_of_one_window_after_another(universe, store, tmp_path):
    dataset = Dataset.named("kept", "candles_1h")
    rows = flat("BTC", *((at(f"2025-02-03T{hour:02}:00"), float(hour)) for hour in range(6)))
    with store.writing("candles") as transaction:
        transaction.candles.create(dataset, derived=False)
        transaction.candles.merge(dataset, ["BTC"], DAY, rows)
    question = Question.about(universe, dataset, until=datetime(2025, 2, 3, 5, 30, tzinfo=UTC))

    with store.reading("asking") as view:
        question.check_stored(view, store.path)
        halves = [
            question.rows(view, Window(DAY.start.replace(hour=first), end), tmp_path)
            for first, end in ((0, DAY.start.replace(hour=3)), (3, DAY.end))
        ]
    # The bar of 05:00 had not closed at half past.
    assert [half["close"].to_list() for half in halves] == [[0.0, 1.0, 2.0], [3.0, 4.0]]


def test_what_was_never_stored_is_absent(universe, store):
    question = Question.about(universe, Dataset.named("kept", "candles_1h"))
    with (
        store.reading("asking") as view,
        pytest.raises(ReadError, match="holds nothing yet") as refused,
    ):
        question.check_stored(view, store.path)
    assert refused.value.absent

"""The bars of two sources side by side."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl

from market_assets.market.timeframes import TS, Timeframe
from market_assets.verdicts.pair import SHOWN, Kind, Pair

MINUTE = Timeframe.M1.micros


def candles(*rows: tuple[int, float, float | None]) -> pl.DataFrame:
    """Rows of a minute since 1970, a close and a volume."""
    schema = {"ts": pl.Int64, "close": pl.Float64, "volume": pl.Float64}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.with_columns((pl.col("ts") * MINUTE).cast(TS))


OURS = candles((1, 10.0, 1.0), (2, 11.0, None), (4, 12.0, 3.0))
THEIRS = candles((2, 11.5, 2.0), (3, 11.0, 2.0), (4, 12.0, None), (5, 13.0, 1.0))


def test_bars_of_the_same_time_lie_side_by_side():
    pair = Pair(OURS, THEIRS, Timeframe.M1)
    assert pair.both.tolist() == [1, 2]
    assert pair.there.tolist() == [0, 2]


def test_a_shift_is_how_much_later_their_times_are():
    pair = Pair(OURS, THEIRS, Timeframe.M1)
    assert pair.matched(MINUTE).tolist() == [0, 1, 3]
    assert pair.matched(9 * MINUTE).tolist() == [-1, -1, -1]


def test_without_bars_of_theirs_nothing_lies_beside_ours():
    pair = Pair(OURS, THEIRS.clear(), Timeframe.M1)
    assert pair.matched(0).tolist() == [-1, -1, -1]


def test_a_disagreement_shows_both_sides_of_its_bars():
    pair = Pair(OURS, THEIRS, Timeframe.M1)
    bars = np.array([2, 0])
    found = pair.disagreement(Kind.CLOSE, bars, 0.5, "closes differ", bars)
    assert (found.bars, found.worst, found.words) == (2, 0.5, "closes differ")
    assert found.first == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    assert found.at is not None
    assert found.at.to_physical().to_list() == [4 * MINUTE, MINUTE]
    both, alone = found.sample
    assert (both["close"], both["their_close"]) == (12.0, 12.0)
    assert (both["volume"], both["their_volume"]) == (3.0, None)
    assert (alone["close"], alone["their_close"], alone["their_volume"]) == (10.0, None, None)


def test_shifted_bars_have_no_places_and_a_sample_is_short():
    many = candles(*((minute, 1.0, 1.0) for minute in range(20)))
    pair = Pair(many, many, Timeframe.M1)
    bars = np.arange(20)
    found = pair.disagreement(Kind.SHIFTED, bars, 60.0, "later", bars)
    assert found.at is None
    assert len(found.sample) == SHOWN

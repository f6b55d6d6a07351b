"""The picture of features, read back from its pixels."""

from __future__ import annotations

from itertools import groupby

import polars as pl

from market_assets.pictures.features import feature_picture
from market_assets.verdicts.evidence import State
from market_assets_tests.support.pictures import LINE, bars, pixels


def test_a_feature_s_line_has_a_hole_where_it_has_no_value() -> None:
    frame = bars(*[State.STORED] * 30).with_columns(
        x=pl.when(pl.int_range(pl.len()).is_between(10, 19))
        .then(None)
        .otherwise(pl.int_range(pl.len()).cast(pl.Float64))
    )
    rows = pixels(feature_picture(frame, "x", title="kept BTC 1m"))
    columns = [any(row[x] == LINE for row in rows) for x in range(len(rows[0]))]
    runs = [(drawn, len(list(run))) for drawn, run in groupby(columns)]
    assert [drawn for drawn, _ in runs] == [False, True, False, True, False]
    assert runs[2][1] > runs[1][1]


def test_a_feature_without_any_value_is_an_empty_panel() -> None:
    frame = bars(State.STORED, State.STORED).with_columns(x=pl.lit(None, pl.Float64), y=pl.lit(1.0))
    empty, full = (pixels(feature_picture(frame, name, title="kept")) for name in ("x", "y"))
    assert not any(LINE in row for row in empty)
    assert any(LINE in row for row in full)
    assert len(pixels(feature_picture(frame, "x", "y", title="kept"))) > len(full)

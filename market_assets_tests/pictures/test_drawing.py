"""What all pictures share: letters, and few bytes."""

from __future__ import annotations

from itertools import pairwise

import polars as pl

from market_assets.pictures.heatmap import Bucket, heat_map
from market_assets_tests.support.pictures import cells, day


def test_title_caption_dates_and_names_are_written() -> None:
    frame = cells(("BTC", day(0), 1.0))
    plain = heat_map(frame, ["BTC"], Bucket.DAY, title="kept 1m")
    others = [
        heat_map(frame, ["BTC"], Bucket.DAY, title="other 1m"),
        heat_map(frame, ["BTC"], Bucket.DAY, title="kept 1m", caption="As of today."),
        heat_map(frame.with_columns(symbol=pl.lit("ETH")), ["ETH"], Bucket.DAY, title="kept 1m"),
        heat_map(frame.with_columns(bucket=pl.lit(day(1))), ["BTC"], Bucket.DAY, title="kept 1m"),
        heat_map(frame, ["BTC"], Bucket.WEEK, title="kept 1m"),
    ]
    assert all(one != other for one, other in pairwise([plain, *others]))

"""The ledger of absences."""

from __future__ import annotations

import polars as pl
from polars.testing import assert_frame_equal

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets.verdicts.ledger import LEDGER_SCHEMA
from market_assets_tests.support.store_rows import answers

M1, H1 = Timeframe.M1, Timeframe.H1

# Gaps


def gap(
    minutes, symbol: str, first: int, last: int, status: str = "open", **story: object
) -> dict[str, object]:
    told = {
        "attempts": 1,
        "confirmations": 1,
        "confirmed_at": None,
        "asked_at": None,
        "reason": "binance answered without it",
    }
    return {
        "symbol": symbol,
        "first_ts": minutes.naive(first),
        "last_ts": minutes.naive(last),
        "bars": last - first + 1,
        "status": status,
        "first_seen": minutes.naive(0),
        **(told | story),
    }


def gaps(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=LEDGER_SCHEMA)


def test_a_gap_is_read_as_it_was_written(write, read, minutes):
    full = gap(
        minutes, "BTC", 3, 5, "outage", confirmed_at=minutes.naive(60), asked_at=minutes.naive(61)
    )
    bare = gap(minutes, "ETH", 3, 3)
    write(
        "gaps.put",
        Dataset.candles("crypto", M1),
        ["BTC", "ETH"],
        minutes.window(0, 10),
        gaps(full, bare),
    )
    found = read("gaps.of", Dataset.candles("crypto", M1))
    assert_frame_equal(
        found.drop("profile", "timeframe"), gaps(full, bare), check_column_order=False
    )
    assert found.select("profile", "timeframe").unique().rows() == [("crypto", "1m")]


def test_only_the_gaps_of_the_symbols_and_the_window_are_replaced(write, read, minutes):
    before = gaps(
        *(gap(minutes, symbol, first, first) for symbol in ("BTC", "ETH") for first in (2, 12))
    )
    write("gaps.put", Dataset.candles("crypto", M1), ["BTC", "ETH"], minutes.window(0, 20), before)
    write("gaps.put", Dataset.candles("equity", M1), ["BTC"], minutes.window(0, 20), before.head(1))
    write("gaps.put", Dataset.candles("crypto", H1), ["BTC"], minutes.window(0, 20), before.head(1))
    write(
        "gaps.put",
        Dataset.candles("crypto", M1),
        ["BTC"],
        minutes.window(0, 10),
        gaps(gap(minutes, "BTC", 4, 6)),
    )
    found = read("gaps.of").select(
        "profile", "timeframe", "symbol", (pl.col("first_ts") - minutes.naive(0)).dt.total_minutes()
    )
    assert found.rows() == [
        ("crypto", "1h", "BTC", 2),
        ("crypto", "1m", "BTC", 4),
        ("crypto", "1m", "BTC", 12),
        ("crypto", "1m", "ETH", 2),
        ("crypto", "1m", "ETH", 12),
        ("equity", "1m", "BTC", 2),
    ]
    write("gaps.put", Dataset.candles("crypto", M1), ["BTC", "ETH"], minutes.window(0, 20), gaps())
    assert read("gaps.of", Dataset.candles("crypto", M1)).is_empty()


def test_gaps_are_found_by_profile_timeframe_symbol_and_window(write, read, minutes):
    rows = gaps(
        *(gap(minutes, symbol, first, first) for symbol in ("BTC", "ETH") for first in (2, 12))
    )
    write("gaps.put", Dataset.candles("crypto", M1), ["BTC", "ETH"], minutes.window(0, 20), rows)
    assert read("gaps.of").height == 4
    assert read("gaps.of", Dataset.candles("crypto", M1)).height == 4
    assert read("gaps.of", Dataset.candles("equity", M1)).is_empty()
    assert read("gaps.of", Dataset.candles("crypto", H1)).is_empty()
    assert read("gaps.of", symbols=["ETH"])["symbol"].unique().to_list() == ["ETH"]
    assert read("gaps.of", symbols=[]).is_empty()
    assert read(
        "gaps.of", Dataset.candles("crypto", M1), symbols=["BTC"], window=minutes.window(2, 12)
    )["first_ts"].to_list() == [minutes.naive(2)]


# Genesis


def test_a_symbol_is_dead_when_nobody_has_ever_had_a_bar_of_it_and_a_gap_of_it_is_settled(
    write, read, minutes
):
    write(
        "coverage.put",
        Dataset.candles("crypto", M1),
        answers(minutes, ("BTC", "kraken", 0, 10, 5), ("NONE", "kraken", 0, 10, 0)),
    )
    assert read("coverage.symbols", Dataset.candles("crypto", M1)) == {"BTC"}
    assert read("gaps.dead_symbols", Dataset.candles("crypto", M1)) == set()
    rows = gaps(*(gap(minutes, symbol, 0, 9) for symbol in ("BTC", "NONE", "NEW")))
    settled = pl.when(pl.col("symbol") == "NEW").then(pl.lit("open")).otherwise(pl.lit("abandoned"))
    write(
        "gaps.put",
        Dataset.candles("crypto", M1),
        ["BTC", "NONE", "NEW"],
        minutes.window(0, 10),
        rows.with_columns(status=settled),
    )
    assert read("gaps.dead_symbols", Dataset.candles("crypto", M1)) == {"NONE"}
    assert read("gaps.unexplained", Dataset.candles("crypto", M1), ["NEW", "NONE"]).sort("symbol")[
        "status"
    ].to_list() == [
        "open",
        "abandoned",
    ]
    assert read("gaps.unexplained", Dataset.candles("equity", M1), ["NEW"]).is_empty()

"""The hole that Binance left on 2023-03-24, and the quiet minutes of an illiquid pair.

Both are tested with and without a second source.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.market.timeframes import Window
from market_assets_tests.support.fill_ground import Ground, at

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets.store import Store
    from market_assets_tests.conftest import Clock

DAY = Window(at("2023-03-24T00:00"), at("2023-03-25T00:00"))
HOLE = Window(at("2023-03-24T12:40"), at("2023-03-24T14:00"))
MINUTES = "{kind: CRYPTO, start: 2023-03-24, end: 2023-03-25, timeframes: {fetch: [1m]}, "


@pytest.fixture
def ground(tmp_path: Path, store: Store, clock: Clock, shared: Path) -> Ground:
    ground = Ground(tmp_path, store, clock)
    files = {"path": str(shared / "data" / "crypto" / "{symbol}__1m.parquet"), "type": "archive"}
    ground.add_source("binance", **files)
    ground.add_source("other", **files)
    ground.add_source("kraken", quiet_minutes="omitted", **files)
    return ground


def states(ground: Ground) -> dict[str, int]:
    """The bars of the day that are not stored, by what is said of them."""
    ((own,),) = [outcome.counts for outcome in ground.fill()]
    found = {"open": own.missing - own.abandoned, "no_trade": own.no_trade, "outage": own.outage}
    return {state: bars for state, bars in found.items() if bars}


def test_the_outage_is_open_while_its_only_source_is_a_file_unless_one_word_is_enough(
    ground: Ground,
) -> None:
    kept = MINUTES + "symbols: {BTC: {sources: [{binance: binance-spot-2023outage__BTCUSDT}]}}"
    ground.keep(kept + "}")
    assert states(ground) == {"open": 80}
    ground.wait(hours=1)
    assert states(ground) == {"open": 80}
    ground.keep(kept + ", evidence: {confirmations: 1}}")
    assert states(ground) == {"outage": 80}
    (gap,) = ground.gaps().rows(named=True)
    bounds = [edge.replace(tzinfo=None) for edge in (HOLE.start, HOLE.end - timedelta(minutes=1))]
    assert [gap["first_ts"], gap["last_ts"]] == bounds


def test_a_second_source_that_lacks_the_minutes_too_confirms_the_outage_with_its_name(
    ground: Ground,
) -> None:
    both = (
        "[{binance: binance-spot-2023outage__BTCUSDT}, {other: binance-spot-2023outage__ETHUSDT}]"
    )
    ground.keep(MINUTES + f"symbols: {{BTC: {{sources: {both}}}}}}}")
    assert states(ground) == {"open": 80}
    ground.wait(hours=1)
    assert states(ground) == {"outage": 80}
    assert ground.gaps()["reason"].to_list() == ["binance and other answered without it"]


def test_a_second_source_that_traded_fills_its_minutes_and_explains_its_quiet_ones(
    ground: Ground, shared: Path
) -> None:
    both = "[{binance: binance-spot-2023outage__BTCUSDT}, {kraken: kraken__BTCUSDC}]"
    ground.keep(MINUTES + f"symbols: {{BTC: {{sources: {both}}}}}}}")
    theirs = pl.read_parquet(shared / "data" / "crypto" / "kraken__BTCUSDC__1m.parquet").filter(
        HOLE.holds()
    )
    assert len(theirs) == 56
    assert states(ground) == {"no_trade": 24}
    rows = ground.rows().filter(pl.col("source") == "kraken")
    assert rows.sort("ts")["ts"].equals(theirs.sort("ts")["ts"])
    assert rows.sort("ts")["close"].equals(theirs.sort("ts")["close"])


def test_what_the_second_source_got_later_turns_an_outage_into_a_repair(
    ground: Ground, shared: Path
) -> None:
    path = ground.folder / "late.parquet"
    whole = pl.read_parquet(shared / "data" / "crypto" / "kraken__BTCUSDC__1m.parquet")
    whole.filter(~HOLE.holds()).write_parquet(path)
    ground.add_source("late", type="archive", path=str(ground.folder / "{symbol}.parquet"))
    both = "[{binance: binance-spot-2023outage__BTCUSDT}, {late: late}]"
    ground.keep(MINUTES + f"symbols: {{BTC: {{sources: {both}}}}}}}")
    ground.fill()
    ground.wait(hours=1)
    assert states(ground) == {"outage": 80}
    whole.write_parquet(path)
    assert states(ground) == {"outage": 80}  # it is explained, and not asked for again
    list(ground.begin(refetch=True))
    assert states(ground) == {"outage": 24}
    repairs = ground.table("SELECT sum(bars)::INT, any_value(was) FROM ops.repairs")
    assert repairs.row(0) == (56, "outage")


def test_flat_minutes_of_an_illiquid_pair_are_candles_and_absent_ones_no_gaps_where_omitted(
    ground: Ground,
) -> None:
    day = MINUTES.replace("2023-03-24", "2023-04-05").replace("2023-03-25", "2023-04-06")
    ground.keep(day + "symbols: {IOTA: {sources: [{binance: binance-spot-illiquid__IOTABTC}]}}}")
    assert states(ground) == {}
    assert len(ground.rows()) == 1440
    assert ground.rows().filter(pl.col("volume") == 0).height > 400


def test_a_source_that_leaves_quiet_minutes_out_has_no_gap_in_a_day_of_which_half_is_absent(
    ground: Ground,
) -> None:
    ground.keep(MINUTES + "symbols: {BTC: {sources: [{kraken: kraken__BTCUSDC}]}}}")
    found = states(ground)
    assert found.keys() == {"no_trade"}
    assert found["no_trade"] + len(ground.rows()) == 1440

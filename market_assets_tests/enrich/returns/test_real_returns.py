"""Real markets of October 2013 in one matrix: every neutral value is counted and explained."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.config.load import load_universe
from market_assets.config.sources import sources_of
from market_assets.enrich.derive import Derive
from market_assets.enrich.returns.align import neutral_shares, wide
from market_assets.enrich.returns.returns import Alignment, Returns
from market_assets.expected.scope import scope_of
from market_assets.fill.fill import Fill
from market_assets.market.datasets import Dataset
from market_assets.store import Store
from market_assets_tests.conftest import Clock
from market_assets_tests.support.enrich_ground import D1, at, days

if TYPE_CHECKING:
    from pathlib import Path

WEEKS = days("2013-10-07", "2013-10-26")

UNIVERSE = """
sources:
  archive: {{path: "{data}/{{profile}}/{{symbol}}__{{timeframe}}.parquet"}}
  sparse: {{type: archive, path: "{data}/{{profile}}/{{symbol}}__{{timeframe}}.parquet",
           quiet_minutes: omitted}}
markets: {{timeframes: [1d], calendar: {calendar}}}
profiles:
  crypto:
    {{kind: CRYPTO, start: 2013-10-07, end: 2013-10-26, timeframes: {{fetch: [1h], derive: [1d]}},
     symbols: {{BTCUSD: {{sources: [archive: lean-bitfinex__BTCUSD]}}}}}}
  equity:
    {{kind: EQUITY, start: 2013-10-07, end: 2013-10-26, timeframes: {{fetch: [1d]}},
     symbols: {{SPY: {{sources: [archive: lean__SPY]}}, AAPL: {{sources: [archive: lean__AAPL]}}}}}}
  futures:
    {{kind: FUTURES, start: 2013-10-06, end: 2013-10-26, timeframes: {{fetch: [1m], derive: [1d]}},
     symbols: {{ESZ3: {{sources: [sparse: lean__ESZ3]}}}}}}
  forex:
    {{kind: FOREX, start: 2013-10-06, end: 2013-10-26, timeframes: {{fetch: [1h], derive: [1d]}},
     symbols: {{EURUSD: {{sources: [sparse: lean-oanda-bid__EURUSD]}}}}}}
"""


@pytest.fixture(scope="module")
def matrix(shared: Path, tmp_path_factory: pytest.TempPathFactory):
    """The returns across four markets, union or intersection, of candles that were filled once."""
    folder, clock = tmp_path_factory.mktemp("markets"), Clock()
    store = Store(folder / "home", clock=clock)
    path = folder / "universe.yaml"
    path.write_text(UNIVERSE.format(data=shared / "data", calendar="union"))
    universe = load_universe(path, environ={})
    for profile in universe.profiles.values():
        window = profile.window(clock())
        for timeframe in profile.timeframes.fetch:
            list(
                Fill(
                    store,
                    sources_of(universe, profile),
                    scope_of(profile, timeframe, clock()),
                    window,
                )
            )
        for timeframe in profile.timeframes.derive:
            list(Derive(store, scope_of(profile, timeframe, clock()), window))

    def made(calendar: str) -> pl.DataFrame:
        path.write_text(UNIVERSE.format(data=shared / "data", calendar=calendar))
        wanted = load_universe(path, environ={})
        list(
            Returns(
                store, Alignment.of_markets(wanted, D1, clock()), days("2000-01-01", "2030-01-01")
            )
        )
        with store.reading("looking") as view:
            return view.returns.of(Dataset.returns("markets", D1), WEEKS)

    return made


def closes(shared: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(shared / "data" / name).select("ts", "close").sort("ts")


def changes(daily: pl.DataFrame) -> list[float]:
    """Returns of daily closes over the weeks, without the first."""
    inside = daily.filter(pl.col("day").is_between(date(2013, 10, 7), date(2013, 10, 25))).sort(
        "day"
    )
    return inside["close"].pct_change().drop_nulls().to_list()


def measured(found: pl.DataFrame, symbol: str) -> list[float]:
    return (
        found.filter(pl.col("symbol") == symbol, pl.col("neutral").is_null())
        .sort("ts")["simple_return"]
        .to_list()
    )


def test_the_union_of_four_markets_explains_each_of_its_zeros(matrix, shared: Path) -> None:
    found = matrix("union")
    reasons = ("closed_market", "open_gap", "no_previous")
    counted = neutral_shares(found).select("symbol", "bars", "neutral", *reasons).rows()
    # ESZ3's minutes stop in the second week and come back in December. A session opens at 22:00 UTC
    # on the evening before.
    minutes = closes(shared, "futures/lean__ESZ3__1m.parquet").filter(WEEKS.holds())
    recorded = (minutes["ts"] + timedelta(hours=2)).dt.date().unique()
    unrecorded = [
        day for day in range(14, 26) if day not in {19, 20} and date(2013, 10, day) not in recorded
    ]
    assert counted == [
        ("crypto.BTCUSD", 18, 0, 0, 0, 1),
        # Two weekends.
        ("equity.AAPL", 14, 0, 4, 0, 1),
        ("equity.SPY", 14, 0, 4, 0, 1),
        ("forex.EURUSD", 14, 0, 4, 0, 1),
        ("futures.ESZ3", 14, len(unrecorded), 4, len(unrecorded), 1),
    ]
    assert len(unrecorded) >= 8
    mask = wide(found, "neutral")
    assert mask.shape == wide(found).shape == (19, 6)
    assert mask.filter(pl.col("ts") == at("2013-10-12")).drop("ts").row(0) == (
        None,
        *4 * ["closed_market"],
    )
    assert found.filter(pl.col("neutral").is_not_null())["simple_return"].abs().sum() == 0


def test_what_is_measured_is_what_the_closes_say(matrix, shared: Path) -> None:
    found = matrix("union")
    for symbol in ("SPY", "AAPL"):
        daily = closes(shared, f"equity/lean__{symbol}__1d.parquet").with_columns(
            day=pl.col("ts").dt.date()
        )
        assert measured(found, f"equity.{symbol}") == pytest.approx(changes(daily), abs=1e-15)
    coin = closes(shared, "crypto/lean-bitfinex__BTCUSD__1h.parquet")
    daily = coin.group_by(pl.col("ts").dt.date().alias("day"), maintain_order=True).agg(
        pl.last("close")
    )
    assert measured(found, "crypto.BTCUSD") == pytest.approx(changes(daily), abs=1e-15)
    # A forex day ends at 17:00 in New York, 21:00 UTC in October.
    euro = closes(shared, "forex/lean-oanda-bid__EURUSD__1h.parquet").filter(
        pl.col("ts").dt.weekday() != 7
    )
    ends = euro.filter(pl.col("ts").dt.hour() < 21)
    daily = ends.group_by(pl.col("ts").dt.date().alias("day"), maintain_order=True).agg(
        pl.last("close")
    )
    assert measured(found, "forex.EURUSD") == pytest.approx(changes(daily), abs=1e-15)


def test_the_intersection_has_the_days_of_all_and_measures_over_the_weekends(matrix) -> None:
    found = matrix("intersection")
    assert found["ts"].unique().dt.weekday().max() == 5
    assert found["ts"].n_unique() == 15
    mondays = found.filter(pl.col("symbol") == "crypto.BTCUSD", pl.col("ts").dt.weekday() == 1)
    assert mondays["bars"].to_list() == [0, 3, 3]
    assert "closed_market" not in found["neutral"]

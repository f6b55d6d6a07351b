"""Stored returns are what the stored candles make, whatever was made before.

Each zero says why it is one.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from market_assets.config.load import load_universe
from market_assets.config.sources import sources_of
from market_assets.enrich.derive import Derive
from market_assets.enrich.returns.align import neutral_shares, wide
from market_assets.enrich.returns.returns import Alignment, Returns
from market_assets.expected.scope import scope_of
from market_assets.expected.series import calendar_of
from market_assets.fill.fill import Fill
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe, Window
from market_assets.store import Store
from market_assets.verdicts.verdicts import SymbolCounts
from market_assets_tests.conftest import Clock
from market_assets_tests.support.enrich_ground import D1, EQUITY, H1, M1, W1, Market, at, days

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets.work.outcome import PartitionOutcome


ALL = days("2000-01-01", "2030-01-01")
WEEK = days("2025-03-03", "2025-03-10")

WEEKS = days("2013-10-07", "2013-10-26")

FOUR_MARKETS = """
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


@pytest.fixture(autouse=True)
def _spring(clock):
    clock.now = datetime(2025, 3, 12, tzinfo=UTC)


def make(made: Market, timeframe: Timeframe = H1, window: Window = ALL) -> list[PartitionOutcome]:
    return list(
        Returns(
            made.store,
            Alignment.of_profile(made.scope(timeframe)),
            window,
        )
    )


def stored(store: Store, name: str = "kept", timeframe: Timeframe = H1) -> pl.DataFrame:
    with store.reading("looking") as view:
        return view.returns.of(Dataset.returns(name, timeframe), ALL)


def why(frame: pl.DataFrame) -> dict[str | None, int]:
    return dict(frame.group_by("neutral").agg(pl.len()).rows())


def test_returns_are_made_of_the_closes_and_a_hole_is_zero_with_its_reason(market):
    crypto = market(symbols="BTC: {}, ETHER: {}")
    crypto.fill(WEEK, without=("2025-03-04 10:00..12:00",), outages=("2025-03-05 11:00..13:00",))
    crypto.derive(H1)
    outcomes = make(crypto, window=WEEK)
    found = stored(crypto.store).filter(pl.col("symbol") == "BTC")
    assert why(found) == {None: 7 * 24 - 5, "open_gap": 2, "outage": 2, "no_previous": 1}
    closes = (
        crypto.candles(H1)
        .filter(pl.col("symbol") == "BTC")
        .select("ts", change=pl.col("close").pct_change())
    )
    both = found.join(closes, on="ts").drop_nulls("change")
    assert_frame_equal(both.select(change="simple_return"), both.select("change"), abs_tol=1e-15)
    over = found.filter(pl.col("bars") > 1).select("ts", "bars").rows()
    assert over == [(at("2025-03-04 12:00"), 3), (at("2025-03-05 13:00"), 3)]
    assert [one.partition.key for one in outcomes] == [f"2025-03-0{day}" for day in range(3, 10)]
    assert outcomes[1].counts[0] == SymbolCounts(
        "BTC", expected=24, stored=22, explained=0, missing=2
    )
    assert all(one.filled for one in outcomes)


def test_how_the_history_is_cut_into_runs_changes_no_return(market):
    crypto = market(symbols="BTC: {}, ETHER: {}")
    crypto.fill(WEEK, without=("2025-03-04 22:00..23:59", "2025-03-06 00:00..02:00"))
    crypto.derive(H1)
    make(crypto, window=WEEK)
    whole = stored(crypto.store)
    for first in range(9, 2, -1):
        make(crypto, window=days(f"2025-03-{first:02}", f"2025-03-{first + 1:02}"))
    assert_frame_equal(stored(crypto.store), whole, check_exact=True)


def test_a_symbol_that_was_silent_for_longer_than_the_partition_before_begins_anew(market):
    crypto = market()
    crypto.fill(WEEK, without=("2025-03-04 00:00..2025-03-06 06:00",))
    crypto.derive(H1)
    make(crypto)
    found = stored(crypto.store).filter(pl.col("ts").dt.date() == date(2025, 3, 6))
    assert found["neutral"].to_list()[5:8] == ["open_gap", "no_previous", None]


def test_a_second_run_changes_nothing_and_a_healed_hole_changes_what_hangs_on_it(market):
    crypto = market()
    crypto.fill(WEEK, without=("2025-03-04 23:00..2025-03-05 00:00",))
    crypto.derive(H1)
    first = {one.partition.key: one.version for one in make(crypto)}
    again = make(crypto)
    assert [one.new for one in again] == [0] * len(again)
    assert {one.partition.key: one.version for one in again} == first
    crypto.fill(days("2025-03-04", "2025-03-05"))
    crypto.derive(H1)
    healed = make(crypto)
    changed = {one.partition.key for one in healed if one.version != first[one.partition.key]}
    assert changed == {"2025-03-04", "2025-03-05"}
    assert {one.partition.key: one.new for one in healed if one.new} == {
        "2025-03-04": 1,
        "2025-03-05": 1,
    }


def test_the_week_that_began_before_the_first_day_is_what_the_second_is_measured_from(market):
    crypto = market("kind: CRYPTO\nstart: 2025-01-01", derive="[1d, 1w]")
    crypto.fill(days("2025-01-01", "2025-02-01"))
    crypto.derive(D1)
    crypto.derive(W1)
    january = make(crypto, W1, days("2025-01-01", "2025-02-01"))
    found = stored(crypto.store, timeframe=W1)
    assert found["ts"].to_list()[:2] == [at("2024-12-30"), at("2025-01-06")]
    assert found["neutral"].to_list() == ["no_previous", None, None, None, None]
    # That a first week has no week before it is nobody's fault.
    assert january[0].verdicts[0].passed


def test_a_profile_that_nobody_has_filled_yet_is_an_open_gap_and_no_closed_market(market):
    crypto = market(symbols="BTC: {}, LATER: {start: 2025-03-05}")
    outcomes = make(crypto, window=WEEK)
    found = stored(crypto.store)
    assert why(found) == {"open_gap": 7 * 24 + 5 * 24, "before_genesis": 2 * 24}
    assert not any(one.verdicts[0].passed for one in outcomes)


def test_a_profile_that_starts_in_the_future_has_no_returns_yet(market):
    assert make(market("kind: CRYPTO\nstart: 2026-01-01")) == []


def test_what_is_known_of_an_absent_minute_changes_its_hour_s_version_and_completes_its_features(
    market,
):
    crypto = market()
    crypto.fill(WEEK, without=("2025-03-04 10:00..10:05",), outages=("2025-03-06 10:00..12:00",))
    first = {one.partition.key: one.version for one in crypto.derive(H1, WEEK)}
    assert {one.partition.key: one.version for one in crypto.derive(H1, WEEK)} == first
    with crypto.store.writing("learning that nothing was traded") as transaction:
        transaction.connection.execute("UPDATE ops.gaps SET status = 'no_trade'")
    second = {one.partition.key: one.version for one in crypto.derive(H1, WEEK)}
    assert {key for key in first if first[key] != second[key]} == {"2025-03-04", "2025-03-06"}


def test_a_symbol_above_the_limit_is_named_degraded(market):
    crypto = market(
        "kind: CRYPTO\nstart: 2025-03-03\nreturns: {neutral_limit: 10%}",
        symbols="BTC: {}, ETHER: {}",
    )
    crypto.fill(WEEK, without=("2025-03-04 10:00..13:00",))
    crypto.derive(H1)
    with crypto.store.writing("losing three hours of one symbol's candles") as transaction:
        transaction.connection.execute(
            "DELETE FROM kept.candles_1h WHERE symbol = 'ETHER' AND ts::DATE = '2025-03-06'"
        )
    verdicts = {one.partition.key: one.verdicts[0] for one in make(crypto, window=WEEK)}
    assert [key for key, verdict in verdicts.items() if not verdict.passed] == [
        "2025-03-04",
        "2025-03-06",
    ]
    failed = verdicts["2025-03-06"]
    assert failed.check == "alignment"
    assert failed.tables["degraded_symbols"][0]["symbol"] == "ETHER"
    assert "DEGRADED (ETHER)" in failed.summary
    assert verdicts["2025-03-04"].facts["neutral_open_gap"] == 6
    assert verdicts["2025-03-05"].passed


def test_a_session_s_first_return_is_measured_from_the_session_before(market):
    equity = market(EQUITY)
    equity.fill(WEEK)
    equity.derive(H1)
    make(equity)
    monday = stored(equity.store).filter(pl.col("ts").dt.date() == date(2025, 3, 10))
    equity.fill(days("2025-03-10", "2025-03-11"))
    equity.derive(H1)
    make(equity)
    monday = stored(equity.store).filter(pl.col("ts").dt.date() == date(2025, 3, 10))
    assert monday["neutral"].to_list() == [None] * 7
    closes = equity.candles(H1).sort("ts")["close"].pct_change().to_list()
    assert monday["simple_return"].to_list() == pytest.approx(closes[-7:], abs=1e-15)


UNIVERSE = """
sources: {practice: {}}
markets: {timeframes: [1d, 1h], calendar: %s}
profiles:
  crypto: {kind: CRYPTO, start: 2025-02-20, sources: [practice],
           timeframes: {fetch: [1h], derive: [1d]}, symbols: {BTC: {}}}
  equity: {kind: EQUITY, start: 2025-03-03, end: %s, sources: [practice],
           timeframes: {fetch: [1h], derive: [1d]}, symbols: {SPY: {}}}
"""


@pytest.fixture
def markets(store: Store, clock, tmp_path: Path):
    """Two profiles, filled by hand, and the matrix over both: union or intersection."""

    def made(calendar: str, timeframe: Timeframe, end: str = "2025-03-08") -> pl.DataFrame:
        path = tmp_path / "universe.yaml"
        path.write_text(UNIVERSE % (calendar, end))
        universe = load_universe(path, environ={})
        for profile in universe.profiles.values():
            own = Market(store, profile, clock)
            own.fill(days("2025-02-20", "2025-03-12"), timeframe=H1)
            own.derive(D1)
        list(Returns(store, Alignment.of_markets(universe, timeframe, clock()), ALL))
        return stored(store, "markets", timeframe)

    return made


def test_the_union_across_profiles_has_every_time_and_says_which_market_was_closed(markets):
    found = markets("union", D1)
    assert found["symbol"].unique().sort().to_list() == ["crypto.BTC", "equity.SPY"]
    assert found.group_by("symbol").len()["len"].to_list() == [20, 20]
    spy = found.filter(pl.col("symbol") == "equity.SPY").sort("ts")
    march = spy.filter(pl.col("ts") >= at("2025-03-03"))["neutral"].to_list()
    assert march == ["no_previous", None, None, None, None, *4 * ["after_end"]]
    assert set(spy.filter(pl.col("ts") < at("2025-03-03"))["neutral"]) == {"before_genesis"}


def test_the_intersection_measures_the_crypto_weekend_on_monday(markets, store):
    found = markets("intersection", D1, end="2025-03-12")
    times = found["ts"].unique().sort().dt.weekday().unique().sort().to_list()
    assert times == [1, 2, 3, 4, 5]
    bitcoin = found.filter(pl.col("symbol") == "crypto.BTC").sort("ts")
    monday = bitcoin.filter(pl.col("ts") == at("2025-03-10"))
    assert monday["bars"].item() == 3
    with store.reading("looking") as view:
        closes = dict(
            view.candles.of(Dataset.candles("crypto", D1), ["BTC"], ALL)
            .select("ts", "close")
            .rows()
        )
    assert monday["simple_return"].item() == pytest.approx(
        closes[at("2025-03-10")] / closes[at("2025-03-07")] - 1
    )


def test_hours_across_profiles_reach_back_over_a_weekend(markets):
    found = markets("union", H1)
    spy = found.filter(pl.col("symbol") == "equity.SPY", pl.col("neutral").is_null())
    assert spy["ts"].dt.date().n_unique() == 5
    # Equity hours open at half past, crypto's at the full hour: no time is common to both.
    assert found.filter(pl.col("symbol") == "crypto.BTC", pl.col("ts").dt.minute() == 30)[
        "neutral"
    ].unique().to_list() == ["closed_market"]


def test_a_return_is_measured_over_the_longest_closure_that_a_market_of_the_matrix_has_had(
    store, clock, tmp_path
):
    """Shanghai closed on 2020-01-23 and opened again on 2020-02-03, eleven days later."""
    clock.now = datetime(2020, 2, 8, tzinfo=UTC)
    path = tmp_path / "universe.yaml"
    path.write_text("""
        sources: {practice: {}}
        markets: {timeframes: [30m]}
        profiles:
          coins: {kind: CRYPTO, start: 2020-01-20, sources: [practice],
                  timeframes: {fetch: [30m]}, symbols: {BTC: {}}}
          china: {kind: EQUITY, calendar: XSHG, start: 2020-01-20, sources: [practice],
                  timeframes: {fetch: [30m]}, symbols: {SH: {}}}
        """)
    universe = load_universe(path, environ={})
    for profile in universe.profiles.values():
        Market(store, profile, clock).fill(
            days("2020-01-20", "2020-02-08"), timeframe=Timeframe.M30
        )
    list(Returns(store, Alignment.of_markets(universe, Timeframe.M30, clock()), ALL))

    with store.reading("looking") as view:
        closes = dict(
            view.candles.of(Dataset.candles("china", Timeframe.M30), ["SH"], ALL)
            .select("ts", "close")
            .rows()
        )
    found = stored(store, "markets", Timeframe.M30)
    row = found.row(
        by_predicate=(pl.col("symbol") == "china.SH") & (pl.col("ts") == at("2020-02-03 01:30")),
        named=True,
    )
    assert row["neutral"] is None
    assert row["bars"] == 1
    assert row["simple_return"] == pytest.approx(
        closes[at("2020-02-03 01:30")] / closes[at("2020-01-23 06:30")] - 1
    )


def test_the_calendar_of_a_profile_is_its_grid(market):
    equity = market(EQUITY)
    equity.fill(WEEK)
    equity.derive(H1)
    make(equity)
    grid = calendar_of(equity.profile).bars(
        H1, Window(WEEK.start, equity.clock.now - timedelta(hours=1))
    )
    assert stored(equity.store)["ts"].to_list() == grid["ts"].to_list()
    assert M1 not in equity.profile.timeframes.returns


@pytest.fixture(scope="module")
def matrix(shared: Path, tmp_path_factory: pytest.TempPathFactory):
    """The returns across four markets, union or intersection, of candles that were filled once."""
    folder, clock = tmp_path_factory.mktemp("markets"), Clock()
    store = Store(folder / "home", clock=clock)
    path = folder / "universe.yaml"
    path.write_text(FOUR_MARKETS.format(data=shared / "data", calendar="union"))
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
        path.write_text(FOUR_MARKETS.format(data=shared / "data", calendar=calendar))
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

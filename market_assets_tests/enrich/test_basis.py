"""Returns and features over splits and dividends.

They are point in time, on the footing of each bar's own day.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from market_assets.config.load import load_universe
from market_assets.enrich.features.featurize import Featurize
from market_assets.enrich.returns.returns import Alignment, Returns
from market_assets.errors import UniverseError
from market_assets.expected.scope import scope_of
from market_assets.expected.series import calendar_of
from market_assets.market.datasets import Dataset
from market_assets.verdicts.verdicts import SymbolCounts
from market_assets.work.publish import count_frame
from market_assets_tests.support.enrich_ground import D1, H1, W1, at, days

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets.market.timeframes import Timeframe, Window
    from market_assets.store import Store
    from market_assets.work.making import Making
    from market_assets.work.outcome import PartitionOutcome
    from market_assets_tests.conftest import Clock

ALL = days("2020-06-01", "2020-11-01")
FRIDAY, MONDAY = at("2020-08-28"), at("2020-08-31")
UNIVERSE = """
sources: {{practice: {{}}, said: {{type: action_files, path: "{{symbol}}.csv"}}}}
markets: {{timeframes: [1d]}}
profiles:
  us:
    kind: EQUITY
    start: 2020-06-01
    end: 2020-11-01
    sources: [practice]
    timeframes: {{fetch: [1h, 1d], derive: [1w], features: [1d, 1w], returns: [1d, 1h, 1w]}}
    features: {{ema: [5], rsi: [5], atr: [5], obv: [5], volatility: [5]{features}}}
    {more}
    symbols: {{AAPL: {{}}}}
"""
SPLIT = ("2020-08-31", "split", 4.0, None)
PAID = ("2020-08-07", "dividend", None, 4.0)
ACTION = {
    "symbol": pl.String,
    "ex_date": pl.Date,
    "kind": pl.String,
    "ratio": pl.Float64,
    "amount": pl.Float64,
    "currency": pl.String,
    "detail": pl.String,
    "source": pl.String,
}


class Share:
    """A share whose raw prices fall to a quarter on 31 August, when one share became four."""

    def __init__(self, folder: Path, store: Store, clock: Clock) -> None:
        self.folder, self.store, self.clock = folder, store, clock
        clock.now = datetime(2020, 11, 2, tzinfo=UTC)

    def universe(self, more: str = "actions: [said]", features: str = "") -> None:
        path = self.folder / "universe.yaml"
        path.write_text(UNIVERSE.format(more=more, features=features))
        self.loaded = load_universe(path, environ={})
        self.profile = self.loaded.profiles["us"]

    def on_basis(self, basis: str) -> None:
        self.universe(f"actions: [said]\n    returns: {{basis: {basis}}}")

    def fill(self, timeframe: Timeframe) -> None:
        bars = calendar_of(self.profile).bars(timeframe, ALL)
        number = pl.int_range(pl.len()).cast(pl.Float64)
        whole = 400 + 40 * (number / 5).sin() + number / 10
        shares = pl.when(pl.col("session") >= MONDAY.date()).then(4.0).otherwise(1.0)
        rows = bars.select(
            "ts",
            symbol=pl.lit("AAPL"),
            open=(whole - 1) / shares,
            high=(whole + 4) / shares,
            low=(whole - 4) / shares,
            close=whole / shares,
            volume=(1000 + number) * shares,
            source=pl.lit("practice"),
        )
        if timeframe is D1:
            # As it was.
            known = {FRIDAY: 499.23, MONDAY: 129.04}
            close = pl.col("ts").replace_strict(
                known, default=pl.col("close"), return_dtype=pl.Float64
            )
            rows = rows.with_columns(close=close).with_columns(
                high=pl.max_horizontal("high", "close"), low=pl.min_horizontal("low", "close")
            )
        day = pl.col("ts").dt.date()
        part = day if timeframe.intraday else day.dt.month_start()
        judged = {
            f"{key}": (SymbolCounts("AAPL", expected=size, stored=size, explained=0, missing=0),)
            for key, size in rows.group_by(part=part).len().iter_rows()
        }
        derived = timeframe in self.profile.timeframes.derive
        with self.store.writing("filling") as transaction:
            transaction.candles.create(Dataset.candles("us", timeframe), derived=derived)
            if derived:
                made = rows.with_columns(bars=5, bars_expected=5)
                transaction.candles.replace_derived(
                    Dataset.candles("us", timeframe), rows.select("symbol", "ts"), made
                )
            else:
                transaction.candles.merge(Dataset.candles("us", timeframe), ["AAPL"], ALL, rows)
            transaction.partitions.put(
                Dataset.candles("us", timeframe), count_frame(judged), self.clock.now, changed={}
            )

    def say(self, *actions: tuple[str, str, float | None, float | None]) -> None:
        rows = [
            ("AAPL", date.fromisoformat(day), kind, ratio, amount, None, None, "said")
            for day, kind, ratio, amount in actions
        ]
        with self.store.writing("saying") as transaction:
            for timeframe in self.profile.timeframes.kept:
                derived = timeframe in self.profile.timeframes.derive
                transaction.candles.create(Dataset.candles("us", timeframe), derived=derived)
            transaction.actions.create("us", self.profile.timeframes.kept, "America/New_York")
            transaction.actions.put(
                "us", {"AAPL": "said"}, pl.DataFrame(rows, schema=ACTION, orient="row")
            )

    def make(
        self, work: type[Making], timeframe: Timeframe = D1, window: Window = ALL
    ) -> list[PartitionOutcome]:
        scope = scope_of(self.profile, timeframe, self.clock())
        made: Any = Alignment.of_profile(scope) if work is Returns else scope
        return list(work(self.store, made, window))

    def returns(self, timeframe: Timeframe = D1, name: str = "us") -> pl.DataFrame:
        with self.store.reading("looking") as view:
            return view.returns.of(Dataset.returns(name, timeframe), ALL)

    def features(self, timeframe: Timeframe = D1) -> pl.DataFrame:
        with self.store.reading("looking") as view:
            return view.features.of(Dataset.features("us", timeframe), ALL)

    def closes(self) -> dict[datetime, float]:
        with self.store.reading("looking") as view:
            return dict(
                view.candles.of(Dataset.candles("us", D1), ["AAPL"], ALL)
                .select("ts", "close")
                .rows()
            )


@pytest.fixture
def share(tmp_path: Path, store: Store, clock: Clock) -> Share:
    made = Share(tmp_path, store, clock)
    made.universe()
    made.fill(D1)
    return made


def row(frame: pl.DataFrame, ts: datetime) -> dict[str, Any]:
    return frame.row(by_predicate=pl.col("ts") == ts, named=True)


def test_a_return_over_a_split_is_the_share_s_own(share: Share) -> None:
    share.say(SPLIT)
    share.make(Returns)
    monday = row(share.returns(), MONDAY)
    assert monday["simple_return"] == pytest.approx(4 * 129.04 / 499.23 - 1)
    assert monday["simple_return"] == pytest.approx(0.0339, abs=5e-5)
    assert monday["neutral"] is None


def test_without_the_action_the_night_is_an_error_that_names_it(share: Share) -> None:
    share.say()
    outcomes = {one.partition.key: one.verdicts[0] for one in share.make(Returns)}
    august = outcomes["2020-08-01"]
    assert (august.passed, august.severity.value) == (False, "ERROR")
    assert august.tables["jumps_without_action"][0]["session"] == "2020-08-31"
    assert "A split may be missing: AAPL opened on 2020-08-31" in august.summary
    assert outcomes["2020-07-01"].passed

    share.say(SPLIT)
    assert all(one.verdicts[0].passed for one in share.make(Returns))


def test_a_week_in_which_a_split_is_missing_is_an_error_too(share: Share) -> None:
    with share.store.writing("a split on a Wednesday") as transaction:
        prices = ", ".join(f"{name} = {name} * 4" for name in ("open", "high", "low", "close"))
        transaction.connection.execute(
            f"UPDATE us.candles_1d SET {prices} WHERE ts >= '2020-08-31' AND ts < '2020-09-02'"
        )
    share.fill(W1)
    share.say()
    failed = [one for one in share.make(Returns, W1) if not one.verdicts[0].passed]
    assert [one.partition.key for one in failed] == ["2020-08-01"]
    assert failed[0].verdicts[0].tables["jumps_without_action"][0]["session"] == "2020-09-02"


@pytest.mark.parametrize(
    ("ratio", "is_told"),
    [
        (1.5, True),
        (2, True),
        (10, True),
        (0.1, True),
        (0.5, True),
        (1 / 0.7, False),
        (1 / 1.3, False),
    ],
)
def test_what_looks_like_a_split_is_an_error_and_a_crash_is_none(
    share: Share, *, ratio: float, is_told: bool
) -> None:
    with share.store.writing("a night") as transaction:
        whole = ", ".join(f"{name} = {name} * 4" for name in ("open", "high", "low", "close"))
        transaction.connection.execute(f"UPDATE us.candles_1d SET {whole} WHERE ts >= '2020-08-31'")
        close = "(SELECT close FROM us.candles_1d WHERE ts = '2020-09-14')"
        opened = f"{close} / {ratio} * 1.01"
        transaction.connection.execute(
            f"UPDATE us.candles_1d SET open = {opened} WHERE ts = '2020-09-15'"
        )
        rest = ", ".join(f"{name} = {name} / {ratio}" for name in ("high", "low", "close"))
        transaction.connection.execute(f"UPDATE us.candles_1d SET {rest} WHERE ts >= '2020-09-15'")
        transaction.connection.execute(
            f"UPDATE us.candles_1d SET open = open / {ratio} WHERE ts > '2020-09-15'"
        )
    share.say()
    failed = [one.partition.key for one in share.make(Returns) if not one.verdicts[0].passed]
    assert failed == (["2020-09-01"] if is_told else [])


def test_raw_prices_that_were_asked_for_are_no_error(share: Share) -> None:
    share.on_basis("raw")
    share.say(SPLIT)
    assert all(one.verdicts[0].passed for one in share.make(Returns))
    assert row(share.returns(), MONDAY)["simple_return"] == pytest.approx(129.04 / 499.23 - 1)


def test_a_dividend_is_a_share_of_the_close_or_money_that_is_paid(share: Share) -> None:
    day, before, closes = at("2020-08-07"), at("2020-08-06"), share.closes()
    found = {}
    for basis in ("adjusted", "total_return", "raw"):
        share.on_basis(basis)
        share.say(SPLIT, PAID)
        share.make(Returns)
        found[basis] = row(share.returns(), day)["simple_return"]
        shares = 1 if basis == "raw" else 4
        split = row(share.returns(), MONDAY)["simple_return"]
        assert split == pytest.approx(shares * 129.04 / 499.23 - 1)
    assert found["raw"] == pytest.approx(closes[day] / closes[before] - 1)
    assert found["adjusted"] == pytest.approx(closes[day] / (closes[before] - 4) - 1)
    assert found["total_return"] == pytest.approx((closes[day] + 4) / closes[before] - 1)


def test_features_over_a_split_are_those_of_a_share_that_was_never_split(share: Share) -> None:
    share.say(SPLIT)
    share.make(Featurize)
    found = share.features()

    with share.store.writing("the same share without a split") as transaction:
        prices = ", ".join(f"{name} = {name} * 4" for name in ("open", "high", "low", "close"))
        whole = f"UPDATE us.candles_1d SET {prices}, volume = volume / 4 WHERE ts >= '2020-08-31'"
        transaction.connection.execute(whole)
    share.say()
    share.make(Featurize)

    # A price stands on the footing of its own day: in quarters from the split on.
    later = pl.when(pl.col("ts") >= MONDAY)
    whole = share.features()
    prices = [
        name for name in whole.columns if name.startswith(("ema", "sma", "atr", "macd", "bb"))
    ]
    due = whole.with_columns(
        *(later.then(pl.col(name) / 4).otherwise(name).alias(name) for name in prices),
        obv_5=later.then(pl.col("obv_5") * 4).otherwise("obv_5"),
    )
    assert_frame_equal(found, due, rel_tol=1e-9)
    assert found["rsi_5"].drop_nulls().is_between(1, 99).any()


def test_a_later_action_changes_no_value_before_it(share: Share) -> None:
    early = days("2020-06-01", "2020-08-01")
    share.say(PAID)
    share.make(Featurize, window=early)
    share.make(Returns, window=early)
    before = share.features(), share.returns()
    share.say(PAID, SPLIT, ("2020-10-01", "split", 7.0, None))
    share.make(Featurize)
    share.make(Returns)
    for then, now in zip(before, (share.features(), share.returns()), strict=True):
        assert_frame_equal(now.filter(pl.col("ts") < at("2020-08-01")), then, rel_tol=1e-12)


def test_no_value_depends_on_where_the_work_is_cut(share: Share) -> None:
    share.say(PAID, SPLIT)
    share.make(Featurize)
    share.make(Returns)
    whole = share.features(), share.returns()
    for month in range(6, 11):
        one = days(f"2020-{month:02}-01", f"2020-{month + 1:02}-01")
        share.make(Featurize, window=one)
        share.make(Returns, window=one)
    for at_once, piece in zip(whole, (share.features(), share.returns()), strict=True):
        assert_frame_equal(piece, at_once, rel_tol=1e-9)


@pytest.mark.parametrize("basis", ["adjusted", "total_return"])
def test_what_was_paid_is_in_the_first_hour_of_its_day_alone(share: Share, basis: str) -> None:
    share.fill(H1)
    share.on_basis(basis)
    share.say(SPLIT)
    share.make(Returns, H1)
    without = share.returns(H1).sort("ts")
    split_night = without.filter(pl.col("ts").dt.date() == MONDAY.date()).head(1)
    assert abs(split_night["simple_return"].item()) < 0.1

    share.say(SPLIT, PAID)
    share.make(Returns, H1)
    found = share.returns(H1).sort("ts")
    assert_frame_equal(
        found.drop("simple_return", "log_return"), without.drop("simple_return", "log_return")
    )
    moved = found["simple_return"] - without["simple_return"]
    changed = found.filter(moved.abs() > 1e-9)["ts"].to_list()
    assert changed == [at("2020-08-07 13:30")]
    assert moved.max() == pytest.approx(4 / 400, rel=0.3)


def test_a_week_in_which_a_split_falls_is_made_of_days_on_one_footing(share: Share) -> None:
    share.fill(W1)
    share.say(SPLIT)
    share.make(Returns, W1)
    found = share.returns(W1)
    assert found.filter(pl.col("neutral").is_null()).height > 15
    assert found.filter(pl.col("simple_return").abs() > 0.35).is_empty()
    share.make(Featurize, W1)
    assert share.features(W1)["ema_5"].drop_nulls().len() > 0


@pytest.mark.parametrize("basis", ["adjusted", "total_return"])
def test_a_later_action_changes_not_even_a_rounding(share: Share, basis: str) -> None:
    words = f"actions: [said]\n    returns: {{basis: {basis}}}"
    share.universe(words, f", basis: {basis}")
    seen = []
    later = (
        ("2020-10-01", "split", 7.0, None),
        ("2020-10-07", "dividend", None, 3.3),
        ("2020-10-08", "split", 0.1, None),
    )
    for actions in ((), later):
        share.say(PAID, SPLIT, *actions)
        share.make(Featurize)
        share.make(Returns)
        seen.append(
            [
                each.filter(pl.col("ts") < at("2020-10-01"))
                for each in (share.features(), share.returns())
            ]
        )
    for then, now in zip(*seen, strict=True):
        assert then.equals(now)


def test_what_is_made_on_each_day_stays_when_the_next_ones_come(share: Share) -> None:
    share.say(PAID, SPLIT, ("2020-10-01", "split", 7.0, None))
    share.make(Featurize)
    share.make(Returns)
    whole = share.features(), share.returns()
    for day in (
        "2020-08-06",
        "2020-08-07",
        "2020-08-28",
        "2020-08-31",
        "2020-09-01",
        "2020-10-01",
        "2020-10-02",
    ):
        share.clock.now = datetime.fromisoformat(f"{day}T22:00Z")
        for work, due in zip((Featurize, Returns), whole, strict=True):
            share.make(work)
            found = share.features() if work is Featurize else share.returns()
            assert found.filter(pl.col("ts") <= at(day)).equals(
                due.filter(pl.col("ts") <= at(day))
            ), (day, work)


def test_over_a_dividend_that_no_close_measures_there_is_no_value_and_before_it_nothing_changes(
    share: Share,
) -> None:
    day, before = at("2020-08-07"), pl.col("ts") < at("2020-08-07")
    seen = []
    for actions in ((), (("2020-08-07", "dividend", None, 10_000.0),)):
        share.say(*actions, SPLIT)
        share.make(Featurize)
        share.make(Returns)
        seen.append((share.features(), share.returns()))
    (features, returns), (found_features, found_returns) = seen
    assert found_features.filter(before).equals(features.filter(before))
    assert found_returns.filter(before).equals(returns.filter(before))
    assert row(found_returns, day)["neutral"] == "unadjusted"
    assert row(found_returns, day)["simple_return"] == 0.0
    assert row(found_returns, at("2020-08-10")) == row(returns, at("2020-08-10"))
    # Features begin anew, as behind a gap.
    assert row(found_features, day)["simple_return_1"] is None
    assert row(found_features, at("2020-08-10"))["ema_5"] is None
    assert row(found_features, at("2020-08-20"))["ema_5"] is not None


def test_a_split_is_applied_to_hours_although_the_daily_candles_have_ended(share: Share) -> None:
    share.fill(H1)
    with share.store.writing("days that no source gives any more") as transaction:
        transaction.connection.execute("DELETE FROM us.candles_1d WHERE ts >= '2020-08-01'")
    share.say(SPLIT)
    share.make(Returns, H1)
    night = row(share.returns(H1), at("2020-08-31 13:30"))
    assert (night["neutral"], abs(night["simple_return"]) < 0.1) == (None, True)


def test_a_matrix_across_profiles_takes_each_member_on_its_own_basis(share: Share) -> None:
    share.say(SPLIT)
    list(Returns(share.store, Alignment.of_markets(share.loaded, D1, share.clock()), ALL))
    found = row(share.returns(name="markets"), MONDAY)
    assert found["simple_return"] == pytest.approx(4 * 129.04 / 499.23 - 1)


def behind(share: Share) -> list[str]:
    work = Returns(
        share.store, Alignment.of_profile(scope_of(share.profile, D1, share.clock())), ALL
    )
    with share.store.reading("looking") as view:
        return [partition.key for partition in work.behind(view)]


def test_what_another_basis_has_made_is_made_again(share: Share) -> None:
    share.say(SPLIT)
    share.make(Returns)
    assert behind(share) == []
    share.on_basis("raw")
    assert len(behind(share)) == 5
    # Killed half way: what is left is still behind.
    share.make(Returns, window=days("2020-06-01", "2020-08-01"))
    assert behind(share) == ["2020-08-01", "2020-09-01", "2020-10-01"]
    share.make(Returns)
    assert behind(share) == []


@pytest.mark.parametrize("basis", ["adjusted", "total_return", "raw"])
def test_what_was_made_before_bases_were_noted_is_made_again_where_it_was_raw_and_is_not(
    share: Share, basis: str
) -> None:
    share.on_basis(basis)
    share.say(SPLIT)
    share.make(Returns)
    with share.store.writing("as an earlier release left it") as transaction:
        transaction.connection.execute("DELETE FROM ops.recipes")
    assert len(behind(share)) == (0 if basis == "raw" else 5)


@pytest.mark.parametrize("family", ["returns", "features"])
def test_a_basis_without_actions_is_a_mistake_of_the_file(share: Share, family: str) -> None:
    words = {"returns": ("returns: {basis: adjusted}", ""), "features": ("", ", basis: adjusted")}
    with pytest.raises(UniverseError, match=rf"{family}.basis: adjusted needs corporate actions"):
        share.universe(*words[family])

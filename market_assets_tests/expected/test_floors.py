"""From when on a dataset is kept, and from when on it must exist."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.config.load import load_universe
from market_assets.config.services import ProfileRetention
from market_assets.expected.counts import count_series
from market_assets.expected.floors import NO_FLOOR, Floor, above, floor_of, kept_for, kept_in
from market_assets.expected.scope import scope_of
from market_assets.market.datasets import Dataset
from market_assets.market.durations import Age, age_of
from market_assets.market.partitions import Cadence, Partition
from market_assets.market.timeframes import Timeframe, Window, literal
from market_assets_tests.support.fill_ground import at

if TYPE_CHECKING:
    from market_assets.config.universe import Profile

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
INSTANTS = st.datetimes(datetime(2012, 1, 1), datetime(2026, 6, 1), timezones=st.just(UTC))  # noqa: DTZ001
AGES = st.one_of(
    st.integers(1, 12).map(lambda years: Age(years=years)),
    st.integers(7, 3000).map(lambda days: Age(length=timedelta(days=days))),
    st.integers(7 * 24, 9000).map(lambda hours: Age(length=timedelta(hours=hours))),
)
FRAMES = "timeframes: {fetch: [1m], derive: [4h, 1d, 1w], features: [4h], returns: [1d]}"


def retained(profile: Profile, **ages: Age | None) -> Profile:
    return profile.model_copy(update={"retention": ProfileRetention(**ages)})


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Profile]:
    profiles = {
        "crypto": "kind: CRYPTO",
        "months": "kind: CRYPTO, partitions: {intraday: month}",
        # A day begins on the evening before, and by the clock of Chicago.
        "futures": "kind: FUTURES",
        "days": "kind: FUTURES, partitions: {daily: day}",
    }
    common = f"start: 2012-01-01, sources: [practice], symbols: {{BTC: {{}}}}, {FRAMES}"
    lines = [f"  {name}: {{{common}, {keys}}}" for name, keys in profiles.items()]
    path = tmp_path_factory.mktemp("floors") / "universe.yaml"
    path.write_text("\n".join(["sources: {practice: {}}", "profiles:", *lines]))
    return load_universe(path, environ={}).profiles


class TestAge:
    @pytest.mark.parametrize(
        ("text", "now", "before"),
        [
            ("1y", "2025-02-28", "2024-02-28"),
            ("1y", "2024-02-29", "2023-02-28"),
            ("4y", "2024-02-29", "2020-02-29"),
            ("2y", "2026-03-01", "2024-03-01"),
            ("90d", "2024-03-01", "2023-12-02"),
            ("26w", "2025-01-01", "2024-07-03"),
        ],
    )
    def test_a_year_is_one_of_the_calendar(self, text, now, before):
        age = age_of(text)
        assert age is not None
        assert age.before(at(now)) == at(before)

    @pytest.mark.parametrize("text", ["", "0y", "y", "2 y", "1.5y", "0d", "-1d", "2years"])
    def test_what_is_none_is_told_from_it(self, text):
        assert age_of(text) is None

    @given(AGES)
    def test_it_is_written_as_it_is_read(self, age):
        assert age_of(str(age)) == age


class TestFloor:
    @given(now=INSTANTS, age=AGES, kind=st.sampled_from(["crypto", "months", "futures", "days"]))
    def test_whole_partitions_go_and_not_one_that_holds_a_kept_instant(self, kinds, now, age, kind):
        profile = retained(kinds[kind], candles_1m=age)
        for timeframe in profile.timeframes.kept:
            floor = floor_of(profile, profile.candles(timeframe), now)
            assert floor.kept is not None
            cadence = profile.partitions.of(timeframe)
            holding = Partition.holding(age.before(now).date(), cadence)
            assert holding.window.start == floor.kept <= age.before(now) < holding.window.end

    @given(now=INSTANTS, later=st.timedeltas(timedelta(), timedelta(days=800)), age=AGES)
    def test_it_never_falls_as_time_goes_on(self, kinds, now, later, age):
        for kind in kinds.values():
            profile = retained(kind, candles_1m=age)
            for dataset in profile.datasets:
                first = floor_of(profile, dataset, now).start
                assert first <= floor_of(profile, dataset, now + later).start

    @given(now=INSTANTS, age=AGES, kind=st.sampled_from(["crypto", "months", "futures", "days"]))
    def test_each_bar_that_is_expected_is_kept_and_so_is_all_that_it_is_made_of(
        self, kinds, now, age, kind
    ):
        profile = retained(kinds[kind], candles_1m=age)
        base = floor_of(profile, profile.candles(Timeframe.M1), now).start
        around = Window(base - timedelta(days=9), min(base + timedelta(days=9), now))
        for timeframe in (Timeframe.H4, Timeframe.D1, Timeframe.W1):
            scope = scope_of(profile, timeframe, now)
            (series,) = scope.series
            bars = scope.calendar.bars_touching(timeframe, around)
            expected = bars.filter(scope.belonging(series))
            lost = bars.join(expected, on="ts", how="anti").filter(
                pl.col("closes_at") <= literal(series.window.end)
            )
            assert (expected["opens_at"] >= base.replace(tzinfo=None)).all()
            kept = scope.floor.kept.replace(tzinfo=None)
            assert (expected["ts"] >= kept).all()
            # Nothing that could be made is left out either.
            cut = (pl.col("opens_at") < base.replace(tzinfo=None)) | (pl.col("ts") < kept)
            begin = literal(series.begin or series.window.start)
            assert lost.filter(~cut, pl.col("closes_at") > begin).is_empty()

    def test_it_is_off_by_default(self, kinds):
        for profile in kinds.values():
            for dataset in profile.datasets:
                assert floor_of(profile, dataset, NOW) is NO_FLOOR
                assert kept_for(profile, dataset) is None

    def test_what_is_derived_inherits_unless_it_has_a_key_of_its_own(self, kinds):
        profile = retained(
            kinds["crypto"], candles_1m=Age(years=2), features_4h=Age(years=5), candles_1w=None
        )
        day, month = at("2024-11-30"), at("2024-11-01")
        floors = {dataset.name: floor_of(profile, dataset, NOW) for dataset in profile.datasets}
        assert floors == {
            "candles_1m": Floor(day),
            "candles_4h": Floor(day, day),
            "candles_1d": Floor(month, day),
            "candles_1w": Floor(None, day),
            "features_4h": Floor(at("2021-11-30"), day),
            "returns_1d": Floor(month, day),
        }

    def test_a_shorter_key_of_its_own_holds_too(self, kinds):
        profile = retained(kinds["crypto"], features_4h=Age(years=1))
        features = Dataset.features("crypto", Timeframe.H4)
        assert floor_of(profile, features, NOW) == Floor(at("2025-11-30"))
        assert not floor_of(profile, profile.candles(Timeframe.H4), NOW)


class TestWindows:
    def test_series_begin_at_the_floor_and_each_timeframe_at_its_own(self, kinds):
        scope = scope_of(retained(kinds["crypto"], candles_1m=Age(years=2)), Timeframe.D1, NOW)
        assert scope.window.start == scope.series[0].window.start == at("2024-11-30")
        assert scope.partitions(scope.window)[0].key == "2024-11-01"
        minutes = scope.of(Timeframe.M1)
        assert minutes.partitions(minutes.profile.window(NOW))[0].key == "2024-11-30"

    @pytest.mark.parametrize(
        "genesis", ["2013-05-05T00:00", "2025-05-05T10:00", "2024-11-30T00:00"]
    )
    def test_a_genesis_holds_beside_it_and_comes_back_when_it_goes(self, kinds, genesis):
        profile = retained(kinds["crypto"], candles_1m=Age(years=2))
        scope = scope_of(profile, Timeframe.M1, NOW)
        names = {name: at(genesis) for name in profile.symbols}
        (series, *_) = scope.since(names).series
        assert series.window.start == max(at("2024-11-30"), at(genesis))
        assert series.above(NO_FLOOR).window.start == at(genesis)

    def test_expected_bars_begin_later_by_as_much(self, kinds):
        def counted(profile: Profile) -> dict[str, tuple[int, datetime]]:
            rows = count_series(profile, {}, NOW).filter(symbol="BTC")
            return dict(rows.select("timeframe", pl.struct("expected", "start_ts")).iter_rows())

        whole = counted(kinds["crypto"])
        cut = counted(retained(kinds["crypto"], candles_1m=Age(years=2)))
        days = (at("2024-11-30") - at("2012-01-01")).days
        assert whole["1m"]["expected"] - cut["1m"]["expected"] == days * 1440
        assert whole["1d"]["expected"] - cut["1d"]["expected"] == days
        assert cut["1d"]["start_ts"] == at("2024-11-30").replace(tzinfo=None)
        # The week in which the floor lies was begun before it: it cannot be made any more.
        assert cut["1w"]["start_ts"] == at("2024-12-02").replace(tzinfo=None)

    def test_the_part_of_a_window_above_it(self):
        window = Window(at("2025-01-01"), at("2025-02-01"))
        assert above(window, NO_FLOOR) == window
        assert above(window, Floor(at("2025-01-10"))).start == at("2025-01-10")
        assert above(window, Floor(at("2026-01-10"))).empty
        months = [Partition.holding(date(2025, month, 1), Cadence.MONTH) for month in (1, 2, 3)]
        assert kept_in(months, Floor(at("2025-02-01"))) == months[1:]

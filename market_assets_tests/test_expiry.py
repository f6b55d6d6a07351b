"""What lies below a floor is removed, with what is known of it, and is not missed afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from market_assets import expiry
from market_assets.config.load import load_universe
from market_assets.enrich.features.featurize import Featurize
from market_assets.enrich.returns.returns import Alignment, Returns
from market_assets.errors import ExportError, ReadError
from market_assets.expected.counts import count_profile
from market_assets.expected.lost import lost_partitions
from market_assets.expected.scope import scope_of
from market_assets.expiry import Expiry, ops_of
from market_assets.export import Lake, tables_of
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Window
from market_assets.reports.read import read
from market_assets.reports.story import story_of
from market_assets.store import Store
from market_assets_tests.conftest import Clock
from market_assets_tests.support.enrich_ground import D1, H4, M1, W1, Market, days
from market_assets_tests.support.shell import in_this_process
from market_assets_tests.support.store_rows import actions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from market_assets.config.universe import Universe
    from market_assets.keeping import Removed
    from market_assets.reports.story import Story

BEGIN = date(2025, 1, 30)
END = date(2025, 2, 12)
NOW = datetime(2025, 2, 12, 6, tzinfo=UTC)
BEGIN_TS = datetime(2025, 1, 27)  # noqa: DTZ001 - as a frame holds it
FLOOR = datetime(2025, 2, 4, tzinfo=UTC)
EVER = days("2000-01-01", "2030-01-01")
KEPT = "retention: {candles_1m: 8d}"
ARCHIVED = "export: {}\nretention: {candles_1m: 8d, archive_to_lake: true}"
MINUTES = Dataset.candles("coins", M1)


def universe_text(top: str = "", own: str = "") -> str:
    return f"""
sources: {{practice: {{}}}}
{top}
profiles:
  coins:
    kind: CRYPTO
    start: {BEGIN}
    sources: [practice]
    symbols: {{BTC: {{}}, ETH: {{}}}}
    timeframes: {{fetch: [1m], derive: [4h, 1d, 1w], features: [4h], returns: [4h]}}
    features: {{sma: [4], ema: [3]}}
    {own}
"""


class Home:
    """A home with thirteen days of minutes and all that is made of them, and its universe."""

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        self.folder, self.clock = folder, clock
        self.home, self.lake = folder / "home", folder / "home" / "lake"
        self.store = Store(self.home, clock=clock)
        self.universe = self.keep()

    def keep(self, top: str = "", own: str = "") -> Universe:
        path = self.folder / "universe.yaml"
        path.write_text(universe_text(top, own))
        self.universe = load_universe(path, environ={})
        self.coins = Market(self.store, self.universe.profiles["coins"], self.clock)
        return self.universe

    def fill(self) -> None:
        self.coins.fill(
            Window.of_days(BEGIN, END),
            without=("2025-01-31 10:00..10:05", "2025-02-06 10:00..10:05"),
        )
        self.make()

    def make(self) -> None:
        profile = self.coins.profile
        for timeframe in (H4, D1, W1):
            self.coins.derive(timeframe)
        list(Featurize(self.store, scope_of(profile, H4, self.clock()), EVER))
        list(Returns(self.store, Alignment.of_profile(scope_of(profile, H4, self.clock())), EVER))

    @property
    def expiry(self) -> Expiry:
        return Expiry(self.store, self.universe, self.home, self.clock)

    def due(self) -> list[Removed]:
        return self.expiry.due(self.universe.retention)

    def rows(self, table: str) -> pl.DataFrame:
        with self.store.reading("looking") as view:
            return view.candles.rows("coins", table, None, EVER).sort("symbol", "ts")

    def everything(self) -> dict[str, pl.DataFrame]:
        return {dataset.name: self.rows(dataset.name) for dataset in self.coins.profile.datasets}

    def ledger(self, name: str) -> pl.DataFrame:
        with self.store.reading("looking") as view:
            return view.database.frame(f"SELECT * FROM ops.{name} ORDER BY ALL")


@pytest.fixture(scope="module")
def _filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a home that was filled, which each test copies."""
    folder = tmp_path_factory.mktemp("filled")
    Home(folder, Clock(NOW)).fill()
    return folder


@pytest.fixture
def home(tmp_path: Path, clock: Clock, _filled: Path) -> Home:
    clock.now = NOW
    shutil.copytree(_filled, tmp_path, dirs_exist_ok=True)
    return Home(tmp_path, clock)


def after(frame: pl.DataFrame, floor: datetime) -> pl.DataFrame:
    return frame.filter(pl.col("ts") >= floor.replace(tzinfo=None))


def counted(removed: list[Removed]) -> dict[str, tuple[int, int]]:
    return {each.what: (each.count, each.partitions) for each in removed}


class TestRemoval:
    def test_nothing_goes_without_a_key(self, home):
        before = home.everything()
        assert home.due() == home.expiry.remove() == []
        assert all(home.rows(name).equals(rows) for name, rows in before.items())

    def test_a_dry_run_says_what_then_goes_and_a_second_prune_does_nothing(self, home):
        home.keep(KEPT)
        before = home.everything()
        announced = home.due()
        assert home.expiry.remove() == announced
        assert counted(announced)["rows of coins.candles_1m"] == (5 * 2 * 1440 - 10, 5)
        assert counted(announced)["rows of ops.gaps"] == (2, 0)
        assert home.due() == home.expiry.remove() == []

        floors = {"candles_1d": "2025-02-01", "candles_1w": "2025-02-01"}
        for name, rows in before.items():
            floor = datetime.fromisoformat(floors.get(name, "2025-02-04"))
            assert home.rows(name).equals(after(rows, floor)), name
        assert (
            home.ledger("partitions")
            .filter(pl.col("timeframe").is_in(["1m", "4h", "features_4h", "returns_4h"]))[
                "partition"
            ]
            .min()
            == "2025-02-04"
        )
        assert home.ledger("gaps")["first_ts"].min() == datetime(2025, 2, 6, 10)  # noqa: DTZ001

    def test_what_has_a_longer_key_of_its_own_stays(self, home):
        home.keep("retention: {candles_1m: 8d, features_4h: forever, candles_1d: 5y}")
        before = home.everything()
        home.expiry.remove()
        for name in ("features_4h", "candles_1d", "candles_1w"):
            assert home.rows(name).equals(before[name]), name
        assert len(home.rows("returns_4h")) < len(before["returns_4h"])

    def test_what_was_made_of_removed_candles_is_never_wrecked(self, home):
        home.keep("retention: {candles_1m: 8d, features_4h: forever, candles_1d: 5y}")
        home.expiry.remove()
        before = home.everything()
        with home.store.writing("having all be made again") as transaction:
            for dataset in home.coins.profile.datasets[1:]:
                transaction.partitions.outdate(dataset)
        home.make()
        for name, rows in before.items():
            assert home.rows(name).equals(rows), name
        # What lies higher is still made again when its candles change.
        with home.store.writing("another source was right") as transaction:
            transaction.connection.execute(
                "UPDATE coins.candles_1m SET close = close + 0.5 WHERE ts::DATE = '2025-02-09'"
            )
            transaction.partitions.renew_versions(MINUTES, ["2025-02-09"])
        home.make()
        assert not home.rows("returns_4h").equals(before["returns_4h"])

    def test_months_of_many_rows_go_in_days(self, home, monkeypatch):
        # Fewer than the minutes of either month, and more than all that is made of them.
        monkeypatch.setattr(expiry, "_BATCH_ROWS", 4000)
        home.keep("retention: {candles_1w: 8d, candles_1m: 8d}", "partitions: {intraday: month}")
        home.clock.now = datetime(2025, 3, 12, tzinfo=UTC)
        announced = home.due()
        assert home.expiry.remove() == announced
        assert home.rows("candles_1m").is_empty()
        gone = home.ledger("pruned").filter(timeframe="1m")
        assert gone["rows"].sum() == counted(announced)["rows of coins.candles_1m"][0]
        assert set(gone["partition"]) == {"2025-01-01", "2025-02-01"}

    def test_a_prune_that_is_stopped_between_batches_is_taken_up(self, home, monkeypatch):
        monkeypatch.setattr(expiry, "_BATCH_ROWS", 3000)
        home.keep(KEPT)
        whole = counted(home.due())
        answers = iter([True, True, True])
        first = counted(home.expiry.remove(go_on=lambda: next(answers, False)))
        rest = counted(home.expiry.remove())
        assert first
        assert {
            what: tuple(map(sum, zip(first.get(what, (0, 0)), rest.get(what, (0, 0)), strict=True)))
            for what in whole
        } == whole


class TestNothingIsMissed:
    def test_nothing_of_it_is_counted_or_called_lost(self, home):
        home.keep(KEPT)
        home.expiry.remove()
        count_profile(home.store, home.coins.profile, NOW)
        with home.store.reading("looking") as view:
            matrix = view.completeness.matrix()
            keys = [f"{BEGIN + timedelta(days=n)}" for n in range((END - BEGIN).days)]
            lost = lost_partitions(view, home.coins.scope(M1), filled=keys)
        minutes = matrix.filter(symbol="BTC", timeframe="1m").row(0, named=True)
        assert minutes["expected"] == 8 * 1440 + 6 * 60
        assert minutes["missing"] == 6 * 60 + 5
        assert minutes["first_ts"] == FLOOR.replace(tzinfo=None)
        assert not lost

    def test_a_longer_retention_makes_the_time_between_missing_again(self, home):
        home.keep(KEPT)
        home.expiry.remove()
        home.keep("retention: {candles_1m: 10d}")
        keys = [f"{BEGIN + timedelta(days=n)}" for n in range((END - BEGIN).days)]
        with home.store.reading("looking") as view:
            lost = lost_partitions(view, home.coins.scope(M1), filled=keys)
        assert sorted(lost) == ["2025-02-02", "2025-02-03"]
        assert "earlier retention" in lost["2025-02-02"]
        home.coins.fill(days("2025-02-02", "2025-02-04"))
        home.make()
        assert home.rows("candles_1m")["ts"].min() == datetime(2025, 2, 2)  # noqa: DTZ001
        assert home.rows("features_4h")["ts"].min() == datetime(2025, 2, 2)  # noqa: DTZ001
        assert home.due() == []

    def test_the_completeness_view_never_calls_it_missing(self, home):
        home.keep(KEPT)
        seen = []

        def looked() -> bool:
            seen.append(home.ledger("completeness").filter(timeframe="1m")["missing"].to_list())
            return True

        home.expiry.remove(go_on=looked)
        # The present day is still to be filled, and five minutes lack.
        assert {tuple(missing) for missing in seen} == {(6 * 60 + 5, 6 * 60 + 5)}

    def test_it_is_remembered_as_long_as_ops_says_what_happened(self, home):
        home.keep("retention: {ops: 30d}")
        with home.store.writing("revising") as transaction:
            transaction.connection.execute(
                """
                INSERT INTO ops.revisions (profile, symbol, timeframe, ts, revised_at)
                SELECT name, 'BTC', '1m', TIMESTAMP '2025-02-08', stamp
                FROM (VALUES ('coins'), ('others')) p(name),
                    (VALUES (TIMESTAMP '2025-01-01'), (TIMESTAMP '2025-02-01')) t(stamp)
                """
            )
            ages = ops_of(home.universe)
            settings = home.universe.retention
            announced = transaction.catalog.prunable(settings, NOW, ages)
            assert transaction.catalog.prune(settings, NOW, ages) == announced
        left = home.ledger("revisions").select("profile", pl.col("revised_at").dt.month())
        assert left.rows() == [("coins", 2), ("others", 1), ("others", 2)]


_KILLED = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from market_assets import expiry
from market_assets.config.load import load_universe
from market_assets.store import Store
expiry._BATCH_ROWS = 1
folder = Path(sys.argv[1])
clock = lambda: datetime(2025, 2, 12, 6, tzinfo=UTC)
store = Store(folder / "home", clock=clock)
universe = load_universe(folder / "universe.yaml", environ={})
def go_on():
    print("batch", flush=True)
    return True
expiry.Expiry(store, universe, folder / "home", clock).remove(go_on=go_on)
"""


class TestStory:
    def told(self, home: Home, instant: str) -> Story:
        with home.store.reading("looking") as view:
            return story_of(view, home.coins.scope(M1), "BTC", datetime.fromisoformat(instant))

    def test_it_says_when_it_was_removed_and_where_it_is_now(self, home):
        home.keep(ARCHIVED)
        home.expiry.remove()
        told = self.told(home, "2025-01-30T10:00Z")
        assert told.state == "removed by retention"
        assert told.verdict == (
            "Removed by retention of candles_1m: 8d on 2025-02-12, archived to "
            "coins/candles_1m/year=2025/month=1/2025-01-30.parquet of the lake."
        )
        assert "2025-02-04" in told.coming
        assert self.told(home, "2025-02-04T00:00Z").state == "stored"

    def test_what_was_never_there_is_only_kept_out(self, home):
        home.keep(KEPT)
        told = self.told(home, "2025-01-31T10:02Z")
        assert told.verdict == (
            "BTC is kept from 2025-02-04 on, by retention of 8d (candles_1m): "
            "what lies before is not asked for."
        )


class TestKilled:
    @pytest.mark.parametrize("top", [KEPT, ARCHIVED])
    def test_a_prune_that_is_killed_loses_nothing_else_and_the_next_one_goes_on(self, home, top):
        home.keep(top)
        before = home.everything()
        command = [sys.executable, "-c", _KILLED, str(home.folder)]
        # Each goes on where the one before was killed.
        for batches in (1, 4, 9):
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": ":".join(sys.path)}
            )
            assert process.stdout is not None
            for _ in range(batches):
                assert process.stdout.readline() == b"batch\n"
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
            for name, rows in before.items():
                left = home.rows(name)
                assert after(left, FLOOR).equals(after(rows, FLOOR)), name
                assert left.join(rows, on=rows.columns, how="anti", nulls_equal=True).is_empty()
        home.expiry.remove()
        assert home.rows("candles_1m").equals(after(before["candles_1m"], FLOOR))
        if "archive" in top:
            found = read("coins", "candles_1m", universe=home.universe, home=home.home)
            assert found.equals(before["candles_1m"].select(found.columns))


@pytest.fixture
def archiving(home: Home) -> Home:
    home.keep(ARCHIVED)
    return home


def exported(home: Home) -> None:
    lake = Lake(home.store, home.lake, clock=home.clock)
    for table in tables_of(home.universe):
        lake.export(table, verify=True)


class TestArchive:
    @pytest.mark.parametrize("exports", ["never", "before", "after", "always"])
    def test_what_was_archived_is_read_as_if_it_were_still_there(self, archiving, exports):
        home = archiving
        before = home.everything()
        if exports in {"before", "always"}:
            exported(home)
        home.expiry.remove()
        if exports in {"after", "always"}:
            exported(home)
        for name, rows in before.items():
            found = read("coins", name, universe=home.universe, home=home.home)
            assert found.equals(rows.select(found.columns)), name
        part = read(
            "coins",
            "candles_1m",
            symbols="ETH",
            start="2025-01-31T23:50",
            end="2025-02-04T00:10",
            as_of="2025-02-04T00:05",
            universe=home.universe,
            home=home.home,
        )
        minutes = before["candles_1m"].filter(symbol="ETH")
        assert len(part) == 10 + 3 * 1440 + 5
        assert part.equals(
            minutes.filter(pl.col("ts").is_in(part["ts"].implode())).select(part.columns)
        )

    def test_exports_neither_remove_nor_forget_it_though_the_store_goes_on(self, archiving):
        home = archiving
        before = home.everything()
        for day in range(4):
            home.clock.now = NOW + timedelta(days=day)
            home.expiry.remove()
            exported(home)
        for name in ("candles_1m", "candles_4h", "features_4h"):
            found = read("coins", name, universe=home.universe, home=home.home)
            assert found.equals(before[name].select(found.columns)), name
            assert home.rows(name)["ts"].min() == datetime(2025, 2, 7)  # noqa: DTZ001

    def test_what_was_filled_again_and_removed_again_is_archived_beside_what_it_lacks(
        self, archiving
    ):
        home = archiving
        before = home.rows("candles_1m")
        home.expiry.remove()
        home.keep(ARCHIVED.replace("8d", "10d"))
        home.coins.fill(days("2025-02-02", "2025-02-04"), without=("2025-02-03 10:00..10:30",))
        home.keep(ARCHIVED)
        assert home.expiry.remove()
        found = read("coins", "candles_1m", universe=home.universe, home=home.home)
        assert found.equals(before.select(found.columns))

    @pytest.mark.parametrize("as_of", ["2025-02-04", "2025-02-12"])
    @pytest.mark.parametrize("table", ["candles_1m", "candles_4h", "candles_1d", "candles_1w"])
    def test_it_is_adjusted_as_if_it_were_still_there(self, archiving, table, as_of):
        home = archiving
        profile = home.coins.profile
        told = actions(
            ("BTC", "2025-01-31", 2.0), ("BTC", "2025-02-03", "0.5"), ("BTC", "2025-02-08", 3.0)
        )
        with home.store.writing("telling of actions") as transaction:
            transaction.actions.create("coins", profile.timeframes.kept, "UTC")
            transaction.actions.put("coins", {"BTC": "files"}, told)

        def adjusted(**options: object) -> pl.DataFrame:
            return read(
                "coins",
                table,
                adjusted=True,
                as_of=as_of,
                universe=home.universe,
                home=home.home,
                **options,
            )

        before, part = adjusted(), adjusted(start="2025-01-30", end="2025-02-06")
        assert before["symbol"].unique().to_list() == ["BTC"]
        assert home.expiry.remove()

        assert_frame_equal(adjusted(), before, rel_tol=1e-12)
        assert_frame_equal(adjusted(start="2025-01-30", end="2025-02-06"), part, rel_tol=1e-12)

    def test_a_profile_that_is_forgotten_finds_it_again_under_the_same_name(self, archiving):
        home = archiving
        home.expiry.remove()
        files = sorted(path for path in home.lake.rglob("*.parquet"))
        with home.store.writing("forgetting") as transaction:
            transaction.catalog.drop_profile("coins")

        home.coins.fill(days("2025-02-10", "2025-02-11"))

        found = read("coins", "candles_1m", universe=home.universe, home=home.home)
        assert found["ts"].min().date() == BEGIN
        assert sorted(path for path in home.lake.rglob("*.parquet")) == files
        with home.store.reading("looking") as view:
            assert view.pruned.archives().keys() == {"coins"}
        with home.store.writing("forgetting") as transaction:
            transaction.catalog.drop_profile("coins", archive=True)
        with home.store.reading("looking") as view:
            assert view.pruned.archives() == {}

    def test_tail_says_that_older_bars_are_archived(self, archiving):
        home = archiving
        environment = {
            **os.environ,
            "MARKET_ASSETS_HOME": str(home.home),
            "MARKET_ASSETS_UNIVERSE": str(home.folder / "universe.yaml"),
        }

        def tail(*options: str) -> str:
            done = in_this_process(["tail", "coins", "--timeframe", "4h", *options], environment)
            return " ".join(done.out.split())

        words = "Older bars of coins.candles_4h are in the lake alone"
        assert words not in tail("--lines", "1000")
        home.expiry.remove()
        assert words in tail("--lines", "1000")
        assert words not in tail("--lines", "3")
        assert words not in tail("--lines", "1000", "--json")

    def test_the_terminal_says_what_becomes_of_it(self, archiving):
        home = archiving
        home.expiry.remove()
        path = home.folder / "universe.yaml"
        path.write_text(path.read_text().replace("  coins:", "  others:"))
        environment = {
            **os.environ,
            "MARKET_ASSETS_HOME": str(home.home),
            "MARKET_ASSETS_UNIVERSE": str(path),
        }

        def forget(*options: str):
            return in_this_process(["forget", "coins", *options], environment)

        announced = " ".join(forget().out.split())
        assert "of the lake hold what retention has archived of it, and stay" in announced
        assert "a profile that is called coins reads them again" in announced
        removed = forget("--yes", "--json").json
        assert len(removed["archived_files"]) > 8
        assert removed["archive_forgotten"] is False
        assert forget("--yes").code == 2
        assert "remove that folder" in " ".join(forget("--yes", "--archive").out.split())
        assert forget("--yes", "--archive").code == 2

    def test_a_lost_manifest_loses_none_of_it(self, archiving):
        home = archiving
        before = home.everything()
        home.expiry.remove()
        exported(home)
        for path in home.lake.rglob("*.manifest.json"):
            path.write_text("damaged")
        exported(home)
        for name, rows in before.items():
            found = read("coins", name, universe=home.universe, home=home.home)
            assert found.equals(rows.select(found.columns)), name

    def test_a_lake_that_cannot_be_written_means_that_nothing_goes(self, archiving):
        home = archiving
        before = home.everything()
        home.lake.mkdir(parents=True)
        (home.lake / "coins").write_text("no folder")
        with pytest.raises(ExportError, match="cannot be written"):
            home.expiry.remove()
        assert all(home.rows(name).equals(rows) for name, rows in before.items())

    def test_what_the_lake_does_not_hold_does_not_go(self, archiving, monkeypatch):
        home = archiving
        before = home.everything()
        whole = expiry.read_archived

        def short(*arguments):
            rows = whole(*arguments)
            assert rows is not None
            changed = pl.when(pl.int_range(pl.len()) == 0).then(1e-9).otherwise(0.0)
            name = next(name for name, kind in rows.schema.items() if kind == pl.Float64)
            return rows.with_columns(pl.col(name) + changed)

        monkeypatch.setattr(expiry, "read_archived", short)
        with pytest.raises(ExportError, match="does not hold what the store has"):
            home.expiry.remove()
        assert all(home.rows(name).equals(rows) for name, rows in before.items())

    def test_a_file_that_is_gone_is_named_where_it_is_asked_for(self, archiving):
        home = archiving
        home.expiry.remove()
        gone = home.lake / "coins/candles_1m/year=2025/month=1/2025-01-30.parquet"
        gone.unlink()
        with pytest.raises(ReadError, match=r"2025-01-30\.parquet"):
            read("coins", "candles_1m", universe=home.universe, home=home.home)
        rest = read(
            "coins", "candles_1m", start="2025-01-31", universe=home.universe, home=home.home
        )
        assert rest["ts"].min() == datetime(2025, 1, 31)  # noqa: DTZ001

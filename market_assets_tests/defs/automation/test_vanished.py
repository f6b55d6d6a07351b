"""A store that was deleted, replaced or restored, and rows deleted by hand.

Both are noticed, told and filled again.
"""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg
import duckdb
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
)

from market_assets.alerts import Outside
from market_assets.defs.assets.troubles import CHECK, KEY
from market_assets_tests.support.alert_bell import Bell, loud
from market_assets_tests.support.alerts_ground import Webhook
from market_assets_tests.support.defs_ground import Follower
from market_assets_tests.support.repair_daemon import Daemon, asked, ranges, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from market_assets.practice.vendor import PracticeVendor
    from market_assets_tests.support.defs_ground import Ground

pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.PreviewWarning", "ignore::dagster.BetaWarning"
)

# What is older than a day is left to a backfill, if it was never filled.
KEYS = "{update: {first_backfill: 1d}, repair: {legacy_cutoff: null}}"


@pytest.fixture
def hook() -> Iterator[Webhook]:
    server = Webhook()
    yield server
    server.stop()


class Home:
    """A home with a week of hours of two symbols, all filled.

    With it come the two sensors that look after it.
    """

    def __init__(self, ground: Ground, source: PracticeVendor, hook: Webhook) -> None:
        self.ground, self.source = ground, source
        ground.keep(source, KEYS)
        assert ground.fill().is_success
        self.file = ground.home / "market.duckdb"
        self.daemon = Daemon(ground)
        assert reason(self.daemon.tick()) == "1h: all 7 partitions are well"
        self.bell = Bell(
            loud(ground.universe, hook.url), ground.definitions, ground.instance, ground.home
        )
        self.bell.now = ground.clock.now()
        self.bell.tick()
        source.log.clear()

    def rows(self) -> int:
        return self.ground.table("FROM kept.candles_1h").height

    def sql(self, text: str) -> None:
        with duckdb.connect(self.file) as db:
            db.execute(text)

    def subjects(self) -> list[tuple[str, str]]:
        return [(kind, subject) for kind, subject, _ in self.bell.present()]

    def page(self) -> tuple[int, bool]:
        """How many troubles the page in the UI names, and what its check says."""
        event = self.ground.instance.get_latest_materialization_event(KEY)
        assert event is not None
        assert event.asset_materialization is not None
        wrong = event.asset_materialization.metadata["wrong"].value
        (record,) = self.ground.instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(KEY, CHECK), limit=1
        )
        assert isinstance(wrong, int)
        return wrong, record.status.value == "SUCCEEDED"


@pytest.fixture
def home(ground: Ground, vendor: Callable[..., PracticeVendor], hook: Webhook) -> Home:
    return Home(ground, vendor(), hook)


CHANGED = ("store_changed", "market.duckdb")


def test_a_store_that_was_deleted_is_told_as_one_trouble_and_filled_again_whatever_its_age(
    home: Home, hook: Webhook
) -> None:
    assert home.page() == (0, True)
    instance, resting = home.ground.instance, SensorInstigatorData(2e9, None, 3600, "so far", 2e9)
    names = ("repair_kept", "repair_other")
    for name in names:
        repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "__repository__")
        running = InstigatorStatus.DECLARED_IN_CODE
        origin = repository.get_instigator_origin(name)
        instance.add_instigator_state(
            InstigatorState(origin, InstigatorType.SENSOR, running, resting)
        )
    home.file.unlink()
    home.bell.tick()
    # The sensor that mends it does not sleep for the rest of its hour.
    states = {state.name: state.instigator_data for state in instance.all_instigator_state()}
    assert [states[name].last_tick_timestamp for name in names] == [None, 2e9]
    assert home.subjects() == [CHANGED]
    assert "the store was deleted or replaced" in hook.bodies[-1]
    assert "consequences, vanished: kept candles_1h" in hook.bodies[-1]
    assert home.page() == (1, False)
    result = home.daemon.tick()
    assert ranges(result) == [("2025-02-03", "2025-02-09")]
    home.daemon.launch(result)
    assert home.rows() == 7 * 24 * 2
    home.bell.tick()
    assert home.subjects() == []
    assert home.page() == (0, True)
    assert "over: market.duckdb" in hook.titles[-1]
    assert len(hook.messages) == 2


def test_a_changed_store_is_not_over_while_what_is_made_of_candles_is_still_to_be_made(
    ground: Ground, vendor: Callable[..., PracticeVendor], hook: Webhook
) -> None:
    ground.keep(vendor(), KEYS.replace("{", "{timeframes: {fetch: [1h], derive: [1d]}, ", 1))
    assert ground.fill().is_success
    follower = Follower(ground)
    follower.launch()
    bell = Bell(loud(ground.universe, hook.url), ground.definitions, ground.instance, ground.home)
    bell.now = ground.clock.now()
    bell.tick()

    (ground.home / "market.duckdb").unlink()
    bell.tick()
    assert ("store_changed", "market.duckdb") in [
        (kind, subject) for kind, subject, _ in bell.present()
    ]
    assert ground.fill().is_success
    bell.tick()
    assert [kind for kind, _, _ in bell.present()] == ["store_changed"]
    follower.launch()
    bell.tick()
    assert bell.present() == []


def test_an_older_copy_is_noticed_and_the_days_that_it_lacks_are_filled(
    home: Home, hook: Webhook
) -> None:
    days = ("2025-02-07", "2025-02-08", "2025-02-09")
    newer = home.file.read_bytes()
    for table in ("kept.candles_1h", "ops.partitions"):
        column = "ts::DATE::VARCHAR" if table == "kept.candles_1h" else "partition"
        home.sql(f"DELETE FROM {table} WHERE {column} IN {days}")
    home.sql("UPDATE ops.store SET commits = commits - 1")
    older = home.file.read_bytes()
    # Whoever puts the newer one back has nothing more to do.
    home.bell.tick()
    assert home.subjects() == [CHANGED]
    assert "an older copy of itself" in hook.bodies[-1]
    home.file.write_bytes(newer)
    home.bell.tick()
    assert home.subjects() == []
    home.file.write_bytes(older)
    home.bell.tick()
    assert home.subjects() == [CHANGED]
    result = home.daemon.tick()
    assert ranges(result) == [("2025-02-07", "2025-02-09")]
    home.daemon.launch(result)
    home.bell.tick()
    assert home.subjects() == []
    assert asked(home.source) == {"BTC": 1, "ETH": 1}


def test_another_store_is_a_trouble_until_it_is_accepted(home: Home) -> None:
    outside = Outside(home.ground.home, home.ground.universe, home.ground.clock.now)
    home.file.unlink()
    home.bell.tick()
    assert outside.accept()
    home.bell.tick()
    # What is not there is still not there.
    assert home.subjects() == [("vanished", "candles_1h")]
    assert not outside.accept()


def test_rows_that_somebody_deleted_are_missed_at_once_and_asked_for_again(
    home: Home, hook: Webhook
) -> None:
    home.sql(
        """
        DELETE FROM kept.candles_1h
        WHERE symbol = 'ETH' AND ts >= '2025-02-04 05:00' AND ts < '2025-02-04 09:00'
        """
    )
    # The newest days are counted at each look, all of them once a day.
    home.bell.tick(timedelta(days=1))
    assert home.subjects() == [("vanished", "candles_1h")]
    assert "2025-02-04: 20 of 24 candles are left of ETH" in hook.bodies[-1]
    home.bell.tick()
    assert home.subjects() == [("vanished", "candles_1h")]
    home.daemon.wait(days=1)
    result = home.daemon.tick()
    assert ranges(result) == [("2025-02-04", "2025-02-04")]
    home.daemon.launch(result)
    assert home.rows() == 7 * 24 * 2
    home.bell.tick()
    assert home.subjects() == []


@pytest.mark.parametrize("left", [0.5, 0.01])
def test_a_truncated_file_is_told_without_the_store_once_and_once_more_when_it_is_whole(
    home: Home, hook: Webhook, left: float
) -> None:
    whole = home.file.with_name("copy")
    shutil.copy(home.file, whole)
    content = home.file.read_bytes()
    home.file.write_bytes(content[: int(len(content) * left)])
    reasons = [home.bell.tick() for _ in range(3)]
    assert all(words.startswith("not looked: ") for words in reasons), reasons
    assert len(hook.messages) == 1
    assert "the store cannot be used" in hook.bodies[0]
    assert home.page() == (1, False)
    shutil.copy(whole, home.file)
    home.bell.tick()
    assert "over: market.duckdb" in hook.titles[-1]
    assert home.subjects() == []
    assert home.page() == (0, True)

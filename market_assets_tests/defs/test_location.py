"""The definitions that a universe makes.

What are they, what do they cost to load, and what do they never reveal?
"""

from __future__ import annotations

import socket
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._serdes import serialize_value

from market_assets.config.load import load_universe
from market_assets.config.places import PACKAGED
from market_assets.definitions import build_definitions
from market_assets.defs.automation.runs import RangeRun, Runner
from market_assets.defs.internals.adapter import range_tags
from market_assets.defs.resources import Clock, Sources, StoreResource
from market_assets.enrich.derive import Derive
from market_assets.expected.scope import scope_of
from market_assets.market.timeframes import Timeframe, Window
from market_assets.store import Store
from market_assets_tests.support.defs_ground import Follower

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.practice.vendor import PracticeVendor
    from market_assets_tests.support.defs_ground import Ground

GOLDEN = Path(__file__).parent / "golden" / "definitions.txt"
CLOCK = Clock(fixed="2026-01-01T00:00:00+00:00")


def packaged() -> dg.Definitions:
    """The definitions of the packaged universe as it is written, but with an end.

    Without an end there is one more partition per day.
    """
    universe = load_universe(PACKAGED, environ={})
    ends = {"crypto": date(2025, 12, 1)}
    profiles = {
        name: profile.model_copy(update={"end": ends.get(name, date(2025, 11, 29))})
        for name, profile in universe.profiles.items()
    }
    return build_definitions(
        universe.model_copy(update={"profiles": profiles}), overrides={"clock": CLOCK}
    )


def described(definitions: dg.Definitions) -> str:
    """What the definitions hold, in words that a change can be read from.

    All assets that are alike have one paragraph.
    """
    graph = definitions.resolve_asset_graph()
    alike: dict[tuple[str, ...], list[str]] = {}
    for key in sorted(graph.materializable_asset_keys, key=_shortest_first):
        node = graph.get(key)
        policy, partitions = node.backfill_policy, node.partitions_def
        stretch = "no partitions"
        if partitions is not None:
            assert isinstance(partitions, dg.TimeWindowPartitionsDefinition)
            keys = partitions.get_partition_keys()
            stretch = (
                f"partitions {keys[0]} to {keys[-1]}, {len(keys)} by {partitions.cron_schedule}"
            )
        runs = (
            f"{policy.policy_type.value}, at most {policy.max_partitions_per_run} a run"
            if policy
            else "none"
        )
        parents = ", ".join(sorted(parent.to_user_string() for parent in node.parent_keys))
        columns = node.metadata["dagster/column_schema"].columns
        paragraph = (
            (
                f"    group {node.group_name}; kinds {', '.join(sorted(node.kinds))}; "
                f"owners {', '.join(node.owners)}"
            ),
            f"    {stretch}",
            f"    backfill {runs}; pool {node.assets_def.op.pool}",
            f"    made of {parents or 'no other asset'}",
            (
                "    automation "
                f"{node.automation_condition.get_label() if node.automation_condition else 'none'}"
            ),
            f"    checks {', '.join(sorted(check.name for check in node.check_keys)) or 'none'}",
            f"    columns {', '.join(f'{column.name} {column.type}' for column in columns)}",
        )
        alike.setdefault(paragraph, []).append(key.to_user_string())
    lines = [
        line for paragraph, names in alike.items() for line in (" ".join(names), *paragraph, "")
    ]
    repository = definitions.get_repository_def()
    for key in sorted(graph.external_asset_keys):
        checks = ", ".join(sorted(check.name for check in graph.get(key).check_keys))
        lines.append(
            f"made by no run: {key.to_user_string()}; group {graph.get(key).group_name}; "
            f"checks {checks}"
        )
    lines += [
        f"schedule {schedule.name}: {schedule.default_status.value}, {schedule.cron_schedule}"
        for schedule in repository.schedule_defs
    ]
    lines += [
        f"sensor {sensor.name}: {sensor.default_status.value}, "
        f"every {sensor.minimum_interval_seconds} s"
        for sensor in repository.sensor_defs
    ]
    lines.append(f"resources {', '.join(sorted(repository.get_top_level_resources()))}")
    lines.append(
        f"jobs {', '.join(sorted(repository.job_names))}; executor {definitions.executor.name}"
    )
    return "\n".join(lines) + "\n"


def _shortest_first(key: dg.AssetKey) -> tuple[str, timedelta]:
    profile, _, timeframe = key.to_user_string().partition("/candles_")
    return profile, Timeframe(timeframe).duration if timeframe else timedelta.max


def test_the_packaged_universe_makes_these_assets() -> None:
    found = described(packaged())
    told = (
        "if this change is meant: "
        "python -m market_assets_tests.defs.test_definitions writes the golden file again"
    )
    assert found.splitlines() == GOLDEN.read_text().splitlines(), told


def test_every_asset_says_what_it_is_and_what_its_columns_mean() -> None:
    definitions = packaged()
    graph = definitions.resolve_asset_graph()
    for key in graph.materializable_asset_keys:
        node = graph.get(key)
        assert node.description
        assert len(node.description) > 100, key
        table = "ops.completeness" if key.path[1] == "completeness" else ".".join(key.path)
        assert node.metadata["dagster/table_name"] == table
        columns = node.metadata["dagster/column_schema"].columns
        assert all(column.description for column in columns), key
        assert node.owners, key
        for check in node.check_keys:
            spec = graph.get_check_spec(check)
            assert spec.description, check
            assert spec.partitions_def == node.partitions_def, check
    assert "1m candles of 3 CRYPTO symbols from practice, on the calendar 24/7" in str(
        graph.get(dg.AssetKey(["crypto", "candles_1m"])).description
    )


def test_definitions_load_without_network_and_without_making_or_opening_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "bind", refuse)
    monkeypatch.setenv("MARKET_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MARKET_ASSETS_UNIVERSE", raising=False)
    from market_assets.definitions import defs  # noqa: PLC0415 - it reads the environment

    loaded = defs()
    loaded.resolve_all_job_defs()
    RepositorySnap.from_def(loaded.get_repository_def())
    assert (
        dg.AssetKey(["crypto", "candles_1w"]) in loaded.resolve_asset_graph().get_all_asset_keys()
    )
    assert not (tmp_path / "home").exists()


def test_the_universe_that_the_environment_names_is_the_one_that_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "sources: {binance: {}}\n"
        "profiles:\n"
        "  mine: {kind: CRYPTO, start: 2025-01-01, sources: [binance], symbols: {A: {}}}\n"
    )
    monkeypatch.setenv("MARKET_ASSETS_UNIVERSE", str(path))
    from market_assets.definitions import defs  # noqa: PLC0415 - it reads the environment

    found = {key.to_user_string() for key in defs().resolve_asset_graph().get_all_asset_keys()}
    assert found == {"mine/candles_1m", "mine/completeness", "platform/troubles"}


def test_a_month_that_begins_before_its_profile_is_made_of_the_days_that_there_are() -> None:
    graph = packaged().resolve_asset_graph()
    minutes, days = (
        graph.get(dg.AssetKey(["crypto", "candles_1m"])),
        graph.get(dg.AssetKey(["crypto", "candles_1d"])),
    )
    assert days.partitions_def is not None
    mapping = graph.get_partition_mapping(days.key, minutes.key)
    result = mapping.get_upstream_mapped_partitions_result_for_partitions(
        days.partitions_def.subset_with_partition_keys(["2025-10-01"]),
        days.partitions_def,
        minutes.partitions_def,
    )
    assert list(result.partitions_subset.get_partition_keys()) == [
        f"2025-10-{day}" for day in range(27, 32)
    ]
    assert list(result.required_but_nonexistent_subset.get_partition_keys()) == []


def test_resources_can_be_replaced(ground: Ground, vendor: Callable[..., PracticeVendor]) -> None:
    # The universe names a vendor that is not there; the one that is there comes by the override,
    # with its clock and store.
    ground.keep(vendor())
    living = ground.universe
    path = ground.home / "dead.yaml"
    path.write_text(living.path.read_text().replace("http://127.0.0.1:", "http://127.0.0.2:1/"))
    other = ground.home / "elsewhere" / "market.duckdb"
    ground.definitions = build_definitions(
        load_universe(path, environ={}),
        overrides={
            "sources": Sources(living),
            "clock": Clock(fixed="2025-02-05T00:00:00+00:00"),
            "store": StoreResource(database=str(other)),
        },
    )
    assert ground.fill("2025-02-03", "2025-02-05").is_success
    assert other.exists()
    assert not (ground.home / "market.duckdb").exists()
    # By the other clock the third day has not begun.
    assert list(ground.colours().values())[:3] == ["MATERIALIZED", "MATERIALIZED", "MISSING"]


def test_secrets_are_nowhere_in_what_dagster_is_told(tmp_path: Path) -> None:
    path = tmp_path / "universe.yaml"
    path.write_text(
        "sources:\n"
        "  binance: {base_url: 'https://${HOST_PART}.example', "
        "headers: {X-Key: 'Bearer ${VENDOR_KEY}'}}\n"
        "profiles:\n"
        "  kept: {kind: CRYPTO, start: 2025-01-01, sources: [binance], symbols: {A: {}}}\n"
    )
    secrets = {"VENDOR_KEY": "tell-nobody-4711", "HOST_PART": "hidden-host"}
    universe = load_universe(path, environ=secrets)
    definitions = build_definitions(universe)
    repository = definitions.get_repository_def()
    told = serialize_value(RepositorySnap.from_def(repository))
    told += "".join(serialize_value(job.get_job_snapshot()) for job in repository.get_all_jobs())
    told += repr(definitions) + repr(repository.get_top_level_resources()) + repr(universe)
    assert len(told) > 10_000
    for secret in secrets.values():
        assert secret not in told
    # The sources themselves have them.
    assert universe.sources["binance"]["headers"] == {"X-Key": "Bearer tell-nobody-4711"}


@pytest.fixture
def derived(ground: Ground) -> Ground:
    """Two months of hours, and what is made of them; nothing is filled yet."""
    ground.keep(
        keys="{end: 2025-04-10, timeframes: {fetch: [1h], derive: [4h, 1d, 1w]}}",
        now="2025-05-01T00:00:00+00:00",
    )
    return ground


def derive(ground: Ground, partitions: tuple[str, ...], *timeframes: Timeframe) -> None:
    ranged = RangeRun("kept", timeframes, partitions)
    assert Runner(ground.definitions, ground.instance).execute(ranged, done=lambda: None)[1]


def heal(ground: Ground, day: str) -> None:
    """Lose a bar of a day and fill it again."""
    with ground.store_resource.get_connection() as connection:
        connection.execute(f"DELETE FROM kept.candles_1h WHERE ts = '{day} 14:00'")
    assert ground.fill(day).is_success


def test_a_filled_partition_requests_exactly_what_is_made_of_it_and_once(derived: Ground) -> None:
    follower = Follower(derived)
    assert follower.asked() == {}
    # All days around these two are missing, and stay so.
    derived.fill("2025-02-05")
    derived.fill("2025-03-10")
    days, months = [("2025-02-05",) * 2, ("2025-03-10",) * 2], [("2025-02-01", "2025-03-01")]
    assert follower.asked() == {"candles_4h": days, "candles_1d": months}
    assert follower.asked() == {}, "they were launched a moment ago"
    derive(derived, ("2025-02-05",), Timeframe.H4)
    derive(derived, ("2025-03-10",), Timeframe.H4)
    derive(derived, ("2025-02-01", "2025-03-01"), Timeframe.D1)
    assert follower.asked() == {"candles_1w": months}
    derive(derived, ("2025-02-01", "2025-03-01"), Timeframe.W1)
    assert follower.asked() == {}
    heal(derived, "2025-03-10")
    assert follower.asked() == {"candles_4h": days[1:], "candles_1d": [("2025-03-01",) * 2]}


def test_a_fill_that_has_changed_nothing_requests_nothing(derived: Ground) -> None:
    derived.fill("2025-02-05", "2025-02-06")
    follower = Follower(derived)
    assert follower.launch() == 3
    derived.fill("2025-02-05", "2025-02-06", refetch=True)
    assert follower.asked() == {}
    heal(derived, "2025-02-05")
    assert follower.asked() == {
        "candles_4h": [("2025-02-05",) * 2],
        "candles_1d": [("2025-02-01",) * 2],
    }


def test_what_the_terminal_has_derived_is_not_requested_again(derived: Ground) -> None:
    follower = Follower(derived)
    derived.fill("2025-02-05", "2025-02-07")
    derive(derived, ("2025-02-05", "2025-02-06", "2025-02-07"), Timeframe.H4)
    derive(derived, ("2025-02-01",), Timeframe.D1)
    derive(derived, ("2025-02-01",), Timeframe.W1)
    assert follower.asked() == {}


def test_an_input_that_changed_again_after_it_was_derived_is_seen_by_whoever_looks_first(
    derived: Ground,
) -> None:
    derived.fill("2025-02-05", "2025-02-06")
    derive(derived, ("2025-02-05", "2025-02-06"), Timeframe.H4)
    derive(derived, ("2025-02-01",), Timeframe.D1, Timeframe.W1)
    heal(derived, "2025-02-06")
    assert Follower(derived).asked() == {
        "candles_4h": [("2025-02-06",) * 2],
        "candles_1d": [("2025-02-01",) * 2],
    }


def test_a_run_that_was_killed_while_it_derived_is_made_good_by_the_sensor(derived: Ground) -> None:
    """The store alone says what is behind: no event of the killed run is needed."""
    derived.fill("2025-02-05", "2025-02-10")
    follower = Follower(derived)
    derive(derived, ("2025-02-05", "2025-02-06", "2025-02-07"), Timeframe.H4)
    assert follower.asked()["candles_4h"] == [("2025-02-08", "2025-02-10")]
    # That run dies as well, without a word: it is asked for again after a while, and again.
    assert follower.asked() == {}
    derived.move_clock(derived.clock.now() + timedelta(minutes=2))
    assert follower.asked()["candles_4h"] == [("2025-02-08", "2025-02-10")]
    assert follower.asked() == {}
    derived.move_clock(derived.clock.now() + timedelta(minutes=3))
    assert follower.launch() == 3
    assert derived.table("SELECT count(*) FROM kept.candles_4h").item() == 6 * 6 * 2


def test_what_was_made_without_a_run_is_reported_by_one(derived: Ground) -> None:
    derived.fill("2025-02-05", "2025-02-06")
    work = Derive(
        Store(derived.home, clock=derived.clock.now),
        scope_of(derived.profile, Timeframe.H4, derived.clock.now()),
        Window.of_days(date(2025, 2, 5), date(2025, 2, 7)),
    )
    assert len(list(work)) == 2
    assert not derived.colours("4h")
    follower = Follower(derived)
    assert follower.launch() == 3
    assert derived.colours("4h")["2025-02-06"] == "MATERIALIZED"
    assert follower.asked() == {}


def test_nothing_is_derived_of_what_a_run_still_fills(derived: Ground) -> None:
    derived.fill("2025-02-05", "2025-02-06")
    job = derived.definitions.resolve_implicit_global_asset_job_def()
    waiting = derived.instance.create_run_for_job(
        job.get_subset(asset_selection={derived.key()}),
        asset_selection=frozenset({derived.key()}),
        tags=range_tags("2025-02-06", "2025-02-20"),
        status=dg.DagsterRunStatus.STARTED,
    )
    follower = Follower(derived)
    assert follower.asked() == {"candles_4h": [("2025-02-05",) * 2]}
    derive(derived, ("2025-02-05",), Timeframe.H4)
    derived.instance.report_run_canceled(waiting)
    assert follower.asked() == {
        "candles_4h": [("2025-02-06",) * 2],
        "candles_1d": [("2025-02-01",) * 2],
    }


def test_a_run_that_was_to_make_both_and_filled_some_days_alone_leaves_these_to_be_derived(
    ground: Ground, vendor: Callable[..., PracticeVendor]
) -> None:
    hole = {"fault": "hole", "start": "2025-02-05T00:00Z", "end": "2025-02-06T00:00Z"}
    ground.keep(vendor(hole), "{timeframes: {fetch: [1h], derive: [4h]}}")
    both = RangeRun(
        "kept", (Timeframe.H1, Timeframe.H4), ("2025-02-04", "2025-02-05", "2025-02-06")
    )
    assert not Runner(ground.definitions, ground.instance).execute(both, done=lambda: None)[1]
    assert set(list(ground.colours("4h").values())[1:4]) == {"FAILED"}
    # The day between is made along, and has nothing to be made of.
    assert Follower(ground).asked() == {"candles_4h": [("2025-02-04", "2025-02-06")]}


if __name__ == "__main__":
    GOLDEN.write_text(described(packaged()))

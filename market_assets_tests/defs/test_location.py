"""The code location of a universe: what its definitions are, cost and never reveal."""

from __future__ import annotations

import socket
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._serdes import serialize_value

from market_assets.config.load import load_universe
from market_assets.config.places import PACKAGED
from market_assets.config.settings import StreamSettings
from market_assets.definitions import build_definitions
from market_assets.defs.resources import Clock
from market_assets.market.timeframes import Timeframe

if TYPE_CHECKING:
    import pytest

GOLDEN = Path(__file__).parent / "golden" / "definitions.txt"
CLOCK = Clock(fixed="2026-01-01T00:00:00+00:00")


def packaged(**streams: StreamSettings) -> dg.Definitions:
    """The definitions of the packaged universe as it is written, but with an end.

    Without an end there is one more partition per day. A profile that is streamed has none.
    """
    universe = load_universe(PACKAGED, environ={})
    ends = {"crypto": date(2025, 12, 1)}
    profiles = {
        name: profile.model_copy(update={"end": ends.get(name, date(2025, 11, 29))})
        for name, profile in universe.profiles.items()
    }
    for name, settings in streams.items():
        update = {"stream": settings, "end": CLOCK.now().date() + timedelta(days=1)}
        profiles[name] = profiles[name].model_copy(update=update)
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
        "python -m market_assets_tests.defs.test_location writes the golden file again"
    )
    assert found.splitlines() == GOLDEN.read_text().splitlines(), told


def test_a_profile_that_is_streamed_has_one_job_and_one_sensor_more() -> None:
    def automation(streams: dict[str, StreamSettings]) -> list[str]:
        lines = described(packaged(**streams)).splitlines()
        return [line for line in lines if line.startswith(("sensor", "schedule", "jobs"))]

    usual = automation({"crypto": StreamSettings()})
    streamed = automation({"crypto": StreamSettings(enabled=True)})

    jobs = next(line for line in usual if line.startswith("jobs"))
    assert [line for line in streamed if line not in usual] == [
        "sensor stream_crypto: RUNNING, every 15 s",
        jobs.replace("retention;", "retention, stream_crypto;"),
    ]
    assert [line for line in usual if line not in streamed] == [jobs]


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


if __name__ == "__main__":
    GOLDEN.write_text(described(packaged()))

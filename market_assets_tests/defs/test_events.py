"""What a run reports of itself in Dagster: its progress and its audit.

This holds whether the run succeeds or fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from market_assets.defs.automation.runs import instance_at
from market_assets.defs.events import audit_metadata
from market_assets.practice.book import Market
from market_assets.practice.vendor import PracticeVendor
from market_assets_tests.support.defs_faults import FAULTS, plain
from market_assets_tests.support.defs_ground import Ground

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Vendor = Callable[..., PracticeVendor]

pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.PreviewWarning", "ignore::dagster.BetaWarning"
)

BUSY = {"fault": "error", "symbols": ["BTC"], "status": 429, "retry_after": 1, "times": 1}


def observations(ground: Ground, run: dg.DagsterRun) -> list[dg.AssetObservation]:
    """What a run says of itself, in contrast to what it says of a partition."""
    return [one for one in all_observations(ground, run) if one.partition is None]


def all_observations(ground: Ground, run: dg.DagsterRun) -> list[dg.AssetObservation]:
    entries = ground.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION)
    return [one for entry in entries if (one := entry.asset_observation) is not None]


def progress(ground: Ground, run: dg.DagsterRun) -> list[str]:
    return [line for line in ground.messages(run) if line.startswith("progress ")]


@dataclass
class Audited:
    """A home after one run over the whole range.

    The vendor has FAULTS, and is busy at first.
    """

    ground: Ground
    vendor: PracticeVendor
    run: dg.DagsterRun


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    home = tmp_path_factory.mktemp("audited") / "home"
    market = Market.model_validate({"kind": "crypto", "faults": [BUSY, *FAULTS]})
    with instance_at(home) as instance, PracticeVendor(market) as running:
        ground = Ground(home, instance)
        ground.keep(running)
        # As the terminal does not retry in these tests' universe, this one does.
        settings = ground.universe.sources["practice"]
        assert isinstance(settings, dict)
        settings["retries"] = 2
        yield Audited(ground, running, ground.fill())


def test_a_run_that_fails_has_its_audit_too_and_it_is_of_no_partition(audited: Audited) -> None:
    ground, run = audited.ground, audited.run
    assert run.is_failure
    (told,) = observations(ground, run)
    assert (told.asset_key, told.partition) == (ground.key(), None)
    shown = plain(told.metadata)
    assert shown["window"] == "2025-02-03 00:00Z to 2025-02-10 00:00Z"
    assert (shown["trigger"], shown["status"], shown["symbols"]) == ("manual", "INCOMPLETE", 2)
    assert (shown["progress_percent"], shown["partitions"], shown["failed_partitions"]) == (
        100.0,
        7,
        1,
    )
    assert (
        shown["new_rows"],
        shown["revised_rows"],
        shown["rejected_rows"],
        shown["repaired"],
    ) == (260, 0, 2, 0)
    assert (
        shown["missing_before"],
        shown["missing_after"],
        shown["gaps_before"],
        shown["gaps_after"],
    ) == (
        336,
        76,
        0,
        5,
    )
    assert (shown["requests"], shown["retries"]) == (len(audited.vendor.log), 1)
    assert shown["waits_seconds"] > 0.9
    assert shown["by_source"][0]["retries"] == 1
    assert [row["symbol"] for row in shown["by_symbol"]] == ["ETH", "BTC"]
    eth = {
        "missing_before": 168,
        "expected": 168,
        "stored": 118,
        "missing": 50,
        "new": 118,
        "rejected": 2,
    }
    assert {name: shown["by_symbol"][0][name] for name in eth} == eth
    assert "symbols_not_shown" not in shown
    assert (
        told.description
        == "fill by manual: 7 of 7 partitions, 260 new rows, 336 bars missing before and 76 after"
    )


def test_the_audit_is_the_jobs_own_record(audited: Audited) -> None:
    (told,) = observations(audited.ground, audited.run)
    job = audited.ground.table(
        "SELECT job_id, run_id, (detail ->> '$.missing_after')::INT AS missing FROM ops.jobs"
    )
    assert job.row(0) == (plain(told.metadata)["job"], audited.run.run_id, 76)


def test_an_audit_paints_no_partition(audited: Audited) -> None:
    green, red = "MATERIALIZED", "FAILED"
    assert list(audited.ground.colours().values()) == [
        green,
        green,
        red,
        green,
        green,
        green,
        green,
    ]


def test_a_long_run_tells_its_progress_in_a_bounded_number_of_lines(
    ground: Ground, vendor: Vendor
) -> None:
    ground.keep(vendor(), "{start: 2024-11-01, symbols: {BTC: {}}}")
    run = ground.fill()
    lines = progress(ground, run)
    assert 1 <= len(lines) <= 20
    assert lines[-1] == "progress 100 %: 101 of 101 partitions, 0 not filled; 2,424 new rows"


def test_a_derivation_has_an_audit_and_a_run_of_the_future_has_none(
    ground: Ground, vendor: Vendor
) -> None:
    ground.keep(vendor(), "{timeframes: {fetch: [1h], derive: [4h]}}")
    ground.fill()
    (told,) = observations(ground, run := ground.run("4h"))
    shown = plain(told.metadata)
    assert (shown["new_rows"], shown["missing_before"], shown["missing_after"]) == (84, 84, 0)
    assert "by_source" not in shown
    assert progress(ground, run)[-1].startswith("progress 100 %")

    ground.keep(vendor(), now="2025-02-02T00:00:00+00:00")
    assert observations(ground, ground.fill()) == []


def test_of_many_symbols_the_worst_are_shown_and_the_others_counted() -> None:
    numbers = (
        "repaired",
        "gaps_before",
        "gaps_after",
        "missing_before",
        "missing_after",
        "abandoned",
        "partitions",
        "partitions_failed",
        "partitions_with_faults",
    )
    detail = dict.fromkeys(numbers, 0) | {
        "rows": {"new": 0, "revised": 0, "rejected": 0},
        "requests": {},
        "by_symbol": {f"S{number:02}": {"missing": 30 - number} for number in range(30)},
        "symbols_not_shown": 5,
        "seconds": 1,
    }
    day = dg.DailyPartitionsDefinition("2025-02-03").start
    shown = audit_metadata(
        {
            "start_ts": day,
            "end_ts": day,
            "trigger": "manual",
            "status": "SUCCEEDED",
            "progress": 1.0,
            "symbols": [],
            "job_id": "x",
            "detail": detail,
        }
    )
    assert (len(shown["by_symbol"].records), shown["symbols_not_shown"]) == (20, 15)
    assert shown["by_symbol"].records[0].data["missing"] == 30

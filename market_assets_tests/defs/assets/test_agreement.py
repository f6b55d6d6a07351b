"""The check `agreement` in Dagster.

It exists where sampling is on, is judged where a partition was compared, and is repaired by nobody.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from market_assets.config.sources import sources_of
from market_assets.defs.automation.repair import look_at
from market_assets.defs.events import CHECKS
from market_assets.defs.internals.checks import check_failures
from market_assets.defs.resources import Sources
from market_assets.expected.scope import scope_of
from market_assets.market.timeframes import Timeframe

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.practice.vendor import PracticeVendor
    from market_assets_tests.support.defs_ground import Ground

    Vendor = Callable[..., PracticeVendor]

WRONG = {
    "fault": "revision",
    "symbols": ["BTC"],
    "start": "2025-02-05T03:00Z",
    "end": "2025-02-05T05:00Z",
}


@pytest.fixture
def beside(ground: Ground, vendor: Vendor) -> Callable[[str], Ground]:
    """A home whose profile has two sources: a vendor, and a second source.

    The second source has two hours of one day otherwise.
    """
    other = {"type": "practice", "base_url": vendor(WRONG).url, "retries": 0, "backoff": 0}

    def keep(keys: str) -> Ground:
        ground.keep(
            vendor(), "{sources: [practice, other], " + keys + "}", sources={"other": other}
        )
        return ground

    return keep


def checks(ground: Ground) -> set[str]:
    graph = ground.definitions.resolve_asset_graph()
    return {key.name for key in graph.get_check_keys_for_assets({ground.key()})}


def test_it_is_red_where_sources_differ_green_where_they_agree_and_the_partitions_stay_filled(
    beside: Callable[[str], Ground],
) -> None:
    ground = beside("agreement: {sample: 1, close: 0.01%}")
    run = ground.fill()

    assert run.is_success
    assert checks(ground) == {*CHECKS, "agreement"}
    found = {
        key: one for (key, check), one in ground.evaluations(run).items() if check == "agreement"
    }
    assert {key: one.passed for key, one in found.items()} == {
        f"2025-02-0{day}": day != 5 for day in range(3, 10)
    }
    wrong = found["2025-02-05"]
    assert wrong.severity is dg.AssetCheckSeverity.WARN
    assert wrong.description.startswith(
        "BTC is not the same at practice and other: 2 of 24 closes lie more than 0.01 % apart"
    )
    shown: dict[str, Any] = {name: value.value for name, value in wrong.metadata.items()}
    assert (shown["compared"], shown["close: bars"], shown["disagreeing"], shown["agreeing"]) == (
        48,
        2,
        1,
        1,
    )
    assert shown["bars"].records[0].data["ts"].startswith("2025-02-05 0")
    assert set(ground.colours().values()) == {"MATERIALIZED"}
    assert ground.table("SELECT DISTINCT symbol, partition FROM ops.disagreements").rows() == [
        ("BTC", "2025-02-05")
    ]


def test_it_stays_red_when_the_partition_is_filled_again_and_no_repair_follows(
    beside: Callable[[str], Ground],
) -> None:
    ground = beside("agreement: {sample: 1, close: 0.01%}")
    ground.fill()
    ground.fill("2025-02-05")

    assert set(check_failures(ground.instance, ground.key(), "agreement").failed) == {"2025-02-05"}
    sources = sources_of(ground.universe, ground.profile)
    look = look_at(
        scope_of(ground.profile, Timeframe.H1, ground.clock.now() - timedelta(minutes=1)),
        ground.partitions(),
        instance=ground.instance,
        store=ground.store_resource.store(ground.clock),
        sources=sources,
        launches={},
    )
    assert (look.troubled, look.plan.runs) == ({}, ())


def test_only_sampled_partitions_have_a_verdict(beside: Callable[[str], Ground]) -> None:
    ground = beside("symbols: {BTC: {}}, agreement: {sample: 30%}")
    run = ground.fill()

    found = {key for key, check in ground.evaluations(run) if check == "agreement"}
    assert 0 < len(found) < 7
    assert found == set(ground.table("SELECT DISTINCT partition FROM ops.agreement")["partition"])
    assert run.is_success


@pytest.mark.parametrize(
    "keys", ["agreement: {sample: 0}", "sources: [practice], agreement: {sample: 1}"]
)
def test_there_is_no_such_check_without_a_sample_or_a_second_source(
    ground: Ground, keys: str
) -> None:
    ground.keep(None, "{" + keys + "}")
    assert checks(ground) == set(CHECKS)


def test_the_asset_says_which_source_is_only_compared(ground: Ground) -> None:
    sources = {
        "one": {"type": "practice", "venue": "here"},
        "two": {"type": "practice", "venue": "there"},
    }
    profile = ground.keep(None, "{sources: [one, two], agreement: {sample: 5%}}", sources=sources)

    description = ground.definitions.resolve_asset_graph().get(ground.key()).description or ""

    assert (
        "from one, on the calendar 24/7. two (there) is another venue than here and is not asked"
        in description
    )
    assert "5 % of them are compared with another source" in description
    assert set(Sources(ground.universe).build(profile)) == {"one", "two"}

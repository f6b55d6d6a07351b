"""Which partitions of a run get a picture, and that a picture never costs a partition."""

from __future__ import annotations

import logging
import re
from base64 import b64decode
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from PIL import Image

from market_assets.defs.automation.runs import RangeRun, Runner
from market_assets.defs.pictures import MOST, Picture, Pictures
from market_assets.fill.options import USUAL, FillOptions
from market_assets.market.datasets import Family
from market_assets.market.partitions import Cadence, Partition
from market_assets.market.timeframes import Timeframe
from market_assets.verdicts.verdicts import SymbolCounts
from market_assets.work.outcome import PartitionOutcome
from market_assets.work.run import Trigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.defs.pictures import Draw
    from market_assets.practice.vendor import PracticeVendor
    from market_assets.store import Snapshot
    from market_assets_tests.support.defs_ground import Ground

    Vendor = Callable[..., PracticeVendor]

pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.PreviewWarning", "ignore::dagster.BetaWarning"
)

HOLE = {
    "fault": "hole",
    "symbols": ["ETH"],
    "start": "2025-02-05T02:00Z",
    "end": "2025-02-05T10:00Z",
}
BUDGET = 20_000


def drawn(ground: Ground, run: dg.DagsterRun, name: str = "candles") -> list[str]:
    """The partitions of which a run drew a picture, each looked at."""
    entries = ground.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION)
    red = (entry.asset_observation for entry in entries)
    found = {
        **ground.materializations(run),
        **{one.partition: one for one in red if one and one.partition},
    }
    shown = {key: one.metadata[name] for key, one in found.items() if name in one.metadata}
    for markdown in shown.values():
        text = str(markdown.value)
        encoded = re.fullmatch(r"!\[[^\]]+\]\(data:image/png;base64,([^)]+)\)", text)
        assert encoded is not None
        assert len(text) < BUDGET
        assert Image.open(BytesIO(b64decode(encoded[1]))).width > 300
    return sorted(shown)


def made(
    ground: Ground,
    ranged: RangeRun,
    options: FillOptions = USUAL,
    *,
    trigger: Trigger = Trigger.MANUAL,
) -> dg.DagsterRun:
    run_id, _ = Runner(ground.definitions, ground.instance, trigger).execute(
        ranged, options, done=lambda: None
    )
    run = ground.instance.get_run_by_id(run_id)
    assert run is not None
    return run


def test_each_table_has_pictures_in_a_small_run_of_all_and_in_a_longer_one_of_what_is_to_be_seen(
    ground: Ground, vendor: Vendor
) -> None:
    ground.keep(
        vendor(HOLE), "{timeframes: {fetch: [1h], derive: [4h], features: [1h], returns: [1h]}}"
    )
    run = ground.fill()
    assert drawn(ground, run) == ["2025-02-05", "2025-02-09"]
    entries = ground.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION)
    (red,) = (one for entry in entries if (one := entry.asset_observation) and one.partition)
    markdown = str(red.metadata["candles"].value)
    assert markdown.startswith("![kept ETH candles_1h, 2025-02-05]")

    days = ("2025-02-05", "2025-02-06")
    for timeframe, family, name in (
        ("4h", "candles", "candles"),
        ("1h", "features", "features"),
        ("1h", "returns", "mask"),
    ):
        ranged = RangeRun("kept", (Timeframe(timeframe),), days, Family(family))
        assert drawn(ground, made(ground, ranged), name) == list(days)


def test_a_partition_that_goes_on_has_one_when_a_person_asks_and_not_at_each_update(
    ground: Ground, vendor: Vendor
) -> None:
    ground.keep(vendor(), now="2025-02-05T12:00:00+00:00")
    days = ("2025-02-04", "2025-02-05")

    ranged = RangeRun("kept", (Timeframe.H1,), days)
    assert drawn(
        ground, made(ground, ranged, FillOptions(refetch=True), trigger=Trigger.UPDATE)
    ) == ["2025-02-04"]
    assert drawn(ground, made(ground, ranged, FillOptions(refetch=True))) == list(days)


def test_a_run_that_lacks_bars_everywhere_stays_within_its_budget_and_keeps_room_for_its_newest(
    ground: Ground,
) -> None:
    ground.keep()
    outcomes = [outcome(number, missing=1) for number in range(1, 29)]
    pictures = chosen_by(ground, outcomes, lambda *_: Picture("candles", "kept", b"png"))
    found = [key for own in outcomes for key in pictures.of([own])]
    assert found == [*(f"2025-02-{day:02}" for day in range(1, MOST)), "2025-02-28"]


def test_what_was_not_filled_has_none(ground: Ground) -> None:
    ground.keep()
    failed = replace(outcome(4), failures=("nobody answered",))
    assert (
        chosen_by(ground, [failed], lambda *_: Picture("candles", "kept", b"png")).of([failed])
        == {}
    )


def test_a_picture_that_cannot_be_drawn_costs_no_partition(
    ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    ground.keep()
    outcomes = [outcome(4), outcome(5)]

    def fail(_: Snapshot, own: PartitionOutcome) -> Picture:
        if own.partition.key == "2025-02-05":
            raise ZeroDivisionError("no such colour")
        return Picture("candles", "kept", b"png")

    assert list(chosen_by(ground, outcomes, fail).of(outcomes)) == ["2025-02-04"]
    assert caplog.messages == ["no picture of 2025-02-05: no such colour"]


def outcome(day: int, *, missing: int = 0) -> PartitionOutcome:
    counts = (SymbolCounts("BTC", expected=24, stored=24 - missing, explained=0, missing=missing),)
    return PartitionOutcome(Partition.of_key(f"2025-02-{day:02}", Cadence.DAY), counts=counts)


def chosen_by(ground: Ground, outcomes: list[PartitionOutcome], draw: Draw) -> Pictures:
    """What draws in a run of some partitions, over an empty store."""
    store = ground.store_resource.store(ground.clock)
    with store.writing("making the store"):
        pass
    return Pictures(
        store,
        [one.partition for one in outcomes],
        draw,
        now=ground.clock.now(),
        trigger=Trigger.MANUAL,
        log=logging.getLogger("test"),
    )

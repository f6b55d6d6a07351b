"""A run over a range of partitions reports the truth of each: filled, failed, judged.

This holds also where two runs and a reader meet.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from market_assets.config.settings import Severity
from market_assets.config.sources import sources_of
from market_assets.defs.automation.repair import look_at
from market_assets.defs.automation.runs import RangeRun, Runner, instance_at
from market_assets.defs.events import CHECKS, materialization_metadata, verdict_metadata
from market_assets.defs.internals.checks import check_failures
from market_assets.defs.resources import Sources, StoreResource
from market_assets.expected.scope import scope_of
from market_assets.market.partitions import Partition
from market_assets.market.timeframes import Timeframe, Window
from market_assets.practice.book import Market
from market_assets.practice.vendor import PracticeVendor
from market_assets.verdicts.verdicts import SymbolCounts, Verdict
from market_assets.work.outcome import PartitionOutcome
from market_assets_tests.support.defs_faults import FAULTS, plain
from market_assets_tests.support.defs_ground import Ground

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Vendor = Callable[..., PracticeVendor]


DAYS = [f"2025-02-0{day}" for day in range(3, 10)]

WRONG = {
    "fault": "revision",
    "symbols": ["BTC"],
    "start": "2025-02-05T03:00Z",
    "end": "2025-02-05T05:00Z",
}


def asked(vendor: PracticeVendor) -> dict[str, list[str]]:
    """The windows that a vendor was asked for since its log was cleared, by symbol.

    Probes for a first bar are left out.
    """
    found: dict[str, list[str]] = {}
    for entry in vendor.log:
        if entry["endTime"] is not None:
            start, end = (
                datetime.fromtimestamp(int(entry[edge]) / 1000, UTC)
                for edge in ("startTime", "endTime")
            )
            found.setdefault(entry["symbol"], []).append(f"{start:%m-%d %H}..{end:%m-%d %H}")
    return found


@dataclass
class Filled:
    """A home after one run over the whole range, from a vendor with FAULTS."""

    ground: Ground
    run: dg.DagsterRun


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    home = tmp_path_factory.mktemp("filled") / "home"
    market = Market.model_validate({"kind": "crypto", "faults": FAULTS})
    with instance_at(home) as instance, PracticeVendor(market) as running:
        ground = Ground(home, instance)
        ground.keep(running)
        yield Filled(ground, ground.fill())


def test_each_partition_of_a_range_has_a_colour_and_three_verdicts_of_its_own(
    filled: Filled,
) -> None:
    ground, run = filled.ground, filled.run
    assert run.is_failure
    green, red = "MATERIALIZED", "FAILED"
    assert ground.colours() == dict(
        zip(DAYS, [green, green, red, green, green, green, green], strict=True)
    )
    good = ("SUCCEEDED", "SUCCEEDED", "SUCCEEDED")
    holed = ("FAILED", "SUCCEEDED", "SUCCEEDED")
    invalid = ("FAILED", "SUCCEEDED", "FAILED")
    assert ground.verdicts() == dict(
        zip(DAYS, [good, good, holed, holed, holed, invalid, good], strict=True)
    )
    assert set(ground.materializations(run)) == {
        day for day, colour in ground.colours().items() if colour == green
    }
    assert ground.done == 6
    assert ground.table("SELECT count(*) FROM kept.candles_1h").item() == 7 * 48 - 48 - 24 - 2 - 2


def test_a_partitions_page_says_what_is_in_it_and_its_checks_what_is_not(filled: Filled) -> None:
    ground, run = filled.ground, filled.run
    shown = plain(ground.materializations(run)["2025-02-07"].metadata)
    assert (shown["dagster/partition_row_count"], shown["expected"], shown["missing"]) == (
        46,
        48,
        2,
    )
    assert (shown["first_bar"], shown["last_bar"]) == ("2025-02-07 00:00Z", "2025-02-07 23:00Z")
    assert shown["new_rows_by_source"] == "practice 46"
    assert shown["symbols"][0] == {
        "symbol": "BTC",
        "expected": 24,
        "stored": 22,
        "explained": 0,
        "missing": 2,
    }

    evaluations = ground.evaluations(run)
    assert set(evaluations) == {(day, check) for day in DAYS for check in CHECKS}
    assert all(each.description and each.metadata for each in evaluations.values())
    continuity = evaluations["2025-02-07", "continuity"]
    assert continuity.description.startswith("2 of 48 bars are missing in 1 gap (BTC).")
    assert continuity.severity is dg.AssetCheckSeverity.WARN
    facts = plain(continuity.metadata)
    assert (facts["missing"], facts["stored"], facts["open_gaps"]) == (2, 46, 1)
    assert facts["open_gaps_listed"][0]["first_bar"] == "2025-02-07 03:00Z"
    validity = plain(evaluations["2025-02-08", "validity"].metadata)
    assert (validity["rejected"], len(validity["rejected_listed"])) == (2, 2)


def test_the_reason_stands_on_the_page_of_the_partition_whatever_its_colour(filled: Filled) -> None:
    ground, run = filled.ground, filled.run
    made = ground.materializations(run)
    assert made["2025-02-03"].description is None
    assert "not_whole" not in made["2025-02-03"].metadata
    why = made["2025-02-06"].description
    assert why is not None
    assert why.startswith(
        "Not whole: Nothing at all of ETH: practice answered without it; "
        "2 of the rows were refused. "
    )
    assert "24 of 48 bars are missing in 1 gap (ETH)." in why
    assert plain(made["2025-02-06"].metadata)["not_whole"] == why

    entries = ground.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION)
    (red,) = (one for entry in entries if (one := entry.asset_observation) and one.partition)
    assert (red.partition, red.asset_key) == ("2025-02-05", ground.key())
    assert red.description is not None
    assert red.description.startswith(
        "Not filled: not one of 48 expected bars is stored or explained (BTC, ETH). "
    )
    assert (
        "Nothing at all of BTC: practice answered without it; ETH: practice answered without it"
        in red.description
    )
    shown = plain(red.metadata)
    assert shown["not_filled"] == red.description
    assert [row["symbol"] for row in shown["symbols"]] == ["BTC", "ETH"]


def test_the_failure_names_the_partitions_the_causes_and_what_to_do(filled: Filled) -> None:
    failure = filled.ground.failure(filled.run)
    assert failure.description.startswith(
        "1 of 7 partitions could not be filled (2025-02-05); the others"
    )
    assert "backfill the failed partitions again" in failure.description
    shown = plain(failure.metadata)
    assert shown["failed"] == 1
    why = "not one of 48 expected bars is stored or explained (BTC, ETH)"
    assert shown["failed_partitions"] == [{"partition": "2025-02-05", "why": why}]


def test_many_failed_partitions_are_counted_and_the_first_ones_named(
    ground: Ground, vendor: Vendor
) -> None:
    error = {
        "fault": "error",
        "symbols": ["ETH"],
        "status": 503,
        "message": "[/busy] [bold]no[/bold]",
    }
    ground.keep(vendor(error), "{start: 2025-01-10}")
    failure = ground.failure(ground.fill())
    first = (
        "31 of 31 partitions could not be filled (2025-01-10, 2025-01-11, 2025-01-12 and 28 more)"
    )
    assert failure.description.startswith(first)
    shown = plain(failure.metadata)["failed_partitions"]
    assert len({row["partition"] for row in shown}) == 20
    assert shown[0]["why"] == "24 of 48 bars are missing (ETH): 50 %, and at most 5 % may be"
    assert "[/busy] [bold]no[/bold]" in shown[1]["why"]


def test_a_second_run_asks_for_nothing_but_what_is_missing(ground: Ground, vendor: Vendor) -> None:
    source = vendor(*FAULTS)
    ground.keep(source)
    ground.fill()
    source.log.clear()
    before = ground.table("SELECT * FROM kept.candles_1h ORDER BY symbol, ts")
    ground.fill()
    for symbol, windows in asked(source).items():
        for window in windows:
            assert window >= "02-05 00", f"{symbol} was asked for {window}, which was there"
    assert ground.table("SELECT * FROM kept.candles_1h ORDER BY symbol, ts").equals(before)

    source.set_faults([])
    run = ground.fill()
    assert run.is_success
    assert set(ground.colours().values()) == {"MATERIALIZED"}
    assert set(ground.verdicts().values()) == {("SUCCEEDED",) * 3}
    source.log.clear()
    assert ground.fill().is_success
    assert asked(source) == {}


def test_a_partition_that_was_green_and_fails_later_is_red_with_new_verdicts(
    ground: Ground, vendor: Vendor
) -> None:
    source = vendor()
    ground.keep(source)
    ground.fill(DAYS[0])
    assert ground.colours()[DAYS[0]] == "MATERIALIZED"
    # A third symbol is kept from now on, and the vendor does not serve it.
    source.set_faults([])
    ground.keep(
        vendor({"fault": "error", "symbols": ["NEW"]}), "{symbols: {BTC: {}, ETH: {}, NEW: {}}}"
    )
    run = ground.fill(DAYS[0])
    assert run.is_failure
    assert ground.colours()[DAYS[0]] == "FAILED"
    assert ground.verdicts()[DAYS[0]] == ("FAILED", "FAILED", "SUCCEEDED")


def test_a_run_of_one_partition_is_like_a_range_of_one(ground: Ground, vendor: Vendor) -> None:
    ground.keep(vendor(*FAULTS))
    job = ground.definitions.resolve_implicit_global_asset_job_def()
    for day, success in ((DAYS[4], True), (DAYS[2], False)):
        result = job.execute_in_process(
            instance=ground.instance,
            partition_key=day,
            asset_selection=[ground.key()],
            raise_on_error=False,
        )
        assert result.success is success
    colours = ground.colours()
    assert (colours[DAYS[4]], colours[DAYS[2]], colours[DAYS[3]]) == (
        "MATERIALIZED",
        "FAILED",
        "MISSING",
    )
    assert ground.verdicts() == {
        DAYS[4]: ("FAILED", "SUCCEEDED", "SUCCEEDED"),
        DAYS[2]: ("FAILED", "SUCCEEDED", "SUCCEEDED"),
    }


def test_a_run_may_ask_for_some_symbols_alone_and_no_partition_is_green_before_the_others_are_there(
    ground: Ground, vendor: Vendor
) -> None:
    source = vendor()
    ground.keep(source)
    ground.fill(symbols=["ETH"])
    assert set(asked(source)) == {"ETH"}
    assert ground.table("SELECT DISTINCT symbol FROM kept.candles_1h")["symbol"].to_list() == [
        "ETH"
    ]
    assert set(ground.colours().values()) == {"FAILED"}
    assert {continuity for continuity, *_ in ground.verdicts().values()} == {"FAILED"}
    ground.fill(symbols=["BTC"])
    assert set(ground.colours().values()) == {"MATERIALIZED"}
    assert {continuity for continuity, *_ in ground.verdicts().values()} == {"SUCCEEDED"}


def test_a_symbol_that_the_profile_does_not_have_is_refused_by_name(
    ground: Ground, vendor: Vendor
) -> None:
    source = vendor()
    ground.keep(source)
    run = ground.fill(symbols=["ETHX"])
    assert run.is_failure
    (entry,) = ground.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    assert "ETHX: no such symbol; it has BTC, ETH" in str(
        entry.get_dagster_event().event_specific_data
    )
    assert asked(source) == {}


def test_a_refetch_asks_again_and_tells_what_was_revised(ground: Ground, vendor: Vendor) -> None:
    revision = {
        "fault": "revision",
        "symbols": ["BTC"],
        "start": "2025-02-04T03:00Z",
        "end": "2025-02-04T06:00Z",
    }
    source = vendor(revision)
    ground.keep(source)
    assert ground.fill().is_success
    source.log.clear()
    run = ground.fill(refetch=True)
    assert run.is_success
    assert set(asked(source)) == {"BTC", "ETH"}
    revised = {
        day: plain(one.metadata).get("revised_rows")
        for day, one in ground.materializations(run).items()
    }
    assert {day: rows for day, rows in revised.items() if rows} == {"2025-02-04": 3}
    assert ground.table("SELECT count(*) FROM ops.revisions").item() == 3


def test_the_newest_partition_may_be_first(ground: Ground, vendor: Vendor) -> None:
    ground.keep(vendor())
    run = ground.fill(newest_first=True)
    assert list(ground.materializations(run)) == DAYS[::-1]


def test_when_the_time_is_spent_what_came_is_kept_and_the_rest_is_red(
    ground: Ground, vendor: Vendor
) -> None:
    # The second page begins on the forty-second day, and the vendor takes ten minutes for it; the
    # first request is a probe.
    delay = {"fault": "delay", "seconds": 600, "start": "2025-01-20T00:00Z", "every": 2}
    ground.keep(vendor(delay), "{start: 2024-12-01, symbols: {BTC: {}}}")
    run = ground.fill(max_time=timedelta(seconds=1.8))
    colours = ground.colours()
    assert run.is_failure
    assert colours["2024-12-01"] == colours["2025-01-10"] == "MATERIALIZED"
    assert colours["2025-01-20"] == colours["2025-02-09"] == "FAILED"
    assert "the time budget of 1.8 s is spent" in str(
        ground.failure(run).metadata["failed_partitions"].records
    )


def test_derived_candles_are_as_good_as_what_they_are_made_of(
    ground: Ground, vendor: Vendor
) -> None:
    ground.keep(vendor(*FAULTS), "{timeframes: {fetch: [1h], derive: [4h, 1d, 1w]}}")
    ground.fill()
    run = ground.run("4h")
    # Of one day there is nothing at all, of another one symbol.
    assert [ground.colours("4h")[day] for day in DAYS[1:5]] == [
        "MATERIALIZED",
        "FAILED",
        "MATERIALIZED",
        "MATERIALIZED",
    ]
    assert "candles_1h has nothing here yet to make it of" in str(ground.failure(run).metadata)
    shown = plain(ground.materializations(run)["2025-02-07"].metadata)
    assert shown["dagster/partition_row_count"] == 12
    bars = ground.table(
        "SELECT bars, bars_expected FROM kept.candles_4h WHERE symbol = 'BTC' AND ts = '2025-02-07'"
    )
    assert bars.row(0) == (3, 4)

    # Three of the fourteen days of the month cannot be made.
    assert ground.run("1d").is_failure
    assert ground.run("1w").is_success
    assert (ground.colours("1d"), ground.colours("1w")) == (
        {"2025-02-01": "FAILED"},
        {"2025-02-01": "MATERIALIZED"},
    )
    assert ground.table("SELECT count(*) FROM kept.candles_1d WHERE symbol = 'BTC'").item() == 6
    assert ground.table("SELECT bars, bars_expected FROM kept.candles_1w WHERE symbol = 'BTC'").row(
        0
    ) == (6, 7)
    assert ground.evaluations(run) == {}


def test_one_run_may_make_a_timeframe_and_what_is_made_of_it(
    ground: Ground, vendor: Vendor
) -> None:
    # As the button in the UI does it for assets that were chosen together.
    ground.keep(vendor(), "{timeframes: {fetch: [1h], derive: [4h, 1d, 1w]}}")
    job = ground.definitions.resolve_implicit_global_asset_job_def()
    for day, timeframes in ((DAYS[0], ("1h", "4h")), ("2025-02-01", ("1d", "1w"))):
        keys = [ground.key(timeframe) for timeframe in timeframes]
        assert job.execute_in_process(
            instance=ground.instance, partition_key=day, asset_selection=keys
        ).success
    assert ground.colours("4h")[DAYS[0]] == "MATERIALIZED"
    assert ground.colours("1w") == {"2025-02-01": "MATERIALIZED"}


def test_an_asset_of_ones_own_reaches_the_store_by_the_resource(
    ground: Ground, vendor: Vendor
) -> None:
    ground.keep(vendor())
    ground.fill()
    store = StoreResource(database=str(ground.home / "market.duckdb"))
    with store.get_connection() as connection:
        connection.execute("CREATE TABLE kept.mine AS SELECT count(*) AS n FROM kept.candles_1h")

    def fail() -> None:
        with store.get_connection() as connection:
            connection.execute("DELETE FROM kept.mine")
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fail()
    # The file is closed and what was not finished is undone.
    assert ground.table("SELECT n FROM kept.mine").item() == 7 * 48


def test_of_many_symbols_the_worst_are_shown_and_the_others_counted() -> None:
    counts = tuple(
        SymbolCounts(f"S{n:02}", expected=24, stored=24 - n, explained=0, missing=n)
        for n in range(24)
    )
    window = Window(datetime(2025, 2, 3, tzinfo=UTC), datetime(2025, 2, 4, tzinfo=UTC))
    shown = materialization_metadata(
        PartitionOutcome(Partition(window, "2025-02-03"), counts=counts)
    )
    assert [record.data["symbol"] for record in shown["symbols"].records[:2]] == ["S23", "S22"]
    assert (len(shown["symbols"].records), shown["symbols_not_shown"]) == (20, 4)
    assert shown["completeness"] == round(1 - 276 / 576, 6)
    nothing = materialization_metadata(PartitionOutcome(Partition(window, "2025-02-03"), counts=()))
    assert (nothing["completeness"], nothing["symbols"].records) == (1.0, [])


def test_facts_keep_their_kinds_so_that_dagster_can_plot_the_numbers() -> None:
    facts: dict[str, int | float | str] = {
        "missing": 3,
        "completeness": 0.5,
        "why": "a word",
        "gaps": 1,
    }
    tables: dict[str, list[dict[str, Any]]] = {"gaps": [{"symbol": "BTC"}], "none": []}
    verdict = Verdict(
        "continuity",
        passed=False,
        severity=Severity.WARN,
        summary="A sentence.",
        facts=facts,
        tables=tables,
    )
    shown = verdict_metadata(verdict)
    assert shown["missing"] == dg.MetadataValue.int(3)
    assert shown["completeness"] == dg.MetadataValue.float(0.5)
    assert shown["why"] == dg.MetadataValue.text("a word")
    assert shown["gaps"] == dg.MetadataValue.int(1)
    assert plain(shown)["gaps_listed"] == [{"symbol": "BTC"}]
    assert plain(shown)["none"] == []


READER = """
import sys
import duckdb

with duckdb.connect(sys.argv[1], read_only=True) as connection:
    print("open", flush=True)
    sys.stdin.readline()
"""

RUN = """
import sys
from pathlib import Path
from market_assets.definitions import build_definitions
from market_assets.defs.resources import Clock, StoreResource
from market_assets.defs.automation.runs import RangeRun, Runner, instance_at
from market_assets.market.partitions import Cadence, Partition
from market_assets.market.timeframes import Timeframe
from market_assets.config.load import load_universe

home, now, *keys = sys.argv[1:]
resources = {"store": StoreResource(database=f"{home}/market.duckdb"), "clock": Clock(fixed=now)}
definitions = build_definitions(load_universe(Path(home, "universe.yaml")), overrides=resources)
with instance_at(Path(home)) as instance:
    run = RangeRun("kept", (Timeframe.H1,), tuple(keys))
    print("ready", flush=True)
    sys.stdin.readline()
    print(*Runner(definitions, instance).execute(run, done=lambda: None), flush=True)
"""


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a process, and wait until it says that it has got there."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() in {"open", "ready"}
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_two_runs_at_once_and_a_reader_wait_for_each_other_and_say_so_in_the_runs_log(
    ground: Ground, vendor: Vendor
) -> None:
    ground.keep(vendor())
    with StoreResource(database=str(ground.home / "market.duckdb")).get_connection():
        pass
    now = ground.clock.fixed
    runs = [start(RUN, str(ground.home), now, *keys) for keys in (DAYS[:5], DAYS[2:])]
    reader = start(READER, str(ground.home / "market.duckdb"))
    for run in runs:
        go(run)

    def waits() -> list[str]:
        logs = (ground.messages(each) for each in ground.instance.get_runs())
        return [line for log in logs for line in log if "waiting" in line]

    for_the_reader = rf"waiting, another program has .*market\.duckdb open \(.*PID {reader.pid}\)"

    def have_told() -> bool:
        return len(waits()) >= 2 and re.search(for_the_reader, "\n".join(waits())) is not None

    # The reader stays until both have told of their wait, and one that it is the reader.
    pause, end = threading.Event(), time.monotonic() + 60
    while not have_told() and time.monotonic() < end:
        pause.wait(0.05)
    go(reader)
    reader.communicate()
    said = [run.communicate()[0].split() for run in runs]
    assert [success for _, success in said] == ["True", "True"]

    told = "\n".join(waits())
    # One waits for the program that has the file open.
    assert re.search(for_the_reader, told)
    # The other waits for the first, or, once the first has told of its own wait, for the reader
    # behind it.
    first = rf"\(process ({runs[0].pid}|{runs[1].pid}) on .*\)"
    behind = rf"another program that has its file open \(.*PID {reader.pid}\)"
    assert re.search(rf"waiting for the store, held by .*({first}|{behind})", told)
    logs = [ground.messages(run) for run in ground.instance.get_runs()]
    assert any("got the store after" in line for log in logs for line in log)
    assert set(ground.colours().values()) == {"MATERIALIZED"}
    # Of a day that both filled at the same moment, the later verdict may be the one about the
    # earlier materialization.
    assert {
        word.removesuffix(" BEFORE") for words in ground.verdicts().values() for word in words
    } == {"SUCCEEDED"}
    rows = ground.table("SELECT count(*), count(DISTINCT (symbol, ts)) FROM kept.candles_1h").row(0)
    assert rows == (7 * 48, 7 * 48)


def test_while_the_events_of_a_batch_are_stored_the_next_one_is_committed(
    ground: Ground, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("market_assets.fill.fill._COMMIT_BARS", 48)
    ground.keep(vendor())
    store = ground.store_resource.store(ground.clock)
    stored: list[int] = []

    def days_stored() -> int:
        with store.reading("looking on") as view:
            (days,) = view.database.frame(
                "SELECT count(DISTINCT ts::DATE) FROM kept.candles_1h"
            ).row(0)
        return int(days)

    def hold_up() -> None:
        """Let the run go on from the first event of a day when the next day is stored."""
        end = time.monotonic() + 60
        expected = min(len(stored) + 2, len(DAYS))
        while (days := days_stored()) < expected and time.monotonic() < end:
            pass
        stored.append(days)

    planned = RangeRun("kept", (Timeframe.H1,), tuple(DAYS))
    _, success = Runner(ground.definitions, ground.instance).execute(planned, done=hold_up)

    assert success
    # Of each day, and not more than the next one: that is what a killed run leaves unreported.
    assert stored == [2, 3, 4, 5, 6, 7, 7]


def test_a_run_of_the_future_fills_nothing_and_fails_nothing(
    ground: Ground, vendor: Vendor
) -> None:
    source = vendor()
    begins = datetime(2025, 2, 3, tzinfo=UTC)
    ground.keep(source, now=(begins - timedelta(days=1)).isoformat())
    run = ground.fill()
    assert run.is_success
    assert set(ground.colours().values()) == {"MISSING"}
    assert asked(source) == {}


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

"""Streams in Dagster: a run of bounded length, what it tells, and what keeps one alive."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from market_assets.definitions import build_definitions
from market_assets.defs.events import CHECKS
from market_assets.defs.internals.failures import failure_of
from market_assets.defs.keys import STREAM_TAG, TRIGGER_TAG, process_tags
from market_assets.defs.resources import Clock, Sources, StoreResource
from market_assets.live.claim import claimed
from market_assets.market.clock import CLOCK_VARIABLE, machine, present
from market_assets.practice.stream_faults import StreamFault
from market_assets.work.run import Run
from market_assets_tests.support.live_ground import MINUTE, LiveGround, clock_text, live_ground

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_WAITS = (
    r"(\d) runs have failed one after the other, the last one: the vendor's house is on fire; "
    r"the next run begins at \d\d:\d\d:\d\dZ"
)
KEY = dg.AssetKey(["live", "candles_1m"])


class Streaming:
    """A profile `live` that is streamed, and the Dagster instance of its home."""

    def __init__(self, live: LiveGround, instance: dg.DagsterInstance) -> None:
        self.live = live
        self.instance = instance
        self.keep()

    def keep(self, **stream: object) -> None:
        """Write the universe, and load its definitions."""
        usual = {"enabled": True, "catch_up": "30m", "total_timeout": "5m"}
        self.live.keep(stream=usual | stream)
        database = StoreResource(database=str(self.live.home / "market.duckdb"))
        self.definitions = build_definitions(self.live.universe, overrides={"store": database})

    def run(self, observed: Callable[[str], object] = lambda _: None) -> dg.DagsterRun:
        """A session, from its begin to its end; what is called with its id when it observes."""
        run_id = str(uuid.uuid4())

        def on_event(entry: dg.EventLogEntry) -> None:
            if entry.dagster_event is not None and entry.dagster_event.is_asset_observation:
                observed(run_id)

        self.instance.add_event_listener(run_id, on_event)
        self.definitions.resolve_job_def("stream_live").execute_in_process(
            instance=self.instance, run_id=run_id, raise_on_error=False
        )
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def tick(self) -> dg.RunRequest | str:
        """What the sensor asks for, or why it asks for nothing."""
        sensor = next(one for one in self.definitions.sensors or () if one.name == "stream_live")
        resources: Any = {"store": StoreResource(database=str(self.live.home / "market.duckdb"))}
        with dg.build_sensor_context(
            instance=self.instance, resources=resources, definitions=self.definitions
        ) as context:
            data = sensor.evaluate_tick(context)
        if data.run_requests:
            (request,) = data.run_requests
            return request
        return str(data.skip_message)

    def update(self, at: datetime) -> list[dg.RunRequest] | str:
        """The reports that a tick of the updates asks for, or what it did."""
        schedule = next(
            one for one in self.definitions.schedules or () if one.name == "update_live"
        )
        resources = {
            "store": StoreResource(database=str(self.live.home / "market.duckdb")),
            "sources": Sources(self.live.universe),
            "clock": Clock(fixed=at.isoformat()),
        }
        with dg.build_schedule_context(
            instance=self.instance, scheduled_execution_time=at, resources=resources
        ) as context:
            data = schedule.evaluate_tick(context)
        return list(data.run_requests or ()) or str(data.skip_message)

    def execute(self, request: dg.RunRequest) -> None:
        """Execute what a tick asks for."""
        # There are more partitions than when the universe was loaded.
        self.keep()
        job = self.definitions.resolve_implicit_global_asset_job_def()
        job.execute_in_process(
            instance=self.instance,
            asset_selection=list(request.asset_selection or ()),
            run_config=request.run_config,
            tags=dict(request.tags),
        )

    def colours(self) -> dict[str, str]:
        """Each partition of the candles that has a colour in the UI."""
        keys = ["2025-03-03", "2025-03-04"]
        partitions = dg.DailyPartitionsDefinition("2025-03-03", end_date="2025-03-05")
        found = self.instance.get_status_by_partition(KEY, keys, partitions) or {}
        return {key: status.value for key, status in found.items() if status is not None}

    def launched(self, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
        """A run of the job in some state, as the daemon leaves it."""
        job = self.definitions.resolve_job_def("stream_live")
        return self.instance.create_run_for_job(job, status=status, tags={**job.tags, **tags})

    def messages(self, run: dg.DagsterRun) -> list[str]:
        return [entry.user_message for entry in self.instance.all_logs(run.run_id)]

    def observations(self, run: dg.DagsterRun) -> list[dg.AssetObservation]:
        entries = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION)
        found = [entry.asset_observation for entry in entries]
        return [observation for observation in found if observation is not None]


@pytest.fixture
def streaming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> Iterator[Streaming]:
    monkeypatch.setenv(CLOCK_VARIABLE, clock_text())
    with live_ground(tmp_path, "BTCUSDT", "ETHUSDT") as live:
        yield Streaming(live, instance)


class TestTheRun:
    def test_it_stores_what_closes_and_ends_by_itself_a_moment_after_a_bar(self, streaming):
        first = (present() - 28 * MINUTE).replace(second=0, microsecond=0)

        run = streaming.run()

        end = present()
        assert run.is_success
        assert streaming.live.wrong() == {}
        assert streaming.live.holes(first) == []
        # Its successor has most of a minute before the next bar closes.
        assert timedelta(seconds=10) <= end - end.replace(second=0, microsecond=0)
        assert run.tags[STREAM_TAG] == "live"
        assert run.tags[TRIGGER_TAG] == "stream"
        assert run.tags["dagster/max_runtime"] == str(5 * 60 + 60 + 15 * 60)

    def test_it_observes_now_and_then_how_the_stream_is(self, streaming):
        streaming.keep(total_timeout="7m")
        drop = present() + 3 * MINUTE
        streaming.live.set_faults(StreamFault(fault="drop", start=drop, end=drop + MINUTE, times=1))

        run = streaming.run()

        observations = streaming.observations(run)
        # One at its begin, one every five minutes or a minute after something has happened, one
        # at its end.
        assert 3 <= len(observations) <= 8
        assert {observation.asset_key for observation in observations} == {KEY}
        assert observations[0].description.startswith("The stream runs: 2 live; ")
        last = observations[-1]
        assert last.description.startswith("The stream is over: 2 ended; ")
        assert last.metadata["streamed"].value >= 8
        assert last.metadata["lag_p99_seconds"].value >= last.metadata["lag_p50_seconds"].value
        assert last.metadata["reconnects"].value >= 1
        told = [one.metadata["news"].value for one in observations if "news" in one.metadata]
        assert any("lost" in words for words in told)
        rows = [record.data for record in last.metadata["symbols"].records]
        assert sorted(row["symbol"] for row in rows) == ["BTCUSDT", "ETHUSDT"]
        assert all(row["last bar"].startswith("2025-03-03 ") for row in rows)

    def test_it_is_told_in_few_events(self, streaming):
        streaming.keep(total_timeout="6m")
        streaming.live.set_faults(
            StreamFault(fault="drop", every=40),
            StreamFault(fault="truncated", every=30),
            StreamFault(fault="late", every=4, seconds=20),
        )
        begin = present()

        run = streaming.run()

        minutes = (present() - begin) / MINUTE
        before_and_after = 20
        events = len(streaming.instance.all_logs(run.run_id)) - before_and_after
        evaluations = streaming.instance.event_log_storage.get_asset_check_partition_info(
            [dg.AssetCheckKey(KEY, check) for check in CHECKS]
        )
        assert events + len(evaluations) <= 3 * minutes

    def test_a_signal_ends_it_and_what_was_streamed_is_stored(self, streaming):
        streaming.keep(total_timeout="4h")
        first = (present() - 28 * MINUTE).replace(second=0, microsecond=0)

        signals = [signal.SIGTERM]
        run = streaming.run(lambda _: signals and os.kill(os.getpid(), signals.pop()))

        assert run.is_success
        assert present() - first < timedelta(hours=1)
        assert streaming.live.wrong() == {}
        assert streaming.live.holes(first) == []

    def test_a_change_of_its_profile_ends_it_and_what_was_streamed_is_stored(self, streaming):
        streaming.keep(total_timeout="4h")
        begin = present()

        run = streaming.run(lambda _: streaming.live.keep(symbols={"BTCUSDT": {}}))

        assert run.is_success
        assert present() - begin < timedelta(hours=1)
        assert any("The universe has changed" in line for line in streaming.messages(run))
        assert streaming.live.wrong() == {}

    def test_one_that_a_person_terminates_is_canceled(self, streaming):
        streaming.keep(total_timeout="4h")

        def terminate(run_id: str) -> None:
            run = streaming.instance.get_run_by_id(run_id)
            if run.status is dg.DagsterRunStatus.STARTED:
                streaming.instance.report_run_canceling(run)
                os.kill(os.getpid(), signal.SIGINT)

        run = streaming.run(terminate)

        assert run.status is dg.DagsterRunStatus.CANCELED
        assert streaming.live.wrong() == {}
        # The sensor is on: it starts another one.
        assert isinstance(streaming.tick(), dg.RunRequest)

    def test_it_is_refused_while_a_terminal_streams_the_profile(self, streaming):
        dataset = streaming.live.profile.candles(streaming.live.profile.base_timeframe)
        with claimed(streaming.live.home, dataset, Run(), present()):
            run = streaming.run()

        assert run.status is dg.DagsterRunStatus.FAILURE
        words, _ = failure_of(streaming.instance, run.run_id)
        assert words.startswith(
            "live/candles_1m is streamed already, by market-assets stream in a terminal (process "
        )


class TestTheSensor:
    def test_it_starts_a_run_where_none_is_alive(self, streaming):
        assert isinstance(streaming.tick(), dg.RunRequest)

    @pytest.mark.parametrize(
        ("status", "words"),
        [
            (dg.DagsterRunStatus.NOT_STARTED, "is about to begin"),
            (dg.DagsterRunStatus.STARTING, "is about to begin"),
            (dg.DagsterRunStatus.STARTED, "streams"),
            (dg.DagsterRunStatus.CANCELING, "is ending"),
        ],
    )
    def test_it_leaves_one_that_waits_or_is_alive(self, streaming, status, words):
        run = streaming.launched(status)

        assert streaming.tick() == f"run {run.run_id[:8]} {words}"

    def test_one_whose_process_is_gone_is_failed_and_another_one_started(self, streaming):
        with subprocess.Popen([sys.executable, "-c", ""]) as process:
            gone = str(process.pid)
        tags = {
            name: gone if value == str(os.getpid()) else value
            for name, value in process_tags().items()
        }
        run = streaming.launched(dg.DagsterRunStatus.STARTED, **tags)

        assert isinstance(streaming.tick(), dg.RunRequest)

        failed = streaming.instance.get_run_by_id(run.run_id)
        assert failed.status is dg.DagsterRunStatus.FAILURE

    def test_it_leaves_a_profile_to_a_terminal(self, streaming):
        dataset = streaming.live.profile.candles(streaming.live.profile.base_timeframe)
        with claimed(streaming.live.home, dataset, Run(), present()):
            words = streaming.tick()

        assert words.startswith(
            "live/candles_1m is streamed by market-assets stream in a terminal (process "
        )
        assert isinstance(streaming.tick(), dg.RunRequest)

    def test_after_failures_it_waits_longer_each_time_and_says_why(self, streaming):
        waits = []
        for _ in range(4):
            run = streaming.launched(dg.DagsterRunStatus.STARTED)
            streaming.instance.report_run_failed(run, "the vendor's house is on fire.")
            waits.append(streaming.tick())

        assert isinstance(waits[0], dg.RunRequest)
        found = [re.fullmatch(_WAITS, words) for words in waits[1:]]
        assert [int(match[1]) for match in found] == [2, 3, 4]

    def test_a_failure_before_the_universe_was_loaded_counts_no_more(self, streaming):
        for _ in range(3):
            run = streaming.launched(dg.DagsterRunStatus.STARTED)
            streaming.instance.report_run_failed(run)
        assert isinstance(streaming.tick(), str)

        streaming.keep()

        assert isinstance(streaming.tick(), dg.RunRequest)

    def test_where_nothing_can_be_streamed_it_waits_for_the_longest_time_and_says_why(
        self, streaming
    ):
        streaming.live.set_faults(StreamFault(fault="no_connection", status=403))
        begin = machine()
        run = streaming.run()
        words = streaming.tick()

        assert run.status is dg.DagsterRunStatus.FAILURE
        assert words.startswith("nothing is streamed: source vendor: the stream of 1m candles has ")
        again = datetime.strptime(words[-9:], "%H:%M:%SZ").replace(tzinfo=UTC)
        hour = (again - begin).seconds
        assert 3590 <= hour <= 3700


class TestTheDay:
    def test_its_partition_is_materialized_when_it_is_over_and_updates_have_nothing_to_do(
        self, streaming, monkeypatch
    ):
        monkeypatch.setenv(CLOCK_VARIABLE, clock_text(datetime(2025, 3, 3, 23, 56, tzinfo=UTC)))
        # What lies before the stream is filled as ever.
        streaming.update(present())
        run = streaming.run()
        end = present()
        streaming.live.vendor.log.clear()

        during = streaming.update(end)

        newest = end.replace(second=0, microsecond=0)
        assert run.is_success
        assert end >= datetime(2025, 3, 4, tzinfo=UTC)
        assert during == f"1m: nothing has closed since {newest:%Y-%m-%d %H:%M}Z"
        assert not streaming.live.vendor.log
        assert streaming.live.holes(datetime(2025, 3, 3, tzinfo=UTC)) == []
        assert streaming.colours() == {}

        later = datetime(2025, 3, 4, 0, 12, 30, tzinfo=UTC)
        monkeypatch.setenv(CLOCK_VARIABLE, clock_text(later))
        (request,) = streaming.update(later)
        streaming.execute(request)

        assert streaming.colours() == {"2025-03-03": "MATERIALIZED"}
        verdicts = streaming.instance.event_log_storage.get_asset_check_partition_info(
            [dg.AssetCheckKey(KEY, "continuity")]
        )
        status = {info.partition_key: info.latest_execution_status.value for info in verdicts}
        assert status["2025-03-03"] == "SUCCEEDED"


class TestTheDefinitions:
    def test_a_profile_that_is_not_streamed_has_neither_job_nor_sensor(self, streaming):
        streaming.keep(enabled=False)

        names = {sensor.name for sensor in streaming.definitions.sensors or ()}
        assert "stream_live" not in names
        assert not streaming.definitions.jobs

"""The row of `ops.jobs` of one fill or derivation, symbol by symbol."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from market_assets.enrich.derive import Derive
from market_assets.expected.scope import scope_of
from market_assets.market.datasets import Dataset
from market_assets.market.partitions import Cadence, Partition
from market_assets.market.timeframes import Timeframe
from market_assets.practice.faults import Fault
from market_assets.store.process import this_host
from market_assets.work.job import Job, Target
from market_assets.work.run import Run, Trigger
from market_assets_tests.support.fill_ground import at
from market_assets_tests.support.job_documents import document

HOLE = Fault(
    fault="hole", symbols=["BTC"], start=at("2025-02-27T10:00"), end=at("2025-02-27T12:00")
)

DIES = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from market_assets.work.job import Job, Target
from market_assets.market.datasets import Dataset
from market_assets.market.partitions import Cadence, Partition
from market_assets.market.timeframes import Timeframe
from market_assets.store import Store

store = Store(Path(sys.argv[1]), clock=lambda: datetime(2025, 3, 1, tzinfo=UTC))
days = [Partition.of_key("2025-02-26", Cadence.DAY)]
hours = Dataset.candles("kept", Timeframe.H1)
target = Target(hours, days, ["BTC"], Cadence.DAY, datetime(2025, 3, 1, tzinfo=UTC))
with Job(store, "fill", target, sources={}):
    os.kill(os.getpid(), 9)
"""


class TestOneJob:
    def test_it_tells_of_every_symbol_what_was_there_before_and_what_came(self, ground, vendor):
        vendor.set_faults(
            [
                HOLE,
                Fault(
                    fault="inverted",
                    symbols=["ETH"],
                    start=at("2025-02-28T03:00"),
                    end=at("2025-02-28T04:00"),
                ),
            ]
        )
        ground.keep("symbols: {BTC: {}, ETH: {}}")
        fill = ground.begin(run=Run("a-run", Trigger.BACKFILL))
        assert fill.audit == {}
        list(fill)

        detail = ground.job()["detail"]
        assert detail["by_symbol"] == {
            "BTC": {"missing_before": 72, "expected": 72, "stored": 70, "missing": 2, "new": 70},
            "ETH": {
                "missing_before": 72,
                "expected": 72,
                "stored": 71,
                "missing": 1,
                "new": 71,
                "rejected": 1,
            },
        }
        assert (detail["gaps_before"], detail["gaps_after"]) == (0, 2)
        assert (detail["missing_before"], detail["missing_after"], detail["repaired"]) == (
            144,
            3,
            0,
        )
        # The fill says the same of itself when it has ended.
        said = dict(fill.audit)
        assert said["detail"] | {"seconds": 0} == detail | {"seconds": 0}
        assert (said["status"], said["progress"], said["trigger"]) == ("SUCCEEDED", 1.0, "backfill")
        assert (said["host"], said["process"]) == (this_host(), os.getpid())
        row = ground.job()
        assert {name: row[name] for name in said if name != "detail"} == {
            name: said[name] for name in said if name != "detail"
        }

    def test_a_gap_that_is_filled_later_is_a_repair(self, ground, vendor):
        vendor.set_faults([HOLE])
        ground.keep("symbols: {BTC: {}, ETH: {}}")
        ground.fill()
        vendor.set_faults([])
        ground.wait(hours=2)
        ground.fill(run=Run(trigger=Trigger.REPAIR))

        detail = ground.job()["detail"]
        assert (detail["gaps_before"], detail["gaps_after"], detail["repaired"]) == (1, 0, 2)
        assert (detail["missing_before"], detail["missing_after"]) == (2, 0)
        assert detail["by_symbol"]["BTC"] == {
            "missing_before": 2,
            "expected": 72,
            "stored": 72,
            "new": 2,
            "repaired": 2,
        }
        assert detail["by_symbol"]["ETH"] == {"expected": 72, "stored": 72}

    def test_a_fill_that_is_stopped_tells_of_the_partitions_that_it_has_done(
        self, ground, monkeypatch
    ):
        monkeypatch.setattr("market_assets.fill.fill._HISTORY_EVERY", 0.0)
        monkeypatch.setattr("market_assets.fill.fill._COMMIT_BARS", 24)
        ground.keep("symbols: {BTC: {}}")
        outcomes = iter(ground.begin())
        next(outcomes)
        running = ground.job()
        assert running["status"] == "RUNNING"
        assert round(running["progress"], 2) in {0.33, 0.67}
        outcomes.close()

        job = ground.job()
        assert (job["status"], job["detail"]["partitions"]) == ("CANCELLED", 3)
        # The second one may have been under way.
        done = job["detail"]["partitions_done"]
        assert done in {1, 2}
        assert ground.rows().height == 24 * done
        # Nothing is said of days that nobody has looked at.
        assert (job["detail"]["missing_before"], job["detail"]["missing_after"]) == (24 * done, 0)

    def test_requests_that_were_sent_again_and_waits_are_counted(self, empty_ground, vendor):
        busy = Fault(
            fault="error",
            status=429,
            retry_after=1,
            times=1,
            start=at("2025-02-26T00:00"),
            end=at("2025-02-26T01:00"),
        )
        vendor.set_faults([busy])
        empty_ground.add_vendor("vendor", vendor, retries=3)
        empty_ground.keep("symbols: {BTC: {}}")
        empty_ground.fill()

        found = document(empty_ground)
        retried = found["retry_results"]
        assert retried["requests"] == len(vendor.log)
        assert retried["retries"] == 1
        assert 0.9 < retried["waits_seconds"] < 4
        assert retried["by_source"]["vendor"]["retries"] == 1
        assert found["summary"]["waits_seconds"] == retried["waits_seconds"]

    def test_a_derivation_tells_what_was_missing_before_too(self, ground, vendor, clock):
        vendor.set_faults(
            [
                HOLE,
                Fault(
                    fault="hole",
                    symbols=["ETH"],
                    start=at("2025-02-28T00:00"),
                    end=at("2025-02-28T04:00"),
                ),
            ]
        )
        ground.keep("symbols: {BTC: {}, ETH: {}}\ntimeframes: {fetch: [1h], derive: [4h]}")
        ground.fill()

        def derive() -> dict[str, Any]:
            made = Derive(
                ground.store,
                scope_of(ground.profile, Timeframe.H4, clock()),
                ground.profile.window(clock()),
            )
            list(made)
            return ground.job()["detail"]

        first = derive()
        assert (first["missing_before"], first["missing_after"]) == (36, 1)
        assert first["by_symbol"]["BTC"] == {
            "missing_before": 18,
            "expected": 18,
            "stored": 18,
            "new": 18,
        }
        again = derive()
        assert (again["missing_before"], again["missing_after"], again["rows"]["new"]) == (1, 1, 0)

    def test_of_very_many_symbols_the_worst_are_told_apart_and_the_others_counted(
        self, ground, monkeypatch
    ):
        monkeypatch.setattr("market_assets.work.job._SYMBOLS", 2)
        ground.keep("symbols: {BTC: {}, ETH: {}, LATE: {}}")
        ground.fill()
        detail = ground.job()["detail"]
        assert (list(detail["by_symbol"]), detail["symbols_not_shown"]) == (["BTC", "ETH"], 1)


class TestAProcessThatIsGone:
    @pytest.fixture
    def killed(self, ground) -> None:
        ground.keep("symbols: {BTC: {}}")
        died = subprocess.run(
            [sys.executable, "-c", DIES, str(ground.store.path.parent)], check=False
        )
        assert died.returncode == -9
        assert ground.job()["status"] == "RUNNING"

    def statuses(self, ground) -> list[str]:
        return ground.table("SELECT status FROM ops.jobs ORDER BY rowid")["status"].to_list()

    @pytest.mark.usefixtures("killed")
    def test_its_job_is_failed_when_the_jobs_are_listed(self, ground, clock):
        # One of another host, and one of a version that did not say which process it was.
        with ground.store.writing("testing") as transaction:
            for host in ("'another'", "NULL"):
                transaction.connection.execute(
                    f"""
                    INSERT INTO ops.jobs BY NAME
                    SELECT * REPLACE ('x' AS job_id, {host} AS host)
                    FROM ops.jobs
                    WHERE job_id <> 'x'
                    """
                )
        ground.wait(hours=1)
        (job,) = [job for job in document(ground)["jobs"] if job["status"] == "FAILED"]
        assert job["detail"]["ended"] == "its process ended without a word"
        assert job["detail"]["partitions"] == 1
        assert job["ended_at"] == f"{clock():%Y-%m-%dT%H:%M:%S}Z"
        assert self.statuses(ground) == ["FAILED", "RUNNING", "RUNNING"]

    @pytest.mark.usefixtures("killed")
    def test_its_job_is_failed_when_another_begins(self, ground):
        ground.fill()
        assert self.statuses(ground) == ["FAILED", "SUCCEEDED"]

    def test_a_job_that_is_at_work_is_left_alone(self, ground):
        ground.keep("symbols: {BTC: {}}")
        days = [Partition.of_key("2025-02-26", Cadence.DAY)]
        hours = Dataset.candles("kept", Timeframe.H1)
        target = Target(hours, days, ["BTC"], Cadence.DAY, ground.clock())
        with Job(ground.store, "fill", target, sources={}):
            ground.fill()
            assert document(ground)["summary"]["running"] == 1
        assert self.statuses(ground) == ["SUCCEEDED", "SUCCEEDED"]

"""An audit document of some jobs: what it holds of each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import polars as pl

from market_assets.market.timeframes import TS
from market_assets.practice.faults import Fault
from market_assets.reports.jobs import audit_document
from market_assets.work.job import BY_SYMBOL
from market_assets.work.run import Run, Trigger
from market_assets_tests.support.fill_ground import at
from market_assets_tests.support.job_documents import document

HOLE = Fault(
    fault="hole", symbols=["BTC"], start=at("2025-02-27T10:00"), end=at("2025-02-27T12:00")
)


class TestTheDocument:
    def test_it_tells_what_was_processed_detected_and_retried(self, ground, vendor, clock):
        hole_of_a_day = Fault(
            fault="hole", symbols=["ETH"], start=at("2025-02-26T20:00"), end=at("2025-02-27T04:00")
        )
        vendor.set_faults([HOLE, hole_of_a_day])
        ground.keep("symbols: {BTC: {}, ETH: {}}")
        began = clock()
        ground.fill(run=Run(trigger=Trigger.BACKFILL))
        vendor.set_faults([hole_of_a_day])
        ground.wait(minutes=30)
        ground.fill(run=Run(trigger=Trigger.REPAIR))

        found = document(ground)
        assert list(found) == [
            "timestamp",
            "symbols_processed",
            "gaps_detected",
            "retry_results",
            "summary",
            "jobs",
        ]
        assert found["timestamp"] == "2025-03-01T12:30:00Z"
        assert found["symbols_processed"] == ["BTC", "ETH"]
        # Two rows of the ledger, because a partition ends at midnight.
        (gap,) = found["gaps_detected"]
        series = {"profile": "kept", "symbol": "ETH", "timeframe": "1h"}
        assert gap == series | {
            "status": "open",
            "gaps": 2,
            "bars": 8,
            "attempts": 2,
            "failures": 0,
            "first_ts": "2025-02-26T20:00:00Z",
            "last_ts": "2025-02-27T03:00:00Z",
        }
        retried = found["retry_results"]
        assert retried["repaired"] == {
            "gaps": 1,
            "bars": 2,
            "series": [
                series
                | {
                    "symbol": "BTC",
                    "gaps": 1,
                    "bars": 2,
                    "attempts": 1,
                    "repaired_at": "2025-03-01T12:30:00Z",
                }
            ],
        }
        assert (retried["still_open"], retried["abandoned"]) == (
            {"gaps": 2, "bars": 8},
            {"gaps": 0, "bars": 0},
        )
        summary = found["summary"]
        assert (
            summary["jobs"],
            summary["succeeded"],
            summary["incomplete"],
            summary["failed"],
        ) == (2, 0, 2, 0)
        assert (summary["rows_new"], summary["bars_repaired"]) == (136, 2)
        assert (summary["gaps_before"], summary["gaps_after"]) == (0 + 3, 3 + 2)
        assert (summary["missing_before"], summary["missing_after"]) == (144 + 10, 10 + 8)
        assert summary["requests"] == len(vendor.log)
        assert [job["trigger"] for job in found["jobs"]] == ["repair", "backfill"]
        assert found["jobs"][0]["detail"]["by_symbol"]["ETH"] == dict.fromkeys(BY_SYMBOL, 0) | {
            "missing_before": 8,
            "expected": 72,
            "stored": 64,
            "missing": 8,
        }

        # A look at a part of it.
        assert document(ground, limit=1)["summary"]["jobs"] == 1
        assert [
            job["trigger"] for job in document(ground, since=began + timedelta(minutes=1))["jobs"]
        ] == ["repair"]
        # What an earlier job repaired is not told of a later one.
        ground.wait(minutes=30)
        ground.fill()
        assert document(ground, limit=1)["retry_results"]["repaired"]["bars"] == 0

    def test_of_no_jobs_it_is_as_whole_as_of_many(self, ground):
        found = document(ground)
        assert (found["symbols_processed"], found["gaps_detected"], found["jobs"]) == ([], [], [])
        assert found["summary"]["jobs"] == found["summary"]["failed"] == 0
        assert found["retry_results"]["repaired"] == {"gaps": 0, "bars": 0, "series": []}

    def test_a_job_of_an_older_version_has_every_key_too(self, ground):
        ground.keep("symbols: {BTC: {}}")
        ground.fill()
        whole = document(ground)["jobs"][0]
        with ground.store.writing("testing") as transaction:
            transaction.connection.execute(
                "UPDATE ops.jobs SET detail = NULL, trigger = NULL, host = NULL, process = NULL"
            )
        bare = document(ground)["jobs"][0]
        assert bare.keys() == whole.keys()
        assert bare["detail"].keys() == whole["detail"].keys()
        for name, value in bare["detail"].items():
            assert value is None or type(value) is type(whole["detail"][name]), name

    def test_an_instant_is_told_in_utc_whatever_zone_it_came_in(self):
        nothing = pl.DataFrame(
            schema=dict.fromkeys(("profile", "symbol", "timeframe", "status"), pl.String)
            | dict.fromkeys(("bars", "attempts", "failures"), pl.Int64)
            | dict.fromkeys(("first_ts", "last_ts", "repaired_at"), TS)
        )
        now = datetime(2025, 3, 1, 2, tzinfo=timezone(timedelta(hours=2)))
        assert now.astimezone(UTC).day == 1
        assert (
            audit_document([], gaps=nothing, repairs=nothing, now=now)["timestamp"]
            == "2025-03-01T00:00:00Z"
        )

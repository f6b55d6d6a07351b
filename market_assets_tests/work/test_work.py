"""What every kind of work does: it is a job, and commits batch by batch."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime

import pytest

from market_assets.enrich.derive import Derive
from market_assets_tests.support.enrich_ground import H1, at, days

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def _spring(clock):
    clock.now = datetime(2025, 3, 12, tzinfo=UTC)


def test_a_derivation_is_a_job(market):
    crypto = market()
    crypto.fill(days("2025-03-03", "2025-03-05"))
    crypto.derive(H1, days("2025-03-03", "2025-03-05"))
    crypto.derive(H1, days("2025-03-05", "2025-03-06"))
    with crypto.store.reading("looking") as view:
        jobs = {job["start_ts"]: job for job in view.jobs.newest(10).iter_rows(named=True)}
    done, empty = jobs[at("2025-03-03")], jobs[at("2025-03-05")]
    assert (done["kind"], done["status"], done["progress"], done["symbols"]) == (
        "derive",
        "SUCCEEDED",
        1.0,
        ["BTC"],
    )
    assert (done["end_ts"], done["ended_at"]) == (at("2025-03-05"), at("2025-03-12"))
    assert json.loads(done["detail"])["rows"]["new"] == 48
    assert empty["status"] == "INCOMPLETE"
    assert list(json.loads(empty["detail"])["failures"]) == ["2025-03-05"]


def test_what_was_reported_is_recorded_with_the_next_commit_and_at_the_end(market, monkeypatch):
    monkeypatch.setattr("market_assets.enrich.derive.Derive.batch_bars", 1440)
    crypto = market()
    crypto.fill(days("2025-03-03", "2025-03-06"))
    derive = Derive(crypto.store, crypto.scope(H1), days("2025-03-03", "2025-03-06"))

    def reported() -> list[bool]:
        with crypto.store.reading("looking") as view:
            standing = view.partitions.standing(derive.dataset)
        return (standing["reported_at"] == standing["changed_at"]).fill_null(value=False).to_list()

    with closing(derive.batches()) as batches:
        for (outcome,) in batches:
            version = datetime.fromisoformat(outcome.version)
            derive.note_reported({outcome.partition.key: version})
            assert not reported()[-1]
    assert reported() == [True] * 3


def test_a_derivation_that_is_closed_early_keeps_what_it_has_committed(market, monkeypatch):
    monkeypatch.setattr("market_assets.enrich.derive.Derive.batch_bars", 1440)
    crypto = market()
    crypto.fill(days("2025-03-03", "2025-03-06"))
    derivation = iter(
        Derive(
            crypto.store,
            crypto.scope(H1),
            days("2025-03-03", "2025-03-06"),
        )
    )
    assert next(derivation).partition.key == "2025-03-03"
    derivation.close()
    assert len(crypto.made(H1)) == 24
    with crypto.store.reading("looking") as view:
        (job,) = view.jobs.newest(10).rows(named=True)
    assert (job["status"], job["progress"]) == ("CANCELLED", pytest.approx(1 / 3))
    assert [outcome.new for outcome in crypto.derive(H1, days("2025-03-03", "2025-03-06"))] == [
        0,
        24,
        24,
    ]


def test_a_window_before_the_profile_is_no_job(market):
    crypto = market()
    assert crypto.derive(H1, days("2020-01-01", "2021-01-01")) == []
    with crypto.store.reading("looking") as view:
        assert view.jobs.newest(10).is_empty()

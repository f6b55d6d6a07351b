"""Each check in a case in which it passes, and in those in which it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from market_assets.doctor.checks.locks import check_locks
from market_assets.doctor.checks.network import check_network, check_no_network, skew_of
from market_assets.doctor.checks.place import check_place
from market_assets.doctor.checks.ports import check_ports
from market_assets.doctor.checks.records import check_dagster, check_store
from market_assets.doctor.checks.setup import check_setup
from market_assets.doctor.checks.software import check_software
from market_assets.doctor.facts import (
    DagsterFile,
    Lock,
    Need,
    Place,
    Port,
    Reach,
    Setup,
    Software,
    StoreFile,
)
from market_assets.doctor.findings import Finding, State

if TYPE_CHECKING:
    from collections.abc import Iterable

GB = 1000**3

POLARS = Need("polars", ">=2.1,<3", "2.1.0", fits=True)
REDIS = Need("redis", ">=6", None, fits=False)
SOFTWARE = Software("3.11.7", ">=3.11,<3.14", python_fits=True, needs=(POLARS,), tests={})
PLACE = Place(
    Path("/home/me/data"),
    exists=True,
    is_folder=True,
    is_writable=True,
    system="ext4",
    free=50 * GB,
    store=GB,
)
SETUP = Setup("/home/me/universe.yaml", (), 2, 5, {"KEY": True})
REACH = Reach("vendor", "https://vendor", status=404, date=1000, asked=1000.2, answered=1000.4)
PORT = Port("pages", "127.0.0.1", 3000)
STORE = StoreFile(10, 10)
FILE = DagsterFile("history/runs.db", "b", "b")
LOCK = Lock("market.duckdb.lock", is_in_use=False)


def by_subject(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


def is_well(finding: Finding) -> bool:
    return finding.state is State.OK and not finding.step


def holds(finding: Finding, state: State, *words: str) -> bool:
    """Whether it says these words, and what to do."""
    return finding.state is state and all(
        word in f"{finding.words} | {finding.step}" for word in words
    )


def test_software_that_fits_is_well():
    assert all(map(is_well, check_software(SOFTWARE)))


def test_a_python_that_is_too_old_fails():
    old = replace(SOFTWARE, python="3.9.2", python_fits=False)
    assert holds(by_subject(check_software(old))["python"], State.FAIL, "3.9.2", ">=3.11,<3.14")


def test_a_package_of_another_release_and_one_that_is_not_there_fail():
    old = Need("polars", ">=2.1,<3", "1.9", fits=False)
    packages = by_subject(check_software(replace(SOFTWARE, needs=(old, REDIS))))["packages"]
    assert holds(packages, State.FAIL, "polars 1.9 is not >=2.1,<3", "redis is not installed")


def test_an_extra_fails_only_where_the_universe_uses_it():
    lacking = replace(SOFTWARE, extras={"redis": (REDIS,), "ccxt": (POLARS,)})
    findings = by_subject(check_software(lacking))
    assert "extra redis" not in findings
    assert is_well(findings["extras"])
    assert findings["extras"].words == "installed: ccxt; not installed: redis"

    used = by_subject(check_software(replace(lacking, wanted_extras={"redis": "`limits`"})))
    assert holds(used["extra redis"], State.FAIL, "`limits`", "pip install 'market-assets[redis]'")

    unheard = by_subject(check_software(replace(SOFTWARE, wanted_extras={"serve": "`serve`"})))
    assert holds(unheard["extra serve"], State.WARN, "pip install -e '.[serve]'")


def test_another_release_than_the_one_that_was_tested_warns():
    other = replace(SOFTWARE, tests={"numpy": ("2.5.0", "2.4.6")})
    finding = by_subject(check_software(other))["releases"]
    assert holds(finding, State.WARN, "numpy 2.5.0 (tested 2.4.6)", "-c constraints.txt")
    assert by_subject(check_software(replace(SOFTWARE, tests=None)))["releases"].state is State.SKIP


def test_a_home_that_can_be_written_is_well_whether_it_is_there_or_not():
    assert all(map(is_well, check_place(PLACE)))
    assert all(map(is_well, check_place(replace(PLACE, exists=False))))


@pytest.mark.parametrize(
    ("change", "subject", "state", "words"),
    [
        ({"is_folder": False}, "home", State.FAIL, "is no folder"),
        ({"is_writable": False}, "home", State.FAIL, "cannot be written"),
        ({"is_writable": False, "exists": False}, "home", State.FAIL, "cannot be made"),
        ({"system": "nfs4"}, "file system", State.WARN, "nfs4 is a network's"),
        ({"system": "tmpfs"}, "file system", State.WARN, "gone when the machine starts again"),
        ({"free": 100_000_000}, "room", State.FAIL, "only 100.0 MB are free"),
        ({"free": 900_000_000}, "room", State.WARN, "only 900.0 MB are free"),
        ({"free": 50 * GB, "store": 40 * GB}, "room", State.WARN, "want 80.0 GB"),
    ],
)
def test_a_home_where_nothing_can_be_kept_is_told(
    change: dict[str, object], subject: str, state: State, words: str
) -> None:
    finding = by_subject(check_place(replace(PLACE, **change)))[subject]
    assert holds(finding, state, words)
    assert finding.step


def test_a_file_system_of_an_unknown_kind_is_left_out():
    assert by_subject(check_place(replace(PLACE, system="")))["file system"].state is State.SKIP


def test_a_universe_with_its_keys_is_well():
    assert all(map(is_well, check_setup(SETUP)))
    assert all(map(is_well, check_setup(replace(SETUP, keys={}))))


def test_mistakes_and_keys_that_are_not_set_fail_and_another_clock_warns():
    faulty = Setup("u.yaml", tuple("abcd"), 0, 0, {"KEY": True, "OTHER": False}, clock="x")
    findings = by_subject(check_setup(faulty))
    assert holds(findings["universe"], State.FAIL, "u.yaml: a; b; c; and 1 more", "validate")
    assert holds(findings["keys"], State.FAIL, "not set: OTHER", "set it in the environment")
    assert holds(findings["clock"], State.WARN, "MARKET_ASSETS_CLOCK")


def test_a_source_that_answers_anything_is_reached():
    assert all(map(is_well, check_network([REACH])))
    folder = Reach("files", "/candles", is_folder=True)
    assert is_well(by_subject(check_network([folder]))["source files"])


@pytest.mark.parametrize(
    ("reach", "state", "words"),
    [
        (Reach("vendor", "https://v", fault="no such host"), State.FAIL, "HTTPS_PROXY"),
        (Reach("vendor", "/v", is_folder=True, fault="no folder"), State.FAIL, "`path`"),
        (Reach("vendor", "https://v", hold=90), State.WARN, "left alone for 90 s more"),
        (replace(REACH, status=451), State.WARN, "market-assets probe vendor SYMBOL"),
        (replace(REACH, status=503), State.WARN, "does not serve now"),
        (Reach("vendor", "", reason="has no address"), State.SKIP, "has no address"),
    ],
)
def test_a_source_that_cannot_be_reached_or_refuses_is_told(
    reach: Reach, state: State, words: str
) -> None:
    assert holds(by_subject(check_network([reach]))["source vendor"], state, words)


@pytest.mark.parametrize(
    ("asked", "answered", "skew"),
    [
        (1000.0, 1000.1, 0.0),
        (999.5, 1000.1, 0.0),
        (1000.9, 1001.4, 0.0),
        (1063.0, 1064.0, 62.0),
        (940.0, 950.0, -50.0),
    ],
)
def test_skew_is_what_whole_seconds_and_the_way_cannot_explain(
    asked: float, answered: float, skew: float
) -> None:
    assert skew_of(replace(REACH, asked=asked, answered=answered)) == skew


def test_a_wrong_clock_is_told_and_one_wrong_server_is_outvoted():
    ahead = replace(REACH, asked=1063, answered=1064)
    slightly = replace(REACH, asked=1011, answered=1012)
    behind = replace(REACH, asked=900, answered=901)

    def skew(*reaches: Reach) -> Finding:
        return by_subject(check_network(reaches))["clock skew"]

    assert holds(skew(ahead), State.FAIL, "62 s ahead of", "NTP")
    assert holds(skew(slightly), State.WARN, "10 s ahead of")
    assert holds(skew(behind), State.FAIL, "99 s behind")
    assert is_well(skew(REACH, ahead, REACH))
    assert skew(replace(REACH, date=None)).state is State.SKIP


def test_without_a_network_nothing_is_called_well():
    findings = list(check_no_network("because of --offline"))
    assert [finding.state for finding in findings] == [State.SKIP] * 2
    assert "--offline" in findings[0].words


@pytest.mark.parametrize(
    ("change", "state", "words"),
    [
        ({}, State.OK, "127.0.0.1:3000 is free"),
        ({"is_in_use": True, "holder": "market-assets up", "is_ours": True}, State.OK, "held by"),
        ({"is_in_use": True, "holder": "nginx (process 7)"}, State.WARN, "nginx (process 7)"),
        ({"is_in_use": True}, State.WARN, "a program of another user"),
        ({"fault": "Permission denied"}, State.FAIL, "Permission denied"),
    ],
)
def test_a_port_is_free_ours_or_somebody_elses(
    change: dict[str, object], state: State, words: str
) -> None:
    (finding,) = check_ports([replace(PORT, **change)])
    assert holds(finding, state, words)
    assert bool(finding.step) is (state is not State.OK)


@pytest.mark.parametrize(
    ("store", "state", "words"),
    [
        (STORE, State.OK, "version 10"),
        (StoreFile(None, 10, exists=False), State.OK, "first backfill"),
        (StoreFile(11, 10), State.FAIL, "upgrade market_assets"),
        (StoreFile(9, 10), State.WARN, "brings it to that version"),
        (StoreFile(None, 10, fault="is no DuckDB file"), State.FAIL, "is no DuckDB file"),
        (StoreFile(None, 10, holder="market-assets backfill"), State.SKIP, "left alone"),
    ],
)
def test_a_store_of_this_version_is_well(store: StoreFile, state: State, words: str) -> None:
    assert holds(check_store(store), state, words)


@pytest.mark.parametrize(
    ("files", "state", "words"),
    [
        ([FILE], State.OK, "1 database"),
        ([], State.OK, "none yet"),
        ([FILE, replace(FILE, revision="a")], State.WARN, "dagster instance migrate"),
        ([replace(FILE, revision="z", is_past=False)], State.FAIL, "newer Dagster"),
        ([replace(FILE, revision=None, is_past=False)], State.WARN, "cannot be read now"),
    ],
)
def test_files_of_the_installed_dagster_are_well(
    files: list[DagsterFile], state: State, words: str
) -> None:
    assert holds(check_dagster(files), state, words)


@pytest.mark.parametrize(
    ("lock", "state", "words"),
    [
        (LOCK, State.OK, "none is held"),
        (replace(LOCK, is_in_use=True), State.OK, "left no note"),
        (replace(LOCK, is_in_use=True, note="a", process=7, is_alive=True), State.OK, "held by a"),
        (replace(LOCK, note="a", process=7, is_alive=True), State.OK, "none is held"),
        (replace(LOCK, note="a", process=7, is_alive=False), State.WARN, "was killed (a)"),
        (replace(LOCK, note="a", process=7), State.WARN, "of another machine (a)"),
        (
            replace(LOCK, is_in_use=True, note="a", process=7, is_alive=False),
            State.FAIL,
            "a child of it lives on",
        ),
    ],
)
def test_a_lock_of_a_dead_process_is_told(lock: Lock, state: State, words: str) -> None:
    (finding,) = check_locks([lock])
    assert holds(finding, state, words)

"""The versions of the store and of Dagster's files, against what is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.doctor.findings import Finding, State
from market_assets.words import listed, many

if TYPE_CHECKING:
    from collections.abc import Sequence

    from market_assets.doctor.facts import DagsterFile, StoreFile

_MOST = 3
"""Files that a sentence names."""


def check_store(store: StoreFile) -> Finding:
    """Judge the version of the store."""
    if not store.exists:
        return Finding("store", State.OK, "none yet: the first backfill makes it")
    if store.holder:
        return Finding("store", State.SKIP, f"in use by {store.holder}, so it was left alone")
    if store.version is None:
        return Finding(
            "store",
            State.FAIL,
            store.fault,
            "move the file away or put its last backup there, "
            "or name another home with --home; nothing was changed",
        )
    version = f"version {store.version}"
    if store.version > store.program:
        return Finding(
            "store",
            State.FAIL,
            f"{version}, and this market_assets knows {store.program}",
            "upgrade market_assets, or name another home with --home",
        )
    if store.version < store.program:
        return Finding(
            "store",
            State.WARN,
            f"{version}, and this market_assets writes {store.program}",
            "back it up (market-assets snapshot); the next command brings it to that version",
        )
    return Finding("store", State.OK, version)


def check_dagster(files: Sequence[DagsterFile]) -> Finding:
    """Judge the revisions of Dagster's databases."""
    subject = "dagster's files"
    if not files:
        return Finding(subject, State.OK, "none yet: the first backfill makes them")
    if newer := [file.name for file in files if file.revision and not file.is_past]:
        return Finding(
            subject,
            State.FAIL,
            f"written by a newer Dagster: {listed(newer, _MOST)}",
            "install the Dagster that has written them, or name another home with --home",
        )
    if older := [file.name for file in files if file.revision not in {None, file.head}]:
        return Finding(
            subject,
            State.WARN,
            f"written by an older Dagster: {listed(older, _MOST)}",
            "stop what runs, copy the home, and run DAGSTER_HOME=<home> dagster instance migrate",
        )
    if unclear := [file.name for file in files if file.revision is None]:
        return Finding(
            subject,
            State.WARN,
            f"cannot be read now: {listed(unclear, _MOST)}",
            "run this again; where it stays so, stop what runs and put a backup there",
        )
    words = f"{many(len(files), 'database')}, as the installed Dagster writes them"
    return Finding(subject, State.OK, words)

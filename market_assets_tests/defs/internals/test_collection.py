"""The definitions are made without a search for garbage, and without what only runs need."""

from __future__ import annotations

import gc
import subprocess
import sys

from market_assets.defs.internals.collection import rare_collection, without_collection


def test_no_garbage_is_searched_for_in_the_block_and_its_objects_are_left_alone_after():
    assert gc.isenabled()
    try:
        with without_collection():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()


def test_a_search_that_is_off_stays_off():
    gc.disable()
    try:
        with without_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.unfreeze()
        gc.enable()


def test_garbage_is_searched_for_seldom_in_a_block_and_as_usual_after_it():
    usual = gc.get_threshold()
    with rare_collection():
        assert gc.isenabled()
        assert all(rare > often for rare, often in zip(gc.get_threshold(), usual, strict=True))
    assert gc.get_threshold() == usual


def test_the_definitions_are_imported_without_what_only_runs_need():
    program = (
        "import gc, sys, market_assets.definitions\n"
        "assert gc.isenabled() and gc.get_freeze_count()\n"
        "print(*sorted({'alembic', 'httpx', 'pandas', 'rich', 'sqlalchemy',"
        " 'dagster._core.storage.event_log', 'dagster._daemon.daemon', 'market_assets.alerts',"
        " 'market_assets.enrich', 'market_assets.fill.fill', 'market_assets.pictures.candles',"
        " 'market_assets.reports', 'market_assets.sources.transport.http',"
        " 'market_assets.store'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""

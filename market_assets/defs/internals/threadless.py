"""Imports polars and DuckDB without the threads that both start then, so that forks share them.

Importing it does that. polars starts its thread in a function of its own, which each fork calls for
itself. DuckDB starts some with the connection that it makes at once, for as many as there are
cores: it is given another one, which starts none.

Where a release does it in another way there are threads, and the fork server sees them. Two
variables of the environment keep the allocators from starting some: see `up.environment`.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

import _duckdb

if TYPE_CHECKING:
    from types import ModuleType

_START = "__register_startup_deps"
"""The function of polars that starts the thread: with what Python does for polars' own code."""

_RUNTIMES = ("compat", "64", "32")
"""What polars' own code is made for; one of them is installed, and the first one counts."""


def _import_duckdb() -> None:
    connection = _duckdb.connect(":memory:", config={"threads": 1})
    _duckdb.set_default_connection(connection)
    import_module("duckdb")


def _import_polars() -> None:
    runtime = _runtime()
    start = getattr(runtime, _START)
    setattr(runtime, _START, lambda *_: None)
    try:
        import_module("polars")
    finally:
        setattr(runtime, _START, start)
    process = os.getpid()

    def begin() -> None:
        # What a fork starts by `multiprocessing` has all but the thread.
        if os.getppid() == process:
            start(import_module("polars._warnings")._polars_warn)  # noqa: SLF001

    os.register_at_fork(after_in_child=begin)


def _runtime() -> ModuleType:
    """The module of polars' own code, without polars.

    Raises:
        ImportError: None is installed.
    """
    for name in _RUNTIMES:
        with suppress(ModuleNotFoundError):
            return import_module(f"_polars_runtime_{name}._polars_runtime")
    raise ImportError("polars has no code of its own")


# Who has loaded them before has their threads.
if "duckdb" not in sys.modules:
    _import_duckdb()
if "polars" not in sys.modules:
    _import_polars()

"""Commands that end soon look for garbage seldom, and those that stay as often as Python does."""

from __future__ import annotations

import ctypes
import gc
import inspect
import os
import subprocess
import sys
from importlib import import_module

import pytest

from market_assets.cli.garbage import search_as_usual, search_seldom


@pytest.fixture(autouse=True)
def as_before():
    usual = gc.get_threshold()
    yield usual
    gc.set_threshold(*usual)


def test_a_command_that_stays_looks_as_often_as_python_does(as_before):
    search_seldom()
    assert gc.get_threshold()[0] == 50_000

    search_as_usual()

    assert gc.get_threshold() == as_before


@pytest.mark.parametrize("name", ["stream", "serve", "up", "practice_vendor"])
def test_these_commands_stay(name):
    module = import_module(f"market_assets.cli.commands.{name}")
    assert "search_as_usual()" in inspect.getsource(getattr(module, name))


ARENAS = """
import ctypes, sys, threading
from market_assets.cli.garbage import give_memory_back
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
if sys.argv[1] == "shared":
    give_memory_back()
together = threading.Barrier(6)
def allocate():
    together.wait()
    libc.malloc(1_000)
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, ctypes.c_void_p(file))
libc.fclose(ctypes.c_void_p(file))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="glibc alone has arenas")
def test_the_threads_of_a_command_that_stays_share_their_memory(tmp_path):
    def arenas(how: str) -> int:
        path = tmp_path / how
        command = [sys.executable, "-c", ARENAS, how, str(path)]
        subprocess.run(command, check=True, env={"PATH": os.environ["PATH"]})
        return path.read_text().count("<heap nr=")

    assert arenas("as usual") > 2
    assert arenas("shared") <= 2

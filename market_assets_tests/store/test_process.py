"""Whether a process that has left its number is still there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from market_assets.store.process import birth_of, command_of, is_alive, this_host

on_linux = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="only Linux tells when a process began"
)


def test_this_process_is_there_and_one_that_has_ended_is_not():
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    assert is_alive(os.getpid())
    assert is_alive(os.getppid())
    assert not is_alive(gone.pid)
    assert birth_of(gone.pid) is None
    assert this_host()


@on_linux
def test_a_number_that_was_given_out_again_is_another_process():
    born = birth_of(os.getpid())
    assert born == birth_of(os.getpid())
    assert is_alive(os.getpid(), born)
    assert not is_alive(os.getpid(), "1")


@on_linux
def test_a_process_that_has_ended_is_gone_even_before_its_parent_asks():
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    # Its output ends when it does.
    assert process.stdout is not None
    process.stdout.read()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(process.pid)
    process.wait()
    process.stdout.close()


@on_linux
def test_a_process_is_called_by_its_program_and_without_what_may_be_secret() -> None:
    waiting = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "0"]
    with subprocess.Popen(waiting, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
        name = command_of(other.pid)
        other.terminate()
    assert name.endswith(" -m http.server")
    assert command_of(other.pid) == ""

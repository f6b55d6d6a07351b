"""Processes as forks of one that has loaded what they need.

What they get, how they end, and who hears of it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from market_assets.up.forks import Child, Fork
from market_assets.up.starter import LOADED, Starter

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems start processes anew"
)

# What a fork server loads: it notes who has loaded it.
LIBRARY = "import os\nLOADED_BY = os.getpid()\n"

THREADED = (
    "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
)

# Tells what it is, and waits for a line, after which it ends with the code that this gives.
WORKER = """
import json, os, signal, sys
import fork_library
facts = {
    "pid": os.getpid(), "loaded_by": fork_library.LOADED_BY,
    "arguments": sys.argv[1:], "group": os.getpgrp(),
    "variables": [os.environ.get("FORK_WORD"), os.environ.get("FORK_SERVER")],
    "signals": [
        signal.getsignal(number) is signal.SIG_DFL for number in (signal.SIGTERM, signal.SIGCHLD)
    ],
    "name": open("/proc/self/comm").read().strip(),
}
if len(sys.argv) > 2:
    facts["file"] = os.fdopen(int(sys.argv[2])).read()
print(json.dumps(facts), flush=True)
sys.exit(int(sys.stdin.readline() or 0))
"""

# A fork that uses polars and DuckDB, which were loaded without their threads.
READER = """
import json, sys
loaded = {"polars", "duckdb", "market_assets.defs.location"} <= sys.modules.keys()
import duckdb, polars as pl
from market_assets.up.forkserver import threads
names = [name for name in threads() if name.startswith("polars-ooc")]
frame = pl.DataFrame({"a": [0, 1, 2]})
rows = frame.lazy().filter(pl.col("a").map_elements(lambda a: a >= 0, pl.Boolean)).collect().height
with duckdb.connect(":memory:", config={"threads": 2}) as connection:
    (total,) = connection.execute("SELECT sum(a)::INT FROM frame").fetchone()
    (cores,) = connection.execute("SELECT current_setting('threads')").fetchone()
print(json.dumps({"loaded": loaded, "rows": rows, "sum": total, "threads": names, "of": cores}))
"""

# What an interpreter does at its end is done; that it frees what is left is not.
END = """
import atexit, sys, threading
class Left:
    def __del__(self):
        print("freed")
left = Left()
def late():
    threading.main_thread().join()
    print("thread")
print("begun", flush=True)
atexit.register(print, "exit")
threading.Thread(target=late).start()
sys.exit("in words")
"""

# A fork that asks for another one, which belongs to its group.
ASKER = """
import os, socket, sys
from market_assets.up.forks import CHANNEL_VARIABLE, Request, fork
channel = socket.socket(fileno=int(os.environ[CHANNEL_VARIABLE]))
print("asks", flush=True)
child = fork(channel, Request(["fork_worker"], dict(os.environ), leads=False), streams=(0, 1, 2))
while child.poll() is None:
    pass
print(child.poll(), flush=True)
"""


class Ground:
    """A starter, and what its processes print."""

    def __init__(self, folder: Path, library: str = "fork_library") -> None:
        self.folder = folder
        for name, text in (
            ("fork_library", LIBRARY),
            ("fork_threaded", THREADED),
            ("fork_worker", WORKER),
            ("fork_asker", ASKER),
        ):
            (folder / f"{name}.py").write_text(text)
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]),
            "MARKET_ASSETS_UP_ALIVE": str(folder / "up.alive"),
            "OPENBLAS_NUM_THREADS": "1",
            "JE_ARROW_MALLOC_CONF": "background_thread:false",
            "_RJEM_MALLOC_CONF": "background_thread:false",
            "FORK_SERVER": "yes",
        }
        self.outputs: list[IO[bytes]] = []
        self.starter = Starter(self.environment, self._take, library)
        self.starter.start()
        while not self.starter.is_ready():
            continue

    def _take(self, _name: str, number: int) -> None:
        self.outputs.append(os.fdopen(number, "rb"))

    def start(
        self, *arguments: str, asks: bool = False, file: int | None = None
    ) -> tuple[Child, IO[bytes], IO[bytes]]:
        """A process, what it prints, and where it reads."""
        read_in, write_in = os.pipe()
        read_out, write_out = os.pipe()
        environment = {**self.environment, "FORK_WORD": "word"}
        environment.pop("FORK_SERVER")
        child = self.starter.launch(
            arguments,
            environment,
            streams=(read_in, write_out, write_out),
            fds=[] if file is None else [file],
            asks=asks,
        )
        os.close(read_in)
        os.close(write_out)
        return child, os.fdopen(read_out, "rb"), os.fdopen(write_in, "wb", buffering=0)

    def server(self) -> int:
        """The number of the fork server."""
        child = self.starter._process._child
        assert child is not None
        return child.pid

    def end(self) -> None:
        self.starter.end()
        while not self.starter.has_ended():
            continue
        for output in self.outputs:
            output.close()


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    ground = Ground(tmp_path)
    yield ground
    ground.end()


def code_of(child: Child) -> int:
    """How a process has ended, once it has."""
    while (code := child.poll()) is None:
        continue
    return code


def test_a_fork_has_what_the_server_has_loaded_and_all_else_of_its_own(ground: Ground) -> None:
    (ground.folder / "note").write_text("a file")
    with (ground.folder / "note").open("rb") as note:
        child, out, into = ground.start("fork_worker", "first", file=note.fileno())
    with out, into:
        facts = json.loads(out.readline())
        assert facts["loaded_by"] == ground.server()
        assert facts["pid"] == facts["group"] == child.pid
        assert facts["pid"] != ground.server()
        assert facts["arguments"][0] == "first"
        assert facts["file"] == "a file"
        assert facts["variables"] == ["word", None]
        assert facts["signals"] == [True, True]
        assert facts["name"] == "fork_worker fir"
        assert child.poll() is None
        into.write(b"7\n")
        assert code_of(child) == 7
        assert out.read() == b""


def test_how_a_fork_ends_is_told_to_who_started_it(ground: Ground) -> None:
    for end, code in ((Child.terminate, -signal.SIGTERM), (Child.kill, -signal.SIGKILL)):
        child, out, into = ground.start("fork_worker")
        with out, into:
            out.readline()
            getattr(child, end.__name__)()
            assert code_of(child) == code
            # Its number may be another's now: nothing is sent to that.
            child.kill()


def test_a_module_that_is_not_there_is_told_as_by_an_interpreter(ground: Ground) -> None:
    child, out, into = ground.start("no_such_module")
    with out, into:
        assert b"no_such_module" in out.read()
    assert code_of(child) == 1


def test_a_fork_may_ask_for_another_which_goes_on_without_it_and_ends_with_the_group(
    ground: Ground,
) -> None:
    child, out, into = ground.start("fork_asker", asks=True)
    with out, into:
        assert out.readline() == b"asks\n"
        facts = json.loads(out.readline())
        assert facts["group"] == child.pid
        assert facts["loaded_by"] == ground.server()
        into.write(b"3\n")
        assert out.readline() == b"3\n"
        assert code_of(child) == 0

    child, out, into = ground.start("fork_asker", asks=True)
    with out, into:
        out.readline()
        facts = json.loads(out.readline())
        child.kill()
        assert code_of(child) == -signal.SIGKILL
        os.kill(facts["pid"], 0)
        os.killpg(child.pid, signal.SIGKILL)
        assert out.read() == b""


def test_a_killed_server_takes_its_forks_with_it_and_another_one_takes_its_place(
    ground: Ground,
) -> None:
    child, out, into = ground.start("fork_asker", asks=True)
    with out, into:
        out.readline()
        out.readline()
        first = ground.server()
        os.kill(first, signal.SIGKILL)
        while (why := ground.starter.watch(0.0)) is None:
            continue
        assert why == "killed by SIGKILL"
        assert code_of(child) == -signal.SIGKILL
        # Also the one that nobody here knows of: the pipe ends with the last that could write to
        # it.
        out.read()
    assert not ground.starter.is_ready()
    while not ground.starter.is_ready():
        ground.starter.watch(100.0)
    assert ground.server() != first
    child, out, into = ground.start("fork_worker")
    with out, into:
        assert json.loads(out.readline())["loaded_by"] == ground.server()


def test_where_a_library_has_started_a_thread_processes_are_started_anew(tmp_path: Path) -> None:
    ground = Ground(tmp_path, "fork_threaded")
    child, out, into = ground.start("fork_worker")
    with out, into:
        facts = json.loads(out.readline())
        assert facts["loaded_by"] == facts["pid"] == child.pid
        assert not isinstance(child, Fork)
        into.write(b"5\n")
        assert code_of(child) == 5
    # What the log gets to read.
    assert b"libraries have started threads" in ground.outputs[0].read()
    ground.end()


def test_what_the_platform_loads_before_it_forks_starts_no_thread_and_works_after(
    tmp_path: Path,
) -> None:
    ground = Ground(tmp_path, LOADED)
    (tmp_path / "fork_reader.py").write_text(READER)
    child, out, into = ground.start("fork_reader")
    with out, into:
        assert isinstance(child, Fork)
        # polars may warn before.
        facts = json.loads(out.read().splitlines()[-1])
    assert facts == {"loaded": True, "rows": 3, "sum": 3, "threads": ["polars-ooc-clea"], "of": 2}
    assert code_of(child) == 0
    ground.end()


def test_a_fork_ends_as_an_interpreter_does_but_lets_go_of_nothing(ground: Ground) -> None:
    (ground.folder / "fork_end.py").write_text(END)
    child, out, into = ground.start("fork_end")
    with out, into:
        assert out.read() == b"begun\nin words\nthread\nexit\n"
    assert code_of(child) == 1


# A supervisor that starts a fork by a fork, as runs are started.
SUPERVISOR = """
import os, sys, threading
from market_assets.up.starter import Starter
environment = dict(os.environ)
starter = Starter(environment, lambda name, number: None, "fork_library")
starter.start()
while not starter.is_ready():
    pass
starter.launch(["fork_asker"], environment, streams=(0, 1, 2), asks=True)
threading.Event().wait()
"""


def test_a_killed_supervisor_leaves_neither_server_nor_forks(ground: Ground) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR],
        env=ground.environment | {"MARKET_ASSETS_UP_ALIVE": str(ground.folder / "other.alive")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert supervisor.stdout is not None
    assert supervisor.stdin is not None
    assert supervisor.stdout.readline() == b"asks\n"
    server = json.loads(supervisor.stdout.readline())["loaded_by"]
    os.kill(supervisor.pid, signal.SIGKILL)
    # The pipe ends when the last process that could write to it has ended.
    supervisor.stdout.read()
    supervisor.wait()
    supervisor.stdin.close()
    supervisor.stdout.close()
    while is_there(server):
        continue


def is_there(process: int) -> bool:
    """Whether a process has not ended; one that nobody collects has."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields.rpartition(")")[2].split()[0] != "Z"

"""A process ends when its supervisor is gone, and so does what it has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from market_assets.up.leash import live_at, take

if TYPE_CHECKING:
    from pathlib import Path

# The child is a module of its own, run by name.
CHILD = """
import multiprocessing
from market_assets_tests.support.family import stay
multiprocessing.get_context("spawn").Process(target=stay, args=["grandchild"], daemon=True).start()
stay("child")
"""

# A supervisor that starts a child, which starts a grandchild as runs are started.
SUPERVISOR = """
import os, subprocess, sys, threading
from pathlib import Path
from market_assets.up.leash import live_at
alive = live_at(Path(sys.argv[1]))
child = subprocess.Popen([sys.executable, "-m", "market_assets.up.child", "leash_child"],
                         env={**os.environ, "MARKET_ASSETS_UP_ALIVE": sys.argv[1]},
                         start_new_session=True)
threading.Event().wait()
"""


def test_a_killed_supervisor_leaves_no_orphans(tmp_path: Path) -> None:
    alive = tmp_path / "up.alive"
    (tmp_path / "leash_child.py").write_text(CHILD)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(tmp_path)])}
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(alive)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert supervisor.stdout is not None
    family = sorted(supervisor.stdout.readline().split()[0] for _ in range(2))
    assert family == ["child", "grandchild"]
    os.kill(supervisor.pid, signal.SIGKILL)
    # The pipe ends when the last process that could write to it has ended.
    assert supervisor.stdout.read() == ""
    supervisor.wait()


def test_a_lock_is_had_once_and_a_sign_of_life_by_each_supervisor(tmp_path: Path) -> None:
    lock = take(tmp_path / "up.lock")
    assert lock is not None
    assert take(tmp_path / "up.lock") is None
    lock.close()
    with take(tmp_path / "up.lock") or open(os.devnull, "rb") as again:  # noqa: PTH123
        assert again.name == str(tmp_path / "up.lock")

    first, second = live_at(tmp_path / "up.alive"), live_at(tmp_path / "up.alive")
    assert os.fstat(first.fileno()).st_ino != os.fstat(second.fileno()).st_ino
    assert [path.name for path in tmp_path.glob("up.alive*")] == ["up.alive"]
    first.close()
    second.close()

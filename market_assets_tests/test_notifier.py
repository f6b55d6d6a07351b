"""The library that sends messages is silent: of a bad address it would log the words."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import logging
from market_assets.notifier import load_apprise

logging.basicConfig(level=logging.DEBUG)
print(load_apprise().Apprise().add("nonsense://hunter2"))
logging.getLogger("apprise").error("hunter2")
"""


def test_nothing_that_it_logs_goes_any_further():
    # In a process of its own: pytest listens to each logger by itself.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
    assert "hunter2" not in done.stderr

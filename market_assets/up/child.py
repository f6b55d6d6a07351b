"""What a process of `up` begins with: `python -m market_assets.up.child MODULE [ARGUMENT ...]`.

It binds the process to the supervisor and runs the module. What it starts by `multiprocessing`,
which imports the main module of its parent first, is bound too.
"""

from __future__ import annotations

import runpy
import signal
import sys

from market_assets.up.leash import hold_on


def begin() -> None:
    """Bind this process to the supervisor, and let it hear Ctrl-C."""
    # A shell gives its background jobs a SIGINT that is ignored, and Dagster takes over for SIGTERM
    # what SIGINT does.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    hold_on()


if __name__ in {"__main__", "__mp_main__"}:
    begin()

if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    # The main module stays this one, so that what it starts imports it too.
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=False)

"""A terminal over a home folder and a universe of its own, and a vendor that answers it."""

from __future__ import annotations

import gc
import io
import json
import logging
import os
import subprocess
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import polars as pl
import pytest

from market_assets.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from market_assets.practice.vendor import PracticeVendor

KEY = "tell-nobody-4711"

UNIVERSE = """
sources:
  vendor: {{type: practice, base_url: "{url}", retries: 0, backoff: 0,
           headers: {{X-Key: "${{VENDOR_KEY}}"}}}}
  quiet: {{type: archive, path: "{{symbol}}.csv", quiet_minutes: omitted}}
profiles:
  crypto:
    kind: CRYPTO
    start: 2025-02-03
    end: 2025-02-10
    timeframes: {{fetch: [1h], derive: [4h, 1d]}}
    sources: [vendor]
    symbols: {{BTC: {{}}, ETH: {{}}}}
  equity:
    kind: EQUITY
    start: 2025-02-03
    end: 2025-02-08
    timeframes: {{fetch: [1h]}}
    sources: [vendor]
    symbols: {{SPY: {{}}, THIN: {{start: 2025-02-04, end: 2025-02-06, sources: [quiet]}}}}
"""

# Six bars of New York's hours a day and half an hour; nothing traded in the first hour of the
# second day.
THIN = "ts,open,high,low,close,volume\n" + "".join(
    f"2025-02-0{day}T{14 + hour}:30:00,10,11,9,10,{hour}\n"
    for day in (4, 5)
    for hour in range(7)
    if (day, hour) != (5, 1)
)

MARKET = {"kind": "crypto", "symbols": {"SPY": {"kind": "equity"}}}
"""What the vendor of the universe above has, without faults."""

FAULTS: list[dict[str, Any]] = [
    # A gap over midnight, and a vendor who says what looks like markup and repeats the key that it
    # was sent.
    {"fault": "hole", "symbols": ["BTC"], "start": "2025-02-05T20:00Z", "end": "2025-02-06T03:00Z"},
    {
        "fault": "error",
        "symbols": ["ETH"],
        "status": 403,
        "message": f"[/closed] [bold]no[/bold] {KEY}",
    },
]

CHOOSY_MARKET = {
    "kind": "crypto",
    "symbols": {"SPY": {"kind": "equity"}, "NEW": {"genesis": "2099-01-01T00:00Z"}},
    "faults": [
        {"fault": "error", "symbols": ["ETH"], "status": 403, "message": f"[/closed] {KEY}"}
    ],
}
"""The same of a vendor that refuses ETH and has nothing of NEW."""

HOLE = {
    "fault": "hole",
    "symbols": ["BTC"],
    "start": "2025-02-07T20:00Z",
    "end": "2025-02-08T03:00Z",
}


@dataclass
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """All of its standard output, which must be strict JSON."""
        return json.loads(self.out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def in_a_process(arguments: Sequence[str], environment: Mapping[str, str]) -> Done:
    """A command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "market_assets.cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def in_this_process(arguments: Sequence[str], environment: Mapping[str, str]) -> Done:
    """A command from its entry point to its exit code.

    Its streams, environment and loggers are like those of a new process.
    """
    out, err = io.StringIO(), io.StringIO()
    thresholds = gc.get_threshold()
    with (
        patch.object(sys, "argv", ["market-assets", *arguments]),
        patch.dict(os.environ, environment, clear=True),
        redirect_stdout(out),
        redirect_stderr(err),
        _new_loggers(),
    ):
        # Not before: the module looks at its standard output when it is imported.
        from market_assets.cli import main  # noqa: PLC0415

        with pytest.raises(SystemExit) as ended:
            main()
    # This process goes on, and its garbage is looked for as before.
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    return Done(ended.value.code, out.getvalue(), err.getvalue())


@contextmanager
def _new_loggers() -> Iterator[None]:
    """The loggers that the entry point sets up without handlers, and as they were afterwards."""
    loggers = [logging.getLogger(), logging.getLogger("market_assets")]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers = []
    try:
        yield
    finally:
        for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)


class Shell:
    """A terminal with a home folder, a universe and a secret in its environment."""

    def __init__(self, folder: Path, vendor: PracticeVendor) -> None:
        self.home = folder / "home"
        self.vendor = vendor
        self.universe = folder / "universe.yaml"
        self.universe.write_text(UNIVERSE.format(url=vendor.url))
        (folder / "THIN.csv").write_text(THIN)
        self.environment = {
            **os.environ,
            "MARKET_ASSETS_HOME": str(self.home),
            "MARKET_ASSETS_UNIVERSE": str(self.universe),
            "VENDOR_KEY": KEY,
        }
        self.environment.pop("DAGSTER_HOME", None)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        # A shell may have told its children to ignore Ctrl-C.
        code = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
            "import sys; from market_assets.cli import main; main()"
        )
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def process(self, *arguments: str) -> Done:
        """A command in a process of its own, as a user has it."""
        return self.checked(in_a_process(arguments, self.environment))

    def run(self, *arguments: str) -> Done:
        """The same command in this process, which has long imported what takes seconds."""
        return self.checked(in_this_process(arguments, self.environment))

    def checked(self, done: Done) -> Done:
        """What holds of every command: no traceback, no secret, no warning of another package.

        The line that names home and universe is checked here, and taken away.
        """
        places = f"home {self.home} universe {self.environment['MARKET_ASSETS_UNIVERSE']}\n"
        assert done.err.count("home /") <= 1
        done.err = done.err.replace(places, "", 1)
        for text in (done.out, done.err):
            assert "Traceback" not in text
            assert "Warning" not in text
            assert KEY not in text
        return done

    def store(self) -> Store:
        return Store(self.home, clock=lambda: datetime.now(UTC))

    def jobs(self) -> list[dict[str, Any]]:
        with self.store().reading("testing") as view:
            return view.jobs.newest(100).to_dicts()

    def counted(self, profile: str) -> bool:
        """True once a fill waits for answers.

        By then it has planned what it asks for and counted what there must be.
        """
        with self.store().reading("testing") as view:
            return not view.completeness.matrix().filter(pl.col("profile") == profile).is_empty()

    def asked(self) -> list[dict[str, Any]]:
        """What the vendor was asked for since its log was cleared.

        The probes for a first bar are left out.
        """
        return [entry for entry in self.vendor.log if entry["endTime"] is not None]

"""Progress of the work of a command, as it is told on standard error."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from market_assets.cli.progress import Progress

if TYPE_CHECKING:
    import pytest


def test_each_kind_of_work_is_told_of_once_when_it_is_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Progress(quiet=False) as progress:
        progress.plan("fetch", 3)
        progress.plan("fetch", 2)
        progress.plan("derive", 4)
        with progress.work("fetch", "crypto 1m", 3) as done:
            for _ in range(3):
                done()
        assert capsys.readouterr().err == ""
        with progress.work("fetch", "equity 1m", 2) as done:
            done()
        # One of five failed: nobody waits for it.
        assert capsys.readouterr().err.startswith("fetch: 4/5 partitions in 0:00:00, ")
        with suppress(KeyboardInterrupt), progress.work("derive", "crypto 5m", 4) as done:
            done()
            raise KeyboardInterrupt
    left = capsys.readouterr().err
    assert left.startswith("derive: 1/4 partitions in 0:00:00, ")
    assert left.endswith(" left\n")

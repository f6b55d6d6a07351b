"""What the options of several commands mean, and how a wrong use is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from market_assets_tests.support.shell import Shell


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["backfill", "cryptoo"], 2, "cryptoo: no such profile; there are crypto, equity"),
        (
            ["backfill", "--symbols", "BTC,XRP"],
            2,
            "XRP: no such symbol; there are BTC, ETH, SPY, THIN",
        ),
        (["genesis", "--reset", "XRP"], 2, "XRP: no such symbol"),
        (["backfill", "--from", "yesterday"], 2, "--from yesterday: write a day like 2024-01-31"),
        (
            ["backfill", "--from", "2025-02-05", "--to", "2025-02-04"],
            2,
            "--to 2025-02-04 lies before --from 2025-02-05",
        ),
    ],
)
def test_a_wrong_use_is_told_at_once_and_nothing_is_made(
    shell: Shell, arguments: list[str], code: int, said: str
) -> None:
    done = shell.run(*arguments)
    assert done.code == code
    assert said in " ".join(done.err.replace("│", " ").split())
    assert done.out == ""
    assert not shell.home.exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["statsu"], 2, "Did you mean 'status'"),
        (["status", "cripto"], 2, "there are crypto, equity; did you mean crypto?"),
        (["gaps", "--symbols", "BTCC"], 2, "did you mean BTC?"),
        (["probe", "vendr", "BTC"], 2, "did you mean vendor?"),
        (["tail", "--timeframe", "1w"], 2, "--timeframe 1w: nobody keeps it; there are 1d, 1h, 4h"),
        (["backfill", "--days", "3", "--to", "2025-02-04"], 2, "leave --from and --to out"),
        (
            ["backfill", "crypto", "--days", "3"],
            2,
            "nothing of these days is kept: crypto keeps 2025-02-03 to 2025-02-10",
        ),
        (
            ["backfill", "--from", "2020-01-01", "--to", "2021-01-01"],
            2,
            "equity keeps 2025-02-03 to 2025-02-08",
        ),
    ],
)
def test_a_slip_is_answered_with_what_there_is(
    filled: tuple[Shell, dict], words: list[str], code: int, said: str
) -> None:
    shell, _ = filled
    done = shell.run(*words)
    assert (done.code, done.out) == (code, "")
    assert said in " ".join(done.err.replace("│", " ").split())

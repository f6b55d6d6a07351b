"""Tables and progress in a window of 80 columns, and what others wrote on a terminal."""

from __future__ import annotations

import io
from contextlib import suppress
from datetime import UTC, datetime

import polars as pl
import pytest

from market_assets.cli import console
from market_assets.cli.console import (
    Column,
    Terminal,
    harmless,
    is_healthy,
    print_matrix,
    print_table,
)
from market_assets.cli.progress import Progress
from market_assets.enrich.within import MATRIX_SCHEMA

LAST = datetime(2025, 1, 2, tzinfo=UTC).replace(tzinfo=None)
COLUMNS = [Column("name"), Column("bars", right=True), Column("why", prose=True), Column("trigger")]


def printed(
    width: int, columns: list[Column], rows: list[list[str]], *, wide: bool = False
) -> list[str]:
    """The lines that a table takes in a terminal of some width."""
    terminal = Terminal(width=width, file=io.StringIO(), force_terminal=False)
    print_table(columns, rows, wide=wide, console=terminal)
    return terminal.file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("BTC\u202eDSU", r"BTC\u202eDSU"),
        (
            "two\nlines\tand a tab, \u00fcml\u00e4ute, \u65e5\u672c",
            "two\nlines\tand a tab, \u00fcml\u00e4ute, \u65e5\u672c",
        ),
        ("a\rb\u2028c\u200bd\ud800", r"a\rb\u2028c\u200bd\ud800"),
    ],
)
def test_what_acts_on_a_terminal_is_visible(text: str, shown: str) -> None:
    assert harmless(text) == shown
    (line, *_) = printed(80, [Column("x"), Column("y")], [[text.replace("\n", " "), ""]])[3:]
    assert not set(line) & set("\x1b\x07\r\u202e\u2028\u200b\ud800")


def test_the_columns_at_the_end_make_room_and_are_named() -> None:
    rows = [["crypto BTCUSDT 1m", "1,440", "the vendor answered without it " * 3, "backfill"]]
    whole = printed(200, COLUMNS, rows)
    assert "backfill" in whole[3]
    assert "--wide" not in whole[-1]

    narrow = printed(62, COLUMNS, rows)
    assert max(map(len, narrow)) <= 62
    assert narrow[-1] == "--wide shows also: trigger"
    # Sentences go on in the next line; a name is whole.
    assert "crypto BTCUSDT 1m" in narrow[3]
    assert sum("vendor" in line for line in narrow) == 3

    wide = printed(62, COLUMNS, rows, wide=True)
    assert len(wide) == 5
    assert rows[0][2].strip() in wide[3]
    assert "backfill" in wide[3]


def test_a_name_that_is_wider_than_the_window_is_not_cut() -> None:
    lines = printed(40, [Column("name"), Column("bars")], [["A" * 60, "12"]])
    assert "".join(lines).count("A") == 60
    assert max(map(len, lines)) <= 40


def series(
    symbol: str, timeframe: str, *, expected: int, stored: int, health: str
) -> dict[str, object]:
    missing = expected - stored
    return {
        "profile": "crypto",
        "symbol": symbol,
        "timeframe": timeframe,
        "expected": expected,
        "stored": stored,
        "explained": 0,
        "missing": missing,
        "completeness": stored / expected if expected else 1.0,
        "first_ts": None,
        "last_ts": LAST if stored else None,
        "health": health,
        "abandoned": 0,
    }


def test_the_matrix_has_room_in_80_columns_and_calls_nothing_healthy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    matrix = pl.DataFrame(
        [
            series("BTCUSDT", "1m", expected=1440, stored=1440, health="HEALTHY"),
            series("BTCUSDT", "1h", expected=24, stored=0, health="MISSING"),
            series("BTCUSDT", "1w", expected=0, stored=0, health="PENDING"),
            series("ETHUSDT", "1m", expected=9, stored=9, health="HEALTHY"),
            series("ETHUSDT", "1w", expected=0, stored=0, health="PENDING"),
            series("NEWUSDT", "1m", expected=0, stored=0, health="HEALTHY"),
            series("ODDUSDT", "1m", expected=2, stored=2, health="DOUBTED"),
        ],
        schema=MATRIX_SCHEMA,
    )
    monkeypatch.setattr(console, "OUT", Terminal(width=80))
    print_matrix(matrix)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    cells = {
        row[2].strip(): [cell.strip() for cell in row[3:-1]]
        for line in lines
        if len(row := line.split("│")) > 5
    }
    assert cells["BTCUSDT"][:4] == ["MISSING 1h", "100", "0", "2025-01-02 00:00"]
    assert cells["ETHUSDT"][:2] == ["HEALTHY", "100"]
    assert cells["NEWUSDT"][:4] == ["PENDING", "-", "0", "-"]
    assert cells["ODDUSDT"][:2] == ["DOUBTED", "100"]
    assert not is_healthy(matrix)
    assert is_healthy(matrix.filter(symbol="NEWUSDT"))
    assert not is_healthy(matrix.clear())


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

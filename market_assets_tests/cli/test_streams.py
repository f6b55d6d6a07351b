"""How streams are, as `status` and `gaps --explain` tell it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from market_assets.market.clock import present
from market_assets.practice.book import Market
from market_assets.practice.vendor import PracticeVendor
from market_assets_tests.support.shell import Shell
from market_assets_tests.support.stream_rows import note_streams, stream_row

if TYPE_CHECKING:
    from collections.abc import Iterator

LAGS = {"lag_p50": 0.42, "lag_p99": 0.91}


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    market = Market.model_validate({"kind": "crypto", "symbols": {"SPY": {"kind": "equity"}}})
    with PracticeVendor(market) as vendor:
        shell = Shell(tmp_path_factory.mktemp("streams"), vendor)
        shell.run("backfill", "crypto")
        yield shell


def note(shell: Shell, *states: tuple[str, str], age: timedelta = timedelta(0)) -> None:
    """The streams of some symbols are noted to be so; they have been so for an hour."""
    now = present()
    since = now - timedelta(hours=1)
    rows = [
        stream_row("crypto", symbol, state, since, now - age, words="", **LAGS)
        for symbol, state in states
    ]
    note_streams(shell.store(), *rows)


def test_status_says_nothing_where_no_stream_was_used(shell: Shell) -> None:
    with shell.store().writing("a test") as transaction:
        transaction.connection.execute("DELETE FROM ops.streams")

    shown = shell.run("status", "crypto")
    rows = shell.run("status", "crypto", "--json").json

    assert "stream" not in shown.out
    assert all("stream" not in row for row in rows)


def test_status_has_a_line_for_a_stream_and_json_a_state_for_each_series(shell: Shell) -> None:
    note(shell, ("BTC", "live"), ("ETH", "silent"))

    shown = shell.run("status", "crypto")
    rows = shell.run("status", "crypto", "--json").json

    said = " ".join(shown.out.split())
    assert "stream crypto 1h: silent since " in said
    assert said.count("(1 symbol)") == 2
    assert "lag p50 0.4 s, p99 0.9 s" in said
    states = {(row["symbol"], row["timeframe"]): row["stream"] for row in rows}
    assert states["BTC", "1h"] == "live"
    assert states["ETH", "1h"] == "silent"
    assert states["BTC", "1d"] is None
    # A stream is no matter of completeness.
    assert shown.code == 0


def test_status_names_a_stream_that_was_killed_within_80_columns(shell: Shell) -> None:
    note(shell, ("BTC", "live"), ("ETH", "live"), age=timedelta(minutes=5))

    shown = shell.run("status", "crypto")

    (line,) = [line for line in shown.out.splitlines() if line.startswith("stream")]
    assert line.startswith("stream crypto 1h: killed: last sign ")
    assert len(line) <= 80


def test_the_story_of_a_bar_tells_what_the_stream_was(shell: Shell) -> None:
    note(shell, ("BTC", "lost"))

    store = shell.store()
    with store.writing("a test") as transaction:
        transaction.connection.execute(
            "UPDATE ops.streams SET since = '2025-02-03 12:30', state = 'lost', words = 'it broke'"
        )
    told = shell.run("gaps", "crypto", "--explain", "BTC", "2025-02-03T12:00")
    (story,) = shell.run("gaps", "crypto", "--explain", "BTC", "2025-02-03T12:00", "--json").json

    words = "the stream of binance was lost since 2025-02-03 12:30:00Z: it broke"
    assert words in " ".join(told.out.split())
    assert words in [event["what"] for event in story["events"]]

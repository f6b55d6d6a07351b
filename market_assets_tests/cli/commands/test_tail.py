"""`market-assets tail`: the newest bars."""

from __future__ import annotations

import json
import signal
import threading
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from market_assets_tests.support.shell import Shell


def test_tail_shows_the_newest_bars_and_follows(filled: tuple[Shell, dict]) -> None:
    shell, _ = filled
    shown = shell.run("tail", "crypto", "--symbols", "BTC", "--lines", "3")
    assert [line.split()[:3] for line in shown.out.splitlines()][-1][2] == "BTC"
    process = shell.start("tail", "crypto", "--follow", "--lines", "2", "--json")
    lines = [process.stdout.readline() for _ in range(2)]
    assert ['"symbol": "BTC"' in lines[0], '"symbol": "ETH"' in lines[1]] == [True, True]
    with shell.store().writing("testing") as transaction:
        table = "crypto.candles_1h"
        transaction.connection.execute(
            f"""
            INSERT INTO {table}
            SELECT * REPLACE (ts + INTERVAL 1 DAY AS ts)
            FROM {table}
            WHERE symbol = 'BTC' AND ts = (SELECT max(ts) FROM {table})
            """
        )
    timer = threading.Timer(60, process.kill)
    timer.start()
    line = process.stdout.readline()
    timer.cancel()
    assert datetime.fromisoformat(lines[0].split('"ts": "')[1][:20]) + timedelta(
        days=1
    ) == datetime.fromisoformat(line.split('"ts": "')[1][:20])
    with shell.store().writing("testing") as transaction:
        transaction.connection.execute(
            f"DELETE FROM {table} WHERE ts = (SELECT max(ts) FROM {table})"
        )
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "Stopped.\n")


def test_tail_shows_extra_columns_where_they_are_wanted(filled: tuple[Shell, dict]) -> None:
    shell, _ = filled
    plain, more = (
        shell.run("tail", "crypto", "--lines", "2", "--json", *wish) for wish in ((), ("--extras",))
    )
    assert (plain.code, more.code) == (0, 0)
    bare, full = (json.loads(found.out.splitlines()[-1]) for found in (plain, more))
    assert [*full] == [*bare, "quote_volume", "trades", "taker_buy_volume", "vwap"]
    assert full["trades"] > 0
    assert full["vwap"] is None
    words = shell.run("tail", "crypto", "--lines", "1", "--extras").out.splitlines()
    assert words[0].split()[-4:] == ["quote_volume", "trades", "taker_buy_volume", "vwap"]
    assert words[1].split()[-1] == "-"

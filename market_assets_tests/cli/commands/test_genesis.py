"""`market-assets genesis`: where series begin."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe

if TYPE_CHECKING:
    from market_assets_tests.support.shell import Shell


def test_where_series_begin_is_listed_and_forgotten(shell: Shell) -> None:
    began = datetime(2025, 2, 4, 9, tzinfo=UTC)
    with shell.store().writing("testing") as transaction:
        for profile, symbol in (
            ("crypto", "BTC"),
            ("crypto", "ETH"),
            ("equity", "SPY"),
            ("gone", "BTC"),
        ):
            transaction.genesis.put(
                Dataset.candles(profile, Timeframe.H1), symbol, began, "[vendor]"
            )
    done = shell.run("genesis", "--json")
    assert done.code == 0
    assert [(row["profile"], row["symbol"]) for row in done.json] == [
        ("crypto", "BTC"),
        ("crypto", "ETH"),
        ("equity", "SPY"),
    ]
    assert (done.json[0]["ts"], done.json[0]["source"]) == ("2025-02-04T09:00:00Z", "[vendor]")
    table = shell.run("genesis", "crypto")
    assert "2025-02-04 09:00 │ [vendor]" in table.out
    assert "SPY" not in table.out

    forgotten = shell.run("genesis", "--reset", "BTC")
    assert forgotten.code == 0
    assert "market-assets backfill crypto --symbols BTC" in forgotten.out
    assert [row["symbol"] for row in shell.run("genesis", "--json").json] == ["ETH", "SPY"]
    # A week of hours, where a moment before only six days and a half were expected.
    with shell.store().reading("testing") as view:
        expected = dict(
            view.completeness.matrix()
            .filter(timeframe="1h")
            .select("symbol", "expected")
            .iter_rows()
        )
    assert (expected["BTC"], expected["ETH"]) == (168, 135)
    assert shell.run("genesis", "--reset", "BTC").out.strip() == "No first bar is recorded."

"""`market-assets list`: assets and symbols."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe

if TYPE_CHECKING:
    from market_assets_tests.support.shell import Shell


def test_list_shows_the_assets_the_symbols_and_what_no_profile_is_called(
    filled: tuple[Shell, dict],
) -> None:
    shell, _ = filled
    with shell.store().writing("testing") as transaction:
        transaction.candles.create(Dataset.candles("coins", Timeframe.H1), derived=False)
        transaction.connection.execute(
            "INSERT INTO coins.candles_1h SELECT * FROM crypto.candles_1h LIMIT 5"
        )
        transaction.genesis.put(
            Dataset.candles("coins", Timeframe.H1),
            "BTC",
            datetime(2025, 2, 3, tzinfo=UTC),
            "vendor",
        )
    held = shell.run("list", "--json").json
    assets = {(row["profile"], row["asset"]): row for row in held["assets"]}
    assert assets["crypto", "candles_1d"]["symbols"] == 2
    assert assets["equity", "candles_1h"]["rows"] == 0
    assert held["orphans"] == {"coins": 5}
    symbols = {(row["profile"], row["symbol"]): row for row in held["symbols"]}
    assert symbols["equity", "THIN"]["sources"] == ["quiet"]
    assert symbols["crypto", "BTC"]["first_ts"] is not None
    table = shell.run("list", "crypto").out
    assert "candles_4h" in table
    assert "coins" not in table

    told = shell.run("status", "--json")
    assert "The store also holds coins (5 candles), which no profile is called." in told.err
    assert "crypto is kept" in shell.run("forget", "crypto").err
    unknown = " ".join(shell.run("forget", "coin").err.replace("│", " ").split())
    assert "the store holds nothing of that name; there are coins; did you mean coins?" in unknown
    assert (
        "5 candles of coins and all that was noted of them would be removed: add --yes."
        in shell.run("forget", "coins").out
    )
    assert shell.run("forget", "coins", "--yes", "--json").json["removed"] is True
    with shell.store().reading("testing") as view:
        assert "coins" not in set(view.catalog.holdings()["schema"]) | set(
            view.genesis.all()["profile"]
        )
        assert not view.completeness.matrix().is_empty()
    assert shell.run("status", "--json").err == ""

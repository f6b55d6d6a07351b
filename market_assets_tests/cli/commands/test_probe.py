"""`market-assets probe`: what a source gives, and what it costs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from market_assets.practice.book import Market
from market_assets.practice.faults import Fault
from market_assets.practice.vendor import PracticeVendor
from market_assets_tests.support.shell import CHOOSY_MARKET, KEY, Shell


def test_probe_shows_the_newest_closed_bars_the_first_one_and_what_they_cost(
    choosy_shell: Shell,
) -> None:
    choosy_shell.vendor.log.clear()
    before = datetime.now(UTC)

    done = choosy_shell.process(
        "probe", "vendor", "BTC", "--timeframe", "1h", "--bars", "3", "--json"
    )

    after = datetime.now(UTC)
    assert (done.code, done.err) == (0, "")
    opens = [datetime.fromisoformat(bar["ts"]) for bar in done.json["bars"]]
    assert before - timedelta(hours=2) < opens[-1] <= after - timedelta(hours=1)
    assert [later - earlier for earlier, later in pairwise(opens)] == [timedelta(hours=1)] * 2
    assert done.json["first_bar"] == "2015-01-01T00:00:00Z"
    cost = done.json["cost"]
    assert (cost["requests"], cost["retries"]) == (2, 0) == (len(choosy_shell.vendor.log), 0)
    assert cost["bytes"] > 100
    assert cost["seconds"] > 0
    assert not (choosy_shell.home / "market.duckdb").exists()

    table = choosy_shell.run("probe", "vendor", "BTC", "--timeframe", "1h")
    assert table.code == 0
    assert "The first bar it has opens at 2015-01-01 00:00 UTC." in table.out
    assert "2 requests (0 sent again)" in table.out


def test_probe_looks_back_over_a_closed_market_and_to_the_end_of_a_file(
    choosy_shell: Shell,
) -> None:
    done = choosy_shell.run(
        "probe",
        "quiet",
        "THIN",
        "--profile",
        "equity",
        "--timeframe",
        "1h",
        "--bars",
        "2",
        "--json",
    )

    assert done.code == 0
    assert [bar["ts"] for bar in done.json["bars"]] == [
        "2025-02-05T19:30:00Z",
        "2025-02-05T20:30:00Z",
    ]
    assert done.json["first_bar"] is None
    # A page of minutes reaches back over 16 hours;
    # New York's minutes may lie behind a long weekend.
    assert (
        len(
            choosy_shell.run("probe", "vendor", "SPY", "--profile", "equity", "--json").json["bars"]
        )
        == 5
    )


def test_probe_without_a_bar_ends_with_3(choosy_shell: Shell) -> None:
    done = choosy_shell.run("probe", "vendor", "NEW")

    assert (done.code, done.err) == (3, "")
    # The profiles keep hours, though the vendor has minutes as well.
    assert "vendor NEW 1h: no closed bar was found." in done.out


def test_probe_ends_with_1_and_the_vendors_words_when_it_is_refused(choosy_shell: Shell) -> None:
    done = choosy_shell.run("probe", "vendor", "ETH")

    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error source vendor: ETH 1h ")
    assert "HTTP 403: -1000 [/closed] ***" in " ".join(done.err.split())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["binance", "BTC"], "binance: no such source; there are vendor, quiet"),
        (["vendor", "BTC", "--timeframe", "2m"], "--timeframe 2m: vendor has 1m, 5m, 15m"),
    ],
)
def test_probe_of_what_is_not_there_ends_with_2_and_says_what_there_is(
    choosy_shell: Shell, wrong: list[str], words: str
) -> None:
    done = choosy_shell.run("probe", *wrong)

    assert done.code == 2
    assert words in " ".join(done.err.replace("│", " ").split())


def test_a_hold_that_one_command_was_told_of_holds_the_next_one(
    choosy_shell: Shell, tmp_path
) -> None:
    other = Shell(tmp_path, choosy_shell.vendor)
    choosy_shell.vendor.set_faults(
        [Fault(fault="error", symbols=["BTC"], status=429, code=-1003, retry_after=3000)]
    )
    try:
        refused = other.process("probe", "vendor", "BTC")
        choosy_shell.vendor.log.clear()
        held = other.process("probe", "vendor", "BTC")
    finally:
        choosy_shell.vendor.set_faults(Market.model_validate(CHOOSY_MARKET).faults)

    assert (refused.code, held.code) == (1, 1)
    assert "left alone for another" in " ".join(held.err.split())
    assert not choosy_shell.vendor.log
    (file,) = (other.home / "limits").glob("*.hold")
    assert KEY not in file.name + file.read_text()


def test_how_far_back_a_vendor_serves_that_refuses_what_is_older_is_probed_and_listed(
    tmp_path,
) -> None:
    refused = {
        "fault": "error",
        "status": 400,
        "message": "Candlestick too long ago",
        "end": f"{datetime.now(UTC) - timedelta(days=3):%Y-%m-%dT%H:%MZ}",
    }
    with PracticeVendor(Market.model_validate({"kind": "crypto", "faults": [refused]})) as vendor:
        shell = Shell(tmp_path, vendor)
        (tmp_path / "short.yaml").write_text(
            f"sources: {{vendor: {{type: practice, base_url: '{vendor.url}', "
            "earliest_probe: false, retries: 0}}\n"
            "profiles: {crypto: {kind: CRYPTO, "
            f"start: {datetime.now(UTC) - timedelta(days=60):%Y-%m-%d}, "
            "timeframes: {fetch: [1h]}, sources: [vendor], symbols: {BTC: {}}}}"
        )
        shell.environment["MARKET_ASSETS_UNIVERSE"] = str(tmp_path / "short.yaml")

        probed = shell.run("probe", "vendor", "BTC", "--timeframe", "1h")

        assert "It serves bars from about" in probed.out
        assert "Candlestick too long ago" in probed.out
        shell.run("backfill", "crypto", "--json")
        (row,) = shell.run("sources", "--json").json["sources"]
        (horizon,) = row["horizons"]
        assert (horizon["symbol"], horizon["timeframe"]) == ("BTC", "1h")
        assert 60 <= horizon["bars"] <= 73
        assert "vendor serves BTC 1h from about" in shell.run("sources").out

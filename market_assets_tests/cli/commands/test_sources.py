"""`market-assets sources`: what is installed, and what the universe has of it."""

from __future__ import annotations

import pytest

from market_assets_tests.support.shell import Shell


def test_sources_lists_the_universes_and_the_installed_ones_with_their_traits(
    choosy_shell: Shell,
) -> None:
    done = choosy_shell.process("sources", "--json")

    assert (done.code, done.err) == (0, "")
    types = {row["type"]: row for row in done.json["types"]}
    assert types["binance"] == {
        "type": "binance",
        "error": None,
        "traits": {
            "timeframes": ["1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w"],
            "page_size": 1000,
            "quiet_minutes": "present",
            "names_genesis": True,
            "latest_only": None,
            "kinds": ["crypto"],
            "needs_key": False,
            "lacks": {},
        },
    }
    assert types["archive"]["traits"] is None  # its settings say what it leaves out
    assert types["polygon"]["traits"]["lacks"] == {"equity": ["1h"], "forex": ["1d"]}
    vendor, quiet = done.json["sources"]
    assert (vendor["source"], vendor["type"], vendor["profiles"]) == (
        "vendor",
        "practice",
        ["crypto", "equity"],
    )
    assert (vendor["keys"], vendor["keys_set"], vendor["venue"]) == (
        {"VENDOR_KEY": True},
        True,
        None,
    )
    assert (quiet["source"], quiet["keys"], quiet["traits"]["quiet_minutes"]) == (
        "quiet",
        {},
        "omitted",
    )


def test_sources_names_the_key_that_is_not_set_and_ends_with_3(
    choosy_shell: Shell, tmp_path
) -> None:
    other = Shell(tmp_path, choosy_shell.vendor)
    del other.environment["VENDOR_KEY"]

    done = other.run("sources")

    assert (done.code, done.err) == (3, "")
    (row,) = (line for line in done.out.splitlines() if line.startswith("│ vendor "))
    assert "VENDOR_KEY not set" in row
    (row,) = (line for line in done.out.splitlines() if line.startswith("│ quiet "))
    assert [cell.strip() for cell in row.split("│")[2:5]] == ["archive", "equity", "-"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("limits: ${LIMITS_URL}\nsources: {binance: {}}", "LIMITS_URL"),
        ("sources: {binance: {base_url: '${ADDRESS}'}}", "ADDRESS"),
    ],
)
def test_sources_says_of_an_address_that_is_not_set_just_that(
    choosy_shell: Shell, tmp_path, text: str, name: str
) -> None:
    other = Shell(tmp_path, choosy_shell.vendor)
    path = tmp_path / "addresses.yaml"
    path.write_text(
        f"{text}\n"
        "profiles: {crypto: {kind: CRYPTO, start: 2025-01-01, sources: [binance], "
        "symbols: {BTC: {}}}}"
    )
    other.environment["MARKET_ASSETS_UNIVERSE"] = str(path)

    done = other.run("sources")

    assert done.code == 1
    assert f"the environment variable {name} is not set" in " ".join(done.err.split())
    assert "address" not in done.err.lower().replace(name.lower(), "").replace(str(path), "")

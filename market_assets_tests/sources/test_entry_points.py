"""Sources of other packages.

The example of docs/sources.md is installed and used as its readers would, beside a package that is
broken.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import duckdb
import pytest

from market_assets.errors import SourceError
from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets_tests.sources.conftest import RawServer
from market_assets_tests.support.wire import QUICK, START, ask, every, opens

if TYPE_CHECKING:
    import asyncio

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "sources.md"
BROKEN = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "broken-source"
version = "1.0"

[project.entry-points."market_assets.sources"]
broken = "broken_source:BrokenSource"
"""
UNIVERSE = """
sources:
  bitstamp: {{base_url: "{url}"}}
profiles:
  crypto:
    kind: CRYPTO
    start: 2024-01-01
    end: 2024-01-03
    timeframes: {{fetch: [1m]}}
    sources: [bitstamp]
    symbols: {{BTCUSD: {{sources: [{{bitstamp: btcusd}}]}}}}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder with both packages installed in it."""
    folder = tmp_path_factory.mktemp("packages")
    files = re.findall(
        r"^<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL
    )
    assert [name for name, _ in files] == [
        "market_assets_bitstamp.py",
        "pyproject.toml",
        "test_market_assets_bitstamp.py",
    ]
    files = {f"documented/{name}": text for name, text in files}
    files |= {
        "broken/pyproject.toml": BROKEN,
        "broken/broken_source.py": "import a_library_that_nobody_has\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    without_an_index = [
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--disable-pip-version-check",
    ]
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        *without_an_index,
        "--target",
        "site",
        "./documented",
        "./broken",
    ]
    done = subprocess.run(pip, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "site"


async def bitstamp(request: bytes, writer: asyncio.StreamWriter) -> None:
    """The vendor: it gives the newest 1000 bars of a length, oldest first, of what is asked for.

    Its market begins at START.
    """
    url = urlsplit(request.split()[1].decode())
    query = dict(parse_qsl(url.query))
    answer = {"status": "error", "reason": "not found"}
    if (url.path, query["limit"]) == ("/api/v2/ohlc/btcusd/", "1000"):
        first, step = max(int(query["start"]), int(START.timestamp())), int(query["step"])
        opens = range(-(-first // step) * step, int(query["end"]) + 1, step)
        rows = [
            {"timestamp": str(ts), **dict.fromkeys(CANDLE_SCHEMA.names()[1:], f"{ts % 997}.5")}
            for ts in opens[-1000:]
        ]
        answer = {"data": {"pair": "BTC/USD", "ohlc": rows}}
    body = json.dumps(answer).encode()
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body
    )


@pytest.fixture(scope="module")
def shell(site, tmp_path_factory):
    """A terminal whose Python has both packages, and a vendor on the loopback."""
    folder = tmp_path_factory.mktemp("shell")
    server = RawServer(bitstamp)
    universe = folder / "universe.yaml"
    universe.write_text(UNIVERSE.format(url=server.url))
    variables = {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH")))),
        "MARKET_ASSETS_HOME": str(folder / "home"),
        "MARKET_ASSETS_UNIVERSE": str(universe),
    }
    environment = {
        name: text for name, text in os.environ.items() if name != "DAGSTER_HOME"
    } | variables

    def run(*arguments: str) -> SimpleNamespace:
        command = [sys.executable, "-m", "market_assets.cli", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    yield SimpleNamespace(
        run=run,
        environment=environment,
        home=folder / "home",
        universe=universe,
        server=server,
    )
    server.close()


@pytest.fixture(scope="module")
def documented(site):
    """The module of the example, imported by this process without being registered in it."""
    spec = importlib.util.spec_from_file_location(
        "market_assets_bitstamp", site / "market_assets_bitstamp.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_installed_source_is_listed_and_a_broken_one_is_named_and_hides_no_other(shell):
    done = shell.run("sources", "--json")

    assert (done.code, done.err) == (0, "")
    listed = json.loads(done.out)
    types = {row["type"]: row for row in listed["types"]}
    assert types["bitstamp"]["error"] is None
    assert types["bitstamp"]["traits"]["page_size"] == 1000
    assert "a_library_that_nobody_has" in types["broken"]["error"]
    assert {name for name, row in types.items() if row["error"]} == {"broken"}
    assert {"archive", "binance", "kraken", "polygon"} < set(types)
    (used,) = listed["sources"]
    assert (used["source"], used["profiles"], used["venue"]) == ("bitstamp", ["crypto"], "bitstamp")


def test_a_universe_that_uses_a_broken_source_is_refused_with_its_name(shell):
    written = shell.universe.read_text()
    shell.universe.write_text(written.replace("profiles:", "  broken: {}\nprofiles:"))
    try:
        done = shell.run("probe", "bitstamp", "BTCUSD")
    finally:
        shell.universe.write_text(written)

    assert done.code == 1
    assert (
        "sources.broken: the source type broken cannot be loaded: ModuleNotFoundError"
        in " ".join(done.err.split())
    )


def test_an_installed_source_is_probed(shell):
    done = shell.run("probe", "bitstamp", "BTCUSD", "--bars", "3", "--json")

    assert (done.code, done.err) == (0, "")
    told = json.loads(done.out)
    assert (told["symbol"], told["timeframe"], len(told["bars"])) == ("btcusd", "1m", 3)
    # One for the bars, one to see whether the vendor's oldest are served.
    assert told["cost"]["requests"] == 2


def test_an_installed_source_fills_the_store_under_its_own_name(shell):
    done = shell.run("backfill", "--json")

    assert (done.code, done.err) == (0, ""), done.out
    with duckdb.connect(shell.home / "market.duckdb", read_only=True) as connection:
        stored = connection.sql(
            "SELECT symbol, source, count(*), min(ts) FROM crypto.candles_1m GROUP BY ALL"
        ).fetchall()
        asked = connection.sql("SELECT DISTINCT source FROM ops.coverage").fetchall()
    assert stored == [("BTCUSD", "bitstamp", 2 * 1440, START.replace(tzinfo=None))]
    assert asked == [("bitstamp",)]


@pytest.fixture
def source(documented, shell, tmp_path):
    """The example's source, which asks the vendor on the loopback."""
    settings = documented.BitstampSettings.model_validate(QUICK | {"base_url": shell.server.url})
    return documented.BitstampSource("mine", settings, base=tmp_path, kind="crypto")


def test_the_documented_test_passes_where_the_package_is_installed(shell, site):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs"]
    test = site.parent / "documented" / "test_market_assets_bitstamp.py"

    done = subprocess.run(
        [*command, test.name],
        cwd=test.parent,
        env=shell.environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    counts = dict(reversed(pair.split()) for pair in re.findall(r"\d+ \w+", done.stdout)[-2:])
    assert int(counts["passed"]) > 30
    assert set(re.findall(r"py:\d+: (.*)", done.stdout)) <= {
        "it needs no key",
        "the double's settings hold no secret",
        "`earliest_probe` is False: the bar is searched for",
    }


def test_the_example_reads_recorded_answers_to_the_last_bit(source, shared):
    paths = sorted((shared / "wire" / "bitstamp").glob("*.json"))
    for path in paths:
        found = source.parse(path.read_bytes())

        answered = json.loads(path.read_bytes())["data"]["ohlc"]
        assert found.schema == CANDLE_SCHEMA
        assert opens(found) == [int(row["timestamp"]) for row in answered]
        for name in CANDLE_SCHEMA.names()[1:]:
            assert found[name].to_list() == [float(row[name]) for row in answered]
    assert len(paths) == 4


def test_the_example_asks_on_before_the_oldest_row_of_a_page_that_is_full(source):
    assert sorted(opens(ask(source, "btcusd", bars=1500))) == every(1500)
    assert source.usage.requests == 2


def test_the_example_takes_an_error_in_words_for_no_answer(source):
    with pytest.raises(SourceError, match="the answer is an error: not found"):
        ask(source, "nothing", bars=10)

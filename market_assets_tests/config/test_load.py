"""From a file to a universe, or to one error that lists everything wrong."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from datetime import date
from typing import TYPE_CHECKING

import pytest

from market_assets.config.load import load_universe
from market_assets.config.universe import SourceSymbol, Universe
from market_assets.errors import UniverseError
from market_assets.market.timeframes import Timeframe
from market_assets_tests.support.universe_text import universe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Load = Callable[..., Universe]
    Problems = Callable[..., list[str]]

HIDDEN = "hunter2'\"swordfish"

KEYED = """
    sources: {binance: {base_url: "https://vendor.example/${TOKEN}/x"}}
    profiles:
      crypto: {kind: CRYPTO, start: 2024-01-01, \
               symbols: {BTCUSDT: {sources: [{binance: "${TOKEN}"}]}}}
    """

# What a sound file gives


def test_the_real_universe_loads(shared: Path) -> None:
    loaded = load_universe(shared / "universe.real.yaml", environ={})
    assert list(loaded.profiles) == ["crypto", "equity", "equity_daily", "futures", "forex"]
    assert loaded.path == shared / "universe.real.yaml"
    kraken = loaded.profiles["crypto"].symbols["BTCUSDC.KRAKEN"]
    assert kraken.sources == (SourceSymbol(source="sparse_archive", symbol="kraken__BTCUSDC"),)
    assert (kraken.start, kraken.end) == (date(2023, 3, 17), date(2023, 4, 1))
    assert loaded.profiles["equity_daily"].input_of(Timeframe.W1) is Timeframe.D1
    assert loaded.profiles["futures"].calendar == "CMEGlobex_FX"
    assert loaded.sources["sparse_archive"]["quiet_minutes"] == "omitted"


def test_loading_the_packaged_universe_imports_no_calendar_library_and_no_pandas() -> None:
    program = (
        "import sys; from market_assets.config.load import load_universe; "
        "load_universe(environ={});"
        "print(*{'pandas', 'exchange_calendars', 'pandas_market_calendars', 'dagster'} "
        "& set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


# Secrets


def test_a_secret_is_filled_in_and_never_shown(load: Load) -> None:
    loaded = load(KEYED, TOKEN=HIDDEN)
    url = loaded.sources["binance"]["base_url"]
    own_name = loaded.profiles["crypto"].symbols["BTCUSDT"].sources[0].symbol
    assert url == f"https://vendor.example/{HIDDEN}/x"
    assert own_name == HIDDEN
    for copied in (
        loaded,
        copy.deepcopy(loaded),
        pickle.loads(pickle.dumps(loaded)),  # noqa: S301 - just dumped
    ):
        assert copied == loaded
        for text in (
            repr(copied),
            str(copied),
            repr(copied.sources),
            str(copied.profiles),
            repr(copied.model_dump()["path"]),
        ):
            assert "swordfish" not in text
        assert "https://vendor.example/${TOKEN}/x" in repr(copied)
    assert not {"sources", "secrets"} & loaded.model_dump().keys()
    assert (
        loaded.redact(f"GET {url} failed: {HIDDEN!r}")
        == "GET https://vendor.example/${TOKEN}/x failed: '${TOKEN}'"
    )


@pytest.mark.parametrize(
    "spoilt",
    [
        KEYED.replace("CRYPTO", "${TOKEN}"),
        KEYED.replace("2024-01-01", '"${TOKEN}"'),
        KEYED.replace("[{binance:", "[{binanse:"),
        KEYED.replace('"${TOKEN}"', '["${TOKEN}"]'),
        KEYED.replace("[{binance: ", "[{").replace(
            '"${TOKEN}"}]', 'a: "${TOKEN}", b: "${TOKEN}"}]'
        ),
        KEYED.replace("https://vendor.example/", ""),
        KEYED.replace("base_url:", "type:"),
        KEYED.replace("base_url:", "timeout:"),
        KEYED.replace("base_url:", "base_urls:"),
        KEYED.replace("kind:", 'calendar: "${TOKEN}", kind:'),
        KEYED.replace("kind:", 'repair: {max_time: "${TOKEN}", max_fills: "${TOKEN}"}, kind:'),
        KEYED.replace("kind:", 'timeframes: {fetch: ["${TOKEN}"], derive: "${TOKEN}"}, kind:'),
        KEYED.replace("kind:", 'repair: "${TOKEN}", kind:'),
        KEYED.replace("kind:", f'repair: "{"long " * 12}${{TOKEN}}", kind:'),
    ],
)
def test_no_problem_shows_a_secret(problems: Problems, spoilt: str) -> None:
    found = problems(spoilt, TOKEN=HIDDEN)
    assert found
    text = "\n".join(found)
    for part in ("hunter", "swordfish"):
        assert part not in text


def test_every_missing_environment_variable_is_named(problems: Problems) -> None:
    assert problems(
        universe(
            sources='{binance: {base_url: "https://${HOST}/${KEY}"}, '
            'more: {type: binance, base_url: "x${ }"}}'
        ),
        KEY="",
    ) == [
        "sources.binance.base_url: the environment variable HOST is not set (line 1)",
        "sources.binance.base_url: the environment variable KEY is empty (line 1)",
        (
            "sources.more.base_url: `${` begins the name of an environment variable: "
            "write ${NAME} (line 1)"
        ),
    ]


# What is wrong with a file as a whole


def test_a_file_that_does_not_exist_is_told_with_who_named_it(tmp_path: Path) -> None:
    absent = tmp_path / "absent.yaml"
    with pytest.raises(UniverseError, match="there is no such file; write one"):
        load_universe(absent)
    with pytest.raises(UniverseError, match=r"absent\.yaml.*\n.*MARKET_ASSETS_UNIVERSE names it"):
        load_universe(environ={"MARKET_ASSETS_UNIVERSE": str(absent)})
    with pytest.raises(UniverseError, match="there is no such file"):
        load_universe(tmp_path)


# All at once


def test_several_problems_are_all_told_in_the_order_of_the_file(problems: Problems) -> None:
    found = problems("""\
        sources:
          binance: {base_url: "https://${NOPE}"}
          binanse: {}
        repair: {max_tme: 10m, max_fills: -1}
        profiles:
          crypto:
            kind: CRYPTO
            calendar: 24/8
            start: 2024-05-01
            end: 2024-01-01
            timeframes: {fetch: [1m, 5min], derive: [1m, 1H]}
            sources: [binance, kraken]
            symbols:
              BTCUSDT: {strat: 2024-01-01}
              BTCUSDT: {}
              NO: {}
              ETHUSDT: {start: 2023-01-01, sources: [{binace: ETH}, {binance: 5}, 7]}
          ops: {kind: FOREX, start: soon, symbols: {EURUSD: }}
        """)
    places = [problem.split(": ")[0] for problem in found]
    assert places == [
        "sources.binance.base_url",
        "sources.binanse",
        "repair.max_tme",
        "repair.max_fills",
        "profiles.crypto.calendar",
        "profiles.crypto.end",
        "profiles.crypto.timeframes.fetch[1]",
        "profiles.crypto.timeframes.derive",
        "profiles.crypto.timeframes.derive[1]",
        "profiles.crypto.sources[1]",
        "profiles.crypto.symbols.BTCUSDT",
        "profiles.crypto.symbols.NO",
        "profiles.crypto.symbols.ETHUSDT.start",
        "profiles.crypto.symbols.ETHUSDT.sources[0]",
        "profiles.crypto.symbols.ETHUSDT.sources[1].binance",
        "profiles.crypto.symbols.ETHUSDT.sources[2]",
        "profiles.ops",
        "profiles.ops.sources",
        "profiles.ops.start",
    ]


def test_the_error_names_the_file_and_counts_its_problems(load: Load) -> None:
    with pytest.raises(
        UniverseError,
        match=r"universe\.yaml: 2 problems\n  - profiles\.crypto\.kind: .*\n  - profiles",
    ) as caught:
        load(universe("end: 2020-01-01").replace("CRYPTO", "STONKS"))
    assert len(caught.value.problems) == 2

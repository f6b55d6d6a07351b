"""What a source is refused for, and what a profile cannot ask of it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from market_assets_tests.support.universe_text import universe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from market_assets.config.universe import Universe

    Load = Callable[..., Universe]
    Problems = Callable[..., list[str]]


def test_the_settings_of_a_source_are_those_of_its_type(problems: Problems) -> None:
    found = problems(
        universe(sources="\n  binance: {base_ulr: x}\n  mirror: {type: binance, concurrency: many}")
    )
    assert len(found) == 2
    assert found[0].startswith(
        "sources.binance.base_ulr: is no key here; did you mean base_url? The keys are type, "
    )
    assert found[0].endswith("(line 2)")
    assert found[1].startswith("sources.mirror.concurrency: should be a valid integer")
    assert found[1].endswith("not many (line 3)")


def test_a_source_is_refused_for_a_kind_of_market_that_it_does_not_have(problems: Problems) -> None:
    found = problems("""
        sources: {binance: {}, bybit: {}, practice: {}}
        profiles:
          crypto: {kind: CRYPTO, start: 2024-01-01, sources: [binance, bybit, practice], \
                   symbols: {BTCUSDT: {}}}
          equity:
            kind: EQUITY
            start: 2024-01-01
            sources: [practice, binance]
            symbols:
              SPY: {}
              AAPL: {sources: [practice, {bybit: AAPLX}]}
        """)
    assert found == [
        (
            "profiles.equity.sources: binance serves CRYPTO, and this profile is EQUITY; "
            "choose another source (line 8)"
        ),
        (
            "profiles.equity.symbols.AAPL.sources: bybit serves CRYPTO, "
            "and this profile is EQUITY; choose another source (line 11)"
        ),
    ]


def test_a_profile_without_a_kind_is_told_of_that_alone(problems: Problems) -> None:
    found = problems("""
        sources: {binance: {}}
        profiles: {coins: {start: 2024-01-01, sources: [binance], symbols: {BTCUSDT: {}}}}
        """)
    assert [problem.split(": ")[0] for problem in found] == ["profiles.coins.kind"]


LIMITED = """
from market_assets.market.timeframes import Timeframe
from market_assets.sources.contract import SourceSettings, Traits


class DailyOnly:
    Settings = SourceSettings
    traits = Traits(
        frozenset({Timeframe.D1}), page_size=100, emits_empty_bars=True, earliest_probe=False
    )


class Puzzled(DailyOnly):
    @staticmethod
    def venue_of(settings, kind):
        raise KeyError("its own bug")
"""


def test_a_source_of_another_package_is_refused_where_it_cannot_serve_or_not_even_load(
    load: Load, tmp_path: Path
) -> None:
    package = tmp_path / "package"
    (package / "daily-1.0.dist-info").mkdir(parents=True)
    (package / "daily.py").write_text(LIMITED)
    (package / "daily-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: daily\nVersion: 1.0\n"
    )
    (package / "daily-1.0.dist-info" / "entry_points.txt").write_text(
        "[market_assets.sources]\n"
        "daily = daily:DailyOnly\nbroken = daily:Absent\npuzzled = daily:Puzzled\n"
    )
    path = load(universe()).path
    path.write_text(
        universe(
            """
            timeframes: {fetch: [1m, 1d]}
            sources: [daily]
            """,
            sources="{binance: {}, daily: {}, broken: {}, puzzled: {}}",
            symbols="{BTCUSDT: {}, ETHUSDT: {sources: [daily, binance]}}",
        )
    )
    program = (
        "import sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path;"
        "from market_assets.config.load import load_universe; "
        "load_universe(Path(sys.argv[1]), environ={})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path, package], capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-3:] == [
        (
            "  - sources.broken: the source type broken cannot be loaded: "
            "AttributeError(\"module 'daily' has no attribute 'Absent'\") (line 1)"
        ),
        (
            "  - sources.puzzled: the source type puzzled cannot say what it has: "
            "KeyError('its own bug') (line 1)"
        ),
        (
            "  - profiles.crypto.timeframes.fetch: 1m is served by no source of BTCUSDT; "
            "they have 1d (line 8)"
        ),
    ]


STREAMED = """
    sources: {{{sources}}}
    profiles:
      live: {{kind: CRYPTO, start: 2024-01-01, sources: [{names}], stream: {{enabled: {enabled}}}, \
symbols: {{BTCUSDT: {{}}}}}}
    """


def test_a_mirror_is_not_streamed_from_the_vendor_itself(problems: Problems) -> None:
    mirror = "mirror: {type: binance, base_url: 'https://mirror.example.com'}"
    (problem,) = problems(STREAMED.format(sources=mirror, names="mirror", enabled="true"))
    assert problem == (
        "sources.mirror.base_url: profile live is streamed: base_url is "
        "https://mirror.example.com, and the vendor's own stream belongs to another address; "
        "write where its stream is in stream_url, or leave base_url out (line 2)"
    )


def test_a_mirror_is_streamed_from_where_its_stream_is(load: Load) -> None:
    urls = "base_url: 'https://mirror.example.com', stream_url: 'wss://mirror.example.com/ws'"
    mirror = f"mirror: {{type: binance, {urls}}}"
    universe = load(STREAMED.format(sources=mirror, names="mirror", enabled="true"))
    assert universe.profiles["live"].stream.enabled


def test_the_address_of_a_stream_is_one(problems: Problems) -> None:
    source = "binance: {stream_url: 'https://example.com'}"
    (problem,) = problems(STREAMED.format(sources=source, names="binance", enabled="false"))
    assert problem.startswith(
        "sources.binance.stream_url: must be an address like wss://stream.example.com/ws"
    )


def test_a_mirror_that_is_not_streamed_needs_no_address(load: Load) -> None:
    mirror = "mirror: {type: binance, base_url: 'https://mirror.example.com'}"
    universe = load(STREAMED.format(sources=mirror, names="mirror", enabled="false"))
    assert not universe.profiles["live"].stream.enabled


def test_a_profile_without_a_stream_cannot_be_streamed(problems: Problems) -> None:
    sources = "files: {type: archive, path: 'x/{symbol}.parquet'}, binance: {}"
    (problem,) = problems(STREAMED.format(sources=sources, names="files", enabled="true"))
    assert problem == (
        "profiles.live.stream.enabled: files have no stream; of this file binance could be named "
        "in `sources`, or leave stream out (line 4)"
    )

"""The universe file: what it gives.

Everything wrong with it is reported at once, with its place and a remedy.
"""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import textwrap
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from market_assets.config.kinds import Kind, PriceRules
from market_assets.config.load import load_universe
from market_assets.config.places import PACKAGED
from market_assets.config.settings import AgreementSettings, RepairSettings, Severity
from market_assets.config.universe import SourceSymbol, Universe
from market_assets.errors import UniverseError
from market_assets.home import home
from market_assets.market.gaps import Priority
from market_assets.market.partitions import Cadence
from market_assets.market.timeframes import Timeframe, Window
from market_assets.reports.probe import listed_sources
from market_assets.sources.contract import source_types, venue_of
from market_assets.sources.vendors.practice import PracticeSettings
from market_assets_tests.support.universe_text import universe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Load = Callable[..., Universe]
    Problems = Callable[..., list[str]]

INSTALLED = ", ".join(source_types())
HIDDEN = "hunter2'\"swordfish"


# What a sound file gives


def test_a_profile_of_few_words_has_the_presets_of_its_kind(load: Load) -> None:
    loaded = load("""
        sources: {practice: }
        profiles:
          coins: {kind: CRYPTO, start: 2024-01-01, sources: [practice], symbols: {BTCUSDT: }}
          shares: {kind: EQUITY, start: 2024-01-01, sources: [practice], symbols: {SPY: {}}}
          contracts: {kind: FUTURES, start: 2024-01-01, sources: [practice], symbols: {ES: {}}}
          pairs: {kind: FOREX, start: 2024-01-01, sources: [practice], symbols: {EURUSD: {}}}
        """)
    assert {
        name: (each.kind, each.calendar, each.prices) for name, each in loaded.profiles.items()
    } == {
        "coins": (
            Kind.CRYPTO,
            "24/7",
            PriceRules(positive=True, volume_optional=False, real_volume=True),
        ),
        "shares": (
            Kind.EQUITY,
            "XNYS",
            PriceRules(positive=True, volume_optional=False, real_volume=True),
        ),
        "contracts": (
            Kind.FUTURES,
            "CME Globex Equity",
            PriceRules(positive=False, volume_optional=False, real_volume=True),
        ),
        "pairs": (
            Kind.FOREX,
            "FOREX",
            PriceRules(positive=True, volume_optional=True, real_volume=False),
        ),
    }
    coins = loaded.profiles["coins"]
    assert coins.timeframes.fetch == (Timeframe.M1,)
    assert coins.timeframes.derive == ()
    assert coins.end is None
    assert coins.repair == RepairSettings(
        max_fills=50,
        max_time="10m",
        legacy_cutoff=date(2010, 1, 1),
        max_attempts=5,
        backoff=("1m", "1h"),
    )
    assert coins.checks.jitter == 0.1
    assert coins.checks.severity == {
        Priority.CRITICAL: Severity.ERROR,
        Priority.HIGH: Severity.ERROR,
        Priority.MEDIUM: Severity.WARN,
        Priority.LOW: Severity.WARN,
    }
    assert coins.partitions.of(Timeframe.H4) is Cadence.DAY
    assert coins.partitions.of(Timeframe.D1) is Cadence.MONTH


def test_a_profile_overrides_the_presets_and_the_file_s_repair_key_by_key(load: Load) -> None:
    loaded = load(
        universe(
            """
            prices: {positive: false}
            checks: {jitter: 0.25, severity: {LOW: ERROR}}
            partitions: {intraday: month}
            repair: {max_attempts: 9, backoff: [90s, 2h], legacy_cutoff: null}
            timeframes: {fetch: [1d, 5m], derive: [1w, 1h]}
            calendar: XNYS
            """,
            top="repair: {max_attempts: 3, max_time: 365d, max_fills: 7}",
        )
    )
    profile = loaded.profiles["crypto"]
    assert profile.calendar == "XNYS"
    assert profile.prices == PriceRules(positive=False, volume_optional=False, real_volume=True)
    assert profile.checks.jitter == 0.25
    assert profile.checks.severity[Priority.LOW] is Severity.ERROR
    assert profile.checks.severity[Priority.MEDIUM] is Severity.WARN
    assert profile.partitions.of(Timeframe.M5) is Cadence.MONTH
    assert profile.repair.max_attempts == 9
    assert profile.repair.max_fills == 7
    assert profile.repair.max_time == timedelta(days=365)
    assert profile.repair.backoff == (timedelta(seconds=90), timedelta(hours=2))
    assert profile.repair.legacy_cutoff is None
    assert profile.base_timeframe is Timeframe.M5
    assert profile.timeframes.derive == (Timeframe.H1, Timeframe.W1)
    assert profile.input_of(Timeframe.H1) is Timeframe.M5
    assert profile.input_of(Timeframe.W1) is Timeframe.D1
    with pytest.raises(ValueError, match="crypto does not derive 1d"):
        profile.input_of(Timeframe.D1)


def test_a_symbol_inherits_what_it_does_not_say(load: Load) -> None:
    symbols = (
        load("""
        sources: {binance: {}, other: {type: binance}}
        profiles:
          crypto:
            kind: CRYPTO
            start: 2024-01-01
            end: 2025-06-01
            sources: [binance, other]
            symbols:
              BTCUSDT: {}
              LITUSDT: {end: 2025-01-31}
              ETHUSDT: {start: 2024-02-01, sources: [other, {binance: tETHUST}, {binance: ETHUSDT}]}
        """)
        .profiles["crypto"]
        .symbols
    )
    both = (
        SourceSymbol(source="binance", symbol="BTCUSDT"),
        SourceSymbol(source="other", symbol="BTCUSDT"),
    )
    assert symbols["BTCUSDT"].sources == both
    assert (symbols["BTCUSDT"].start, symbols["BTCUSDT"].end) == (
        date(2024, 1, 1),
        date(2025, 6, 1),
    )
    assert (symbols["LITUSDT"].start, symbols["LITUSDT"].end) == (
        date(2024, 1, 1),
        date(2025, 1, 31),
    )
    assert (symbols["ETHUSDT"].start, symbols["ETHUSDT"].end) == (
        date(2024, 2, 1),
        date(2025, 6, 1),
    )
    assert [(each.source, each.symbol) for each in symbols["ETHUSDT"].sources] == [
        ("other", "ETHUSDT"),
        ("binance", "tETHUST"),
        ("binance", "ETHUSDT"),
    ]


TWO_VENUES = """
    sources:
      binance: {}
      one: {type: practice, venue: binance}
      two: {type: practice, venue: elsewhere}
      files: {type: archive, path: "{symbol}.parquet"}
    profiles:
      crypto:
        kind: CRYPTO
        start: 2024-01-01
        sources: [files, one, two]
        symbols:
          BTCUSDT: {}
          ETHUSDT: {mix_venues: true}
          LTCUSDT: {sources: [two, files, {one: LTC}]}
"""


def test_sources_of_another_venue_than_the_first_known_one_are_only_compared(load: Load) -> None:
    symbols = load(TWO_VENUES).profiles["crypto"].symbols

    def of(name: str) -> tuple[list[str], list[str]]:
        own = symbols[name]
        return [each.source for each in own.sources], [each.source for each in own.compared]

    assert of("BTCUSDT") == (["files", "one"], ["two"])
    assert of("ETHUSDT") == (["files", "one", "two"], [])
    assert of("LTCUSDT") == (["two", "files"], ["one"])
    assert symbols["BTCUSDT"].apart == (
        "two (elsewhere) is another venue than binance and is not asked: mix_venues: "
        "true would let it fill"
    )
    assert symbols["ETHUSDT"].apart == ""
    assert symbols["LTCUSDT"].choices[-1] == SourceSymbol(source="one", symbol="LTC")
    own = symbols["ETHUSDT"]
    assert [own.is_one_venue("one", other) for other in ("files", "one", "two")] == [
        True,
        True,
        False,
    ]


def test_the_listed_sources_say_which_are_another_venue_and_where(tmp_path: Path) -> None:
    path = tmp_path / "universe.yaml"
    path.write_text(textwrap.dedent(TWO_VENUES))
    rows = listed_sources({"MARKET_ASSETS_UNIVERSE": str(path)})
    assert [(row["source"], row["venue"], row["profiles"], row["other_venue"]) for row in rows] == [
        ("binance", "binance", [], []),
        ("one", "binance", ["crypto"], ["crypto"]),
        ("two", "elsewhere", ["crypto"], ["crypto"]),
        ("files", None, ["crypto"], []),
    ]


def test_venues_are_mixed_where_the_profile_says_so_unless_the_symbol_does_not(load: Load) -> None:
    text = TWO_VENUES.replace("start:", "mix_venues: true\n        start:").replace(
        "{mix_venues: true}", "{mix_venues: false}"
    )
    symbols = load(text).profiles["crypto"].symbols
    assert [len(symbols[name].sources) for name in ("BTCUSDT", "ETHUSDT", "LTCUSDT")] == [3, 2, 3]


def test_a_timeframe_that_only_another_venue_has_is_missing(problems: Problems) -> None:
    sources = "{coinbase: {}, two: {type: practice, venue: elsewhere}}"
    (found,) = problems(
        universe("sources: [coinbase, two]\ntimeframes: {fetch: [4h]}", sources=sources)
    )
    assert "4h is served by no source of BTCUSDT" in found
    assert (
        "two (elsewhere) is another venue than coinbase and is not asked: mix_venues: "
        "true would let it fill" in found
    )


@pytest.mark.parametrize(
    ("source", "settings", "kind", "venue"),
    [
        ("binance", {}, "crypto", "binance"),
        ("binance", {"market": "usdm"}, "crypto", "binance-usdm"),
        ("binance_archive", {}, "crypto", "binance"),
        ("bitfinex", {}, "crypto", "bitfinex"),
        ("coinbase", {}, "crypto", "coinbase"),
        ("kraken", {}, "crypto", "kraken"),
        ("bybit", {}, "crypto", "bybit"),
        ("bybit", {"category": "linear"}, "crypto", "bybit-linear"),
        ("polygon", {"key": "k"}, "equity", "us-consolidated"),
        ("polygon", {"key": "k"}, "crypto", "polygon"),
        ("alpaca", {"key": "k", "secret": "s"}, "equity", "us-consolidated"),
        ("alpaca", {"key": "k", "secret": "s", "feed": "iex"}, "equity", "iex"),
        ("oanda", {"key": "k"}, "forex", "oanda"),
        ("oanda", {"key": "k", "price": "bid"}, "forex", "oanda-bid"),
        ("practice", {}, "crypto", None),
        ("archive", {"path": "{symbol}.csv"}, "forex", None),
        ("archive", {"path": "{symbol}.csv", "venue": "mine"}, "forex", "mine"),
        ("kraken", {"venue": "mine"}, "crypto", "mine"),
    ],
)
def test_a_source_gives_the_prices_of_its_market_or_of_what_the_universe_says(
    source: str, settings: dict[str, object], kind: str, venue: str | None
) -> None:
    source_type = source_types()[source]
    assert venue_of(source_type, source_type.Settings.model_validate(settings), kind) == venue


def test_agreement_is_off_unless_a_sample_is_set_and_takes_shares_both_ways(load: Load) -> None:
    profile = load(TWO_VENUES).profiles["crypto"]
    assert (profile.agreement.sample, profile.compares) == (0, False)
    text = "agreement: {sample: 5%, close: 0.2%, volume: null}\n" + textwrap.dedent(TWO_VENUES)
    profile = load(
        text.replace("    start:", "    agreement: {close: 0.01, every: 30m}\n    start:")
    ).profiles["crypto"]
    assert profile.agreement == AgreementSettings(
        sample=0.05, close=0.01, volume=None, every=timedelta(minutes=30)
    )
    assert profile.compares


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "agreement: {sample: 5 percent}",
            "agreement.sample: 5 percent is no share; write it like 0.1% or 0.001",
        ),
        ("agreement: {sample: 200%}", "agreement.sample: "),
        ("agreement: {close: 0}", "agreement.close: "),
    ],
)
def test_a_share_that_is_none_is_refused(problems: Problems, text: str, problem: str) -> None:
    (found,) = problems(universe(top=text))
    assert found.startswith(problem)


def test_a_window_ends_now_or_with_the_end_and_is_empty_before_the_start(load: Load) -> None:
    profile = load(
        universe("end: 2024-03-01", symbols="{BTCUSDT: {start: 2024-02-01, end: 2024-02-15}}")
    ).profiles["crypto"]
    symbol = profile.symbols["BTCUSDT"]
    now = datetime(2024, 2, 10, 12, 30, tzinfo=UTC)
    assert profile.window(now) == Window(datetime(2024, 1, 1, tzinfo=UTC), now)
    assert symbol.window(now) == Window(datetime(2024, 2, 1, tzinfo=UTC), now)
    later = datetime(2025, 1, 1, tzinfo=UTC)
    assert profile.window(later) == Window.of_days(date(2024, 1, 1), date(2024, 3, 1))
    assert symbol.window(later) == Window.of_days(date(2024, 2, 1), date(2024, 2, 15))
    assert profile.window(datetime(2023, 1, 1, tzinfo=UTC)) == Window.of_days(
        date(2024, 1, 1), date(2024, 1, 1)
    )
    endless = load(universe()).profiles["crypto"]
    assert endless.window(later) == Window.of_days(date(2024, 1, 1), date(2025, 1, 1))


def test_a_universe_cannot_be_changed_after_it_is_loaded(load: Load) -> None:
    loaded = load(universe())
    for part in (loaded, loaded.profiles["crypto"], loaded.profiles["crypto"].symbols["BTCUSDT"]):
        with pytest.raises(ValueError, match="frozen"):
            part.name = "other"


def test_anchors_aliases_and_merges_are_followed(load: Load) -> None:
    profiles = load("""
        sources: {binance: {}}
        profiles:
          a: &a
            kind: CRYPTO
            start: 2024-01-01
            sources: [binance]
            symbols: {BTCUSDT: {}}
          b:
            <<: *a
            start: 2025-01-01
        """).profiles
    assert profiles["b"].start == date(2025, 1, 1)
    assert profiles["b"].symbols["BTCUSDT"].start == date(2025, 1, 1)


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


def test_the_packaged_universe_has_all_four_kinds() -> None:
    loaded = load_universe(PACKAGED, environ={})
    assert {profile.kind for profile in loaded.profiles.values()} == set(Kind)
    symbols = {name for profile in loaded.profiles.values() for name in profile.symbols}
    practice = PracticeSettings.model_validate(loaded.sources["practice"])
    assert set(practice.symbols) <= symbols
    assert {name for fault in practice.faults for name in fault.symbols} <= symbols
    assert loaded.path.name == "universe.yaml"


def test_the_environment_names_the_universe_and_the_home(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = load(universe()).path
    assert load_universe(environ={"MARKET_ASSETS_UNIVERSE": str(path)}).path == path
    monkeypatch.chdir(tmp_path)
    assert load_universe(environ={"MARKET_ASSETS_UNIVERSE": path.name}).path == path
    assert home({}) == tmp_path / "data"
    assert home({"MARKET_ASSETS_HOME": "elsewhere"}) == tmp_path / "elsewhere"


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


KEYED = """
    sources: {binance: {base_url: "https://vendor.example/${TOKEN}/x"}}
    profiles:
      crypto: {kind: CRYPTO, start: 2024-01-01, \
               symbols: {BTCUSDT: {sources: [{binance: "${TOKEN}"}]}}}
    """


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


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty: write `sources:` and `profiles:`"),
        ("# nothing but a comment\n", "is empty: write `sources:`"),
        ("- a\n- b\n", "must be a mapping: write `sources:`"),
        ("just words\n", "must be a mapping"),
        ("sources: {}\nprofiles: {crypto: [}\n", "line 2, column "),
        ("a: 1\nb: c: d\n", "line 2, column 5: is not YAML"),
        ("path: {profile}/{symbol}.parquet\n", "needs quotes"),
        ("sources:\n\t- a\n", "line 2, column 1: is not YAML"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: is not YAML: expected a single document"),
        ("a: \x01\n", "is not YAML: "),
    ],
)
def test_a_file_that_is_no_mapping_in_yaml_is_one_problem(
    problems: Problems, text: str, problem: str
) -> None:
    (found,) = problems(text)
    assert problem in found


def test_a_file_that_is_not_text_is_one_problem(tmp_path: Path) -> None:
    path = tmp_path / "universe.yaml"
    path.write_bytes(b"sources: \xff\xfe\x00")
    with pytest.raises(
        UniverseError, match="is not a text file in UTF-8: invalid start byte at byte 9"
    ):
        load_universe(path)


def test_a_file_with_neither_sources_nor_profiles_lacks_both(problems: Problems) -> None:
    assert problems("repair: {}\n") == [
        "sources: is missing; write where candles come from, such as `binance: {}`",
        "profiles: is missing; write what to keep, as the packaged universe.yaml does",
    ]


# What is wrong with a key or a value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            universe(top="profils: {}"),
            (
                "profils: is no key here; did you mean profiles? The keys are sources, profiles, "
                "repair, evidence, update, features, returns, markets, agreement, alerts, export, "
                "retention, limits, calendar_changes (line 2)"
            ),
        ),
        (
            universe("calender: 24/7"),
            (
                "profiles.crypto.calender: is no key here; did you mean calendar? "
                "The keys are kind, calendar, start, end, timeframes, "
                "sources, mix_venues, actions, symbols, prices, checks, repair, evidence, "
                "update, stream, agreement, partitions, features, returns, retention "
                "and 1 more (line 8)"
            ),
        ),
        (
            universe(symbols="{BTCUSDT: {strat: 2024-01-01}}"),
            (
                "profiles.crypto.symbols.BTCUSDT.strat: is no key here; did you mean start? "
                "The keys are start, end, sources, mix_venues, actions (line 7)"
            ),
        ),
        (
            universe("checks: {jiter: 0.1}"),
            (
                "profiles.crypto.checks.jiter: is no key here; did you mean jitter? "
                "The keys are jitter, severity, failed_above, calendar, plausibility (line 8)"
            ),
        ),
        (
            universe(top="repair: {quickly: yes}"),
            (
                "repair.quickly: is no key here. The keys are every, max_fills, max_time, "
                "legacy_cutoff, max_attempts, backoff, give_up, backlog (line 2)"
            ),
        ),
        (
            universe().replace("CRYPTO", "Cripto"),
            (
                "profiles.crypto.kind: Cripto is not one of CRYPTO, EQUITY, FUTURES, FOREX; "
                "did you mean CRYPTO? (line 5)"
            ),
        ),
        (
            universe("timeframes: {fetch: [1m], derive: [5min]}"),
            (
                "profiles.crypto.timeframes.derive[0]: "
                "5min is not one of 1m, 5m, 15m, 30m, 1h, 4h, 1d, 1w; did you mean 5m? (line 8)"
            ),
        ),
        (
            universe("timeframes: {fetch: [1m, 3]}"),
            (
                "profiles.crypto.timeframes.fetch[1]: "
                "3 is not one of 1m, 5m, 15m, 30m, 1h, 4h, 1d, 1w. (line 8)"
            ),
        ),
        (
            universe("timeframes: {fetch: 1m}"),
            "profiles.crypto.timeframes.fetch: must be a list: [1m] (line 8)",
        ),
        (
            universe("timeframes: [1m]"),
            "profiles.crypto.timeframes: must be a mapping of keys and values, not ['1m'] (line 8)",
        ),
        (
            universe("calendar: xnys"),
            (
                "profiles.crypto.calendar: xnys is no calendar; did you mean XNYS? "
                "Any name of exchange_calendars or pandas_market_calendars will do; "
                "the presets are 24/7, XNYS, CME Globex Equity, FOREX (line 8)"
            ),
        ),
        (
            universe("sources: [binanse]"),
            (
                "profiles.crypto.sources[0]: binanse is no source of this file; "
                "did you mean binance? It has binance (line 8)"
            ),
        ),
        (
            universe(symbols="{BTCUSDT: {sources: [binance, {bnance: BTC}]}}"),
            (
                "profiles.crypto.symbols.BTCUSDT.sources[1]: "
                "bnance is no source of this file; did you mean binance? It has binance (line 7)"
            ),
        ),
        (
            universe("sources: [{binance: XBT}]"),
            (
                "profiles.crypto.sources: a source's own name, here XBT, belongs to a symbol; "
                "write binance alone (line 8)"
            ),
        ),
        (
            universe(symbols="{BTCUSDT: {sources: [{binance: A, other: B}]}}"),
            (
                "profiles.crypto.symbols.BTCUSDT.sources[0]: each item names one source: "
                "`- binance`, or `- binance: its own name for the symbol` (line 7)"
            ),
        ),
        (
            universe("sources: [binance, binance]"),
            "profiles.crypto.sources: binance is written 2 times (line 8)",
        ),
        (
            universe(sources="{binance: {}, mtgox: {}}"),
            f"sources.mtgox: mtgox is no type of source. Installed are {INSTALLED} (line 1)",
        ),
        (
            universe(sources="{binance: {type: Binanse}}"),
            (
                "sources.binance.type: Binanse is no type of source; did you mean binance? "
                f"Installed are {INSTALLED} (line 1)"
            ),
        ),
        (
            universe(symbols="{}"),
            (
                "profiles.crypto.symbols: is missing; write at least one, such as `BTCUSDT: "
                "{}` (line 7)"
            ),
        ),
        (
            universe(symbols="[BTCUSDT]"),
            (
                "profiles.crypto.symbols: must not be a list: write each symbol as a key, "
                "such as `BTCUSDT: {}` (line 7)"
            ),
        ),
        (
            universe().replace("    sources: [binance]", ""),
            (
                "profiles.crypto.sources: is missing, and BTCUSDT has none of its own; "
                "write which to ask, such as [binance] (line 4)"
            ),
        ),
        (
            universe().replace("    kind: CRYPTO", ""),
            (
                "profiles.crypto.kind: is missing; it is one of CRYPTO, EQUITY, FUTURES, "
                "FOREX (line 4)"
            ),
        ),
        (
            universe().replace("    start: 2024-01-01", ""),
            (
                "profiles.crypto.start: is missing; write the first day to keep, "
                "such as 2024-01-01 (line 4)"
            ),
        ),
        (
            universe("prices: {positive: maybe}"),
            "profiles.crypto.prices.positive: should be a valid boolean",
        ),
        (
            universe("checks: {jitter: 0.5}"),
            "profiles.crypto.checks.jitter: should be less than 0.5, not 0.5 (line 8)",
        ),
        (
            universe("checks: {severity: {CRITICL: ERROR}}"),
            (
                "profiles.crypto.checks.severity.CRITICL: "
                "CRITICL is not one of CRITICAL, HIGH, MEDIUM, LOW; did you mean CRITICAL? (line 8)"
            ),
        ),
        (
            universe("checks: {severity: {LOW: off}}"),
            "profiles.crypto.checks.severity.LOW: off is not one of ERROR, WARN. (line 8)",
        ),
        (
            universe("partitions: {daily: year}"),
            "profiles.crypto.partitions.daily: year is not one of day, month. (line 8)",
        ),
        (
            universe("repair: {max_attempts: 0}"),
            "profiles.crypto.repair.max_attempts: should be greater than or equal to 1",
        ),
    ],
)
def test_a_wrong_word_is_named_with_its_place_and_the_right_one(
    problems: Problems, text: str, problem: str
) -> None:
    (found,) = problems(text)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("duration", "problem"),
    [
        ("10", "10 is no duration; write a number and its unit: 90s, 10m, 1h, 365d (line 2)"),
        ("10:00", "600 is no duration; write"),
        ("10 min", "10 min is no duration; write"),
        ("-1h", "-1h is no duration; write"),
        ("9999999d", "9999999d is no duration; write"),
        ("0s", "0s is no time at all; write a longer one, such as 1s (line 2)"),
        ("[1h]", "['1h'] is no duration; write"),
    ],
)
def test_a_duration_is_a_number_and_a_unit(problems: Problems, duration: str, problem: str) -> None:
    (found,) = problems(universe(top=f"repair: {{max_time: {duration}}}"))
    assert found.startswith(f"repair.max_time: {problem}")


@pytest.mark.parametrize(
    ("backoff", "problem"),
    [
        ("[1h, 1m]", "repair.backoff: the first wait must not be longer than the longest"),
        ("[1m]", "repair.backoff[1]: is missing (line 2)"),
        ("[soon, 1h]", "repair.backoff[0]: soon is no duration"),
        ("[1m, 1h, 1d]", "repair.backoff: Tuple should have at most 2 items"),
    ],
)
def test_a_backoff_is_two_rising_durations(problems: Problems, backoff: str, problem: str) -> None:
    (found,) = problems(universe(top=f"repair: {{backoff: {backoff}}}"))
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("day", "problem"),
    [
        ("2024-02-30", "'2024-02-30' is not in the calendar (line 6)"),
        ('"2023-02-29"', "'2023-02-29' is not in the calendar (line 6)"),
        ("2024-1-5", "2024-1-5 is no day; write it like 2024-01-31 (line 6)"),
        ("20240105", "20240105 is no day; write it like 2024-01-31 (line 6)"),
        ("2024-01-05 00:00:00", "2024-01-05 00:00:00 is no day; write it like 2024-01-31 (line 6)"),
        ("yesterday", "yesterday is no day; write it like 2024-01-31 (line 6)"),
    ],
)
def test_a_day_is_written_in_full(problems: Problems, day: str, problem: str) -> None:
    (found,) = problems(universe().replace("start: 2024-01-01", f"start: {day}"))
    assert found == f"profiles.crypto.start: {problem}"


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


def test_what_is_wrong_does_not_make_what_refers_to_it_wrong(problems: Problems) -> None:
    assert problems(universe(sources="{binance: 5}")) == [
        "sources.binance: must be a mapping of keys and values, not 5 (line 1)"
    ]
    assert problems(universe(sources="[binance]")) == [
        "sources: must be a mapping of keys and values, not ['binance'] (line 1)"
    ]
    assert problems(universe("timeframes: {fetch: [1min], derive: [5m, 1w]}"))[1:] == []
    assert problems(universe("timeframes: {fetch: [1m], derive: [1day, 1w]}"))[1:] == []
    assert problems(universe("sources: binance")) == [
        "profiles.crypto.sources: must be a list: [binance] (line 8)"
    ]


def test_the_error_names_the_file_and_counts_its_problems(load: Load) -> None:
    with pytest.raises(
        UniverseError,
        match=r"universe\.yaml: 2 problems\n  - profiles\.crypto\.kind: .*\n  - profiles",
    ) as caught:
        load(universe("end: 2020-01-01").replace("CRYPTO", "STONKS"))
    assert len(caught.value.problems) == 2


# Evidence, repair, updates, alerts


def test_budgets_come_from_the_file_then_the_profile_then_the_environment(load: Load):
    text = universe(
        "repair: {max_fills: 7, backoff: [2m, 3h]}",
        top="repair: {max_fills: 3, max_attempts: 4, every: 5m}",
    )
    ours = load(text).profiles["crypto"].repair
    assert (ours.max_fills, ours.max_attempts, ours.every) == (7, 4, timedelta(minutes=5))
    here = (
        load(
            text,
            MARKET_ASSETS_REPAIR_MAX_FILLS="11",
            MARKET_ASSETS_REPAIR_BACKOFF="[10s, 20s]",
            MARKET_ASSETS_REPAIR_LEGACY_CUTOFF="2015-06-01",
            MARKET_ASSETS_REPAIR_MAX_TIME="90s",
        )
        .profiles["crypto"]
        .repair
    )
    assert (here.max_fills, here.max_attempts, here.max_time) == (11, 4, timedelta(seconds=90))
    assert here.backoff == (timedelta(seconds=10), timedelta(seconds=20))
    assert here.legacy_cutoff == date(2015, 6, 1)


def test_a_budget_that_the_environment_sets_wrongly_is_named_with_its_variable(problems: Problems):
    found = problems(
        universe(), MARKET_ASSETS_REPAIR_MAX_FILLS="many", MARKET_ASSETS_REPAIR_MAXTIME="1h"
    )
    assert found[0].startswith(
        "MARKET_ASSETS_REPAIR_MAXTIME: is no setting; did you mean MARKET_ASSETS_REPAIR_MAX_TIME?"
    )
    assert found[1].startswith("MARKET_ASSETS_REPAIR_MAX_FILLS: ")
    assert "integer" in found[1]


def test_evidence_and_updates_have_their_defaults_and_are_set_for_all_or_one(load: Load):
    usual = load(universe()).profiles["crypto"]
    assert (usual.evidence.confirmations, usual.evidence.apart) == (2, timedelta(hours=1))
    assert (usual.update.every, usual.update.first_backfill) == (
        timedelta(minutes=1),
        timedelta(days=365),
    )
    assert usual.repair.every == timedelta(hours=1)
    text = universe(
        "evidence: {apart: 1d}\nupdate: {every: 15m}", top="evidence: {confirmations: 3, apart: 2h}"
    )
    own = load(text).profiles["crypto"]
    assert (own.evidence.confirmations, own.evidence.apart) == (3, timedelta(days=1))
    assert own.update.every == timedelta(minutes=15)


@pytest.mark.parametrize("every", ["7m", "90s", "5h", "2d", "30s"])
def test_a_cadence_that_no_clock_face_has_is_refused(problems: Problems, every: str):
    (found,) = problems(universe(f"update: {{every: {every}}}"))
    assert found.startswith(
        "profiles.crypto.update.every: divides neither an hour into whole minutes"
    )


def test_a_channel_that_apprise_cannot_send_to_is_a_fault_with_its_line_and_without_its_words(
    load: Load,
):
    with pytest.raises(UniverseError) as raised:
        load(
            universe(
                top='alerts: {channels: [nonsense-4711, "foo://${BOT}/1", "json://example.org/x"]}'
            ),
            BOT="very-secret",
        )
    first, second = raised.value.problems
    assert first.startswith("alerts.channels[0]: is no URL of a service that apprise knows")
    assert second.startswith("alerts.channels[1]: is no URL of a service that apprise knows")
    assert "(line " in first
    assert not any(word in str(raised.value) for word in ("4711", "very-secret", "foo"))


def test_alert_channels_may_hold_secrets_and_are_not_shown(load: Load):
    loaded = load(
        universe(top='alerts: {channels: ["tgram://${BOT}/123"], gap_error: 3d}'),
        BOT="4711:very-secret",
    )
    assert [str(one) for one in loaded.alerts.channels] == ["tgram://4711:very-secret/123"]
    assert loaded.alerts.gap_error == timedelta(days=3)
    assert "very-secret" not in repr(loaded)
    assert (
        loaded.redact("cannot reach tgram://4711:very-secret/123")
        == "cannot reach tgram://${BOT}/123"
    )


def test_features_are_set_for_all_and_changed_key_by_key_for_one(load: Load):
    usual = load(universe()).profiles["crypto"]
    assert (usual.timeframes.features, usual.features.ema, usual.features.vwap) == (
        (),
        (12, 26, 50),
        True,
    )
    text = universe(
        "timeframes: {fetch: [1m], derive: [1h, 1d], features: [1d, 1h]}\n"
        "features: {rsi: [7, 14], vwap: false, sma: []}",
        top="features: {ema: [200], rsi: [21], bb: [[20, 2.5], [20, 3]]}",
    )
    own = load(text).profiles["crypto"]
    assert own.timeframes.features == (Timeframe.H1, Timeframe.D1)
    assert (own.features.ema, own.features.rsi, own.features.sma) == ((200,), (7, 14), ())
    assert own.features.bb == ((20, 2.5), (20, 3.0))
    assert own.features.vwap is False
    assert own.features.macd == ((12, 26, 9),)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (
            "timeframes: {fetch: [1m], features: [1h]}",
            "timeframes.features: 1h is neither fetched nor derived",
        ),
        (
            "timeframes: {fetch: [1m], features: [1m, 1m]}",
            "timeframes.features: 1m is written 2 times",
        ),
        ("features: {mcad: []}", "features.mcad: is no key here; did you mean macd?"),
        ("features: {rsi: 14}", "features.rsi: must be a list: [14]"),
        ("features: {rsi: [1]}", "features.rsi[0]: should be greater than or equal to 2, not 1"),
        ("features: {sma: [5, 5]}", "features.sma: 5 is written 2 times"),
        (
            "features: {macd: [[26, 12, 9]]}",
            "features.macd[0]: the first window must be shorter than the second",
        ),
        ("features: {bb: [[20, 0]]}", "features.bb[0][1]: should be greater than 0, not 0"),
    ],
)
def test_a_feature_that_cannot_be_made_is_refused_with_its_place(
    problems: Problems, keys: str, problem: str
):
    (found,) = problems(universe(keys))
    assert found.startswith(f"profiles.crypto.{problem}")


def test_bookkeeping_is_kept_for_a_while_unless_the_file_says_otherwise(load: Load) -> None:
    kept = load(universe()).retention
    assert (kept.runs, kept.failed_runs, kept.events) == (timedelta(days=14), timedelta(days=30), 5)
    assert kept.revisions == timedelta(days=1825)
    chosen = load(universe(top="retention: {runs: 36h, events: 2, revisions: null}")).retention
    assert (chosen.runs, chosen.events, chosen.revisions) == (timedelta(hours=36), 2, None)
    assert chosen.ticks == timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "ticks: 8d",
            "retention.ticks: is more than 7d, after which Dagster deletes them by itself",
        ),
        ("runs: 0d", "retention.runs: 0d is no time at all"),
        ("events: 0", "retention.events: should be greater than or equal to 1, not 0"),
        ("job: 3d", "retention.job: is no key here; did you mean jobs?"),
    ],
)
def test_a_retention_that_cannot_be_is_refused(problems: Problems, text: str, problem: str) -> None:
    (found,) = problems(universe(top=f"retention: {{{text}}}"))
    assert found.startswith(problem)

"""The first universes that there are: each keeps one market from one source.

What is asked for becomes parts, a profile with its source each; `starter_text` writes them down.
Files of one's own are looked at in `starter_files`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

from market_assets.config.kinds import Kind
from market_assets.errors import StarterError
from market_assets.market.timeframes import Timeframe
from market_assets.sources.contract import source_types, traits_of
from market_assets.words import hint, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

FILES, PRACTICE = "files", "practice"
"""The starters whose kind of market is asked for."""

_WEDNESDAY = 2

_LONGER = (
    Timeframe.M5,
    Timeframe.M15,
    Timeframe.M30,
    Timeframe.H1,
    Timeframe.H4,
    Timeframe.D1,
    Timeframe.W1,
)
"""What is made of shorter candles unless somebody says otherwise."""


@dataclass(frozen=True)
class Starter:
    """One market at one source.

    Attributes:
        name: By which it is asked for.
        title: What it keeps, for a person who chooses.
        kind: The kind of market; None where whoever asks for it says the kind.
        source: The type of the source.
        settings: The source's keys.
        symbols: What it begins with.
        fetch: The timeframe that the source is asked for.
        days: How many days back it begins.
        variables: The environment variables with the source's keys.
        settle: How late its newest bars come, as a setting of `update`; empty for the usual time.
        vendor_name: Makes the source's own name out of a symbol, where that is another one.
        notes: What a reader of the file has to know.
    """

    name: str
    title: str
    kind: Kind | None
    source: str
    settings: Mapping[str, object] = field(default_factory=dict)
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")
    fetch: Timeframe = Timeframe.M1
    days: int = 30
    variables: tuple[str, ...] = ()
    settle: str = ""
    vendor_name: Callable[[str], str] = str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wishes:
    """What somebody who asks for a first universe wants otherwise; nothing of it is needed.

    Attributes:
        symbols: Each as the universe calls it, or `NAME=SOURCE'S NAME`.
        timeframes: The shortest one is fetched, the others are made of it.
        start: The first day to keep (UTC).
        kind: The kind of market of files and of the practice vendor.
        calendar: The market's calendar, where the kind's is not right.
        base_url: Another address of the source.
        folder: Where files of candles are.
    """

    symbols: tuple[str, ...] = ()
    timeframes: tuple[Timeframe, ...] = ()
    start: date | None = None
    kind: Kind | None = None
    calendar: str | None = None
    base_url: str | None = None
    folder: Path | None = None


@dataclass(frozen=True)
class Part:
    """A profile to be written, with its source.

    Attributes:
        starter: What it was made of.
        profile: The profile's name.
        source: The source's name.
        kind: The kind of market.
        calendar: The calendar; None for the kind's.
        settings: The source's keys.
        symbols: The source's own name of each symbol; the same text where it has no other.
        fetch: The timeframe that the source is asked for.
        derive: The timeframes that are made of it.
        start: The first day (UTC).
        notes: What a reader of the file has to know.
        end: The first day that is no longer kept (UTC); None where it goes on.
    """

    starter: Starter
    profile: str
    source: str
    kind: Kind
    calendar: str | None
    settings: Mapping[str, object]
    symbols: Mapping[str, str]
    fetch: Timeframe
    derive: tuple[Timeframe, ...]
    start: date
    notes: tuple[str, ...]
    end: date | None = None


def _paired(symbol: str) -> str:
    return symbol if symbol.startswith("t") else f"t{symbol}"


def _slashed(symbol: str) -> str:
    return f"{symbol[:3]}_{symbol[3:]}" if len(symbol) == 6 and symbol.isalpha() else symbol


def _front_month(symbol: str) -> str:
    return symbol if "." in symbol else f"{symbol}.v.0"


def _kraken_name(symbol: str) -> str:
    return f"XBT{symbol[3:]}" if symbol.startswith("BTC") else symbol


STARTERS: Mapping[str, Starter] = {
    starter.name: starter
    for starter in (
        Starter("binance", "crypto: spot on Binance", Kind.CRYPTO, "binance"),
        Starter(
            "binance-usdm",
            "crypto: perpetuals and futures in USDT on Binance (USD-M)",
            Kind.CRYPTO,
            "binance",
            {"market": "usdm"},
        ),
        Starter("bybit", "crypto: spot on Bybit", Kind.CRYPTO, "bybit"),
        Starter(
            "bybit-linear",
            "crypto: perpetuals in USDT on Bybit",
            Kind.CRYPTO,
            "bybit",
            {"category": "linear"},
        ),
        Starter(
            "bitfinex",
            "crypto: spot on Bitfinex",
            Kind.CRYPTO,
            "bitfinex",
            symbols=("BTCUSD", "ETHUSD"),
            vendor_name=_paired,
        ),
        Starter(
            "coinbase",
            "crypto: spot on Coinbase",
            Kind.CRYPTO,
            "coinbase",
            symbols=("BTC-USD", "ETH-USD"),
        ),
        Starter(
            "kraken",
            "crypto: spot on Kraken, its newest 720 bars",
            Kind.CRYPTO,
            "kraken",
            symbols=("BTCUSD", "ETHUSD"),
            fetch=Timeframe.H1,
            days=29,
            vendor_name=_kraken_name,
            notes=("Kraken serves the newest 720 bars and no older ones: 12 hours of minutes.",),
        ),
        Starter(
            "yahoo",
            "stocks: days on Yahoo (extra yahoo)",
            Kind.EQUITY,
            "yahoo",
            symbols=("SPY", "AAPL", "MSFT"),
            fetch=Timeframe.D1,
            days=5 * 365,
            notes=(
                "Yahoo's prices are adjusted for splits; it has minutes of the last 30 days alone.",
            ),
        ),
        Starter(
            "polygon",
            "stocks: minutes on Polygon (a key, POLYGON_KEY)",
            Kind.EQUITY,
            "polygon",
            {"key": "${POLYGON_KEY}"},
            symbols=("SPY", "AAPL"),
            days=10,
            variables=("POLYGON_KEY",),
            settle="1d",
            notes=(
                "`rate`, `delay` and `history_days` are the free plan's unless they are set here.",
            ),
        ),
        Starter(
            "alpaca",
            "stocks: minutes on Alpaca (a key, ALPACA_KEY and ALPACA_SECRET)",
            Kind.EQUITY,
            "alpaca",
            {"key": "${ALPACA_KEY}", "secret": "${ALPACA_SECRET}"},
            symbols=("SPY", "AAPL"),
            variables=("ALPACA_KEY", "ALPACA_SECRET"),
            settle="16m",
        ),
        Starter(
            "oanda",
            "forex: minutes on OANDA (a token, OANDA_TOKEN)",
            Kind.FOREX,
            "oanda",
            {"key": "${OANDA_TOKEN}"},
            symbols=("EURUSD", "GBPUSD", "USDJPY"),
            variables=("OANDA_TOKEN",),
            vendor_name=_slashed,
            notes=("A practice account is asked at `base_url: https://api-fxpractice.oanda.com`.",),
        ),
        Starter(
            "databento",
            "futures: minutes of CME on Databento (a key, DATABENTO_KEY; extra databento)",
            Kind.FUTURES,
            "databento",
            {
                "key": "${DATABENTO_KEY}",
                "dataset": "GLBX.MDP3",
                "stype_in": "continuous",
            },
            symbols=("ES", "NQ"),
            days=10,
            variables=("DATABENTO_KEY",),
            vendor_name=_front_month,
            notes=(
                "Databento charges for what is asked for.",
                "Prices jump where one contract follows another.",
            ),
        ),
        Starter(FILES, "files of your own: a folder of Parquet, CSV or text", None, "archive"),
        Starter(
            PRACTICE,
            "simulated candles, without network and key",
            None,
            "practice",
            {"seed": 7},
            days=14,
            notes=(
                "No market ever traded these candles.",
                "The vendor lacks 25 minutes of one symbol, so that a gap can be seen.",
            ),
        ),
    )
}
"""The starters by name, in the order in which a person is shown them."""

_PRACTICE_SYMBOLS = {
    Kind.CRYPTO: ("BTCUSDT", "ETHUSDT"),
    Kind.EQUITY: ("SPY", "AAPL"),
    Kind.FUTURES: ("ES",),
    Kind.FOREX: ("EURUSD",),
}


def starters_of(names: Sequence[str]) -> list[Starter]:
    """The starters of these names.

    Raises:
        StarterError: There is no such starter, one is named twice, or none is named.
    """
    if not names:
        raise StarterError("MARKET", f"name at least one of {listed(STARTERS)}")
    for name, times in Counter(names).items():
        if name not in STARTERS:
            raise StarterError(
                "MARKET",
                f"{name} is none{hint(name, STARTERS)} There are {listed(STARTERS)}",
            )
        if times > 1:
            raise StarterError("MARKET", f"{name} is named {times} times; name it once")
    return [STARTERS[name] for name in names]


def check_wishes(starters: Sequence[Starter], wishes: Wishes, today: date) -> None:
    """See that what is wished goes together.

    Args:
        starters: What is to be written.
        wishes: What is wanted otherwise.
        today: The present day (UTC).

    Raises:
        StarterError: It does not; it names the option and what to do.
    """
    alone = {
        "--symbols": wishes.symbols,
        "--calendar": wishes.calendar,
        "--base-url": wishes.base_url,
    }
    for option, value in alone.items():
        if value and len(starters) > 1:
            raise StarterError(
                option,
                f"it is for one market, and {len(starters)} are named; leave it out and"
                " edit the file, or write a file for each",
            )
    if wishes.start is not None and wishes.start > today:
        raise StarterError(
            "--start", f"{wishes.start} lies after today, {today}; write a day that is over"
        )
    names = {starter.name for starter in starters}
    if wishes.kind is not None and not names & {FILES, PRACTICE}:
        raise StarterError(
            "--kind", f"{listed(sorted(names))} says its kind itself; leave the option out"
        )
    if wishes.kind is None and FILES in names:
        raise StarterError("--kind", f"say what the files hold: {listed(Kind)}")
    if FILES in names and wishes.folder is None:
        raise StarterError("--folder", "say where the files are")
    if FILES not in names and wishes.folder is not None:
        raise StarterError("--folder", "it belongs to the market files; name that, or leave it out")
    if wishes.base_url and FILES in names:
        raise StarterError("--base-url", "files have no address; leave it out")


def part_of(starter: Starter, wishes: Wishes, today: date) -> Part:
    """The profile and the source that a starter stands for; not of files.

    Args:
        starter: One that is no folder of files.
        wishes: What is wanted otherwise, checked.
        today: The present day (UTC).

    Raises:
        StarterError: The source does not have the timeframes.
    """
    kind = starter.kind or wishes.kind or Kind.CRYPTO
    fetch, derive = _timeframes(starter, kind, wishes.timeframes)
    usual = _PRACTICE_SYMBOLS[kind] if starter.name == PRACTICE else starter.symbols
    symbols = symbols_of(wishes.symbols or usual, starter.vendor_name)
    settings: dict[str, object] = dict(starter.settings)
    if starter.name == PRACTICE:
        settings["faults"] = [_hole(next(iter(symbols.values())), today)]
    if wishes.base_url:
        settings["base_url"] = wishes.base_url
    return Part(
        starter=starter,
        profile=kind.value.lower(),
        source=starter.name.replace("-", "_"),
        kind=kind,
        calendar=wishes.calendar,
        settings=settings,
        symbols=symbols,
        fetch=fetch,
        derive=derive,
        start=wishes.start or today - timedelta(days=starter.days),
        notes=starter.notes,
    )


def _hole(symbol: str, today: date) -> dict[str, object]:
    """A hole in what the practice vendor has: on a Wednesday, when every kind of market trades."""
    day = today - timedelta(days=3)
    day -= timedelta(days=(day.weekday() - _WEDNESDAY) % 7)
    return {
        "fault": "hole",
        "symbols": [symbol],
        "start": f"{day}T15:00Z",
        "end": f"{day}T15:25Z",
    }


def made_of(fetch: Timeframe, kind: Kind) -> tuple[Timeframe, ...]:
    """The longer timeframes that are made of one, for a kind of market."""
    return tuple(
        longer
        for longer in _LONGER
        if longer.duration > fetch.duration
        # A stock's session is shorter than two such bars.
        and not (kind is Kind.EQUITY and longer is Timeframe.H4)
        and fetch is not Timeframe.W1
    )


def split_timeframes(
    timeframes: Sequence[Timeframe],
) -> tuple[Timeframe, tuple[Timeframe, ...]]:
    """The shortest timeframe, which is fetched, and the others, which are made of it.

    Raises:
        StarterError: Weeks are to be made, and there are no days to make them of.
    """
    fetch, *derive = sorted(set(timeframes), key=lambda timeframe: timeframe.duration)
    if Timeframe.W1 in derive and Timeframe.D1 not in {fetch, *derive}:
        raise StarterError("--timeframes", "1w is made of 1d: add 1d, or leave 1w out")
    return fetch, tuple(derive)


def apart(parts: Sequence[Part]) -> list[Part]:
    """The parts, with names that tell profiles of the same kind apart."""
    kinds = Counter(part.profile for part in parts)
    return [
        replace(part, profile=f"{part.profile}_{part.source}") if kinds[part.profile] > 1 else part
        for part in parts
    ]


def _timeframes(
    starter: Starter, kind: Kind, wanted: Sequence[Timeframe]
) -> tuple[Timeframe, tuple[Timeframe, ...]]:
    if not wanted:
        return starter.fetch, made_of(starter.fetch, kind)
    fetch, derive = split_timeframes(wanted)
    source_type = source_types()[starter.source]
    settings = source_type.Settings.model_validate(dict(starter.settings))
    traits = traits_of(source_type, settings)
    served = frozenset(Timeframe) if traits is None else traits.timeframes_for(kind.value.lower())
    if fetch not in served:
        offered = listed(timeframe.value for timeframe in Timeframe if timeframe in served)
        raise StarterError(
            "--timeframes",
            f"{starter.name} has no {fetch} of its own; it has {offered}. Name one of these:"
            " the shortest is asked for, the others are made of it",
        )
    return fetch, derive


def symbols_of(written: Sequence[str], vendor_name: Callable[[str], str]) -> dict[str, str]:
    """The source's own name of each symbol.

    Args:
        written: Each as `NAME`, or `NAME=SOURCE'S NAME`.
        vendor_name: Makes the source's own name out of a symbol.

    Raises:
        StarterError: One has no name, or is named twice.
    """
    symbols: dict[str, str] = {}
    for text in written:
        name, equals, vendor = (side.strip() for side in text.partition("="))
        if not name or (equals and not vendor):
            raise StarterError(
                "--symbols", f"{text!r} is no symbol; write NAME, or NAME=SOURCE'S NAME"
            )
        if name in symbols:
            raise StarterError("--symbols", f"{name} is named twice; name it once")
        symbols[name] = vendor or vendor_name(name)
    return symbols

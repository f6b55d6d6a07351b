"""What is asked of a first universe becomes parts: a profile with its source each.

What there is to ask for stands in `starter_table`. `starter_text` writes the parts down; files of
one's own are looked at in `starter_files`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

from market_assets.config.kinds import Kind
from market_assets.config.starter_table import FILES, PRACTICE, STARTERS, Starter
from market_assets.errors import StarterError
from market_assets.market.timeframes import Timeframe
from market_assets.sources.contract import source_types, traits_of
from market_assets.words import hint, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

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

"""What to keep: the universe file's profiles, symbols, timeframes, sources and budgets, checked and resolved.

`load_universe` reads the YAML once and either returns a `Universe` in which nothing is left to look up (each symbol knows
its dates and its sources, each profile its calendar and rules), or raises one `UniverseError` that lists everything wrong.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SkipValidation,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticKnownError

from market_assets.errors import UniverseError
from market_assets.market_time.gaps import Priority
from market_assets.market_time.partitions import Cadence
from market_assets.market_time.timeframes import Timeframe, Window, midnight
from market_assets.yaml_file import Document, Place, add_faults, hint, listed, nearest, read_yaml, redact, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic_core import ErrorDetails

    from market_assets.sources.base import Traits

UNIVERSE_VARIABLE = "MARKET_ASSETS_UNIVERSE"
HOME_VARIABLE = "MARKET_ASSETS_HOME"
REPAIR_VARIABLE = "MARKET_ASSETS_REPAIR_"


_SQL_WORDS = """
all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create default
deferrable desc describe distinct do else end except false fetch for foreign from group having in initially intersect
into lambda lateral leading limit not null offset on only or order pivot pivot_longer pivot_wider placing primary
qualify references returning select show some summarize symmetric table then to trailing true union unique unpivot
using variadic when where window with
"""
_SCHEMAS = {"information_schema", "main", "market", "memory", "ops", "pg_catalog", "system", "temp"}
RESERVED_NAMES = _SCHEMAS | set(_SQL_WORDS.split())
"""Names that no profile can have: schemas and catalogs of the store, and words that SQL would have to quote."""


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The absolute path of the folder for everything that the project writes: `MARKET_ASSETS_HOME`, else ./data."""
    return Path(environ.get(HOME_VARIABLE) or "data").expanduser().absolute()


def _empty_if_none(value: object) -> object:
    return {} if value is None else value


class _Model(BaseModel):
    """A part of the universe; a key without a value, such as `BTCUSDT:`, is all defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_all_defaults(cls, value: object) -> object:
        return _empty_if_none(value)


def _day(value: object) -> date:
    if type(value) is date:
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is not in the calendar") from None
    raise ValueError(f"{shown(value)} is no day; write it like 2024-01-31")


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)([smhdw])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{shown(value)} is no duration; write a number and its unit: 90s, 10m, 1h, 365d")
    duration = timedelta(**{_UNITS[match[2]]: float(match[1])})
    if not duration:
        raise ValueError(f"{shown(value)} is no time at all; write a longer one, such as 1s")
    return duration


def _rising(bounds: tuple[timedelta, timedelta]) -> tuple[timedelta, timedelta]:
    if bounds[0] > bounds[1]:
        raise ValueError("the first wait must not be longer than the longest; write [first, longest], such as [1m, 1h]")
    return bounds


def _cadence(every: timedelta) -> timedelta:
    minutes = every / timedelta(minutes=1)
    if not (minutes.is_integer() and (60 % minutes == 0 or (minutes % 60 == 0 and 1440 % minutes == 0))):
        raise ValueError(
            "divides neither an hour into whole minutes nor a day into whole hours; write 1m, 5m, 15m, 1h or 4h"
        )
    return every


def _shortest_first(timeframes: tuple[Timeframe, ...]) -> tuple[Timeframe, ...]:
    return tuple(sorted(timeframes, key=lambda timeframe: timeframe.duration))


Day = Annotated[date, BeforeValidator(_day)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]


class PriceRules(_Model):
    """What a price and a volume may be.

    Attributes:
        positive: Prices must be above zero; a future may settle at zero or below it.
        volume_optional: A null volume is fine.
        real_volume: The volume counts what was traded; False where it counts price changes, or nothing.
    """

    positive: bool = True
    volume_optional: bool = False
    real_volume: bool = True


class Kind(StrEnum):
    """The kind of market a profile keeps; it presets the calendar and the price rules."""

    CRYPTO = "CRYPTO"
    EQUITY = "EQUITY"
    FUTURES = "FUTURES"
    FOREX = "FOREX"

    @property
    def calendar(self) -> str:
        """The calendar of a profile that names none."""
        return _CALENDARS[self]

    @property
    def prices(self) -> PriceRules:
        """The price rules of a profile that sets none."""
        forex = self is Kind.FOREX
        return PriceRules(positive=self is not Kind.FUTURES, volume_optional=forex, real_volume=not forex)


_CALENDARS = {
    Kind.CRYPTO: "24/7",
    Kind.EQUITY: "XNYS",
    Kind.FUTURES: "CME Globex Equity",
    Kind.FOREX: "FOREX",
}


class Severity(StrEnum):
    """What a failed check means for those downstream: ERROR blocks, WARN tells."""

    ERROR = "ERROR"
    WARN = "WARN"


_SEVERITY = {
    Priority.CRITICAL: Severity.ERROR,
    Priority.HIGH: Severity.ERROR,
    Priority.MEDIUM: Severity.WARN,
    Priority.LOW: Severity.WARN,
}


class CheckSettings(_Model):
    """How strictly a profile's candles are judged.

    Attributes:
        jitter: The share of the timeframe within which a bar that opens off the grid is moved onto it.
        severity: What an open gap of each priority makes of the continuity check.
    """

    jitter: float = Field(default=0.1, ge=0, lt=0.5)
    severity: Annotated[dict[Priority, Severity], AfterValidator(lambda given: _SEVERITY | given)] = _SEVERITY


class RepairSettings(_Model):
    """When and how hard gaps are repaired. Each key can be set for this machine by `MARKET_ASSETS_REPAIR_<KEY>`.

    Attributes:
        every: How often failed, faulty and absent partitions are looked for.
        max_fills: Requests in one repair run.
        max_time: How long one repair run may take.
        legacy_cutoff: Gaps before this day are asked for once and then abandoned; None treats them like any other.
        max_attempts: Tries for one gap, answered without it, before it is abandoned.
        backoff: The wait after a gap's first failed try, and the longest wait that doubling it leads to.
        give_up: A gap that could not be asked for in all this time and `max_attempts` tries, because its sources failed, is
            abandoned.
        backlog: With so many repair runs waiting or under way, no more gaps are looked for.
    """

    every: Duration = timedelta(hours=1)
    max_fills: int = Field(default=50, ge=1)
    max_time: Duration = timedelta(minutes=10)
    legacy_cutoff: Day | None = date(2010, 1, 1)
    max_attempts: int = Field(default=5, ge=1)
    backoff: Annotated[tuple[Duration, Duration], AfterValidator(_rising)] = (timedelta(minutes=1), timedelta(hours=1))
    give_up: Duration = timedelta(days=30)
    backlog: int = Field(default=50, ge=1)


class EvidenceSettings(_Model):
    """When an absence counts as explained.

    Attributes:
        confirmations: How often all sources must have answered without the bar.
        apart: How far apart in time two answers must lie to count as two.
        quiet_limit: The longest silence that a source which leaves quiet bars out can explain by itself. A longer one is
            as likely a recorder that was off, and has to be confirmed like any other hole.
    """

    confirmations: int = Field(default=2, ge=1)
    apart: Duration = timedelta(hours=1)
    quiet_limit: Duration = timedelta(hours=1)

    def quiet_bars(self, timeframe: Timeframe) -> int:
        """The quiet limit as a number of bars, at least one."""
        return max(1, self.quiet_limit // timeframe.duration)


class UpdateSettings(_Model):
    """How the newest candles are kept up to date.

    Attributes:
        every: How often the running session is filled; whole minutes that divide an hour, or whole hours that divide a day.
        first_backfill: How far back partitions that were never filled are filled without being asked to.
        recheck: How many of the newest closed bars are asked for again, to catch late revisions.
        settle: How long a bar must have been closed before it is expected.
    """

    every: Annotated[Duration, AfterValidator(_cadence)] = timedelta(minutes=1)
    first_backfill: Duration = timedelta(days=365)
    recheck: int = Field(default=5, ge=0)
    settle: Duration = timedelta(seconds=10)


class AlertSettings(_Model):
    """Who is told of troubles, and when.

    Attributes:
        channels: Apprise URLs, such as `mailto://...`, `slack://...`, `tgram://...` or `json://...`.
        every: How often troubles are looked for.
        gap_warning: A gap that long, or open for that long, is worth a warning.
        gap_error: A gap that long, or open for that long, is an error.
        failed_days: Days in a row on which a backfill failed that make a trouble.
        stale_after: How long after its close the newest session may be without a bar.
    """

    channels: tuple[SkipValidation[str], ...] = Field(default=(), repr=False, exclude=True)
    every: Duration = timedelta(minutes=1)
    gap_warning: Duration = timedelta(days=1)
    gap_error: Duration = timedelta(days=7)
    failed_days: int = Field(default=3, ge=1)
    stale_after: Duration = timedelta(hours=2)


class PartitionSettings(_Model):
    """How long the partitions of a profile are, below one day and from one day on."""

    intraday: Cadence = Cadence.DAY
    daily: Cadence = Cadence.MONTH

    def of(self, timeframe: Timeframe) -> Cadence:
        """How long the partitions of a timeframe are."""
        return self.intraday if timeframe.intraday else self.daily


class Timeframes(_Model):
    """The timeframes a profile keeps, shortest first: those asked of a source, and those made from them."""

    fetch: Annotated[tuple[Timeframe, ...], AfterValidator(_shortest_first)] = (Timeframe.M1,)
    derive: Annotated[tuple[Timeframe, ...], AfterValidator(_shortest_first)] = ()


class SourceSymbol(_Model):
    """A source that is asked for a symbol, and the source's own name for it."""

    source: str
    symbol: SkipValidation[str]


class Symbol(_Model):
    """One instrument of a profile: from 00:00 UTC of `start` to 00:00 UTC of `end`, which no longer belongs to it."""

    name: str
    start: date
    end: date | None
    sources: tuple[SourceSymbol, ...]

    def window(self, now: datetime) -> Window:
        """The stretch of time up to `now` in which its candles are kept; empty before it starts."""
        return _window(self.start, self.end, now)


class Profile(_Model):
    """A group of symbols that share calendar, timeframes and rules: an asset key prefix and a DuckDB schema."""

    name: str
    kind: Kind
    calendar: str
    start: date
    end: date | None
    timeframes: Timeframes
    symbols: dict[str, Symbol]
    prices: PriceRules
    checks: CheckSettings
    repair: RepairSettings
    evidence: EvidenceSettings
    update: UpdateSettings
    partitions: PartitionSettings

    @property
    def base_timeframe(self) -> Timeframe:
        """The shortest fetched timeframe."""
        return self.timeframes.fetch[0]

    def window(self, now: datetime) -> Window:
        """From 00:00 UTC of the first day to 00:00 UTC of `end`, or to `now` while that is earlier; empty before it starts."""
        return _window(self.start, self.end, now)

    def input_of(self, timeframe: Timeframe) -> Timeframe:
        """The timeframe that a derived one is made of: weeks of days, everything else of the shortest fetched.

        Raises:
            ValueError: The profile does not derive that timeframe.
        """
        if timeframe not in self.timeframes.derive:
            raise ValueError(f"profile {self.name} does not derive {timeframe}")
        return Timeframe.D1 if timeframe is Timeframe.W1 else self.base_timeframe


def _window(start: date, end: date | None, now: datetime) -> Window:
    first = midnight(start)
    return Window(first, max(first, now if end is None else min(midnight(end), now)))


class Universe(_Model):
    """Everything that is to be kept.

    Attributes:
        path: The file it was read from; the paths in a source's settings are relative to its folder.
        sources: The settings of each source, secrets filled in: shown with their `${NAME}` and left out of dumps.
        profiles: By name, in the order of the file.
        alerts: Who is told of troubles.
        secrets: The `${NAME}` that each filled-in value stands for; neither shown nor dumped.
    """

    path: Path
    sources: dict[str, dict[str, object]] = Field(exclude=True)
    profiles: dict[str, Profile]
    alerts: AlertSettings
    secrets: dict[str, str] = Field(exclude=True, repr=False)

    def redact(self, text: str) -> str:
        """The text with every secret of the universe replaced by its `${NAME}`: for logs, errors and metadata."""
        return redact(text, self.secrets)


def load_universe(path: Path | None = None, *, environ: Mapping[str, str] = os.environ) -> Universe:
    """Read and check a universe file.

    Args:
        path: The file; without it the one that `MARKET_ASSETS_UNIVERSE` names, without that the packaged one.
        environ: Where that variable and the secrets of the file are taken from.

    Raises:
        UniverseError: The file cannot be read, or holds mistakes; it lists them all.
    """
    path = _universe_path(path, environ)
    document = read_yaml(path, environ)
    entries = _read_entries(document)
    _check_all(entries, document)
    here, misset = _repair_here(environ)
    if problems := [*document.problems(), *misset]:
        raise UniverseError(path, problems)
    profiles = [_resolve_profile(name, entry, entries, here) for name, entry in entries.profiles.items()]
    return Universe(
        path=path,
        sources=entries.sources,
        profiles={profile.name: profile for profile in profiles if profile},
        alerts=entries.alerts,
        secrets=document.secrets,
    )


def _universe_path(path: Path | None, environ: Mapping[str, str]) -> Path:
    if path is None and (named := environ.get(UNIVERSE_VARIABLE)):
        path = Path(named)
        origin = f" (the environment variable {UNIVERSE_VARIABLE} names it)"
    else:
        origin = ""
    path = Path(__file__).with_name("universe.yaml") if path is None else path.expanduser().absolute()
    if not path.is_file():
        raise UniverseError(
            path, [f"there is no such file{origin}; write one, or leave it out for the packaged universe"]
        )
    return path


def _known_calendar(name: str) -> str:
    if name in _CALENDARS.values():
        return name
    # The calendar libraries take a second to import: only a file that goes beyond the presets pays for it.
    from market_assets.market_time.calendars import calendar_names  # noqa: PLC0415

    known = calendar_names()
    if name not in known:
        raise ValueError(
            f"{name} is no calendar{hint(name, known)} Any name of exchange_calendars or pandas_market_calendars will do;"
            f" the presets are {listed(_CALENDARS.values())}"
        )
    return name


def _text(value: object) -> str:
    """A string as it is: pydantic's own check would lose what a `Secret` shows itself as."""
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    return value


def _one_source(value: object) -> object:
    return {value: ""} if isinstance(value, str) else value


def _known_source(choice: dict[str, str], info: ValidationInfo) -> tuple[str, str]:
    if len(choice) != 1:
        raise ValueError("each item names one source: `- binance`, or `- binance: its own name for the symbol`")
    (source, own_name), known = *choice.items(), info.context
    if known and source not in known:
        raise ValueError(f"{source} is no source of this file{hint(source, known)} It has {listed(known)}")
    return source, own_name


Choice = Annotated[
    dict[str, Annotated[str, PlainValidator(_text)]], BeforeValidator(_one_source), AfterValidator(_known_source)
]
"""A source and, where it has another one, its own name for the symbol (empty if not)."""


def _no_list(value: object) -> object:
    if isinstance(value, list):
        raise ValueError("must not be a list: write each symbol as a key, such as `BTCUSDT: {}`")  # noqa: TRY004  # pydantic's
    return _empty_if_none(value)


class _SymbolEntry(_Model):
    start: Day | None = None
    end: Day | None = None
    sources: tuple[Choice, ...] = ()


class _ProfileEntry(_Model):
    kind: Kind | None = None
    calendar: Annotated[str, AfterValidator(_known_calendar)] | None = None
    start: Day | None = None
    end: Day | None = None
    timeframes: Timeframes = Timeframes()
    sources: tuple[Choice, ...] = ()
    symbols: Annotated[dict[str, _SymbolEntry], BeforeValidator(_no_list)] = {}
    prices: PriceRules = PriceRules()
    checks: CheckSettings = CheckSettings()
    repair: RepairSettings = RepairSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    update: UpdateSettings = UpdateSettings()
    partitions: PartitionSettings = PartitionSettings()


class _Entries(_Model):
    """The file as it is written, each part valid by itself; nothing is inherited yet and nothing is required."""

    sources: Annotated[
        dict[str, Annotated[dict[str, object], BeforeValidator(_empty_if_none)]], BeforeValidator(_empty_if_none)
    ] = {}
    profiles: Annotated[dict[str, _ProfileEntry], BeforeValidator(_empty_if_none)] = {}
    repair: RepairSettings = RepairSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    update: UpdateSettings = UpdateSettings()
    alerts: AlertSettings = AlertSettings()


def _read_entries(document: Document) -> _Entries:
    """The parts of the document that are valid by themselves; what is not becomes problems and is left out."""
    data = document.data
    if not isinstance(data, dict):
        if not document.faulty(()):
            what = "is empty" if data is None else "must be a mapping"
            document.add((), f"{what}: write `sources:` and `profiles:`, as the packaged universe.yaml does")
        return _Entries()
    named = data.get("sources")
    sources = list(named) if isinstance(named, dict) else []
    faults = _faults(data, sources)
    add_faults(document, (), faults, _Entries)
    while faults:
        # What is left out may leave something incomplete behind, a list too short perhaps: that goes too, unmentioned.
        data = _without(data, {nearest(data, fault["loc"]) for fault in faults})
        faults = _faults(data, sources)
    return _Entries.model_validate(data, context=sources)


def _faults(data: dict[str, object], sources: list[str]) -> list[ErrorDetails]:
    try:
        _Entries.model_validate(data, context=sources)
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


def _without(value: Any, places: set[Place], at: Place = ()) -> Any:  # noqa: ANN401  # it gives back what it is given, cut
    """The data without what stands at the places."""
    if isinstance(value, dict):
        kept = {key: (*at, key) for key in value if (*at, key) not in places}
        return {key: _without(value[key], places, place) for key, place in kept.items()}
    if isinstance(value, list):
        return [_without(item, places, (*at, index)) for index, item in enumerate(value) if (*at, index) not in places]
    return value


def _check_sources(entries: _Entries, document: Document) -> dict[str, Traits]:
    """Check each source's settings against its type.

    Returns:
        The traits of the sources whose type declares them.
    """
    # Source types bring HTTP clients and other packages' code along, which a reader of `home` has no use for.
    from market_assets.sources.base import Traits, source_types  # noqa: PLC0415

    types = source_types()
    installed = list(types)
    declared = {}
    for name, settings in entries.sources.items():
        place = ("sources", name)
        _check_name(name, place, document)
        wanted = str(settings.get("type") or name)
        if wanted not in installed:
            at = (*place, "type") if "type" in settings else place
            document.add(
                at, f"{shown(wanted)} is no type of source{hint(wanted, installed)} Installed are {listed(installed)}"
            )
            continue
        try:
            source_type = types[wanted]
        except Exception as error:  # noqa: BLE001  # another package's code runs here: its bug is this file's problem
            document.add(place, f"the source type {wanted} cannot be loaded: {error!r}")
            continue
        try:
            source_type.Settings.model_validate(settings)
        except ValidationError as error:
            add_faults(document, place, error.errors(include_url=False), source_type.Settings)
        if isinstance(traits := getattr(source_type, "traits", None), Traits):
            declared[name] = traits
    return declared


def _resolve_profile(name: str, entry: _ProfileEntry, entries: _Entries, here: RepairSettings) -> Profile | None:
    """The profile with everything inherited and preset, and what is set for this machine; None without the keys that nothing can be made of."""
    if entry.kind is None or entry.start is None:
        return None
    symbols = {}
    for each, symbol in entry.symbols.items():
        sources = tuple(
            SourceSymbol(source=source, symbol=own or each) for source, own in symbol.sources or entry.sources
        )
        symbols[each] = Symbol(
            name=each, start=symbol.start or entry.start, end=symbol.end or entry.end, sources=sources
        )
    return Profile(
        name=name,
        kind=entry.kind,
        calendar=entry.calendar or entry.kind.calendar,
        start=entry.start,
        end=entry.end,
        timeframes=entry.timeframes,
        symbols=symbols,
        prices=_overlay(entry.kind.prices, entry.prices),
        checks=entry.checks,
        repair=_overlay(_overlay(entries.repair, entry.repair), here),
        evidence=_overlay(entries.evidence, entry.evidence),
        update=_overlay(entries.update, entry.update),
        partitions=entry.partitions,
    )


Part = TypeVar("Part", bound=_Model)


def _overlay(below: Part, above: Part) -> Part:
    """One part of the universe with the keys that were written in another."""
    return below.model_copy(update={key: getattr(above, key) for key in above.model_fields_set})


def _repair_here(environ: Mapping[str, str]) -> tuple[RepairSettings, list[str]]:
    """The repair settings that the environment sets, written as in the file, and what is wrong with them."""
    names = {REPAIR_VARIABLE + key.upper(): key for key in RepairSettings.model_fields}
    given = {key: environ[name] for name, key in names.items() if environ.get(name)}
    strange = sorted(name for name in environ if name.startswith(REPAIR_VARIABLE) and name not in names)
    problems = [f"{name}: is no setting{hint(name, names)} There are {listed(names)}" for name in strange]
    try:
        return RepairSettings.model_validate({key: yaml.safe_load(text) for key, text in given.items()}), problems
    except yaml.YAMLError as error:
        return RepairSettings(), [*problems, f"{REPAIR_VARIABLE}...: cannot be read: {error}"]
    except ValidationError as error:
        wrong = error.errors(include_url=False)
        named = [
            f"{REPAIR_VARIABLE}{str(fault['loc'][0]).upper()}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in wrong
        ]
        return RepairSettings(), [*problems, *named]


def _check_all(entries: _Entries, document: Document) -> None:
    if document.faulty(()):
        return
    for key, found, advice in (
        ("sources", entries.sources, "is missing; write where candles come from, such as `binance: {}`"),
        ("profiles", entries.profiles, "is missing; write what to keep, as the packaged universe.yaml does"),
    ):
        if not found and not document.faulty_within((key,)):
            document.add((key,), advice)
    traits = _check_sources(entries, document)
    for name, entry in entries.profiles.items():
        _check_profile(name, entry, entries, traits, document)


def _check_profile(
    name: str,
    entry: _ProfileEntry,
    entries: _Entries,
    traits: Mapping[str, Traits],
    document: Document,
) -> None:
    """Check what a profile's keys say together; each by itself is valid, and those that are not have been left out."""
    place: Place = ("profiles", name)
    _check_profile_name(name, entries, document)
    for key, found, advice in (
        ("kind", entry.kind, f"is missing; it is one of {listed(Kind)}"),
        ("start", entry.start, "is missing; write the first day to keep, such as 2024-01-01"),
        ("symbols", entry.symbols, "is missing; write at least one, such as `BTCUSDT: {}`"),
    ):
        if not found and not document.faulty_within((*place, key)):
            document.add((*place, key), advice)
    if entry.start and entry.end and entry.end <= entry.start:
        document.add((*place, "end"), f"{entry.end} is not after the start, {entry.start}: no day is left")
    _check_timeframes((*place, "timeframes"), entry.timeframes, document)
    _check_repeats((*place, "sources"), entry.sources, document)
    for source, own in entry.sources:
        if own:
            advice = f"a source's own name, here {shown(own)}, belongs to a symbol; write {source} alone"
            document.add((*place, "sources"), advice)
    for each, symbol in entry.symbols.items():
        at = (*place, "symbols", each)
        _check_name(each, at, document)
        _check_symbol_dates(at, symbol, entry, document)
        _check_repeats((*at, "sources"), symbol.sources, document)
    _check_asked(place, entry, entries, traits, document)
    _check_kind(place, entry, traits, document)


def _check_name(name: str, place: Place, document: Document) -> None:
    """Names of symbols and sources end up in paths, lists and keys."""
    if not re.fullmatch(r"[^\s/\\,]+", name) or name in {".", ".."}:
        advice = "is no usable name: leave out slashes, commas and spaces"
        if place[0] == "profiles":
            advice += " (a source may have its own name for it: `sources: [{binance: ...}]`)"
        document.add(place, advice)


def _check_profile_name(name: str, entries: _Entries, document: Document) -> None:
    place = ("profiles", name)
    lower = name.lower()
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        valid = re.sub(r"\W", "_", lower, flags=re.ASCII)
        if lower != name and lower in entries.profiles:
            document.add(place, f"differs from {lower} only in upper and lower case; choose another name")
        else:
            example = f", such as {valid}" if re.fullmatch(r"[a-z]\w*", valid) else ""
            document.add(
                place, f"is no usable name: write a lower-case letter, then letters, digits and underscores{example}"
            )
    elif name in RESERVED_NAMES:
        document.add(place, "is a name that DuckDB or this project keeps for itself; choose another")


def _check_symbol_dates(place: Place, symbol: _SymbolEntry, profile: _ProfileEntry, document: Document) -> None:
    """A symbol may begin later and end earlier than its profile.

    The other way round is refused and not cut off in silence: it asks for days that no partition of the profile holds.
    """
    start, end = (*place, "start"), (*place, "end")
    if symbol.start and profile.start and symbol.start < profile.start:
        advice = f"{symbol.start} is before the profile's start, {profile.start}; move that one, or leave this one out"
        document.add(start, advice)
    if symbol.start and profile.end and symbol.start >= profile.end:
        document.add(start, f"{symbol.start} is not before the profile's end, {profile.end}: no day is left")
    if symbol.end and profile.end and symbol.end > profile.end:
        advice = f"{symbol.end} is after the profile's end, {profile.end}; move that one, or leave this one out"
        document.add(end, advice)
    if symbol.end and symbol.start and symbol.end <= symbol.start:
        document.add(end, f"{symbol.end} is not after the start, {symbol.start}: no day is left")
    elif symbol.end and profile.start and symbol.end <= profile.start:
        document.add(end, f"{symbol.end} is not after the profile's start, {profile.start}: no day is left")


def _check_timeframes(place: Place, timeframes: Timeframes, document: Document) -> None:
    """Each timeframe divides every longer one, so that a derived one only has to be longer than what it is made of."""
    fetch, derive = (*place, "fetch"), (*place, "derive")
    _check_repeats(fetch, timeframes.fetch, document)
    _check_repeats(derive, timeframes.derive, document)
    unclear = document.faulty_within(derive)
    both = [timeframe for timeframe in dict.fromkeys(timeframes.fetch) if timeframe in timeframes.derive]
    for timeframe in both:
        document.add(derive, f"{timeframe} is fetched as well; keep it in one of the two lists")
    if document.faulty_within(fetch):
        return
    if not timeframes.fetch:
        document.add(fetch, "is empty; name what the sources are asked for, such as [1m]")
        return
    base = timeframes.fetch[0]
    for timeframe in timeframes.derive:
        if timeframe not in both and timeframe.duration < base.duration:
            document.add(derive, f"{timeframe} cannot be made of {base}, the shortest fetched one; fetch a shorter one")
    days = {*timeframes.fetch, *timeframes.derive}
    if Timeframe.W1 in timeframes.derive and Timeframe.D1 not in days and not unclear:
        document.add(derive, "1w is made of 1d, which is neither fetched nor derived; add 1d")


def _check_repeats(place: Place, values: Iterable[object], document: Document) -> None:
    for value, times in Counter(values).items():
        if times > 1:
            text = ": ".join(part for part in value if part) if isinstance(value, tuple) else value
            document.add(place, f"{text} is written {times} times")


def _check_asked(
    place: Place,
    profile: _ProfileEntry,
    entries: _Entries,
    traits: Mapping[str, Traits],
    document: Document,
) -> None:
    """Every symbol has a source, and for each fetched timeframe one that serves it."""
    asked = {
        name: [source for source, _ in symbol.sources or profile.sources]
        for name, symbol in profile.symbols.items()
        if not document.faulty_within((*place, "symbols", name, "sources"))
    }
    if document.faulty_within((*place, "sources")) or not entries.sources:
        return
    if orphans := [name for name, sources in asked.items() if not sources]:
        advice = f"is missing, and {listed(orphans)} has none of its own; write which to ask, such as [{next(iter(entries.sources))}]"
        document.add((*place, "sources"), advice)
    served = {source: declared.timeframes for source, declared in traits.items()}
    every = frozenset(Timeframe)
    for timeframe in profile.timeframes.fetch:
        unserved = [
            name
            for name, sources in asked.items()
            if sources and not any(timeframe in served.get(source, every) for source in sources)
        ]
        if unserved:
            offers = {each for name in unserved for source in asked[name] for each in served[source]}
            offered = listed(timeframe for timeframe in Timeframe if timeframe in offers)
            advice = f"{timeframe} is served by no source of {listed(unserved)}; they have {offered}"
            document.add((*place, "timeframes", "fetch"), advice)


def _check_kind(place: Place, profile: _ProfileEntry, traits: Mapping[str, Traits], document: Document) -> None:
    """No source is asked for a kind of market that it does not have."""
    lists = {(*place, "sources"): profile.sources}
    lists |= {(*place, "symbols", name, "sources"): symbol.sources for name, symbol in profile.symbols.items()}
    for at, choices in lists.items():
        for source in dict.fromkeys(source for source, _ in choices):
            declared = traits.get(source)
            if declared and profile.kind and profile.kind.lower() not in declared.kinds:
                kinds = listed(kind for kind in Kind if kind.lower() in declared.kinds)
                document.add(at, f"{source} serves {kinds}, and this profile is {profile.kind}; choose another source")

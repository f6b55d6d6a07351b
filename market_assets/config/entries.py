"""The file as it is written: each part valid by itself, nothing inherited yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
)

from market_assets.config.calendar_changes import CalendarChange
from market_assets.config.kinds import PRESETS, Kind, PriceRules
from market_assets.config.research import FeaturesEntry, MarketsSettings, ReturnSettings
from market_assets.config.services import (
    AlertSettings,
    ExportSettings,
    ProfileRetention,
    RetentionSettings,
    ServeSettings,
)
from market_assets.config.settings import (
    AgreementSettings,
    CheckSettings,
    EvidenceSettings,
    PartitionSettings,
    RepairSettings,
    StreamSettings,
    Timeframes,
    UpdateSettings,
)
from market_assets.config.values import Day, Model, empty_if_none, text
from market_assets.config.yaml_file import Document, Place, add_faults, nearest
from market_assets.market.calendars.sessions import calendar_names, has_calendar
from market_assets.words import hint, listed

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def _known_calendar(name: str) -> str:
    if name in PRESETS.values():
        return name
    # The calendar libraries take a second to import: only a file that goes beyond the presets pays
    # for it, and only once.
    if not has_calendar(name):
        names = calendar_names()
        raise ValueError(
            f"{name} is no calendar{hint(name, names)} "
            "Any name of exchange_calendars or pandas_market_calendars will do; "
            f"the presets are {listed(PRESETS.values())}"
        )
    return name


def _one_source(value: object) -> object:
    return {value: ""} if isinstance(value, str) else value


def _known_source(choice: dict[str, str], info: ValidationInfo) -> tuple[str, str]:
    if len(choice) != 1:
        raise ValueError(
            "each item names one source: `- binance`, or `- binance: its own name for the symbol`"
        )
    (source, own_name), sources = *choice.items(), info.context
    if sources and source not in sources:
        raise ValueError(
            f"{source} is no source of this file{hint(source, sources)} It has {listed(sources)}"
        )
    return source, own_name


Choice = Annotated[
    dict[str, Annotated[str, PlainValidator(text)]],
    BeforeValidator(_one_source),
    AfterValidator(_known_source),
]
"""A source and, where it has another one, its own name for the symbol (empty if not)."""


def _no_list(value: object) -> object:
    if isinstance(value, list):
        raise ValueError(  # noqa: TRY004 - pydantic's
            "must not be a list: write each symbol as a key, such as `BTCUSDT: {}`"
        )
    return empty_if_none(value)


class SymbolEntry(Model):
    """One symbol of a profile; `{}` is all defaults.

    Attributes:
        start: Its first day (UTC); the profile's by default.
        end: The first day that is no longer kept (UTC); the profile's by default.
        sources: Its own sources, in order of preference, each with the source's own name for it
            where that is another one: `sources: [{binance: ETHUSDT}, {archive: eth}]`.
        mix_venues: As in a profile; the profile's by default.
        actions: Whom to ask for its splits and dividends; the profile's by default.
    """

    start: Day | None = None
    end: Day | None = None
    sources: tuple[Choice, ...] = ()
    mix_venues: bool | None = None
    actions: tuple[Choice, ...] = ()


class Rules(Model):
    """What the file says for all profiles, and a profile says for itself, key by key.

    `calendar_changes` is not one of these: the file has it by calendar.

    Attributes:
        repair: When and how hard gaps are repaired.
        evidence: When an absence is explained.
        update: How the newest candles are kept.
        agreement: How sources are compared.
        features: Which features, over how many bars; a full set by default.
        returns: What is asked of aligned returns.
    """

    repair: RepairSettings = RepairSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    update: UpdateSettings = UpdateSettings()
    agreement: AgreementSettings = AgreementSettings()
    features: FeaturesEntry = FeaturesEntry()
    returns: ReturnSettings = ReturnSettings()


class ProfileEntry(Rules):
    """A group of symbols that share calendar, timeframes and rules.

    Its name becomes an asset key prefix, an asset group and a DuckDB schema.

    Attributes:
        kind: CRYPTO, EQUITY, FUTURES or FOREX; presets the calendar and the price rules. Required.
        calendar: Any name of exchange_calendars or pandas_market_calendars, or a preset: `24/7`,
            `XNYS`, `CME Globex Equity`, `FOREX`. By default the one of the kind.
        start: The first day (UTC). Required.
        end: The first day that is no longer kept (UTC); without it the profile goes on.
        timeframes: Of 1m 5m 15m 30m 1h 4h 1d 1w, which ones are fetched and which ones are made.
        sources: The sources in order of preference. The next one is asked for the bars that the one
            before failed to give.
        mix_venues: True lets sources of another venue fill.
        actions: Whom to ask for splits and dividends, in order of preference; for EQUITY that keeps
            1d.
        symbols: The symbols by name.
        prices: What a price may be, where the preset of the kind is not right.
        checks: How strictly candles are judged.
        partitions: How long a partition is.
        stream: Whether and how its candles are streamed.
        retention: How long its candles, and what is made of them, are kept; over that at the top.
        calendar_changes: What is known better of the calendar, by date and with a reason.
    """

    KEYS: ClassVar = """
        kind calendar start end timeframes sources mix_venues actions symbols prices checks
        repair evidence update stream agreement partitions features returns retention
        calendar_changes
    """

    kind: Kind | None = None
    calendar: Annotated[str, AfterValidator(_known_calendar)] | None = None
    start: Day | None = None
    end: Day | None = None
    timeframes: Timeframes = Timeframes()
    sources: tuple[Choice, ...] = ()
    mix_venues: bool = False
    actions: tuple[Choice, ...] = ()
    symbols: Annotated[dict[str, SymbolEntry], BeforeValidator(_no_list)] = Field(
        default_factory=dict
    )
    prices: PriceRules = PriceRules()
    checks: CheckSettings = CheckSettings()
    partitions: PartitionSettings = PartitionSettings()
    stream: StreamSettings = StreamSettings()
    retention: ProfileRetention = ProfileRetention()
    calendar_changes: tuple[CalendarChange, ...] = ()


class Entries(Rules):
    """The file as it is written, each part valid by itself.

    Nothing is inherited yet, and nothing is required.

    Attributes:
        sources: The settings of each source, by a name of your choice; its `type` is that name
            unless it says otherwise.
        profiles: What is kept, by name.
        markets: One matrix of returns across profiles.
        alerts: Who is told of troubles, and when.
        export: Switches the lake of Parquet files on; `{}` is all defaults.
        retention: How long bookkeeping is kept, and the data of all profiles.
        limits: A Redis or PostgreSQL server on which all machines that use it keep one limit for
            each vendor's address and key: `redis://user:password@host:6379/0` or
            `postgresql://...`, best as `${LIMITS_URL}`. It needs the extra `redis` or `postgres`.
            Without it the processes of one home folder share a file.
        serve: How other programs are answered over HTTP.
        calendar_changes: What is known better of a calendar, by calendar; for all profiles that
            have it.
    """

    KEYS: ClassVar = """
        sources profiles repair evidence update features returns markets agreement alerts export
        retention limits serve calendar_changes
    """

    sources: Annotated[
        dict[str, Annotated[dict[str, object], BeforeValidator(empty_if_none)]],
        BeforeValidator(empty_if_none),
    ] = Field(default_factory=dict)
    profiles: Annotated[dict[str, ProfileEntry], BeforeValidator(empty_if_none)] = Field(
        default_factory=dict
    )
    markets: MarketsSettings = MarketsSettings()
    alerts: AlertSettings = AlertSettings()
    export: Annotated[ExportSettings | None, BeforeValidator(empty_if_none)] = None
    retention: RetentionSettings = RetentionSettings()
    limits: Annotated[str, PlainValidator(text)] | None = None
    serve: ServeSettings = ServeSettings()
    calendar_changes: Annotated[
        dict[Annotated[str, AfterValidator(_known_calendar)], tuple[CalendarChange, ...]],
        BeforeValidator(empty_if_none),
    ] = Field(default_factory=dict)

    def changes_of(self, profile: ProfileEntry) -> tuple[CalendarChange, ...]:
        """What is known better of a profile's calendar.

        Returns:
            The changes for all profiles that have the calendar, then those for this profile alone.
        """
        calendar = profile.calendar or (profile.kind.calendar if profile.kind else "")
        return (*self.calendar_changes.get(calendar, ()), *profile.calendar_changes)


def read_entries(document: Document) -> Entries:
    """The parts of the document that are valid by themselves.

    What is not becomes problems of the document and is left out.
    """
    data = document.data
    if not isinstance(data, dict):
        if not document.faulty(()):
            what = "is empty" if data is None else "must be a mapping"
            document.add(
                (), f"{what}: write `sources:` and `profiles:`, as the packaged universe.yaml does"
            )
        return Entries()
    named = data.get("sources")
    sources = list(named) if isinstance(named, dict) else []
    faults = _faults(data, sources)
    add_faults(document, (), faults, Entries)
    while faults:
        # What is left out may leave something incomplete behind, a list too short perhaps: that
        # goes too, unmentioned.
        data = _without(data, {nearest(data, fault["loc"]) for fault in faults})
        faults = _faults(data, sources)
    return Entries.model_validate(data, context=sources)


def _faults(data: dict[str, object], sources: list[str]) -> list[ErrorDetails]:
    try:
        Entries.model_validate(data, context=sources)
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


# It gives back what it is given, cut.
def _without(value: Any, places: set[Place], at: Place = ()) -> Any:  # noqa: ANN401
    """The data without what stands at the places."""
    if isinstance(value, dict):
        kept = {key: (*at, key) for key in value if (*at, key) not in places}
        return {key: _without(value[key], places, place) for key, place in kept.items()}
    if isinstance(value, list):
        return [
            _without(item, places, (*at, index))
            for index, item in enumerate(value)
            if (*at, index) not in places
        ]
    return value

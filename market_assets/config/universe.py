"""The universe, resolved: nothing is left to inherit.

Each symbol knows its dates and its sources, each profile its calendar and rules.
"""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import (
    Field,
    SkipValidation,
)

from market_assets.config.calendar_changes import CalendarChange
from market_assets.config.kinds import Kind, PriceRules
from market_assets.config.research import Basis, FeaturesEntry, MarketsSettings, ReturnSettings
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
from market_assets.config.values import Model
from market_assets.market.datasets import Dataset, Family
from market_assets.market.timeframes import Timeframe, Window, midnight
from market_assets.secrets import redact

if TYPE_CHECKING:
    from market_assets.market.calendars.changes import Change


class SourceSymbol(Model):
    """A source that is asked for a symbol, and the source's own name for it."""

    source: str
    symbol: SkipValidation[str]


class Symbol(Model):
    """One instrument of a profile, kept from 00:00 UTC of `start` to 00:00 UTC of `end`.

    Attributes:
        name: What the universe calls it.
        start: Its first day.
        end: The day after its last, if there is one.
        sources: The sources to ask for its candles, in order of preference.
        compared: Sources of another venue: they give no candles, but what they have can be compared
            with what is stored.
        apart: Why these give none, and what would let them, as the end of a sentence; empty where
            there are none.
        venues: Whose prices its sources give, by source, where that is known.
        actions: The sources to ask for its corporate actions, in order of preference.
    """

    name: str
    start: date
    end: date | None
    sources: tuple[SourceSymbol, ...]
    compared: tuple[SourceSymbol, ...] = ()
    apart: str = ""
    venues: dict[str, str] = Field(default_factory=dict)
    actions: tuple[SourceSymbol, ...] = ()

    @property
    def choices(self) -> tuple[SourceSymbol, ...]:
        """All its sources: those that give its candles, then those that are only compared."""
        return (*self.sources, *self.compared)

    def is_one_venue(self, source: str, other: str) -> bool:
        """Whether nothing says that two of its sources are different venues."""
        return len({self.venues[name] for name in (source, other) if name in self.venues}) < 2

    def window(self, now: datetime) -> Window:
        """The stretch of time up to `now` in which its candles are kept; empty before it starts."""
        return _window(self.start, self.end, now)


class Profile(Model):
    """A group of symbols that share calendar, timeframes and rules.

    Its name is an asset key prefix and a DuckDB schema.
    """

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
    stream: StreamSettings
    agreement: AgreementSettings
    partitions: PartitionSettings
    features: FeaturesEntry
    returns: ReturnSettings
    retention: ProfileRetention = ProfileRetention()
    calendar_changes: tuple[CalendarChange, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """What is known better of the calendar, as calendars take it."""
        return tuple(entry.change for entry in self.calendar_changes)

    @property
    def compares(self) -> bool:
        """Whether some partitions are compared with another source."""
        return self.agreement.sample > 0 and any(
            len(symbol.choices) > 1 for symbol in self.symbols.values()
        )

    @property
    def has_actions(self) -> bool:
        """Whether corporate actions are kept; then each symbol has a source of them."""
        return any(symbol.actions for symbol in self.symbols.values())

    def basis_of(self, settings: FeaturesEntry | ReturnSettings) -> Basis:
        """The prices that returns or features are made on.

        A profile without corporate actions has raw ones alone.
        """
        if not self.has_actions:
            return Basis.RAW
        return settings.basis or Basis.ADJUSTED

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """All that it keeps: candles, fetched and derived, then features, then returns."""
        frames = self.timeframes
        kept = {
            Family.CANDLES: frames.kept,
            Family.FEATURES: frames.features,
            Family.RETURNS: frames.returns,
        }
        return tuple(
            Dataset(self.name, family, timeframe)
            for family, timeframes in kept.items()
            for timeframe in timeframes
        )

    def candles(self, timeframe: Timeframe) -> Dataset:
        """Its candles of a timeframe."""
        return Dataset.candles(self.name, timeframe)

    @property
    def base_timeframe(self) -> Timeframe:
        """The shortest fetched timeframe."""
        return self.timeframes.fetch[0]

    def window(self, now: datetime) -> Window:
        """From 00:00 UTC of the first day to 00:00 UTC of `end`, or to `now` while that is earlier.

        It is empty before the profile starts.
        """
        return _window(self.start, self.end, now)

    def input_of(self, timeframe: Timeframe) -> Timeframe:
        """The timeframe that a derived one is made of.

        Weeks are made of days, everything else of the shortest fetched timeframe.

        Raises:
            ValueError: The profile does not derive that timeframe.
        """
        if timeframe not in self.timeframes.derive:
            raise ValueError(f"profile {self.name} does not derive {timeframe}")
        return Timeframe.D1 if timeframe is Timeframe.W1 else self.base_timeframe


def _window(start: date, end: date | None, now: datetime) -> Window:
    first = midnight(start)
    return Window(first, max(first, now if end is None else min(midnight(end), now)))


class Universe(Model):
    """Everything that is to be kept.

    Attributes:
        path: The file that it was read from; the paths in a source's settings are relative to its
            folder.
        sources: The settings of each source, secrets filled in: shown with their `${NAME}` and left
            out of dumps.
        profiles: By name, in the order of the file.
        alerts: Who gets a message about troubles.
        markets: The matrix of returns across profiles.
        export: What is kept as Parquet files besides; None where nothing is.
        retention: How long bookkeeping is kept; each profile has how long its data are.
        limits: The server that the sources' limits are kept on for all machines that use it;
            neither shown nor dumped. Without one, a file is used by the processes of this one.
        serve: How other programs are answered over HTTP.
        secrets: The `${NAME}` that each filled-in value stands for; neither shown nor dumped.
        variables: The environment variables that the file takes values from, sorted.
    """

    path: Path
    sources: dict[str, dict[str, object]] = Field(exclude=True)
    profiles: dict[str, Profile]
    alerts: AlertSettings
    markets: MarketsSettings = MarketsSettings()
    export: ExportSettings | None = None
    retention: RetentionSettings = RetentionSettings()
    limits: SkipValidation[str] | None = Field(default=None, exclude=True, repr=False)
    serve: ServeSettings = ServeSettings()
    secrets: dict[str, str] = Field(exclude=True, repr=False)
    variables: tuple[str, ...] = ()

    @property
    def matrices(self) -> tuple[Dataset, ...]:
        """The matrices of returns across profiles."""
        markets = self.markets
        return tuple(Dataset.returns(markets.name, timeframe) for timeframe in markets.timeframes)

    def in_markets(self, timeframe: Timeframe) -> list[Profile]:
        """The profiles whose symbols are in the matrix of returns across profiles."""
        names = self.markets.profiles or self.profiles
        return [
            self.profiles[name]
            for name in names
            if timeframe in self.profiles[name].timeframes.kept
        ]

    def redact(self, text: str) -> str:
        """The text with every secret of the universe replaced by its `${NAME}`.

        For logs, errors and metadata.
        """
        return redact(text, self.secrets)

"""The keys of an archive in a universe, and what each may be."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from market_assets.sources.contract import SourceSettings
from market_assets.sources.files.clocks import Clock, clock_of
from market_assets.sources.files.layouts import LAYOUTS, ColumnName, LayoutName, layout_named
from market_assets.sources.files.reading import MOST
from market_assets.sources.files.stamps import Stamps  # noqa: TC001 - a field has it

_PLACEHOLDERS = frozenset({"profile", "symbol", "timeframe", "minutes", "date"})
_TEXTS = (
    *(text + pack for text in (".csv", ".txt", ".tsv") for pack in ("", ".gz", ".bz2", ".xz")),
    ".zip",
)
_FORMATS = (".parquet", *_TEXTS)


def _zone(name: str) -> str:
    clock_of(name)
    return name


def _offset(value: object) -> object:
    """An offset such as +10:30.

    YAML takes it for a number of sixties where it stands without quotes.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{'-' if value < 0 else '+'}{abs(value) // 60:02}:{abs(value) % 60:02}"
    return value


def _path(text: str) -> str:
    unknown = set(re.findall(r"\{(\w*)\}", text)) - _PLACEHOLDERS
    if unknown:
        raise ValueError(
            f"{', '.join(sorted(unknown))} cannot stand in braces; "
            f"{', '.join(sorted(_PLACEHOLDERS))} can"
        )
    if not text.lower().endswith(_FORMATS):
        raise ValueError(f"must end in one of {', '.join(_FORMATS)}")
    return text


def _encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError as error:
        raise ValueError(f"{name!r} is no encoding, like utf-8, utf-16 or cp1252") from error
    return name


class ArchiveSettings(SourceSettings):
    """The keys of an `archive` source.

    Attributes:
        path: Where the files are, relative to the universe file; `*`, `?` and `**` may stand in it,
            and `{profile}` (the kind in lower case), `{symbol}` (the source's own name),
            `{timeframe}`, `{minutes}` (its length) and `{date}` (any text). Ends in .parquet, .csv,
            .txt or .tsv, these also with .gz, .bz2 or .xz, or .zip.
        layout: Whose files they are: presets for the other keys, each of which may be set
            otherwise.
        columns: The file's name, or place from 0, of each of our columns; what is not named is
            called as we call it, or in a file without a header stands in the order ts, open, high,
            low, close, volume. `date` and `time` in place of `ts` where they stand apart; `a + b`
            is the sum of two columns. A `symbol` makes a file of many symbols: only the rows with
            the source's own name are taken. A volume that is neither named nor there is null; so
            are `quote_volume`, `trades`, `taker_buy_volume` and `vwap`.
        header: False for text without a line of names; where a file has one all the same, it is
            left out.
        separator: What stands between two cells; found by itself.
        encoding: How letters are written; found by itself for UTF-8, UTF-16 and Latin-1.
        decimal: What stands before a fraction, `.` or `,`; found by itself where the numbers leave
            no doubt.
        timezone: The zone of stamps that do not say theirs. In the hour that a change of clocks
            repeats, the order of the file says which is meant; where it does not, those rows are
            refused.
        clock: The same for a clock that no zone has: `New York + 7h`, `-03:30`.
        format: The stamps' format, as chrono's strftime has it; that of a date alone, such as
            `%m/%d/%Y`, says the order of its parts. Without it numbers are counts since 1970 (s,
            ms, us or ns by their size), or dates such as 20240311, and text is read by its shape;
            dates that can be read two ways are refused.
        stamps: open, or close where bars bear the time they end at. Of days: open where a stamp is
            the time at which the session opens, close where it closes, session where its date is
            the session's. Without it stamps are opens and dates are dates, and a file that fits
            another reading better is refused.
        quiet_minutes: omitted where a bar without a trade is left out, so that its absence says
            that nothing traded.
        price_scale: What prices are multiplied by, 1e-9 for whole billionths. A scale of a
            millionth or less applies to whole numbers only.
        null_volume: The volume that stands for none, such as -1.
        open_outside_range: An open may lie outside high and low, as where it is the close before.
        max_file: Bytes that a file may have, unpacked. A Parquet file, whose rows are read one
            window at a time, is refused only where it has more rows than its bytes can hold.
        concurrency: Windows read at once.
    """

    path: Annotated[str, AfterValidator(_path)]
    layout: Annotated[LayoutName | None, BeforeValidator(layout_named)] = None
    columns: dict[ColumnName, str | NonNegativeInt] = Field(default_factory=dict)
    header: bool = True
    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    encoding: Annotated[str, AfterValidator(_encoding)] | None = None
    decimal: Literal[".", ","] | None = None
    timezone: Annotated[str, BeforeValidator(_offset), AfterValidator(_zone)] = "UTC"
    clock: Annotated[str, BeforeValidator(_offset), AfterValidator(_zone)] | None = None
    format: str | None = None
    stamps: Stamps | None = None
    quiet_minutes: Literal["present", "omitted"] = "present"
    price_scale: PositiveFloat | None = None
    null_volume: float | None = None
    open_outside_range: bool = False
    max_file: ByteSize = ByteSize(MOST)
    concurrency: PositiveInt = 4

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, given: object) -> object:
        layout = (
            LAYOUTS.get(str(layout_named(given.get("layout"))))
            if isinstance(given, Mapping)
            else None
        )
        if layout is None or not isinstance(given, Mapping):
            return given
        preset = dict(layout.settings)
        if given.keys() & {"timezone", "clock"}:
            preset = {
                key: value for key, value in preset.items() if key not in {"timezone", "clock"}
            }
        return {**preset, **given}

    @model_validator(mode="after")
    def _symbol_is_somewhere(self) -> Self:
        if "{symbol}" not in self.path and not self.names_symbols:
            raise ValueError(
                "path has no {symbol}: name the column that holds it (columns: {symbol: ...})"
            )
        if (
            self.layout is None
            and not self.header
            and any(isinstance(place, str) for place in self.columns.values())
        ):
            raise ValueError("columns of a file without a header are given by place, from 0")
        if self.clock is not None and "timezone" in self.model_fields_set:
            raise ValueError("clock and timezone say the same: set one of them")
        if "time" in self.columns and "date" not in self.columns:
            raise ValueError(
                "a column of times needs one of dates: columns: {date: ..., time: ...}"
            )
        return self

    @property
    def names_symbols(self) -> bool:
        """Whether a column of the files says whose bars they are."""
        preset = LAYOUTS[self.layout].names if self.layout else {}
        return "symbol" in self.columns or ("symbol" in preset and "{symbol}" not in self.path)

    @property
    def wall_clock(self) -> Clock:
        """The clock of stamps that do not say theirs."""
        return clock_of(self.clock or self.timezone)

    @property
    def names_clock(self) -> bool:
        """Whether the universe says which clock that is."""
        return bool({"clock", "timezone"} & self.model_fields_set)

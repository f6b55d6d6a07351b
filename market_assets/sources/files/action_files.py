"""Corporate actions from local files, CSV or Parquet.

One file has all symbols, or one each; a line stands for an action or for a day.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import polars as pl
from pydantic import AfterValidator, ByteSize, Field, model_validator

from market_assets.errors import SourceError
from market_assets.imports import late_imports
from market_assets.sources.actions import ACTION_SCHEMA, ActionKind, tidy
from market_assets.sources.contract import SourceSettings, Traits, Usage
from market_assets.sources.files.reading import BROKEN, MOST, check_parquet, read_csv

with late_imports():
    import asyncio

if TYPE_CHECKING:
    from datetime import date, datetime
    from pathlib import Path
    from types import TracebackType

    from market_assets.market.timeframes import Timeframe, Window

_FORMATS = (".csv", ".csv.gz", ".parquet")
_EMPTY = ("", "-", "nan", "NaN", "null", "None")

ColumnName = Literal["symbol", "ex_date", "kind", "ratio", "amount", "currency", "detail"]


def _path(text: str) -> str:
    if unknown := set(re.findall(r"\{(\w*)\}", text)) - {"symbol"}:
        raise ValueError(f"{', '.join(sorted(unknown))} cannot stand in braces; symbol can")
    if not text.endswith(_FORMATS):
        raise ValueError(f"must end in one of {', '.join(_FORMATS)}")
    return text


class ActionFilesSettings(SourceSettings):
    """The keys of an `action_files` source.

    Attributes:
        path: Where the files are, relative to the universe file; `{symbol}` is the source's own
            name. Ends in .csv, .csv.gz or .parquet.
        columns: What the files call our columns: symbol, ex_date, kind, ratio, amount, currency,
            detail; what is not named is called as we call it. Without a column of kinds, a line is
            a split where it has a ratio and a dividend where it has an amount, as in Yahoo's tables
            with one line per day: `{ex_date: Date, ratio: Stock Splits, amount: Dividends}`.
        format: How dates are written, as chrono's strftime has it; without it ISO, and a time
            behind the date is left out.
        amounts: split_adjusted where dividends are divided by every split since, as Yahoo's are;
            as_paid where they are what was paid.
        currency: Of dividends whose line names none.
        max_file: Bytes that a file may have, unpacked.
    """

    path: Annotated[str, AfterValidator(_path)]
    columns: dict[ColumnName, str] = Field(default_factory=dict)
    format: str | None = None
    amounts: Literal["as_paid", "split_adjusted"] = "as_paid"
    currency: str | None = None
    max_file: ByteSize = ByteSize(MOST)

    @model_validator(mode="after")
    def _symbol_is_somewhere(self) -> Self:
        if "{symbol}" not in self.path and "symbol" not in self.columns:
            raise ValueError(
                "path has no {symbol}: name the column that holds it (columns: {symbol: ...})"
            )
        return self


class ActionFilesSource:
    """Corporate actions of local files, which are read whole each time that they are asked for.

    There are no candles in them.
    """

    Settings: ClassVar[type[SourceSettings]] = ActionFilesSettings
    traits = Traits(
        timeframes=frozenset(),
        page_size=1,
        emits_empty_bars=True,
        earliest_probe=False,
        kinds=frozenset({"equity"}),
    )

    def __init__(
        self,
        name: str,
        settings: ActionFilesSettings,
        *,
        base: Path,
        kind: str,  # noqa: ARG002 - the protocol's argument
    ) -> None:
        self.name = name
        self.usage = Usage()
        self.concurrency = 1
        self._settings = settings
        self._base = base

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def fetch(
        self,
        symbol: str,  # noqa: ARG002
        timeframe: Timeframe,  # noqa: ARG002
        start: datetime,  # noqa: ARG002
        end: datetime,  # noqa: ARG002
    ) -> pl.DataFrame:
        """Refuse: see `Source.fetch`."""
        raise SourceError(
            f"source {self.name}: it has no candles, only corporate actions", permanent=True
        )

    # The protocol's arguments.
    async def earliest(self, symbol: str, timeframe: Timeframe) -> datetime | None:  # noqa: ARG002
        """Say nothing: see `Source.earliest`."""
        return None

    # The protocol's arguments.
    def answers_for(self, symbol: str, timeframe: Timeframe) -> Window | None:  # noqa: ARG002
        """Say nothing: see `Source.answers_for`."""
        return None

    async def actions(self, symbol: str, start: date, end: date) -> pl.DataFrame:
        """Give the actions of a symbol in its file: see `ActionSource.actions`."""
        return await asyncio.to_thread(self._actions, symbol, start, end)

    def _actions(self, symbol: str, start: date, end: date) -> pl.DataFrame:
        path = self._base / self._settings.path.replace("{symbol}", symbol)
        about = f"source {self.name}: {symbol} in {path}"
        self.usage.requests += 1
        try:
            if path.suffix == ".parquet":
                check_parquet(path, most=self._settings.max_file)
                table = pl.read_parquet(path, glob=False)
            else:
                table = read_csv(path, most=self._settings.max_file)
            self.usage.bytes += path.stat().st_size
            rows = self._understand(table, symbol, about)
        except BROKEN as error:
            reason = " ".join(str(error)[:2_000].split())[:200]
            raise SourceError(
                f"{about}: it cannot be read: {reason}. Correct the path, or the file",
                permanent=True,
            ) from error
        return tidy(
            rows, start, end, about=about, divided=self._settings.amounts == "split_adjusted"
        )

    def _understand(self, table: pl.DataFrame, symbol: str, about: str) -> pl.DataFrame:
        settings = self._settings
        names = {
            column: settings.columns.get(column, column) for column in ("symbol", *ACTION_SCHEMA)
        }
        needed = {names["ex_date"], *settings.columns.values()} - set(table.columns)
        if needed or not {names["ratio"], names["amount"], names["kind"]} & set(table.columns):
            wanted = ", ".join(sorted(needed or {names["ratio"], names["amount"]}))
            raise SourceError(
                f"{about}: there is no column {wanted}; it has {', '.join(table.columns)}. "
                "Name the right ones under columns",
                permanent=True,
            )
        if names["symbol"] in table.columns:
            table = table.filter(pl.col(names["symbol"]).cast(pl.String) == symbol)
        given = table.select(
            (
                pl.col(name).cast(pl.String).str.strip_chars()
                if name in table.columns
                else pl.lit(None, pl.String)
            ).alias(column)
            for column, name in names.items()
            if column != "symbol"
        ).with_columns(pl.when(~pl.all().is_in(_EMPTY)).then(pl.all()))
        read = given.with_columns(
            ex_date=_dates(pl.col("ex_date"), settings.format),
            kind=pl.col("kind").str.to_lowercase(),
            ratio=_ratios(pl.col("ratio")),
            amount=pl.col("amount").cast(pl.Float64, strict=False),
        )
        for column in ("ratio", "amount"):
            wrong = given.filter(given[column].is_not_null() & read[column].is_null())
            if not wrong.is_empty():
                raise SourceError(
                    f"{about}: {wrong[column][0]!r} is no {column}. Correct the file",
                    permanent=True,
                )
        currency = pl.col("currency").fill_null(pl.lit(settings.currency, pl.String))
        if names["kind"] in table.columns:
            kinds = [read]
        else:
            kinds = [
                read.filter(pl.col(number).is_not_null()).with_columns(
                    pl.lit(None, pl.Float64).alias(other), kind=pl.lit(kind.value)
                )
                for kind, number, other in (
                    (ActionKind.SPLIT, "ratio", "amount"),
                    (ActionKind.DIVIDEND, "amount", "ratio"),
                )
            ]
        dividend = pl.col("kind") == ActionKind.DIVIDEND
        return (
            pl.concat(kinds)
            .with_columns(currency=pl.when(dividend).then(currency))
            .select(ACTION_SCHEMA.names())
        )


def _dates(text: pl.Expr, form: str | None) -> pl.Expr:
    if form is not None:
        return text.str.to_date(form, strict=False)
    return text.str.head(10).str.to_date("%Y-%m-%d", strict=False)


def _ratios(text: pl.Expr) -> pl.Expr:
    """Numbers, and words like `4:1`, `3/2` or `7-for-1`: new shares for old ones."""
    parts = text.str.to_lowercase().str.extract_groups(
        r"^([\d.]+)\s*(?::|/|[\s-]*for[\s-]*)\s*([\d.]+)$"
    )
    new, old = (parts.struct.field(place).cast(pl.Float64, strict=False) for place in ("1", "2"))
    return pl.coalesce(text.cast(pl.Float64, strict=False), new / old)

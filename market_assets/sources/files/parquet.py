"""Parquet files of one symbol whose times need no thought: read a window at a time.

Any other file is read whole: see `contents`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.timeframes import TS, Timeframe
from market_assets.sources.contract import epoch_to_us
from market_assets.sources.files.headings import Headings, name_at
from market_assets.sources.files.layouts import EXTRA_COLUMNS, PRICES
from market_assets.sources.files.numbers import whole
from market_assets.sources.files.opens import opens_of
from market_assets.sources.files.paths import File, unreadable
from market_assets.sources.files.reading import BROKEN, check_parquet
from market_assets.sources.files.stamps import WALLS, StampError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from market_assets.market.calendars.sessions import SessionCalendar
    from market_assets.sources.files.layouts import ColumnName
    from market_assets.sources.files.settings import ArchiveSettings


class ParquetReader:
    """Reads windows of Parquet files.

    A file is looked at once, as long as it does not change.

    Args:
        name: The source's, for messages.
        settings: Its settings.
        headings: Finds its columns.
    """

    def __init__(self, name: str, settings: ArchiveSettings, headings: Headings) -> None:
        self._name = name
        self._settings = settings
        self._headings = headings
        self._clock = settings.wall_clock
        self.check = lru_cache(maxsize=None)(self._check)
        self.can_read = lru_cache(maxsize=None)(self._can_read)
        self._count = lru_cache(maxsize=None)(self._count_symbols)

    def candles(self, file: File, timeframe: Timeframe) -> pl.LazyFrame | None:
        """A file's candles, unread; None where it has to be read whole.

        Raises:
            SourceError: It cannot be read.
        """
        settings = self._settings
        if (
            file.path.suffix.lower() != ".parquet"
            or settings.names_symbols
            or settings.format
            or not timeframe.intraday
        ):
            return None
        if settings.price_scale or settings.null_volume is not None or "date" in settings.columns:
            return None
        try:
            self.check(file)
            raw = pl.scan_parquet(file.path, glob=False)
            schema = raw.collect_schema()
        except BROKEN as error:
            raise unreadable(self._name, file.path, error) from error
        places = self._headings.places(file.path, schema.names(), has_header=True)
        names = {column: name_at(schema.names(), place) for column, place in places.items()}
        if "ts" not in names or any(
            name is not None and name not in schema for name in names.values()
        ):
            return None
        ts = names["ts"] or ""
        whose = self._headings.names_whose(schema.names())
        is_plain = all(
            schema[name or ""] == pl.Float64 for column, name in names.items() if column in PRICES
        )
        if not is_plain or (whose is not None and self._count(file, whose) > 1):
            return None
        opens = self._opens(file, raw, ts, schema[ts])
        if opens is None:
            return None
        if settings.stamps == "close":
            opens = opens - timeframe.duration
        return _selected(raw, names, opens)

    def read(self, file: File, rows: pl.LazyFrame) -> pl.DataFrame:
        """Read what was chosen of a file.

        Raises:
            SourceError: It cannot be read.
        """
        try:
            return rows.collect()
        except BROKEN as error:
            raise unreadable(self._name, file.path, error) from error

    def require_fit(
        self, file: File, opens: pl.Series, timeframe: Timeframe, calendar: SessionCalendar
    ) -> None:
        """See whether opens that were taken as they stand fit another reading better.

        Raises:
            SourceError: They do; it names the setting.
        """
        if self._settings.stamps is not None:
            return
        none = pl.repeat(None, len(opens), dtype=pl.Int64, eager=True)
        zoned = not self._is_naive(file)
        walls = pl.DataFrame(
            {
                "wall": opens,
                "offset": pl.repeat(0, len(opens), eager=True) if zoned else none,
                # What is repeated.
                "dated": pl.repeat(False, len(opens), eager=True),  # noqa: FBT003
                "instant": opens if zoned else none,
                "eve": pl.repeat(False, len(opens), eager=True),  # noqa: FBT003 - what is repeated
            }
        )
        try:
            opens_of(
                walls.cast(WALLS),
                timeframe,
                clock=self._clock,
                meaning=None,
                calendar=calendar,
                clock_is_given=self._settings.names_clock,
            )
        except StampError as error:
            raise unreadable(self._name, file.path, error) from error

    def _can_read(self, file: File, timeframe: Timeframe) -> bool:
        return self.candles(file, timeframe) is not None

    def _is_naive(self, file: File) -> bool:
        """Whether the times of a Parquet file say no zone."""
        schema = pl.scan_parquet(file.path, glob=False).collect_schema()
        kind = schema[
            name_at(
                schema.names(),
                self._headings.places(file.path, schema.names(), has_header=True)["ts"],
            )
            or ""
        ]
        return isinstance(kind, pl.Datetime) and kind.time_zone is None

    def _opens(self, file: File, raw: pl.LazyFrame, ts: str, kind: pl.DataType) -> pl.Expr | None:
        """The instants of a column of stamps whose type says all; None for another one."""
        stamp = pl.col(ts)
        if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
            return stamp.dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(TS)
        if isinstance(kind, pl.Datetime):
            return stamp.cast(TS) if self._clock.is_utc else None
        if kind.is_integer() and not self._is_compact(file, raw, ts):
            return epoch_to_us(stamp)
        return None

    def _is_compact(self, file: File, raw: pl.LazyFrame, ts: str) -> bool:
        """Whether whole numbers may be dates such as 20240311.

        To be sure of it takes a look at all of them.
        """
        first = self.read(file, raw.select(pl.col(ts)).head(1)).to_series()
        text = str(first[0]) if len(first) else ""
        return len(text) in {8, 12, 14} and text[:2] in {"18", "19", "20"}

    def _count_symbols(self, file: File, column: str) -> int:
        """How many symbols a column of a Parquet file names."""
        return whole(
            self.read(
                file, pl.scan_parquet(file.path, glob=False).select(pl.col(column).n_unique())
            ).item()
        )

    def _check(self, file: File) -> None:
        check_parquet(file.path, most=self._settings.max_file)


def _selected(
    raw: pl.LazyFrame, names: Mapping[ColumnName, str | None], opens: pl.Expr
) -> pl.LazyFrame:
    """The columns of candles, out of those that a file has for them."""
    volume = names.get("volume")
    number = pl.lit(None) if volume is None else pl.col(volume)
    return raw.select(
        opens.alias("ts"),
        *(pl.col(names[column] or "").alias(column) for column in PRICES),
        number.cast(pl.Float64, strict=False).alias("volume"),
        *(
            pl.col(names[column] or "").cast(pl.Float64, strict=False).alias(column)
            for column in EXTRA_COLUMNS
            if column in names
        ),
    )

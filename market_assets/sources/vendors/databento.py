"""Candles from Databento, through its client: `timeseries.get_range` of ohlcv-1m.

What is asked for is charged by the vendor.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import polars as pl
from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt

from market_assets.errors import SourceError
from market_assets.imports import late_imports
from market_assets.market.columns import PRICES
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.sources.contract import CANDLE_SCHEMA, SourceSettings, Traits

# Pydantic reads the annotations of DatabentoSettings at runtime.
from market_assets.sources.transport.http import (  # noqa: TC001
    HeaderSecret,
    RateText,
    WebAddress,
)
from market_assets.sources.transport.library import (
    LibrarySettings,
    LibrarySource,
    seconds_in,
    words,
)
from market_assets.sources.transport.refusals import is_of_a_place, passes
from market_assets.words import listed

# An optional package, which imports pandas, and what its client is made of.
with late_imports():
    import aiohttp
    import databento
    import numpy as np
    import requests
    import zstandard

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


_SCHEMA = "ohlcv-1m"
_NO_PRICE = 2**63 - 1
_UNIT = 1e9  # prices are counted in billionths
_KNOWN_FOR = 600.0  # seconds for which the end of a dataset is good enough
_SILENT_FOR = 60.0  # seconds for which one that did not say it is not asked again


def _dataset(text: str) -> str:
    if not text.replace(".", "").isalnum() or text != text.upper():
        raise ValueError("must be a dataset's code, such as GLBX.MDP3")
    return text


class DatabentoSettings(LibrarySettings):
    """The keys of a `databento` source.

    They are those of every HTTP source except `headers` and `timeout`, the key, and what it is a
    key for.

    Attributes:
        key: The API key.
        dataset: Such as GLBX.MDP3 (CME), XNAS.ITCH (Nasdaq) or EQUS.MINI.
        stype_in: raw_symbol for the venue's own names (ESH6), continuous for ES.v.0 and the like,
            whose prices jump where one contract follows another.
    """

    library: ClassVar[str] = "databento"
    extra: ClassVar[str] = "databento"

    base_url: WebAddress = "https://hist.databento.com"
    rate: RateText | None = "20/s"
    concurrency: PositiveInt = 4
    total_timeout: PositiveFloat = 90
    key: HeaderSecret = Field(min_length=1)
    dataset: Annotated[str, AfterValidator(_dataset)]
    stype_in: Literal["raw_symbol", "continuous"] = "raw_symbol"


class DatabentoSource(LibrarySource[DatabentoSettings]):
    """Minutes of one dataset, as they were traded.

    A minute without a trade is left out. Longer bars are made of these: the vendor's hours open at
    the full hour and its days are UTC's, which no session does by rule. It speaks for what the key
    may have of the dataset. A dataset in which several exchanges publish the same instrument gives
    a bar of each: that is an error, as none of them is the market's.
    """

    Settings: ClassVar[type[SourceSettings]] = DatabentoSettings
    exceeds = True
    traits = Traits(
        timeframes=frozenset({Timeframe.M1}),
        page_size=50_000,
        emits_empty_bars=False,
        earliest_probe=False,
        kinds=frozenset({"equity", "futures"}),
        needs_key=True,
    )

    def __init__(self, name: str, settings: DatabentoSettings, *, base: Path, kind: str) -> None:
        super().__init__(name, settings, base=base, kind=kind)
        self._asking = threading.Lock()
        self._reach: Window | SourceError = SourceError("")
        self._reach_until = 0.0

    @staticmethod
    # The arguments that every type is asked with.
    def venue_of(settings: DatabentoSettings, kind: str) -> str:  # noqa: ARG004
        """Name the dataset, and continuous series apart from contracts: see `Source`."""
        return settings.dataset.lower() + (
            "" if settings.stype_in == "raw_symbol" else f"-{settings.stype_in}"
        )

    def request(
        self,
        symbol: str,
        timeframe: Timeframe,  # noqa: ARG002 - there is one length
        window: Window,
    ) -> tuple[str, dict[str, str | int]]:
        """See `PagedSource.request`."""
        return "timeseries.get_range", {
            "dataset": self._settings.dataset,
            "schema": _SCHEMA,
            "stype_in": self._settings.stype_in,
            "symbols": symbol,
            "start": window.start.isoformat(),
            "end": window.end.isoformat(),
        }

    def parse(self, body: bytes) -> pl.DataFrame:
        """See `PagedSource.parse`."""
        return read_dbn(body)

    async def page(self, symbol: str, timeframe: Timeframe, window: Window) -> pl.DataFrame:
        """See `PagedSource.page`."""
        method, params = self.request(symbol, timeframe, window)
        return await self._http.get(
            method,
            params,
            about=f"{symbol} {timeframe} {window}",
            parse=partial(read_dbn, symbol=symbol),
        )

    # A dataset reaches as far for every symbol and timeframe.
    def answers_for(self, symbol: str, timeframe: Timeframe) -> Window:  # noqa: ARG002
        """Give what the key may have of the dataset: see `Source.answers_for`.

        The vendor is asked for it once in ten minutes.

        Raises:
            SourceError: The vendor does not say it; it is asked again after a minute, and not for
                each of many symbols.
        """
        with self._asking:
            if monotonic() >= self._reach_until:
                try:
                    self._reach, known_for = self._range(), _KNOWN_FOR
                except SourceError as error:
                    self._reach, known_for = error, _SILENT_FOR
                self._reach_until = monotonic() + known_for
            if isinstance(self._reach, SourceError):
                raise self._reach
            return self._reach

    def _client(self) -> Any:  # noqa: ANN401 - types of an optional package
        return databento.Historical(self._settings.key.get_secret_value(), self._settings.base_url)

    # There is one thing to ask.
    async def send(self, path: str, params: Mapping[str, str | int]) -> bytes:  # noqa: ARG002
        """See `LibrarySource.send`."""
        store = await self._client().timeseries.get_range_async(**params)
        raw: bytes = store.raw
        return raw

    def explain(self, error: Exception) -> SourceError | None:
        """See `LibrarySource.explain`."""
        return _explain(error)

    def _range(self) -> Window:
        """Ask for the range of the dataset, in a thread of its own.

        The client's patience is 100 s, and longer with a server that drips.
        """
        outcomes: list[Window | Exception] = []
        client = self._client()

        def ask() -> None:
            try:
                answer = client.metadata.get_dataset_range(self._settings.dataset)
                bounds = answer.get("schema", {}).get(_SCHEMA, answer)
                outcomes.append(Window(*(_instant(bounds[name]) for name in ("start", "end"))))
            # The library's own, and what a strange answer leads to.
            except Exception as error:  # noqa: BLE001
                outcomes.append(error)

        about = f"source {self.name}: the range of {self._settings.dataset}"
        self.usage.requests += 1
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(self._settings.total_timeout)
        if not outcomes:
            raise SourceError(f"{about}: no answer after {self._settings.total_timeout:g} s")
        (outcome,) = outcomes
        if isinstance(outcome, Window):
            return outcome
        meant = _explain(outcome) or SourceError(f"the answer is none ({type(outcome).__name__})")
        raise SourceError(
            f"{about}: {self._http.blot(str(meant))}",
            permanent=meant.permanent,
            retry_after=meant.retry_after,
            of_machine=meant.of_machine,
        ) from None  # its own words can hold the key


def _instant(text: str) -> datetime:
    """A time of the vendor, in UTC; it writes nanoseconds, or a date alone."""
    whole, _, _ = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(whole).replace(tzinfo=UTC)


def _explain(error: Exception) -> SourceError | None:
    if isinstance(error, databento.BentoHttpError):
        status = error.http_status
        return SourceError(
            f"HTTP {status}: {words(error.message)}",
            permanent=not passes(status) and not is_of_a_place(status, str(error.message)),
            of_machine=is_of_a_place(status, str(error.message)),
            retry_after=seconds_in(error.headers.get("Retry-After")),
        )
    if isinstance(
        error, aiohttp.ClientError | requests.RequestException | databento.BentoError | OSError
    ):
        return SourceError(f"broken connection: {type(error).__name__}")
    return None


def read_dbn(body: bytes, *, symbol: str | None = None) -> pl.DataFrame:
    """Turn an answer into a frame of CANDLE_SCHEMA, each price the double nearest to its decimal.

    Args:
        body: DBN, compressed by zstd.
        symbol: What was asked for.

    Raises:
        SourceError: It is no such answer, or one about another symbol, or it holds several bars for
            one minute.
    """
    try:
        store = databento.DBNStore.from_bytes(_whole(body))
        rows = store.to_ndarray()
    except Exception as error:  # the library raises what its decoder happens to meet
        raise SourceError(
            f"the answer cannot be read ({type(error).__name__}): {len(body):,} bytes"
        ) from error
    if str(store.schema) != _SCHEMA:
        raise SourceError(f"the answer is of {store.schema}, not of {_SCHEMA}")
    if symbol in store.metadata.not_found:
        raise SourceError(
            "the vendor knows no such symbol in that time; give it a `start` and an `end`",
            permanent=True,
        )
    named = sorted(store.mappings)
    if symbol is not None and named and named != [symbol]:
        raise SourceError(
            f"the answer is about {listed(named)}; see how the vendor writes the symbol"
        )
    if not len(rows):
        return CANDLE_SCHEMA.to_frame()
    if len(publishers := sorted({*rows["publisher_id"].tolist()})) > 1:
        raise SourceError(
            "the answer has bars of several exchanges "
            f"(publishers {listed(map(str, publishers))}); "
            "choose a dataset of one, or a consolidated one",
            permanent=True,
        )
    opens = rows["ts_event"]
    if len({*opens.tolist()}) < len(opens):
        raise SourceError(
            "the answer has several bars for one minute, of different instruments; "
            "name one of them",
            permanent=True,
        )
    # numpy divides; polars would multiply by the reciprocal, and miss the nearest double.
    prices = {
        name: np.where(rows[name] == _NO_PRICE, np.nan, rows[name] / _UNIT) for name in PRICES
    }
    columns = {"ts": opens // 1000, **prices, "volume": rows["volume"]}
    return pl.DataFrame(columns, nan_to_null=True).select(
        pl.col("ts").cast(pl.Int64).cast(TS), *prices, pl.col("volume").cast(pl.Float64)
    )


def _whole(body: bytes) -> bytes:
    """Decompress an answer: the client would take one that was cut off for a shorter one.

    Raises:
        EOFError: It was.
    """
    parts = []
    while body:
        frame = zstandard.ZstdDecompressor().decompressobj()
        parts.append(frame.decompress(body))
        if not frame.eof:
            raise EOFError
        body = frame.unused_data
    return b"".join(parts)

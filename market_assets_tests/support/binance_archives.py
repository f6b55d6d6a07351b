"""Binance as it is asked for archives and over REST, out of real candles."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

import polars as pl

from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets_tests.support import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.market.timeframes import Timeframe, Window
    from market_assets.sources.vendors.binance_archive import BinanceArchiveSource


QUICK = wire.QUICK | {"retries": 1}

HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore\n"
)


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of some files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as pack:
        for name, text in members.items():
            pack.writestr(name, text)
    return buffer.getvalue()


def lines(candles: pl.DataFrame, *, unit: str = "us", header: bool = False) -> bytes:
    """The candles as an archive writes them: twelve cells a line, prices with eight places."""
    cells = [
        pl.col("ts").dt.epoch(unit),
        *(pl.col(name) for name in ("open", "high", "low", "close", "volume")),
        *(
            pl.lit(text).alias(text)
            for text in ("1735689659999999", "1.5", "7", "0.5", "0.25", "0")
        ),
    ]
    return (HEADER if header else "").encode() + candles.select(cells).write_csv(
        include_header=False
    ).encode()


def member(path: str) -> str:
    return path.rpartition("/")[2].replace(".zip", ".csv")


@dataclass
class Vision:
    """Binance as it is asked for archives and over REST; an instance is a handler of the server.

    Attributes:
        files: What it has at which path; a function is called for each request.
        live: What it gives over REST.
        refusal: Status and body of every answer over REST, in place of candles.
        log: The paths asked for, and `rest <first bar> <limit>`.
    """

    live: pl.DataFrame = field(default_factory=CANDLE_SCHEMA.to_frame)
    files: dict[str, bytes | Callable[[], bytes]] = field(default_factory=dict)
    refusal: tuple[int, bytes] | None = None
    log: list[str] = field(default_factory=list)

    def publish(self, path: str, candles: pl.DataFrame, **form: object) -> None:
        self.put(path, packed({member(path): lines(candles, **form)}))

    def put(self, path: str, body: bytes) -> None:
        self.files[path] = body
        self.files[f"{path}.CHECKSUM"] = (
            f"{sha256(body).hexdigest()}  {path.rpartition('/')[2]}\n".encode()
        )

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        url = urlsplit(request.split()[1].decode())
        path = unquote(url.path).lstrip("/")
        if path in {"api/v3/klines", "fapi/v1/klines"}:
            status, body = self.klines(dict(parse_qsl(url.query)))
        else:
            self.log.append(path)
            found = self.files.get(path)
            body = found() if callable(found) else found
            status = 200 if body is not None else 404
            body = body if body is not None else b"<Error><Code>NoSuchKey</Code></Error>"
        writer.write(
            (
                f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            ).encode()
            + body
        )

    def klines(self, query: dict[str, str]) -> tuple[int, bytes]:
        first, limit = int(query["startTime"]), int(query["limit"])
        self.log.append(f"rest {datetime.fromtimestamp(first / 1000, UTC):%Y-%m-%d %H:%M} {limit}")
        if self.refusal is not None:
            return self.refusal
        last = int(query.get("endTime", 10**15))
        rows = self.live.filter(pl.col("ts").dt.epoch("ms").is_between(first, last)).head(limit)
        cells = [
            [ts, *map(str, numbers)]
            for ts, *numbers in rows.with_columns(pl.col("ts").dt.epoch("ms")).rows()
        ]
        return 200, json.dumps(cells).encode()


def real(shared, name: str) -> pl.DataFrame:
    return pl.read_parquet(shared / "data" / "crypto" / f"{name}.parquet").select(
        CANDLE_SCHEMA.names()
    )


def within(candles: pl.DataFrame, window: Window) -> pl.DataFrame:
    return candles.filter(window.holds())


def run(source: BinanceArchiveSource, *questions: tuple[str, Timeframe, Window]) -> pl.DataFrame:
    """Fetch some windows one after another in one run."""

    async def fetch() -> list[pl.DataFrame]:
        async with source:
            return [
                await source.fetch(name, frame, each.start, each.end)
                for name, frame, each in questions
            ]

    return pl.concat(frame.select(CANDLE_SCHEMA.names()) for frame in asyncio.run(fetch()))


def files_in(folder) -> list[str]:
    return [
        path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()
    ]

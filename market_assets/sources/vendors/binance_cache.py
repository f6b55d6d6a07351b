"""Zips of Binance's public archives: downloaded, checked by their sha256, and kept.

What is in one stands in `binance_zip`; which ones a window needs, in `binance_archive`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, defaultdict
from hashlib import sha256
from pathlib import Path, PurePosixPath
from secrets import token_hex
from typing import TYPE_CHECKING, TypeVar

from market_assets.errors import SourceError
from market_assets.sources.files.reading import look
from market_assets.sources.vendors.binance_zip import MOST_TEXT, digest_of, unpack

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from market_assets.sources.transport.http import HttpClient

T = TypeVar("T")

_log = logging.getLogger(__name__)


class DamagedError(SourceError):
    """An archive is published, and is none."""


class ZipCache:
    """The zips of one source, and the candles of those that were needed last.

    A zip is trusted when it has the sha256 in its .CHECKSUM file. It is kept on disk, and the
    small .CHECKSUM is asked for once in the life of a cache: an archive that was replaced is
    downloaded anew by the next one. One that is damaged stays so.

    Args:
        name: The source's, for messages.
        http: Asks the vendor.
        folder: Where zips are kept.
        memory: Bytes of candles that are kept in memory.
    """

    def __init__(self, name: str, http: HttpClient, folder: Path, memory: int) -> None:
        self._name = name
        self._http = http
        self._folder = folder
        self._memory = memory
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._digests: dict[str, str | None] = {}
        self._damaged: dict[str, DamagedError] = {}
        self._kept: OrderedDict[str, pl.DataFrame] = OrderedDict()

    async def candles(self, path: str) -> pl.DataFrame | None:
        """The candles of an archive, None where it is not published.

        Other tasks that need it meanwhile wait.

        Raises:
            DamagedError: It is published, and is none.
            SourceError: It cannot be had.
        """
        async with self._locks[path]:
            if path in self._kept:
                self._kept.move_to_end(path)
                return self._kept[path]
            if path in self._damaged:
                raise self._damaged[path]
            try:
                candles = await self._unpacked(path)
            except DamagedError as error:
                self._damaged[path] = error
                _log.warning("%s; its bars are looked for in other archives and by REST", error)
                raise
            if candles is not None:
                self._keep(path, candles)
            return candles

    def close(self) -> None:
        """Forget the candles that are kept in memory."""
        self._kept.clear()

    async def _unpacked(self, path: str) -> pl.DataFrame | None:
        body = await self._zip(path)
        if body is None:
            return None
        try:
            return await asyncio.to_thread(unpack, body, f"{PurePosixPath(path).stem}.csv")
        except SourceError as error:
            raise DamagedError(
                f"source {self._name}: archive {PurePosixPath(path).name}: {error}"
            ) from error

    def _keep(self, path: str, candles: pl.DataFrame) -> None:
        self._kept[path] = candles
        size = sum(frame.estimated_size() for frame in self._kept.values())
        while size > self._memory:
            _, oldest = self._kept.popitem(last=False)
            size -= oldest.estimated_size()

    async def _zip(self, path: str) -> bytes | None:
        """The bytes of a zip, which have the sha256 that the vendor says.

        None where it is not published.
        """
        if path not in self._digests:
            self._digests[path] = await self._checksum(path)
        digest = self._digests[path]
        if digest is None:
            return None
        kept = self._folder / path
        body = await asyncio.to_thread(_read_if, kept, digest)
        if body is not None:
            return body
        for _ in range(2):
            body = await self._get(path, bytes)
            if body is not None and sha256(body).hexdigest() == digest:
                await asyncio.to_thread(self._store, kept, body)
                return body
            # It may have been replaced between the two requests.
            digest = self._digests[path] = None if body is None else await self._checksum(path)
            if digest is None:
                return None
        name = PurePosixPath(path).name
        raise DamagedError(
            f"source {self._name}: archive {name}: its sha256 is not the one in {name}.CHECKSUM, "
            "and was not when it was downloaded once more"
        )

    async def _checksum(self, path: str) -> str | None:
        return await self._get(f"{path}.CHECKSUM", digest_of)

    async def _get(self, path: str, parse: Callable[[bytes], T]) -> T | None:
        """Ask for a file, None where there is none."""
        about = f"archive {PurePosixPath(path).name}"
        try:
            return await self._http.get(path, {}, about=about, parse=parse)
        except SourceError as error:
            if f"{about}: HTTP 404" in str(error):
                return None
            raise

    def _store(self, path: Path, body: bytes) -> None:
        """Write a zip as a whole or not at all."""
        fresh = path.with_name(f".{path.name}.{token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                fresh.write_bytes(body)
                fresh.replace(path)
            finally:
                fresh.unlink(missing_ok=True)
        except OSError as error:
            _log.warning(
                "source %s: %s cannot be kept and will be downloaded again: %s; "
                "set `cache` to another folder",
                self._name,
                path,
                error,
            )


def _read_if(path: Path, digest: str) -> bytes | None:
    """The bytes of a file, None where they have another sha256 or cannot be read."""
    try:
        body = path.read_bytes() if look(path).st_size <= MOST_TEXT else b""
    except OSError:
        return None
    return body if sha256(body).hexdigest() == digest else None

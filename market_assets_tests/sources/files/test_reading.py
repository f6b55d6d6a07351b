"""Files that are no tables: each gives an error that names it, soon, and takes little memory."""

from __future__ import annotations

import asyncio
import gzip
import os
import subprocess
import sys
import textwrap
import zipfile
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe
from market_assets.sources.files.action_files import ActionFilesSettings, ActionFilesSource
from market_assets.sources.files.archive import ArchiveSource
from market_assets.sources.files.settings import ArchiveSettings
from market_assets_tests.support.archives import archive, fetch

if TYPE_CHECKING:
    from pathlib import Path


START = datetime(2024, 1, 1, tzinfo=UTC)
HEAD = b"ts,open,high,low,close,volume\n"
ROW = b"1704067200000,1,1,1,1,1\n"
MOST = 1024**2


def zipped(path: Path, *members: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as pack:
        for number, member in enumerate(members):
            pack.writestr(f"{number}.csv", member)


def sparse(path: Path) -> None:
    path.write_bytes(HEAD)
    os.truncate(path, 10**12)


BOMBS = {
    "a.zip": lambda path: zipped(path, HEAD + ROW * 100_000),
    "many.zip": lambda path: zipped(path, *[HEAD + ROW * 10_000] * 8),
    "a.csv.gz": lambda path: path.write_bytes(gzip.compress(HEAD + ROW * 100_000)),
    "line.csv": lambda path: path.write_bytes(b"1" * 500_000),
    "line.csv.gz": lambda path: path.write_bytes(gzip.compress(b"1" * 50_000_000)),
    "commas.csv": lambda path: path.write_bytes(HEAD + b",,,,,\n" * 100_000),
    "sparse.csv": sparse,
    "a.parquet": lambda path: pl.select(ts=pl.repeat(1704067200000, 3_000_000)).write_parquet(path),
    "pipe.csv": os.mkfifo,
    "pipe.parquet": os.mkfifo,
    "folder.csv": os.mkdir,
    "device.csv": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_file_that_is_none_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    BOMBS[name](path)
    settings = ArchiveSettings(
        path=f"*{''.join(path.suffixes)}", columns={"symbol": "symbol"}, max_file=MOST
    )
    source = ArchiveSource("files", settings, base=tmp_path, kind="crypto")

    async def fetch() -> None:
        async with source:
            await source.fetch("BTC", Timeframe.M1, START, START + timedelta(hours=1))

    with pytest.raises(SourceError, match=f"^source files: .*{name} cannot be read: ") as caught:
        asyncio.run(fetch())
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("name", ["pipe.csv", "pipe.parquet", "line.csv", "sparse.csv"])
def test_nor_does_one_of_corporate_actions_hold_anybody_up(tmp_path: Path, name: str) -> None:
    BOMBS[name](tmp_path / name)
    settings = ActionFilesSettings(path=name, columns={"symbol": "symbol"})
    source = ActionFilesSource("files", settings, base=tmp_path, kind="equity")
    with pytest.raises(SourceError, match=f"^source files: A in .*{name}: it cannot be read: "):
        asyncio.run(source.actions("A", date(2024, 1, 1), date(2025, 1, 1)))


def test_a_bomb_takes_no_more_memory_than_the_file_that_is_allowed(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "bomb.csv.gz", "wb", 1) as file:
        for _ in range(10):
            file.write(b"1,1,1,1,1,1\n" * 2_000_000)
    code = """
        import resource, sys
        from pathlib import Path
        from market_assets.sources.files.reading import BROKEN, read_csv
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            read_csv(Path(sys.argv[1]), most=32 * 1024**2)
        except BROKEN as error:
            print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "bomb.csv.gz")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "more than" in said
    assert int(said.split()[0]) < 150


class TestTrouble:
    @pytest.mark.parametrize("suffix", ["parquet", "csv", "csv.gz", "zip"])
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\xff\xfe\x00garbage" * 20,
            b"PK\x03\x04 not a zip",
            gzip.compress(b"a,b\n" * 9999)[:-30],
        ],
        ids=["empty", "garbage", "not a zip", "cut gzip"],
    )
    def test_a_file_that_is_not_what_its_name_says_is_an_error_that_names_it(
        self, tmp_path, suffix, content
    ):
        (tmp_path / f"SPY.{suffix}").write_bytes(content)

        with pytest.raises(
            SourceError, match=f"SPY.{suffix} (cannot be read|has no column)"
        ) as caught:
            fetch(archive(tmp_path, "{symbol}." + suffix))

        assert caught.value.permanent

    def test_a_zip_without_a_csv_is_an_error(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "SPY.zip", "w") as pack:
            pack.writestr("readme.txt", "nothing here")

        with pytest.raises(SourceError, match=r"there is no \.csv in it"):
            fetch(archive(tmp_path, "{symbol}.zip"))

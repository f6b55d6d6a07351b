"""Text as vendors write it, made a table."""

# ruff: noqa: DTZ001 - a frame's times bear no zone

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from market_assets.errors import SourceError
from market_assets_tests.support.archives import archive, candles, fetch
from market_assets_tests.support.file_fills import HEAD

if TYPE_CHECKING:
    from pathlib import Path


MARCH_11 = datetime(2024, 3, 11)


class TestFormats:
    @pytest.mark.parametrize("suffix", ["csv", "csv.gz", "zip"])
    def test_csv_is_read_plain_gzipped_and_zipped(self, tmp_path, suffix):
        text = candles().write_csv().encode()
        path = tmp_path / f"SPY.{suffix}"
        if suffix == "zip":
            with zipfile.ZipFile(path, "w") as pack:
                pack.writestr("readme.txt", "not this")
                pack.writestr("SPY.csv", text)
        else:
            path.write_bytes(gzip.compress(text) if suffix == "csv.gz" else text)

        assert fetch(archive(tmp_path, "{symbol}." + suffix)).equals(candles())


class TestNumbersAndStampsAsTheyAreWritten:
    def test_a_blank_after_each_comma_is_none(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(
            "ts, open, high, low, close, volume\n2024-03-11, 1, 2, 0.5, 1.5, 3\n"
        )

        assert fetch(archive(tmp_path, "{symbol}.csv")).row(0) == (
            MARCH_11,
            1.0,
            2.0,
            0.5,
            1.5,
            3.0,
        )


class TestTextsAsTheyAre:
    ROWS = "2024-03-11 00:00:00,1,2,0.5,1.5,3\n2024-03-11 00:01:00,1,2,0.5,1.6,4\n"

    def closes(
        self, folder: Path, body: bytes, *, name: str = "SPY.csv", **settings: Any
    ) -> list[float]:
        (folder / name).write_bytes(body)
        suffix = name.removeprefix("SPY")
        return fetch(archive(folder, "{symbol}" + suffix, **settings))["close"].to_list()

    @pytest.mark.parametrize(
        "encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-32", "utf-8-sig", "cp1252"]
    )
    def test_letters_are_read_however_they_are_written(self, tmp_path, encoding):
        body = (HEAD.strip() + ",Umsatz \u20ac\n" + self.ROWS.replace("\n", ",\u20ac\n")).encode(
            encoding, "replace"
        )

        assert self.closes(tmp_path, body) == [1.5, 1.6]

    def test_a_column_is_found_by_a_name_that_windows_has_written(self, tmp_path):
        body = b"ts,open,high,low,close,Umsatz \x80\n" + self.ROWS.encode()

        assert self.closes(tmp_path, body, columns={"volume": "Umsatz \u20ac"}) == [1.5, 1.6]

    @pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, bytes])
    @pytest.mark.parametrize("suffix", ["csv", "csv.gz", "csv.bz2", "csv.xz", "CSV", "Txt"])
    def test_how_a_file_is_packed_its_bytes_say_and_not_its_name(self, tmp_path, pack, suffix):
        body = pack((HEAD + self.ROWS).encode())

        assert self.closes(tmp_path, body, name=f"SPY.{suffix}") == [1.5, 1.6]

    def test_a_zip_may_be_called_csv_and_its_member_nothing(self, tmp_path):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as pack:
            pack.writestr("SPY", HEAD + self.ROWS)

        assert self.closes(tmp_path, packed.getvalue()) == [1.5, 1.6]

    @pytest.mark.parametrize(
        ("start", "words"),
        [
            (b"\x28\xb5\x2f\xfd", "packed with zstd: unpack it"),
            (b"\xd0\xcf\x11\xe0", "an Excel workbook: save it as CSV"),
            (b"PAR1", "a Parquet file: its name must end in .parquet"),
            (b"ARROW1", "an Arrow file: save it as Parquet"),
        ],
    )
    def test_what_is_no_text_is_told_by_what_it_is(self, tmp_path, start, words):
        with pytest.raises(SourceError, match=words):
            self.closes(tmp_path, start + b"\0" * 100)

    def test_so_is_a_workbook_of_today(self, tmp_path):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as pack:
            pack.writestr("xl/workbook.xml", "<workbook/>")

        with pytest.raises(SourceError, match="an Excel workbook: save it as CSV"):
            self.closes(tmp_path, packed.getvalue())

    @pytest.mark.parametrize(
        "text",
        [
            "sep=,\n" + HEAD + ROWS,
            "#" + HEAD + ROWS,
            "# of a vendor, as it is, without, any, warranty\n" + HEAD + ROWS,
            HEAD + "# a remark\n" + ROWS.replace("\n", "\n# another\n", 1),
            HEAD + "#2024-03-10 23:59:00,9,9,9,9,9\n" + ROWS,
            HEAD.replace(",", "  ") + ROWS.replace(" 00", "T00").replace(",", "   "),
            HEAD.replace("ts", "date time").replace(",", " ") + ROWS.replace(",", " "),
        ],
    )
    def test_signs_remarks_and_blanks_are_no_rows(self, tmp_path, text):
        apart = {"date": "date", "time": "time"} if text.startswith("date") else {}

        frame_closes = self.closes(tmp_path, text.encode(), columns=apart)

        assert frame_closes == [1.5, 1.6]

    def test_lines_with_fewer_cells_than_names_are_told(self, tmp_path):
        with pytest.raises(SourceError, match="its lines have 6 cells, and its header has 7 names"):
            self.closes(tmp_path, (HEAD.strip() + ",more\n" + self.ROWS).encode())

    def test_further_lines_of_names_are_none(self, tmp_path):
        text = (
            "ts,close,high,low,open,volume\nTicker,0700.HK,0700.HK,0700.HK,0700.HK,0700.HK\n"
            "Date,,,,,\n2024-03-11,1.5,2,0.5,1,3\n"
        )

        assert self.closes(tmp_path, text.encode()) == [1.5]

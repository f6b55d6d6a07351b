"""Rows of a file that nobody can read, as a fill counts and names them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

import polars as pl
import pytest

from market_assets.market.timeframes import Timeframe
from market_assets.sources.files.archive import ArchiveSettings, ArchiveSource
from market_assets_tests.support.file_fills import (
    DAYS,
    HEAD,
    absences,
    keep,
    line,
    minutes,
    words,
    write,
)
from market_assets_tests.support.fill_ground import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from market_assets_tests.support.fill_ground import Ground


class TestABadLine:
    BAD: ClassVar[dict[str, bytes]] = {
        "a bad stamp": b"2025-02-26 25:61:00,1,2,0.5,1,1\n",
        "a word": b"yesterday,1,2,0.5,1,1\n",
        "a header in the middle": HEAD.encode(),
        "one long line": b"2025-02-26 12:00:00" + b",1" * 40_000 + b"\n",
        "two lines in one": b"2025-02-26 12:00:00,1,2,0.5,1,12025-02-26 12:01:00,1,2,0.5,1,1\n",
        "an open quote": b'2025-02-26 12:00:00,"1,2,0.5,1,1\n',
        "half a line": b"2025-02-26 12:0\n",
    }

    def write(self, ground: Ground, names: Iterable[str], *, newest_first: bool = False) -> dict:
        """Write a file per bad line, which stands in it for noon; gives its symbol's name by it."""
        rows = [line(ts).encode() for ts in minutes(DAYS[0]) if ts.hour != 12 or ts.minute]
        symbols = {name: f"S{number}" for number, name in enumerate(names)}
        for name, symbol in symbols.items():
            lines = [*rows[:720], self.BAD[name], *rows[720:]]
            body = b"".join(lines[::-1] if newest_first else lines)
            write(ground, f"{symbol}.csv", HEAD.encode() + body)
        return symbols

    def test_it_costs_itself_and_is_counted(self, ground):
        symbols = self.write(ground, self.BAD)
        keep(
            ground,
            "{symbol}.csv",
            start="2025-02-26",
            end="2025-02-27",
            symbols=plain(symbols.values()),
        )

        outcomes = ground.fill()

        for symbol in symbols.values():
            assert ground.rows(symbol).height == 1439
        assert sum(outcome.rejected for outcome in outcomes) == len(symbols)
        refused = ground.table("SELECT symbol, rows FROM ops.refused ORDER BY symbol")
        assert refused.rows() == [(symbol, 1) for symbol in sorted(symbols.values())]

    @pytest.mark.parametrize("quiet", ["present", "omitted"])
    @pytest.mark.parametrize("newest_first", [False, True])
    def test_it_is_no_answer_for_its_bar(self, ground, newest_first, quiet):
        names = sorted(set(self.BAD) - {"a header in the middle"})
        symbols = self.write(ground, names, newest_first=newest_first)
        keep(
            ground,
            "{symbol}.csv",
            start="2025-02-26",
            end="2025-02-27",
            symbols=plain(symbols.values()),
            quiet_minutes=quiet,
            evidence={"confirmations": 1},
        )

        outcomes = ground.fill()

        assert absences(ground) == [("open", 1)] * len(symbols)
        assert sum(outcome.rejected for outcome in outcomes) == len(symbols)
        told = dict(ground.gaps().select("symbol", "reason").iter_rows())
        assert set(told) == set(symbols.values())
        for symbol, reason in told.items():
            assert f"{symbol}.csv: a row cannot be read: {symbol}.csv line" in reason

    def test_a_header_in_the_middle_has_no_bar(self, ground):
        rows = [line(ts) for ts in minutes(DAYS[0]) if ts.hour != 12]
        write(ground, "A.csv", HEAD + "".join([*rows[:720], HEAD, *rows[720:]]))
        keep(
            ground,
            "{symbol}.csv",
            start="2025-02-26",
            end="2025-02-27",
            evidence={"confirmations": 1},
        )

        outcomes = ground.fill()

        assert absences(ground) == [("outage", 60)]
        assert not words(outcomes)

    @pytest.mark.parametrize("cut", [b"", b"2025-02-26 23:5", b"2025-02-26 23:59:00,1,2,0.5,1,1"])
    def test_so_do_zeros_at_the_end(self, ground, cut):
        rows = "".join(line(ts) for ts in minutes(DAYS[0], 1439))
        write(ground, "A.csv", (HEAD + rows).encode() + cut + b"\0" * 4096)
        keep(ground, "{symbol}.csv", start="2025-02-26", end="2025-02-27")

        outcomes = ground.fill()

        assert ground.rows().height == 1439
        assert sum(outcome.rejected for outcome in outcomes) == 1

    def test_so_does_a_stamp_of_a_parquet_file_that_is_no_number(self, ground):
        stamps = [ts.replace(tzinfo=UTC).timestamp() for ts in minutes(DAYS[0])]
        stamps[700] = float("nan")
        frame = pl.DataFrame({"ts": stamps}).with_columns(
            pl.lit(1.0).alias(name) for name in ("open", "high", "low", "close", "volume")
        )
        (ground.folder / "files").mkdir()
        frame.write_parquet(ground.folder / "files" / "A.parquet")
        keep(ground, "{symbol}.parquet", start="2025-02-26", end="2025-02-27")

        outcomes = ground.fill()

        assert ground.rows().height == 1439
        assert sum(outcome.rejected for outcome in outcomes) == 1

    def test_the_row_is_named_with_its_file_and_line(self, ground):
        rows = [line(ts) for ts in minutes(DAYS[0], 10)]
        write(ground, "A.csv", HEAD + "".join(rows) + "nonsense,1,2,0.5,1,1\n")
        source = ArchiveSource(
            "files", ArchiveSettings(path="files/{symbol}.csv"), base=ground.folder, kind="crypto"
        )

        frame = asyncio.run(
            source.fetch(
                "A",
                Timeframe.M1,
                datetime(2025, 1, 1, tzinfo=UTC),
                datetime(2026, 1, 1, tzinfo=UTC),
            )
        )

        assert frame["said"].drop_nulls().to_list() == ["A.csv line 12: nonsense"]

"""What is missed because something of a file cannot be read, as a fill tells it."""

from __future__ import annotations

import gzip
import io
import zipfile
from datetime import UTC
from typing import ClassVar

import polars as pl
import pytest

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


class TestABadFile:
    CONTENTS: ClassVar[dict[str, bytes]] = {
        "A": b"",
        "B": b"<!DOCTYPE html><html>404</html>",
        "C": b"PK\x03\x04",
        "D": b"a,b\n1,2\n",
    }

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_it_costs_its_own_day_which_is_red_and_names_it(self, ground, place):
        for number, day in enumerate(DAYS):
            text = (HEAD + "".join(line(ts) for ts in minutes(day))).encode()
            for symbol, content in self.CONTENTS.items():
                write(ground, f"{symbol}-{day}.csv", content if number == place else text)
        keep(ground, "{symbol}-{date}.csv", symbols=plain(self.CONTENTS))

        outcomes = ground.fill()

        red = [outcome for outcome in outcomes if outcome.failures]
        assert [outcome.partition.key for outcome in red] == [str(DAYS[place])]
        for symbol in self.CONTENTS:
            assert ground.rows(symbol).height == 2880
            told = " ".join(word for word in (*red[0].failures, *red[0].faults) if symbol in word)
            file = f"{symbol}-{DAYS[place]}.csv"
            assert f"{file} cannot be read" in told or (file in told and "has no column" in told)

    def test_another_source_gives_what_it_would_have_had(self, ground):
        for day in DAYS:
            text = HEAD + "".join(line(ts) for ts in minutes(day))
            write(ground, f"A-{day}.csv", "" if day == DAYS[1] else text)
            write(ground, f"B-{day}.csv", text)
        ground.add_source("other", type="archive", path="files/{symbol}-{date}.csv")
        keep(ground, "{symbol}-{date}.csv", symbols="{A: {sources: [{files: A}, {other: B}]}}")

        outcomes = ground.fill()

        assert ground.rows().height == 4320
        assert not words(outcomes)

    def test_what_a_good_day_lacks_is_concluded_all_the_same(self, ground):
        for day in DAYS:
            text = HEAD + "".join(line(ts) for ts in minutes(day) if ts.hour != 5)
            write(ground, f"A-{day}.csv", "" if day == DAYS[1] else text)
        keep(ground, "{symbol}-{date}.csv")

        ground.fill()
        ground.wait(hours=2)
        outcomes = ground.fill()

        red = {outcome.partition.key: outcome.failures for outcome in outcomes if outcome.failures}
        assert str(DAYS[1]) in red
        assert all(
            "A-2025-02-27.csv" not in " ".join(said)
            for key, said in red.items()
            if key != str(DAYS[1])
        )

    def test_a_bad_member_of_a_zip_costs_itself(self, ground):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as pack:
            for day in DAYS:
                text = HEAD + "".join(line(ts) for ts in minutes(day))
                pack.writestr(f"A-{day}.csv", "<html>" if day == DAYS[1] else text)
                pack.writestr(f"__MACOSX/._A-{day}.csv", b"\0\5\26\7Mac OS X")
        write(ground, "A.zip", packed.getvalue())
        keep(ground, "{symbol}.zip")

        ground.fill()

        assert ground.rows().height == 2880


def zip_of(members: dict[str, str | bytes], *, spoil: str = "") -> bytes:
    """A zip of some texts; the bytes of one of them are changed after it was packed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as pack:
        for name, text in members.items():
            pack.writestr(name, text)
        at = pack.getinfo(spoil).header_offset + 200 if spoil else None
    body = bytearray(packed.getvalue())
    if at is not None:
        body[at] ^= 1
    return bytes(body)


class TestABadMemberOfAZip:
    """What cannot be read is no answer, though one answer is enough."""

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_its_days_are_open_and_its_name_is_told(self, ground, place):
        """Each harm, and each way to name the members, is in the zip of a symbol of its own."""
        texts = {day: HEAD + "".join(line(ts) for ts in minutes(day)) for day in DAYS}
        harmed = {}
        for name in ("A-{}.csv", "{:%Y%m%d}/minutes.csv"):
            for harm in ("html", "empty", "spoilt"):
                symbol, bad = f"S{len(harmed)}", name.format(DAYS[place])
                members = {name.format(day): text for day, text in texts.items()}
                members[bad] = {"html": "<html>", "empty": "", "spoilt": members[bad]}[harm]
                spoilt = bad if harm == "spoilt" else ""
                write(ground, f"{symbol}.zip", zip_of(members, spoil=spoilt))
                harmed[symbol] = bad
        keep(ground, "{symbol}.zip", symbols=plain(harmed), evidence={"confirmations": 1})

        outcomes = ground.fill()

        assert absences(ground) == [("open", 1440)] * len(harmed)
        red = [outcome for outcome in outcomes if outcome.failures]
        assert [outcome.partition.key for outcome in red] == [str(DAYS[place])]
        for symbol, bad in harmed.items():
            assert ground.rows(symbol).height == 2880
            assert f"{symbol}.zip: {bad} in it cannot be read" in words(red)

    def test_without_a_day_in_its_name_it_is_what_lies_between_the_others(self, ground):
        members = {
            f"part{n}.csv": HEAD + "".join(line(ts) for ts in minutes(day))
            for n, day in enumerate(DAYS)
        }
        write(ground, "A.zip", zip_of(members | {"part1.csv": "<html>"}))
        keep(ground, "{symbol}.zip", evidence={"confirmations": 1})

        outcomes = ground.fill()

        assert absences(ground) == [("open", 1440)]
        assert "part1.csv in it cannot be read" in words(outcomes)

    def test_what_a_good_member_lacks_is_concluded_all_the_same(self, ground):
        members = {
            f"{day}.csv": HEAD + "".join(line(ts) for ts in minutes(day) if ts.hour != 5)
            for day in DAYS
        }
        write(ground, "A.zip", zip_of(members | {f"{DAYS[1]}.csv": ""}))
        keep(ground, "{symbol}.zip", evidence={"confirmations": 1})

        ground.fill()

        assert sorted(absences(ground)) == [("open", 1440), ("outage", 60), ("outage", 60)]


class TestALinkToNothing:
    def test_it_costs_itself(self, ground):
        for day in (DAYS[0], DAYS[2]):
            write(ground, f"A-{day}.csv", HEAD + "".join(line(ts) for ts in minutes(day)))
        (ground.folder / "files" / f"A-{DAYS[1]}.csv").symlink_to(ground.folder / "nothing.csv")
        keep(ground, "{symbol}-{date}.csv")

        outcomes = ground.fill()

        assert ground.rows().height == 2880
        red = [outcome for outcome in outcomes if outcome.failures]
        assert [outcome.partition.key for outcome in red] == [str(DAYS[1])]
        assert f"A-{DAYS[1]}.csv is a link to nothing" in words(red)


class TestABadFileAmongOthers:
    def test_without_a_day_in_its_name_it_costs_what_lies_between_its_neighbours(self, ground):
        for number, day in enumerate(DAYS):
            text = HEAD + "".join(line(ts) for ts in minutes(day))
            write(ground, f"A-{number}.csv", "" if number == 1 else text)
        keep(ground, "{symbol}-*.csv")

        outcomes = ground.fill()

        assert ground.rows().height == 2880
        assert [outcome.partition.key for outcome in outcomes if outcome.failures] == [str(DAYS[1])]
        assert "A-1.csv cannot be read: it is empty" in words(outcomes)

    def test_one_of_all_symbols_costs_its_day_of_each(self, ground):
        for day in DAYS:
            rows = "".join(
                f"{symbol},5,10,10,11,9,{int(ts.replace(tzinfo=UTC).timestamp())}000000000,1\n"
                for symbol in "AB"
                for ts in minutes(day)
            )
            names = "ticker,volume,open,close,high,low,window_start,transactions\n"
            body = gzip.compress((names + rows).encode())
            write(ground, f"{day}.csv.gz", body[:1000] if day == DAYS[1] else body)
        keep(ground, "{date}.csv.gz", layout="polygon", symbols="{A: {}, B: {}}")

        outcomes = ground.fill()

        assert ground.rows().height == 2 * 2880
        assert [outcome.partition.key for outcome in outcomes if outcome.failures] == [str(DAYS[1])]
        assert f"{DAYS[1]}.csv.gz cannot be read" in words(outcomes)

    def test_so_does_one_of_parquet(self, ground):
        (ground.folder / "files").mkdir()
        for day in DAYS:
            frame = pl.DataFrame({"ts": minutes(day)}).with_columns(
                pl.lit(1.5).alias(name) for name in ("open", "high", "low", "close", "volume")
            )
            path = ground.folder / "files" / f"A-{day}.parquet"
            frame.write_parquet(path)
            if day == DAYS[2]:
                path.write_bytes(path.read_bytes()[:-100])
        keep(ground, "{symbol}-{date}.parquet")

        outcomes = ground.fill()

        assert ground.rows().height == 2880
        assert [outcome.partition.key for outcome in outcomes if outcome.failures] == [str(DAYS[2])]

    def test_when_it_is_replaced_the_day_is_there(self, ground):
        for day in DAYS:
            text = HEAD + "".join(line(ts) for ts in minutes(day))
            write(ground, f"A-{day}.csv", "" if day == DAYS[1] else text)
        keep(ground, "{symbol}-{date}.csv")
        ground.fill()

        write(ground, f"A-{DAYS[1]}.csv", HEAD + "".join(line(ts) for ts in minutes(DAYS[1])))
        outcomes = ground.fill()

        assert ground.complete()
        assert not words(outcomes)

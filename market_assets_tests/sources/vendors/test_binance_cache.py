"""Archives that were downloaded are kept, and read again only where they have changed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from market_assets.market.timeframes import Timeframe, Window
from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets_tests.support.binance_archives import files_in, within

JUNE = Window(datetime(2025, 6, 1, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC))
MONTH = "data/spot/monthly/klines/BTCUSDT/15m/BTCUSDT-15m-2025-06.zip"
DAY = timedelta(days=1)


class TestCache:
    def test_the_next_run_asks_for_the_checksum_alone(self, vision, ask_archive, bitcoin, tmp_path):
        ask_archive(vision, JUNE)
        vision.log.clear()

        assert ask_archive(vision, JUNE).equals(within(bitcoin, JUNE))
        assert vision.log == [f"{MONTH}.CHECKSUM"]
        assert files_in(tmp_path / "zips") == [MONTH]

    def test_an_archive_that_was_replaced_is_read_again(self, vision, ask_archive, bitcoin):
        ask_archive(vision, JUNE)
        corrected = within(bitcoin, JUNE).with_columns(pl.col("close") + 1, pl.col("high") + 1)
        vision.publish(MONTH, corrected)

        assert ask_archive(vision, JUNE).equals(corrected)
        assert ask_archive(vision, JUNE).equals(corrected)
        assert vision.log.count(MONTH) == 2

    @pytest.mark.parametrize(
        "harm",
        [lambda body: body[:-1], lambda _body: b"", lambda body: body[:99] + b"\0" + body[100:]],
    )
    def test_a_damaged_file_is_noticed_and_downloaded_again(
        self, vision, ask_archive, bitcoin, tmp_path, harm
    ):
        ask_archive(vision, JUNE)
        kept = tmp_path / "zips" / MONTH
        whole = kept.read_bytes()
        kept.write_bytes(harm(whole))

        assert ask_archive(vision, JUNE).equals(within(bitcoin, JUNE))
        assert kept.read_bytes() == whole

    def test_pages_that_need_the_same_month_at_once_download_it_once(
        self, vision, build_archive, bitcoin
    ):
        pages = [Window(JUNE.start + n * 5 * DAY, JUNE.start + (n + 1) * 5 * DAY) for n in range(6)]

        async def fetch():
            async with build_archive(vision) as source:
                return await asyncio.gather(
                    *(
                        source.fetch("BTCUSDT", Timeframe.M15, page.start, page.end)
                        for page in pages
                    )
                )

        assert (
            pl.concat(asyncio.run(fetch()))
            .select(CANDLE_SCHEMA.names())
            .equals(within(bitcoin, JUNE))
        )
        assert vision.log == [f"{MONTH}.CHECKSUM", MONTH]

    def test_no_more_than_the_memory_allows_is_kept_unpacked(self, vision, build_archive, bitcoin):
        july = Window(JUNE.end, datetime(2025, 8, 1, tzinfo=UTC))
        vision.publish(MONTH.replace("06", "07"), within(bitcoin, july))
        months = [("BTCUSDT", Timeframe.M15, window) for window in (JUNE, july, JUNE, july)]

        async def kept(memory):
            async with build_archive(vision, memory=memory) as source:
                for name, timeframe, window in months:
                    await source.fetch(name, timeframe, window.start, window.end)
                return len(source._zips._kept)

        assert [asyncio.run(kept(memory)) for memory in ("0", "300KB", "1MB")] == [0, 1, 2]
        # Also what was thrown out is not asked for again in the same run.
        assert sorted(set(vision.log)) == sorted(
            {entry for entry in vision.log if "2025-06" in entry or "2025-07" in entry}
        )
        assert vision.log.count(f"{MONTH}.CHECKSUM") == 3
        assert vision.log.count(MONTH) == 1

    def test_a_cache_that_cannot_be_written_costs_nothing_but_a_warning(
        self, vision, ask_archive, bitcoin, tmp_path, caplog
    ):
        (tmp_path / "zips").write_text("a file")

        assert ask_archive(vision, JUNE).equals(within(bitcoin, JUNE))
        assert "set `cache` to another folder" in caplog.text

    def test_by_default_it_is_below_the_home_folder(
        self, monkeypatch, vision, ask_archive, bitcoin, tmp_path
    ):
        monkeypatch.setenv("MARKET_ASSETS_HOME", str(tmp_path / "home"))

        assert ask_archive(vision, JUNE, cache=None).equals(within(bitcoin, JUNE))
        (kept,) = (tmp_path / "home" / "archives").iterdir()
        assert files_in(kept) == [MONTH]

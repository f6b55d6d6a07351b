"""Parquet files of one symbol, read a window at a time."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from market_assets.errors import SourceError
from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets_tests.support.archives import archive, candles, fetch

START = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class TestFormats:
    def test_parquet_is_read_bit_for_bit(self, tmp_path):
        whole = candles(1000)
        whole.write_parquet(tmp_path / "SPY__1m.parquet", row_group_size=100)

        assert fetch(archive(tmp_path, "{symbol}__{timeframe}.parquet")).equals(whole)

    def test_only_the_window_is_given(self, tmp_path):
        whole = candles(1000)
        whole.write_parquet(tmp_path / "SPY.parquet")
        window = (START + 10 * MINUTE, START + 20 * MINUTE)

        assert fetch(archive(tmp_path, "{symbol}.parquet"), start=window[0], end=window[1]).equals(
            whole[10:20]
        )


class TestTrouble:
    @pytest.mark.parametrize("cut", [0.3, 0.9])
    def test_a_parquet_file_that_was_cut_off_is_an_error(self, tmp_path, cut):
        path = tmp_path / "SPY.parquet"
        candles(5000).write_parquet(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * cut)])

        with pytest.raises(SourceError, match=r"SPY\.parquet cannot be read"):
            fetch(archive(tmp_path, "{symbol}.parquet"))

    def test_a_parquet_file_with_bytes_changed_is_an_error_or_a_frame(self, tmp_path):
        path = tmp_path / "SPY.parquet"
        candles(5000).write_parquet(path, compression="zstd")
        content = path.read_bytes()
        for place in range(4, len(content) - 4, len(content) // 40):
            path.write_bytes(
                content[:place]
                + bytes(255 - byte for byte in content[place : place + 3])
                + content[place + 3 :]
            )
            with contextlib.suppress(SourceError):
                assert fetch(archive(tmp_path, "{symbol}.parquet")).schema == CANDLE_SCHEMA

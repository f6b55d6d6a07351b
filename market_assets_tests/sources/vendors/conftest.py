"""A server of Binance's archives, and the sources that the package brings."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import pytest

from market_assets.market.timeframes import Timeframe, Window
from market_assets.sources.contract import ENTRY_POINTS
from market_assets.sources.vendors.binance_archive import (
    BinanceArchiveSettings,
    BinanceArchiveSource,
)
from market_assets_tests.support.binance_archives import QUICK, Vision, real, run, within

if TYPE_CHECKING:
    import polars as pl

    from market_assets.sources.contract import Source

NOW = datetime(2025, 8, 18, 18, 15, tzinfo=UTC)
JUNE = Window(datetime(2025, 6, 1, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC))
MONTH = "data/spot/monthly/klines/BTCUSDT/15m/BTCUSDT-15m-2025-06.zip"


@pytest.fixture
def package_sources() -> list[type[Source]]:
    """Each source that this package brings, as it is installed."""
    return [
        point.load()
        for point in entry_points(group=ENTRY_POINTS)
        if point.value.startswith("market_assets.")
    ]


@pytest.fixture(scope="module")
def bitcoin(shared) -> pl.DataFrame:
    """Quarters of an hour of spot, from May to the 18th of August 2025."""
    return real(shared, "binance-spot__BTCUSDT__15m")


@pytest.fixture
def vision(bitcoin) -> Vision:
    """A vendor that has everything over REST, and the archive of June."""
    vision = Vision(live=bitcoin)
    vision.publish(MONTH, within(bitcoin, JUNE))
    return vision


@pytest.fixture
def build_archive(serve, tmp_path):
    """Build a source that asks a vendor.

    All sources of a test ask the same server, and keep their zips in the same cache.
    """
    urls: dict[int, str] = {}

    def build_archive(vision, *, now=NOW, **more) -> BinanceArchiveSource:
        if id(vision) not in urls:
            urls[id(vision)] = serve(vision).url
        asked = QUICK | {"base_url": urls[id(vision)]}
        model = BinanceArchiveSettings.model_validate(
            asked | {"rest": asked, "cache": "zips"} | more
        )
        return BinanceArchiveSource("mine", model, base=tmp_path, kind="crypto", clock=lambda: now)

    return build_archive


@pytest.fixture
def ask_archive(build_archive):
    """Fetch a window of BTCUSDT in a run of its own."""

    def ask_archive(
        vision, window, *, symbol="BTCUSDT", timeframe=Timeframe.M15, **more
    ) -> pl.DataFrame:
        return run(build_archive(vision, **more), (symbol, timeframe, window))

    return ask_archive

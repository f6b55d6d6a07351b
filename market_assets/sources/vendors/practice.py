"""The practice source: simulated candles, asked for over real HTTP as if from Binance.

They are said to be simulated. The vendor itself stands in `market_assets.practice`.
"""

from __future__ import annotations

import atexit
import os
import threading
from dataclasses import replace

# Pydantic reads the annotations of PracticeSettings at runtime.
from pathlib import Path  # noqa: TC003
from typing import TYPE_CHECKING, ClassVar, Self, cast

import yaml
from pydantic import TypeAdapter, ValidationError

from market_assets.errors import SourceError
from market_assets.imports import late_imports
from market_assets.practice.book import Market
from market_assets.practice.faults import Fault
from market_assets.sources.contract import KINDS
from market_assets.sources.transport.http import StreamingSettings, WebAddress
from market_assets.sources.vendors.binance import BinanceSource
from market_assets.sources.vendors.binance_stream import BinanceStream

# To read settings no web server is needed.
with late_imports():
    from market_assets.practice.streams import PracticeStreams
    from market_assets.practice.vendor import PracticeVendor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from market_assets.market.timeframes import Timeframe
    from market_assets.practice.simulate import KindName
    from market_assets.sources.contract import SourceSettings
    from market_assets.sources.streaming import StreamFormat


class PracticeSettings(StreamingSettings, Market):
    """The keys of a `practice` source: what the vendor trades, and how it is asked.

    ```yaml
    practice:
      seed: 7
      # What is special; the rest follows from the profile's kind.
      symbols: {SPY: {price: 580}, ES: {kind: futures, price: 6000}}
      faults: [{fault: hole, symbols: [BTCUSDT], start: 2024-01-05T03:00Z, end: 2024-01-05T04:20Z}]
    ```

    Attributes:
        base_url: A practice vendor that runs already; without it one is started inside this
            process, the same in every process.
        kind: The kind of a symbol that is not named in `symbols`; without it the kind of the
            profile.
        faults_file: A YAML file with a list of more faults.
        earliest_probe: False for a source that cannot name a first bar.
    """

    base_url: WebAddress = ""
    faults_file: Path | None = None
    earliest_probe: bool = True


class PracticeSource(BinanceSource):
    """Candles of a practice vendor. No market ever traded them."""

    Settings: ClassVar[type[SourceSettings]] = PracticeSettings

    traits = replace(BinanceSource.traits, kinds=KINDS, venue=None)

    def __init__(self, name: str, settings: PracticeSettings, *, base: Path, kind: str) -> None:
        super().__init__(name, settings, base=base, kind=kind)
        self.traits = replace(
            self.traits, earliest_probe=settings.earliest_probe, latest_only=settings.latest_only
        )
        self._settings = settings
        self._base = base
        self._kind = cast("KindName", kind)

    async def __aenter__(self) -> Self:
        if not self._settings.base_url:
            settings = self._settings.model_copy(update={"base_url": _vendor(self._market()).url})
            client = self._http_client(settings, self._base)
            client.limit.urgent = self._http.limit.urgent
            self._http = client
        return await super().__aenter__()

    # It charges nothing by what is asked for.
    def weight(self, params: Mapping[str, str | int]) -> int:  # noqa: ARG002
        """Count each request once: see `PagedSource.weight`."""
        return 1

    def stream(self, timeframe: Timeframe) -> StreamFormat:
        """Give the format of its live candles: see `streaming.Streaming`.

        Raises:
            SourceError: It runs elsewhere, and nothing says where its stream is.
        """
        address = self.stream_address("")
        return BinanceStream(timeframe, address or _streams(self._market()).url("binance"))

    def _market(self) -> Market:
        settings = self._settings
        return Market(
            seed=settings.seed,
            symbols=settings.symbols,
            kind=settings.kind or self._kind,
            data=None if settings.data is None else self._base / settings.data,
            faults=[*settings.faults, *self._more_faults()],
            quotas=settings.quotas,
            latest_only=settings.latest_only,
        )

    def _more_faults(self) -> list[Fault]:
        if self._settings.faults_file is None:
            return []
        path = self._base / self._settings.faults_file
        try:
            return TypeAdapter(list[Fault]).validate_python(yaml.safe_load(path.read_text()))
        except (OSError, yaml.YAMLError, ValidationError) as error:
            raise SourceError(
                f"source {self.name}: the faults file {path} cannot be used: {error}",
                permanent=True,
            ) from error


_running: dict[tuple[int, str], PracticeVendor] = {}
_streaming: dict[tuple[int, str], PracticeStreams] = {}
_starting = threading.Lock()


def _vendor(market: Market) -> PracticeVendor:
    """Start a vendor for this market in this process, or give the one that runs.

    It ends with the process.
    """
    key = (os.getpid(), market.model_dump_json())
    with _starting:
        if key not in _running:
            _running[key] = PracticeVendor(market).start()
            atexit.register(_running[key].stop)
        return _running[key]


def _streams(market: Market) -> PracticeStreams:
    """Start the streams of this market in this process, or give those that run.

    They end with the process.
    """
    key = (os.getpid(), market.model_dump_json())
    with _starting:
        if key not in _streaming:
            _streaming[key] = PracticeStreams(market).start()
            atexit.register(_streaming[key].stop)
        return _streaming[key]

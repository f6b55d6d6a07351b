"""The conformance kit: whoever writes a source has it checked against what the platform relies on.

A test file names the source, gives a double of its vendor, and inherits the checks:

```python
class Bitstamp(VendorDouble):
    source = BitstampSource
    symbol = "btcusd"

    def read(self, request): ...  # what is asked for
    def write(self, page): ...    # the answer in the vendor's form
    def refuse(self, words): ...  # an error in the vendor's form


class TestBitstamp(SourceConformance):
    vendor = Bitstamp
```

The kit has the server, which listens on the loopback alone, the true candles, pages, limits and
troubles. Nothing here imports pytest, and no plugin is needed: a check that does not concern a
source raises `unittest.SkipTest`, which pytest and unittest report as skipped. A stream has checks
of its own, `StreamConformance`, and a double of its own, `StreamDouble`; no connection is opened
for them. Tests of one vendor alone do not belong here.
"""

from market_assets.sources.testing.candles import Candle, candles_from
from market_assets.sources.testing.conformance import SourceConformance, StreamConformance
from market_assets.sources.testing.double import (
    Page,
    Question,
    VendorDouble,
    instant,
    timeframe_of,
)
from market_assets.sources.testing.exchange import Exchange
from market_assets.sources.testing.server import LoopbackServer, Reply, Request
from market_assets.sources.testing.stream_double import StreamDouble
from market_assets.sources.testing.trial import Answer, NonconformityError, Trial

__all__ = [
    "Answer",
    "Candle",
    "Exchange",
    "LoopbackServer",
    "NonconformityError",
    "Page",
    "Question",
    "Reply",
    "Request",
    "SourceConformance",
    "StreamConformance",
    "StreamDouble",
    "Trial",
    "VendorDouble",
    "candles_from",
    "instant",
    "timeframe_of",
]

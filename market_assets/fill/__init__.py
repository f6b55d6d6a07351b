"""The one operation that brings candles in, and all that it is made of."""

from market_assets.fill.fill import Fill
from market_assets.fill.options import FillOptions
from market_assets.work.outcome import PartitionOutcome

__all__ = ["Fill", "FillOptions", "PartitionOutcome"]

"""Everything that knows SQL or where the data lies."""

from market_assets.store.looking import LookingStore
from market_assets.store.merge import Merged
from market_assets.store.snapshot import Snapshot, StoreMark, Transaction
from market_assets.store.store import Store
from market_assets.store.tables.partitions import OUTDATED

__all__ = ["OUTDATED", "LookingStore", "Merged", "Snapshot", "Store", "StoreMark", "Transaction"]

"""Everything that knows SQL or where the data lies."""

from market_assets.store.looking import LookingStore
from market_assets.store.store import OUTDATED, Merged, Snapshot, Store, StoreMark, Transaction

__all__ = ["OUTDATED", "LookingStore", "Merged", "Snapshot", "Store", "StoreMark", "Transaction"]

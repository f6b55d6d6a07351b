"""What `dagster dev -m market_assets.definitions` loads: the definitions of a universe."""

from market_assets.defs.internals.collection import without_collection

with without_collection():
    from market_assets.defs.location import build_definitions, defs

__all__ = ["build_definitions", "defs"]

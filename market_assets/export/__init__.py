"""Parquet files of what the store holds, for readers that know nothing of the store."""

from market_assets.export.lake import Exported, Lake
from market_assets.export.layout import Table, table_of, tables_of
from market_assets.export.manifest import files_of

__all__ = ["Exported", "Lake", "Table", "files_of", "table_of", "tables_of"]

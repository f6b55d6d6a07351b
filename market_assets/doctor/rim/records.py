"""The version of the store, read while nobody writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from market_assets.doctor.facts import StoreFile
from market_assets.doctor.rim.locks import turn_at
from market_assets.errors import StoreError, first_line
from market_assets.store.schema import VERSION
from market_assets.store.upgrade import version_in

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets.doctor.facts import Lock


def look_at_store(home: Path, lock: Lock) -> StoreFile:
    """Look at the version of a home's store, unless somebody has it.

    Args:
        home: The home folder.
        lock: The store's.
    """
    path = home / "market.duckdb"
    if not path.exists():
        return StoreFile(None, VERSION, exists=False)
    # The programs of this package take turns by the lock: a file that is open here would be in
    # their way.
    with turn_at(home / lock.name) as is_free:
        if not is_free:
            return StoreFile(None, VERSION, holder=lock.note or "another program")
        return _read(path)


def _read(path: Path) -> StoreFile:
    try:
        with duckdb.connect(path, read_only=True) as connection:
            return StoreFile(version_in(connection, path), VERSION)
    except StoreError as error:
        return StoreFile(None, VERSION, fault=str(error))
    except duckdb.Error as error:
        if "Could not set lock on file" in str(error):
            return StoreFile(None, VERSION, holder="another program")
        return StoreFile(None, VERSION, fault=f"{path} cannot be opened: {first_line(error)}")

"""The list of a table's files: what each holds, and the sum by which it is known to be whole."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from market_assets.errors import ExportError

FORMAT = 1


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file, or a stretch of time without a row, which has none.

    Attributes:
        piece: What it holds: 2025-01-31, 2025-01 or 2025.
        version: Another one as soon as the store's rows may be others, or would be written
            otherwise.
        file: Its path from the table's folder on; None where there is no row.
        snapshot: The same file under a name that no other version gets, from the manifest's folder
            on.
        rows: How many rows it has.
        bytes: How long it is.
        sha256: The sum of its bytes.
        first_ts: Its oldest `ts`.
        last_ts: Its newest one.
        exported_at: When it was written.
        archived_until: Rows before this are in no store any more: the file alone has them.
    """

    piece: str
    version: str
    file: str | None = None
    snapshot: str | None = None
    rows: int = 0
    bytes: int = 0
    sha256: str = ""
    first_ts: datetime | None = None
    last_ts: datetime | None = None
    exported_at: datetime | None = None
    archived_until: datetime | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A table's files.

    Attributes:
        format: How this list is to be read.
        table: The table's name in the store.
        partitioned_by: The hive keys of its folders.
        columns: The columns of its files, with their types in SQL.
        files: By piece, oldest first.
    """

    format: int = FORMAT
    table: str
    partitioned_by: tuple[str, ...]
    columns: dict[str, str]
    files: list[Entry]

    def encode(self) -> bytes:
        """As a JSON document for people and programs."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def decode(text: bytes) -> Manifest | None:
    """Read a manifest from its document.

    Returns:
        The manifest; None where it is damaged or of another format, so that all is written again.
    """
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError:
        return None
    return manifest if manifest.format == FORMAT else None


def manifest_path(lake: Path, owner: str, table: str) -> Path:
    """Where the list of a table's files lies."""
    return lake / owner / f"{table}.manifest.json"


def files_of(lake: str | Path, owner: str, table: str) -> list[Path]:
    """The files that hold a table in the lake, oldest first, for a query that nothing breaks off.

    None of them is ever replaced: a changed file gets another name, and the old one stays for an
    hour. Both polars and DuckDB open a file more than once, so that a query over the plain folder
    breaks off when a file is replaced meanwhile.

    Args:
        lake: The lake's folder.
        owner: The profile's name, or that of the matrix across profiles.
        table: The table's name: candles_1m, features_4h, returns_1d, corporate_actions.

    Raises:
        ExportError: There is no such table in the lake.
    """
    path = manifest_path(Path(lake), owner, table)
    try:
        manifest = decode(path.read_bytes())
    except FileNotFoundError:
        manifest = None
    if manifest is None or any(entry.file and not entry.snapshot for entry in manifest.files):
        raise ExportError(
            f"{owner}.{table}: {path} is not there, or of another version. "
            f"Run `market-assets export {owner}` first."
        )
    return [path.parent / entry.snapshot for entry in manifest.files if entry.snapshot]

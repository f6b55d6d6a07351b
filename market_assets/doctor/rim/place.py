"""The home folder and its disk, looked at without writing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from market_assets.doctor.facts import Place

_MOUNTS = Path("/proc/self/mountinfo")


def look_at_place(home: Path) -> Place:
    """Look at the home folder, or at the folder in which it would be made."""
    nearest = next(folder for folder in (home, *home.parents) if os.path.lexists(folder))
    store = home / "market.duckdb"
    return Place(
        path=home,
        exists=nearest == home,
        is_folder=nearest.is_dir(),
        is_writable=os.access(nearest, os.W_OK | os.X_OK),
        system=_system_of(nearest.resolve()),
        free=shutil.disk_usage(nearest).free if nearest.exists() else 0,
        store=store.stat().st_size if store.is_file() else 0,
    )


def _system_of(folder: Path) -> str:
    """The kind of the file system that a folder is on, as Linux reports it; empty elsewhere."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    kinds: dict[Path, str] = {}
    for line in lines:
        fields, _, rest = line.partition(" - ")
        # A blank in a path stands there as \040.
        point = fields.split()[4].encode().decode("unicode_escape")
        kinds[Path(point)] = rest.split()[0]
    return next((kinds[point] for point in (folder, *folder.parents) if point in kinds), "")

"""The variables of the environment that the processes of the platform are started with.

Which of them name the universe and the home folder is said in `config/places` and `home`.
"""

from __future__ import annotations

import os
from pathlib import Path

from market_assets.config.places import UNIVERSE_VARIABLE
from market_assets.home import HOME_VARIABLE
from market_assets.up.leash import ALIVE_VARIABLE

_ALIVE_FILE = "up.alive"

_MEMORY = {
    # Each thread that allocates would get an arena of its own, which is never given back.
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    # A tick fills, and may wait for a vendor or the store: on a busy machine that takes more than
    # Dagster's minute.
    "DAGSTER_SCHEDULE_GRPC_TIMEOUT_SECONDS": "180",
    "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": "180",
    # A process with threads cannot be forked, and these libraries would start some when they are
    # loaded.
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    # What polars and DuckDB have freed is given back at once: 30 to 60 MB of a process that works.
    "_RJEM_MALLOC_CONF": "background_thread:false,dirty_decay_ms:0,muzzy_decay_ms:0",
    "DUCKDB_JE_MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0",
    "PYTHONWARNINGS": "ignore",
    # Modules of the working folder are not looked for: a random.py there is none of ours.
    "PYTHONSAFEPATH": "1",
    "PYTHONUNBUFFERED": "1",
}


def environment_of(home: Path, universe: Path) -> dict[str, str]:
    """The variables of the processes of a home folder: those of this one, and what they need.

    Args:
        home: The home folder.
        universe: The universe file.
    """
    return {
        **os.environ,
        **_MEMORY,
        **_import_path(),
        HOME_VARIABLE: str(home),
        "DAGSTER_HOME": str(home),
        ALIVE_VARIABLE: str(home / _ALIVE_FILE),
        UNIVERSE_VARIABLE: str(universe),
    }


def _import_path() -> dict[str, str]:
    """What the processes need to import this package from where it is imported here."""
    root = Path(__file__).parents[2]
    # A source tree that is the working folder: an installed package is found by everybody.
    if root != Path.cwd():
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))}

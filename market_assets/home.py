"""Where the home folder is: everything that is written lies below it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from market_assets.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

HOME_VARIABLE = "MARKET_ASSETS_HOME"


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The absolute path of the folder for all that is written: `MARKET_ASSETS_HOME`, else ./data.

    Raises:
        StoreError: Its path holds what Dagster would take for something else.
    """
    folder = Path(environ.get(HOME_VARIABLE) or "data").expanduser().absolute()
    # Dagster makes a URL of it: its files would lie elsewhere.
    if "?" in str(folder) or unquote(str(folder)) != str(folder):
        raise StoreError(
            f"{folder}: the path of a home folder must not hold a question mark, "
            "or % before two digits; rename the folder."
        )
    return folder

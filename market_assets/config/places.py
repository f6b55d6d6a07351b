"""Where this project finds its universe file.

Where the home folder is stands in `market_assets.home`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from market_assets.errors import UniverseError
from market_assets.home import home
from market_assets.market.clock import present
from market_assets.practice.ground import KEPT, keep
from market_assets.private import OURS_ALONE

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGED = Path(__file__).parents[1] / "universe.yaml"
"""The practice universe, written for the day that `practice.ground` names."""

UNIVERSE_VARIABLE = "MARKET_ASSETS_UNIVERSE"

COPY_VARIABLE = "MARKET_ASSETS_UNIVERSE_COPY"
"""Names a copy of the universe file that is read in its place; paths begin in the file's folder.

`market-assets up` keeps the last file without mistakes there, for the processes that it starts.
"""


def keep_practice(environ: Mapping[str, str] = os.environ) -> None:
    """Keep the practice universe in the home folder, so that its days stand still.

    No other universe is kept there.

    Raises:
        OSError: The home cannot be made or written.
    """
    if Path(environ.get(UNIVERSE_VARIABLE) or PACKAGED) == PACKAGED:
        folder = home(environ)
        folder.mkdir(OURS_ALONE, parents=True, exist_ok=True)
        keep(PACKAGED, folder, present().date())


def universe_path(
    path: Path | None = None, environ: Mapping[str, str] = os.environ, *, must_exist: bool = True
) -> Path:
    """The absolute path of a universe file.

    Args:
        path: The file; without it the one that `MARKET_ASSETS_UNIVERSE` names, without that the
            practice universe: as the home keeps it, or the packaged one.
        environ: Where that variable is taken from.
        must_exist: Whether a file that is not there is an error.

    Raises:
        UniverseError: There is no such file, and it must exist.
    """
    origin = ""
    given = path is not None
    if path is None and (named := environ.get(UNIVERSE_VARIABLE)):
        path = Path(named)
        origin = f" (the environment variable {UNIVERSE_VARIABLE} names it)"
    path = PACKAGED if path is None else path.expanduser().absolute()
    if path == PACKAGED and not given and (kept := home(environ) / KEPT).is_file():
        return kept
    if must_exist and not path.is_file():
        advice = "write one, or leave it out for the packaged universe"
        raise UniverseError(path, [f"there is no such file{origin}; {advice}"])
    return path

"""What a person asks of `market-assets up`: where it listens, and what may be done there.

How the options are written in a terminal stands in `market_assets/cli/commands/up.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from market_assets.hosts import url_of

if TYPE_CHECKING:
    from pathlib import Path


PAGES_PORT = 3000
"""Where the pages listen unless somebody says otherwise."""


@dataclass(frozen=True)
class Options:
    """What a person asks for.

    Attributes:
        home: The home folder.
        universe: The universe file.
        host: The address that the pages listen on.
        port: Their port.
        hosts: More names by which they may be asked for.
        reports: Whether other programs may report over HTTP.
        read_only: Whether nothing can be changed in the pages.
    """

    home: Path
    universe: Path
    host: str = "127.0.0.1"
    port: int = PAGES_PORT
    hosts: tuple[str, ...] = ()
    reports: bool = False
    read_only: bool = False

    @property
    def url(self) -> str:
        """Where the pages are, as a browser on this machine asks for them."""
        host = {
            "0.0.0.0": "127.0.0.1",  # noqa: S104
            "::": "[::1]",
            "": "127.0.0.1",
        }.get(self.host, self.host)
        return url_of(host, self.port)

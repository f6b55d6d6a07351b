"""`.env.example`: every variable with its default and its meaning."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from market_assets.deploy.site import Site, Variable

_WIDTH = 98


def example(site: Site) -> str:
    """The file: what must be set stands open, everything else as a comment with its default."""
    return "\n".join(_lines(variable) for variable in site.variables)


def _lines(variable: Variable) -> str:
    words = textwrap.wrap(variable.words, _WIDTH, initial_indent="# ", subsequent_indent="# ")
    mark = "" if variable.is_needed else "#"
    return "\n".join([*words, f"{mark}{variable.name}={variable.default}", ""])

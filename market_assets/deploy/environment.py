"""`.env.example`: every variable with its default and its meaning."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from market_assets.deploy.site import Site, Variable

_WIDTH = 98

KEYS = {
    "BACKFILL_DAYS": "update.first_backfill",
    "UPDATE_INTERVAL_SECONDS": "update.every",
    "GAP_REPAIR_INTERVAL_MINUTES": "repair.every",
    "GAP_REPAIR_MAX_REPAIRS_PER_RUN": "repair.max_fills",
    "GAP_DETECTION_MAX_OPEN_GAPS": "repair.backlog",
    "WS_INGESTION_ENABLED": "stream.enabled",
    "WS_CATCHUP_LOOKBACK_MINUTES": "stream.catch_up",
    "RATE_LIMIT_REQUESTS_PER_MINUTE": "sources.NAME.rate",
    "SYMBOLS": "profiles.NAME.symbols",
    "TIMEFRAMES": "profiles.NAME.timeframes",
    "API_HOST": "serve.host",
    "API_PORT": "serve.port",
}
"""Variables of other services that keep candles, and the keys of the universe that say the same.

A universe says it for each profile or source by itself, and a file can be checked before.
"""

_ELSEWHERE = """\
# Other services that keep candles have the variables on the left. Here they are keys of the
# universe file, which `market-assets validate` checks:
"""


def example(site: Site, *more: Variable) -> str:
    """The file: what must be set stands open, everything else as a comment with its default.

    Args:
        site: Whose variables.
        more: Those of servers that stand beside.
    """
    width = max(map(len, KEYS))
    elsewhere = "".join(f"#   {name:{width}}  {key}\n" for name, key in KEYS.items())
    blocks = [*(_lines(variable) for variable in (*site.variables, *more)), _ELSEWHERE + elsewhere]
    return "\n".join(blocks)


def _lines(variable: Variable) -> str:
    words = textwrap.wrap(variable.words, _WIDTH, initial_indent="# ", subsequent_indent="# ")
    mark = "" if variable.is_needed else "#"
    return "\n".join([*words, f"{mark}{variable.name}={variable.default}", ""])

"""The tools, and what a client is told of them."""

from __future__ import annotations

from functools import wraps
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

from market_assets.agents.answers import MOST_CANDLES, MOST_GAPS, Answers
from market_assets.errors import MarketAssetsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.config.universe import Universe

_INSTRUCTIONS = """
Market candles on this machine: which bars are stored, which are absent and why. Begin with
`status`. A bar that is absent is `open` (missing, asked for again), `abandoned` (missing, asked for
no more), or absent with evidence (no trade, halt, outage, closed market): `explain` tells the story
of one bar. Times are UTC, ISO 8601 with Z; a bar is named by its open. Nothing can be changed.
"""

Profile = Annotated[str, Field(max_length=100, description="The profile's name, as in `status`.")]
Symbol = Annotated[str, Field(max_length=100, description="The symbol, as in `status`.")]
Symbols = Annotated[
    list[Symbol], Field(max_length=200, description="Some symbols; all if none is named.")
]
Frame = Annotated[str, Field(max_length=10, description="Such as 1m, 1h or 1d.", examples=["1h"])]
Instant = Annotated[
    str,
    Field(
        max_length=40,
        description="A day, or an instant in UTC.",
        examples=["2025-01-31", "2025-01-31T14:30:00Z"],
    ),
]


def server_of(universe: Universe, answers: Answers) -> MCPServer:
    """A server with the tools over a home folder.

    Args:
        universe: What is kept; no secret of it comes into an answer.
        answers: What the tools answer.
    """
    server: MCPServer = MCPServer(
        "market-assets",
        title="Market assets",
        instructions=_INSTRUCTIONS.strip(),
        version=version("market-assets"),
        log_level="WARNING",
    )

    def status(profile: Profile | None = None) -> dict[str, Any]:
        """How complete what is kept is: counts by timeframe, and the series that lack most."""
        return answers.status(profile)

    def gaps(
        *,
        profile: Profile | None = None,
        symbols: Symbols | None = None,
        explained: Annotated[
            bool, Field(description="Also bars that are absent for a known reason.")
        ] = False,
        limit: Annotated[int, Field(ge=1, le=MOST_GAPS, description="How many at most.")] = 20,
    ) -> dict[str, Any]:
        """What is absent and why, newest first; `total` says how many gaps there are."""
        return answers.gaps(profile, symbols or [], explained=explained, limit=limit)

    def explain(
        profile: Profile, symbol: Symbol, ts: Instant, timeframe: Frame | None = None
    ) -> dict[str, Any]:
        """The story of one bar: must it exist, what is known of it and from whom, what is next."""
        return answers.explain(profile, symbol, ts, timeframe)

    def candles(
        *,
        profile: Profile,
        timeframe: Frame,
        symbols: Symbols | None = None,
        start: Instant | None = None,
        end: Annotated[Instant | None, Field(description="The first open not wanted.")] = None,
        adjusted: Annotated[
            bool, Field(description="Adjusted by splits and dividends, as of today.")
        ] = False,
        limit: Annotated[int, Field(ge=1, le=MOST_CANDLES, description="How many at most.")] = 100,
        cursor: Annotated[
            str | None, Field(max_length=400, description="`next` of the page before.")
        ] = None,
    ) -> dict[str, Any]:
        """Stored candles, oldest first; `next` is the cursor of the page behind this one."""
        return answers.candles(
            profile,
            symbols or [],
            timeframe,
            start=start,
            end=end,
            adjusted=adjusted,
            limit=limit,
            cursor=cursor,
        )

    def sources() -> dict[str, Any]:
        """Whom the candles come from: timeframes, limits, profiles, whether the keys are set."""
        return answers.sources()

    reading = ToolAnnotations(
        read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
    )
    for tool in (status, gaps, explain, candles, sources):
        server.add_tool(_told(tool, universe), annotations=reading, structured_output=True)
    return server


def _told(tool: Callable[..., dict[str, Any]], universe: Universe) -> Callable[..., dict[str, Any]]:
    """The tool, whose errors are sentences for the client, without secrets."""

    @wraps(tool)
    def told(*values: object, **named: object) -> dict[str, Any]:
        try:
            return tool(*values, **named)
        except MarketAssetsError as error:
            raise ToolError(universe.redact(str(error))) from None

    return told

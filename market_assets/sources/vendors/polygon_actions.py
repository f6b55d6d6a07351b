"""Corporate actions of Polygon, now Massive.

Splits and dividends, changes of the ticker, and the day on which a ticker was delisted.
"""

from __future__ import annotations

import re
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

import msgspec
import polars as pl

from market_assets.errors import SourceError
from market_assets.sources.actions import ACTION_SCHEMA, ActionKind
from market_assets.sources.transport.body import excerpt
from market_assets.sources.transport.keyed import text_of
from market_assets.sources.transport.rest import bounded, refusal
from market_assets.words import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from market_assets.sources.transport.http import HttpClient

_LIMIT = 1000
_MOST_PAGES = 100
_DIVIDENDS = {"SC": "special", "LT": "long-term capital gains", "ST": "short-term capital gains"}
"""What the vendor's types mean that are no ordinary dividend.

One of them can fall on the same day as an ordinary one.
"""

Row = tuple[date, str, float | None, float | None, str | None, str | None]


async def actions_of(http: HttpClient, symbol: str, start: date, end: date) -> pl.DataFrame:
    """Ask for the actions of a ticker with an ex-date in a window.

    That takes four requests, and one more for each further thousand of a kind.

    Args:
        http: The vendor's client, open.
        symbol: The ticker.
        start: The first ex-date.
        end: The first one no longer asked for.

    Returns:
        A frame of ACTION_SCHEMA; the changes of a ticker may lie outside the window.

    Raises:
        SourceError: One of the requests has no answer.
    """

    def dated(day: str) -> dict[str, str | int]:
        return {f"{day}.gte": f"{start}", f"{day}.lt": f"{end}", "sort": day, "order": "asc"}

    rows: list[Row] = []
    for what, query, read in (
        ("splits", dated("execution_date"), _split),
        ("dividends", dated("ex_dividend_date"), _dividend),
        ("tickers", {"active": "false"}, _delisting),
    ):
        rows += await _all(http, symbol, what, query, read)
    rows += await _renames(http, symbol)
    return pl.DataFrame(rows, schema=ACTION_SCHEMA, orient="row")


async def _all(
    http: HttpClient,
    symbol: str,
    what: str,
    query: Mapping[str, str | int],
    read: Callable[[dict[str, Any]], Row | None],
) -> list[Row]:
    """Follow the pages of one of the vendor's lists to its end."""
    path, about = f"/v3/reference/{what}", f"{symbol} {what}"
    params: Mapping[str, str | int] = {"ticker": symbol, **query, "limit": _LIMIT}

    def parse(body: bytes) -> tuple[list[Row], str | None]:
        answer = _decoded(body)
        results = answer.get("results") or []
        if strange := {row["ticker"] for row in results} - {symbol}:
            raise SourceError(
                f"the answer is about {listed(sorted(strange))}; "
                "see how the vendor writes the symbol"
            )
        fresh = [row for row in results if row.get("id") is None or row["id"] not in ids]
        ids.update(row["id"] for row in fresh if row.get("id") is not None)
        return [row for row in map(read, fresh) if row is not None], text_of(answer.get("next_url"))

    actions: list[Row] = []
    ids: set[str] = set()
    for _ in range(_MOST_PAGES):
        rows, cursor = await http.get(path, params, about=about, parse=_reading(parse))
        actions += rows
        if cursor is None:
            return actions
        # The key goes with every request: whatever host is named there, it is sent to our own.
        following = dict(parse_qsl(cursor.partition("?")[2])).get("cursor")
        if following is None or not re.match(rf"https?://[^/?#\s]+{path}\?", cursor):
            raise SourceError(
                f"source {http.name}: {about}: the next page is elsewhere: "
                f"{http.blot(cursor.partition('?')[0])[:100]!r}"
            )
        params = {"cursor": following}
    raise SourceError(
        f"source {http.name}: {about}: the pages do not end: one more is named after {_MOST_PAGES}"
    )


async def _renames(http: HttpClient, symbol: str) -> list[Row]:
    def parse(body: bytes) -> list[Row]:
        events = _decoded(body)["results"].get("events") or []
        named = sorted(
            (date.fromisoformat(event["date"]), event["ticker_change"]["ticker"])
            for event in events
            if event["type"] == "ticker_change"
        )
        # The oldest is the name that it was listed with.
        return [
            (day, ActionKind.RENAME.value, None, None, None, f"{old} to {new}")
            for (_, old), (day, new) in pairwise(named)
        ]

    about = f"{symbol} changes of its ticker"
    try:
        path = f"/vX/reference/tickers/{quote(symbol, safe='')}/events"
        return await http.get(path, {"types": "ticker_change"}, about=about, parse=_reading(parse))
    except SourceError as error:
        # Of a ticker without events there is none such.
        if re.search(r": HTTP 404\b", str(error)):
            return []
        raise


def _reading(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Turn what an answer of another shape makes of `parse` into the error that it is."""

    def read(body: bytes) -> Any:  # noqa: ANN401 - what `parse` gives
        try:
            return parse(body)
        except (LookupError, TypeError, AttributeError, ValueError, ZeroDivisionError) as error:
            raise SourceError(f"the answer is not a list of actions: {excerpt(body)!r}") from error

    return read


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(bounded(body))
    except msgspec.MsgspecError as error:
        raise SourceError(f"the answer is not JSON, or was cut off: {excerpt(body)!r}") from error
    if answer["status"] != "OK":
        raise refusal(
            f"{answer['status']} {answer.get('error') or answer.get('message')}", permanent=True
        )
    return dict(answer)


def _split(row: dict[str, Any]) -> Row:
    old, new = float(row["split_from"]), float(row["split_to"])
    return (
        date.fromisoformat(row["execution_date"]),
        ActionKind.SPLIT.value,
        new / old,
        None,
        None,
        f"{new:g} for {old:g}",
    )


def _dividend(row: dict[str, Any]) -> Row:
    day, amount = date.fromisoformat(row["ex_dividend_date"]), float(row["cash_amount"])
    kind = _DIVIDENDS.get(row.get("dividend_type") or "")
    return day, ActionKind.DIVIDEND.value, None, amount, text_of(row.get("currency")), kind


def _delisting(row: dict[str, Any]) -> Row | None:
    day = text_of(row.get("delisted_utc"))
    if day is None:
        return None
    return (
        date.fromisoformat(day[:10]),
        ActionKind.DELISTING.value,
        None,
        None,
        None,
        text_of(row.get("name")),
    )

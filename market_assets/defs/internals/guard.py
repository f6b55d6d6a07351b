"""Guards the pages: a page of another site can change nothing, and forge no colour.

Dagster's web server trusts every request. A browser sends one for any page that it shows, so that
an address that only this machine can reach is no protection: what counts is the name that the
browser asked for (Host) and the page that asks (Origin).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse
from starlette.responses import PlainTextResponse

from market_assets.hosts import LOOPBACK, name_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

_REPORTS = ("/report_asset_materialization", "/report_asset_check", "/report_asset_observation")
_POLICY_VIOLATION = 1008


@dataclass(frozen=True)
class Rules:
    """Who may ask, and what for.

    Attributes:
        hosts: The names by which the pages may be asked for, without a port, in lower case.
        reports: Whether other programs may report materializations and checks over HTTP.
        read_only: Whether nothing can be changed at all.
    """

    hosts: frozenset[str]
    reports: bool = False
    read_only: bool = False

    @classmethod
    def of(
        cls, host: str, allowed: tuple[str, ...], *, reports: bool = False, read_only: bool = False
    ) -> Rules:
        """The rules of a server.

        Args:
            host: The address that it listens on. One that stands for all addresses names none.
            allowed: More names.
            reports: See the attribute.
            read_only: See the attribute.
        """
        names = {name.lower().strip("[]") for name in allowed}
        names |= set() if _is_wildcard(host) else {host.lower()}
        return cls(LOOPBACK | names, reports, read_only)


def refusal(
    rules: Rules, method: str, path: str, query: str, headers: Mapping[str, str]
) -> str | None:
    """Why a request is refused, in one sentence; None where it is not.

    Args:
        rules: Who may ask, and what for.
        method: GET, POST or another one of HTTP; GET for a WebSocket.
        path: The path that is asked for.
        query: What follows the question mark.
        headers: By their names in lower case.
    """
    host = headers.get("host", "")
    name = name_of(host)
    if name not in rules.hosts:
        return (
            f"Host {name!r} is none of this server's names; "
            f"start it with --allow-host {name or 'NAME'} to allow it."
        )
    origin = headers.get("origin")
    if origin is not None and not _same_site(rules, origin, host):
        return f"The page {origin!r} is of another site and may not use this server."
    is_page = method in {"GET", "HEAD"} and headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site") in {"cross-site", "same-site"} and not is_page:
        return "A page of another site may not use this server."
    if path.startswith(_REPORTS) and (rules.read_only or not rules.reports):
        return (
            "Reports over HTTP are off; "
            "start `market-assets up` with --allow-reports to allow them."
        )
    if path.rstrip("/").endswith("/graphql") and method != "POST" and _changes(query):
        return "A GET changes nothing here; send a mutation by POST."
    return None


def _same_site(rules: Rules, origin: str, host: str) -> bool:
    address = urlsplit(origin)
    if address.netloc.lower() == host.lower():
        return True
    # A proxy may know us by another name than the browser; here every port is a site of its own.
    return (address.hostname or "") in rules.hosts - LOOPBACK


def _changes(query: str) -> bool:
    """Whether a query string holds a GraphQL document that is more than queries, or unreadable."""
    documents = parse_qs(query).get("query", [])
    return any(_is_mutation(document) for document in documents)


def _is_mutation(document: str) -> bool:
    try:
        operations = parse(document).definitions
    except GraphQLError:
        return "mutation" in document
    return any(
        isinstance(operation, OperationDefinitionNode)
        and operation.operation is not OperationType.QUERY
        for operation in operations
    )


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return not host


class Guard:
    """The web server behind its rules: what is refused gets 403 and a sentence.

    Args:
        app: Dagster's web server.
        rules: Who may ask, and what for.
    """

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = {
            key.decode("latin-1").lower(): value.decode("latin-1")
            for key, value in scope["headers"]
        }
        query = scope["query_string"].decode("latin-1")
        why = refusal(self._rules, scope.get("method", "GET"), scope["path"], query, headers)
        if why is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": why})
        else:
            await PlainTextResponse(f"{why}\n", status_code=403)(scope, receive, send)

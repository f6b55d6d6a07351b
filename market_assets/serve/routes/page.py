"""The page for people: files that hold no data, and ask the API as any program does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from market_assets.serve.cache import etag_of
from market_assets.serve.desk import matches

if TYPE_CHECKING:
    from collections.abc import Mapping

router = APIRouter(include_in_schema=False)

PAGES: Mapping[str, str] = {"/": "index.html", "/symbol": "symbol.html"}
"""The documents by their paths; what they load stands below FOLDER."""

FOLDER = "/page/"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}

_HEADERS = {
    # Scripts and styles come from here alone; what a symbol or an error holds is text.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class _File:
    """A file of the page."""

    body: bytes
    media_type: str
    etag: str


@cache
def _files() -> Mapping[str, _File]:
    """What the package ships for the page, by the path below its folder."""
    folder = files("market_assets.serve") / "page"
    content: dict[str, _File] = {}
    waiting = [("", folder)]
    while waiting:
        prefix, place = waiting.pop()
        for entry in place.iterdir():
            name = f"{prefix}{entry.name}"
            if entry.is_dir():
                waiting.append((f"{name}/", entry))
                continue
            suffix = "." + entry.name.rpartition(".")[2]
            if suffix in _TYPES:
                body = entry.read_bytes()
                content[name] = _File(body, _TYPES[suffix], etag_of(body))
    return content


def is_of_page(path: str) -> bool:
    """Whether a path is one of the page: it holds no data, so everybody may have it."""
    return path in PAGES or path.startswith(FOLDER)


@router.get("/")
@router.get("/symbol")
async def document(request: Request) -> Response:
    """A document of the page."""
    return _answer(request, PAGES[request.url.path])


@router.get("/page/{name:path}")
async def file(request: Request, name: str) -> Response:
    """What a document loads."""
    return _answer(request, name)


def _answer(request: Request, name: str) -> Response:
    entry = _files().get(name)
    if entry is None:
        raise HTTPException(404, "the page has no such file")
    headers = {**_HEADERS, "ETag": entry.etag}
    if matches(entry.etag, request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(entry.body, headers=headers, media_type=entry.media_type)

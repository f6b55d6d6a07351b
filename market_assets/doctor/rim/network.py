"""One small request to each address of the universe's sources, without a key.

Of a source of files the folder is looked at.

What an answer says does not matter here, only that there is one. Nothing is sent to a vendor that
wants to be left alone.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from itertools import takewhile
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

import httpx

from market_assets.config.sources import with_limit
from market_assets.doctor.facts import Reach
from market_assets.errors import printable
from market_assets.hosts import LOOPBACK
from market_assets.sources.contract import source_types
from market_assets.sources.transport.hold import Hold
from market_assets.sources.transport.http import HttpSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from market_assets.config.universe import Universe

_PATIENCE = 8.0
"""Seconds for one request, from the name of the host to the head of the answer."""

_PATTERN = re.compile(r"[{*?\[]")


@dataclass(frozen=True)
class _Target:
    """What is asked or looked at, with what is known before that.

    The address may hold what is secret, and goes no further.
    """

    reach: Reach
    address: str = ""

    @property
    def is_to_be_asked(self) -> bool:
        return bool(self.address) and not self.reach.hold


def look_at_network(universe: Universe, clock: Callable[[], float] = time) -> list[Reach]:
    """Ask each source that the universe uses, all at once.

    Args:
        universe: Whose sources are meant.
        clock: The machine's time, in seconds since 1970.
    """
    targets = [target for name in _names(universe) for target in _targets(universe, name)]
    reaches = asyncio.run(_ask_all(targets, clock))
    # What a library says of a fault may have the address in it.
    return [replace(reach, fault=universe.redact(reach.fault)) for reach in reaches]


def _names(universe: Universe) -> list[str]:
    """The sources that some symbol's candles or corporate actions come from."""
    names = {
        choice.source
        for profile in universe.profiles.values()
        for symbol in profile.symbols.values()
        for choice in (*symbol.choices, *symbol.actions)
    }
    return [name for name in universe.sources if name in names]


def _targets(universe: Universe, name: str) -> Iterator[_Target]:
    """What there is to ask or to look at of a source; one may ask another one itself."""
    settings = with_limit(name, universe)
    source_type = source_types()[str(settings.get("type") or name)]
    checked = source_type.Settings.model_validate(settings)
    if isinstance(checked, HttpSettings):
        yield _target(universe, name, checked)
        for key, part in checked:
            if isinstance(part, HttpSettings):
                yield _target(universe, f"{name}.{key}", part)
    elif isinstance(path := getattr(checked, "path", None), str):
        yield _Target(_folder(name, path, universe.path.parent))
    else:
        yield _Target(_unknown(name))


def _target(universe: Universe, name: str, settings: HttpSettings) -> _Target:
    if not settings.base_url:
        return _Target(_unknown(name))
    limit = settings.limiter_path
    hold = Hold(name, Path(f"{limit}.hold")).noted() if limit else 0.0
    return _Target(Reach(name, universe.redact(settings.base_url), hold=hold), settings.base_url)


def _unknown(name: str) -> Reach:
    words = f"it has no address in the universe: market-assets probe {name} SYMBOL tries it"
    return Reach(name, "", reason=words)


def _folder(name: str, pattern: str, base: Path) -> Reach:
    """The folder of a source of files: as much of its path as is the same for all of them."""
    parts = Path(pattern).expanduser().parts[:-1]
    plain = takewhile(lambda part: not _PATTERN.search(part), parts)
    folder = base.joinpath(*plain)
    fault = "" if folder.is_dir() else "there is no such folder"
    return Reach(name, str(folder), is_folder=True, fault=fault)


async def _ask_all(targets: list[_Target], clock: Callable[[], float]) -> list[Reach]:
    addresses = {target.address: target.reach for target in targets if target.is_to_be_asked}
    answers = await asyncio.gather(
        *(_ask(reach, address, clock) for address, reach in addresses.items())
    )
    by_address = dict(zip(addresses, answers, strict=True))
    return [
        replace(by_address[target.address], source=target.reach.source)
        if target.is_to_be_asked
        else target.reach
        for target in targets
    ]


async def _ask(reach: Reach, address: str, clock: Callable[[], float]) -> Reach:
    url = httpx.URL(address)
    client = httpx.AsyncClient(
        headers={"user-agent": "market-assets"},
        timeout=_PATIENCE,
        # A proxy cannot reach this machine's loopback.
        trust_env=url.host not in LOOPBACK,
    )
    try:
        async with asyncio.timeout(_PATIENCE), client:
            asked = clock()
            async with client.stream("GET", url) as answer:
                answered = clock()
                return replace(
                    reach,
                    status=answer.status_code,
                    date=_date(answer.headers),
                    asked=asked,
                    answered=answered,
                )
    except (TimeoutError, httpx.TimeoutException):
        return replace(reach, fault=f"no answer within {_PATIENCE:.0f} s")
    except (httpx.HTTPError, OSError) as error:
        return replace(reach, fault=_words(error))


def _date(headers: Mapping[str, str]) -> float | None:
    """The second that an answer was made in; None where a cache or nobody says it."""
    if headers.get("age", "0") != "0":
        return None
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (TypeError, ValueError):
        return None


def _words(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted here: {printable(cause.verify_message)}"
        cause = cause.__cause__ or cause.__context__
    return printable(" ".join(str(error).split())[:200]) or type(error).__name__

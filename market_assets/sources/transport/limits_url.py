"""The address of a server that limits are kept on: which one it means, and whether it can be one.

No connection is made here, and nothing of the address is shown: it may hold a password.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, SecretStr

from market_assets.sources.transport.limit_postgres import PostgresServer
from market_assets.sources.transport.limit_redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.sources.transport.limit_server import LimitServer


def _check_redis(url: str) -> None:
    import_module("redis").Redis.from_url(url)


def _check_postgres(url: str) -> None:
    import_module("psycopg.conninfo").conninfo_to_dict(url)


@dataclass(frozen=True)
class _Kind:
    extra: str
    server: Callable[[str], LimitServer]
    check: Callable[[str], None]


_REDIS = _Kind("redis", RedisServer, _check_redis)

_POSTGRES = _Kind("postgres", PostgresServer, _check_postgres)

_KINDS = {"redis": _REDIS, "rediss": _REDIS, "postgresql": _POSTGRES, "postgres": _POSTGRES}


def check_limits_url(url: str) -> None:
    """See whether limits can be kept at an address; no connection is made.

    Raises:
        ValueError: It is none, or the library that it needs is missing. The text has nothing of the
            address.
    """
    kind = _KINDS.get(url.partition("://")[0])
    example = (
        "write redis://user:password@host:6379/0 or postgresql://user:password@host:5432/database"
    )
    if kind is None:
        raise ValueError(f"is no address of a server that limits can be kept on: {example}")
    try:
        kind.check(url)
    except ImportError:
        raise ValueError(
            f"needs a library that is not installed: pip install 'market-assets[{kind.extra}]'"
        ) from None
    except Exception:  # noqa: BLE001 - whatever the library says may hold the password
        raise ValueError(
            f"cannot be understood: {example}, with %XX for other signs than letters and digits"
        ) from None


def server_at(url: str) -> LimitServer:
    """The server that an address means; it is asked when the first permit is."""
    return _KINDS[url.partition("://")[0]].server(url)


def _checked(secret: SecretStr) -> SecretStr:
    check_limits_url(secret.get_secret_value())
    return secret


LimitsUrl = Annotated[SecretStr, AfterValidator(_checked)]
"""The address of a Redis or PostgreSQL server, which may hold a password."""

"""Answers that are kept: in this process up to so many bytes, and in Redis where there is one.

An answer is given again only while the store's file has the stamp that it had when the answer was
made: another one after each commit, whatever was committed and by whom. So no healed partition is
served as it was before, and nobody has to tell the cache anything.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from market_assets.imports import late_imports

with late_imports():
    # An extra: few servers share their answers.
    import redis

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Scope

log = logging.getLogger("market_assets.serve")

_SLIP = 512
"""Bytes that an answer takes beside its body."""

_PAUSE = 10.0
"""Seconds for which a Redis server that fails is left alone."""

_TIMEOUT = 0.25
"""Seconds that a Redis server has to answer."""

_KEPT_FOR = 3600
"""Seconds that Redis keeps an answer."""

_LONGEST_KEY = 300


@dataclass(frozen=True)
class Entry:
    """An answer that is kept.

    Attributes:
        stamp: What the store's file looked like when it was made.
        etag: The validator of its body.
        headers: Its headers, the content type among them.
        body: Its bytes.
        until: It is given no more from this instant on; None where time changes nothing in it.
    """

    stamp: str
    etag: str
    headers: Mapping[str, str]
    body: bytes
    until: datetime | None = None

    @property
    def size(self) -> int:
        """How many bytes of memory it takes."""
        return len(self.body) + _SLIP


def etag_of(body: bytes) -> str:
    """The validator of an answer: the same bytes have the same one, whatever was committed."""
    return f'"{sha256(body).hexdigest()[:32]}"'


def request_key(scope: Scope) -> str:
    """What tells a request from others: its path, its parameters, and the form that it wants."""
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    query = scope["query_string"].decode("latin-1")
    text = f"{scope['path']}?{query}\n{accept.decode('latin-1')}"
    # So that a key takes as little memory as it is counted with.
    return text if len(text) < _LONGEST_KEY else sha256(text.encode()).hexdigest()


class Cache:
    """The newest answers of this process.

    Args:
        size: How many bytes they may take; an answer of more than a quarter of it is not kept.
        stamp: Gives what the store's file looks like now.
        clock: Gives the present instant.
    """

    def __init__(
        self, size: int, *, stamp: Callable[[], str | None], clock: Callable[[], datetime]
    ) -> None:
        self._size = size
        self._stamp = stamp
        self._clock = clock
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._held = 0
        self._guard = threading.Lock()

    def get(self, key: str) -> Entry | None:
        """The answer to a request, where it is still right."""
        with self._guard:
            entry = self._entries.get(key)
        if entry is None or not self.is_right(entry):
            return None
        with self._guard:
            if key in self._entries:
                self._entries.move_to_end(key)
        return entry

    def is_right(self, entry: Entry) -> bool:
        """Whether nothing was committed since, and its time is not over."""
        if entry.until is not None and self._clock() >= entry.until:
            return False
        return entry.stamp == self._stamp()

    def put(self, key: str, entry: Entry) -> None:
        """Keep an answer; those that were not asked for the longest go."""
        if 4 * entry.size > self._size:
            return
        with self._guard:
            before = self._entries.pop(key, None)
            self._held += entry.size - (before.size if before else 0)
            self._entries[key] = entry
            while self._held > self._size:
                _, oldest = self._entries.popitem(last=False)
                self._held -= oldest.size

    @property
    def held(self) -> int:
        """How many bytes the answers take now."""
        return self._held


class SharedCache:
    """Answers that several servers share on a Redis server. One that fails is done without.

    Args:
        url: Where it is.
        namespace: What all answers of these servers rest on beside the store: the universe and the
            release.
    """

    def __init__(self, url: str, namespace: str) -> None:
        self._namespace = namespace
        self._pause_until = 0.0
        self._client: Any = redis.Redis.from_url(
            url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT
        )

    def get(self, key: str, stamp: str, store_id: str) -> Entry | None:
        """The answer to a request as of a state of a store."""
        name = self._name(key, stamp, store_id)
        packed = self._asked(lambda: self._client.get(name))
        return None if packed is None else _unpacked(packed, stamp)

    def put(self, key: str, entry: Entry, store_id: str) -> None:
        """Keep an answer for an hour."""
        name, packed = self._name(key, entry.stamp, store_id), _packed(entry)
        self._asked(lambda: self._client.set(name, packed, ex=_KEPT_FOR))

    def _name(self, key: str, stamp: str, store_id: str) -> str:
        text = "\n".join((self._namespace, store_id, stamp, key))
        return f"market_assets:serve:{sha256(text.encode()).hexdigest()}"

    def _asked(self, question: Callable[[], Any]) -> Any:  # noqa: ANN401 - the client's
        if time.monotonic() < self._pause_until:
            return None
        try:
            return question()
        except (redis.RedisError, OSError) as error:
            self._pause_until = time.monotonic() + _PAUSE
            # The words of the library may hold the address, and the address a password.
            log.warning(
                "answers are not shared for %.0f s: the Redis server of serve.cache fails (%s)",
                _PAUSE,
                type(error).__name__,
            )
            return None


def _packed(entry: Entry) -> bytes:
    facts = {
        "etag": entry.etag,
        "headers": dict(entry.headers),
        "until": entry.until and entry.until.isoformat(),
    }
    return json.dumps(facts).encode() + b"\n" + entry.body


def _unpacked(packed: bytes, stamp: str) -> Entry | None:
    head, _, body = packed.partition(b"\n")
    try:
        facts = json.loads(head)
        until = facts["until"] and datetime.fromisoformat(facts["until"])
        entry = Entry(stamp, facts["etag"], facts["headers"], body, until)
    except (ValueError, LookupError, TypeError):
        return None
    # Whoever may write to the server might have written something else.
    return entry if entry.etag == etag_of(body) else None

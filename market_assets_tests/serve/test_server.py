"""The server listens where it may, and says why where it may not."""

from __future__ import annotations

import resource

import pytest

from market_assets.errors import ServeError, UniverseError
from market_assets.serve.server import allow_connections, listen
from market_assets_tests.support.serve_ground import TOKEN


def test_a_free_port_of_this_machine_is_listened_on(filled):
    listener = listen(filled.universe().serve)
    assert listener.url.startswith("http://127.0.0.1:")
    listener.socket.close()


def test_without_a_token_no_other_machine_is_answered(filled):
    settings = filled.universe().serve.model_copy(update={"host": "0.0.0.0"})  # noqa: S104
    with pytest.raises(ServeError, match="token") as refused:
        listen(settings)
    assert refused.value.key == "serve.host"


def test_a_port_that_is_taken_is_named(filled):
    settings = filled.universe().serve
    first = listen(settings)
    port = first.socket.getsockname()[1]
    with pytest.raises(ServeError, match=f":{port}"):
        listen(settings.model_copy(update={"port": port}))
    first.socket.close()


def test_as_many_connections_are_allowed_as_the_system_lets_this_user_have():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, before[0]), before[1]))
    try:
        allow_connections()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert hard == before[1]
        assert soft == (65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("host: 0.0.0.0", "add `token"),
        ('token: "short"', "fewer than 16"),
        ('cache: "memcached://x"', "Redis"),
        ("port: 70000", "65535"),
        ("prt: 1", "did you mean port"),
    ],
)
def test_the_universe_says_what_is_wrong_with_it(filled, keys, words):
    with pytest.raises(UniverseError, match=words):
        filled.universe(keys)


def test_the_token_is_shown_by_nothing(filled):
    universe = filled.universe('token: "${SERVE_TOKEN}"', {"SERVE_TOKEN": TOKEN})

    assert TOKEN not in repr(universe) + universe.model_dump_json() + repr(universe.serve)
    assert universe.redact(f"a {TOKEN}") == "a ${SERVE_TOKEN}"

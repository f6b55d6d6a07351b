"""Servers that take alerts, and what looks for them, one of each for a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from market_assets.alerts import Watch
from market_assets_tests.support.alerts_ground import MailServer, Webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from market_assets.config.universe import Universe
    from market_assets.store import Store
    from market_assets_tests.conftest import Clock


@pytest.fixture
def mail() -> Iterator[MailServer]:
    server = MailServer()
    yield server
    server.stop()


@pytest.fixture
def hook() -> Iterator[Webhook]:
    server = Webhook()
    yield server
    server.stop()


@pytest.fixture
def watch(store: Store, clock: Clock) -> Callable[[Universe], Watch]:
    return lambda universe: Watch(store, universe, clock)

"""Servers that take alerts, one of each for a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from market_assets_tests.support.alerts_ground import MailServer, Webhook

if TYPE_CHECKING:
    from collections.abc import Iterator


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

"""Processes that share what a vendor allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from market_assets_tests.support.limits import Place
from market_assets_tests.support.servers import SERVERS

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", params=["file"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Where the processes of a test share a limit: a file, unless the test is for servers too."""
    if request.param == "file":
        yield Place({"limiter_path": "limits/vendor.sqlite"})
        return
    with SERVERS[request.param]() as url:
        yield Place({"limiter": url})

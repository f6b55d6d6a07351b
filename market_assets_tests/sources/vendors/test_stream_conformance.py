"""Every stream of the package passes the conformance kit."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from market_assets.sources.contract import ENTRY_POINTS
from market_assets.sources.streaming import has_stream
from market_assets.sources.testing import StreamConformance
from market_assets_tests.support.stream_doubles import STREAM_DOUBLES


class TestStreamConformance(StreamConformance):
    """The kit, over each format in turn."""

    @pytest.fixture(autouse=True, params=STREAM_DOUBLES)
    def _vendor(self, request: pytest.FixtureRequest) -> None:
        self.vendor = STREAM_DOUBLES[request.param]


def test_no_stream_of_the_package_is_left_out():
    sources = [
        point.load()
        for point in entry_points(group=ENTRY_POINTS)
        if point.value.startswith("market_assets.")
    ]

    streamed = {source for source in sources if has_stream(source)}
    assert {double.source for double in STREAM_DOUBLES.values()} == streamed

"""Every stream of the package passes the conformance kit."""

from __future__ import annotations

import pytest

from market_assets.sources.streaming import has_stream
from market_assets.sources.testing import StreamConformance
from market_assets_tests.support.stream_doubles import STREAM_DOUBLES


class TestStreamConformance(StreamConformance):
    """The kit, over each format in turn."""

    @pytest.fixture(autouse=True, params=STREAM_DOUBLES)
    def _vendor(self, request: pytest.FixtureRequest) -> None:
        self.vendor = STREAM_DOUBLES[request.param]


def test_no_stream_of_the_package_is_left_out(package_sources):
    streamed = {source for source in package_sources if has_stream(source)}

    assert {double.source for double in STREAM_DOUBLES.values()} == streamed

"""Every source of the package that asks over HTTP passes the conformance kit."""

from __future__ import annotations

import pytest

from market_assets.sources.testing import SourceConformance
from market_assets.sources.transport.http import HttpSettings
from market_assets_tests.support.doubles import DOUBLES
from market_assets_tests.support.library_doubles import LIBRARY_DOUBLES

VENDORS = {**DOUBLES, **LIBRARY_DOUBLES}

# What the client of Databento makes of aiohttp.
pytestmark = pytest.mark.filterwarnings(
    "ignore:BasicAuth is deprecated", "ignore:The 'auth' parameter is deprecated"
)


class TestConformance(SourceConformance):
    """The kit, over each vendor in turn."""

    @pytest.fixture(autouse=True, params=VENDORS)
    def _vendor(self, request: pytest.FixtureRequest) -> None:
        self.vendor = VENDORS[request.param]


def test_no_source_of_the_package_is_left_out(package_sources):
    over_http = {source for source in package_sources if issubclass(source.Settings, HttpSettings)}

    assert {double.source for double in VENDORS.values()} == over_http

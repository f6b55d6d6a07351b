"""The practice ground of each test, and the vendors that it can ask."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from market_assets.practice.book import Market
from market_assets.practice.vendor import PracticeVendor
from market_assets_tests.support.fill_ground import SYMBOLS, Ground

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from market_assets.store import Store
    from market_assets_tests.conftest import Clock


class _VendorClock:
    """The time of the vendors that serve the whole test session: that of the test that runs."""

    of_test: Callable[[], datetime] = staticmethod(lambda: datetime(2025, 3, 1, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.of_test()


@pytest.fixture(scope="session")
def _vendor_clock() -> _VendorClock:
    return _VendorClock()


@pytest.fixture(scope="session")
def _running(_vendor_clock: _VendorClock) -> Iterator[tuple[PracticeVendor, PracticeVendor]]:
    with (
        PracticeVendor(Market(symbols=SYMBOLS, kind="crypto"), _vendor_clock) as one,
        PracticeVendor(Market(seed=1, symbols=SYMBOLS, kind="crypto"), _vendor_clock) as other,
    ):
        yield one, other


@pytest.fixture
def _fresh(
    _running: tuple[PracticeVendor, PracticeVendor], _vendor_clock: _VendorClock, clock: Clock
) -> tuple[PracticeVendor, PracticeVendor]:
    """The vendors without faults and with empty logs, at the time of this test."""
    _vendor_clock.of_test = clock
    for vendor in _running:
        vendor.set_faults([])
        vendor.log.clear()
    return _running


@pytest.fixture
def vendor(_fresh: tuple[PracticeVendor, PracticeVendor]) -> PracticeVendor:
    """A vendor without faults and with an empty log, that trades whatever it is asked for."""
    return _fresh[0]


@pytest.fixture
def second_vendor(_fresh: tuple[PracticeVendor, PracticeVendor]) -> PracticeVendor:
    """Another vendor of the same symbols, with other candles of each."""
    return _fresh[1]


@pytest.fixture
def slow_vendor(clock: Clock) -> Iterator[PracticeVendor]:
    """A vendor for one test alone.

    It is for faults that are still at work when the test ends: delays and drips.
    """
    with PracticeVendor(Market(kind="crypto"), clock) as vendor:
        yield vendor


@pytest.fixture
def empty_ground(tmp_path: Path, store: Store, clock: Clock) -> Ground:
    """A ground without a source."""
    return Ground(tmp_path, store, clock)


@pytest.fixture
def ground(empty_ground: Ground, vendor: PracticeVendor) -> Ground:
    """A ground with one source, the vendor."""
    empty_ground.add_vendor("vendor", vendor)
    return empty_ground

"""A trial tells a fault of the double from one of the source."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from market_assets.market.timeframes import Timeframe
from market_assets.sources.contract import CANDLE_SCHEMA, Usage
from market_assets.sources.testing import (
    Answer,
    NonconformityError,
    SourceConformance,
    candles_from,
)
from market_assets_tests.support.doubles import Coinbase


def verdict_of(double):
    suite = SourceConformance()
    suite.vendor = double
    with pytest.raises(NonconformityError) as caught:
        suite.test_a_window_is_given_exactly()
    return str(caught.value)


def test_a_double_that_fails_is_named_and_not_the_source():
    class Broken(Coinbase):
        def write(self, page):
            raise KeyError(page.question.symbol)

    assert verdict_of(Broken) == "the vendor's double has failed: KeyError('BTC-USD')"


def test_what_a_double_does_not_understand_the_vendor_refuses():
    class Strict(Coinbase):
        def read(self, _request):
            raise ValueError("no such granularity")

    assert "HTTP 404: ValueError: no such granularity" in verdict_of(Strict)


def test_rows_that_are_missing_are_listed_with_how_many_more():
    answer = Answer(CANDLE_SCHEMA.to_frame(), Usage(), requests=1)
    start = datetime(2024, 1, 1, tzinfo=UTC)

    with pytest.raises(NonconformityError) as caught:
        answer.verify_rows(candles_from(start, Timeframe.M1, 5))

    assert str(caught.value) == (
        "rows are missing: 2024-01-01 00:00:00, 2024-01-01 00:01:00, 2024-01-01 00:02:00 and 2 more"
    )


def test_the_kit_is_imported_without_pytest():
    script = "import sys; sys.modules['pytest'] = None; import market_assets.sources.testing"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)

    assert done.returncode == 0, done.stderr

"""The thread that fetches: it opens and closes sources.

Nothing of it is left when a fill ends, however the fill ends.
"""

from __future__ import annotations

import threading

import pytest

from market_assets.errors import SourceError


def test_a_source_that_cannot_be_opened_ends_the_fill_and_the_others_are_closed(ground):
    ground.add_source("broken", type="practice", faults_file="nowhere.yaml")
    ground.keep("symbols: {BTC: {}}")

    with pytest.raises(
        SourceError, match=r"source broken: the faults file .*nowhere.yaml cannot be used"
    ):
        ground.fill()

    assert ground.sources["vendor"]._http._client is None
    assert "market-assets-fetch" not in {thread.name for thread in threading.enumerate()}
    assert ground.job()["status"] == "FAILED"

"""The library that sends messages is silent: of a bad address it would log the words."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from market_assets.notifier import load_apprise

if TYPE_CHECKING:
    import pytest


def test_nothing_that_it_logs_goes_any_further(caplog: pytest.LogCaptureFixture, capfd):
    load_apprise()
    assert load_apprise().Apprise().add("nonsense://hunter2") is False
    logging.getLogger("apprise").error("hunter2")
    assert "hunter2" not in caplog.text + "".join(capfd.readouterr())

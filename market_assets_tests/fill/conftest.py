"""Grounds whose vendor cannot name first bars."""

from __future__ import annotations

import pytest


@pytest.fixture
def plain(empty_ground, vendor):
    """A ground with the usual vendor, that cannot name first bars."""
    empty_ground.add_vendor("vendor", vendor, earliest_probe=False)
    return empty_ground

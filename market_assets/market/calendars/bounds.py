"""How long markets stay closed, and how far a session reaches, on any calendar. Pure."""

from __future__ import annotations

from datetime import timedelta

CLOSURE = timedelta(days=7)
"""Longer than any market stays closed by its rules: around any instant there is a bar within it."""

LONGEST_CLOSURE = timedelta(days=31)
"""Longer than any exchange was ever closed, whatever happened."""

SESSION_REACH = timedelta(days=4)
"""How far from its date a session begins or ends at most."""

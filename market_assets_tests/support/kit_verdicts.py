"""What the conformance kits say."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest import SkipTest

from market_assets.sources.testing import NonconformityError

if TYPE_CHECKING:
    from market_assets.sources.testing import SourceConformance, StreamConformance

KEY = "kEy-0f-an-Example-4711"
"""A key that the example of a source has to be given, and must not show."""


def checks_of(kit: type[SourceConformance | StreamConformance]) -> list[str]:
    return [name for name in dir(kit) if name.startswith("test_")]


def words_of(kit: SourceConformance | StreamConformance, check: str) -> str | None:
    """The words of a check's failure, None where it passes or skips."""
    try:
        getattr(kit, check)()
    except NonconformityError as error:
        return str(error)
    except SkipTest:
        pass
    return None

"""One attempt that came to nothing, and whether another may help."""

from __future__ import annotations

import pytest

from market_assets.errors import SourceError
from market_assets.sources.transport.failure import FailureError, failure_of


@pytest.mark.parametrize(
    ("permanent", "is_last", "ends"),
    [(False, False, False), (True, False, True), (False, True, True)],
)
def test_what_is_permanent_is_the_last_attempt(*, permanent: bool, is_last: bool, ends: bool):
    failure = FailureError("no", permanent=permanent, is_last=is_last)
    assert failure.is_last is ends
    assert failure.permanent is permanent


def test_the_failure_of_an_error_has_all_that_it_says_but_its_words():
    error = SourceError("with a key in it", retry_after=9.0, of_machine=True)
    failure = failure_of(error, "blotted")
    assert (str(failure), failure.reason) == ("blotted", "blotted")
    assert (failure.retry_after, failure.of_machine, failure.permanent) == (9.0, True, False)
    # Whoever is refused wherever it asks from here does not ask again right now.
    assert failure.is_last
    assert failure_of(SourceError("gone", permanent=True), "gone").permanent

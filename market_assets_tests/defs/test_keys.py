"""The names by which Dagster knows things."""

from __future__ import annotations

import pytest

from market_assets.defs.keys import TRIGGER_TAG, trigger_of, trigger_tag
from market_assets.work.run import Trigger


@pytest.mark.parametrize("trigger", Trigger)
def test_the_tag_of_a_run_says_how_it_came_about(trigger: Trigger) -> None:
    tags = trigger_tag(trigger)
    # A member of an enum cannot be stored as the value of a tag.
    assert {type(value) for value in tags.values()} == {str}
    assert trigger_of(tags) is trigger


def test_a_run_without_the_tag_is_one_of_a_person() -> None:
    assert trigger_of({}) is Trigger.MANUAL
    assert trigger_of({"dagster/backfill": "abc"}) is Trigger.BACKFILL
    assert trigger_of({TRIGGER_TAG: "a word of somebody's own"}) is Trigger.MANUAL

"""The parts of the file as they are written."""

from __future__ import annotations

import pytest

from market_assets.config.entries import Entries, ProfileEntry, Rules
from market_assets.config.yaml_file import keys_of


@pytest.mark.parametrize("part", [Entries, ProfileEntry])
def test_every_key_is_listed_once(part: type[Rules]) -> None:
    assert sorted(keys_of(part)) == sorted(part.model_fields)


def test_a_rule_of_the_file_is_one_of_each_profile() -> None:
    assert Rules.model_fields.keys() <= Entries.model_fields.keys() & ProfileEntry.model_fields

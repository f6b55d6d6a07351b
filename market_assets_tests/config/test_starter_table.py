"""The table of first universes: each row can be kept as it stands."""

from __future__ import annotations

import re

import pytest

from market_assets.config.starter_table import STARTERS
from market_assets.sources.contract import source_types, traits_of


@pytest.mark.parametrize("name", STARTERS)
def test_a_starter_has_a_source_that_serves_what_it_begins_with(name: str) -> None:
    starter = STARTERS[name]
    source_type = source_types()[starter.source]
    if starter.kind is None:
        # Whoever asks for it says the kind.
        return
    settings = source_type.Settings.model_validate(dict(starter.settings))
    traits = traits_of(source_type, settings)

    assert starter.fetch in traits.timeframes_for(starter.kind.value.lower())
    assert starter.kind.value.lower() in traits.kinds
    assert traits.needs_key == bool(starter.variables)
    assert set(starter.variables) == set(re.findall(r"\$\{(\w+)\}", str(starter.settings)))

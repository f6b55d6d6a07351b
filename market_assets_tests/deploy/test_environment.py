"""The example of the variables."""

from __future__ import annotations

from pathlib import Path

import pytest

import market_assets
from market_assets.config.entries import Entries, ProfileEntry
from market_assets.config.services import ServeSettings
from market_assets.config.settings import RepairSettings, StreamSettings, UpdateSettings
from market_assets.deploy.environment import KEYS, example
from market_assets.sources.transport.http import HttpSettings

PAGE = Path(market_assets.__file__).parents[1] / "docs" / "deploy.md"
MODELS = {
    "update": UpdateSettings,
    "repair": RepairSettings,
    "stream": StreamSettings,
    "serve": ServeSettings,
    "sources": HttpSettings,
    "profiles": ProfileEntry,
}


def lines(text: str) -> dict[str, str]:
    """The variables that a file sets, and those that it shows as a comment with `#`."""
    return dict(
        line.split("=", 1)
        for line in text.splitlines()
        if "=" in line and not line.startswith("# ")
    )


def test_what_must_be_set_stands_open_and_the_rest_is_a_comment_with_its_default(site) -> None:
    variables = lines(example(site))

    assert variables["ALPACA_KEY_ID"] == ""
    assert variables["#MARKET_ASSETS_HOME"] == str(site.home)
    assert variables["#MARKET_ASSETS_REPAIR_MAX_FILLS"] == "50"
    repair = {f"#MARKET_ASSETS_REPAIR_{key.upper()}" for key in RepairSettings.model_fields}
    assert repair <= variables.keys()


def test_every_variable_has_its_meaning_before_it(site) -> None:
    *blocks, _ = example(site).strip().split("\n\n")
    assert len(blocks) == len(site.variables)
    for block in blocks:
        *words, variable = block.splitlines()
        assert words
        assert all(line.startswith("# ") for line in words)
        assert "=" in variable


@pytest.mark.parametrize(("name", "key"), KEYS.items())
def test_the_variable_of_another_service_leads_to_a_key_that_there_is(site, name, key) -> None:
    section, *_, last = key.split(".")
    assert section in {*Entries.model_fields, *ProfileEntry.model_fields}
    assert last in MODELS[section].model_fields
    assert f"{name} " in example(site)
    assert f"| `{name}` | `{key}` |" in PAGE.read_text()

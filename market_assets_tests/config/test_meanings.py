"""Settings say what they mean, and how their defaults are written."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from market_assets.config.meanings import default_of, descriptions, written
from market_assets.config.settings import EvidenceSettings, RepairSettings


def test_a_key_means_what_the_docstring_says() -> None:
    meanings = descriptions(RepairSettings)
    assert meanings["every"] == ("How often failed, faulty and absent partitions are looked for.")
    assert meanings.keys() == RepairSettings.model_fields.keys()


def test_a_meaning_of_many_lines_is_one() -> None:
    assert descriptions(EvidenceSettings)["quiet_limit"].endswith("confirmed like any other hole.")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (timedelta(minutes=90), "90m"),
        (True, "true"),
        (3, "3"),
        (date(2010, 1, 1), "2010-01-01"),
        ((timedelta(minutes=1), timedelta(hours=1)), "[1m, 1h]"),
        (None, ""),
        ({}, ""),
        (EvidenceSettings(), ""),
    ],
)
def test_a_default_is_written_as_in_the_file(value: object, text: str) -> None:
    assert written(value) == text


def test_a_share_is_written_in_percent() -> None:
    assert written(0.25, share=True) == "25%"


def test_the_default_of_a_key() -> None:
    assert default_of(RepairSettings.model_fields["max_fills"]) == 50

"""The keys of an archive, and what each may be."""

# ruff: noqa: DTZ001 - a frame's times bear no zone

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pydantic import ValidationError

from market_assets.sources.files.settings import ArchiveSettings
from market_assets_tests.support.archives import SAMPLES, archive, fetch
from market_assets_tests.support.file_fills import DAYS, HEAD, keep, line, minutes, write

if TYPE_CHECKING:
    from pathlib import Path


MARCH_11 = datetime(2024, 3, 11)


class TestTrouble:
    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"path": "{ticker}.csv"}, "ticker cannot stand in braces"),
            ({"path": "{symbol}.xlsx"}, "must end in"),
            ({"path": "all.csv"}, "name the column that holds it"),
            ({"path": "{symbol}.csv", "timezone": "Mars/Olympus"}, "no time zone"),
            (
                {"path": "{symbol}.csv", "header": False, "columns": {"ts": "Date"}},
                "given by place",
            ),
            ({"path": "{symbol}.csv", "columns": {"wap": "w"}}, "columns"),
            ({"path": "{symbol}.csv", "columns": {"ts": -1}}, "columns"),
            ({"path": "{symbol}.csv", "quiet_minutes": "maybe"}, "quiet_minutes"),
            ({}, "path"),
        ],
    )
    def test_settings_that_make_no_sense_are_refused(self, wrong, words):
        with pytest.raises(ValidationError, match=words):
            ArchiveSettings.model_validate(wrong)


@pytest.mark.parametrize("name", ["Alpha Vantage", "alpha_vantage", "ALPHAVANTAGE"])
def test_a_layout_may_be_written_as_its_vendor_is(name: str) -> None:
    assert (
        ArchiveSettings.model_validate({"path": "{symbol}.csv", "layout": name}).layout
        == "alphavantage"
    )


def test_an_offset_that_yaml_takes_for_a_number_is_a_clock(tmp_path: Path) -> None:
    (tmp_path / "SPY.csv").write_text(HEAD + "2024-03-11 10:30,1,2,0.5,1.5,3\n")
    given = yaml.safe_load("clock: +10:30")

    assert fetch(archive(tmp_path, "{symbol}.csv", **given))["ts"].to_list() == [MARCH_11]


def test_every_key_of_a_layout_can_be_set_otherwise(tmp_path: Path) -> None:
    (tmp_path / "SPY.csv").write_text(SAMPLES["histdata"][1])

    frame = fetch(archive(tmp_path, "{symbol}.csv", layout="histdata", timezone="UTC"))

    assert frame["ts"][0] == MARCH_11


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layout": "nobody"}, "layout"),
        ({"clock": "Mars + 7h"}, "New York"),
        ({"clock": "UTC", "timezone": "UTC"}, "set one of them"),
        ({"columns": {"time": "t"}}, "one of dates"),
        ({"encoding": "morse"}, "no encoding"),
        ({"stamps": "middle"}, "stamps"),
        ({"price_scale": 0}, "price_scale"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ArchiveSettings.model_validate({"path": "{symbol}.csv"} | wrong)


class TestAnOpenOutsideTheRange:
    @pytest.mark.parametrize(("allowed", "stored"), [(True, 4), (False, 3)])
    def test_it_is_a_bar_where_the_settings_say_so(self, ground, allowed, stored):
        rows = [line(ts) for ts in minutes(DAYS[0], 4)]
        rows[2] = "2025-02-26 00:02:00,12.5,11,9,10,5\n"
        write(ground, "A.csv", HEAD + "".join(rows))
        keep(
            ground,
            "{symbol}.csv",
            start="2025-02-26",
            end="2025-02-27",
            open_outside_range=allowed,
        )

        ground.fill()

        assert ground.rows().height == stored

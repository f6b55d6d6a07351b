"""Which files reach into a window, without a look at each of them again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from market_assets.market.timeframes import Window, to_micros
from market_assets.sources.files.look import Look
from market_assets.sources.files.paths import File
from market_assets_tests.support.fill_ground import at

if TYPE_CHECKING:
    from pathlib import Path

FIRST = Window(at("2025-02-26"), at("2025-02-27"))
NOWHERE = Window(at("2025-03-26"), at("2025-03-27"))


def look_at(folder: Path, suffix: str = ".csv") -> Look:
    """Two files, each of a day, and one without a row."""
    files = []
    for number, day in enumerate(("2025-02-26", "2025-02-27")):
        path = folder / f"{day}{suffix}"
        path.write_text(f"{number}")
        opens = to_micros(at(day)), to_micros(at(f"{day}T23:59"))
        files.append((File.at(path), (*opens, True)))
    empty = folder / f"none{suffix}"
    empty.write_text("")
    # The clock of a file system may stand still for some milliseconds.
    os.utime(folder, ns=(1, 1))
    return Look.of([*files, (File.at(empty), None)], folder)


def names(look: Look, window: Window) -> list[str] | None:
    near = look.near(window)
    return None if near is None else [file.path.name for file, _ in near]


def test_only_files_that_reach_into_the_window_are_given(tmp_path):
    look = look_at(tmp_path)
    assert names(look, FIRST) == ["2025-02-26.csv"]
    both = Window(at("2025-02-26T12:00"), at("2025-02-27T12:00"))
    assert names(look, both) == ["2025-02-26.csv", "2025-02-27.csv"]


def test_all_are_looked_at_again_where_none_reaches_so_far_or_one_is_new_changed_or_gone(tmp_path):
    assert look_at(tmp_path).near(NOWHERE) is None

    look = look_at(tmp_path)
    (tmp_path / "2025-02-27.csv").write_text("longer")
    assert names(look, FIRST) == ["2025-02-26.csv"]
    (tmp_path / "2025-02-26.csv").write_text("longer")
    assert look.near(FIRST) is None

    look = look_at(tmp_path)
    (tmp_path / "2025-02-25.csv").write_text("new")
    assert look.near(FIRST) is None

    look = look_at(tmp_path)
    (tmp_path / "2025-02-26.csv").unlink()
    assert look.near(FIRST) is None


def test_a_zip_is_always_looked_at(tmp_path):
    assert look_at(tmp_path, ".zip").near(FIRST) is None

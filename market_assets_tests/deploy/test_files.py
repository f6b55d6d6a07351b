"""Files are written all or none, and nobody's changes are lost."""

from __future__ import annotations

import pytest

from market_assets.deploy.files import place
from market_assets.errors import DeployError

FILES = {"one.txt": "one", "within/two.txt": "two"}


def test_files_are_written_and_the_second_time_they_are_as_they_were(tmp_path) -> None:
    assert place(FILES, tmp_path / "new").written == ("one.txt", "within/two.txt")
    assert (tmp_path / "new" / "within" / "two.txt").read_text() == "two"

    again = place(FILES, tmp_path / "new")
    assert (again.written, again.unchanged) == ((), ("one.txt", "within/two.txt"))


def test_a_file_with_another_text_stops_all_of_them(tmp_path) -> None:
    (tmp_path / "within").mkdir()
    (tmp_path / "within" / "two.txt").write_text("mine")

    with pytest.raises(DeployError, match=r"within/two.txt.*--force.*Nothing was written"):
        place(FILES, tmp_path)

    assert not (tmp_path / "one.txt").exists()
    assert (tmp_path / "within" / "two.txt").read_text() == "mine"
    place(FILES, tmp_path, force=True)
    assert (tmp_path / "within" / "two.txt").read_text() == "two"


def test_a_folder_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DeployError, match=r"file.*cannot be written"):
        place(FILES, tmp_path / "file")

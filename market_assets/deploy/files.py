"""Puts the files of a deployment into a folder; what somebody has changed there stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from market_assets.errors import DeployError
from market_assets.words import listed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Placed:
    """What became of the files.

    Attributes:
        written: Those that are new, or other than they were.
        unchanged: Those that were there as they are.
    """

    written: tuple[str, ...]
    unchanged: tuple[str, ...]


def place(files: Mapping[str, str], folder: Path, *, force: bool = False) -> Placed:
    """Write files into a folder, all of them or none.

    Args:
        files: The texts by path within the folder.
        folder: Made if it is not there.
        force: Whether a file that is there with another text is replaced.

    Raises:
        DeployError: One is there with another text, or the folder cannot be written.
    """
    try:
        unchanged = {name for name, text in files.items() if _text(folder / name) == text}
        written = [name for name in files if name not in unchanged]
        in_the_way = [name for name in written if (folder / name).exists()]
        if in_the_way and not force:
            raise DeployError(
                f"{folder} has {listed(in_the_way)} with another text: compare it with what is "
                "printed without a folder, then add --force, or name another folder. "
                "Nothing was written."
            )
        for name in written:
            _write(folder / name, files[name])
    except OSError as error:
        raise DeployError(
            f"{error.filename or folder} cannot be written: {error.strerror}. "
            "Give this user write access, or name another folder."
        ) from error
    return Placed(tuple(written), tuple(sorted(unchanged)))


def _text(path: Path) -> str | None:
    """What a file holds; None where there is none, or it holds no text."""
    try:
        return path.read_text()
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _write(path: Path, text: str) -> None:
    """Move a text into its place whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(text)
    draft.replace(path)

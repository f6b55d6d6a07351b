"""The facts that checks judge, as `rim` gathers them: plain values without a secret in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Need:
    """A package that another one needs.

    Attributes:
        package: Its name.
        releases: Which releases will do, such as `>=2.1,<3`; empty for any.
        release: The one that is installed; None where there is none.
        fits: Whether it is one of these.
    """

    package: str
    releases: str
    release: str | None
    fits: bool


@dataclass(frozen=True)
class Software:
    """The interpreter and the packages.

    Attributes:
        python: Its release, such as 3.11.7.
        pythons: Which releases will do.
        python_fits: Whether it is one of these.
        needs: What the package cannot do without.
        extras: The same of each extra, by name.
        wanted_extras: The extras that the universe uses, each with what uses it.
        tests: For each package whose release is another than in constraints.txt: both of them, the
            installed one first. None where there is no such file.
    """

    python: str
    pythons: str
    python_fits: bool
    needs: tuple[Need, ...]
    extras: Mapping[str, tuple[Need, ...]] = field(default_factory=dict)
    wanted_extras: Mapping[str, str] = field(default_factory=dict)
    tests: Mapping[str, tuple[str, str]] | None = None


@dataclass(frozen=True)
class Place:
    """The home folder and the disk that it is on, or would be made on.

    Attributes:
        path: Where it is.
        exists: Whether there is something.
        is_folder: Whether that, or the folder in which it would be made, is a folder.
        is_writable: Whether this user may write there.
        system: The kind of the file system, such as `ext4`; empty where it cannot be known.
        free: Bytes that are free on the disk.
        store: Bytes of the store's file; 0 where there is none.
    """

    path: Path
    exists: bool
    is_folder: bool
    is_writable: bool
    system: str
    free: int
    store: int


@dataclass(frozen=True)
class Setup:
    """The universe as it is written.

    Attributes:
        path: The file.
        problems: What is wrong with it, a sentence each.
        profiles: How many profiles it has.
        symbols: How many symbols they have.
        keys: For each `${NAME}` in it, whether the variable is set.
        clock: What `MARKET_ASSETS_CLOCK` holds; empty where it is not set.
    """

    path: str
    problems: tuple[str, ...]
    profiles: int
    symbols: int
    keys: Mapping[str, bool]
    clock: str = ""


@dataclass(frozen=True)
class Reach:
    """What came of one request to a source's address, or of a look at its folder.

    Attributes:
        source: The source's name.
        place: The address without what may be secret, or the folder.
        is_folder: Whether it is a folder.
        status: The status of the answer; None where there was none, or where it is no address.
        fault: Why there was no answer; empty where there was one.
        reason: Why nobody has looked; empty where somebody has.
        hold: Seconds for which the vendor wants to be left alone: nothing was asked then.
        date: The second that the answer's Date names, since 1970; None where it has none.
        asked: When it was asked, in seconds since 1970 by this machine's clock.
        answered: When the answer came, by the same clock.
    """

    source: str
    place: str
    is_folder: bool = False
    status: int | None = None
    fault: str = ""
    reason: str = ""
    hold: float = 0.0
    date: float | None = None
    asked: float = 0.0
    answered: float = 0.0


@dataclass(frozen=True)
class Port:
    """A port that one of our servers listens on.

    Attributes:
        server: Which one, such as `pages`.
        host: The address.
        number: The port.
        fault: Why it cannot be listened on; empty where it can.
        is_in_use: Whether somebody listens there.
        holder: Who that is, as far as this user may know.
        is_ours: Whether it is a program of this package.
    """

    server: str
    host: str
    number: int
    fault: str = ""
    is_in_use: bool = False
    holder: str = ""
    is_ours: bool = False


@dataclass(frozen=True)
class StoreFile:
    """The store's file.

    Attributes:
        version: Its version; None where there is no file, or where it cannot be read.
        program: The version that this program knows.
        exists: Whether there is a file.
        fault: Why its version cannot be read.
        holder: Who has it now, so that it was left alone; empty where nobody has.
    """

    version: int | None
    program: int
    exists: bool = True
    fault: str = ""
    holder: str = ""


@dataclass(frozen=True)
class DagsterFile:
    """A database of Dagster in the home folder.

    Attributes:
        name: Its path in the home folder.
        revision: The revision of its tables; None where it cannot be read.
        head: The revision of the installed Dagster.
        is_past: Whether the installed Dagster knows the revision.
    """

    name: str
    revision: str | None
    head: str
    is_past: bool = True


@dataclass(frozen=True)
class Lock:
    """A lock of the home folder, with the note beside it.

    Attributes:
        name: Its file.
        is_in_use: Whether some process has it.
        note: Who has it, or had it, in words; empty where there is no note.
        process: The process that the note names; None where it names none.
        is_alive: Whether that process runs; None where it is on another machine.
    """

    name: str
    is_in_use: bool
    note: str = ""
    process: int | None = None
    is_alive: bool | None = None

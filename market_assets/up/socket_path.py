"""Where the code server listens: a short path that nobody else can put something at.

The address of the pages is not here: see `options`.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from market_assets.errors import UpError

_SOCKET = "up.sock"

_SOCKET_PATH = 100
"""Letters that the path of a socket may have on every system."""


def socket_path(home: Path) -> Path:
    """Where the code server listens: in the home folder, or in one of /tmp.

    The path of a socket must be short, and gRPC takes some letters for something else.

    Raises:
        UpError: Somebody else has a folder of that name.
    """
    path = home / _SOCKET
    if len(os.fsencode(path)) <= _SOCKET_PATH and re.fullmatch(r"[\w./-]+", str(path), re.ASCII):
        return path
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"market-assets-{os.getuid()}-{name}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if (
        status.st_uid != os.getuid()
        or stat.S_IMODE(status.st_mode) & 0o077
        or not stat.S_ISDIR(status.st_mode)
    ):
        raise UpError(
            f"{folder}: this folder is open to others; remove it, "
            "or set TMPDIR to a folder of yours."
        )
    return folder / _SOCKET

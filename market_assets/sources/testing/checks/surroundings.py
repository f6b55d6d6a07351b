"""What surrounds a source under test: its secrets, the machine's zone, and what is logged."""

from __future__ import annotations

import logging
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import SecretStr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel


def secrets_in(settings: BaseModel) -> frozenset[str]:
    """The secrets among some settings; an empty one is none."""
    values = [value for _, value in settings if isinstance(value, SecretStr)]
    return frozenset(value.get_secret_value() for value in values) - {""}


@contextmanager
def log_lines() -> Iterator[list[str]]:
    """Collect what is logged meanwhile, at every level."""
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(logging.Formatter().format(record))

    root, collector = logging.getLogger(), Collector(logging.NOTSET)
    level = root.level
    root.addHandler(collector)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.removeHandler(collector)
        root.setLevel(level)


@contextmanager
def zone_of_machine(name: str) -> Iterator[None]:
    """Set the time zone of this process for a while, where the system can."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    _heed_zone()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        _heed_zone()


def _heed_zone() -> None:
    if hasattr(time, "tzset"):
        time.tzset()

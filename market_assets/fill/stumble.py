"""An answer that breaks the code which reads it becomes a failure of that one question.

A fault of this program belongs here; what a source itself reports does not.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from market_assets.errors import MarketAssetsError, SourceError, error_words, trace_words

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("market_assets.fill")


@contextmanager
def naming(about: str) -> Iterator[None]:
    """Make an odd answer a failure of this one question, by name.

    Args:
        about: Who was asked for what.

    Raises:
        SourceError: The code that reads the answer broke.
    """
    try:
        yield
    except MarketAssetsError:
        raise
    except TimeoutError:
        # That of the budget, or a source's own: the caller can tell.
        raise
    except Exception as error:
        raise stumble(about, "the answer", error) from error


def stumble(about: str, what: str, error: Exception) -> SourceError:
    """The error, logged with its trace, where an answer breaks the code that reads it."""
    log.warning("%s: %s cannot be used\n%s", about, what, trace_words(error))
    return SourceError(
        f"{about}: {what} cannot be used ({error_words(error)}); the trace is in the log"
    )

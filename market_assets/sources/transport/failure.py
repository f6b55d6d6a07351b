"""One attempt at a vendor that came to nothing, and whether another may help.

What a status or a page is taken for is elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from market_assets.errors import SourceError


class FailureError(Exception):
    """One attempt came to nothing.

    Attributes:
        reason: Why, in words that may be shown.
        permanent: True when another attempt cannot help.
        retry_after: Seconds for which the server asks to be left alone, None where it says nothing.
        is_last: True when another attempt right now cannot help, though one at another time may.
        of_machine: See `SourceError`.
    """

    def __init__(
        self,
        reason: str,
        *,
        permanent: bool = False,
        retry_after: float | None = None,
        is_last: bool = False,
        of_machine: bool = False,
    ) -> None:
        self.reason = reason
        self.permanent = permanent
        self.retry_after = retry_after
        self.is_last = is_last or permanent
        self.of_machine = of_machine
        super().__init__(reason)


def failure_of(error: SourceError, reason: str) -> FailureError:
    """The failure of one attempt that a source's error reports, in words that may be shown."""
    return FailureError(
        reason,
        permanent=error.permanent,
        retry_after=error.retry_after,
        is_last=error.of_machine,
        of_machine=error.of_machine,
    )

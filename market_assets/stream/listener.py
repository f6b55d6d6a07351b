"""What connections say of themselves: who hears it, and why one of them ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection

    from market_assets.sources.streaming import Beat, Candle, Trade


class Ending(msgspec.Struct, frozen=True):
    """Why a connection ended.

    Attributes:
        words: The reason.
        is_final: True where another attempt cannot help.
        is_refusal: True where only the symbols are refused: others may still be served.
        wait: Seconds for which the vendor wants to be left alone.
    """

    words: str
    is_final: bool = False
    is_refusal: bool = False
    wait: float = 0.0


class Listener(Protocol):
    """Who hears what comes over the connections. Instants are in microseconds since 1970."""

    def count_frame(self) -> None:
        """A frame came."""
        ...

    def hear(self, event: Candle | Trade | Beat, now: int) -> None:
        """A candle, a trade, or a heartbeat came."""
        ...

    def accept(self, symbols: Collection[str], now: int) -> None:
        """The vendor serves these symbols."""
        ...

    def refuse(self, symbols: Collection[str], words: str, *, permanent: bool) -> None:
        """The vendor does not serve these symbols."""
        ...

    def complain(self, words: str, symbols: Collection[str] = ()) -> None:
        """A frame was not as it should be; of these symbols a change may have been in it."""
        ...

    def fall_silent(self, symbols: Collection[str]) -> None:
        """There are frames, but for too long no candle of these symbols."""
        ...

    def break_silence(self, symbol: str) -> None:
        """A candle of a symbol comes that was silent for too long."""
        ...

    def warn(self, words: str) -> None:
        """The vendor will end the connection, or its time is over: it is being replaced."""
        ...

    def hand_over(self, symbols: Collection[str]) -> None:
        """Another connection serves these symbols, without a gap."""
        ...

    def lose(self, symbols: Collection[str], ending: Ending) -> None:
        """No connection serves these symbols any more, for now or for good."""
        ...

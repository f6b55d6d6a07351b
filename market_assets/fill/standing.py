"""How the sources stand in one fill: who is not asked again, and why. Pure.

It counts what came of requests. Neither a request nor a clock belongs here.
"""

from __future__ import annotations

from collections import defaultdict

from market_assets.errors import SourceError

TRIPPED_AFTER = 3
"""After so many failures in a row, and not for one symbol alone, a source is not asked again.

That holds for the same fill: the source is down, and each try costs minutes. Neither is it asked
again for a symbol after so many failed or refused windows in a row.
"""

Key = tuple[str, str]
"""A source's name, and its own name for a symbol."""


class Standing:
    """What the requests to each source, and for each of its symbols, have come to so far."""

    def __init__(self) -> None:
        self._failures: dict[tuple[str, bool], list[tuple[str, SourceError]]] = defaultdict(list)
        self._strikes: dict[tuple[Key, bool], list[SourceError]] = defaultdict(list)
        self._rebuffs: dict[Key, int] = defaultdict(int)
        self._refusals: dict[Key, SourceError] = {}
        self._barred: dict[str, SourceError] = {}

    def check(self, key: Key, *, probe: bool) -> None:
        """Check that something may come of a request.

        Args:
            key: Whom to ask for what.
            probe: It asks for nothing but the symbol's first bar.

        Raises:
            SourceError: It is clear that nothing would.
        """
        source, symbol = key
        failures, strikes = self._failures[source, probe], self._strikes[key, probe]
        if key in self._refusals:
            raise self._refusals[key]
        if source in self._barred:
            raise _barred(source, self._barred[source])
        if len(failures) >= TRIPPED_AFTER and len({name for name, _ in failures}) > 1:
            raise _tripped(f"source {source}", failures[-1][1])
        if len(strikes) >= TRIPPED_AFTER:
            raise _tripped(f"source {source}: {symbol}", strikes[-1])

    def note_answer(self, key: Key, *, probe: bool) -> None:
        """Count that a request was answered: nothing before it counts any more."""
        source, _ = key
        self._failures[source, probe].clear()
        self._strikes[key, probe].clear()
        self._rebuffs[key] = 0

    def note_error(self, key: Key, error: SourceError, *, probe: bool) -> None:
        """Count that a request was not answered.

        A refusal of the first bar is one of the symbol. One of a window is not: who asks for it
        counts it as a rebuff, or knows better.
        """
        source, symbol = key
        if error.of_machine:
            self._barred[source] = error
        if not error.permanent:
            self._failures[source, probe].append((symbol, error))
            self._strikes[key, probe].append(error)
        elif probe:
            self._refusals[key] = error

    def rebuff(self, key: Key) -> int:
        """Count that a window was refused; return how many were in a row."""
        self._rebuffs[key] += 1
        return self._rebuffs[key]

    def refuse(self, key: Key, error: SourceError) -> None:
        """Ask for the symbol no more."""
        self._refusals[key] = error

    def refusal_of(self, key: Key) -> SourceError | None:
        """Why the symbol is not asked for any more; None where it is."""
        return self._refusals.get(key)


def _barred(name: str, error: SourceError) -> SourceError:
    return SourceError(
        f"source {name}: refuses whoever asks from this machine, "
        f"and was not asked again in this fill: {error}",
        of_machine=True,
    )


def _tripped(whom: str, last: SourceError) -> SourceError:
    return SourceError(
        f"{whom}: failed {TRIPPED_AFTER} times in a row and was not asked again in this fill; "
        f"run it again once this is mended: {last}"
    )

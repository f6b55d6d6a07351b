"""One cause, one trouble: what follows from another trouble is named under it. Pure.

A trouble follows from another one when its kind can (`_FOLLOWS`), when they are of the same
profile, and when all that it is about (days of symbols) is touched by what the other one is about.
What has no cause in the list stays as it is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

from market_assets.alerts.troubles import CONSEQUENCES, Key, Kind, Level, Place, Trouble

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import date

_CAUSES = (
    Kind.STORE,
    Kind.STORE_CHANGED,
    Kind.DEAD,
    Kind.SOURCE_DOWN,
    Kind.MISSING_SYMBOL,
    Kind.VANISHED,
    Kind.GAP,
    Kind.ABANDONED,
    Kind.FAILED_CHECK,
    Kind.FAILED_PARTITIONS,
    Kind.ENRICHMENT,
)
"""Which kinds of trouble can be a cause, the deepest first."""

_FRUIT = frozenset(
    {
        Kind.FAILED_CHECK,
        Kind.FAILED_PARTITIONS,
        Kind.ENRICHMENT,
        Kind.FAILED_DAYS,
        Kind.STALE,
    }
)
"""What the absence of candles shows as elsewhere."""

_FOLLOWS: Mapping[Kind, frozenset[Kind]] = {
    Kind.STORE: frozenset(Kind) - {Kind.STORE, Kind.CHANNEL},
    Kind.STORE_CHANGED: _FRUIT
    | {Kind.VANISHED, Kind.BACKLOG, Kind.GAP, Kind.ABANDONED, Kind.MISSING_SYMBOL},
    Kind.DEAD: frozenset({Kind.DEAD, Kind.STALE}),
    Kind.SOURCE_DOWN: _FRUIT | {Kind.GAP, Kind.STREAM},
    Kind.MISSING_SYMBOL: _FRUIT | {Kind.GAP, Kind.ABANDONED, Kind.STREAM, Kind.STREAM_REFUSED},
    Kind.VANISHED: _FRUIT | {Kind.GAP},
    Kind.GAP: _FRUIT,
    Kind.ABANDONED: _FRUIT,
    Kind.FAILED_CHECK: frozenset({Kind.FAILED_PARTITIONS, Kind.ENRICHMENT, Kind.FAILED_DAYS}),
    Kind.FAILED_PARTITIONS: frozenset({Kind.ENRICHMENT, Kind.FAILED_DAYS, Kind.FAILED_PARTITIONS}),
    Kind.ENRICHMENT: frozenset({Kind.FAILED_PARTITIONS, Kind.ENRICHMENT}),
}
"""What can follow from what."""

_OF_ABSENCE = frozenset({"continuity", "genesis", "alignment"})
"""The checks that fail because bars are absent; the others say something of their own."""

_WORLD = frozenset({Kind.STORE, Kind.STORE_CHANGED})
"""A trouble of such a kind concerns everything."""


@dataclass(frozen=True)
class Folded:
    """The troubles that are told, and those that are named under one of them.

    Attributes:
        causes: What is told; their last lines name what follows from them.
        under: The key of what follows, with the key of its cause.
    """

    causes: tuple[Trouble, ...]
    under: Mapping[Key, Key]


def fold(troubles: Iterable[Trouble]) -> Folded:
    """Put each trouble that follows from another under it.

    Args:
        troubles: What is wrong now; no two with one key.
    """
    ordered = sorted(troubles, key=_depth)
    spans = {
        trouble.key: _Spans.of(trouble.places) for trouble in ordered if trouble.kind in _CAUSES
    }
    under: dict[Key, Key] = {}
    followers: dict[Key, list[Trouble]] = defaultdict(list)
    for place, trouble in enumerate(ordered):
        cause = _cause_of(trouble, ordered[:place], spans)
        if cause is not None:
            # What follows from a consequence is one of the first cause.
            under[trouble.key] = under.get(cause.key, cause.key)
            followers[under[trouble.key]].append(trouble)
    causes = [trouble for trouble in ordered if trouble.key not in under]
    return Folded(tuple(_with(cause, followers[cause.key]) for cause in causes), under)


def _cause_of(
    trouble: Trouble, deeper: Sequence[Trouble], spans: Mapping[Key, _Spans]
) -> Trouble | None:
    """The deepest of some troubles that another one follows from.

    None where they do not account for all of it.
    """
    able = [cause for cause in deeper if _can_follow(trouble, cause)]
    sure = next((cause for cause in able if not _by_place(trouble, cause)), None)
    if sure is not None or not able:
        return sure
    left, first = set(trouble.places), None
    for cause in able:
        touched = {place for place in left if spans[cause.key].touch(place)}
        first = first or (cause if touched else None)
        left -= touched
    return None if left else first


def locate(
    troubles: Iterable[Trouble], absent: Mapping[tuple[str, date], Collection[str]]
) -> list[Trouble]:
    """Name the symbols of a failed partition, where the ledger of absences knows them.

    Args:
        troubles: What is wrong now.
        absent: By profile and day, the symbols that lack a bar of it.
    """
    return [replace(trouble, places=_located(trouble, absent)) for trouble in troubles]


def _located(
    trouble: Trouble, absent: Mapping[tuple[str, date], Collection[str]]
) -> frozenset[Place]:
    if trouble.kind not in {Kind.FAILED_CHECK, Kind.FAILED_PARTITIONS}:
        return trouble.places
    places: set[Place] = set()
    for place in trouble.places:
        # Longer partitions are of derived candles, which lack what the shorter ones do.
        symbols = (
            absent.get((trouble.profile, place.first), ()) if place.first == place.last else ()
        )
        places |= {Place(symbol, place.first, place.last) for symbol in symbols or (place.symbol,)}
    return frozenset(places)


def _depth(trouble: Trouble) -> tuple[int, bool, bool, Key]:
    rank = _CAUSES.index(trouble.kind) if trouble.kind in _CAUSES else len(_CAUSES)
    # A daemon makes the automations tick; what is fetched comes before what is made of it.
    return rank, not trouble.subject.startswith("daemon "), trouble.derived, trouble.key


def _can_follow(trouble: Trouble, cause: Trouble) -> bool:
    """Whether one trouble may be there because of another, wherever they are."""
    if trouble.kind not in _FOLLOWS.get(cause.kind, ()):
        return False
    if cause.kind in _WORLD:
        return True
    if cause.kind is Kind.DEAD:
        return _silenced(trouble, cause)
    if trouble.profile != cause.profile or not _by_absence(trouble) or not _by_absence(cause):
        return False
    if trouble.kind is Kind.FAILED_DAYS:
        return cause.kind is Kind.SOURCE_DOWN or trouble.subject in cause.subject.split()
    return trouble.derived or trouble.kind is not cause.kind


def _by_place(trouble: Trouble, cause: Trouble) -> bool:
    """Whether the days and symbols of two troubles decide if one follows from the other."""
    return cause.kind not in {*_WORLD, Kind.DEAD} and trouble.kind is not Kind.FAILED_DAYS


def _silenced(trouble: Trouble, cause: Trouble) -> bool:
    """Whether something is silent because what makes it work is.

    The daemons move the automations, and these bring candles.
    """
    daemon = cause.subject.startswith("daemon ")
    if trouble.kind is Kind.DEAD:
        # All daemons live in one process: where several are silent, it is gone.
        fails = any(member.summary.startswith("fails: ") for member in (trouble, cause))
        return daemon and not fails
    return daemon or cause.subject.endswith(f" update_{trouble.profile}")


def _by_absence(trouble: Trouble) -> bool:
    return trouble.kind is not Kind.FAILED_CHECK or trouble.subject.split()[-1] in _OF_ABSENCE


def _with(cause: Trouble, followers: Sequence[Trouble]) -> Trouble:
    """A cause with the names of what follows from it, as bad as the worst of them."""
    if not followers:
        return cause
    by_kind: dict[Kind, list[str]] = defaultdict(list)
    for trouble in followers:
        # What follows from a trouble of everything may be of any profile.
        by_kind[trouble.kind].append(
            " ".join(part for part in (_elsewhere(trouble, cause), trouble.subject) if part)
        )
    lines = tuple(
        f"{CONSEQUENCES}{kind.value.replace('_', ' ')}: {', '.join(sorted(names))}"
        for kind, names in sorted(by_kind.items())
    )
    worst = any(trouble.level is Level.ERROR for trouble in (cause, *followers))
    return replace(
        cause, details=(*cause.details, *lines), level=Level.ERROR if worst else cause.level
    )


def _elsewhere(trouble: Trouble, cause: Trouble) -> str:
    return trouble.profile if trouble.profile != cause.profile else ""


@dataclass(frozen=True)
class _Spans:
    """The days of each symbol that a trouble is about, to be asked for quickly.

    Attributes:
        by_symbol: The first days, sorted, and the latest last day up to each.
    """

    by_symbol: Mapping[str, tuple[list[date], list[date]]]

    @classmethod
    def of(cls, places: Collection[Place]) -> _Spans:
        days: dict[str | None, list[tuple[date, date]]] = defaultdict(list)
        for place in places:
            days[place.symbol].append((place.first, place.last))
        # None stands for all symbols together: what has no symbol may be of any of them.
        days[None] = [span for spans in days.values() for span in spans]
        bounds = {}
        for symbol, spans in days.items():
            spans.sort()
            lasts = list(accumulate((last for _, last in spans), max))
            bounds[symbol] = ([first for first, _ in spans], lasts)
        return cls(bounds)  # type: ignore[arg-type]  # None beside the names

    def touch(self, place: Place) -> bool:
        """Whether a place shares a day and a symbol with these."""
        symbols: tuple[str | None, ...] = (place.symbol, "") if place.symbol else (None,)
        for symbol in symbols:
            firsts, lasts = self.by_symbol.get(symbol, ([], []))  # type: ignore[arg-type]
            before = bisect_right(firsts, place.last)
            if before and lasts[before - 1] >= place.first:
                return True
        return False

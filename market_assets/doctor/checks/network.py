"""The sources: whether they answer, and whether their clocks and this machine's agree."""

from __future__ import annotations

from http import HTTPStatus
from statistics import median_low
from typing import TYPE_CHECKING

from market_assets.doctor.findings import Finding, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from market_assets.doctor.facts import Reach

_SLIGHT, _GREAT = 1.0, 30.0
"""Seconds of skew that harm nothing, and from which on bars are asked for at a wrong time."""

_OF_A_PLACE = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS})
_BUSY = frozenset({HTTPStatus.IM_A_TEAPOT, HTTPStatus.TOO_MANY_REQUESTS})

_OF_A_PATH = "see that `path` of the source names the folder that is meant"
_OF_A_WAY = (
    "see that this machine has a name server, a way out and, where one is needed, "
    "a proxy (HTTPS_PROXY)"
)


def check_no_network(reason: str) -> Iterator[Finding]:
    """Say that nobody was asked, and why."""
    yield Finding("sources", State.SKIP, f"not asked, {reason}")
    yield Finding("clock skew", State.SKIP, f"not measured, {reason}")


def check_network(reaches: Sequence[Reach]) -> Iterator[Finding]:
    """Judge what the sources have answered."""
    for reach in reaches:
        yield _source(reach)
    yield _skew([skew for reach in reaches if (skew := skew_of(reach)) is not None])


def skew_of(reach: Reach) -> float | None:
    """By how many seconds this machine's clock is ahead of the one that dated an answer.

    It is 0.0 where they may agree: a date has whole seconds, and an answer takes a while. None
    where there is no date.
    """
    if reach.date is None:
        return None
    if reach.asked > reach.date + 1:
        return reach.asked - (reach.date + 1)
    if reach.answered < reach.date:
        return reach.answered - reach.date
    return 0.0


def _source(reach: Reach) -> Finding:
    subject = f"source {reach.source}"
    if reach.reason:
        return Finding(subject, State.SKIP, reach.reason)
    if reach.hold:
        return Finding(
            subject,
            State.WARN,
            f"{reach.place} was not asked: it wants to be left alone for {reach.hold:,.0f} s more",
            "wait: work that needs it goes on by itself afterwards",
        )
    if reach.fault:
        step = _OF_A_PATH if reach.is_folder else _OF_A_WAY
        return Finding(subject, State.FAIL, f"{reach.place}: {reach.fault}", step)
    if reach.status is None:
        return Finding(subject, State.OK, reach.place)
    return _answer(subject, reach, reach.status)


def _answer(subject: str, reach: Reach, status: int) -> Finding:
    words = f"{reach.place} answers ({status}, {reach.answered - reach.asked:.1f} s)"
    if status in _OF_A_PLACE:
        return Finding(
            subject,
            State.WARN,
            f"{words}: it may refuse this address or country",
            f"market-assets probe {reach.source} SYMBOL shows whether it gives candles",
        )
    if status in _BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        words = f"{words}: it does not serve now"
        return Finding(subject, State.WARN, words, "run this again in some minutes")
    return Finding(subject, State.OK, words)


def _skew(skews: Sequence[float]) -> Finding:
    if not skews:
        return Finding("clock skew", State.SKIP, "no source has said what time it is")
    # One server with a wrong clock is outvoted.
    skew = median_low(skews)
    size, side = abs(skew), "ahead of" if skew > 0 else "behind"
    if size <= _SLIGHT:
        return Finding("clock skew", State.OK, f"under {size + 1:.0f} s")
    return Finding(
        "clock skew",
        State.FAIL if size > _GREAT else State.WARN,
        f"this machine's clock is {size:,.0f} s {side} those of the sources: "
        "bars are asked for too early or too late",
        "set the clock, best by NTP: timedatectl set-ntp true",
    )

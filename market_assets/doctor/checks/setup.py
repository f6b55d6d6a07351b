"""The universe: whether it can be used, and whether its keys are set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.doctor.findings import Finding, State
from market_assets.words import listed, many

if TYPE_CHECKING:
    from collections.abc import Iterator

    from market_assets.doctor.facts import Setup

_MOST = 3
"""Problems that a sentence has."""


def check_setup(setup: Setup) -> Iterator[Finding]:
    """Judge the universe file and the environment."""
    yield _universe(setup)
    yield _keys(setup)
    if setup.clock:
        yield Finding(
            "clock",
            State.WARN,
            "MARKET_ASSETS_CLOCK sets another time, for tests: "
            "bars are asked for by that and not by the machine's",
            "unset MARKET_ASSETS_CLOCK",
        )


def _universe(setup: Setup) -> Finding:
    if setup.problems:
        more = len(setup.problems) - _MOST
        words = "; ".join(setup.problems[:_MOST]) + (f"; and {more} more" if more > 0 else "")
        return Finding(
            "universe",
            State.FAIL,
            f"{setup.path}: {words}",
            "mend the file; market-assets validate lists all that is wrong",
        )
    return Finding(
        "universe",
        State.OK,
        f"{setup.path}: {many(setup.profiles, 'profile')}, {many(setup.symbols, 'symbol')}",
    )


def _keys(setup: Setup) -> Finding:
    if absent := [name for name, is_set in setup.keys.items() if not is_set]:
        return Finding(
            "keys",
            State.FAIL,
            f"not set: {listed(absent)}",
            f"set {'it' if len(absent) == 1 else 'them'} in the environment, "
            "where every command of this universe runs",
        )
    if not setup.keys:
        return Finding("keys", State.OK, "the universe names none")
    return Finding("keys", State.OK, f"set: {listed(setup.keys)}")

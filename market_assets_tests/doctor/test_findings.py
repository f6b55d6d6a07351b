"""The worst of what was seen."""

from __future__ import annotations

from market_assets.doctor.findings import Finding, State, worst_of


def findings(*states: State) -> list[Finding]:
    return [Finding("x", state, "words") for state in states]


def test_the_worst_of_all_states_counts_and_what_was_not_looked_at_is_well():
    assert worst_of(findings(State.OK, State.WARN, State.FAIL, State.OK)) is State.FAIL
    assert worst_of(findings(State.OK, State.WARN, State.SKIP)) is State.WARN
    assert worst_of(findings(State.OK, State.SKIP)) is State.OK
    assert worst_of([]) is State.OK

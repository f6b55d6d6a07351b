"""How a profile is kept: defaults, and what is set for all or for one."""

from __future__ import annotations

import textwrap
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from market_assets.config.settings import AgreementSettings
from market_assets_tests.support.universe_text import TWO_VENUES, universe

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.config.universe import Universe

    Load = Callable[..., Universe]
    Problems = Callable[..., list[str]]


# What a sound file gives


def test_agreement_is_off_unless_a_sample_is_set_and_takes_shares_both_ways(load: Load) -> None:
    profile = load(TWO_VENUES).profiles["crypto"]
    assert (profile.agreement.sample, profile.compares) == (0, False)
    text = "agreement: {sample: 5%, close: 0.2%, volume: null}\n" + textwrap.dedent(TWO_VENUES)
    profile = load(
        text.replace("    start:", "    agreement: {close: 0.01, every: 30m}\n    start:")
    ).profiles["crypto"]
    assert profile.agreement == AgreementSettings(
        sample=0.05, close=0.01, volume=None, every=timedelta(minutes=30)
    )
    assert profile.compares


# Evidence, repair, updates, alerts


def test_budgets_come_from_the_file_then_the_profile_then_the_environment(load: Load):
    text = universe(
        "repair: {max_fills: 7, backoff: [2m, 3h]}",
        top="repair: {max_fills: 3, max_attempts: 4, every: 5m}",
    )
    ours = load(text).profiles["crypto"].repair
    assert (ours.max_fills, ours.max_attempts, ours.every) == (7, 4, timedelta(minutes=5))
    here = (
        load(
            text,
            MARKET_ASSETS_REPAIR_MAX_FILLS="11",
            MARKET_ASSETS_REPAIR_BACKOFF="[10s, 20s]",
            MARKET_ASSETS_REPAIR_LEGACY_CUTOFF="2015-06-01",
            MARKET_ASSETS_REPAIR_MAX_TIME="90s",
        )
        .profiles["crypto"]
        .repair
    )
    assert (here.max_fills, here.max_attempts, here.max_time) == (11, 4, timedelta(seconds=90))
    assert here.backoff == (timedelta(seconds=10), timedelta(seconds=20))
    assert here.legacy_cutoff == date(2015, 6, 1)


def test_a_budget_that_the_environment_sets_wrongly_is_named_with_its_variable(problems: Problems):
    found = problems(
        universe(), MARKET_ASSETS_REPAIR_MAX_FILLS="many", MARKET_ASSETS_REPAIR_MAXTIME="1h"
    )
    assert found[0].startswith(
        "MARKET_ASSETS_REPAIR_MAXTIME: is no setting; did you mean MARKET_ASSETS_REPAIR_MAX_TIME?"
    )
    assert found[1].startswith("MARKET_ASSETS_REPAIR_MAX_FILLS: ")
    assert "integer" in found[1]


def test_evidence_and_updates_have_their_defaults_and_are_set_for_all_or_one(load: Load):
    usual = load(universe()).profiles["crypto"]
    assert (usual.evidence.confirmations, usual.evidence.apart) == (2, timedelta(hours=1))
    assert (usual.update.every, usual.update.first_backfill) == (
        timedelta(minutes=1),
        timedelta(days=365),
    )
    assert usual.repair.every == timedelta(hours=1)
    text = universe(
        "evidence: {apart: 1d}\nupdate: {every: 15m}", top="evidence: {confirmations: 3, apart: 2h}"
    )
    own = load(text).profiles["crypto"]
    assert (own.evidence.confirmations, own.evidence.apart) == (3, timedelta(days=1))
    assert own.update.every == timedelta(minutes=15)


@pytest.mark.parametrize("every", ["7m", "90s", "5h", "2d", "30s"])
def test_a_cadence_that_no_clock_face_has_is_refused(problems: Problems, every: str):
    (found,) = problems(universe(f"update: {{every: {every}}}"))
    assert found.startswith(
        "profiles.crypto.update.every: divides neither an hour into whole minutes"
    )

"""Each refused row has advice: the setting that would mend it."""

from __future__ import annotations

import pytest

from market_assets.verdicts.advice import advice_for
from market_assets.verdicts.clean import FAULTS, Reason


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason in FAULTS])
def test_every_fault_of_a_row_has_a_setting_that_would_mend_it(reason: str):
    assert "`" in advice_for(reason)
    assert advice_for(reason) != advice_for("a reason of somebody else")


def test_where_times_and_numbers_are_written_is_told_apart():
    assert "`timezone`" in advice_for(Reason.NO_TIME)
    assert "`decimal`" in advice_for(Reason.NO_NUMBER)
    assert "`checks: {jitter: 0.2}`" in advice_for(Reason.OFF_GRID)


def test_a_reason_that_nobody_knows_sends_to_the_rows():
    assert advice_for("odd") == "see the rows with `market-assets probe SOURCE SYMBOL`"

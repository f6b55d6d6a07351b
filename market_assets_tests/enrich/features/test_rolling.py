"""Sums and moments over windows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_assets.enrich.features.rolling import rolling_moments, rolling_sum

values = st.lists(
    st.sampled_from([0.0, 1e-9, 1e-3, 1.0, 99_999.999, 1e5, 1e12]) | st.floats(-1e6, 1e6),
    max_size=80,
)


@settings(max_examples=100)
@given(values, st.integers(1, 12))
def test_a_window_is_as_exact_as_if_it_stood_alone(values: list[float], n: int):
    column = np.array(values)
    sums, (means, distances, deviations) = rolling_sum(column, n), rolling_moments(column, n)
    assert all(len(one) == len(values) for one in (sums, means, distances, deviations))
    for end in range(len(values)):
        own = column[max(end - n + 1, 0) : end + 1]
        if len(own) < n:
            assert np.isnan([sums[end], means[end], deviations[end]]).all()
            continue
        assert sums[end] == pytest.approx(own.sum(), rel=1e-9, abs=1e-12 * np.abs(own).sum())
        spread = (own - own[0]).std()
        assert deviations[end] == pytest.approx(spread, rel=1e-9, abs=1e-300)
        assert distances[end] == pytest.approx(
            own[-1] - own.mean(), abs=1e-9 * spread + 1e-15 * np.abs(own).max()
        )
        assert (spread == 0) == (deviations[end] == 0)

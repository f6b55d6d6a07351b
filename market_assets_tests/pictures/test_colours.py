"""Each thing that a bar may be has a colour and a word of its own."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from market_assets.pictures.candles import candle_picture
from market_assets.pictures.colours import MARKS
from market_assets.verdicts.evidence import State
from market_assets_tests.support.pictures import bars, pixels, rail

number = st.none() | st.floats() | st.sampled_from([0.0, -0.0, 1e-300, 1e300, -37.63, 100.0])
row = st.tuples(st.sampled_from([*MARKS, State.STORED]), number, number, number, number, number)


@pytest.mark.parametrize("mark", MARKS)
def test_each_mark_has_a_colour_of_its_own_and_a_word_in_the_legend(mark: str) -> None:
    plain, marked = (
        candle_picture(bars(State.STORED, one, State.STORED, minutes=60), title="kept BTC 1h")
        for one in (State.STORED, mark)
    )
    assert [name for name, _ in rail(marked)] == [mark]
    assert rail(plain) == []
    rows = pixels(marked)
    assert any(pixel == MARKS[mark][0] for row in rows[-24:] for pixel in row)
    assert sum(row.count(MARKS[mark][1]) for row in rows) > 1000

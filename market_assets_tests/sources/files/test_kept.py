"""Rows of files that were read once.

They are kept while they are needed, and are dropped also where nobody closes them.
"""

from __future__ import annotations

import gc
import warnings

import polars as pl
import pytest

from market_assets.sources.files.kept import Keep

ROWS = pl.DataFrame({"ts": [1, 2], "close": [10.0, 11.0]})


def test_what_was_put_is_given_back_from_its_place() -> None:
    keep = Keep()
    first, second = keep.put(ROWS), keep.put(ROWS.reverse())
    assert keep.get(*second).equals(ROWS.reverse())
    assert keep.get(*first).equals(ROWS)
    keep.close()
    with pytest.raises(ValueError, match="closed"):
        keep.get(*first)


@pytest.mark.parametrize("used", [True, False])
def test_what_nobody_closes_leaves_no_file_open(*, used: bool) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        keep = Keep()
        if used:
            keep.put(ROWS)
        del keep
        gc.collect()
    assert [str(one.message) for one in told if one.category is ResourceWarning] == []

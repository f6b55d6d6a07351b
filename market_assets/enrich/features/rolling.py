"""Sums and deviations over the last n values of a column, exact over all of its length. Pure.

The usual way, to add what enters the window and subtract what leaves it, keeps the rounding of
every value that it ever met: after one volume of 1e12 the sums of small ones are noise for good,
and a result depends on where the column begins. Here a window that ends in one block of n values is
the tail of the block before it and the head of its own, and both are sums of nothing but its
values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[np.float64]


def rolling_sum(values: Column, n: int) -> Column:
    """The sum of each value and the n - 1 before it.

    NaN where there are fewer, or one of them is NaN.
    """
    blocks = _blocks(values, n)
    return _joined(_heads(blocks), _tails(blocks), len(values), n)


def rolling_moments(values: Column, n: int) -> tuple[Column, Column, Column]:
    """Mean and spread of each value and the n - 1 before it.

    NaN where there are fewer, or one of them is NaN. All is computed from distances to one value of
    the window, so that a price of 100,000 that moves by a thousandth loses nothing, and the
    deviation of equal values is 0.

    Returns:
        The means; the distance of each value from its mean; the standard deviations (of a
        population: divided by n).
    """
    blocks = _blocks(values, n)
    firsts = blocks[:, :1]
    # The first value of a block is in every window that ends in the block: it is the base also for
    # the window's part of the block before.
    following = np.append(firsts[1:], firsts[-1:], axis=0)
    ahead, behind = blocks - firsts, blocks - following
    mean = _joined(_heads(ahead), _tails(behind), len(values), n) / n
    square = _joined(_heads(ahead * ahead), _tails(behind * behind), len(values), n) / n
    deviation = np.sqrt(np.maximum(square - mean * mean, 0.0))
    base = np.repeat(firsts.ravel(), n)[: len(values)]
    return base + mean, ahead.ravel()[: len(values)] - mean, deviation


def _blocks(values: Column, n: int) -> Column:
    rows = -(-len(values) // n)
    padded = np.zeros(rows * n)
    padded[: len(values)] = values
    return padded.reshape(rows, n)


def _heads(blocks: Column) -> Column:
    """For each place of a block the sum up to it."""
    return np.add.accumulate(blocks, axis=1).ravel()


def _tails(blocks: Column) -> Column:
    """For each place of a block the sum from it on.

    It is 0 at the first place, because such a window lies in one block.
    """
    sums = np.empty_like(blocks)
    np.add.accumulate(blocks[:, ::-1], axis=1, out=sums[:, ::-1])
    sums[:, 0] = 0.0
    return sums.ravel()


def _joined(heads: Column, tails: Column, length: int, n: int) -> Column:
    """The sums of windows of n values.

    A window is the head of the block in which it ends, and the tail of the block before.
    """
    sums = heads[:length]
    sums[n:] += tails[1 : max(length - n + 1, 1)]
    sums[: n - 1] = np.nan
    return sums

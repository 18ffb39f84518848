"""How much lies above each element among those before it: what counting pairs comes down to.

All pairs of a million elements are too many to look at. The elements are cut into blocks in their
order. What whole blocks before an element hold is read off running counts of the codes, which
move on once a block; only within its own block is an element compared with each before it. With
blocks of 256 either part costs a few operations for each element.
"""

from __future__ import annotations

import numpy as np

_BLOCK = 256
"""Elements of a block: so few that how many lie before one in its block fits in a byte."""

_FEW_CODES = 8192
"""So many codes cost about as much in the running counts as the comparisons within the blocks."""

_AT_ONCE = 256
"""Blocks compared at once, so that they stay in the processor's cache."""


def sum_higher_before(code: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return for each element the weight of the elements before it that have a higher code.

    Args:
        code: Whole numbers from 0; with more than a few thousand of them only their order counts.
        weight: What each element adds; any number not below 0.

    Returns:
        The sums; exact where all weights are 0 or 1.

    Examples:
        >>> sum_higher_before(np.array([2, 0, 1, 0]), np.ones(4)).tolist()
        [0, 1, 1, 2]
        >>> sum_higher_before(np.array([2, 0, 1, 0]), np.array([0.5, 1, 2, 1])).tolist()
        [0.0, 0.5, 0.5, 2.5]
    """
    n = len(code)
    # Whole blocks; what fills the last one weighs nothing.
    missing = -n % _BLOCK
    code = np.concatenate([code, np.zeros(missing, code.dtype)])
    is_count = bool(((weight == 0) | (weight == 1)).all())
    weight = np.concatenate([weight, np.zeros(missing, weight.dtype)])
    weight = weight.astype(bool) if is_count else weight.astype(float)
    if int(code.max()) < _FEW_CODES:
        return (_in_blocks_before(code, weight) + _within_blocks(code, weight))[:n]
    # Every element is given a code of its own, those of one code in their order, and blocks of
    # these take the place of the codes. Elements of one such block but of different blocks of the
    # order are still to be compared: seen from the highest code, which of them is the earlier.
    by_code = np.argsort(code, kind="stable")
    rank = np.empty(len(code), np.int64)
    rank[by_code] = np.arange(len(code))
    sums = _in_blocks_before(rank // _BLOCK, weight) + _within_blocks(rank, weight)
    from_highest = by_code[::-1]
    earliest_highest = (len(code) - 1 - from_highest) // _BLOCK
    sums[from_highest] += _within_blocks(earliest_highest, weight[from_highest])
    return sums[:n]


def _in_blocks_before(code: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the sums over the elements of whole blocks before."""
    # Turned round, so that what is higher comes first and a running sum runs forward.
    last = int(code.max())
    place = (last - code).astype(np.intp).reshape(-1, _BLOCK)
    kind = np.int64 if weight.dtype == bool else float
    sizes = weight.astype(kind).reshape(-1, _BLOCK)
    result = np.empty(place.shape, kind)
    held, above = np.zeros(last + 1, kind), np.zeros(last + 2, kind)
    for own, size, sums in zip(place, sizes, result, strict=True):
        above.take(own, out=sums, mode="clip")
        np.add.at(held, own, size)
        held.cumsum(out=above[1:])
    return result.ravel()


def _within_blocks(code: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the sums over the elements before in the same block."""
    is_count = weight.dtype == bool
    kind = np.int16 if int(code.max()) < 2**15 else np.int32 if len(code) < 2**31 else np.int64
    result = np.empty(len(code), np.uint8 if is_count else float)
    for start in range(0, len(code), _BLOCK * _AT_ONCE):
        chunk = slice(start, start + _BLOCK * _AT_ONCE)
        # Blocks side by side: neighbours in a block are then whole lines apart.
        shape = (-1, _BLOCK)
        own = np.ascontiguousarray(code[chunk].astype(kind).reshape(shape).T)
        size = np.ascontiguousarray(weight[chunk].reshape(shape).T)
        # What does not count is below everything.
        other = np.where(size > 0, own, -1).astype(kind)
        sums = np.zeros(own.shape, result.dtype)
        higher = np.empty(own.shape, bool)
        for step in range(1, _BLOCK):
            is_higher = np.greater(other[:-step], own[step:], out=higher[step:])
            sums[step:] += is_higher.view(np.uint8) if is_count else is_higher * size[:-step]
        result[chunk] = sums.T.ravel()
    return result

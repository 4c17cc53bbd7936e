"""The loops of the bins in LLVM against the same in plain Python, bit for bit."""

import numpy as np
import pytest
from loops import both

from saltation.kernels import bin_loops as B

EVENTS, BINS = 40, 20


def events(seed):
    """Bins and table of some events; a limit that is the very offset of one."""
    rng = np.random.default_rng(seed)
    bins, table = rng.integers(0, BINS - 3, EVENTS).astype(np.int32), rng.uniform(0.5, 1.5, EVENTS * B.NUM_FACTORS)
    return rng, bins, table, table[10 * B.NUM_FACTORS + B.OFFSET]


def test_sum_events():
    rng, bins, table, limit = events(0)
    sums, older = rng.normal(size=BINS * B.NUM_SUMS), np.full(EVENTS, -1, np.int32)
    sums[B.NEWEST :: B.NUM_SUMS] = 0.0
    arguments = 3, EVENTS - 2, 2, limit, 0.7, -0.4, 0.3, np.array([0.9, 0.8, 1.0, 1.0]), bins, table, sums, older
    _, filled = both(B.sum_events, B._sum_events, arguments, {10, 11})
    beyond = table[B.OFFSET :: B.NUM_FACTORS] >= limit
    assert beyond[10] and 3 < beyond.sum() < EVENTS - 3
    seen = []
    for c in range(BINS):  # the chain of each bin, backwards
        number = int(filled[10][c * B.NUM_SUMS + B.NEWEST])
        while number > 0:
            assert bins[number - 1] + 2 + beyond[number - 1] == c
            seen.append(number - 1)
            number = filled[11][number - 1]
    assert sorted(seen) == list(range(3, EVENTS - 2))


@pytest.mark.parametrize("want_times", [False, True])
def test_use_events(want_times):
    """Up to the first in a bin with an edge; from there on; and to the end."""
    rng, bins, table, limit = events(1)
    adjoint, keep = rng.normal(size=BINS * B.NUM_ADJOINT), np.array([0.9, 0.8, 1.0, 1.0])
    event, times, total = rng.permutation(EVENTS), rng.normal(size=EVENTS), np.full(B.NUM_ADJOINT, 9.0)

    def place(p):
        return (bins[p] + 1 + int(table[p * B.NUM_FACTORS + B.OFFSET] >= limit)) * B.NUM_ADJOINT + B.ALPHA

    adjoint[place(20)] = np.nan
    first, ends = 0, []
    while first < EVENTS:
        rest = limit, (-0.3, 0.6), keep, bins, table, adjoint, total, event, times
        changed = {9, 11} if want_times and not np.isnan(adjoint[place(first)]) else {9}
        end, filled = both(B.use_events, B._use_events, (first, EVENTS, 1, *rest), changed, want_times)
        assert np.isfinite(filled[9]).all()
        ends.append(end)
        first = end + 1
    assert 20 in ends and ends[-1] in (EVENTS, EVENTS - 1) and len(ends) > 1

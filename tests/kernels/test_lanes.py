"""The loops in LLVM against the same loops in plain Python, bit for bit; and the bound that they rest on."""

import numpy as np
import pytest
from loops import compiled

from saltation.kernels import lanes
from saltation.kernels.flow import flow
from saltation.kernels.lanes import LANES

ROWS, ARRIVALS = 6, 5


def arrays(seed, columns, own):
    rng = np.random.default_rng(seed)
    row_of = rng.integers(0, ROWS, ARRIVALS + 2 * lanes.AHEAD + 3) * LANES
    table = rng.normal(size=columns * (ARRIVALS + 3) * (LANES if own else 1))
    return rng, row_of, table


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("number", [1, ARRIVALS])
def test_sweep_chunk(own, number):
    rng, row_of, table = arrays(number, lanes.NUM_COEFFICIENTS, own)
    call = compiled(lanes.sweep_chunk, 8, own)
    weights = rng.normal(size=2 * ROWS * LANES)
    ours = rng.normal(size=2 * lanes.STATE_SIZE)
    ours[-LANES:] *= 10.0  # some of the bars are reached
    twin = ours.copy()
    rest = lanes.STATE_SIZE, weights, ROWS * LANES, row_of, table, 2, number
    mask = call(ours, *rest)
    assert mask == lanes._sweep_chunk(twin, *rest, own)
    assert 0 < mask < (1 << LANES) - 1
    np.testing.assert_array_equal(ours, twin)


@pytest.mark.parametrize("own", [False, True])
def test_receive_late(own):
    rng, _, late = arrays(3, lanes.NUM_LATE, own)
    call = compiled(lanes.receive_late, 5, own)
    ours = rng.normal(size=2 * lanes.STATE_SIZE)
    twin = ours.copy()
    rest = lanes.STATE_SIZE, rng.normal(size=ROWS * LANES), 2 * LANES, abs(late)
    mask = call(ours, *rest)
    assert mask == lanes._receive_late(twin, *rest, own)
    assert 0 < mask < (1 << LANES) - 1
    np.testing.assert_array_equal(ours, twin)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("detail", ["WEIGHTS", "TIMES", "TAUS", "ALL"])
def test_carry_chunk(own, detail):
    rng, row_of, table = arrays(7, lanes.NUM_ADJOINT, own)
    call = compiled(lanes.carry_chunk, 10, getattr(lanes, detail), own)
    weights = rng.normal(size=2 * ROWS * LANES)
    start = rng.normal(size=lanes.ADJOINT_SIZE), rng.normal(size=weights.size), np.zeros(ARRIVALS)
    ours, twin = ([array.copy() for array in start] for _ in range(2))
    rest = weights, ROWS * LANES, row_of, table, 1, 2, ARRIVALS - 1
    call(*ours[:2], *rest, ours[2])
    lanes._carry_chunk(*twin[:2], *rest, twin[2], getattr(lanes, detail), own)
    for left, right in zip(ours, twin, strict=True):
        np.testing.assert_array_equal(left, right)
    assert ours[2].any() == (detail in ("TIMES", "ALL"))
    assert (ours[0] != start[0]).any() == (detail in ("TAUS", "ALL"))


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("detail", ["TIMES", "TAUS"])
def test_step_chunk(own, detail):
    rng, _, table = arrays(8, lanes.NUM_ADJOINT, own)
    call = compiled(lanes.step_chunk, 3, getattr(lanes, detail), own)
    ours = rng.normal(size=lanes.ADJOINT_SIZE)
    start, twin, at = ours.copy(), ours.copy(), lanes.NUM_ADJOINT * (LANES if own else 1)
    call(ours, table, at)
    lanes._step_chunk(twin, table, at, getattr(lanes, detail), own)
    np.testing.assert_array_equal(ours, twin)
    changed = (ours != start).reshape(-1, LANES).all(1)
    assert changed.tolist() == [True] * 2 + [detail == "TAUS"] * 3 + [False] * 2


def test_lowest_bit():
    call = compiled(lanes.lowest_bit, 1)
    assert [call(mask) for mask in (1, 6, 1 << 15, 40)] == [0, 1, 15, 3]
    assert [lanes._lowest_bit(mask) for mask in (1, 6, 1 << 15, 40)] == [0, 1, 15, 3]


def test_bound_of_a_chunk_is_rigorous_and_tight():
    """max V on an interval, sampled densely, against max(V at its ends, v + (v - i) c)."""
    rng = np.random.default_rng(0)
    gaps = []
    for _ in range(2000):
        tau_mem, tau_syn = np.exp(rng.uniform(-2, 2, 2))
        s = np.exp(rng.uniform(-6, 1)) * min(tau_mem, tau_syn)
        V, I = rng.normal(size=2) * np.exp(rng.uniform(-2, 2, 2))
        x = np.linspace(0, s, 400)
        along = np.array([V * e_mem + I * phi for e_mem, _, phi in (flow(t, tau_mem, tau_syn) for t in x)])
        e_mem, e_syn, _ = flow(s, tau_mem, tau_syn)
        c = s / tau_mem / e_mem
        v = along[-1]
        bound = max(V, v, v * (1 + c) - I * e_syn * c)
        if along.max() > 0.0:
            assert bound >= along.max() * (1 - 1e-12)
            gaps.append((bound - along.max()) / (abs(V) + abs(I)) if s < 0.05 * min(tau_mem, tau_syn) else 0.0)
    assert len(gaps) > 1000 and max(gaps) < 2e-3

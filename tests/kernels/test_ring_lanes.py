"""The loops of the rings in LLVM against the same in plain Python, bit for bit; and the polynomials they rest on."""

import numpy as np
import pytest
from loops import both

from saltation.kernels import ring_lanes, rings
from saltation.kernels.flow import flow
from saltation.kernels.ring_lanes import (
    BY_PHI,
    BY_SYN,
    DELAY,
    DURATION,
    FACTORS,
    LANES,
    LAST,
    NEWEST,
    NUM_ADJOINT,
    NUM_SUMS,
    P_V,
    RELEASE,
    STATE_SIZE,
    SYNAPSES,
)

SLOTS, SOURCES, BINS, DEPTH = 2, 3, 40, 12


def coefficients(tau_mem=2.0, tau_syn=0.7):
    h = rings.LONGEST * min(tau_mem, tau_syn)
    return h, np.array(
        [*rings._taylor(h, tau_mem, tau_syn), BINS * h, 1 / h, BINS - 1, DEPTH, 1 / tau_syn, 1 / tau_mem]
        + [1 - tau_mem / tau_syn]
    )


def found(rng, width, T=7.3 * 0.07, now=6):
    """Arguments of find_arrivals, and what it filled in: factors and places of slot 1."""
    h, c = coefficients()
    synapses = rng.normal(size=SOURCES * SYNAPSES)
    synapses[SYNAPSES + DELAY : 2 * SYNAPSES] = rng.uniform(0, (DEPTH - 2) * h, LANES)
    synapses[SYNAPSES + DELAY : SYNAPSES + DELAY + 2] = 0.0, 1e6
    factors, places = rng.normal(size=SLOTS * FACTORS), rng.integers(0, 9, SLOTS * LANES)
    ring = rng.normal(size=(DEPTH + 1) * LANES * width)
    arguments = T, float(now), float(now - now % DEPTH), synapses, SYNAPSES, c, ring, width, factors, places, 1
    _, filled = both(ring_lanes.find_arrivals, ring_lanes._find_arrivals, arguments, {8, 9})
    return synapses, c, ring, filled[8], filled[9]


@pytest.mark.parametrize("now", [6, 11])
def test_find_arrivals(now):
    """Also behind the end of the sample, and beyond the end of the ring, which is gone around."""
    h, _ = coefficients()
    _, c, _, factors, places = found(np.random.default_rng(now), NUM_SUMS, (now + 0.3) * h, now)
    rows = places[LANES:] // (LANES * NUM_SUMS)
    assert rows[1] == DEPTH and rows[0] == now % DEPTH
    assert (np.delete(rows, 1) < DEPTH).all() and (rows < now % DEPTH).any()
    np.testing.assert_array_equal(places[LANES:] % (LANES * NUM_SUMS), np.arange(LANES) * NUM_SUMS)
    assert c[DURATION] > 0 and c[LAST] == BINS - 1


def test_add_arrivals():
    rng = np.random.default_rng(1)
    synapses, _, ring, factors, places = found(rng, NUM_SUMS)
    ring[NEWEST::NUM_SUMS] = rng.integers(0, 50, ring.size // NUM_SUMS)
    older = np.zeros(3 * LANES, np.int32)
    _, filled = both(
        ring_lanes.add_arrivals,
        ring_lanes._add_arrivals,
        (51.0, synapses, SYNAPSES, factors, places, 1, ring, older, LANES),
        {6, 7},
    )
    np.testing.assert_array_equal(filled[7][LANES : 2 * LANES], ring[places[LANES:] + NEWEST])
    assert (filled[6][places[LANES:] + NEWEST] == 51.0).all()


@pytest.mark.parametrize("strength", [False, True])
def test_use_adjoint(strength):
    """Arrivals in bins with an edge are left alone, and named."""
    rng = np.random.default_rng(2)
    synapses, c, ring, factors, places = found(rng, NUM_ADJOINT)
    edges = [0, 3, 15]
    ring[places[LANES:][edges] + P_V] = np.nan
    grad = rng.normal(size=synapses.size)
    arguments = synapses, SYNAPSES, c, factors, places, 1, ring, grad, np.zeros(1)
    mask, filled = both(
        ring_lanes.use_adjoint, ring_lanes._use_adjoint, arguments, {8} if strength else {7, 8}, strength
    )
    assert mask == sum(1 << n for n in edges)
    same = (filled[7] == grad)[SYNAPSES : SYNAPSES + LANES]
    assert same.all() if strength else (np.flatnonzero(same) == edges).all()


def test_pass_bin():
    """Some may spike, one is held for the whole bin, one released within."""
    rng = np.random.default_rng(3)
    x, ring = abs(rng.normal(size=STATE_SIZE)), abs(rng.normal(size=3 * LANES * NUM_SUMS))
    x[RELEASE : RELEASE + LANES] = 0.0
    x[RELEASE + 4 : RELEASE + 6] = 9.0, 1.05
    e_mem, e_syn, phi = flow(0.1, 2.0, 0.7)
    arguments = x, ring, LANES * NUM_SUMS, 1.0, 1.1, e_mem, phi, e_syn, 0.05 / e_mem
    mask, _ = both(ring_lanes.pass_bin, ring_lanes._pass_bin, arguments, {0})
    assert 0 < mask < (1 << LANES) - 1
    assert not mask & 1 << 4 and mask & 1 << 5


@pytest.mark.parametrize("ratio", [0.05, 0.9, 1.0, 1.0 + 1e-9, 30.0])
def test_the_polynomials_of_a_bin(ratio):
    """To the last bits, from one end of the bin to the other, and at any ratio of the time constants."""
    tau_mem, tau_syn = 2.0, 2.0 * ratio
    h, c = coefficients(tau_mem, tau_syn)
    for r in np.linspace(0.0, h, 50):
        e_mem, e_syn, phi = flow(r, tau_mem, tau_syn)
        x = (r - h / 2) / h
        powers = x ** np.arange(ring_lanes.DEGREE + 1)
        assert abs(c[BY_SYN:BY_PHI] @ powers - e_syn) < 4e-16
        assert abs(c[BY_PHI:DURATION] @ powers - phi) < 1e-16
        assert abs(e_syn - (1.0 - tau_mem / tau_syn) * phi - e_mem) < 4e-16
        factors, places = np.zeros(FACTORS), np.zeros(LANES, np.int64)
        T, ring = 3 * h + (h - r), np.zeros((DEPTH + 1) * LANES * NUM_SUMS)
        ring_lanes._find_arrivals(T, 3.0, 0.0, np.zeros(SYNAPSES), 0, c, ring, NUM_SUMS, factors, places, 0)
        if places[0] // (LANES * NUM_SUMS) == 3:  # else rounding put it into the next bin
            np.testing.assert_allclose(factors[::LANES], [e_syn, phi], rtol=1e-13, atol=1e-15)

"""The first crossing: none missed, none invented, on random states and on made-up hard ones.

The judge is dense sampling in extended precision (np.longdouble) around every local maximum, with no cascade at all.
"""

import numpy as np
import pytest

from saltation.kernels import reference_crossing
from saltation.kernels.crossing import (
    cannot_cross,
    first_crossing,
    highest,
    inner_top,
    largest_phi,
    short_crossing,
    short_top,
)
from saltation.kernels.flow import SMALL, flow

SAMPLES = 60
UNSURE = 1e-12  # a maximum this close to the threshold, relative to the state, is decided by rounding


def margin(x, V, I, a, tau_mem, tau_syn, tau_adapt, threshold):
    """g in extended precision; arrays broadcast."""
    x = np.asarray(x, np.longdouble)
    d = x / tau_mem - x / tau_syn
    slow = x / tau_mem * np.exp(-x / np.maximum(tau_mem, tau_syn))
    d = np.abs(d)
    ratio = np.where(d > 1e-12, -np.expm1(-d) / np.where(d > 0, d, 1), 1 - d / 2)
    return V * np.exp(-x / tau_mem) + I * slow * ratio - a * np.exp(-x / tau_adapt) - threshold


def random_states(count, seed):
    """Columns s, V, I, a, tau_mem, tau_syn, tau_adapt, threshold; g(0) <= 0; a third with nearly equal taus."""
    rng = np.random.default_rng(seed)
    tau = np.exp(rng.uniform(np.log(0.1), np.log(10), (3, count)))
    kind = rng.integers(0, 6, count)
    tau[1] = np.where(kind == 0, tau[0], tau[1])
    tau[2] = np.where(kind == 1, tau[0], tau[2])
    tau[2] = np.where(kind == 2, tau[1] * (1 + 1e-9), tau[2])
    tau[1] = np.where(
        kind == 3, tau[0] * (1 + rng.choice([-1, 1], count) * 10.0 ** rng.uniform(-12, -3, count)), tau[1]
    )
    threshold = rng.uniform(0.1, 2.0, count)
    I = rng.normal(0, 4, count)
    a = rng.normal(0, 2, count) * (rng.random(count) < 0.8)
    V = np.minimum(rng.normal(0, 2, count), threshold + a)
    V = np.where(rng.random(count) < 0.15, threshold + a, V)  # on the threshold
    s = np.exp(rng.uniform(np.log(0.01), np.log(50), count))
    return np.stack([s, V, I, a, *tau, threshold])


def judged(states):
    """First crossing by sampling, the height of the maximum, and whether that is too close to call; per state."""
    s, V, I, a, tau_mem, tau_syn, tau_adapt, threshold = (np.asarray(c, np.longdouble)[:, None] for c in states)
    grid = np.concatenate([np.linspace(0, 1, SAMPLES), np.logspace(-8, 0, SAMPLES)])
    # up to the end of the interval, and again on the scale of the time constants
    reach = np.minimum(s, 30 * np.maximum(np.maximum(tau_mem, tau_syn), tau_adapt))
    x = np.sort(np.concatenate([grid[None, :] * s, grid[None, :] * reach], 1).astype(np.longdouble), 1)
    for _ in range(4):  # refine around the highest sample
        g = margin(x, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)
        k = np.clip(g.argmax(1), 1, x.shape[1] - 2)[:, None]
        left, right = np.take_along_axis(x, k - 1, 1), np.take_along_axis(x, k + 1, 1)
        fine = left + (right - left) * np.linspace(0, 1, 17, dtype=np.longdouble)[None, :]
        x = np.sort(np.concatenate([x, fine], 1), 1)
    g = margin(x, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)
    over = g > 0
    crossed = over.any(1)
    first = over.argmax(1)
    rows = np.arange(len(first))
    before, after = x[rows, np.maximum(first - 1, 0)], x[rows, first]
    scale = (np.abs(V) + np.abs(I) + np.abs(a) + threshold)[:, 0]
    return crossed, before, after, np.abs(g.max(1)) < UNSURE * scale


def check(states):
    crossed, before, after, unsure = judged(states)
    missed = invented = wrong = 0
    for k in range(states.shape[1]):
        s, V, I, a, *rest = states[:, k]
        x = first_crossing(s, V, I, a, *rest)
        if unsure[k]:
            continue
        if crossed[k]:
            if x < 0:
                missed += 1
                continue
            # where the sampling brackets the first crossing, ours is inside; an earlier excursion that the sampling
            # stepped over must be a true one
            between = margin(np.array([after[k], (after[k] + x) / 2]), *states[1:, k])
            scale = np.abs(states[1:4, k]).sum() + rest[-1]
            late = x > after[k] * (1 + 1e-12) and between.max() > 1e-15 * scale
            early = x < before[k] * (1 - 1e-12) and margin(x * (1 + 1e-9) + 1e-12 * s, *states[1:, k]) < 0
            height = abs(float(margin(x, *states[1:, k])))
            wrong += late or early or height > 1e-13 * scale * 20
            assert not cannot_cross(s, V, I, a, rest[0], rest[2], largest_phi(*rest[:2]), rest[3]), (
                "the bound denies a true crossing"
            )
        elif x >= 0:
            # an excursion between two samples is possible: it counts as invented unless g is positive just after it
            invented += margin(x * (1 + 1e-7), *states[1:, k]) <= 0 and margin(x, *states[1:, k]) < -1e-13
    return missed, invented, wrong, int(crossed.sum())


@pytest.mark.parametrize("seed", range(5))
def test_random_states(seed):
    states = random_states(20_000, seed)
    far = np.random.default_rng(seed).random(20_000) < 0.1
    states[0, far] *= 1e6  # intervals so long that all exponentials underflow at their end
    missed, invented, wrong, crossed = check(states)
    assert crossed > 3000
    assert (missed, invented, wrong) == (0, 0, 0)


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9, 1e-11])
@pytest.mark.parametrize("sign", [1, -1])
def test_grazing(gap, sign):
    """The threshold is set a hair below (crossing) or above (none) the top of the trajectory."""
    states = random_states(3000, 11)
    tops = np.array([highest(*state)[:2] for state in states.T])
    inside = (tops[:, 0] > 0) & (tops[:, 0] < states[0])
    states, tops = states[:, inside], tops[inside]
    states[7] += tops[:, 1] - sign * gap * (np.abs(states[1:4]).sum(0) + 1)
    g_start = states[1] - states[3] - states[7]
    states = states[:, g_start < 0]
    assert states.shape[1] > 300
    found = np.array([first_crossing(*state) for state in states.T])
    assert ((found >= 0) == (sign > 0)).all()


def test_up_and_down_again_between_two_arrivals():
    """g < 0 at both ends, > 0 between: what a look at the end of the interval misses. g(0) < 0 and g(inf) < 0 leave an
    even number of the at most three zeros, so these two are the only ones.
    """
    states = random_states(20_000, 2)
    crossed, before, after, unsure = judged(states)
    ends = margin(states[0], *states[1:])
    double = np.nonzero(crossed & (ends < 0) & (after > 0) & ~unsure)[0]
    assert double.size >= 1000
    for k in double:
        x = first_crossing(*states[:, k])
        assert before[k] * (1 - 1e-12) <= x <= after[k] * (1 + 1e-12)


def test_agrees_with_the_twin():
    for state in random_states(150, 77).T:
        ours, twin = first_crossing(*state), reference_crossing.first_crossing(*state)
        assert ours == pytest.approx(twin, rel=1e-9, abs=1e-12)
        (x, g, slope), (x_twin, g_twin, slope_twin) = highest(*state), reference_crossing.highest(*state)
        assert g == pytest.approx(g_twin, abs=1e-11)
        assert float(margin(x, *state[1:])) == pytest.approx(g, abs=1e-11)
        if 1e-6 < x / state[0] < 1 - 1e-6 and x == pytest.approx(x_twin, rel=1e-4):
            assert slope == slope_twin == 0.0


def test_short_crossing_is_the_first_crossing():
    """The quick way for short intervals against the general one, and how often it is sure of itself."""
    rng = np.random.default_rng(0)
    sure = 0
    for _ in range(3000):
        tau_mem, tau_syn = np.exp(rng.uniform(-1, 1, 2))
        s = SMALL * min(tau_mem, tau_syn) * rng.uniform(0.01, 0.99)
        threshold, V, I = 1.0, 1.0 - 0.02 * rng.uniform() ** 4, rng.uniform(1.0, 8.0)
        e_mem, _, phi = flow(s, tau_mem, tau_syn)
        if not V * e_mem + I * phi > threshold:
            continue
        x, _, decay = short_crossing(s, V, I, 1.0 / tau_mem, 1.0 / tau_syn, threshold)
        if x > 0.0:
            sure += 1
            expected = first_crossing(s, V, I, 0.0, tau_mem, tau_syn, 1.0, threshold)
            assert abs(x - expected) <= 1e-14 * tau_mem + 1e-13 * expected
            assert decay == pytest.approx(np.exp(-x / tau_syn), rel=1e-14)
    assert sure > 1500


def test_short_top_is_the_inner_top():
    """The quick way to a maximum inside a short interval against the general one, and how often it is sure."""
    rng = np.random.default_rng(0)
    tried, sure = 0, 0
    for _ in range(6000):
        taus = np.exp(rng.uniform(-1, 1, 3))
        s = SMALL * taus.min() * rng.uniform(0.05, 0.99)
        V, a = rng.uniform(0.5, 1.0), rng.normal(0.0, 0.1) * (rng.random() < 0.7)
        I = V * (1.0 + rng.uniform(-0.1, 0.2))
        e_mem, e_syn, phi = flow(s, taus[0], taus[1])
        slopes = [(I - V) / taus[0] + a / taus[2],
                  (I * e_syn - V * e_mem - I * phi) / taus[0] + a * np.exp(-s / taus[2]) / taus[2]]  # fmt: skip
        if not slopes[0] > 0.0 > slopes[1]:
            continue
        tried += 1
        x, g, I_top, a_top = short_top(s, V, I, a, tuple(slopes), tuple(1.0 / taus), 1.0)
        if x > 0.0:
            sure += 1
            x_general, g_general = inner_top(s, V, I, a, *taus, 1.0)
            # where g' is flat, its zero is known no better than g' is, relative to the slope of g'
            assert abs(x - x_general) <= 1e-14 * (abs(V) + abs(I) + abs(a)) / slopes[0] * s + 1e-13 * s
            assert g == pytest.approx(g_general, abs=1e-14)
            assert I_top == pytest.approx(I * np.exp(-x / taus[1]), rel=1e-14)
            assert a_top == pytest.approx(a * np.exp(-x / taus[2]), rel=1e-14, abs=1e-300)
    assert tried > 500
    assert sure > 0.95 * tried

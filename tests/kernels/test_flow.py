"""phi and its derivatives against 40-digit arithmetic, for every ratio of the time constants."""

import numpy as np
import pytest
from mpmath import mp

from saltation.kernels import layout, reference_crossing, reference_readout
from saltation.kernels.decay import decay
from saltation.kernels.flow import flow, phi, phi_gradient
from saltation.kernels.readout import CHUNK, VALUE, WINDOW, readout_backward, readout_forward, response

pytestmark = pytest.mark.nojit
RATIOS = [0.2, 0.5, 1 - 1e-3, 1 - 1e-6, 1 - 1e-9, 1 - 1e-12, 1.0, 1 + 1e-12, 1 + 1e-9, 1 + 1e-6, 1 + 1e-3, 2.0, 20.0]
TIMES = [1e-9, 1e-4, 0.1, 1.0, 3.0, 10.0, 30.0]


def exact_phi(s, tau_mem, tau_syn):
    s, tau_mem, tau_syn = mp.mpf(s), mp.mpf(tau_mem), mp.mpf(tau_syn)
    d = s / tau_mem - s / tau_syn
    return s / tau_mem * mp.exp(-s / tau_mem) * (mp.expm1(d) / d if d else 1)


@pytest.mark.parametrize("ratio", RATIOS)
def test_phi(ratio):
    mp.dps = 60
    for s in TIMES:
        exact = float(exact_phi(s, 1.3, 1.3 / ratio))
        assert phi(s, 1.3, 1.3 / ratio) == pytest.approx(exact, rel=5e-14, abs=0.0)
        assert reference_crossing.phi(s, 1.3, 1.3 / ratio) == pytest.approx(exact, rel=5e-14)


@pytest.mark.parametrize("ratio", RATIOS)
def test_flow(ratio):
    mp.dps = 60
    tau_mem, tau_syn = 1.3, 1.3 / ratio
    for s in [*TIMES, 0.0624 * min(tau_mem, tau_syn), 0.0626 * min(tau_mem, tau_syn)]:  # where the formula changes
        exact = mp.exp(-mp.mpf(s) / tau_mem), mp.exp(-mp.mpf(s) / tau_syn), exact_phi(s, tau_mem, tau_syn)
        assert flow(s, tau_mem, tau_syn) == pytest.approx([float(value) for value in exact], rel=5e-14, abs=0.0)


@pytest.mark.parametrize("ratio", RATIOS)
def test_derivatives_of_phi(ratio):
    mp.dps = 60
    tau_mem, tau_syn = 1.3, 1.3 / ratio
    for s in TIMES:
        d_mem, d_syn = phi_gradient(s, tau_mem, tau_syn, *flow(s, tau_mem, tau_syn))
        step = mp.mpf(10) ** -20
        exact_mem = (exact_phi(s, tau_mem + step, tau_syn) - exact_phi(s, tau_mem - step, tau_syn)) / (2 * step)
        exact_syn = (exact_phi(s, tau_mem, tau_syn + step) - exact_phi(s, tau_mem, tau_syn - step)) / (2 * step)
        scale = float(exact_phi(s, tau_mem, tau_syn)) / tau_mem
        assert d_mem == pytest.approx(float(exact_mem), rel=1e-12, abs=1e-13 * scale)
        assert d_syn == pytest.approx(float(exact_syn), rel=1e-12, abs=1e-13 * scale)


def test_no_overflow_and_no_nan():
    for s in (0.0, 1e-300, 1e3, 1e8):
        for ratio in (1e-6, 1.0, 1e6):
            assert np.isfinite(phi_gradient(s, 1.0, 1.0 / ratio, *flow(s, 1.0, 1.0 / ratio))).all()


@pytest.mark.parametrize("mode,q", [(VALUE, 4.0), (WINDOW, 3.0), (WINDOW, np.inf)])
@pytest.mark.parametrize("ratio", [0.3, 1.0, 1 + 1e-7, 4.0])
def test_response_of_the_readout(mode, q, ratio):
    exact = reference_readout.response(mode, 0.7, q, 6.0, 1.3, 1.3 / ratio)
    assert response(mode, 0.7, q, 6.0, 1.3, 1.3 / ratio, True) == pytest.approx(exact, rel=1e-9, abs=1e-12)
    without_taus = (*exact[:2], 0.0, 0.0)
    assert response(mode, 0.7, q, 6.0, 1.3, 1.3 / ratio, False) == pytest.approx(without_taus, rel=1e-9, abs=1e-12)


def test_decay():
    """To a few roundings of their size, both of them, over all of their range; and nothing beyond it."""
    mp.dps = 40
    rng = np.random.default_rng(0)
    edges = [k / 2 * np.log(2.0) for k in range(1, 80)]  # where the polynomial is used the farthest
    for x in [*edges, *10.0 ** rng.uniform(-300, 0, 100), *rng.uniform(0.0, 2.0, 300), *rng.uniform(0.0, 700.0, 300)]:
        assert decay(x) == pytest.approx([float(mp.exp(-mp.mpf(x))), float(mp.expm1(-mp.mpf(x)))], rel=4e-16, abs=0.0)
    assert decay(0.0) == (1.0, 0.0)
    for x in (746.0, 1e300, np.inf, np.nan):
        assert decay(x) == (0.0, -1.0)


@pytest.mark.parametrize("mode,points", [(VALUE, [0.0, 2.0, 6.0]), (WINDOW, [3.0]), (WINDOW, [np.inf])])
@pytest.mark.parametrize("rows,columns", [(1, 1), (1, 4), (3, 1), (3, 4)])
@pytest.mark.parametrize("alike", [True, False])
def test_readouts_are_sums_of_responses(mode, points, rows, columns, alike):
    """More events than a chunk in one sample, a few in another, none in a third; some arrive after the end."""
    rng = np.random.default_rng(3)
    counts, points = [2 * CHUNK + 5, 0, 3], np.array(points)
    N, M, E, Q = 3, 4, sum(counts), points.size
    events = layout.Events(rng.uniform(0.0, 6.0, E), rng.integers(0, M, E), np.cumsum([0, *counts]))
    synapses = layout.Synapses(rng.normal(size=(N, M)), rng.uniform(0.0, 1.0, (rows, columns)))
    weights, parameters = np.ascontiguousarray(synapses.weight.T), np.zeros((N, layout.NUM_PARAMETERS))
    parameters[:, : layout.TAU_SYN + 1] = rng.uniform(0.5, 2.0, (1 if alike else N, 2))
    neurons = layout.Neurons(parameters, False, False, 6.0)
    out, G = np.zeros((3, Q, N)), rng.normal(size=(3, Q, N))
    shapes = events.times, weights, synapses.delay, parameters
    ours, expected = (layout.Gradients(*(np.zeros_like(array) for array in shapes), np.empty(0)) for _ in range(2))
    readout_forward(mode, events, synapses, weights, neurons, 0, 3, points, out)
    readout_backward(mode, events, synapses, weights, neurons, 0, 3, points, G, True, ours)
    values = np.zeros_like(out)
    for k, (b, i) in enumerate(zip(np.repeat(range(3), counts), events.units, strict=True)):
        for j, q in np.ndindex(N, Q):
            delay = (j % rows, i % columns)
            t = events.times[k] + synapses.delay[delay]
            value, d_t, d_mem, d_syn = response(mode, t, points[q], 6.0, *parameters[j, :2], True)
            values[b, q, j] += weights[i, j] * value
            expected.weight[i, j] += G[b, q, j] * value
            g = G[b, q, j] * weights[i, j]
            expected.times[k] += g * d_t
            expected.delay[delay] += g * d_t
            expected.parameters[j, :2] += g * np.array([d_mem, d_syn])
    np.testing.assert_allclose(out, values, rtol=1e-12, atol=1e-13)
    for got, wanted in zip(ours[:-1], expected[:-1], strict=True):
        assert abs(wanted).max() > 0.1
        np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-12)
    without = layout.Gradients(*(np.zeros_like(array) for array in shapes), np.empty(0))
    readout_backward(mode, events, synapses, weights, neurons, 0, 3, points, G, False, without)
    assert not without.parameters.any()
    for got, wanted in zip(without[:3], ours[:3], strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=1e-14)

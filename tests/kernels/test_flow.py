"""phi and its derivatives against 40-digit arithmetic, for every ratio of the time constants."""

import numpy as np
import pytest
from mpmath import mp

from saltation.kernels import reference, reference_readout
from saltation.kernels.flow import flow, phi, phi_gradient
from saltation.kernels.readout import VALUE, WINDOW, response

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
        assert reference.phi(s, 1.3, 1.3 / ratio) == pytest.approx(exact, rel=5e-14)


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
        value, d_mem, d_syn = phi_gradient(s, tau_mem, tau_syn)
        step = mp.mpf(10) ** -20
        exact_mem = (exact_phi(s, tau_mem + step, tau_syn) - exact_phi(s, tau_mem - step, tau_syn)) / (2 * step)
        exact_syn = (exact_phi(s, tau_mem, tau_syn + step) - exact_phi(s, tau_mem, tau_syn - step)) / (2 * step)
        assert value == phi(s, tau_mem, tau_syn)
        scale = float(exact_phi(s, tau_mem, tau_syn)) / tau_mem
        assert d_mem == pytest.approx(float(exact_mem), rel=1e-12, abs=1e-13 * scale)
        assert d_syn == pytest.approx(float(exact_syn), rel=1e-12, abs=1e-13 * scale)


def test_no_overflow_and_no_nan():
    for s in (0.0, 1e-300, 1e3, 1e8):
        for ratio in (1e-6, 1.0, 1e6):
            assert np.isfinite(phi_gradient(s, 1.0, 1.0 / ratio)).all()


@pytest.mark.parametrize("mode,q", [(VALUE, 4.0), (WINDOW, 3.0), (WINDOW, np.inf)])
@pytest.mark.parametrize("ratio", [0.3, 1.0, 1 + 1e-7, 4.0])
def test_response_of_the_readout(mode, q, ratio):
    exact = reference_readout.response(mode, 0.7, q, 6.0, 1.3, 1.3 / ratio)
    assert response(mode, 0.7, q, 6.0, 1.3, 1.3 / ratio, True) == pytest.approx(exact, rel=1e-9, abs=1e-12)
    without_taus = (*exact[:2], 0.0, 0.0)
    assert response(mode, 0.7, q, 6.0, 1.3, 1.3 / ratio, False) == pytest.approx(without_taus, rel=1e-9, abs=1e-12)

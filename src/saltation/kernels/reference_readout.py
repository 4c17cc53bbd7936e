"""Plain-Python twin of readout.py, with 40 digits."""

from mpmath import mp


def response(mode, t, q, duration, tau_mem, tau_syn):
    """As readout.response, by quadrature and numerical differentiation with 40 digits."""
    mp.dps = 40

    def potential(s, tau_m, tau_s):
        d = s / tau_m - s / tau_s
        return s / tau_m * mp.exp(-s / tau_m) * (mp.expm1(d) / d if d else 1)

    def functional(t, tau_m, tau_s):
        if mode == 0:
            return potential(q - t, tau_m, tau_s) if q > t else mp.mpf(0)
        if t >= duration:
            return mp.mpf(0)
        return mp.quad(lambda x: mp.exp(-x / q) * potential(x - t, tau_m, tau_s), mp.linspace(t, duration, 9))

    at = (mp.mpf(t), mp.mpf(tau_mem), mp.mpf(tau_syn))
    derivatives = [mp.diff(functional, at, order) for order in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
    return float(functional(*at)), *(float(value) for value in derivatives)

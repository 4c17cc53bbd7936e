"""The closed-form flow between events (README.md, section 1)."""

from math import exp, expm1, factorial

from .decay import decay
from .jit import kernel

# Terms of the power series of k(d) for |d| < SERIES_LIMIT: the first one left out is below 1e-17.
SERIES_LIMIT = 1.0
SERIES_TERMS = 18
K_TERMS = tuple(1.0 / (factorial(j) * (j + 2)) for j in range(SERIES_TERMS))


@kernel
def phi(s, tau_mem, tau_syn):
    """V(s) that a unit current at time 0 causes:  (e^{-s/tau_syn} - e^{-s/tau_mem}) / (1 - tau_mem/tau_syn).

    Written as (s/tau_mem) e^{-s/slower} (1 - e^{-|d|})/|d| with d = delta s = s/tau_mem - s/tau_syn: nothing cancels at
    any ratio of the time constants, and nothing overflows.
    """
    x = s / tau_mem
    d = abs(x - s / tau_syn)
    slow = x * exp(-s / max(tau_mem, tau_syn))
    if d == 0.0:
        return slow
    return slow * (-expm1(-d) / d)


# Below this the polynomials of `flow` are right to the last bit: the first term left out is below 1e-16.
SMALL = 0.25


@kernel
def h_series(d):
    """(1 - e^{-d})/d for 0 <= d < SMALL."""
    d_2 = d * d
    d_4 = d_2 * d_2
    return (
        (1.0 - 1 / 2 * d + d_2 * (1 / 6 - 1 / 24 * d))
        + d_4 * ((1 / 120 - 1 / 720 * d) + d_2 * (1 / 5040 - 1 / 40320 * d))
        + d_4 * d_4 * ((1 / 362880 - 1 / 3628800 * d) + d_2 * (1 / 39916800 - 1 / 479001600 * d))
    )  # fmt: skip


@kernel
def short_flow(x, y):
    """`flow` for x = s/tau_mem and y = s/tau_syn both below SMALL: polynomials without branches, so that loops over
    intervals vectorise.
    """
    d = abs(x - y)
    z = min(x, y)
    z_2 = z * z
    z_4 = z_2 * z_2
    slow = (
        (1.0 - z + z_2 * (1 / 2 - 1 / 6 * z))
        + z_4 * ((1 / 24 - 1 / 120 * z) + z_2 * (1 / 720 - 1 / 5040 * z))
        + z_4 * z_4 * (
            (1 / 40320 - 1 / 362880 * z) + z_2 * (1 / 3628800 - 1 / 39916800 * z) + 1 / 479001600 * z_4
        )
    )  # fmt: skip
    h = h_series(d)
    fast = slow * (1.0 - d * h)
    return slow if x < y else fast, fast if x < y else slow, x * slow * h


@kernel
def flow(s, tau_mem, tau_syn):
    """e^{-s/tau_mem}, e^{-s/tau_syn} and phi(s), from two exponentials: slow = e^{-min} and h = (1 - e^{-d})/d.

    Short intervals, the most frequent ones, need none: there both are polynomials.
    """
    x = s / tau_mem
    y = s / tau_syn
    if max(x, y) < SMALL:
        return short_flow(x, y)
    d = abs(x - y)
    slow, _ = decay(min(x, y))
    rest, lost = decay(d)
    value, fast = x * slow * (-lost / d if d > 0.0 else 1.0), slow * rest
    if x < y:
        return slow, fast, value
    return fast, slow, value


@kernel
def k_series(d):
    """k(d) of `phi_gradient` for |d| < SERIES_LIMIT: even and odd powers by themselves, which takes half as long."""
    d_2, even, odd = d * d, 0.0, 0.0
    for j in range(SERIES_TERMS // 2 - 1, -1, -1):
        even = even * d_2 + K_TERMS[2 * j]
        odd = odd * d_2 + K_TERMS[2 * j + 1]
    return even + odd * d


@kernel
def phi_gradient(s, tau_mem, tau_syn, e_mem, e_syn, phi_s):
    """d phi / d tau_mem, d phi / d tau_syn at s, from what `flow` gives there.

    With m = 1/tau_mem, n = 1/tau_syn, delta = m - n:  phi = m h,  h = int_0^s e^{-m(s-x)} e^{-nx} dx,
    -dh/dn = K_n = int_0^s x e^{-m(s-x)} e^{-nx} dx = s^2 e^{-ms} k(delta s),  -dh/dm = K_m = s h - K_n,
    k(d) = (d e^d - e^d + 1)/d^2 = sum_j d^j / (j! (j + 2)).
    """
    m, n, h = 1.0 / tau_mem, 1.0 / tau_syn, phi_s * tau_mem
    d = s / tau_mem - s / tau_syn
    K_n = s * s * e_mem * k_series(d) if abs(d) < SERIES_LIMIT else (s * e_syn - h) / (m - n)
    K_m = s * h - K_n
    return -m * m * (h - m * K_m), n * n * m * K_n

"""The flow of neurons that have time constants of their own, for a tile and a chunk at once.

The exponentials of shared time constants are taken once an interval. Those of neurons that differ are taken here
without branches or calls, so that it vectorises (README.md, section 4).
"""

import numpy as np

from .flow import SMALL, h_series
from .jit import borrowing, kernel
from .lanes import CHUNK, LANES, aligned
from .short_lanes import SERIES_SIZE, set_series

# So many at once: number n is that of lane n % LANES over interval n // LANES. A constant, so that the compiler knows
# that no two rows of a flat array overlap.
FLOWS = CHUNK * LANES
# Offsets of the rows in the flat array of factors: 1/tau, which stay; what belongs to an interval; scratch.
(
    RATE_MEM, RATE_SYN, RATE_ADAPT,
    OWN_MEM, OWN_SYN, OWN_PHI, OWN_ADAPT, OWN_PHI_MEM, OWN_PHI_SYN,
    LENGTH, SLOW, GAP, ADAPT, POWER,
) = (FLOWS * row for row in range(14))  # fmt: skip
SERIES = POWER + 3 * FLOWS  # of short_lanes.py
FACTORS_SIZE = SERIES + SERIES_SIZE

LOG2_E = 1.4426950408889634
LN_2_HIGH, LN_2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # their sum; k times the first is exact
FURTHEST = 350.0  # e^{-350} e^{-350} is still a normal number; what has decayed further is as good as gone
EXPONENT_BIAS, MANTISSA_BITS = 1023, 52
MAGIC = 2.0**MANTISSA_BITS + EXPONENT_BIAS
NEAR = 0.1  # below this |d| the polynomial k(d) of `own_flow` is right to the last bit


@borrowing
def _set_rates(first, last, rates, adaptive, factors):
    """The constant rows for the neurons first ... last - 1 of a tile; rates (N, 3): 1/tau."""
    for k in range(OWN_MEM):
        factors[k] = 1.0
    for e in range(CHUNK):
        for n in range(first, last):
            at = e * LANES + n - first
            factors[RATE_MEM + at], factors[RATE_SYN + at] = rates[n, 0], rates[n, 1]
            factors[RATE_ADAPT + at] = rates[n, 2]
    set_series(first, last, rates, adaptive, factors[SERIES:])


@kernel
def new_factors(tiles, rates, adaptive):
    """(tiles, FACTORS_SIZE): the constant rows of every tile, and scratch; rates (N, 3): 1/tau."""
    factors = aligned(tiles * FACTORS_SIZE).reshape((tiles, FACTORS_SIZE))
    for tile in range(tiles):
        _set_rates(tile * LANES, min((tile + 1) * LANES, rates.shape[0]), rates, adaptive, factors[tile])
    return factors


@kernel
def exponentials(number, factors, bits):
    """x -> e^{-x} for the `number` values 0 <= x <= FURTHEST from SLOW on; bits: the same array as int64.

    -x = k ln 2 + r with |r| <= ln(2)/2: e^r by its Taylor polynomial, 2^k as the bits of a float64. To 2 roundings.
    """
    for n in range(number):
        y = -factors[SLOW + n]
        k = np.floor(y * LOG2_E + 0.5)
        r = (y - k * LN_2_HIGH) - k * LN_2_LOW
        r_2 = r * r
        r_4 = r_2 * r_2
        factors[SLOW + n] = (
            ((1.0 + r) + r_2 * (1 / 2 + 1 / 6 * r))
            + r_4 * ((1 / 24 + 1 / 120 * r) + r_2 * (1 / 720 + 1 / 5040 * r))
            + r_4 * r_4 * ((1 / 40320 + 1 / 362880 * r) + r_2 * (1 / 3628800 + 1 / 39916800 * r) + 1 / 479001600 * r_4)
        )
        factors[POWER + n] = k + MAGIC  # its lowest bits are those of the integer k + EXPONENT_BIAS
    for n in range(number):
        bits[POWER + n] <<= MANTISSA_BITS
    for n in range(number):
        factors[SLOW + n] *= factors[POWER + n]


@kernel
def own_flow(factors, bits, adaptive):
    """What `flow.flow` gives for intervals of LENGTH s: OWN_MEM, OWN_SYN, OWN_PHI, from the constant rows.

    OWN_ADAPT: e^{-s/tau_adapt}, or 1 unless `adaptive`.
    """
    for n in range(FLOWS):
        s = factors[LENGTH + n]
        x, y = s * factors[RATE_MEM + n], s * factors[RATE_SYN + n]
        factors[SLOW + n] = min(min(x, y), FURTHEST)
        factors[GAP + n] = min(abs(x - y), FURTHEST)
        factors[ADAPT + n] = min(s * factors[RATE_ADAPT + n], FURTHEST) if adaptive else 1.0
    exponentials(3 * FLOWS if adaptive else 2 * FLOWS, factors, bits)
    for n in range(FLOWS):
        s = factors[LENGTH + n]
        x, y = s * factors[RATE_MEM + n], s * factors[RATE_SYN + n]
        slow, gap, d = factors[SLOW + n], factors[GAP + n], abs(x - y)
        h = h_series(d) if d < SMALL else (1.0 - gap) / d
        fast = slow * gap
        factors[OWN_MEM + n] = slow if x < y else fast
        factors[OWN_SYN + n] = fast if x < y else slow
        factors[OWN_PHI + n] = x * slow * h
        factors[OWN_ADAPT + n] = factors[ADAPT + n]


@kernel
def own_flow_gradient(factors):
    """After `own_flow`: OWN_PHI_MEM and OWN_PHI_SYN, the derivatives of phi that `flow.phi_gradient` gives."""
    for n in range(FLOWS):
        s, rate_mem, rate_syn = factors[LENGTH + n], factors[RATE_MEM + n], factors[RATE_SYN + n]
        d = s * rate_mem - s * rate_syn
        k = 1 / 2 + d * (1 / 3 + d * (1 / 8 + d * (1 / 30 + d * (1 / 144 + d * (1 / 840 + d * (1 / 5760
            + d * (1 / 45360 + d * (1 / 403200 + d / 3991680))))))))  # fmt: skip
        h = factors[OWN_PHI + n] / rate_mem
        near = s * s * factors[OWN_MEM + n] * k
        far = (s * factors[OWN_SYN + n] - h) / (rate_mem - rate_syn)
        K_syn = near if abs(d) < NEAR else far
        K_mem = s * h - K_syn
        factors[OWN_PHI_MEM + n] = -rate_mem * rate_mem * (h - rate_mem * K_mem)
        factors[OWN_PHI_SYN + n] = rate_syn * rate_syn * rate_mem * K_syn

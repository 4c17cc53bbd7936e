"""A tile: the neurons that go through a sample together, and their flow where each has its own time constants.

The exponentials of shared time constants are taken once an interval. Those of neurons that differ are taken here for a
whole tile at once, without branches or calls, so that it vectorises (README.md, section 4).
"""

import numpy as np

from .crossing import largest_phi
from .flow import SMALL, h_series
from .jit import kernel
from .layout import TAU_ADAPT, TAU_MEM, TAU_SYN

# So many neurons go through a sample together, padded where there are fewer. A constant, so that the compiler knows
# that no two rows of a flat array overlap; small enough for the weights of a tile, one row an input, to stay in the
# cache.
TILE = 128
# Offsets of the rows in the flat array of a tile's factors: 1/tau and max phi, which stay; what belongs to an interval;
# scratch.
(
    RATE_MEM, RATE_SYN, RATE_ADAPT, PHI_MAX,
    OWN_MEM, OWN_SYN, OWN_PHI, OWN_ADAPT, OWN_PHI_MEM, OWN_PHI_SYN,
    LENGTH, SLOW, GAP, ADAPT, POWER,
) = (TILE * row for row in range(15))  # fmt: skip
FACTORS_SIZE = POWER + 3 * TILE

LOG2_E = 1.4426950408889634
LN_2_HIGH, LN_2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # their sum; k times the first is exact
FURTHEST = 350.0  # e^{-350} e^{-350} is still a normal number; what has decayed further is as good as gone
EXPONENT_BIAS, MANTISSA_BITS = 1023, 52
MAGIC = 2.0**MANTISSA_BITS + EXPONENT_BIAS
NEAR = 0.1  # below this |d| the polynomial k(d) of `own_flow` is right to the last bit


@kernel
def aligned(size):
    """An array of `size` float64 that starts at a cache line."""
    buffer = np.empty(size + 8)
    skip = -(buffer.ctypes.data // 8) % 8
    return buffer[skip : skip + size]


@kernel
def set_rates(parameters, alike, factors):
    """The constant rows of `factors` (FACTORS_SIZE,) for up to TILE neurons, parameters (n, 7).

    alike: whether they share their time constants, so that the first says all.
    """
    factors[:OWN_MEM] = 1.0
    phi_max = largest_phi(parameters[0, TAU_MEM], parameters[0, TAU_SYN])
    for m in range(parameters.shape[0]):
        tau_mem, tau_syn = parameters[m, TAU_MEM], parameters[m, TAU_SYN]
        if not alike:
            phi_max = largest_phi(tau_mem, tau_syn)
        factors[RATE_MEM + m], factors[RATE_SYN + m] = 1.0 / tau_mem, 1.0 / tau_syn
        factors[RATE_ADAPT + m], factors[PHI_MAX + m] = 1.0 / parameters[m, TAU_ADAPT], phi_max


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
    """What `flow.flow` gives for an interval of LENGTH s, for every neuron of a tile: OWN_MEM, OWN_SYN, OWN_PHI, from
    the constant rows.

    OWN_ADAPT: e^{-s/tau_adapt}, or 1 unless `adaptive`.
    """
    for n in range(TILE):
        s = factors[LENGTH + n]
        x, y = s * factors[RATE_MEM + n], s * factors[RATE_SYN + n]
        factors[SLOW + n] = min(min(x, y), FURTHEST)
        factors[GAP + n] = min(abs(x - y), FURTHEST)
        factors[ADAPT + n] = min(s * factors[RATE_ADAPT + n], FURTHEST) if adaptive else 1.0
    exponentials(3 * TILE if adaptive else 2 * TILE, factors, bits)
    for n in range(TILE):
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
    for n in range(TILE):
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

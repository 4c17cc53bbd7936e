"""An exponential without branches or calls, so that loops over arrivals vectorise."""

from math import floor

import numpy as np

from .jit import inlined

LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # the first has 32 bits, so that n LN2_HIGH is exact
LARGEST = 745.5  # e^{-x} is 0 beyond
POWERS = 0.5 ** np.arange(1077.0)


@inlined
def decay(x):
    """e^{-x} and e^{-x} - 1 for x >= 0, both to a few 2^-53 of their size.

    -x = r - n ln 2 with |r| <= ln(2)/2;  e^r - 1 = p, a polynomial;  e^{-x} = 2^-n (1 + p).
    """
    x = x if x < LARGEST else LARGEST
    n = floor(x * LOG2_E + 0.5)
    r = (n * LN2_HIGH - x) + n * LN2_LOW
    r_2 = r * r
    r_4 = r_2 * r_2
    low = (1 / 2 + 1 / 6 * r) + r_2 * (1 / 24 + 1 / 120 * r)
    high = (1 / 720 + 1 / 5040 * r) + r_2 * (1 / 40320 + 1 / 362880 * r)
    last = (1 / 3628800 + 1 / 39916800 * r) + r_2 * (1 / 479001600 + 1 / 6227020800 * r)
    p = r + r_2 * (low + r_4 * (high + r_4 * last))
    scale = POWERS[np.uint32(n)]
    return scale * p + scale, scale * p + (scale - 1.0)

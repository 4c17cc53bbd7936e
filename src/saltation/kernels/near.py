"""A neuron near its threshold: what is known of its ghosts from interval to interval, and the intervals in which little
happens.
"""

from math import nan

from .advance import Ghost, may_turn
from .jit import inlined

# Of a neuron's ghosts: see advance.Ghost
RISE, TIME, CURRENT, ADAPTATION, MARGIN, NUMBER = range(6)
NUM_GHOST = 6


@inlined
def kept_ghost(row):
    """What `keep_ghost` put there."""
    return Ghost(row[RISE], row[TIME], row[CURRENT], row[ADAPTATION], row[MARGIN], int(row[NUMBER]))


@inlined
def keep_ghost(ghost, row):
    """Put what is known of the ghosts of a neuron into its row."""
    row[RISE], row[TIME], row[CURRENT], row[ADAPTATION] = ghost.rise, ghost.time, ghost.I, ghost.a
    row[MARGIN], row[NUMBER] = ghost.margin, ghost.number


@inlined
def passes_by(s, t, before, after, threshold, highest, lowest, rates, row):
    """What `look_for_ghosts` and `end_visit` do to the row of a neuron's ghosts in an interval of length s > 0 from t
    on that surely has no spike. False: they must do it, for a higher maximum may lie inside, or a ghost count.

    before, after: (V, I, a) at both ends; highest: a bound of V - theta, < 0; rates: 1/tau.
    """
    V, I, a = before
    v, i, a_next = after
    rate, rate_adapt = rates[0], rates[2]
    slope, slope_later = (I - V) * rate + a * rate_adapt, (i - v) * rate + a_next * rate_adapt
    g, g_later = V - a - threshold, v - a_next - threshold
    kink, best = slope <= 0.0 and row[RISE] == row[RISE], row[MARGIN]
    if kink and (best > 0.0 or g > best):
        best = g
    if g_later <= lowest and best <= 0.0:
        return False
    if (best > 0.0 or highest > best) and may_turn(s, V, I, a, slope, slope_later, rate, rates[1], rate_adapt):
        return False
    if best != row[MARGIN]:
        row[TIME], row[CURRENT], row[ADAPTATION], row[MARGIN] = t, row[RISE], a, best
    row[RISE] = i if g_later > lowest and slope_later > 0.0 else nan
    return True

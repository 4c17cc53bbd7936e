"""A neuron near its threshold: what is known of its ghosts from interval to interval, and the intervals in which little
happens.
"""

from math import nan

from .advance import Ghost, may_turn
from .course import LONG, lane_flow
from .crossing import ROUNDING
from .jit import embedded, inlined, upwards

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


@embedded
def glide(k, k0, k1, x, place, level, lowest, theta, rates, free, course, weights, how, row):
    """One lane of a tile from interval k of the chunk k0 ... k1 - 1 on, as far as surely no spike comes, no higher
    maximum lies inside an interval, and no visit ends that has a ghost: what `look_for_ghosts` and `end_visit` do then,
    with what is known of its ghosts, `row`, in registers.

    x: (V, I, a); place: the lane, and where its row of weights begins; level and lowest: V - a, and V - theta, from
    which it is near; free: from when to before when V flows freely; rates: 1/tau. Returns the first interval that must
    be looked at, k1 if none, and x at its start.
    """
    (V, I, a), (m, rows), (rate, rate_syn, rate_adapt), (release, end) = x, place, rates, free
    rise, best = row[RISE], row[MARGIN]
    while k < k1:
        (v, i, a_next), bar, highest, _ = lane_flow(k, k0, m, V, I, a, level, course, how)
        t, t_next = course.time[upwards(k)], course.time[upwards(k + 1)]
        s = t_next - t
        if s * rate > LONG:
            break
        if highest > bar:
            near = highest - (bar - lowest)  # a bound of V - theta, but for rounding
            if not (release <= t and s > 0.0 and t_next < end and near < -ROUNDING * abs(theta)):
                break
            slope, slope_later = (I - V) * rate + a * rate_adapt, (i - v) * rate + a_next * rate_adapt
            g, g_later, kink = V - a - theta, v - a_next - theta, best
            if slope <= 0.0 and rise == rise and (best > 0.0 or g > best):
                kink = g
            if g_later <= lowest and kink <= 0.0:
                break
            if (kink > 0.0 or near > kink) and may_turn(s, V, I, a, slope, slope_later, rate, rate_syn, rate_adapt):
                break
            if kink != best:
                row[TIME], row[CURRENT], row[ADAPTATION], row[MARGIN] = t, rise, a, kink
                best = kink
            rise = i if g_later > lowest and slope_later > 0.0 else nan
        V, I, a = v, i + weights[upwards(rows + course.row_of[upwards(k)] + m)], a_next
        k += 1
    row[RISE] = rise
    return k, (V, I, a)

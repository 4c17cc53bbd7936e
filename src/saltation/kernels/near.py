"""A neuron near its threshold: what is known of its ghosts from interval to interval, and the intervals in which little
happens.
"""

from math import nan

from .advance import Ghost, may_turn
from .course import LONG, lane_flow
from .crossing import ROUNDING
from .jit import embedded, inlined, upwards
from .lanes import E_MEM, E_SYN, NUM_COEFFICIENTS, PHI

# Of a neuron's ghosts: see advance.Ghost. Then of the chunk that waits, if FIRST < STOP: its intervals, the state and
# `rise` at its start, and a bound of V - theta in it.
RISE, TIME, CURRENT, ADAPTATION, MARGIN, NUMBER = range(6)
FIRST, STOP, WAITING_V, WAITING_I, WAITING_A, WAITING_RISE, BOUND = range(6, 13)
NUM_GHOST = 13


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
def may_wait(k0, k1, before, place, highest, a_after, lowest, theta, rates, free, course, weights):
    """Whether one of neurons alike surely neither spikes nor ends a visit in the chunk k0 ... k1 - 1; if so a bound of
    V - theta in it, V - theta at its end, and `rise` there.

    before: (V, I, a) at its start; highest: a bound of V in it, a_after: a behind it; the rest as for `glide`.
    """
    (V, I, a), (m, rows), (rate, _, rate_adapt), (release, end) = before, place, rates, free
    t, t_last, t_end = course.time[upwards(k0)], course.time[upwards(k1 - 1)], course.time[upwards(k1)]
    bound, least = highest - min(a, a_after) - theta + ROUNDING * (abs(theta) + abs(a)), V
    sure = bound < -ROUNDING * abs(theta) and release <= t and t_last < t_end < end and (t_end - t) * rate <= LONG
    if not sure:
        return False, bound, 0.0, nan
    table = course.table
    for k in range(k0, k1):
        j = NUM_COEFFICIENTS * k
        V, I = V * table[upwards(j + E_MEM)] + I * table[upwards(j + PHI)], I * table[upwards(j + E_SYN)]
        least = min(least, V)
        if k < k1 - 1:
            I += weights[upwards(rows + course.row_of[upwards(k)] + m)]
    rises = (I - V) * rate + a_after * rate_adapt > 0.0
    return least - max(a, a_after) - theta > lowest, bound, V - a_after - theta, I if rises else nan


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

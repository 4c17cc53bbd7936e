"""One lane of a tile through a chunk by itself, where the bound does not rule out that it spikes."""

from math import inf

from .advance import Neuron, State, advance, end_visit, look_for_ghosts, no_ghost, with_ghost
from .course import LONG, lane_flow
from .crossing import ROUNDING, ghost_reach, short_crossing
from .flow import SMALL
from .jit import borrowing, embedded, inlined, upwards
from .lanes import (
    A_AFTER,
    A_ROW,
    BAR,
    HIGHEST,
    I_BEFORE,
    I_ROW,
    LANES,
    LEVEL,
    STATE_SIZE,
    V_BEFORE,
    V_ROW,
)
from .layout import (
    ADAPTATION,
    BUDGET_EXCEEDED,
    BUFFER_FULL,
    CURRENT,
    DONE,
    FINISHED,
    MARGIN,
    NO_BUDGET,
    REFRACTORY,
    RELEASE_CURRENT,
    TAU_MEM,
    THRESHOLD,
    TIME,
    V_RESET,
)
from .models import Tally
from .near import (
    BOUND,
    FIRST,
    RISE,
    STOP,
    WAITING_A,
    WAITING_I,
    WAITING_RISE,
    WAITING_V,
    glide,
    keep_ghost,
    kept_ghost,
    may_wait,
)
from .near import MARGIN as BEST
from .tile import PEAK, PEAK_SLOPE, PEAK_TIME, RELEASE, watch_level


@inlined
def is_simple(n, neurons, how):
    """Whether V goes on from v_reset at once after a spike, without adaptation: the common case."""
    simple = neurons.spiking and not (how.adaptive or neurons.subtract or (how.want_peak and neurons.smoothing > 0.0))
    return simple and neurons.parameters[n, REFRACTORY] == 0.0


@inlined
def quick_spike(s, before, after, e_mem, rise, ceiling, rates, neuron, want_peak):
    """The one spike of a simple neuron in a short interval of length s: when, I then, V at the end. -1 where it is not
    sure that there is one, and no other; or if `want_peak`, that V is highest at the end.

    before, after: V and I at both ends without the spike; e_mem = e^{-s/tau_mem}.
    """
    (V, I), (v, i), v_reset = before, after, neuron[V_RESET]
    x_T, e_mem_T, e_syn_T = short_crossing(s, V, I, rates[0], rates[1], neuron[THRESHOLD])
    V_after = v + (v_reset - neuron[THRESHOLD]) * (e_mem / e_mem_T)  # what the reset takes away decays with tau_mem
    sure = max(V_after, v_reset, V_after + (V_after - i) * rise) < ceiling
    if sure and (not want_peak or i > V_after > v_reset):
        return x_T, I * e_syn_T, V_after
    return -1.0, I, V_after


@inlined
def keep_peak(v, i, t, n, neurons, how, own):
    """V - theta is highest at t, where it still rises, with V = v and I = i; returns the level to watch from then."""
    neuron = neurons.parameters[n]
    own[PEAK], own[PEAK_TIME], own[PEAK_SLOPE] = v - neuron[THRESHOLD], t, (i - v) / neuron[TAU_MEM]
    return watch_level(
        t, 0.0, neuron[THRESHOLD], own[PEAK], neurons.spiking, how.want_peak, neurons.smoothing
    )  # fmt: skip


@inlined
def add_spike(n, T, I, a, scratch, log, length):
    """A spike of neuron n at T with these I and a, in row `length` of the log."""
    row = log.rows[length]
    row[TIME], row[CURRENT], row[ADAPTATION], row[RELEASE_CURRENT], row[MARGIN] = T, I, a, I, 0.0
    log.author[length], scratch.last_row[n] = n, length
    scratch.spikes[n] += 1


@inlined
def advance_lane(n, t, t_next, before, neurons, how, scratch, log, length):
    """`advance` from t to t_next, or to the end of the sample on the clock of neuron n, logging its spikes.

    before: (V, I, a). Returns (status, the same after, number of spikes, level to watch from then on).
    """
    own, end, spikes = scratch.own[n], min(t_next, scratch.ends[n]), scratch.spikes[n]
    neuron = Neuron(
        neurons.parameters[n], scratch.phi_max[n], neurons.subtract, neurons.spiking, how.want_peak, neurons.smoothing,
        scratch.ends[n],
    )  # fmt: skip
    ghost = kept_ghost(scratch.ghosts[n]) if neurons.smoothing > 0.0 else no_ghost()
    x = State(before[0], before[1], before[2], own[RELEASE], own[PEAK], own[PEAK_TIME], own[PEAK_SLOPE], ghost)
    tally = Tally(scratch.last_row[n], length, spikes, how.budget + ghost.number)
    status, x, tally = advance(x, t, end, neuron, log.rows, tally, False)
    if status in (BUFFER_FULL, BUDGET_EXCEEDED):
        return status, before, 0, inf
    own[RELEASE], own[PEAK], own[PEAK_TIME], own[PEAK_SLOPE] = x.release, x.peak, x.peak_time, x.peak_slope
    if neurons.smoothing > 0.0:
        keep_ghost(x.ghost, scratch.ghosts[n])
    for k in range(length, tally.next_row):
        log.author[k] = n
    scratch.last_row[n], scratch.spikes[n] = tally.last_row, tally.spikes
    level = inf
    if status != FINISHED and end < scratch.ends[n]:
        level = watch_level(
            t_next, x.release, neurons.parameters[n, THRESHOLD], x.peak, neurons.spiking, how.want_peak,
            neurons.smoothing,
        )  # fmt: skip
    return DONE, (x.V, x.I, x.a), tally.spikes - spikes, level


@borrowing
def look_closer(n, t, t_next, before, after, neurons, scratch, log, length):
    """What `advance_lane` does to the ghosts of a neuron in an interval without a spike, in which V flows freely;
    returns (status, length).

    before, after: (V, I, a) at both ends.
    """
    if length == log.author.size:
        return BUFFER_FULL, length
    end, row = scratch.ends[n], scratch.ghosts[n]
    neuron = Neuron(
        neurons.parameters[n], scratch.phi_max[n], neurons.subtract, neurons.spiking, False, neurons.smoothing, end
    )
    ghost = kept_ghost(row)
    x = State(before[0], before[1], before[2], -inf, -inf, 0.0, 0.0, ghost)
    later = State(after[0], after[1], after[2], -inf, -inf, 0.0, 0.0, ghost)
    tally = Tally(scratch.last_row[n], length, scratch.spikes[n], NO_BUDGET)
    later = with_ghost(later, look_for_ghosts(x, later, t, t_next - t, neuron))
    later, tally = end_visit(later, t_next - t, t_next >= end, neuron, log.rows, tally)
    keep_ghost(later.ghost, row)
    if tally.next_row > length:
        log.author[length], scratch.spikes[n] = n, tally.spikes
    return DONE, tally.next_row


@borrowing
def catch_up(n, m, rows, neurons, course, weights, how, scratch, log, length):
    """Look for the ghosts of the chunk that waits, of neuron n in lane m; returns (status, length)."""
    row, neuron, rates = scratch.ghosts[n], neurons.parameters[n], scratch.rates[n]
    level, theta, rise = scratch.x[n // LANES * STATE_SIZE + LEVEL + m], neuron[THRESHOLD], row[RISE]
    lowest, free = -ghost_reach(theta, neurons.smoothing), (scratch.own[n, RELEASE], scratch.ends[n])
    k, k1, x = int(row[FIRST]), int(row[STOP]), (row[WAITING_V], row[WAITING_I], row[WAITING_A])
    row[STOP], row[RISE] = row[FIRST], row[WAITING_RISE]
    while True:
        k, x = glide(
            k, k, k1, x, (m, rows), level, lowest, theta, (rates[0], rates[1], rates[2]), free, course, weights, how,
            row,
        )  # fmt: skip
        if k == k1:
            row[RISE] = rise
            return DONE, length
        after, _, _, _ = lane_flow(k, k, m, x[0], x[1], x[2], level, course, how)
        t, t_next = course.time[upwards(k)], course.time[upwards(k + 1)]
        status, length = look_closer(n, t, t_next, x, after, neurons, scratch, log, length)
        if status != DONE:
            return status, length
        x = after[0], after[1] + weights[upwards(rows + course.row_of[upwards(k)] + m)], after[2]
        k += 1


@embedded
def wait(tile, m, k0, k1, course, weights, rows, neurons, how, scratch, log, length):
    """Ghosts of lane m of a tile in a chunk: of a visit only the highest maximum counts, so where it neither ends nor
    leads to a spike the chunk waits. It is done with when V - theta is later higher than it ever was in it, for then
    there is a higher maximum, or a spike; the more so a chunk that is lower than a maximum that is known.

    Returns (status, length, whether there is nothing more to do in this chunk).
    """
    n, state, x = tile * LANES + m, tile * STATE_SIZE, scratch.x
    own, rates, row, theta = scratch.own[n], scratch.rates[n], scratch.ghosts[n], neurons.parameters[n, THRESHOLD]
    before = x[upwards(state + V_BEFORE + m)], x[upwards(state + I_BEFORE + m)], x[upwards(state + A_ROW + m)]
    waits, bound, g_end, rise = False, 0.0, 0.0, 0.0
    if x[upwards(state + LEVEL + m)] > -inf:
        a_after = x[upwards(state + A_AFTER + m)] if how.adaptive else before[2]
        waits, bound, g_end, rise = may_wait(
            k0, k1, before, (m, rows), x[upwards(state + HIGHEST + m)], a_after,
            -ghost_reach(theta, neurons.smoothing), theta, (rates[0], rates[1], rates[2]),
            (own[RELEASE], scratch.ends[n]), course, weights,
        )  # fmt: skip
    if row[FIRST] < row[STOP] and not (waits and g_end >= row[BOUND]):
        status, length = catch_up(n, m, rows, neurons, course, weights, how, scratch, log, length)
        if status != DONE:
            return status, length, True
    if waits:
        row[FIRST], row[STOP] = 0.0, 0.0
        if row[BEST] > 0.0 or bound > row[BEST]:
            row[FIRST], row[STOP], row[WAITING_RISE], row[BOUND] = k0, k1, row[RISE], bound
            row[WAITING_V], row[WAITING_I], row[WAITING_A] = before
        row[RISE] = rise
    return DONE, length, waits


@embedded
def go_alone(tile, m, k0, k1, course, weights, rows, neurons, how, scratch, log, length):
    """Lane m of a tile, its weights from weights[rows] on, through the intervals k0 ... k1 - 1; (status, length)."""
    if neurons.smoothing > 0.0 and how.alike and not how.want_peak:
        status, length, done = wait(
            tile, m, k0, k1, course, weights, rows, neurons, how, scratch, log, length
        )  # fmt: skip
        if done:
            return status, length
    return go_through(tile, m, k0, k1, course, weights, rows, neurons, how, scratch, log, length)


@embedded
def go_through(tile, m, k0, k1, course, weights, rows, neurons, how, scratch, log, length):
    """`go_alone`, interval by interval."""
    n, state, x = tile * LANES + m, tile * STATE_SIZE, scratch.x
    own, neuron, rates, end = scratch.own[n], neurons.parameters[n], scratch.rates[n], scratch.ends[n]
    V, I = x[upwards(state + V_BEFORE + m)], x[upwards(state + I_BEFORE + m)]
    a, level = x[upwards(state + A_ROW + m)], x[upwards(state + LEVEL + m)]
    rate, theta, changed, smooth = rates[0], neuron[THRESHOLD], False, neurons.smoothing > 0.0
    ceiling, lowest = theta - ROUNDING * abs(theta) if neurons.spiking else inf, -ghost_reach(theta, neurons.smoothing)
    simple, quiet = is_simple(n, neurons, how), ceiling if how.want_peak else level
    longest, peaks, k = SMALL / max(rate, rates[1]), how.want_peak and not (how.adaptive or smooth), k0
    while k < k1:
        if smooth:
            k, (V, I, a) = glide(
                k, k0, k1, (V, I, a), (m, rows), level, lowest, theta, (rate, rates[1], rates[2]), (own[RELEASE], end),
                course, weights, how, scratch.ghosts[n],
            )  # fmt: skip
            if k == k1:
                break
        (v, i, a_next), bar, highest, (e_mem, rise) = lane_flow(k, k0, m, V, I, a, level, course, how)
        t, t_next = course.time[upwards(k)], course.time[upwards(k + 1)]
        w, s, k = weights[upwards(rows + course.row_of[upwards(k)] + m)], t_next - t, k + 1
        if highest <= bar and s * rate <= LONG:
            V, I, a = v, i + w, a_next
            continue
        free = s * rate <= LONG and t_next <= end and own[RELEASE] <= t
        # of these the budget counts spikes alone: near it `advance` decides
        if simple and free and v > ceiling and quiet >= V and s < longest and scratch.spikes[n] < how.budget:
            x_T, I_T, V_after = quick_spike(
                s, (V, I), (v, i), e_mem, rise, quiet, rates, neuron, how.want_peak
            )  # fmt: skip
            if x_T > 0.0 and length < log.author.size:
                add_spike(n, t + x_T, I_T, 0.0, scratch, log, length)
                own[RELEASE], length, changed = t + x_T, length + 1, True
                if how.want_peak:
                    level = keep_peak(V_after, i, t_next, n, neurons, how, own)
                V, I = V_after, i + w
                continue
        if peaks and free and highest < ceiling and i > v:  # no spike, and V is highest at the end
            if v - theta > own[PEAK]:
                level = keep_peak(v, i, t_next, n, neurons, how, own)
            V, I = v, i + w
            continue
        if t >= end:  # the last arrivals, after the end on this neuron's clock
            level = inf
        elif smooth and free and highest < ceiling + (bar - level) and not how.want_peak:
            status, length = look_closer(n, t, t_next, (V, I, a), (v, i, a_next), neurons, scratch, log, length)
            if status != DONE:
                return status, length
        else:
            held = own[RELEASE] > t
            status, later, number, level = advance_lane(n, t, t_next, (V, I, a), neurons, how, scratch, log, length)
            if status != DONE:
                return status, length
            if number > 0 or held:  # else the pass was right, looked at or not
                (v, i, a_next), changed = later, True
            length += number
        V, I, a = v, i + w, a_next
    x[upwards(state + LEVEL + m)] = level
    x[upwards(state + BAR + m)] = level  # with adaptation it is set before every chunk
    if changed:
        x[upwards(state + V_ROW + m)], x[upwards(state + I_ROW + m)] = V, I
        x[upwards(state + A_AFTER + m)] = a
    return DONE, length

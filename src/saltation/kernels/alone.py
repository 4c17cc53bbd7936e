"""One lane of a tile through a chunk by itself, where the bound does not rule out that it spikes."""

from math import inf

from .advance import Neuron, State, advance, no_ghost
from .course import LONG
from .crossing import ROUNDING, ghost_reach, reaches, short_crossing
from .flow import SMALL, short_flow
from .jit import borrowing, inlined
from .lanes import (
    A_AFTER,
    A_ROW,
    BAR,
    E_MEM,
    E_SYN,
    FALL,
    I_BEFORE,
    I_ROW,
    LANES,
    LEVEL,
    NUM_COEFFICIENTS,
    PHI,
    RISE,
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
    REFRACTORY,
    RELEASE_CURRENT,
    THRESHOLD,
    TIME,
    V_RESET,
)
from .models import Tally
from .near import keep_ghost, kept_ghost, passes_by
from .tile import PEAK, PEAK_SLOPE, PEAK_TIME, RELEASE, watch_level


@borrowing
def is_simple(n, neurons, how):
    """Whether V goes on from v_reset at once after a spike, and nobody asks for more: the common case."""
    simple = not (how.adaptive or how.want_peak or neurons.subtract) and neurons.spiking
    return simple and neurons.parameters[n, REFRACTORY] == 0.0


@inlined
def quick_spike(s, V, I, i, level, rise, rate, rate_syn, neuron):
    """The one spike of a simple neuron in a short interval of length s, with I = i at its end: when, I then, V at the
    end. -1 where it is not sure that there is one, and no other.
    """
    v_reset = neuron[V_RESET]
    x_T, e_T = short_crossing(s, V, I, rate, rate_syn, neuron[THRESHOLD])
    I_T = I * e_T
    e_mem, _, phi_s = short_flow((s - x_T) * rate, (s - x_T) * rate_syn)
    V_after = v_reset * e_mem + I_T * phi_s
    if max(V_after, v_reset, V_after + (V_after - i) * rise) < level:
        return x_T, I_T, V_after
    return -1.0, I_T, V_after


@inlined
def add_spike(n, T, I, a, scratch, log, length):
    """A spike of neuron n at T with these I and a, in row `length` of the log."""
    row = log.rows[length]
    row[TIME], row[CURRENT], row[ADAPTATION], row[RELEASE_CURRENT], row[MARGIN] = T, I, a, I, 0.0
    log.author[length], scratch.last_row[n] = n, length
    scratch.spikes[n] += 1


@inlined
def advance_lane(n, t, t_next, V, I, a, neurons, how, scratch, log, length):
    """`advance` from t to t_next, or to the end of the sample on the clock of neuron n, logging its spikes.

    Returns (status, V, I, a, number of spikes, level to watch from then on).
    """
    own, end, before = scratch.own[n], min(t_next, scratch.ends[n]), scratch.spikes[n]
    neuron = Neuron(
        neurons.parameters[n], scratch.phi_max[n], neurons.subtract, neurons.spiking, how.want_peak, neurons.smoothing,
        scratch.ends[n],
    )  # fmt: skip
    ghost = kept_ghost(scratch.ghosts[n]) if neurons.smoothing > 0.0 else no_ghost()
    x = State(V, I, a, own[RELEASE], own[PEAK], own[PEAK_TIME], own[PEAK_SLOPE], ghost)
    tally = Tally(scratch.last_row[n], length, before, how.budget + ghost.number)
    status, x, tally = advance(x, t, end, neuron, log.rows, tally, False)
    if status in (BUFFER_FULL, BUDGET_EXCEEDED):
        return status, x.V, x.I, x.a, 0, inf
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
    return DONE, x.V, x.I, x.a, tally.spikes - before, level


@borrowing
def go_alone(tile, m, k0, k1, course, weights, rows, neurons, how, scratch, log, length):
    """Lane m of a tile, whose weights begin with weights[rows], through the intervals k0 ... k1 - 1 by itself.

    Returns (status, length).
    """
    n, state, x = tile * LANES + m, tile * STATE_SIZE, scratch.x
    own, neuron = scratch.own[n], neurons.parameters[n]
    V, I, a, level = x[state + V_BEFORE + m], x[state + I_BEFORE + m], x[state + A_ROW + m], x[state + LEVEL + m]
    rate, rate_syn, changed = scratch.rates[n, 0], scratch.rates[n, 1], False
    simple, fastest = is_simple(n, neurons, how), max(rate, rate_syn)
    smooth, lowest = neurons.smoothing > 0.0, -ghost_reach(neuron[THRESHOLD], neurons.smoothing)
    for k in range(k0, k1):
        j, step = (NUM_COEFFICIENTS * k, 1) if how.alike else (NUM_COEFFICIENTS * LANES * (k - k0) + m, LANES)
        v = V * course.table[j + E_MEM * step] + I * course.table[j + PHI * step]
        i = I * course.table[j + E_SYN * step]
        bound = v * course.table[j + RISE * step] - I * course.table[j + FALL * step]
        a_next, bar = a, level
        if how.adaptive:
            a_next *= course.decay[k] if how.alike else course.decay[(k - k0) * LANES + m]
            bar += min(a, a_next) - ROUNDING * abs(a)
        t, t_next = course.time[k], course.time[k + 1]
        s = t_next - t
        if simple and v > bar and level >= V and s * fastest < SMALL and t_next <= scratch.ends[n]:
            rise = course.table[j + RISE * step]
            x_T, I_T, V_after = quick_spike(s, V, I, i, level, rise, rate, rate_syn, neuron)
            # of these the budget counts spikes alone: near it `advance` decides
            if x_T > 0.0 and scratch.spikes[n] < how.budget and length < log.author.size:
                add_spike(n, t + x_T, I_T, 0.0, scratch, log, length)
                own[RELEASE], own[PEAK_TIME] = t + x_T, t + x_T
                length, changed = length + 1, True
                V, I = V_after, i + weights[rows + course.row_of[k] + m]
                continue
        highest = max(V, v, bound) - (bar - lowest)  # of V - theta, but for rounding
        surely = smooth and s > 0.0 and s * rate <= LONG and own[RELEASE] <= t and t_next < scratch.ends[n]
        surely = surely and highest < -ROUNDING * abs(neuron[THRESHOLD])
        before, after, rates = (V, I, a), (v, i, a_next), scratch.rates[n]
        passed = surely and passes_by(s, t, before, after, neuron[THRESHOLD], highest, lowest, rates, scratch.ghosts[n])
        hot = not passed and (bar < V or v > bar or bound > bar or s * rate > LONG)
        if hot and reaches(
            V, I, a, level, max(1.0 - s * rate, 0.0), min(s * rate, scratch.phi_max[n]), a_next / a if a > 0.0 else 1.0
        ):
            if t >= scratch.ends[n]:  # the last arrivals, after the end on this neuron's clock
                level = inf
            else:
                held = own[RELEASE] > t
                status, V_end, I_end, a_end, number, level = advance_lane(
                    n, t, t_next, V, I, a, neurons, how, scratch, log, length
                )
                if status != DONE:
                    return status, length
                if number > 0 or held:  # else the pass was right, looked at or not
                    v, i, a_next, changed = V_end, I_end, a_end, True
                length += number
        V, I, a = v, i + weights[rows + course.row_of[k] + m], a_next
    x[state + LEVEL + m] = level
    if not how.adaptive:
        x[state + BAR + m] = level
    if changed:
        x[state + V_ROW + m], x[state + I_ROW + m], x[state + A_AFTER + m] = V, I, a
    return DONE, length

"""One neuron from one input event to the next, through all that may happen between (README.md, section 2)."""

from math import exp, inf, nan
from typing import Any, NamedTuple

from .crossing import cannot_cross, first_crossing, ghost_reach, highest, inner_top, short_top
from .flow import SMALL, flow
from .jit import borrowing, inlined
from .layout import (
    ADAPTATION,
    BUDGET_EXCEEDED,
    BUFFER_FULL,
    CURRENT,
    DONE,
    FINISHED,
    FIRED,
    JUMP,
    MARGIN,
    REFRACTORY,
    RELEASE_CURRENT,
    TAU_ADAPT,
    TAU_MEM,
    TAU_SYN,
    THRESHOLD,
    TIME,
    V_RESET,
)
from .models import Tally


class Neuron(NamedTuple):
    """parameters (7,), numbers or an array, largest_phi of them, and what holds for the population."""

    parameters: Any
    phi_max: float
    subtract: bool
    spiking: bool
    want_peak: bool
    smoothing: float
    end: float  # of the sample, on its clock


class Ghost(NamedTuple):
    """What is known of near misses. rise: I just before the last arrival, if V - theta rose until then, close enough to
    0, else nan; time, I, a (just before it) and margin V - theta of the highest maximum since V - theta came close,
    margin = 1 if there is none; number: of those that count.
    """

    rise: float
    time: float
    I: float
    a: float
    margin: float
    number: int


class State(NamedTuple):
    """V, I and a; V is held until `release`; the highest V - theta since the last spike, its time and slope; ghosts."""

    V: float
    I: float
    a: float
    release: float
    peak: float
    peak_time: float
    peak_slope: float
    ghost: Ghost


@borrowing
def no_ghost():
    """Of a neuron at time 0."""
    return Ghost(nan, 0.0, 0.0, 0.0, 1.0, 0)


@inlined
def hold(x, t, t_next, p):
    """The state at the release of V, or just before t_next if that is earlier."""
    end = min(x.release, t_next)
    I, a = x.I * exp(-(end - t) / p[TAU_SYN]), x.a * exp(-(end - t) / p[TAU_ADAPT])
    g = x.V - a - p[THRESHOLD]
    if g > x.peak:  # while V is held, V - theta is monotone
        return State(x.V, I, a, x.release, g, end, a / p[TAU_ADAPT], x.ghost)
    return State(x.V, I, a, x.release, x.peak, x.peak_time, x.peak_slope, x.ghost)


@inlined
def time_to_spike(x, s, neuron):
    """How long after x the neuron spikes, if that is within s; else -1."""
    p = neuron.parameters
    if not neuron.spiking or cannot_cross(
        s, x.V, x.I, x.a, p[TAU_MEM], p[TAU_ADAPT], neuron.phi_max, p[THRESHOLD]
    ):  # fmt: skip
        return -1.0
    return first_crossing(s, x.V, x.I, x.a, p[TAU_MEM], p[TAU_SYN], p[TAU_ADAPT], p[THRESHOLD])


@inlined
def flow_on(x, t, t_next, neuron):
    """The state just before t_next, where there is no spike from t on."""
    p, s, peak, peak_time, peak_slope = neuron.parameters, t_next - t, x.peak, x.peak_time, x.peak_slope
    if neuron.want_peak and not cannot_cross(
        s, x.V, x.I, x.a, p[TAU_MEM], p[TAU_ADAPT], neuron.phi_max, p[THRESHOLD] + peak
    ):  # fmt: skip
        x_top, g, slope = highest(s, x.V, x.I, x.a, p[TAU_MEM], p[TAU_SYN], p[TAU_ADAPT], p[THRESHOLD])
        if x_top > 0.0 and g > peak:  # at 0 it is the end of the interval before, to the last bit or nearly
            # at the end it is the very time of the event there, which t + s may miss by rounding
            peak, peak_time, peak_slope = g, t_next if x_top == s else t + x_top, slope
    e_mem, e_syn, phi_s = flow(s, p[TAU_MEM], p[TAU_SYN])
    a = x.a * exp(-s / p[TAU_ADAPT]) if x.a != 0.0 else x.a
    return State(x.V * e_mem + x.I * phi_s, x.I * e_syn, a, x.release, peak, peak_time, peak_slope, x.ghost)


@inlined
def after_spike(V, I, a, t, forced, number, neuron):
    """The state right after a spike at t; just before it V, if it is forced, I and a. Else V = theta, to the last bits,
    and V - threshold = a.
    """
    p, V_plus, a_plus = neuron.parameters, neuron.parameters[V_RESET], a + neuron.parameters[JUMP]
    if neuron.subtract:
        V_plus = V - p[THRESHOLD] if forced else a
    peak_slope = a_plus / p[TAU_ADAPT]
    if p[REFRACTORY] == 0.0:
        peak_slope += (I - V_plus) / p[TAU_MEM]
    peak = V_plus - a_plus - p[THRESHOLD]
    return State(V_plus, I, a_plus, t + p[REFRACTORY], peak, t, peak_slope, Ghost(nan, 0.0, 0.0, 0.0, 1.0, number))


@inlined
def slope_of(x, p):
    """d(V - theta)/dt, with V free."""
    return (x.I - x.V) / p[TAU_MEM] + x.a / p[TAU_ADAPT]


@inlined
def lowest(neuron):
    """V - theta down to which a maximum is a ghost."""
    return -ghost_reach(neuron.parameters[THRESHOLD], neuron.smoothing)


@inlined
def higher(ghost, time, I, a, margin):
    """The higher one of a ghost and another maximum."""
    if ghost.margin > 0.0 or margin > ghost.margin:
        return Ghost(ghost.rise, time, I, a, margin, ghost.number)
    return ghost


@inlined
def may_turn(s, V, I, a, slope, slope_later, rate, rate_syn, rate_adapt):
    """Whether g = V - theta, flowing freely for a time s, with these slopes at both ends, may have a maximum inside.

    g' is a sum of three exponentials and has at most two zeros. So there is a minimum only where it rises from below 0
    to above; and where its sign stays there are two or none: none if |g'| at both ends is more than s max |g''|, with
    |V| <= max(|V(0)|, |I(0)|) and |I| falling. Rates: 1/tau.
    """
    if slope > 0.0 > slope_later or slope == 0.0 or slope_later == 0.0:
        return True
    if a == 0.0 or slope < 0.0 < slope_later:  # without adaptation there is one zero at most
        return False
    I = abs(I)
    bend = (I * rate_syn + (I + max(abs(V), I)) * rate) * rate + abs(a) * rate_adapt * rate_adapt
    return abs(slope) + abs(slope_later) <= s * bend


@borrowing
def look_for_ghosts(x, later, t, s, neuron):
    """x.ghost after a time s without a spike from the state x at t on to `later`: g = V - theta may have a maximum at
    t, if it rose until then and an arrival made it fall (of several at one time the last, which has an interval after
    it), and one within the interval.
    """
    p, ghost = neuron.parameters, x.ghost
    if ghost.rise == ghost.rise and s > 0.0 and slope_of(x, p) <= 0.0:
        ghost = higher(ghost, t, ghost.rise, x.a, x.V - x.a - p[THRESHOLD])
    rate, rate_syn, rate_adapt = 1.0 / p[TAU_MEM], 1.0 / p[TAU_SYN], 1.0 / p[TAU_ADAPT]
    slope, slope_later = slope_of(x, p), slope_of(later, p)
    if may_turn(s, x.V, x.I, x.a, slope, slope_later, rate, rate_syn, rate_adapt):
        x_top, g, I, a = -1.0, 0.0, x.I, x.a
        if slope > 0.0 > slope_later and s * max(rate, rate_syn, rate_adapt) < SMALL:
            x_top, g, I, a = short_top(
                s, x.V, x.I, x.a, (slope, slope_later), (rate, rate_syn, rate_adapt), p[THRESHOLD]
            )  # fmt: skip
        if x_top < 0.0:
            x_top, g = inner_top(s, x.V, x.I, x.a, p[TAU_MEM], p[TAU_SYN], p[TAU_ADAPT], p[THRESHOLD])
            I, a = x.I * exp(-x_top / p[TAU_SYN]), x.a * exp(-x_top / p[TAU_ADAPT])
        if x_top > 0.0 and lowest(neuron) < g < 0.0:
            ghost = higher(ghost, t + x_top, I, a, g)
    return ghost


@inlined
def with_ghost(x, ghost):
    """The same state with another ghost."""
    return State(x.V, x.I, x.a, x.release, x.peak, x.peak_time, x.peak_slope, ghost)


@borrowing
def end_visit(x, s, is_end, neuron, rows, tally):
    """After an interval of length s: the ghost counts if V - theta is far from 0 again, or the sample at its end and
    V - theta not higher.

    Returns (x, tally); there must be room for a row.
    """
    p, ghost, g = neuron.parameters, x.ghost, x.V - x.a - neuron.parameters[THRESHOLD]
    if s > 0.0:
        rise = x.I if lowest(neuron) < g < 0.0 and slope_of(x, p) > 0.0 else nan
        ghost = Ghost(rise, ghost.time, ghost.I, ghost.a, ghost.margin, ghost.number)
    if ghost.margin > 0.0 or (g > lowest(neuron) and not (is_end and g <= ghost.margin)):
        return with_ghost(x, ghost), tally
    row = rows[tally.next_row]
    row[TIME], row[CURRENT], row[ADAPTATION], row[RELEASE_CURRENT] = ghost.time, ghost.I, ghost.a, ghost.I
    row[MARGIN] = ghost.margin
    tally = Tally(tally.last_row, tally.next_row + 1, tally.spikes + 1, tally.budget + 1)
    return with_ghost(x, Ghost(ghost.rise, 0.0, 0.0, 0.0, 1.0, ghost.number + 1)), tally


@borrowing
def advance(x, t, t_next, neuron, rows, tally, until_spike):
    """From the state x at t to that just before t_next; see models.advance. Returns (status, state, tally)."""
    p = neuron.parameters
    while True:
        if t < x.release:
            x = hold(x, t, t_next, p)
            if x.release > t_next:
                return DONE, x, tally
            t = x.release
            rows[tally.last_row, RELEASE_CURRENT] = x.I
        s = time_to_spike(x, t_next - t, neuron)
        if s < 0.0:
            if neuron.smoothing == 0.0 or until_spike:  # a trial leaves ghosts out
                return DONE, flow_on(x, t, t_next, neuron), tally
            if tally.next_row == rows.shape[0]:
                return BUFFER_FULL, x, tally
            s, later = t_next - t, flow_on(x, t, t_next, neuron)
            x = with_ghost(later, look_for_ghosts(x, later, t, s, neuron))
            x, tally = end_visit(x, s, t_next >= neuron.end, neuron, rows, tally)
            return DONE, x, tally
        if tally.spikes == tally.budget:
            return BUDGET_EXCEEDED, x, tally
        if tally.next_row == rows.shape[0]:
            return BUFFER_FULL, x, tally
        forced, t = s == 0.0 and t == x.release, min(t + s, t_next)
        I, a = x.I * exp(-s / p[TAU_SYN]), x.a * exp(-s / p[TAU_ADAPT])
        row = rows[tally.next_row]
        row[TIME], row[CURRENT], row[ADAPTATION], row[RELEASE_CURRENT], row[MARGIN] = t, I, a, I, 0.0
        tally = Tally(tally.next_row, tally.next_row + 1, tally.spikes + 1, tally.budget)
        if p[REFRACTORY] == inf and not neuron.want_peak:
            return FINISHED, State(x.V, I, a, x.release, x.peak, x.peak_time, x.peak_slope, x.ghost), tally
        x = after_spike(x.V, I, a, t, forced, x.ghost.number, neuron)
        if until_spike:
            return FIRED, x, tally

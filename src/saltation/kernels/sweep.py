"""The forward pass, event by event, for neurons that share their order of arrivals.

With dendritic delays every neuron keeps a clock of its own, late by its delay: on it the arrivals are the input spikes
themselves, the sample ends earlier, and spike times are local.

A tile of neurons goes through a chunk of events at a time, its state in registers (`lanes.sweep_chunk`), under a bound
that rules out a crossing. Only neurons that the bound does not clear go through the chunk alone. README.md, section 4.
"""

from math import exp, inf
from typing import NamedTuple

import numpy as np

from .advance import advance
from .arrivals import longest_sample, ordered_arrivals, store_spikes
from .crossing import ROUNDING, largest_phi, reaches, short_crossing, watched
from .flow import SMALL, flow, short_flow
from .jit import borrowing, kernel
from .lanes import (
    A_ROW,
    AHEAD,
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
    lowest_bit,
    sweep_chunk,
)
from .layout import (
    ADAPTATION,
    BUDGET_EXCEEDED,
    BUFFER_FULL,
    CURRENT,
    DONE,
    FINISHED,
    JUMP,
    NUM_COLUMNS,
    REFRACTORY,
    RELEASE_CURRENT,
    TAU_ADAPT,
    TAU_MEM,
    TAU_SYN,
    THRESHOLD,
    TIME,
    V_RESET,
)
from .tile import (
    FACTORS_SIZE,
    LENGTH,
    OWN_ADAPT,
    OWN_MEM,
    OWN_PHI,
    OWN_SYN,
    RATE_ADAPT,
    RATE_MEM,
    RATE_SYN,
    aligned,
    own_flow,
)

CHUNK = 8
CHUNK_REACH = 0.5  # of the shortest time constant
ALL_LANES = (1 << LANES) - 1
# After an interval longer than so many tau_mem, V at its end says nothing about V before: all neurons are looked at.
LONG = 300.0
# What only the scalar path needs, per neuron
RELEASE, PEAK, PEAK_TIME, PEAK_SLOPE = range(4)
FIRST_ROOM = 64  # spikes of a neuron in a sample for which there is room at first, on average


class Course(NamedTuple):
    """What a tile goes through in one sample: interval k lies between time[k] and time[k + 1]; at its end the row of
    weights that begins at row_of[k] arrives (at the end of the sample a row of zeros).

    table: the coefficients of lanes.py, flat: of all intervals, or of those of a chunk and each neuron of a tile;
    decay: likewise e^{-s/tau_adapt}. Of each chunk begin: its first interval, span: the longest one, fade: the product
    of its decays.
    """

    time: np.ndarray
    row_of: np.ndarray
    table: np.ndarray
    decay: np.ndarray
    begin: np.ndarray
    span: np.ndarray
    fade: np.ndarray


class Scratch(NamedTuple):
    """Of all neurons: x (tiles STATE_SIZE,), the states of lanes.py; a_after (LANES,): a of a tile after a chunk; own
    (N, 4); spikes (N,) and the row of the last one; ends (N,): when the sample ends on each neuron's clock; phi_max
    (N,) and rates (N, 3), 1/tau.
    """

    x: np.ndarray
    a_after: np.ndarray
    own: np.ndarray
    spikes: np.ndarray
    last_row: np.ndarray
    ends: np.ndarray
    phi_max: np.ndarray
    rates: np.ndarray


class How(NamedTuple):
    """What holds for a whole batch. adaptive: whether a can differ from 0; alike: whether the neurons share their time
    constants; reach: a chunk of several intervals is shorter, since a bound over a longer one clears nobody; budget: of
    spikes of a neuron in a sample.
    """

    want_peak: bool
    adaptive: bool
    alike: bool
    reach: float
    budget: int


class Log(NamedTuple):
    """Spikes as they come: rows (room, columns), author (room,): whose."""

    rows: np.ndarray
    author: np.ndarray


@kernel
def new_log(room):
    """Room for so many spikes."""
    return Log(np.empty((room, NUM_COLUMNS)), np.empty(room, np.int64))


@kernel
def larger_log(log, length):
    """The same `length` spikes, with four times the room."""
    copy = new_log(4 * log.author.size)
    copy.rows[:length], copy.author[:length] = log.rows[:length], log.author[:length]
    return copy


@kernel
def share_taus(parameters):
    """Whether all neurons have the same time constants."""
    taus = parameters[:, : TAU_ADAPT + 1]
    return (taus == taus[0]).all()


@kernel
def watch_level(t, release, threshold, peak, spiking, want_peak):
    """What V - a of a neuron must not reach unnoticed; -inf, so that it is always watched, while V is held."""
    if release > t:
        return -inf
    level = watched(threshold, peak, spiking, want_peak)
    return level - ROUNDING * abs(level)


@borrowing
def set_row(x, e_mem, e_syn, phi_s, row):
    """The coefficients of lanes.py for an interval of length x tau_mem, with no bound where it would overflow."""
    c = x / e_mem * (1.0 + ROUNDING) if x < LONG else 0.0
    row[E_MEM], row[PHI], row[E_SYN], row[RISE], row[FALL] = e_mem, phi_s, e_syn, 1.0 + c, e_syn * c


@borrowing
def set_table(count, neuron, adaptive, course):
    """The table and the decay of a course of `count` arrivals, for neurons that all have these time constants."""
    tau_mem, tau_syn, tau_adapt = neuron[TAU_MEM], neuron[TAU_SYN], neuron[TAU_ADAPT]
    table, time = course.table, course.time
    for k in range(count + 1):  # without branches, so that it vectorises; right where the interval is short
        s = time[k + 1] - time[k]
        x = s / tau_mem
        e_mem, e_syn, phi_s = short_flow(x, s / tau_syn)
        c = x / e_mem * (1.0 + ROUNDING)
        j = NUM_COEFFICIENTS * k
        table[j + E_MEM], table[j + PHI], table[j + E_SYN] = e_mem, phi_s, e_syn
        table[j + RISE], table[j + FALL] = 1.0 + c, e_syn * c
    limit = SMALL * min(tau_mem, tau_syn)
    for k in range(count + 1):
        s = time[k + 1] - time[k]
        if s > 0.99 * limit:
            e_mem, e_syn, phi_s = flow(s, tau_mem, tau_syn)
            set_row(s / tau_mem, e_mem, e_syn, phi_s, table[NUM_COEFFICIENTS * k : NUM_COEFFICIENTS * (k + 1)])
    for k in range(count + 1 if adaptive else 0):
        course.decay[k] = exp(-(time[k + 1] - time[k]) / tau_adapt)


@borrowing
def set_own_rates(n, N, rates, factors):
    """The constant rows of `tile.own_flow` for the neurons from n on, LANES at a time for each event of a chunk."""
    for k in range(OWN_MEM):
        factors[k] = 1.0
    for e in range(CHUNK):
        for m in range(min(LANES, N - n)):
            at = e * LANES + m
            factors[RATE_MEM + at], factors[RATE_SYN + at] = rates[n + m, 0], rates[n + m, 1]
            factors[RATE_ADAPT + at] = rates[n + m, 2]


@borrowing
def set_own_table(k0, k1, adaptive, course, factors):
    """The table and the decay of the intervals k0 ... k1 - 1 for each neuron of a tile."""
    for e in range(CHUNK):
        s = course.time[k0 + e + 1] - course.time[k0 + e] if k0 + e < k1 else 0.0
        for n in range(LANES):
            factors[LENGTH + e * LANES + n] = s
    own_flow(factors, factors.view(np.int64), adaptive)
    for e in range(CHUNK):
        for n in range(LANES):
            at, j = e * LANES + n, e * NUM_COEFFICIENTS * LANES + n
            x, e_mem, e_syn = (
                factors[LENGTH + at] * factors[RATE_MEM + at],
                factors[OWN_MEM + at],
                factors[OWN_SYN + at],
            )
            c = x / e_mem * (1.0 + ROUNDING) if x < LONG else 0.0
            course.table[j + E_MEM * LANES], course.table[j + PHI * LANES] = e_mem, factors[OWN_PHI + at]
            course.table[j + E_SYN * LANES], course.table[j + RISE * LANES] = e_syn, 1.0 + c
            course.table[j + FALL * LANES] = e_syn * c
            course.decay[at] = factors[OWN_ADAPT + at]


@borrowing
def set_bars(state, x, a_after):
    """The bars of a tile for a chunk after which a is a_after (LANES,): theta is at least level + min(a, a_after)."""
    for n in range(LANES):
        a = x[state + A_ROW + n]
        x[state + BAR + n] = x[state + LEVEL + n] + min(a, a_after[n]) - ROUNDING * abs(a)


@borrowing
def pass_alike(c, chunks, state, rows, x, weights, row_of, table, begin, span, fade, a_after, adaptive, longest):
    """A tile of neurons alike through chunk after chunk, from chunk c on, until one of them may have crossed.

    Returns that chunk, and which neurons: none at the end of the sample; all of them where an interval is longer than
    `longest`. A loop of its own, with few arrays: a call counts the references to each, atomically.
    """
    while c < chunks:
        if adaptive:
            for n in range(LANES):
                a_after[n] = x[state + A_ROW + n] * fade[c]
            set_bars(state, x, a_after)
        k0 = begin[c]
        mask = sweep_chunk(x, state, weights, rows, row_of, table, k0, begin[c + 1] - k0, False)
        if mask != 0 or span[c] > longest:
            return c, mask if span[c] <= longest else ALL_LANES
        if adaptive:
            for n in range(LANES):
                x[state + A_ROW + n] = a_after[n]
        c += 1
    return c, 0


@borrowing
def pass_own(c, chunks, state, rows, weights, course, adaptive, scratch, factors, longest):
    """As pass_alike, for neurons with time constants of their own."""
    x, a_after = scratch.x, scratch.a_after
    while c < chunks:
        k0, k1 = course.begin[c], course.begin[c + 1]
        set_own_table(k0, k1, adaptive, course, factors)
        if adaptive:
            for n in range(LANES):
                a_after[n] = x[state + A_ROW + n]
                for e in range(k1 - k0):
                    a_after[n] *= course.decay[e * LANES + n]
            set_bars(state, x, a_after)
        mask = sweep_chunk(x, state, weights, rows, course.row_of, course.table, k0, k1 - k0, True)
        if mask != 0 or course.span[c] > longest:
            return c, mask if course.span[c] <= longest else ALL_LANES
        if adaptive:
            for n in range(LANES):
                x[state + A_ROW + n] = a_after[n]
        c += 1
    return c, 0


@borrowing
def start_tile(tile, neurons, how, scratch):
    """The neurons of a tile at the start of a sample."""
    N, x, state = neurons.parameters.shape[0], scratch.x, tile * STATE_SIZE
    for k in range(STATE_SIZE):
        x[state + k] = 0.0 if k < LEVEL else inf  # padding never reaches it
    for m in range(min(LANES, N - tile * LANES)):
        n = tile * LANES + m
        threshold = neurons.parameters[n, THRESHOLD]
        own = scratch.own[n]
        scratch.spikes[n], scratch.last_row[n] = 0, 0
        own[RELEASE], own[PEAK], own[PEAK_TIME], own[PEAK_SLOPE] = 0.0, -threshold, 0.0, 0.0
        x[state + LEVEL + m] = x[state + BAR + m] = watch_level(0.0, 0.0, threshold, -threshold, True, how.want_peak)


@borrowing
def go_alone(m, n, k0, k1, course, state, weights, rows, neurons, how, scratch, log, length):
    """Lane m of a tile, neuron n, through the intervals k0 ... k1 - 1 by itself. Returns (status, length)."""
    x, own = scratch.x, scratch.own[n]
    V, I, a, level = x[state + V_BEFORE + m], x[state + I_BEFORE + m], x[state + A_ROW + m], x[state + LEVEL + m]
    rate, rate_syn, changed = scratch.rates[n, 0], scratch.rates[n, 1], False
    threshold, v_reset = neurons.parameters[n, THRESHOLD], neurons.parameters[n, V_RESET]
    # the common case: a crossing within a short interval, and V goes on from v_reset at once
    simple = not (how.adaptive or how.want_peak or neurons.subtract) and neurons.spiking
    simple = simple and neurons.parameters[n, REFRACTORY] == 0.0
    fastest = max(rate, rate_syn)
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
        if simple and v > bar and level >= V and (t_next - t) * fastest < SMALL and t_next <= scratch.ends[n]:
            x_T, e_T = short_crossing(t_next - t, V, I, rate, rate_syn, threshold)
            I_T = I * e_T
            e_mem, _, phi_s = short_flow((t_next - t - x_T) * rate, (t_next - t - x_T) * rate_syn)
            V_after = v_reset * e_mem + I_T * phi_s
            rise = (V_after - i) * course.table[j + RISE * step]
            room = scratch.spikes[n] < how.budget and length < log.author.size
            if x_T > 0.0 and max(V_after, v_reset, V_after + rise) < level and room:
                row = log.rows[length]
                row[TIME], row[CURRENT], row[ADAPTATION], row[RELEASE_CURRENT] = t + x_T, I_T, 0.0, I_T
                log.author[length], scratch.last_row[n] = n, length
                own[RELEASE], own[PEAK_TIME] = t + x_T, t + x_T
                length, scratch.spikes[n], changed = length + 1, scratch.spikes[n] + 1, True
                V, I = V_after, i + weights[rows + course.row_of[k] + m]
                continue
        x_k = (t_next - t) * rate
        hot = bar < V or v > bar or bound > bar or x_k > LONG
        if hot and reaches(
            V, I, a, level, max(1.0 - x_k, 0.0), min(x_k, scratch.phi_max[n]), a_next / a if a > 0.0 else 1.0
        ):
            if t >= scratch.ends[n]:  # the last arrivals, after the end on this neuron's clock
                level = inf
            else:
                end = min(t_next, scratch.ends[n])
                status, V_end, I_end, a_end, release, peak, peak_time, peak_slope, number = advance(
                    t, end, V, I, a, own[RELEASE], own[PEAK], own[PEAK_TIME], own[PEAK_SLOPE], neurons.parameters[n],
                    scratch.phi_max[n], neurons.subtract, neurons.spiking, how.want_peak, False, log.rows,
                    scratch.last_row[n], length, scratch.spikes[n], how.budget,
                )  # fmt: skip
                if status in (BUFFER_FULL, BUDGET_EXCEEDED):
                    return status, length
                if number > scratch.spikes[n] or own[RELEASE] > t:  # else the pass was right, looked at or not
                    v, i, a_next, changed = V_end, I_end, a_end, True
                own[RELEASE], own[PEAK], own[PEAK_TIME], own[PEAK_SLOPE] = release, peak, peak_time, peak_slope
                for _ in range(number - scratch.spikes[n]):
                    log.author[length], scratch.last_row[n] = n, length
                    length += 1
                scratch.spikes[n] = number
                if status == FINISHED or end == scratch.ends[n]:
                    level = inf
                else:
                    level = watch_level(t_next, release, threshold, peak, neurons.spiking, how.want_peak)
        V, I, a = v, i + weights[rows + course.row_of[k] + m], a_next
    x[state + LEVEL + m] = level
    if not how.adaptive:
        x[state + BAR + m] = level
    if changed:
        x[state + V_ROW + m], x[state + I_ROW + m], scratch.a_after[m] = V, I, a
    return DONE, length


@borrowing
def pass_on(c, chunks, state, rows, weights, course, how, scratch, factors, longest):
    """`pass_alike` or `pass_own`."""
    if not how.alike:
        return pass_own(c, chunks, state, rows, weights, course, how.adaptive, scratch, factors, longest)
    return pass_alike(
        c, chunks, state, rows, scratch.x, weights, course.row_of, course.table, course.begin, course.span,
        course.fade, scratch.a_after, how.adaptive, longest,
    )  # fmt: skip


@borrowing
def start_at_highest(tile, rows, chunks, course, weights, neurons, how, scratch, factors):
    """Raise the peaks of neurons that never spike to the highest V between chunks: the peak is not lower, so that only
    the few chunks that may hold a higher one are looked at.
    """
    x, best, state = scratch.x, scratch.a_after, tile * STATE_SIZE
    for n in range(LANES):
        x[state + BAR + n], best[n] = inf, 0.0
    number = min(LANES, scratch.spikes.size - tile * LANES)
    for c in range(chunks):
        pass_on(c, c + 1, state, rows, weights, course, how, scratch, factors, inf)
        for m in range(number):
            if course.time[course.begin[c + 1]] <= scratch.ends[tile * LANES + m]:  # what comes later it does not see
                best[m] = max(best[m], x[state + V_ROW + m])
    for k in range(A_ROW):
        x[state + k] = 0.0
    for m in range(number):
        n = tile * LANES + m
        threshold = neurons.parameters[n, THRESHOLD]
        peak = best[m] * (1.0 - ROUNDING) - threshold
        scratch.own[n, PEAK] = peak
        x[state + LEVEL + m] = x[state + BAR + m] = watch_level(0.0, 0.0, threshold, peak, False, True)


@borrowing
def sweep_tile(tile, chunks, course, weights, neurons, how, scratch, factors, log, length):
    """The neurons of one tile through one sample of so many chunks; returns (status, neuron, length).

    weights: `by_input`, flat; factors: scratch of `tile.own_flow`. Spikes are appended to `log`, which holds `length`.
    """
    x, first, state = scratch.x, tile * LANES, tile * STATE_SIZE
    rows = tile * (weights.size // (x.size // STATE_SIZE))
    number = min(LANES, scratch.spikes.size - first)
    largest_rate = 0.0
    for n in range(first, first + number):
        largest_rate = max(largest_rate, scratch.rates[n, 0])
    longest = LONG / largest_rate
    start_tile(tile, neurons, how, scratch)
    if not how.alike:
        set_own_rates(first, first + number, scratch.rates, factors)
    if how.want_peak and not neurons.spiking:
        start_at_highest(tile, rows, chunks, course, weights, neurons, how, scratch, factors)
    c = 0
    while True:
        c, mask = pass_on(c, chunks, state, rows, weights, course, how, scratch, factors, longest)
        if mask == 0:
            return DONE, 0, length
        k0, k1 = course.begin[c], course.begin[c + 1]
        mask &= (1 << number) - 1
        while mask != 0:
            m = lowest_bit(mask)
            mask &= mask - 1
            status, length = go_alone(
                m, first + m, k0, k1, course, state, weights, rows, neurons, how, scratch, log, length
            )
            if status != DONE:
                return status, first + m, length
        if how.adaptive:
            for m in range(LANES):
                x[state + A_ROW + m] = scratch.a_after[m]
        c += 1


@kernel
def sample_ends(synapses, duration, ends):
    """When a sample ends on each neuron's clock: earlier by its dendritic delay."""
    for n in range(ends.size):
        ends[n] = duration - (synapses.delay[n, 0] if synapses.delay.shape[0] > 1 else 0.0)


@kernel
def local_arrivals(events, b, synapses, duration, arrival, source, unit, arrival_copy, source_copy, bins):
    """Fill arrival, source and unit with the arrivals of sample b on the clocks of the neurons; returns how many."""
    row = synapses.delay[0] if synapses.delay.shape[0] == 1 else np.zeros(1)  # dendritic: the clock has the delay
    count = ordered_arrivals(events, b, row, duration, arrival, source, arrival_copy, source_copy, bins)
    for k in range(count):
        unit[k] = events.units[source[k]]
    return count


@kernel
def new_scratch(synapses, neurons, tiles):
    """Room for all neurons, and what does not change from sample to sample."""
    N = neurons.parameters.shape[0]
    scratch = Scratch(
        aligned(tiles * STATE_SIZE), np.empty(LANES), np.empty((N, 4)), np.empty(N, np.int64), np.empty(N, np.int64),
        np.empty(N), np.empty(N), np.empty((N, 3)),
    )  # fmt: skip
    sample_ends(synapses, neurons.duration, scratch.ends)
    for n in range(N):
        neuron = neurons.parameters[n]
        scratch.phi_max[n] = largest_phi(neuron[TAU_MEM], neuron[TAU_SYN])
        scratch.rates[n] = 1.0 / neuron[TAU_MEM], 1.0 / neuron[TAU_SYN], 1.0 / neuron[TAU_ADAPT]
    return scratch


@kernel
def new_course(longest):
    """Room for samples of up to `longest` arrivals."""
    rows, most = max(longest + 1, CHUNK * LANES), longest + 2
    return Course(
        np.empty(longest + 2), np.zeros(longest + 1 + AHEAD, np.int64), np.empty(rows * NUM_COEFFICIENTS),
        np.empty(rows), np.empty(most, np.int64), np.empty(most), np.empty(most),
    )  # fmt: skip


@kernel
def set_course(count, arrival, unit, inputs, neurons, how, course):
    """The course of one sample; `inputs`: the number of the row of zeros. Returns the number of chunks."""
    course.time[0], course.time[count + 1] = 0.0, neurons.duration
    course.time[1 : count + 1] = arrival[:count]
    for k in range(count):
        course.row_of[k] = unit[k] * LANES
    course.row_of[count] = inputs * LANES
    if how.alike:
        set_table(count, neurons.parameters[0], how.adaptive, course)
    chunks, k = 0, 0
    while k <= count:
        first, course.begin[chunks], course.span[chunks], course.fade[chunks] = k, k, 0.0, 1.0
        while k <= count and k < first + CHUNK and (k == first or course.time[k + 1] - course.time[first] < how.reach):
            course.span[chunks] = max(course.span[chunks], course.time[k + 1] - course.time[k])
            if how.alike and how.adaptive:
                course.fade[chunks] *= course.decay[k]
            k += 1
        chunks += 1
    course.begin[chunks] = count + 1
    return chunks


@kernel
def sweep_forward(events, synapses, weights, neurons, cursor, last, buffer, filled, peaks, budget):
    """As forward.lif_forward, for delays of shape (1, 1), (1, M) or (N, 1).

    weights (tiles, M + 1, LANES): `by_input` of the weights. `cursor` always stands at the start of a sample. With
    dendritic delays the times in `buffer` and `peaks` are those on the neurons' own clocks.
    """
    N, tiles = neurons.parameters.shape[0], weights.shape[0]
    reach = CHUNK_REACH * neurons.parameters[:, : TAU_SYN + 1].min()
    how = How(peaks.value.size > 0, neurons.parameters[:, JUMP].any(), share_taus(neurons.parameters), reach, budget)
    longest = longest_sample(events, cursor // N, last)
    arrival, arrival_copy, unit = np.empty(longest), np.empty(longest), np.empty(longest, np.int64)
    source, source_copy = np.empty(longest, np.int64), np.empty(longest, np.int64)
    bins, start, flat = np.empty(longest + 1, np.int64), np.empty(N + 1, np.int64), weights.reshape(-1)
    course, scratch, factors = new_course(longest), new_scratch(synapses, neurons, tiles), aligned(FACTORS_SIZE)
    log = new_log(N * FIRST_ROOM)
    for b in range(cursor // N, last):
        count = local_arrivals(
            events, b, synapses, neurons.duration, arrival, source, unit, arrival_copy, source_copy, bins
        )
        chunks = set_course(count, arrival, unit, weights.shape[1] - 1, neurons, how, course)
        tile, length = 0, 0
        while tile < tiles:
            status, n, after = sweep_tile(tile, chunks, course, flat, neurons, how, scratch, factors, log, length)
            if status == BUDGET_EXCEEDED:
                return status, b * N + n, filled
            if status == BUFFER_FULL:
                log = larger_log(log, length)
            else:
                tile, length = tile + 1, after
        if filled + length > buffer.rows.shape[0]:
            return BUFFER_FULL, b * N, filled
        filled = store_spikes(b, length, log.rows, log.author, scratch.spikes, start, buffer, filled)
        if how.want_peak:
            own = scratch.own
            peaks.value[b], peaks.time[b], peaks.slope[b] = own[:, PEAK], own[:, PEAK_TIME], own[:, PEAK_SLOPE]
    return DONE, last * N, filled


def by_input(weight, width):
    """(N, M) -> (tiles, M + 1, width): the neurons in tiles, one row an input, and one of zeros for a sample's end."""
    N, M = weight.shape
    shape = ((N + width - 1) // width, M + 1, width)
    tiles = aligned(shape[0] * shape[1] * shape[2]).reshape(shape)
    tiles[:, M] = 0.0
    for tile, rows in enumerate(tiles):
        part = weight[tile * width : (tile + 1) * width]
        rows[:M, : part.shape[0]] = part.T
        rows[:M, part.shape[0] :] = 0.0
    return tiles


def by_neuron(tiles, N):
    """(tiles, M + 1, width) -> (N, M): the inverse of `by_input`."""
    return np.concatenate([tile[:-1].T for tile in tiles])[:N]

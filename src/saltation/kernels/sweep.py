"""The forward pass, event by event, for neurons that share their order of arrivals.

With dendritic delays every neuron keeps a clock of its own, late by its delay: on it the arrivals are the input spikes
themselves, the sample ends earlier, and spike times are local.

A tile of neurons goes through a chunk of events at a time, its state in registers (`lanes.sweep_chunk`), under a bound
that rules out a crossing. Only neurons that the bound does not clear go through the chunk alone. README.md, section 4.
"""

from math import inf

import numpy as np

from .alone import go_alone
from .arrivals import longest_sample, ordered_arrivals, store_spikes
from .course import LONG, new_course, set_course
from .crossing import ROUNDING
from .jit import borrowing, embedded, kernel
from .lanes import A_AFTER, A_ROW, BAR, LANES, LEVEL, SPARE, STATE_SIZE, V_ROW, aligned, lowest_bit
from .layout import BUDGET_EXCEEDED, BUFFER_FULL, DONE, THRESHOLD
from .own_flow import new_factors
from .tile import (
    FIRST_ROOM,
    PEAK,
    PEAK_SLOPE,
    PEAK_TIME,
    chunk_alike,
    chunk_own,
    how_of,
    keep_adaptation,
    new_log,
    new_scratch,
    start_tile,
    watch_level,
)

ALL_LANES = (1 << LANES) - 1


@kernel
def larger_log(log, length):
    """The same `length` spikes, with four times the room."""
    copy = new_log(4 * log.author.size, 0)
    copy.rows[:length], copy.author[:length] = log.rows[:length], log.author[:length]
    return copy


@embedded
def pass_alike(c, chunks, state, rows, x, weights, course, adaptive, longest):
    """A tile of neurons alike through chunk after chunk, from chunk c on, until one of them may have crossed.

    Returns that chunk, and which neurons: none at the end of the sample; all of them where an interval is longer than
    `longest`.
    """
    row_of, table, begin, span = course.row_of, course.table, course.begin, course.span
    while c < chunks:
        mask = chunk_alike(begin[c], begin[c + 1], course.fade[c], state, rows, x, weights, row_of, table, adaptive)
        if mask != 0 or span[c] > longest:
            return c, mask if span[c] <= longest else ALL_LANES
        if adaptive:
            keep_adaptation(state, x)
        c += 1
    return c, 0


@borrowing
def pass_own(c, chunks, state, rows, x, weights, course, adaptive, factors, longest):
    """As pass_alike, for neurons with time constants of their own."""
    while c < chunks:
        mask = chunk_own(
            course.begin[c], course.begin[c + 1], course.span[c], state, rows, x, weights, course, adaptive, factors
        )
        if mask != 0 or course.span[c] > longest:
            return c, mask if course.span[c] <= longest else ALL_LANES
        if adaptive:
            keep_adaptation(state, x)
        c += 1
    return c, 0


@embedded
def pass_on(c, chunks, state, rows, weights, course, how, scratch, factors, longest):
    """`pass_alike` or `pass_own`."""
    if not how.alike:
        return pass_own(c, chunks, state, rows, scratch.x, weights, course, how.adaptive, factors, longest)
    return pass_alike(c, chunks, state, rows, scratch.x, weights, course, how.adaptive, longest)


@borrowing
def start_at_highest(tile, rows, chunks, course, weights, neurons, how, scratch, factors):
    """Raise the peaks of neurons that never spike to the highest V between chunks: the peak is not lower, so that only
    the few chunks that may hold a higher one are looked at.
    """
    x, state = scratch.x, tile * STATE_SIZE
    for n in range(LANES):
        x[state + BAR + n], x[state + A_AFTER + n] = inf, 0.0  # A_AFTER is free: they never adapt
    number = min(LANES, scratch.spikes.size - tile * LANES)
    for c in range(chunks):
        pass_on(c, c + 1, state, rows, weights, course, how, scratch, factors, inf)
        for m in range(number):
            if course.time[course.begin[c + 1]] <= scratch.ends[tile * LANES + m]:  # what comes later it does not see
                x[state + A_AFTER + m] = max(x[state + A_AFTER + m], x[state + V_ROW + m])
    for k in range(A_ROW):
        x[state + k] = 0.0
    for m in range(number):
        n = tile * LANES + m
        threshold = neurons.parameters[n, THRESHOLD]
        peak = x[state + A_AFTER + m] * (1.0 - ROUNDING) - threshold
        scratch.own[n, PEAK] = peak
        x[state + LEVEL + m] = x[state + BAR + m] = watch_level(0.0, 0.0, threshold, peak, False, True, 0.0)


@borrowing
def sweep_tile(tile, chunks, course, weights, neurons, how, scratch, factors, log, length):
    """The neurons of one tile through one sample of so many chunks; returns (status, neuron, length).

    weights: `by_input`, flat; factors: scratch of `own_flow`. Spikes are appended to `log`, which holds `length`.
    """
    x, first, state = scratch.x, tile * LANES, tile * STATE_SIZE
    rows = tile * (weights.size // (x.size // STATE_SIZE))
    number = min(LANES, scratch.spikes.size - first)
    largest_rate = 0.0
    for n in range(first, first + number):
        largest_rate = max(largest_rate, scratch.rates[n, 0])
    longest = LONG / largest_rate
    start_tile(tile, neurons, how, scratch)
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
            status, length = go_alone(tile, m, k0, k1, course, weights, rows, neurons, how, scratch, log, length)
            if status != DONE:
                return status, first + m, length
        if how.adaptive:
            keep_adaptation(state, x)
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
def sweep_forward(events, synapses, weights, neurons, cursor, last, buffer, filled, peaks, budget):
    """As neuron_major.neuron_major_forward, for delays of shape (1, 1), (1, M) or (N, 1).

    weights (tiles, M + SPARE, LANES): `by_input` of the weights. `cursor` always stands at the start of a sample. With
    dendritic delays the times in `buffer` and `peaks` are those on the neurons' own clocks.
    """
    N, tiles = neurons.parameters.shape[0], weights.shape[0]
    how = how_of(neurons, peaks.value.size > 0, budget)
    longest = longest_sample(events, cursor // N, last)
    arrival, arrival_copy, unit = np.empty(longest), np.empty(longest), np.empty(longest, np.int64)
    source, source_copy = np.empty(longest, np.int64), np.empty(longest, np.int64)
    bins, start, flat = np.empty(longest + 1, np.int64), np.empty(N + 1, np.int64), weights.reshape(-1)
    course, scratch = new_course(longest), new_scratch(neurons, tiles)
    factors = new_factors(1 if how.alike else tiles, scratch.rates, how.adaptive)
    sample_ends(synapses, neurons.duration, scratch.ends)
    log = new_log(N * FIRST_ROOM, 0)
    for b in range(cursor // N, last):
        count = local_arrivals(
            events, b, synapses, neurons.duration, arrival, source, unit, arrival_copy, source_copy, bins
        )
        chunks = set_course(count, arrival, unit, weights.shape[1] - 1, neurons, how, course)
        tile, length = 0, 0
        while tile < tiles:
            own = factors[0 if how.alike else tile]
            status, n, after = sweep_tile(tile, chunks, course, flat, neurons, how, scratch, own, log, length)
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
            found = scratch.own
            peaks.value[b], peaks.time[b], peaks.slope[b] = found[:, PEAK], found[:, PEAK_TIME], found[:, PEAK_SLOPE]
    return DONE, last * N, filled


def by_input(weight, width):
    """(N, M) -> (tiles, M + SPARE, width): the neurons in tiles, one row an input, and SPARE rows of zeros."""
    N, M = weight.shape
    shape = ((N + width - 1) // width, M + SPARE, width)
    tiles = aligned(shape[0] * shape[1] * shape[2]).reshape(shape)
    tiles[:, M:] = 0.0
    for tile, rows in enumerate(tiles):
        part = weight[tile * width : (tile + 1) * width]
        rows[:M, : part.shape[0]] = part.T
        rows[:M, part.shape[0] :] = 0.0
    return tiles


def by_neuron(tiles, N):
    """(tiles, M + SPARE, width) -> (N, M): the inverse of `by_input`."""
    return np.concatenate([tile[:-SPARE].T for tile in tiles])[:N]

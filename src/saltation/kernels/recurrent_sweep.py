"""The forward pass with recurrent connections, event by event, where all neurons share the order of arrivals.

As sweep.py, but all tiles go through a chunk before any goes on. Where a spike of the layer has an effect within the
chunk, the neurons that may spike (those that the bound does not clear) are followed from spike to spike, in the order
of time; the others receive the effect at the end of the chunk, and join where it lifts their bound too far. README.md,
section 4.
"""

from math import exp, inf
from typing import NamedTuple

import numpy as np

from .alone import go_alone
from .arrivals import longest_sample, store_spikes
from .course import LONG, Course, close_chunk, new_course, set_table
from .flow import flow
from .heap import Heap, add, new_heap, next_time, take
from .jit import borrowing, kernel
from .lanes import (
    A_AFTER,
    A_ROW,
    AHEAD,
    CHUNK,
    I_BEFORE,
    I_ROW,
    LANES,
    LATE_CAP,
    LATE_PHI,
    LATE_SYN,
    NUM_COEFFICIENTS,
    STATE_SIZE,
    V_BEFORE,
    V_ROW,
    receive_late,
)
from .layout import (
    BUDGET_EXCEEDED,
    BUFFER_FULL,
    DONE,
    TAU_MEM,
    TAU_SYN,
    TIME,
)
from .own_flow import FLOWS, new_factors
from .spike_by_spike import Net, accept, adopt, first_to_fire, is_spent, new_alone, remember, settle, walk
from .sweep import local_arrivals
from .tile import (
    FIRST_ROOM,
    PEAK,
    PEAK_SLOPE,
    PEAK_TIME,
    Log,
    chunk_alike,
    chunk_own,
    how_of,
    keep_adaptation,
    new_log,
    new_scratch,
    start_tile,
)

# So many spikes may have an effect within the chunk in which they happen; at the next one it ends.
MOST_INSIDE = CHUNK
SHORTEST_CHUNK = 1e-9  # of the sample, if a chunk was cut before


class Arrivals(NamedTuple):
    """Of the inputs in one sample: time and unit (room,), how many are used up and how many there are: counts (2,);
    pending: of own spikes, by neuron.
    """

    time: np.ndarray
    unit: np.ndarray
    counts: np.ndarray
    pending: Heap


USED, COUNT = range(2)


@borrowing
def gather(t, limit, net, arrivals, how, duration, course):
    """Fill the course with the next chunk, which begins at t; returns its number of intervals.

    It is not longer than `limit`: if need be it ends without an arrival.
    """
    time, row_of, counts, nothing = course.time, course.row_of, arrivals.counts, net.size - LANES
    time[0], number = t, 0
    while number < CHUNK and time[number] < duration:
        t_in = arrivals.time[counts[USED]] if counts[USED] < counts[COUNT] else inf
        t_own = max(next_time(arrivals.pending), t)
        t_next = min(t_in, t_own, duration)
        if number > 0 and t_next - t >= min(how.reach, limit):
            break
        row_of[number] = nothing
        if t_next - t > limit:
            t_next = t + limit
        elif t_in <= t_own and t_in < duration:
            row_of[number] = arrivals.unit[counts[USED]] * LANES
            counts[USED] += 1
        elif t_own < duration:
            row_of[number] = (net.inputs + take(arrivals.pending)) * LANES
        number += 1
        time[number] = t_next
        if row_of[number - 1] == nothing:
            break
    for k in range(CHUNK):  # what the tile is going to need next
        ahead = counts[USED] + k
        row_of[AHEAD + k] = arrivals.unit[ahead] * LANES if ahead < counts[COUNT] else nothing
    return number


@borrowing
def set_chunk(number, neurons, how, course):
    """The table of the chunk, if it is the same for all neurons."""
    if how.alike:
        set_table(number - 1, neurons.parameters[0], how.adaptive, course)
    close_chunk(0, 0, number, how.alike and how.adaptive, course)


@borrowing
def pass_alike(k0, k1, fade, size, x, weights, row_of, table, adaptive, mask):
    """All tiles of neurons alike through the intervals k0 ... k1 - 1; fills mask (tiles,)."""
    for tile in range(mask.size):
        mask[tile] = chunk_alike(k0, k1, fade, tile * STATE_SIZE, tile * size, x, weights, row_of, table, adaptive)


@borrowing
def pass_tiles(k0, k1, net, course, how, scratch, factors, alone):
    """All tiles through the intervals k0 ... k1 - 1, at most CHUNK; fills alone.mask."""
    if how.alike:
        pass_alike(
            k0, k1, course.fade[0], net.size, scratch.x, net.weights, course.row_of, course.table, how.adaptive,
            alone.mask,
        )  # fmt: skip
        return
    for tile in range(alone.mask.size):
        part = Course(
            course.time, course.row_of, course.table[tile * FLOWS * NUM_COEFFICIENTS :], course.decay[tile * FLOWS :],
            course.begin, course.span, course.fade,
        )  # fmt: skip
        alone.mask[tile] = chunk_own(
            k0,
            k1,
            course.span[0],
            tile * STATE_SIZE,
            tile * net.size,
            scratch.x,
            net.weights,
            part,
            how.adaptive,
            factors[tile],
        )


@borrowing
def pass_all(number, longest, net, course, how, scratch, factors, alone):
    """All tiles through the chunk; fills alone.mask. Returns whether any neuron may have crossed."""
    N, found = scratch.spikes.size, False
    pass_tiles(0, number, net, course, how, scratch, factors, alone)
    for tile in range(alone.mask.size):
        if course.span[0] > longest:
            alone.mask[tile] = (1 << min(LANES, N - tile * LANES)) - 1
        found |= alone.mask[tile] != 0
    return found


@borrowing
def try_at_once(number, net, course, neurons, how, scratch, alone, log, length):
    """All neurons of `alone` through the chunk by themselves, as long as no spike has an effect within it.

    Returns (whether that was so, length of the log); if not, nothing has happened.
    """
    end, stride = course.time[number], 1 if net.delay.size > 1 else 0
    before = length
    for k in range(alone.counts[0]):
        n = alone.neuron[k]
        tile, first = n // LANES, length
        own = 0 if how.alike else tile
        part = Course(
            course.time, course.row_of, course.table[own * FLOWS * NUM_COEFFICIENTS :], course.decay[own * FLOWS :],
            course.begin, course.span, course.fade,
        )  # fmt: skip
        status, length = go_alone(
            tile, n % LANES, 0, number, part, net.weights, tile * net.size, neurons, how, scratch, log, length
        )
        right = status == DONE
        for j in range(first, length):
            right &= log.rows[j, TIME] + net.delay[n * stride] >= end
        if not right:
            for j in range(k + 1):
                n = alone.neuron[j]
                scratch.spikes[n], scratch.last_row[n] = alone.spikes[n], alone.last_row[n]
            return False, before
    return True, length


@borrowing
def insert(t, k, number, net, arrivals, course):
    """Put the next pending arrival into interval k of the course, at t."""
    time, row_of = course.time, course.row_of
    for j in range(number, k, -1):
        time[j + 1], row_of[j] = time[j], row_of[j - 1]
    time[k + 1], row_of[k] = t, (net.inputs + take(arrivals.pending)) * LANES


@borrowing
def give_back(first, number, net, arrivals, course):
    """The arrivals from number `first` of the course on are still to come."""
    nothing = net.size - LANES
    for k in range(first, number):
        column = course.row_of[k] // LANES
        if column < net.inputs:
            arrivals.counts[USED] -= 1
        elif course.row_of[k] < nothing:
            add(course.time[k + 1], column - net.inputs, arrivals.pending)


@borrowing
def receive_all(k, end, net, course, neurons, how, scratch, alone):
    """Arrival k of the course at the neurons that do not go alone; those join whose bound it lifts too far."""
    s, late = end - course.time[k + 1], alone.late
    for tile in range(alone.mask.size):
        state, row = tile * STATE_SIZE, tile * net.size + course.row_of[k]
        for m in range(0 if how.alike and tile > 0 else 1 if how.alike else LANES):
            n = min(tile * LANES + m, scratch.spikes.size - 1)
            neuron, step = neurons.parameters[n], 1 if how.alike else LANES
            _, late[LATE_SYN * step + m], late[LATE_PHI * step + m] = flow(s, neuron[TAU_MEM], neuron[TAU_SYN])
            late[LATE_CAP * step + m] = min(s * scratch.rates[n, 0], scratch.phi_max[n])
        if how.alike:
            mask = receive_late(scratch.x, state, net.weights, row, late, False)
        else:
            mask = receive_late(scratch.x, state, net.weights, row, late, True)
        mask &= ~alone.mask[tile]
        if mask != 0:
            remember(tile, mask, course.time[0], scratch, alone)
            alone.mask[tile] |= mask


@borrowing
def pass_again(number, net, course, neurons, how, scratch, factors, alone):
    """All tiles through a chunk that now ends earlier, and has more arrivals; nobody else can spike."""
    set_chunk(number, neurons, how, course)
    x, s = scratch.x, course.time[number] - course.time[0]
    for tile in range(alone.mask.size):
        state = tile * STATE_SIZE
        for n in range(LANES):
            x[state + V_ROW + n], x[state + I_ROW + n] = x[state + V_BEFORE + n], x[state + I_BEFORE + n]
    for k in range(0, number, CHUNK):
        pass_tiles(k, min(k + CHUNK, number), net, course, how, scratch, factors, alone)
    for n in range(scratch.spikes.size if how.adaptive else 0):
        at = n // LANES * STATE_SIZE + n % LANES
        x[at + A_AFTER] = x[at + A_ROW] * exp(-s * scratch.rates[n, 2])


@borrowing
def walk_all(stop, net, course, neurons, how, scratch, alone, log):
    """`walk` for all neurons that go alone."""
    for k in range(alone.counts[0]):
        if not is_spent(alone.neuron[k], how, alone):
            walk(alone.neuron[k], stop, net, course, neurons, how, scratch, alone, log)


@borrowing
def follow_spikes(number, net, arrivals, course, neurons, how, scratch, factors, alone, log, length):
    """The neurons of `alone` through the chunk, interval by interval and there from spike to spike; all others through
    what these spikes cause.

    Returns (status, neuron, length, number of intervals): the chunk may end earlier than it was meant to.
    """
    inside, k, now, stride = 0, 0, course.time[0], 1 if net.delay.size > 1 else 0
    while k < number:
        walk_all(k + 1, net, course, neurons, how, scratch, alone, log)
        while True:
            T, n = first_to_fire(alone)
            t = max(next_time(arrivals.pending), now)
            if n >= 0 and t >= T:
                status, length = accept(n, how, scratch, alone, log, length)
                if status != DONE:
                    return status, n, length, number
                if T + net.delay[n * stride] < neurons.duration:
                    add(T + net.delay[n * stride], n, arrivals.pending)
                if not is_spent(n, how, alone):
                    walk(n, k + 1, net, course, neurons, how, scratch, alone, log)
                now = max(now, T)
            elif t < course.time[k + 1]:
                insert(t, k, number, net, arrivals, course)
                number, inside, now = number + 1, inside + 1, t
                if inside > MOST_INSIDE:
                    give_back(k + 1, number, net, arrivals, course)
                    number = k + 1
                else:
                    receive_all(k, course.time[number], net, course, neurons, how, scratch, alone)
                walk_all(k + 1, net, course, neurons, how, scratch, alone, log)
            else:
                break
        for j in range(alone.counts[0]):
            settle(alone.neuron[j], alone)
        k += 1
    if inside > MOST_INSIDE:
        pass_again(number, net, course, neurons, how, scratch, factors, alone)
    return DONE, 0, length, number


@borrowing
def cross_chunk(number, longest, net, arrivals, course, neurons, how, scratch, factors, alone, log, length):
    """All neurons through a chunk of so many intervals. Returns (status, neuron, length, number of intervals)."""
    alone.counts[0] = 0
    if not pass_all(number, longest, net, course, how, scratch, factors, alone):
        return DONE, 0, length, number
    for tile in range(alone.mask.size):
        remember(tile, alone.mask[tile], course.time[0], scratch, alone)
    kept = Log(log.rows[: log.author.size], log.author)
    at_once, after = try_at_once(number, net, course, neurons, how, scratch, alone, kept, length)
    if not at_once:
        status, n, length, number = follow_spikes(
            number, net, arrivals, course, neurons, how, scratch, factors, alone, log, length
        )
        if status == DONE:
            adopt(course.time[number], how, neurons, scratch, alone)
        return status, n, length, number
    stride = 1 if net.delay.size > 1 else 0
    for k in range(length, after):
        t = log.rows[k, TIME] + net.delay[log.author[k] * stride]
        if t < neurons.duration:
            add(t, log.author[k], arrivals.pending)
    return DONE, 0, after, number


@kernel
def sweep_recurrent_sample(net, arrivals, course, neurons, how, scratch, factors, alone, log):
    """All neurons through one sample; returns (status, neuron, number of spikes).

    Spikes go to the log, whose last N rows are scratch. With BUFFER_FULL there was not enough room: call again with
    more.
    """
    x, duration, tiles = scratch.x, neurons.duration, alone.mask.size
    arrivals.counts[USED], arrivals.pending.size[0] = 0, 0
    for tile in range(tiles):
        start_tile(tile, neurons, how, scratch)
    longest = LONG / scratch.rates[:, 0].max()
    t, limit, length = 0.0, inf, 0
    while t < duration:
        number = gather(t, limit, net, arrivals, how, duration, course)
        set_chunk(number, neurons, how, course)
        end = course.time[number]
        status, n, length, number = cross_chunk(
            number, longest, net, arrivals, course, neurons, how, scratch, factors, alone, log, length
        )
        if status != DONE:
            return status, n, length
        for tile in range(tiles if how.adaptive else 0):
            keep_adaptation(tile * STATE_SIZE, x)
        # where spikes crowd, chunks are short, so that few neurons at a time go alone
        limit *= 2.0
        if course.time[number] < end:
            limit = max(course.time[number] - t, SHORTEST_CHUNK * duration)
        elif limit > duration:
            limit = inf
        t = course.time[number]
    return DONE, 0, length


@kernel
def recurrent_sweep_forward(events, synapses, recurrent, weights, neurons, cursor, last, buffer, filled, peaks, budget):
    """As neuron_major.neuron_major_forward, for delays of shape (1, 1) or (1, M), of the inputs and of the layer.

    weights: `sweep.by_input` of the weights of the inputs and of the layer, side by side.
    """
    N, tiles = neurons.parameters.shape[0], weights.shape[0]
    how, longest = how_of(neurons, peaks.value.size > 0, budget), longest_sample(events, cursor // N, last)
    source, scratch_sort = np.empty(longest, np.int64), (np.empty(longest), np.empty(longest, np.int64))
    bins, start = np.empty(longest + 1, np.int64), np.empty(N + 1, np.int64)
    net = Net(weights.reshape(-1), weights.shape[1] * LANES, synapses.weight.shape[1], recurrent.delay[0])
    scratch, alone, course = new_scratch(neurons, tiles), new_alone(N, tiles), new_course(max(2 * AHEAD, tiles * FLOWS))
    factors = new_factors(tiles, scratch.rates, how.adaptive)
    room = N * FIRST_ROOM
    log = new_log(room, N)
    arrivals = Arrivals(np.empty(longest), np.empty(longest, np.int64), np.zeros(2, np.int64), new_heap(room))
    for b in range(cursor // N, last):
        arrivals.counts[COUNT] = local_arrivals(
            events, b, synapses, neurons.duration, arrivals.time, source, arrivals.unit, *scratch_sort, bins
        )
        while True:
            status, n, length = sweep_recurrent_sample(
                net, arrivals, course, neurons, how, scratch, factors, alone, log
            )
            if status != BUFFER_FULL:
                break
            room *= 4
            log = new_log(room, N)
            arrivals = Arrivals(arrivals.time, arrivals.unit, arrivals.counts, new_heap(room))
        if status == BUDGET_EXCEEDED:
            return status, b * N + n, filled
        if filled + length > buffer.rows.shape[0]:
            return BUFFER_FULL, b * N, filled
        filled = store_spikes(b, length, log.rows, log.author, scratch.spikes, start, buffer, filled)
        if how.want_peak:
            own = scratch.own
            peaks.value[b], peaks.time[b], peaks.slope[b] = own[:, PEAK], own[:, PEAK_TIME], own[:, PEAK_SLOPE]
    return DONE, last * N, filled

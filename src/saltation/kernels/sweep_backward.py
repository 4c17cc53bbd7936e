"""The backward pass, event by event: the counterpart of sweep.py (README.md, sections 3 and 4).

`backward.adjoint` gives the adjoint at the end of every segment of every neuron. Chunk by chunk from the last arrival
to the first, `lanes.carry_chunk` brings the adjoint of a tile to the arrivals; where a segment of one of the neurons
ends within a chunk, it is gone through in two parts.
"""

from math import inf
from typing import NamedTuple

import numpy as np

from .arrivals import group_by, index_arrivals, locate, longest_sample, ordered_arrivals
from .backward import END, KINK, MISSED, P_I_RELEASE, new_segments, peak_of, times_of_spikes
from .backward import P_I as SEGMENT_P_I
from .backward import P_V as SEGMENT_P_V
from .backward import adjoint as adjoint_of
from .chain import most_spikes
from .course import CHUNK_REACH, share_taus, shortest_tau
from .jit import borrowing, embedded, kernel
from .lanes import ACC_MEM, ACC_SYN, ADJOINT_SIZE, CHUNK, LANES, TAUS, TIMES, aligned
from .layout import REFRACTORY, TAU_MEM, TAU_SYN, TIME
from .own_flow import new_factors
from .reset import is_ghost, release_of
from .returns import (
    add_ghosts,
    carry,
    new_returns,
    new_way,
    set_lane,
    set_own_adjoint_table,
    set_returns,
    step_tile,
    strength_in,
)
from .sweep import sample_ends

# Of a boundary: its time, and the adjoint there.
WHEN, AT_V, AT_I = range(3)


class Opening(NamedTuple):
    """Scratch of the first pass over the neurons. ends (N,): when the sample ends on each neuron's clock; places: where
    arrivals are, see `locate`; segments: of one neuron.
    """

    ends: np.ndarray
    places: np.ndarray
    segments: np.ndarray


class Boundaries(NamedTuple):
    """Where the adjoint of a neuron is set anew, going back: on all arrivals before[m] of them, those earlier than
    values[m, WHEN], lane owner[m] of the tile has the adjoint that is (AT_V, AT_I) then.

    key (room,), order (room,), start (chunks + 1,): the boundaries by the chunk in which they begin to count, the
    latest first.
    """

    owner: np.ndarray
    before: np.ndarray
    values: np.ndarray
    key: np.ndarray
    order: np.ndarray
    start: np.ndarray


@kernel
def new_boundaries(room, longest):
    """Room for so many boundaries."""
    return Boundaries(
        np.empty(room, np.int64), np.empty(room, np.int64), np.empty((room, 3)), np.empty(room, np.int64),
        np.empty(room, np.int64), np.empty(longest + 2, np.int64),
    )  # fmt: skip


@embedded
def add_boundary(number, n, time, p_V, p_I, count, arrival, duration, index, bounds):
    """Append: on all arrivals earlier than `time`, lane n has the adjoint that is (p_V, p_I) at `time`."""
    bounds.owner[number] = n
    bounds.values[number, WHEN], bounds.values[number, AT_V], bounds.values[number, AT_I] = time, p_V, p_I
    bounds.before[number] = locate(time, count, arrival, duration, index)
    return number + 1


@borrowing
def boundaries(n, neuron, rows, segments, last_counts, count, arrival, duration, index, number, bounds):
    """Append the boundaries of one neuron, from the end of the sample to its start; returns their new number."""
    for m in range(rows.shape[0], -1, -1):
        release = release_of(rows[m - 1], neuron) if m > 0 else 0.0
        if (m == rows.shape[0] and not last_counts) or segments[m, END] < release:
            continue  # nothing depends on what arrives here
        p_V, p_I = segments[m, SEGMENT_P_V], segments[m, SEGMENT_P_I]
        number = add_boundary(number, n, segments[m, END], p_V, p_I, count, arrival, duration, index, bounds)
        if m > 0 and release > rows[m - 1, TIME]:
            p_I = segments[m, P_I_RELEASE]
            number = add_boundary(number, n, release, 0.0, p_I, count, arrival, duration, index, bounds)
    return number


@borrowing
def return_tile(tile, c, chunks, ghosts, neurons, source_stride, p, factors, way, returns, bounds, gradients):
    """The adjoint of a tile from chunk c on back to the first arrival; adds the gradients of all arrivals.

    ghosts: among the inputs; source_stride: of the delays; -1: they do not belong to inputs; factors: scratch of
    `own_flow`.
    """
    moved = way.detail & TIMES != 0
    p[:] = 0.0
    while c < chunks:
        k0, k1 = returns.begin[c + 1], returns.begin[c]
        if way.own:
            set_own_adjoint_table(k0, k1, returns.arrival, way.detail, way.table, factors)
        stop, m, last = k1, bounds.start[c], bounds.start[c + 1]
        while True:  # from boundary to boundary
            first = bounds.before[bounds.order[m]] if m < last else k0
            if first < stop:
                carry(k0, first, stop, tile, p, way)
                stop = first
            if m == last:
                break
            j = bounds.order[m]
            n, s = bounds.owner[j], bounds.values[j, WHEN] - returns.arrival[first - 1]
            p_V, p_I, neuron = bounds.values[j, AT_V], bounds.values[j, AT_I], neurons.parameters[tile * LANES + n]
            set_lane(n, s, first - 1, k0, p_V, p_I, neuron, p, way)
            m += 1
        if k0 > 0:
            step_tile(c, p, way)
        for k in range(k0, k1 if moved or ghosts.times.size > 0 else k0):
            source, unit = returns.source[k], returns.unit[k]
            if source < 0:
                gradients.strengths[-1 - source] += strength_in(tile, ghosts.units[-1 - source], unit, way)
            elif moved:
                gradients.times[source] += way.times[k - k0]
                if source_stride >= 0:
                    gradients.delay[0, unit * source_stride] += way.times[k - k0]
        c += 1


@borrowing
def move_arrival(time, grad_t, source_stride, count, duration, places, returns, gradients):
    """What is at the very time of an arrival moves with it: grad_t is part of its dL/dt."""
    k = locate(time, count, returns.arrival, duration, places)
    if k < count and returns.arrival[k] == time and returns.source[k] >= 0:
        gradients.times[returns.source[k]] += grad_t
        if source_stride >= 0:
            gradients.delay[0, returns.unit[k] * source_stride] += grad_t


@borrowing
def move_kinks(rows, segments, source_stride, count, duration, places, returns, gradients):
    """A ghost that is a kink moves with the arrival there."""
    for m in range(rows.shape[0]):
        if is_ghost(rows[m]):
            kink = segments[m + 1, KINK]
            move_arrival(rows[m, TIME], kink, source_stride, count, duration, places, returns, gradients)


@borrowing
def open_tile(tile, b, row, count, neurons, source_stride, buffer, sent, opening, returns, bounds, gradients):
    """First pass over the neurons of a tile: their segments, and the boundaries of these. Returns (row, number)."""
    N, duration, number = neurons.parameters.shape[0], neurons.duration, 0
    places, segments, dendritic = opening.places, opening.segments, source_stride < 0
    for n in range(tile * LANES, min((tile + 1) * LANES, N)):
        spikes = buffer.counts[b, n]
        rows, g_rows = (
            buffer.rows[row : row + spikes],
            sent.grad_rows[row : row + spikes],
        )  # borrowed: not by a function
        row += spikes
        G_peak, peak_time, peak_slope = peak_of(b, n, sent.peaks, sent.grad_peak)
        if spikes == 0 and G_peak == 0.0:
            continue
        neuron = neurons.parameters[n]
        last_counts = adjoint_of(
            neuron, neurons, rows, g_rows, peak_time, peak_slope, G_peak, sent.min_slope,
            sent.with_taus, segments, gradients.parameters[n],
        )  # fmt: skip
        number = boundaries(
            n - tile * LANES, neuron, rows, segments, last_counts, count, returns.arrival, duration, places, number,
            bounds,
        )  # fmt: skip
        if dendritic:  # the neuron's clock moves with its delay, and what it shows moves along
            gradients.delay[n, 0] += times_of_spikes(rows, g_rows) - segments[:spikes, MISSED].sum()
            if last_counts and peak_time == opening.ends[n]:
                gradients.delay[n, 0] -= G_peak * peak_slope
        if neurons.smoothing > 0.0 and sent.want_times:
            move_kinks(rows, segments, source_stride, count, duration, places, returns, gradients)
        last_release = rows[spikes - 1, TIME] + neuron[REFRACTORY] if spikes > 0 else -inf
        if sent.want_times and last_counts and peak_time > last_release:
            move_arrival(peak_time, G_peak * peak_slope, source_stride, count, duration, places, returns, gradients)
    return row, number


@borrowing
def group_boundaries(number, chunks, returns, bounds):
    """Put `number` boundaries in order, the latest first, but for the times of those between the same two arrivals;
    returns the first chunk that has one, or `chunks`.
    """
    earliest = chunks
    for m in range(number):
        k = bounds.before[m]
        bounds.key[m] = returns.chunk_of[k - 1] if k > 0 else chunks
        earliest = min(earliest, bounds.key[m])
    if earliest < chunks:
        group_by(number, bounds.key, bounds.start[: chunks + 2], bounds.order)
    for m in range(1, number if earliest < chunks else 0):
        j, i = bounds.order[m], m
        while i > 0 and bounds.key[bounds.order[i - 1]] == bounds.key[j] and (
            bounds.before[bounds.order[i - 1]] < bounds.before[j]
        ):  # fmt: skip
            bounds.order[i] = bounds.order[i - 1]
            i -= 1
        bounds.order[i] = j
    return earliest


@borrowing
def detail_of(sent):
    """Which gradients of arrivals are wanted."""
    return (TIMES if sent.want_times else 0) + (TAUS if sent.with_taus else 0)


@kernel
def sweep_backward(events, ghosts, synapses, weights, neurons, span, buffer, sent, gradients):
    """As neuron_major_backward.neuron_major_backward for what sweep_forward can do.

    weights as for sweep_forward; gradients.weight has the same shape here.
    """
    N, own, tiles = neurons.parameters.shape[0], not share_taus(neurons.parameters), weights.shape[0]
    source_stride = -1 if synapses.delay.shape[0] > 1 else 1 if synapses.delay.shape[1] > 1 else 0
    reach = CHUNK_REACH * shortest_tau(neurons.parameters)
    longest = longest_sample(events, span.first, span.last) + longest_sample(ghosts, span.first, span.last)
    most = most_spikes(buffer, span.first, span.last)
    returns, bounds = new_returns(longest), new_boundaries(2 * (most + LANES), longest)
    rates = 1.0 / neurons.parameters[:, :3]
    opening = Opening(np.empty(N), np.empty(longest + 2, np.int64), new_segments(buffer, span.first, span.last))
    delay_row = np.zeros(1) if source_stride < 0 else synapses.delay[0]  # on the neurons' clocks
    scratch = np.empty(longest), np.empty(longest, np.int64), np.empty(longest + 1, np.int64)
    p, factors = aligned(ADJOINT_SIZE), new_factors(tiles if own else 1, rates, False)
    way = new_way(longest, weights, gradients.weight, detail_of(sent), own)
    sample_ends(synapses, neurons.duration, opening.ends)
    row = span.row
    for b in range(span.first, span.last):
        count = ordered_arrivals(
            events, b, delay_row, neurons.duration, returns.arrival, returns.source, *scratch
        )  # fmt: skip
        count = add_ghosts(ghosts, b, delay_row, neurons.duration, count, returns, scratch)
        for k in range(count):
            source = returns.source[k]
            returns.unit[k] = events.units[source] if source >= 0 else synapses.weight.shape[1] + k % CHUNK
        chunks = set_returns(count, neurons, reach, way, returns)
        index_arrivals(count, returns.arrival, neurons.duration, opening.places)
        for tile in range(tiles):
            row, number = open_tile(
                tile, b, row, count, neurons, source_stride, buffer, sent, opening, returns, bounds, gradients
            )
            earliest, first = group_boundaries(number, chunks, returns, bounds), tile * LANES
            if earliest == chunks:
                continue  # what arrives later has no effect
            part = factors[tile if own else 0]
            return_tile(
                tile, earliest, chunks, ghosts, neurons, source_stride, p, part, way, returns, bounds, gradients
            )  # fmt: skip
            for n in range(first, min(first + LANES, N) if sent.with_taus else first):
                gradients.parameters[n, TAU_MEM] += p[ACC_MEM + n - first]
                gradients.parameters[n, TAU_SYN] += p[ACC_SYN + n - first]

"""The backward pass, event by event: the counterpart of sweep.py (README.md, sections 3 and 4).

`backward.adjoint` gives the adjoint at the end of every segment of every neuron. Chunk by chunk from the last arrival
to the first, `lanes.carry_chunk` brings the adjoint of a tile to the arrivals; neurons for which a segment begins
within a chunk go through it alone.
"""

from math import inf
from typing import NamedTuple

import numpy as np

from .arrivals import group_by, index_arrivals, locate, longest_sample
from .backward import END, MISSED, P_I_RELEASE, adjoint, new_segments, peak_of
from .backward import P_I as SEGMENT_P_I
from .backward import P_V as SEGMENT_P_V
from .course import CHUNK_REACH, share_taus, shortest_tau
from .jit import borrowing, kernel
from .lanes import (
    ACC_MEM,
    ACC_SYN,
    ADJOINT_SIZE,
    LANES,
    NUM_ADJOINT,
    TAUS,
    TIMES,
    WEIGHTS,
    aligned,
)
from .layout import REFRACTORY, TAU_MEM, TAU_SYN, TIME
from .own_flow import (
    FACTORS_SIZE,
    set_own_rates,
)
from .returns import (
    carry,
    credit,
    credit_here,
    new_returns,
    new_way,
    put_at_end,
    set_adjoint,
    set_own_adjoint_table,
    set_returns,
    step_lane,
)
from .sweep import local_arrivals, sample_ends

# Of a boundary: its time, and the adjoint there.
WHEN, AT_V, AT_I = range(3)


class Boundaries(NamedTuple):
    """Where the adjoint of a neuron is set anew, going back: on all arrivals before[m] of them, those earlier than
    values[m, WHEN], lane owner[m] of the tile has the adjoint that is (AT_V, AT_I) then.

    key (room,), order (room,), start (chunks + 1,): the boundaries by the chunk in which they begin to count.
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


@borrowing
def add_boundary(number, n, time, p_V, p_I, count, arrival, duration, index, bounds):
    """Append: on all arrivals earlier than `time`, lane n has the adjoint that is (p_V, p_I) at `time`."""
    bounds.owner[number] = n
    bounds.values[number, WHEN], bounds.values[number, AT_V], bounds.values[number, AT_I] = time, p_V, p_I
    bounds.before[number] = locate(time, count, arrival, duration, index)
    return number + 1


@borrowing
def boundaries(n, rows, segments, last_counts, refractory, count, arrival, duration, index, number, bounds):
    """Append the boundaries of one neuron, from the end of the sample to its start; returns their new number."""
    for m in range(rows.shape[0], -1, -1):
        release = rows[m - 1, TIME] + refractory if m > 0 else 0.0
        if (m == rows.shape[0] and not last_counts) or segments[m, END] < release:
            continue  # nothing depends on what arrives here
        p_V, p_I = segments[m, SEGMENT_P_V], segments[m, SEGMENT_P_I]
        number = add_boundary(number, n, segments[m, END], p_V, p_I, count, arrival, duration, index, bounds)
        if m > 0 and refractory > 0.0:
            p_I = segments[m, P_I_RELEASE]
            number = add_boundary(number, n, release, 0.0, p_I, count, arrival, duration, index, bounds)
    return number


@borrowing
def return_alone(
    m0, m1, k0, k1, start, end, neurons, first, rows, weights, detail, own, p, kept, way, bounds, grad
):  # fmt: skip
    """The lanes with boundaries m0 ... m1 - 1, in the order of `bounds`, through the arrivals k0 ... k1 - 1.

    start: the time of the first of these; kept: their adjoint at the end of the chunk. The boundaries of one lane
    follow each other, the latest first.
    """
    stride = LANES if own else 1
    for m in range(m0, m1):
        j = bounds.order[m]
        n, when, p_V, p_I = bounds.owner[j], bounds.values[j, WHEN], bounds.values[j, AT_V], bounds.values[j, AT_I]
        neuron = neurons.parameters[first + n]
        if m == m0 or bounds.owner[bounds.order[m - 1]] != n:  # arrivals after its latest boundary
            for row in range(0, ACC_MEM, LANES):
                p[row + n] = kept[row + n]
            credit(n, k0, bounds.before[j], k1, rows, weights, detail, own, p, way, grad)
        is_last = m + 1 == m1 or bounds.owner[bounds.order[m + 1]] != n
        s = end - when
        if k1 == k0 + 1 and s * max(1.0 / neuron[TAU_MEM], 1.0 / neuron[TAU_SYN]) > 1.0:
            # one arrival, perhaps long before the end
            if is_last:
                set_adjoint(n, when - start, p_V, p_I, neuron[TAU_MEM], neuron[TAU_SYN], detail == TAUS, p)
                credit_here(n, k0, k0, rows, weights, neuron, detail, p, way, grad)
            continue
        put_at_end(n, s, p_V, p_I, neuron, detail == TAUS, p)
        begin = k0 if is_last else bounds.before[bounds.order[m + 1]]
        credit(n, k0, begin, bounds.before[j], rows, weights, detail, own, p, way, grad)
        if is_last:
            step_lane(n, n if own else NUM_ADJOINT * k0, stride, detail, way.table, p)


@borrowing
def return_tile(
    tile, c, chunks, duration, neurons, weights, detail, own, source_stride, p, kept, factors, way, returns,
    bounds, gradients, grad,
):  # fmt: skip
    """The adjoint of a tile from chunk c on back to the first arrival; adds the gradients of all arrivals.

    source_stride: of the delays; -1: they do not belong to inputs.
    """
    first, rows = tile * LANES, tile * (weights.size // ((neurons.parameters.shape[0] + LANES - 1) // LANES))
    for k in range(ADJOINT_SIZE):
        p[k] = 0.0
    while c < chunks:
        k0, k1 = returns.begin[c + 1], returns.begin[c]
        end = returns.arrival[k1] if c > 0 else duration
        m0, m1 = bounds.start[c], bounds.start[c + 1]
        if own:
            set_own_adjoint_table(k0, k1, end, returns.arrival, way.table, factors)
        for m in range(m0, m1):  # they go alone
            n = bounds.owner[bounds.order[m]]
            if m == m0 or bounds.owner[bounds.order[m - 1]] != n:
                for row in range(0, ACC_MEM, LANES):
                    kept[row + n], p[row + n] = p[row + n], 0.0
        carry(k0, k1 - k0, rows, weights, detail, own, p, way, grad)
        for n in range(LANES):
            step_lane(n, n if own else k0 * NUM_ADJOINT, LANES if own else 1, detail, way.table, p)
        if m0 < m1:
            return_alone(
                m0,
                m1,
                k0,
                k1,
                returns.arrival[k0],
                end,
                neurons,
                first,
                rows,
                weights,
                detail,
                own,
                p,
                kept,
                way,
                bounds,
                grad,
            )
        for k in range(k0, k1 if detail >= TIMES else k0):
            gradients.times[returns.source[k]] += way.times[k - k0]
            if source_stride >= 0:
                gradients.delay[0, returns.unit[k] * source_stride] += way.times[k - k0]
        c += 1


@borrowing
def open_tile(
    tile, b, row, count, neurons, detail, ends, buffer, grad_rows, peaks, grad_peak, min_slope, dendritic,
    source_stride, index, segments, returns, bounds, gradients,
):  # fmt: skip
    """First pass over the neurons of a tile: their segments, and the boundaries of these. Returns (row, number)."""
    N, duration, number = neurons.parameters.shape[0], neurons.duration, 0
    for n in range(tile * LANES, min((tile + 1) * LANES, N)):
        spikes = buffer.counts[b, n]
        rows, g_rows = buffer.rows[row : row + spikes], grad_rows[row : row + spikes]  # borrowed, so not by a function
        row += spikes
        G_peak, peak_time, peak_slope = peak_of(b, n, peaks, grad_peak)
        if spikes == 0 and G_peak == 0.0:
            continue
        neuron = neurons.parameters[n]
        last_counts = adjoint(
            neuron, neurons.subtract, rows, g_rows, peak_time, peak_slope, G_peak, min_slope, detail == TAUS, segments,
            gradients.parameters[n],
        )  # fmt: skip
        number = boundaries(
            n - tile * LANES, rows, segments, last_counts, neuron[REFRACTORY], count, returns.arrival, duration, index,
            number, bounds,
        )  # fmt: skip
        if dendritic:  # the neuron's clock moves with its delay, and what it shows moves along
            gradients.delay[n, 0] += g_rows.sum() - segments[:spikes, MISSED].sum()
            if last_counts and peak_time == ends[n]:
                gradients.delay[n, 0] -= G_peak * peak_slope
        last_release = rows[spikes - 1, TIME] + neuron[REFRACTORY] if spikes > 0 else -inf
        if detail >= TIMES and last_counts and peak_time > last_release:
            k = locate(peak_time, count, returns.arrival, duration, index)
            if k < count and returns.arrival[k] == peak_time:  # a peak that is a kink moves with the arrival there
                gradients.times[returns.source[k]] += G_peak * peak_slope
                if not dendritic:
                    gradients.delay[0, returns.unit[k] * source_stride] += G_peak * peak_slope
    return row, number


@kernel
def sweep_backward(
    events, synapses, weights, neurons, first, last, buffer, row_offset, grad_rows, peaks, grad_peak, min_slope,
    want_times, with_taus, gradients,
):  # fmt: skip
    """As backward.lif_backward for what sweep_forward can do.

    weights as for sweep_forward; gradients.weight has the same shape here. want_times: whether gradients of event times
    and of delays are wanted; with_taus: those of tau_mem and tau_syn.
    """
    N, alike = neurons.parameters.shape[0], share_taus(neurons.parameters)
    detail = TAUS if with_taus else TIMES if want_times else WEIGHTS
    dendritic, source_stride = synapses.delay.shape[0] > 1, 1 if synapses.delay.shape[1] > 1 else 0
    reach = CHUNK_REACH * shortest_tau(neurons.parameters)
    longest, most = longest_sample(events, first, last), 0
    for b in range(first, last):
        most = max(most, buffer.counts[b].sum())
    returns, bounds = new_returns(longest), new_boundaries(2 * (most + LANES), longest)
    arrival_copy, source_copy = np.empty(longest), np.empty(longest, np.int64)
    bins, index, ends = np.empty(longest + 1, np.int64), np.empty(longest + 1, np.int64), np.empty(N)
    segments, rates = new_segments(buffer, first, last), 1.0 / neurons.parameters[:, :3]
    p, kept, factors = aligned(ADJOINT_SIZE), aligned(ADJOINT_SIZE), aligned(FACTORS_SIZE)
    way = new_way(longest, alike)
    flat_weights, grad_weight = weights.reshape(-1), gradients.weight.reshape(-1)
    sample_ends(synapses, neurons.duration, ends)
    row = row_offset
    for b in range(first, last):
        count = local_arrivals(
            events, b, synapses, neurons.duration, returns.arrival, returns.source, returns.unit, arrival_copy,
            source_copy, bins,
        )  # fmt: skip
        chunks = set_returns(count, neurons.duration, neurons, detail, alike, reach, way, returns)
        index_arrivals(count, returns.arrival, neurons.duration, index)
        for tile in range(weights.shape[0]):
            row, number = open_tile(
                tile, b, row, count, neurons, detail, ends, buffer, grad_rows, peaks, grad_peak, min_slope, dendritic,
                source_stride, index, segments, returns, bounds, gradients,
            )  # fmt: skip
            earliest = chunks
            for m in range(number):
                k = bounds.before[m]
                bounds.key[m] = returns.chunk_of[k - 1] if k > 0 else chunks
                earliest = min(earliest, bounds.key[m])
            if earliest == chunks:
                continue  # what arrives later has no effect
            group_by(number, bounds.key, bounds.start[: chunks + 2], bounds.order)
            if not alike:
                set_own_rates(tile * LANES, min((tile + 1) * LANES, N), rates, factors)
            return_tile(
                tile, earliest, chunks, neurons.duration, neurons, flat_weights, detail, not alike,
                -1 if dendritic else source_stride, p, kept, factors, way, returns, bounds, gradients, grad_weight,
            )  # fmt: skip
            for n in range(tile * LANES, min((tile + 1) * LANES, N) if with_taus else 0):
                gradients.parameters[n, TAU_MEM] += p[ACC_MEM + n - tile * LANES]
                gradients.parameters[n, TAU_SYN] += p[ACC_SYN + n - tile * LANES]

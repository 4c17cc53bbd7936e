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
from .flow import flow, phi_gradient
from .jit import borrowing, kernel
from .lanes import (
    A_SYN,
    ACC_MEM,
    ACC_SYN,
    ADJOINT_SIZE,
    AHEAD,
    B_MEM,
    B_SYN,
    I_BY_MEM,
    I_BY_SYN,
    LANES,
    M_MEM,
    NUM_ADJOINT,
    P_I,
    P_V,
    T_I,
    T_V,
    TAUS,
    TIMES,
    V_BY_MEM,
    WEIGHTS,
    A,
    B,
    M,
    carry_chunk,
)
from .layout import REFRACTORY, TAU_MEM, TAU_SYN, TIME
from .sweep import CHUNK, CHUNK_REACH, local_arrivals, sample_ends, set_own_rates, share_taus
from .tile import (
    FACTORS_SIZE,
    LENGTH,
    OWN_MEM,
    OWN_PHI,
    OWN_PHI_MEM,
    OWN_PHI_SYN,
    OWN_SYN,
    RATE_MEM,
    RATE_SYN,
    aligned,
    own_flow,
    own_flow_gradient,
)

# Of a boundary: its time, and the adjoint there.
WHEN, AT_V, AT_I = range(3)


class Returns(NamedTuple):
    """The arrivals of a sample on the way back, in chunks: chunk c holds the arrivals begin[c + 1] ... begin[c] - 1 and
    ends with the next one after them.

    arrival, source, unit (count,): as `local_arrivals` fills them; chunk_of (count,); row_of: as for
    `lanes.carry_chunk`; table: its table; times (CHUNK,): its grad_times.
    """

    arrival: np.ndarray
    source: np.ndarray
    unit: np.ndarray
    begin: np.ndarray
    chunk_of: np.ndarray
    row_of: np.ndarray
    table: np.ndarray
    times: np.ndarray


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
def new_returns(longest):
    """Room for samples of up to `longest` arrivals."""
    rows = max(longest, CHUNK * LANES)
    return Returns(
        np.empty(longest), np.empty(longest, np.int64), np.empty(longest, np.int64), np.empty(longest + 2, np.int64),
        np.empty(longest, np.int64), np.zeros(longest + AHEAD, np.int64), np.empty(rows * NUM_ADJOINT), np.empty(CHUNK),
    )  # fmt: skip


@kernel
def new_boundaries(room, longest):
    """Room for so many boundaries."""
    return Boundaries(
        np.empty(room, np.int64), np.empty(room, np.int64), np.empty((room, 3)), np.empty(room, np.int64),
        np.empty(room, np.int64), np.empty(longest + 2, np.int64),
    )  # fmt: skip


@borrowing
def set_adjoint_row(s, e_mem, e_syn, phi_s, phi_mem, phi_syn, rate_mem, rate_syn, table, at, stride):
    """The columns of lanes.py for an arrival a time s before the end of its chunk, at table[at + column stride]."""
    table[at + A * stride], table[at + B * stride], table[at + M * stride] = e_syn, phi_s, e_mem
    table[at + T_I * stride], table[at + T_V * stride] = e_syn * rate_syn, phi_s * rate_syn - e_mem * rate_mem
    table[at + A_SYN * stride], table[at + B_MEM * stride] = e_syn * s * rate_syn * rate_syn, phi_mem
    table[at + B_SYN * stride], table[at + M_MEM * stride] = phi_syn, e_mem * s * rate_mem * rate_mem


@kernel
def set_returns(count, inputs, duration, neurons, detail, alike, reach, returns):
    """Chunks and table of a sample of `count` arrivals; returns the number of chunks."""
    chunks, k, arrival = 0, count, returns.arrival
    tau_mem, tau_syn = neurons.parameters[0, TAU_MEM], neurons.parameters[0, TAU_SYN]
    returns.begin[0] = count
    while k > 0:
        stop, end = k, arrival[k] if k < count else duration
        while k > 0 and stop - k < CHUNK and (k == stop or end - arrival[k - 1] <= reach):
            k -= 1
            returns.chunk_of[k], returns.row_of[AHEAD + k] = chunks, returns.unit[k] * LANES
            if alike:
                s, phi_mem, phi_syn = end - arrival[k], 0.0, 0.0
                e_mem, e_syn, phi_s = flow(s, tau_mem, tau_syn)
                if detail == TAUS:
                    _, phi_mem, phi_syn = phi_gradient(s, tau_mem, tau_syn)
                set_adjoint_row(
                    s, e_mem, e_syn, phi_s, phi_mem, phi_syn, 1.0 / tau_mem, 1.0 / tau_syn, returns.table,
                    k * NUM_ADJOINT, 1,
                )  # fmt: skip
        chunks += 1
        returns.begin[chunks] = k
    return chunks


@borrowing
def set_own_adjoint_table(k0, k1, end, detail, returns, factors):
    """The table of the arrivals k0 ... k1 - 1 for each neuron of a tile."""
    for e in range(CHUNK):
        s = end - returns.arrival[k0 + e] if k0 + e < k1 else 0.0
        for n in range(LANES):
            factors[LENGTH + e * LANES + n] = s
    own_flow(factors, factors.view(np.int64), False)
    own_flow_gradient(factors)
    for e in range(k1 - k0):
        for n in range(LANES):
            m = e * LANES + n
            set_adjoint_row(
                factors[LENGTH + m], factors[OWN_MEM + m], factors[OWN_SYN + m], factors[OWN_PHI + m],
                factors[OWN_PHI_MEM + m], factors[OWN_PHI_SYN + m], factors[RATE_MEM + m], factors[RATE_SYN + m],
                returns.table, e * NUM_ADJOINT * LANES + n, LANES,
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
def set_adjoint(n, s, p_V, p_I, tau_mem, tau_syn, with_taus, p):
    """The adjoint of lane n where it is (p_V, p_I) a time s later."""
    e_mem, e_syn, phi_s = flow(s, tau_mem, tau_syn)
    p[P_V + n], p[P_I + n] = p_V * e_mem, p_I * e_syn + p_V * phi_s
    if with_taus:
        _, phi_mem, phi_syn = phi_gradient(s, tau_mem, tau_syn)
        p[V_BY_MEM + n], p[I_BY_MEM + n] = p_V * e_mem * s / (tau_mem * tau_mem), p_V * phi_mem
        p[I_BY_SYN + n] = p_V * phi_syn + p_I * e_syn * s / (tau_syn * tau_syn)


@borrowing
def step_lane(n, at, stride, detail, table, p):
    """The adjoint of lane n at the first arrival of a chunk from that at its end; table[at + column stride]."""
    a, b, m = table[at + A * stride], table[at + B * stride], table[at + M * stride]
    p_V, p_I, V_mem = p[P_V + n], p[P_I + n], p[V_BY_MEM + n]
    if detail == TAUS:
        p[I_BY_MEM + n] = p[I_BY_MEM + n] * a + V_mem * b + p_V * table[at + B_MEM * stride]
        p[I_BY_SYN + n] = p[I_BY_SYN + n] * a + p_I * table[at + A_SYN * stride] + p_V * table[at + B_SYN * stride]
        p[V_BY_MEM + n] = V_mem * m + p_V * table[at + M_MEM * stride]
    p[P_V + n], p[P_I + n] = p_V * m, p_I * a + p_V * b


@borrowing
def put_at_end(n, s, p_V, p_I, neuron, with_taus, p):
    """The adjoint of lane n at the end of a chunk that is (p_V, p_I) a time s before, at most about a time constant."""
    tau_mem, tau_syn = neuron[TAU_MEM], neuron[TAU_SYN]
    e_mem, e_syn, phi_s = flow(s, tau_mem, tau_syn)
    p_V = p_V / e_mem
    p_I = (p_I - p_V * phi_s) / e_syn
    p[P_V + n], p[P_I + n] = p_V, p_I
    if with_taus:  # so that the derivatives vanish at the time s before the end
        _, phi_mem, phi_syn = phi_gradient(s, tau_mem, tau_syn)
        p[V_BY_MEM + n] = -p_V * s / (tau_mem * tau_mem)
        p[I_BY_MEM + n] = -(p[V_BY_MEM + n] * phi_s + p_V * phi_mem) / e_syn
        p[I_BY_SYN + n] = -p_I * s / (tau_syn * tau_syn) - p_V * phi_syn / e_syn


@borrowing
def credit(n, k0, first, stop, rows, weights, detail, own, p, returns, grad):
    """Add the gradients of the arrivals first ... stop - 1 of a chunk at lane n, whose adjoint at its end is in p."""
    stride, table = LANES if own else 1, returns.table
    for k in range(first, stop):
        row, at = rows + returns.row_of[AHEAD + k] + n, NUM_ADJOINT * LANES * (k - k0) + n if own else NUM_ADJOINT * k
        p_V, p_I, a, b = p[P_V + n], p[P_I + n], table[at + A * stride], table[at + B * stride]
        grad[row] += p_V * b + p_I * a
        if detail >= TIMES:
            returns.times[k - k0] += weights[row] * (p_V * table[at + T_V * stride] + p_I * table[at + T_I * stride])
        if detail == TAUS:
            by_mem = p[I_BY_MEM + n] * a + p[V_BY_MEM + n] * b + p_V * table[at + B_MEM * stride]
            by_syn = p[I_BY_SYN + n] * a + p_I * table[at + A_SYN * stride] + p_V * table[at + B_SYN * stride]
            p[ACC_MEM + n] += weights[row] * by_mem
            p[ACC_SYN + n] += weights[row] * by_syn


@borrowing
def return_alone(m0, m1, k0, k1, end, neurons, first, rows, weights, detail, own, p, kept, returns, bounds, grad):
    """The lanes with boundaries m0 ... m1 - 1, in the order of `bounds`, through the arrivals k0 ... k1 - 1.

    kept: their adjoint at the end of the chunk. The boundaries of one lane follow each other, the latest first.
    """
    stride = LANES if own else 1
    for m in range(m0, m1):
        j = bounds.order[m]
        n, when, p_V, p_I = bounds.owner[j], bounds.values[j, WHEN], bounds.values[j, AT_V], bounds.values[j, AT_I]
        neuron = neurons.parameters[first + n]
        if m == m0 or bounds.owner[bounds.order[m - 1]] != n:  # arrivals after its latest boundary
            for row in range(0, ACC_MEM, LANES):
                p[row + n] = kept[row + n]
            credit(n, k0, bounds.before[j], k1, rows, weights, detail, own, p, returns, grad)
        is_last = m + 1 == m1 or bounds.owner[bounds.order[m + 1]] != n
        s = end - when
        if k1 == k0 + 1 and s * max(1.0 / neuron[TAU_MEM], 1.0 / neuron[TAU_SYN]) > 1.0:
            # one arrival, perhaps long before the end
            if is_last:
                row = rows + returns.row_of[AHEAD + k0] + n
                set_adjoint(
                    n, when - returns.arrival[k0], p_V, p_I, neuron[TAU_MEM], neuron[TAU_SYN], detail == TAUS, p
                )
                grad[row] += p[P_I + n]
                if detail >= TIMES:
                    returns.times[0] += weights[row] * (p[P_I + n] / neuron[TAU_SYN] - p[P_V + n] / neuron[TAU_MEM])
                if detail == TAUS:
                    p[ACC_MEM + n] += weights[row] * p[I_BY_MEM + n]
                    p[ACC_SYN + n] += weights[row] * p[I_BY_SYN + n]
            continue
        put_at_end(n, s, p_V, p_I, neuron, detail == TAUS, p)
        begin = k0 if is_last else bounds.before[bounds.order[m + 1]]
        credit(n, k0, begin, bounds.before[j], rows, weights, detail, own, p, returns, grad)
        if is_last:
            step_lane(n, n if own else NUM_ADJOINT * k0, stride, detail, returns.table, p)


@borrowing
def carry(k0, number, rows, weights, detail, own, p, returns, grad):
    """`lanes.carry_chunk`, whose last two arguments must be literals."""
    row_of, table, times = returns.row_of, returns.table, returns.times
    if detail == WEIGHTS:
        if own:
            carry_chunk(p, grad, weights, rows, row_of, table, k0, number, times, WEIGHTS, True)
        else:
            carry_chunk(p, grad, weights, rows, row_of, table, k0, number, times, WEIGHTS, False)
    elif detail == TIMES:
        if own:
            carry_chunk(p, grad, weights, rows, row_of, table, k0, number, times, TIMES, True)
        else:
            carry_chunk(p, grad, weights, rows, row_of, table, k0, number, times, TIMES, False)
    elif own:
        carry_chunk(p, grad, weights, rows, row_of, table, k0, number, times, TAUS, True)
    else:
        carry_chunk(p, grad, weights, rows, row_of, table, k0, number, times, TAUS, False)


@borrowing
def return_tile(
    tile, c, chunks, duration, neurons, weights, detail, own, source_stride, p, kept, factors, returns, bounds,
    gradients, grad,
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
            set_own_adjoint_table(k0, k1, end, detail, returns, factors)
        for m in range(m0, m1):  # they go alone
            n = bounds.owner[bounds.order[m]]
            if m == m0 or bounds.owner[bounds.order[m - 1]] != n:
                for row in range(0, ACC_MEM, LANES):
                    kept[row + n], p[row + n] = p[row + n], 0.0
        carry(k0, k1 - k0, rows, weights, detail, own, p, returns, grad)
        for n in range(LANES):
            step_lane(n, n if own else k0 * NUM_ADJOINT, LANES if own else 1, detail, returns.table, p)
        if m0 < m1:
            return_alone(
                m0, m1, k0, k1, end, neurons, first, rows, weights, detail, own, p, kept, returns, bounds, grad
            )
        for k in range(k0, k1 if detail >= TIMES else k0):
            gradients.times[returns.source[k]] += returns.times[k - k0]
            if source_stride >= 0:
                gradients.delay[0, returns.unit[k] * source_stride] += returns.times[k - k0]
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
    reach = CHUNK_REACH * neurons.parameters[:, : TAU_SYN + 1].min()
    longest, most = longest_sample(events, first, last), 0
    for b in range(first, last):
        most = max(most, buffer.counts[b].sum())
    returns, bounds = new_returns(longest), new_boundaries(2 * (most + LANES), longest)
    arrival_copy, source_copy = np.empty(longest), np.empty(longest, np.int64)
    bins, index, ends = np.empty(longest + 1, np.int64), np.empty(longest + 1, np.int64), np.empty(N)
    segments, rates = new_segments(buffer, first, last), 1.0 / neurons.parameters[:, :3]
    p, kept, factors = aligned(ADJOINT_SIZE), aligned(ADJOINT_SIZE), aligned(FACTORS_SIZE)
    flat_weights, grad_weight = weights.reshape(-1), gradients.weight.reshape(-1)
    sample_ends(synapses, neurons.duration, ends)
    row = row_offset
    for b in range(first, last):
        count = local_arrivals(
            events, b, synapses, neurons.duration, returns.arrival, returns.source, returns.unit, arrival_copy,
            source_copy, bins,
        )  # fmt: skip
        chunks = set_returns(count, weights.shape[1], neurons.duration, neurons, detail, alike, reach, returns)
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
                set_own_rates(tile * LANES, N, rates, factors)
            return_tile(
                tile, earliest, chunks, neurons.duration, neurons, flat_weights, detail, not alike,
                -1 if dendritic else source_stride, p, kept, factors, returns, bounds, gradients, grad_weight,
            )  # fmt: skip
            for n in range(tile * LANES, min((tile + 1) * LANES, N) if with_taus else 0):
                gradients.parameters[n, TAU_MEM] += p[ACC_MEM + n - tile * LANES]
                gradients.parameters[n, TAU_SYN] += p[ACC_SYN + n - tile * LANES]

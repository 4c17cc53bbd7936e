"""The backward pass, event by event: the counterpart of sweep.py (README.md, sections 3 and 4).

`backward.adjoint` gives the adjoint at the end of every segment of every neuron. One vectorised pass back over the
input events carries it to the arrivals; where a new segment begins, the neuron's adjoint is set anew.
"""

from math import inf

import numpy as np

from .arrivals import group_by, index_arrivals, locate, longest_sample
from .backward import END, P_I, P_I_RELEASE, P_V, adjoint, new_segments, own_rows, peak_of
from .flow import flow
from .jit import kernel, sum_kernel
from .layout import REFRACTORY, TAU_MEM, TAU_SYN, TIME
from .sweep import E_MEM, E_SYN, PHI, TILE, aligned, intervals, local_arrivals, sample_ends


@kernel
def add_boundary(number, n, time, p_V, p_I, count, arrival, duration, index, owner, values, before):
    """Append: on all arrivals earlier than `time`, neuron n has the adjoint that is (p_V, p_I) at `time`."""
    owner[number] = n
    values[number, 0], values[number, 1], values[number, 2] = time, p_V, p_I
    before[number] = locate(time, count, arrival, duration, index)
    return number + 1


@kernel
def boundaries(
    n, rows, segments, last_counts, refractory, count, arrival, duration, index, number, owner, values, before
):
    """Append the boundaries of one neuron, from the end of the sample to its start; returns their new number."""
    for m in range(rows.shape[0], -1, -1):
        release = rows[m - 1, TIME] + refractory if m > 0 else 0.0
        if (m == rows.shape[0] and not last_counts) or segments[m, END] < release:
            continue  # nothing depends on what arrives here
        p_V, p_I = segments[m, P_V], segments[m, P_I]
        number = add_boundary(
            number, n, segments[m, END], p_V, p_I, count, arrival, duration, index, owner, values, before
        )
        if m > 0 and refractory > 0.0:
            p_I = segments[m, P_I_RELEASE]
            number = add_boundary(number, n, release, 0.0, p_I, count, arrival, duration, index, owner, values, before)
    return number


@kernel
def carry(p, e_mem, e_syn, phi_s, grad, column):
    """The adjoint of all neurons (p_V, then p_I) back over an interval; grad[column:] += p_I = dL/dw of an arrival."""
    for n in range(TILE):
        p_V, p_I = p[n], p[TILE + n]
        p_I = p_I * e_syn + p_V * phi_s
        p[n] = p_V * e_mem
        p[TILE + n] = p_I
        grad[column + n] += p_I


@sum_kernel
def time_gradient(p, weights, column, tau_mem, tau_syn):
    """dL/dt of an arrival at all neurons: sum_n w_n (p_I/tau_syn - p_V/tau_mem)."""
    total_V, total_I = 0.0, 0.0
    for n in range(TILE):
        total_V += weights[column + n] * p[n]
        total_I += weights[column + n] * p[TILE + n]
    return total_I / tau_syn - total_V / tau_mem


@kernel
def sweep_backward(
    events, synapses, weights, neurons, first, last, buffer, row_offset, grad_rows, peaks, grad_peak, min_slope,
    want_times, gradients,
):  # fmt: skip
    """As backward.lif_backward for what sweep_forward can do, without the gradients of tau_mem and tau_syn.

    weights as for sweep_forward; gradients.weight has the same shape here. want_times: whether gradients of event times
    and of delays are wanted.
    """
    N, tiles, inputs = neurons.parameters.shape[0], weights.shape[0], weights.shape[1]
    tau_mem, tau_syn = neurons.parameters[0, TAU_MEM], neurons.parameters[0, TAU_SYN]
    dendritic = synapses.delay.shape[0] > 1
    source_stride = 1 if synapses.delay.shape[1] > 1 else 0
    longest, most = longest_sample(events, first, last), 0
    for b in range(first, last):
        most = max(most, buffer.counts[b].sum())
    arrival, arrival_copy, unit = np.empty(longest), np.empty(longest), np.empty(longest, np.int64)
    source, source_copy = np.empty(longest, np.int64), np.empty(longest, np.int64)
    bins, starts = np.empty(longest + 1, np.int64), np.empty(longest + 2, np.int64)
    index = np.empty(longest + 1, np.int64)
    table, ends = np.empty((longest + 1, 6)), np.empty(N)
    segments = new_segments(buffer, first, last)
    capacity = 2 * (most + N)
    owner, before, order = np.empty(capacity, np.int64), np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    values, kept = np.empty((capacity, 3)), np.empty(capacity)
    p = aligned(2 * TILE)
    flat_weights, grad_weight = weights.reshape(-1), gradients.weight.reshape(-1)
    sample_ends(synapses, neurons.duration, ends)
    row = row_offset
    for b in range(first, last):
        count = local_arrivals(
            events, b, synapses, neurons.duration, arrival, source, unit, arrival_copy, source_copy, bins
        )
        intervals(count, arrival, neurons.duration, neurons.parameters[0], False, table)
        index_arrivals(count, arrival, neurons.duration, index)
        for tile in range(tiles):
            number = 0
            for n in range(tile * TILE, min((tile + 1) * TILE, N)):
                spikes = buffer.counts[b, n]
                rows, g_rows = own_rows(row, spikes, buffer, grad_rows)
                row += spikes
                G_peak, peak_time, peak_slope = peak_of(b, n, peaks, grad_peak)
                if spikes == 0 and G_peak == 0.0:
                    continue
                neuron = neurons.parameters[n]
                last_counts = adjoint(
                    neuron, neurons.subtract, rows, g_rows, peak_time, peak_slope, G_peak, min_slope, False, segments,
                    gradients.parameters[n],
                )  # fmt: skip
                number = boundaries(
                    n - tile * TILE, rows, segments, last_counts, neuron[REFRACTORY], count, arrival,
                    neurons.duration, index, number, owner, values, before,
                )  # fmt: skip
                if dendritic:  # the neuron's clock moves with its delay, and what it shows moves along
                    gradients.delay[n, 0] += g_rows.sum()
                    if last_counts and peak_time == ends[n]:
                        gradients.delay[n, 0] -= G_peak * peak_slope
                last_release = rows[spikes - 1, TIME] + neuron[REFRACTORY] if spikes > 0 else -inf
                if want_times and last_counts and peak_time > last_release:
                    k = locate(peak_time, count, arrival, neurons.duration, index)
                    if k < count and arrival[k] == peak_time:  # a peak that is a kink moves with the arrival there
                        gradients.times[source[k]] += G_peak * peak_slope
                        if not dendritic:
                            gradients.delay[0, unit[k] * source_stride] += G_peak * peak_slope
            if number == 0:
                continue
            # order[starts[k]:starts[k + 1]]: the boundaries between arrival k - 1 and arrival k
            group_by(number, before, starts[: count + 2], order)
            p[:] = 0.0
            for k in range(count - 1, -1, -1):
                column = (tile * inputs + unit[k]) * TILE
                for m in range(starts[k + 1], starts[k + 2]):
                    kept[m] = grad_weight[column + owner[order[m]]]
                carry(p, table[k + 1, E_MEM], table[k + 1, E_SYN], table[k + 1, PHI], grad_weight, column)
                for m in range(starts[k + 1], starts[k + 2]):
                    n = owner[order[m]]
                    time, p_V, p_I = values[order[m]]
                    e_mem, e_syn, phi_s = flow(time - arrival[k], tau_mem, tau_syn)
                    p[n], p[TILE + n] = p_V * e_mem, p_I * e_syn + p_V * phi_s
                    grad_weight[column + n] = kept[m] + p[TILE + n]
                if want_times:
                    grad_t = time_gradient(p, flat_weights, column, tau_mem, tau_syn)
                    gradients.times[source[k]] += grad_t
                    if not dendritic:
                        gradients.delay[0, unit[k] * source_stride] += grad_t

"""The backward pass, event by event: the counterpart of sweep.py (README.md, sections 3 and 4).

`backward.adjoint` gives the adjoint at the end of every segment of every neuron. One vectorised pass back over the
input events carries it to the arrivals; where a new segment begins, the neuron's adjoint is set anew.
"""

from math import inf

import numpy as np

from .arrivals import group_by, index_arrivals, locate, longest_sample
from .backward import END, P_I, P_I_RELEASE, P_V, adjoint, new_segments, own_rows, peak_of
from .flow import flow, phi_gradient
from .jit import kernel, sum_kernel
from .layout import REFRACTORY, TAU_MEM, TAU_SYN, TIME
from .passes import E_MEM, E_SYN, NUM_SHARED, PHI, intervals
from .sweep import local_arrivals, sample_ends, share_taus
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
    TILE,
    aligned,
    own_flow,
    own_flow_gradient,
    set_rates,
)

# The adjoint of a tile, p_V and p_I; its derivatives with respect to tau_mem and tau_syn, as far as they are not 0.
ADJOINT_V, ADJOINT_I, V_BY_MEM, I_BY_MEM, I_BY_SYN, ADJOINT_SIZE = (TILE * row for row in range(6))


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
    """The adjoint of all neurons back over an interval; grad[column:] += p_I = dL/dw of an arrival."""
    for n in range(TILE):
        p_V, p_I = p[ADJOINT_V + n], p[ADJOINT_I + n]
        p_I = p_I * e_syn + p_V * phi_s
        p[ADJOINT_V + n] = p_V * e_mem
        p[ADJOINT_I + n] = p_I
        grad[column + n] += p_I


@kernel
def carry_own(s, p, factors, grad, column):
    """As carry, over an interval of length s with time constants of each neuron's own; and the derivatives of p."""
    for n in range(TILE):
        e_mem, e_syn, phi_s = factors[OWN_MEM + n], factors[OWN_SYN + n], factors[OWN_PHI + n]
        rate_mem, rate_syn = factors[RATE_MEM + n], factors[RATE_SYN + n]
        p_V, p_I, V_by_mem = p[ADJOINT_V + n], p[ADJOINT_I + n], p[V_BY_MEM + n]
        p[I_BY_MEM + n] = p[I_BY_MEM + n] * e_syn + V_by_mem * phi_s + p_V * factors[OWN_PHI_MEM + n]
        p[I_BY_SYN + n] = (p[I_BY_SYN + n] + p_I * s * rate_syn * rate_syn) * e_syn + p_V * factors[OWN_PHI_SYN + n]
        p[V_BY_MEM + n] = (V_by_mem + p_V * s * rate_mem * rate_mem) * e_mem
        p[ADJOINT_V + n] = p_V * e_mem
        p_I = p_I * e_syn + p_V * phi_s
        p[ADJOINT_I + n] = p_I
        grad[column + n] += p_I


@kernel
def add_taus(p, weights, column, grad_taus):
    """grad_taus (2 TILE,) += dL/dtau_mem and dL/dtau_syn, each w times the derivative of p_I at an arrival."""
    for n in range(TILE):
        grad_taus[n] += weights[column + n] * p[I_BY_MEM + n]
        grad_taus[TILE + n] += weights[column + n] * p[I_BY_SYN + n]


@kernel
def set_adjoint(n, s, p_V, p_I, tau_mem, tau_syn, with_taus, p):
    """The adjoint of neuron n where it is (p_V, p_I) a time s later."""
    e_mem, e_syn, phi_s = flow(s, tau_mem, tau_syn)
    p[ADJOINT_V + n], p[ADJOINT_I + n] = p_V * e_mem, p_I * e_syn + p_V * phi_s
    if with_taus:
        _, phi_mem, phi_syn = phi_gradient(s, tau_mem, tau_syn)
        p[V_BY_MEM + n], p[I_BY_MEM + n] = p_V * e_mem * s / (tau_mem * tau_mem), p_V * phi_mem
        p[I_BY_SYN + n] = p_V * phi_syn + p_I * e_syn * s / (tau_syn * tau_syn)


@sum_kernel
def time_gradient(p, weights, column, factors):
    """dL/dt of an arrival at all neurons: sum_n w_n (p_I/tau_syn - p_V/tau_mem)."""
    total = 0.0
    for n in range(TILE):
        flow_n = p[ADJOINT_I + n] * factors[RATE_SYN + n] - p[ADJOINT_V + n] * factors[RATE_MEM + n]
        total += weights[column + n] * flow_n
    return total


@kernel
def sweep_backward(
    events, synapses, weights, neurons, first, last, buffer, row_offset, grad_rows, peaks, grad_peak, min_slope,
    want_times, with_taus, gradients,
):  # fmt: skip
    """As backward.lif_backward for what sweep_forward can do.

    weights as for sweep_forward; gradients.weight has the same shape here. want_times: whether gradients of event times
    and of delays are wanted; with_taus: those of tau_mem and tau_syn.
    """
    N, tiles, inputs = neurons.parameters.shape[0], weights.shape[0], weights.shape[1]
    alike = share_taus(neurons.parameters)
    own = with_taus or not alike
    dendritic = synapses.delay.shape[0] > 1
    source_stride = 1 if synapses.delay.shape[1] > 1 else 0
    longest, most = longest_sample(events, first, last), 0
    for b in range(first, last):
        most = max(most, buffer.counts[b].sum())
    arrival, arrival_copy, unit = np.empty(longest), np.empty(longest), np.empty(longest, np.int64)
    source, source_copy = np.empty(longest, np.int64), np.empty(longest, np.int64)
    bins, starts = np.empty(longest + 1, np.int64), np.empty(longest + 2, np.int64)
    index = np.empty(longest + 1, np.int64)
    table, ends = np.empty((longest + 1, NUM_SHARED)), np.empty(N)
    segments = new_segments(buffer, first, last)
    capacity = 2 * (most + N)
    owner, before, order = np.empty(capacity, np.int64), np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    values, kept = np.empty((capacity, 3)), np.empty(capacity)
    p, factors, grad_taus = aligned(ADJOINT_SIZE), aligned(FACTORS_SIZE), aligned(2 * TILE)
    bits = factors.view(np.int64)
    flat_weights, grad_weight = weights.reshape(-1), gradients.weight.reshape(-1)
    sample_ends(synapses, neurons.duration, ends)
    row = row_offset
    for b in range(first, last):
        count = local_arrivals(
            events, b, synapses, neurons.duration, arrival, source, unit, arrival_copy, source_copy, bins
        )
        if not own:
            intervals(count, arrival, neurons.duration, neurons.parameters[0], False, table)
        index_arrivals(count, arrival, neurons.duration, index)
        for tile in range(tiles):
            number, start, stop = 0, tile * TILE, min((tile + 1) * TILE, N)
            set_rates(neurons.parameters[start:stop], alike, factors)
            for n in range(start, stop):
                spikes = buffer.counts[b, n]
                rows, g_rows = own_rows(row, spikes, buffer, grad_rows)
                row += spikes
                G_peak, peak_time, peak_slope = peak_of(b, n, peaks, grad_peak)
                if spikes == 0 and G_peak == 0.0:
                    continue
                neuron = neurons.parameters[n]
                last_counts = adjoint(
                    neuron, neurons.subtract, rows, g_rows, peak_time, peak_slope, G_peak, min_slope, with_taus,
                    segments, gradients.parameters[n],
                )  # fmt: skip
                number = boundaries(
                    n - start, rows, segments, last_counts, neuron[REFRACTORY], count, arrival,
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
            p[:], grad_taus[:] = 0.0, 0.0
            for k in range(before[:number].max() - 1, -1, -1):  # what arrives later has no effect
                column = (tile * inputs + unit[k]) * TILE
                for m in range(starts[k + 1], starts[k + 2]):
                    kept[m] = grad_weight[column + owner[order[m]]]
                if own:
                    s = (arrival[k + 1] if k + 1 < count else neurons.duration) - arrival[k]
                    factors[LENGTH : LENGTH + TILE] = s
                    own_flow(factors, bits, False)
                    own_flow_gradient(s, factors)
                    carry_own(s, p, factors, grad_weight, column)
                else:
                    carry(p, table[k + 1, E_MEM], table[k + 1, E_SYN], table[k + 1, PHI], grad_weight, column)
                for m in range(starts[k + 1], starts[k + 2]):
                    n = owner[order[m]]
                    time, p_V, p_I = values[order[m]]
                    neuron = neurons.parameters[start + n]
                    set_adjoint(n, time - arrival[k], p_V, p_I, neuron[TAU_MEM], neuron[TAU_SYN], own, p)
                    grad_weight[column + n] = kept[m] + p[ADJOINT_I + n]
                if with_taus:
                    add_taus(p, flat_weights, column, grad_taus)
                if want_times:
                    grad_t = time_gradient(p, flat_weights, column, factors)
                    gradients.times[source[k]] += grad_t
                    if not dendritic:
                        gradients.delay[0, unit[k] * source_stride] += grad_t
            for n in range(start, stop if with_taus else start):
                gradients.parameters[n, TAU_MEM] += grad_taus[n - start]
                gradients.parameters[n, TAU_SYN] += grad_taus[TILE + n - start]

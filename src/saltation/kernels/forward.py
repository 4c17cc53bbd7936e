"""The forward pass, neuron by neuron: from input spikes to output spikes (README.md, sections 2 and 4)."""

from math import exp

import numpy as np

from .advance import advance
from .arrivals import longest_sample, ordered_arrivals
from .crossing import cannot_cross, largest_phi, watched
from .flow import flow
from .jit import kernel
from .layout import BUDGET_EXCEEDED, BUFFER_FULL, DONE, TAU_ADAPT, TAU_MEM, TAU_SYN, THRESHOLD


@kernel
def walk(
    t, t_end, V, I, a, release, peak, peak_time, peak_slope, count, arrival, current, neuron, phi_max, subtract,
    spiking, want_peak, until_spike, rows, last_row, next_row, spikes, budget,
):  # fmt: skip
    """One neuron from the state (V, I, a) at t through `count` arrivals to that just before t_end.

    arrival (count,) sorted times in [t, t_end], current (count,) the weights that arrive then; the rest, and what is
    returned, as for `advance`.
    """
    tau_mem, tau_syn, tau_adapt, threshold = neuron[TAU_MEM], neuron[TAU_SYN], neuron[TAU_ADAPT], neuron[THRESHOLD]
    status = DONE
    for k in range(count + 1):
        t_next = arrival[k] if k < count else t_end
        s = t_next - t
        level = watched(threshold, peak, spiking, want_peak)
        if t >= release and cannot_cross(s, V, I, a, tau_mem, tau_adapt, phi_max, level):
            e_mem, e_syn, phi_s = flow(s, tau_mem, tau_syn)
            V = V * e_mem + I * phi_s
            I *= e_syn
            if a != 0.0:
                a *= exp(-s / tau_adapt)
        else:
            status, V, I, a, release, peak, peak_time, peak_slope, number = advance(
                t, t_next, V, I, a, release, peak, peak_time, peak_slope, neuron, phi_max, subtract, spiking,
                want_peak, until_spike, rows, last_row, next_row, spikes, budget,
            )  # fmt: skip
            if number > spikes:
                next_row += number - spikes
                last_row, spikes = next_row - 1, number
            if status != DONE:
                break
        t = t_next
        if k < count:
            I += current[k]
    return status, V, I, a, release, peak, peak_time, peak_slope, spikes


@kernel
def lif_forward(events, synapses, neurons, cursor, last, buffer, filled, peaks, budget):
    """All neurons of the samples before `last`, from position cursor = sample * N + neuron on.

    events, synapses, neurons, buffer, peaks: see layout.py. `filled` rows of the buffer are taken; `budget` is the
    largest number of spikes of one neuron in one sample. Returns (status, cursor, filled): with BUFFER_FULL the caller
    makes the buffer larger and calls again with what was returned; nothing is lost.
    """
    N, M = synapses.weight.shape
    want_peak = peaks.value.size > 0
    longest = longest_sample(events, cursor // N, last)
    arrival, arrival_copy, current = np.empty(longest), np.empty(longest), np.empty(longest)
    source, source_copy = np.empty(longest, np.int64), np.empty(longest, np.int64)
    bins = np.empty(longest + 1, np.int64)
    phi_max = np.empty(N)
    for j in range(N):
        phi_max[j] = largest_phi(neurons.parameters[j, TAU_MEM], neurons.parameters[j, TAU_SYN])
    count = 0
    collected = -1  # the sample whose order of arrivals is in hand
    for position in range(cursor, last * N):
        b, j = position // N, position % N
        row = synapses.delay[j if synapses.delay.shape[0] > 1 else 0]
        if collected != b or synapses.delay.shape[0] > 1:
            count = ordered_arrivals(events, b, row, neurons.duration, arrival, source, arrival_copy, source_copy, bins)
            collected = b
        for k in range(count):
            current[k] = synapses.weight[j, events.units[source[k]]]
        neuron = neurons.parameters[j]
        status, _, _, _, _, peak, peak_time, peak_slope, spikes = walk(
            0.0, neurons.duration, 0.0, 0.0, 0.0, 0.0, -neuron[THRESHOLD], 0.0, 0.0, count, arrival, current, neuron,
            phi_max[j], neurons.subtract, neurons.spiking, want_peak, False, buffer.rows, 0, filled, 0,
            budget,
        )  # fmt: skip
        if status in (BUFFER_FULL, BUDGET_EXCEEDED):
            return status, position, filled
        buffer.counts[b, j] = spikes
        filled += spikes
        if want_peak:
            peaks.value[b, j], peaks.time[b, j], peaks.slope[b, j] = peak, peak_time, peak_slope
    return DONE, last * N, filled

"""The forward pass, neuron by neuron: from input spikes to output spikes (README.md, sections 2 and 4)."""

from math import exp

import numpy as np

from .advance import advance
from .arrivals import ordered_arrivals
from .crossing import cannot_cross, largest_phi
from .flow import flow
from .jit import kernel
from .layout import DONE, FINISHED, TAU_ADAPT, TAU_MEM, TAU_SYN, THRESHOLD


@kernel
def walk(count, arrival, current, neuron, phi_max, subtract, spiking, duration, want_peak, rows, first_row, budget):
    """One neuron through one sample.

    arrival (count,) sorted times before the end, current (count,) the weights that arrive then, neuron (7,) its
    parameters, phi_max = crossing.largest_phi of them.
    Spikes go to rows[first_row:]. Returns status, number of spikes, and the peak's value, time and slope.
    """
    tau_mem, tau_syn, tau_adapt, threshold = neuron[TAU_MEM], neuron[TAU_SYN], neuron[TAU_ADAPT], neuron[THRESHOLD]
    t, V, I, a = 0.0, 0.0, 0.0, 0.0
    release = 0.0  # V is held until then
    spikes = 0
    peak, peak_time, peak_slope = -threshold, 0.0, 0.0
    for k in range(count + 1):
        t_next = arrival[k] if k < count else duration
        s = t_next - t
        level = threshold + peak if want_peak else threshold
        if t >= release and cannot_cross(s, V, I, a, tau_mem, tau_adapt, phi_max, level):
            if k == count:
                break  # nobody needs the state at the end
            e_mem, e_syn, phi_s = flow(s, tau_mem, tau_syn)
            V = V * e_mem + I * phi_s
            I *= e_syn
            if a != 0.0:
                a *= exp(-s / tau_adapt)
        else:
            status, V, I, a, release, peak, peak_time, peak_slope, spikes = advance(
                t, t_next, V, I, a, release, peak, peak_time, peak_slope, neuron, phi_max, subtract, spiking,
                want_peak,                 rows, first_row + spikes - 1, first_row + spikes, spikes, budget,
            )  # fmt: skip
            if status == FINISHED:
                break
            if status != DONE:
                return status, spikes, peak, peak_time, peak_slope
        t = t_next
        if k < count:
            I += current[k]
    return DONE, spikes, peak, peak_time, peak_slope


@kernel
def lif_forward(events, synapses, neurons, cursor, last, buffer, filled, peaks, budget):
    """All neurons of the samples before `last`, from position cursor = sample * N + neuron on.

    events, synapses, neurons, buffer, peaks: see layout.py. `filled` rows of the buffer are taken; `budget` is the
    largest number of spikes of one neuron in one sample. Returns (status, cursor, filled): with BUFFER_FULL the caller
    makes the buffer larger and calls again with what was returned; nothing is lost.
    """
    N, M = synapses.weight.shape
    want_peak = peaks.value.size > 0
    longest = 0
    for b in range(cursor // N, last):
        longest = max(longest, events.offsets[b + 1] - events.offsets[b])
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
        status, spikes, peak, peak_time, peak_slope = walk(
            count,
            arrival,
            current,
            neurons.parameters[j],
            phi_max[j],
            neurons.subtract,
            neurons.spiking,
            neurons.duration,
            want_peak,
            buffer.rows,
            filled,
            budget,
        )
        if status != DONE:
            return status, position, filled
        buffer.counts[b, j] = spikes
        filled += spikes
        if want_peak:
            peaks.value[b, j], peaks.time[b, j], peaks.slope[b, j] = peak, peak_time, peak_slope
    return DONE, last * N, filled

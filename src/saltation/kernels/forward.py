"""The forward pass, neuron by neuron: from input spikes to output spikes (README.md, sections 2 and 4)."""

from math import exp, inf

import numpy as np

from .arrivals import arrival_times, sort_arrivals
from .crossing import cannot_cross, first_crossing, highest
from .flow import flow
from .jit import kernel
from .layout import (
    ADAPTATION,
    BUDGET_EXCEEDED,
    BUFFER_FULL,
    CURRENT,
    DONE,
    JUMP,
    REFRACTORY,
    RELEASE_CURRENT,
    TAU_ADAPT,
    TAU_MEM,
    TAU_SYN,
    THRESHOLD,
    TIME,
    V_RESET,
)


@kernel
def walk(count, arrival, current, neuron, subtract, spiking, duration, want_peak, rows, first_row, budget):
    """One neuron through one sample.

    arrival (count,) sorted times before the end, current (count,) the weights that arrive then, neuron (7,) its
    parameters. Spikes go to rows[first_row:]. Returns status, number of spikes, and the peak's value, time and slope.
    """
    tau_mem, tau_syn, tau_adapt = neuron[TAU_MEM], neuron[TAU_SYN], neuron[TAU_ADAPT]
    threshold, jump, v_reset, refractory = neuron[THRESHOLD], neuron[JUMP], neuron[V_RESET], neuron[REFRACTORY]
    t, V, I, a = 0.0, 0.0, 0.0, 0.0
    release = 0.0  # V is held until then
    spikes = 0
    peak, peak_time, peak_slope = -threshold, 0.0, 0.0
    for k in range(count + 1):
        t_next = arrival[k] if k < count else duration
        while True:
            if t < release:
                s = min(release, t_next) - t
                I *= exp(-s / tau_syn)
                a *= exp(-s / tau_adapt)
                if V - a - threshold > peak:  # while V is held, V - theta is monotone
                    peak, peak_time, peak_slope = V - a - threshold, min(release, t_next), a / tau_adapt
                if release > t_next:
                    t = t_next
                    break
                t = release
                rows[first_row + spikes - 1, RELEASE_CURRENT] = I
            s = t_next - t
            x = -1.0
            if spiking and not cannot_cross(s, V, I, a, tau_mem, tau_adapt, threshold):
                x = first_crossing(s, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)
            if x < 0.0:
                if want_peak and not cannot_cross(s, V, I, a, tau_mem, tau_adapt, threshold + peak):
                    x_top, g, slope = highest(s, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)
                    if g > peak:
                        peak, peak_time, peak_slope = g, t + x_top, slope
                e_mem, e_syn, phi_s = flow(s, tau_mem, tau_syn)
                V = V * e_mem + I * phi_s
                I *= e_syn
                if a != 0.0:
                    a *= exp(-s / tau_adapt)
                t = t_next
                break
            if spikes == budget:
                return BUDGET_EXCEEDED, spikes, peak, peak_time, peak_slope
            if first_row + spikes == rows.shape[0]:
                return BUFFER_FULL, spikes, peak, peak_time, peak_slope
            t = min(t + x, t_next)
            I *= exp(-x / tau_syn)
            a *= exp(-x / tau_adapt)
            row = rows[first_row + spikes]
            row[TIME], row[CURRENT], row[ADAPTATION], row[RELEASE_CURRENT] = t, I, a, I
            spikes += 1
            if refractory == inf and not want_peak:
                return DONE, spikes, peak, peak_time, peak_slope
            V = a if subtract else v_reset
            a += jump
            release = t + refractory
            peak, peak_time = V - a - threshold, t
            peak_slope = a / tau_adapt
            if refractory == 0.0:
                peak_slope += (I - V) / tau_mem
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
    synaptic = synapses.delay.shape[0] > 1 and synapses.delay.shape[1] > 1
    want_peak = peaks.value.size > 0
    longest = 0
    for b in range(cursor // N, last):
        longest = max(longest, events.offsets[b + 1] - events.offsets[b])
    arrival, arrival_copy, current = np.empty(longest), np.empty(longest), np.empty(longest)
    source, source_copy = np.empty(longest, np.int64), np.empty(longest, np.int64)
    bins = np.empty(longest + 1, np.int64)
    count = 0
    collected = -1  # the sample whose order of arrivals is in hand
    for position in range(cursor, last * N):
        b, j = position // N, position % N
        start, stop = events.offsets[b], events.offsets[b + 1]
        row = synapses.delay[j if synapses.delay.shape[0] > 1 else 0]
        if collected != b or synapses.delay.shape[0] > 1:
            count = arrival_times(events.times, events.units, start, stop, row, neurons.duration, arrival, source)
            if synaptic or row.size > 1:
                sort_arrivals(count, arrival, source, arrival_copy, source_copy, bins)
            collected = b
        for k in range(count):
            current[k] = synapses.weight[j, events.units[source[k]]]
        status, spikes, peak, peak_time, peak_slope = walk(
            count,
            arrival,
            current,
            neurons.parameters[j],
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

"""Sparse wiring, neuron by neuron: each sees only the inputs that it has a synapse from (README.md, section 4)."""

import numpy as np

from .arrivals import events_by_input, longest_sample, sort_arrivals
from .backward import adjoint, arrival_gradient, kink_of, new_segments, own_rows, peak_of
from .crossing import largest_phi
from .forward import walk
from .jit import kernel
from .layout import BUDGET_EXCEEDED, BUFFER_FULL, DONE, TAU_MEM, TAU_SYN, THRESHOLD


@kernel
def collect_arrivals(events, j, wiring, synapses, duration, start, event, arrival, synapse, cause):
    """Fill arrival, synapse and cause (the event) with what reaches neuron j before the end; returns how many.

    start (M + 1,), event: the sample's events by input, as `arrivals.events_by_input` gives them.
    """
    count, stride = 0, 1 if synapses.delay.size > 1 else 0
    for s in range(wiring.start[j], wiring.start[j + 1]):
        i = wiring.source[s]
        for p in range(start[i], start[i + 1]):
            t = events.times[event[p]] + synapses.delay[s * stride]
            if t < duration:
                arrival[count], synapse[count], cause[count] = t, s, event[p]
                count += 1
    return count


@kernel
def sparse_forward(events, synapses, wiring, neurons, cursor, last, buffer, filled, peaks, budget):
    """As forward.lif_forward, for the synapses of `wiring` (layout.py): weight (S,), delay (S,) or (1,)."""
    N = neurons.parameters.shape[0]
    want_peak = peaks.value.size > 0
    longest = longest_sample(events, cursor // N, last)
    arrival, current, (synapse, cause) = np.empty(longest), np.empty(longest), np.empty((2, longest), np.int64)
    scratch = np.empty(longest), np.empty(longest, np.int64), np.empty(longest + 1, np.int64)
    start, event = np.empty(wiring.inputs + 1, np.int64), np.empty(longest, np.int64)
    grouped = -1
    for position in range(cursor, last * N):
        b, j = position // N, position % N
        if grouped != b:
            events_by_input(events, b, start, event)
            grouped = b
        count = collect_arrivals(events, j, wiring, synapses, neurons.duration, start, event, arrival, synapse, cause)
        sort_arrivals(count, arrival, synapse, *scratch)
        for k in range(count):
            current[k] = synapses.weight[synapse[k]]
        neuron = neurons.parameters[j]
        status, _, _, _, _, peak, peak_time, peak_slope, spikes = walk(
            0.0, neurons.duration, 0.0, 0.0, 0.0, 0.0, -neuron[THRESHOLD], 0.0, 0.0, count, arrival, current, neuron,
            largest_phi(neuron[TAU_MEM], neuron[TAU_SYN]), neurons.subtract, neurons.spiking, want_peak, False,
            buffer.rows, 0, filled, 0, budget,
        )  # fmt: skip
        if status in (BUFFER_FULL, BUDGET_EXCEEDED):
            return status, position, filled
        buffer.counts[b, j] = spikes
        filled += spikes
        if want_peak:
            peaks.value[b, j], peaks.time[b, j], peaks.slope[b, j] = peak, peak_time, peak_slope
    return DONE, last * N, filled


@kernel
def sparse_backward(
    events, synapses, wiring, neurons, first, last, buffer, row_offset, grad_rows, peaks, grad_peak, min_slope,
    with_taus, gradients,
):  # fmt: skip
    """As backward.lif_backward, for what sparse_forward can do."""
    longest = longest_sample(events, first, last)
    start, event = np.empty(wiring.inputs + 1, np.int64), np.empty(longest, np.int64)
    segments = new_segments(buffer, first, last)
    stride = 1 if synapses.delay.size > 1 else 0
    row = row_offset
    for b in range(first, last):
        events_by_input(events, b, start, event)
        for j in range(neurons.parameters.shape[0]):
            count = buffer.counts[b, j]
            rows, g_rows = own_rows(row, count, buffer, grad_rows)
            row += count
            G_peak, peak_time, peak_slope = peak_of(b, j, peaks, grad_peak)
            if count == 0 and G_peak == 0.0:
                continue
            neuron, grad = neurons.parameters[j], gradients.parameters[j]
            last_counts = adjoint(
                neuron, neurons.subtract, rows, g_rows, peak_time, peak_slope, G_peak, min_slope, with_taus, segments,
                grad,
            )  # fmt: skip
            kink = kink_of(rows, neuron, peak_time, peak_slope, G_peak)
            for s in range(wiring.start[j], wiring.start[j + 1]):
                i, w, d = wiring.source[s], synapses.weight[s], synapses.delay[s * stride]
                for p in range(start[i], start[i + 1]):
                    k = event[p]
                    t = events.times[k] + d
                    if t >= neurons.duration:
                        continue
                    grad_w, grad_t = arrival_gradient(t, w, neuron, rows, segments, last_counts, with_taus, grad)
                    if t == peak_time:
                        grad_t += kink
                        kink = 0.0  # of equal arrivals one moves the peak
                    gradients.weight[s] += grad_w
                    gradients.delay[s * stride] += grad_t
                    gradients.times[k] += grad_t

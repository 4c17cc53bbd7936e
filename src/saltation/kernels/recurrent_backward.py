"""The backward pass with recurrent connections: the counterpart of recurrent.py (README.md, sections 3 and 4).

Own spikes are gone through from the last to the first, whichever neuron they belong to. A spike's effects on the layer
all come later, so the adjoint at each of its arrivals is known by then: their dL/dt add to that of the spike.
"""

import numpy as np

from .backward import (
    arrival_gradient,
    cross_spike,
    input_gradients,
    last_end,
    open_segment,
    own_rows,
    peak_moves,
    peak_of,
    smallest_slope,
)
from .jit import kernel
from .layout import REFRACTORY, THRESHOLD, TIME

# Columns of what is carried from spike to spike of a neuron: p after the spike to come, where the segment after it
# ends, what adds to its dL/dT; and what a recurrent arrival at the time of the peak adds to its own dL/dt.
C_V, C_I, C_A, C_END, C_MORE, C_PEAK_TIME, C_KINK = range(7)
NUM_CARRIED = 7


@kernel
def recurrent_backward(
    events, synapses, recurrent, neurons, first, last, buffer, row_offset, order, grad_rows, peaks, grad_peak,
    min_slope, with_taus, gradients, recurrent_gradients,
):  # fmt: skip
    """As backward.lif_backward, for what recurrent_forward can do.

    order (S,): the rows of all samples in the order of time, sample by sample; recurrent_gradients: of the weights and
    delays of the recurrent synapses.
    """
    N, subtract = neurons.parameters.shape[0], neurons.subtract
    most = 0
    for b in range(first, last):
        most = max(most, buffer.counts[b].sum())
    segments, owner = np.empty((most + N, 4)), np.empty(most, np.int64)
    start, left = np.empty(N + 1, np.int64), np.empty(N, np.int64)
    carried, last_counts = np.empty((N, NUM_CARRIED)), np.empty(N, np.bool_)
    row = row_offset
    for b in range(first, last):
        begin = row
        for n in range(N):
            count = buffer.counts[b, n]
            start[n], left[n] = row, count
            owner[row - begin : row + count - begin] = n
            rows, _ = own_rows(row, count, buffer, grad_rows)
            own_segments = segments[row - begin + n : row - begin + n + count + 1]
            row += count
            neuron, grad, c = neurons.parameters[n], gradients.parameters[n], carried[n]
            G_peak, peak_time, peak_slope = peak_of(b, n, peaks, grad_peak)
            last_counts[n] = G_peak != 0.0
            grad[THRESHOLD] -= G_peak
            c[C_A], c[C_END] = -G_peak, last_end(rows, peak_time, G_peak)
            c[C_V], c[C_I], G_release = open_segment(
                count, c[C_END], G_peak, 0.0, neuron, subtract, rows, with_taus, own_segments, grad
            )
            c[C_MORE] = G_release + peak_moves(rows, neuron, c[C_END], peak_slope, G_peak)
            kink = last_counts[n] and (count == 0 or peak_time > rows[count - 1, TIME] + neuron[REFRACTORY])
            c[C_PEAK_TIME], c[C_KINK] = peak_time, G_peak * peak_slope if kink else 0.0
        start[N] = row
        for position in range(row - 1, begin - 1, -1):
            j = owner[order[position] - begin]
            G = carried[j, C_MORE] + grad_rows[order[position]]
            G += arrivals_of_spike(
                j, buffer.rows[order[position], TIME], recurrent, neurons, start, buffer, segments, begin, last_counts,
                with_taus, carried, gradients.parameters, recurrent_gradients,
            )  # fmt: skip
            rows, _ = own_rows(start[j], buffer.counts[b, j], buffer, grad_rows)
            own_segments = segments[start[j] - begin + j : start[j + 1] - begin + j + 1]
            neuron, grad, c, m = neurons.parameters[j], gradients.parameters[j], carried[j], left[j]
            p_V, p_I, c[C_A], G_forced = cross_spike(
                m, c[C_END], c[C_V], c[C_I], c[C_A], G, neuron, subtract, rows, smallest_slope(neuron, min_slope), grad
            )
            c[C_END] = rows[m - 1, TIME]
            c[C_V], c[C_I], G_release = open_segment(
                m - 1, c[C_END], p_V, p_I, neuron, subtract, rows, with_taus, own_segments, grad
            )
            c[C_MORE] = G_forced + G_release
            left[j] = m - 1
        for n in range(N):
            rows, _ = own_rows(start[n], buffer.counts[b, n], buffer, grad_rows)
            own_segments = segments[start[n] - begin + n : start[n + 1] - begin + n + 1]
            input_gradients(
                events, b, synapses, n, neurons.duration, neurons.parameters[n], rows, own_segments, last_counts[n],
                carried[n, C_PEAK_TIME], carried[n, C_KINK], with_taus, gradients,
            )  # fmt: skip


@kernel
def arrivals_of_spike(
    j, T, recurrent, neurons, start, buffer, segments, begin, last_counts, with_taus, carried, grad, recurrent_gradients
):  # fmt: skip
    """dL/dT of the spike of neuron j at T through all its arrivals in the layer; adds the gradients of the synapses."""
    total = 0.0
    source = j if recurrent.delay.shape[1] > 1 else 0
    for n in range(start.size - 1):
        target = n if recurrent.delay.shape[0] > 1 else 0
        t = T + recurrent.delay[target, source]
        if t >= neurons.duration:
            continue
        rows = buffer.rows[start[n] : start[n + 1]]
        own_segments = segments[start[n] - begin + n : start[n + 1] - begin + n + 1]
        grad_w, grad_t = arrival_gradient(
            t, recurrent.weight[n, j], neurons.parameters[n], rows, own_segments, last_counts[n], with_taus, grad[n]
        )
        if t == carried[n, C_PEAK_TIME]:
            grad_t += carried[n, C_KINK]
            carried[n, C_KINK] = 0.0
        recurrent_gradients.weight[n, j] += grad_w
        recurrent_gradients.delay[target, source] += grad_t
        total += grad_t
    return total

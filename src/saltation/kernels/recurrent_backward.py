"""The backward pass with recurrent connections: the counterpart of recurrent.py (README.md, sections 3 and 4).

Own spikes are gone through from the last to the first, whichever neuron they belong to. A spike's effects on the layer
all come later, so the adjoint at each of its arrivals is known by then: their dL/dt add to that of the spike.
"""

from typing import NamedTuple

import numpy as np

from .backward import (
    NUM_SEGMENT,
    arrival_gradient,
    cross_spike,
    input_gradients,
    kink_of,
    last_end,
    open_segment,
    peak_moves,
    peak_of,
    smallest_slope,
    start_segments,
)
from .jit import inlined, kernel
from .layout import THRESHOLD, TIME

# Columns of what is carried from spike to spike of a neuron: p after the spike to come, where the segment after it
# ends, what adds to its dL/dT; and what a recurrent arrival at the time of the peak adds to its own dL/dt.
C_V, C_I, C_A, C_END, C_MORE, C_PEAK_TIME, C_KINK = range(7)
NUM_CARRIED = 7


class Chain(NamedTuple):
    """The adjoint of all neurons of a sample on its way from the last spike to the first.

    begin: row of the sample's first spike; start (N + 1,): the first row of each neuron; owner: the neuron of each row
    of the sample; left (N,): how many spikes are still to come; carried (N, NUM_CARRIED); last_counts (N,): whether the
    last segment carries a gradient; segments: those of all neurons, one after the other.
    """

    begin: np.ndarray
    start: np.ndarray
    owner: np.ndarray
    left: np.ndarray
    carried: np.ndarray
    last_counts: np.ndarray
    segments: np.ndarray


@kernel
def new_chain(N, buffer, first, last):
    """Room for any of the samples first..last - 1."""
    most = 0
    for b in range(first, last):
        most = max(most, buffer.counts[b].sum())
    return Chain(
        np.empty(1, np.int64),
        np.empty(N + 1, np.int64),
        np.empty(most, np.int64),
        np.empty(N, np.int64),
        np.empty((N, NUM_CARRIED)),
        np.empty(N, np.bool_),
        np.empty((most + N, NUM_SEGMENT)),
    )


@inlined
def rows_of(n, chain, buffer):
    """What is kept of the spikes of neuron n."""
    return buffer.rows[chain.start[n] : chain.start[n + 1]]


@inlined
def segments_of(n, chain):
    """The segments of neuron n."""
    begin = chain.begin[0]
    return chain.segments[chain.start[n] - begin + n : chain.start[n + 1] - begin + n + 1]


@kernel
def begin_chain(b, row, neurons, buffer, peaks, grad_peak, with_taus, grad, chain):
    """Open the last segment of every neuron of sample b, whose first spike is in row `row`."""
    chain.begin[0] = row
    for n in range(neurons.parameters.shape[0]):
        count = buffer.counts[b, n]
        chain.start[n], chain.start[n + 1], chain.left[n] = row, row + count, count
        chain.owner[row - chain.begin[0] : row + count - chain.begin[0]] = n
        row += count
        rows, neuron, c = rows_of(n, chain, buffer), neurons.parameters[n], chain.carried[n]
        start_segments(neuron, neurons.subtract, rows, segments_of(n, chain))
        G_peak, peak_time, peak_slope = peak_of(b, n, peaks, grad_peak)
        chain.last_counts[n] = G_peak != 0.0
        grad[n, THRESHOLD] -= G_peak
        c[C_A], c[C_END] = -G_peak, last_end(rows, peak_time, G_peak)
        c[C_V], c[C_I], G_release = open_segment(
            count, c[C_END], G_peak, 0.0, neuron, rows, with_taus, segments_of(n, chain), grad[n]
        )
        c[C_MORE] = G_release + peak_moves(rows, neuron, c[C_END], peak_slope, G_peak)
        c[C_PEAK_TIME], c[C_KINK] = peak_time, kink_of(rows, neuron, peak_time, peak_slope, G_peak)


@kernel
def follow_chain(j, G, neurons, buffer, min_slope, with_taus, grad, chain):
    """Back over the last spike that is left of neuron j, whose G = dL/dT, into the segment before it."""
    rows, neuron, c, m = rows_of(j, chain, buffer), neurons.parameters[j], chain.carried[j], chain.left[j]
    segments = segments_of(j, chain)
    p_V, p_I, c[C_A], G_forced = cross_spike(
        m, c[C_END], c[C_V], c[C_I], c[C_A], G + c[C_MORE], neuron, neurons.subtract, rows, segments,
        smallest_slope(neuron, min_slope), grad[j],
    )  # fmt: skip
    c[C_END] = rows[m - 1, TIME]
    c[C_V], c[C_I], G_release = open_segment(m - 1, c[C_END], p_V, p_I, neuron, rows, with_taus, segments, grad[j])
    c[C_MORE] = G_forced + G_release
    chain.left[j] = m - 1


@kernel
def recurrent_backward(
    events, synapses, recurrent, neurons, first, last, buffer, row_offset, order, grad_rows, peaks, grad_peak,
    min_slope, with_taus, gradients, recurrent_gradients,
):  # fmt: skip
    """As backward.lif_backward, for what recurrent_forward can do.

    order (S,): the rows of all samples in the order of time, sample by sample; recurrent_gradients: of the weights and
    delays of the recurrent synapses.
    """
    N, grad = neurons.parameters.shape[0], gradients.parameters
    chain = new_chain(N, buffer, first, last)
    row = row_offset
    for b in range(first, last):
        begin_chain(b, row, neurons, buffer, peaks, grad_peak, with_taus, grad, chain)
        row = chain.start[N]
        for position in range(row - 1, chain.begin[0] - 1, -1):
            j = chain.owner[order[position] - chain.begin[0]]
            T = buffer.rows[order[position], TIME]
            G = grad_rows[order[position]] + arrivals_of_spike(
                j, T, recurrent, neurons, buffer, with_taus, grad, recurrent_gradients, chain
            )
            follow_chain(j, G, neurons, buffer, min_slope, with_taus, grad, chain)
        for n in range(N):
            input_gradients(
                events, b, synapses, n, neurons.duration, neurons.parameters[n], rows_of(n, chain, buffer),
                segments_of(n, chain), chain.last_counts[n], chain.carried[n, C_PEAK_TIME], chain.carried[n, C_KINK],
                with_taus, gradients,
            )  # fmt: skip


@kernel
def arrivals_of_spike(j, T, recurrent, neurons, buffer, with_taus, grad, recurrent_gradients, chain):
    """dL/dT of the spike of neuron j at T through all its arrivals in the layer; adds the gradients of the synapses."""
    total = 0.0
    source = j if recurrent.delay.shape[1] > 1 else 0
    for n in range(neurons.parameters.shape[0]):
        target = n if recurrent.delay.shape[0] > 1 else 0
        t = T + recurrent.delay[target, source]
        if t >= neurons.duration:
            continue
        grad_w, grad_t = arrival_gradient(
            t, recurrent.weight[n, j], neurons.parameters[n], rows_of(n, chain, buffer), segments_of(n, chain),
            chain.last_counts[n], with_taus, grad[n],
        )  # fmt: skip
        c = chain.carried[n]
        if t == c[C_PEAK_TIME]:
            grad_t += c[C_KINK]
            c[C_KINK] = 0.0
        recurrent_gradients.weight[n, j] += grad_w
        recurrent_gradients.delay[target, source] += grad_t
        total += grad_t
    return total

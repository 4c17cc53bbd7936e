"""The adjoints of several LIF neurons of a sample, each on its way from its last spike to its first.

With recurrent connections own spikes are gone through from the last to the first, whichever neuron they belong to
(README.md, sections 3 and 4).
"""

from typing import NamedTuple

import numpy as np

from .backward import (
    NUM_SEGMENT,
    cross_ghost,
    cross_spike,
    cross_without_ghosts,
    kink_of,
    last_end,
    open_segment,
    peak_moves,
    peak_of,
    smallest_slope,
    start_segments,
)
from .jit import borrowing, inlined, kernel
from .layout import THRESHOLD, TIME
from .reset import is_ghost

# Columns of what is carried from spike to spike of a neuron: p after the spike to come, where the segment after it
# ends, what adds to its dL/dT; what a recurrent arrival at the time of the peak adds to its own dL/dt; and, at the end
# of the segment, the adjoint without what ghosts add to it, with what adds to dL/dT then.
C_V, C_I, C_A, C_END, C_MORE, C_PEAK_TIME, C_KINK, C_EXACT_V, C_EXACT_A, C_EXACT_MORE = range(10)
NUM_CARRIED = 10


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
def most_spikes(buffer, first, last):
    """The largest number of spikes in one of the samples first..last - 1."""
    most = 0
    for b in range(first, last):
        most = max(most, buffer.counts[b].sum())
    return most


@kernel
def new_chain(N, most):
    """Room for N neurons that spike `most` times in all."""
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


@borrowing
def place_rows(first, last, b, row, buffer, chain):
    """Neurons first ... last - 1 of sample b come next, whose spikes begin with row `row`."""
    chain.begin[0] = row
    for n in range(first, last):
        count = buffer.counts[b, n]
        chain.start[n], chain.start[n + 1], chain.left[n] = row, row + count, count
        for m in range(row, row + count):
            chain.owner[m - chain.begin[0]] = n
        row += count


@borrowing
def begin_neuron(n, b, neurons, buffer, peaks, grad_peak, with_taus, grad, chain):
    """Open the last segment of neuron n; returns whether it carries a gradient: that of the peak."""
    rows, neuron, c = rows_of(n, chain, buffer), neurons.parameters[n], chain.carried[n]
    start_segments(neuron, neurons.subtract, rows, segments_of(n, chain))
    G_peak, peak_time, peak_slope = peak_of(b, n, peaks, grad_peak)
    chain.last_counts[n] = G_peak != 0.0
    grad[n, THRESHOLD] -= G_peak
    c[C_A], c[C_END] = -G_peak, last_end(rows, peak_time, G_peak)
    c[C_V], c[C_I], G_release = open_segment(
        rows.shape[0], c[C_END], G_peak, 0.0, neuron, rows, with_taus, segments_of(n, chain), grad[n]
    )
    c[C_MORE] = G_release + peak_moves(rows, neuron, c[C_END], peak_slope, G_peak)
    c[C_EXACT_V], c[C_EXACT_A], c[C_EXACT_MORE] = 0.0, 0.0, 0.0
    c[C_PEAK_TIME], c[C_KINK] = peak_time, kink_of(rows, neuron, peak_time, peak_slope, G_peak)
    return G_peak != 0.0


@kernel
def begin_chain(b, row, neurons, buffer, peaks, grad_peak, with_taus, grad, chain):
    """Open the last segment of every neuron of sample b, whose first spike is in row `row`."""
    N = neurons.parameters.shape[0]
    place_rows(0, N, b, row, buffer, chain)
    for n in range(N):
        begin_neuron(n, b, neurons, buffer, peaks, grad_peak, with_taus, grad, chain)


@borrowing
def follow_chain(j, G, neurons, buffer, min_slope, with_taus, grad, chain):
    """Back over the last spike that is left of neuron j, whose G = dL/dT, or ghost, whose G = dL/dstrength, into the
    segment before it.
    """
    rows, neuron, c, m = rows_of(j, chain, buffer), neurons.parameters[j], chain.carried[j], chain.left[j]
    segments, floor, G_forced = segments_of(j, chain), smallest_slope(neuron, min_slope), 0.0
    p_V, p_I = c[C_V], c[C_I]
    if is_ghost(rows[m - 1]):
        p_V, c[C_A] = cross_ghost(
            m, c[C_END], p_V, c[C_A], c[C_EXACT_V], c[C_EXACT_A], G, neuron, neurons, rows, segments, grad[j]
        )  # fmt: skip
    else:
        p_V, p_I, c[C_A], G_forced = cross_spike(
            m, c[C_END], p_V, p_I, c[C_A], G + c[C_MORE], neuron, neurons.subtract, rows, segments, floor, grad[j]
        )
    if neurons.smoothing > 0.0:
        c[C_EXACT_V], c[C_EXACT_A], c[C_EXACT_MORE] = cross_without_ghosts(
            m,
            c[C_END],
            c[C_EXACT_V],
            c[C_EXACT_A],
            G + c[C_EXACT_MORE],
            neuron,
            neurons.subtract,
            rows,
            segments,
            floor,
        )
    c[C_END] = rows[m - 1, TIME]
    c[C_V], c[C_I], G_release = open_segment(m - 1, c[C_END], p_V, p_I, neuron, rows, with_taus, segments, grad[j])
    c[C_MORE] = G_forced + G_release
    chain.left[j] = m - 1

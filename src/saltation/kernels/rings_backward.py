"""The backward pass of recurrent layers with delays of any kind: the counterpart of rings_forward.py (README.md).

From the last bin to the first. The adjoint of all neurons at the end of every bin stays in a ring, so that each arrival
of an emission, a time r before the end of its bin, finds there

    p_V(r) = p_V e^{-r/tau_mem},   p_I(r) = p_I e^{-r/tau_syn} + p_V phi(r)

All arrivals are later than their emission, and all own spikes after them are done by then. In bins in which a segment
begins or ends each arrival looks for its own segment.
"""

from math import exp, inf, nan
from typing import NamedTuple

import numpy as np

from .backward import END, P_I, P_I_RELEASE, P_V, arrival_gradient
from .chain import begin_chain, follow_chain, input_strengths, most_spikes, new_chain
from .flow import flow
from .jit import borrowing, kernel, sum_kernel
from .layout import TAU_SYN, TIME
from .reset import is_ghost, release_of
from .rings import (
    AHEAD,
    DELAY,
    E_SYN,
    FACTORS,
    PHI,
    SPAN,
    SYNAPSES,
    TILE,
    WEIGHT,
    ask_for,
    find_arrivals,
)

# Rows of the adjoint of a tile at the end of a bin, and EDGE: the last time before, or near it, at which a segment
# begins or ends, or V is released.
NOW_V, NOW_I, EDGE, STATE_SIZE = (TILE * row for row in range(4))
NUM_ADJOINT = 2  # columns of a ring: p_V and p_I at the end of a bin, nan if there is an edge in it
NEAR = 1e-9  # of a bin: so near to an edge rounding decides in which bin an arrival is


class Adjoint(NamedTuple):
    """x (tiles, STATE_SIZE); rings (tiles, (depth + 1) TILE NUM_ADJOINT); grad (tiles, sources SYNAPSES): of weights
    and delays; factors, row: scratch of rings.find_arrivals; found (2 TILE,): dL/dw and dL/dt of a tile's arrivals.
    """

    x: np.ndarray
    rings: np.ndarray
    grad: np.ndarray
    factors: np.ndarray
    row: np.ndarray
    found: np.ndarray


@kernel
def new_adjoint(rings):
    """Room for a sample, and empty sums of gradients."""
    tiles, size = rings.table.shape
    return Adjoint(
        np.empty((tiles, STATE_SIZE)), np.empty((tiles, (rings.grid.depth + 1) * TILE * NUM_ADJOINT)),
        np.zeros((tiles, size)), np.empty(FACTORS), np.empty(TILE, np.int32), np.empty(SYNAPSES),
    )  # fmt: skip


@borrowing
def write_bin(x, ring, row, t, near, grid):
    """The adjoint of a tile at the end of the bin that begins at t goes to its row of the ring; x then holds that at t,
    where there is no edge. Returns whether there is one. Without branches, so that it vectorises.
    """
    first, any_edge = row * TILE * NUM_ADJOINT, False
    for m in range(TILE):
        p_V, p_I, edge = x[NOW_V + m], x[NOW_I + m], x[EDGE + m] > t - near
        ring[first + NUM_ADJOINT * m] = nan if edge else p_V
        ring[first + NUM_ADJOINT * m + 1] = nan if edge else p_I
        x[NOW_V + m], x[NOW_I + m] = p_V * grid.e_mem, p_I * grid.e_syn + p_V * grid.phi
        any_edge |= edge
    return any_edge


@borrowing
def look_up(s, ring, table, factors, row, grid, found):
    """dL/dw and dL/dt of what `find_arrivals` found, without branches."""
    begin = s * SYNAPSES + WEIGHT
    for m in range(TILE):
        place = (row[m] * TILE + m) * NUM_ADJOINT
        p_V, p_I = ring[place], ring[place + 1]
        e_syn, phi = factors[E_SYN + m], factors[PHI + m]
        p_I, p_V = p_I * e_syn + p_V * phi, p_V * (e_syn - grid.lead * phi)
        found[WEIGHT + m], found[DELAY + m] = p_I, table[begin + m] * (p_I * grid.rate_syn - p_V * grid.rate_mem)


@sum_kernel
def sum_times(found):
    """dL/dT of an emission through all neurons of a tile."""
    total = 0.0
    for m in range(TILE):
        total += found[DELAY + m]
    return total


@borrowing
def add_found(s, found, grad):
    """Add what was found to the gradients of the synapses of source s."""
    begin = s * SYNAPSES
    for m in range(SYNAPSES):
        grad[begin + m] += found[m]


@borrowing
def on_edges(T, s, tile, rings, neurons, buffer, chain, found, gradients):
    """Fill in the arrivals in bins with an edge, each from its own segment."""
    table, begin = rings.table[tile], s * SYNAPSES
    for m in range(TILE):
        if found[WEIGHT + m] != found[WEIGHT + m]:
            n = tile * TILE + m
            row, last = chain.start[n], chain.start[n + 1]
            segment = row - chain.begin[0] + n
            found[WEIGHT + m], found[DELAY + m] = arrival_gradient(
                T + table[begin + DELAY + m], table[begin + WEIGHT + m], neurons.parameters[n], buffer.rows[row:last],
                chain.segments[segment : segment + last - row + 1], False, False, gradients.parameters[n],
            )  # fmt: skip


@borrowing
def find_gradients(T, s, c, tile, rings, neurons, buffer, chain, adjoint, gradients):
    """Fill adjoint.found for an emission of source s in bin c at T; returns dL/dT through the neurons of a tile."""
    find_arrivals(T, s, c, rings.grid, rings.table[tile], adjoint.factors, adjoint.row)
    look_up(s, adjoint.rings[tile], rings.table[tile], adjoint.factors, adjoint.row, rings.grid, adjoint.found)
    total = sum_times(adjoint.found)
    if total != total:
        on_edges(T, s, tile, rings, neurons, buffer, chain, adjoint.found, gradients)
        total = sum_times(adjoint.found)
    return total


@borrowing
def emission_gradient(T, s, c, tile, rings, neurons, buffer, chain, adjoint, gradients):
    """dL/dT of an emission of source s in bin c through the neurons of a tile; adds the gradients of the synapses."""
    total = find_gradients(T, s, c, tile, rings, neurons, buffer, chain, adjoint, gradients)
    add_found(s, adjoint.found, adjoint.grad[tile])
    return total


@borrowing
def emission_strength(T, s, c, tile, rings, neurons, buffer, chain, adjoint, gradients):
    """dL/dstrength of a ghost of source s in bin c through the neurons of a tile."""
    find_gradients(T, s, c, tile, rings, neurons, buffer, chain, adjoint, gradients)
    total = 0.0
    for m in range(TILE):
        total += rings.table[tile, s * SYNAPSES + WEIGHT + m] * adjoint.found[WEIGHT + m]
    return total


@borrowing
def begin_adjoint(rings, buffer, chain, adjoint):
    """Behind the end of a sample, where nothing depends on anything."""
    adjoint.x[:], adjoint.rings[:] = 0.0, 0.0
    adjoint.x[:, EDGE : EDGE + TILE] = -inf
    for n in range(chain.left.size):
        if chain.left[n] > 0:
            adjoint.x[n // TILE, EDGE + n % TILE] = buffer.rows[chain.start[n + 1] - 1, TIME]


@borrowing
def pass_edge(n, t, near, grid, neurons, buffer, chain, x):
    """The adjoint of neuron n, all of whose spikes from t on are done, at t, and its next edge."""
    m, neuron, next_row = n % TILE, neurons.parameters[n], chain.start[n] + chain.left[n]
    segment = chain.segments[next_row - chain.begin[0] + n]
    end, begin, release = segment[END], -inf, -inf
    if chain.left[n] > 0:
        begin = buffer.rows[next_row - 1, TIME]
        release = release_of(buffer.rows[next_row - 1], neuron)
    p_V, p_I = 0.0, 0.0
    if release <= t <= end:
        e_mem, e_syn, phi = flow(end - t, grid.tau_mem, grid.tau_syn)
        p_V, p_I = segment[P_V] * e_mem, segment[P_I] * e_syn + segment[P_V] * phi
    elif t <= end:
        p_I = segment[P_I_RELEASE] * exp(-(release - t) / neuron[TAU_SYN])
    x[NOW_V + m], x[NOW_I + m], x[EDGE + m] = p_V, p_I, begin
    if end < t + near:
        x[EDGE + m] = end
    elif release < t + near:
        x[EDGE + m] = release


@kernel
def rings_backward(
    events, ghosts, synapses, recurrent, rings, neurons, span, buffer, order, sent, gradients, recurrent_gradients
):
    """As neuron_major_backward.neuron_major_backward, for what rings_forward can do, without the gradients of taus."""
    N, inputs, grid = neurons.parameters.shape[0], synapses.weight.shape[1], rings.grid
    chain, adjoint = new_chain(N, most_spikes(buffer, span.first, span.last)), new_adjoint(rings)
    row, near = span.row, NEAR * grid.h
    for b in range(span.first, span.last):
        begin_chain(b, row, neurons, buffer, sent.peaks, sent.grad_peak, False, gradients.parameters, chain)
        begin_adjoint(rings, buffer, chain, adjoint)
        row, k = chain.start[N], events.offsets[b + 1]
        position = row - 1
        for c in range(grid.number - 1, -1, -1):
            t = c * grid.h
            any_edge = False
            for tile in range(adjoint.x.shape[0]):
                any_edge |= write_bin(adjoint.x[tile], adjoint.rings[tile], c % grid.depth, t, near, grid)
            if any_edge:  # else there is no spike
                position = own_spikes(
                    position, c, inputs, rings, neurons, buffer, order, sent, chain, adjoint, gradients
                )
                pass_edges(t, near, grid, neurons, buffer, chain, adjoint)
            if c % SPAN == 0:
                begin = k
                while begin > events.offsets[b] and events.times[begin - 1] >= t:
                    begin -= 1
                input_spikes(begin, k, c, events, rings, neurons, buffer, chain, adjoint, gradients)
                k = begin
        input_strengths(ghosts, b, synapses, neurons, buffer, chain, gradients)
    hand_over(inputs, adjoint, gradients, recurrent_gradients)


@borrowing
def own_spikes(position, c, inputs, rings, neurons, buffer, order, sent, chain, adjoint, gradients):
    """Back over all spikes of the layer in bin c; returns the position of the one before it."""
    t = c * rings.grid.h
    while position >= chain.begin[0] and (c == 0 or buffer.rows[order[position], TIME] >= t):
        j, T = chain.owner[order[position] - chain.begin[0]], buffer.rows[order[position], TIME]
        G = sent.grad_rows[order[position]]
        for tile in range(adjoint.x.shape[0]):
            after = min(tile + 1, adjoint.x.shape[0] - 1)
            ask_for(inputs + j, rings.table[after])
            ask_for(inputs + j, adjoint.grad[after])
            if is_ghost(buffer.rows[order[position]]):
                G += emission_strength(T, inputs + j, c, tile, rings, neurons, buffer, chain, adjoint, gradients)
            else:
                G += emission_gradient(T, inputs + j, c, tile, rings, neurons, buffer, chain, adjoint, gradients)
        follow_chain(j, G, neurons, buffer, sent.min_slope, False, gradients.parameters, chain)
        position -= 1
    return position


@borrowing
def pass_edges(t, near, grid, neurons, buffer, chain, adjoint):
    """Whoever has an edge in the bin that begins at t goes on behind it."""
    for n in range(chain.left.size):
        x = adjoint.x[n // TILE]
        if x[EDGE + n % TILE] > t - near:
            pass_edge(n, t, near, grid, neurons, buffer, chain, x)


@borrowing
def input_spikes(begin, end, c, events, rings, neurons, buffer, chain, adjoint, gradients):
    """The input spikes begin ... end - 1, none of which comes before bin c, tile by tile."""
    for tile in range(adjoint.x.shape[0]):
        for k in range(begin, end):
            soon = events.units[min(k + AHEAD, end - 1)]
            ask_for(soon, rings.table[tile])
            ask_for(soon, adjoint.grad[tile])
            gradients.times[k] += emission_gradient(
                events.times[k], events.units[k], c, tile, rings, neurons, buffer, chain, adjoint, gradients
            )  # fmt: skip


@kernel
def hand_over(inputs, adjoint, gradients, recurrent_gradients):
    """Add the gradients of all synapses to those of the layer; an axis of length 1 is shared by all."""
    N = gradients.weight.shape[0]
    for j in range(N):
        own = adjoint.grad[j // TILE]
        for s in range(inputs + N):
            part, i = (gradients.weight, s) if s < inputs else (recurrent_gradients.weight, s - inputs)
            shared = gradients.delay if s < inputs else recurrent_gradients.delay
            part[j, i] += own[s * SYNAPSES + WEIGHT + j % TILE]
            shared[min(j, shared.shape[0] - 1), min(i, shared.shape[1] - 1)] += own[s * SYNAPSES + DELAY + j % TILE]

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
from .chain import begin_chain, follow_chain, most_spikes, new_chain
from .flow import flow
from .jit import borrowing, kernel
from .lanes import lowest_bit
from .layout import TAU_SYN, TIME
from .reset import is_ghost, release_of
from .ring_lanes import DELAY, NUM_ADJOINT, SYNAPSES, WEIGHT, use_adjoint
from .rings import AHEAD, LAG, SLOTS, SPAN, TILE, Scratch, ask_for, find, new_scratch

# Rows of the adjoint of a tile at the end of a bin, and EDGE: the last time before, or near it, at which a segment
# begins or ends, or V is released.
NOW_V, NOW_I, EDGE, STATE_SIZE = (TILE * row for row in range(4))
NEAR = 1e-9  # of a bin: so near to an edge rounding decides in which bin an arrival is


class Adjoint(NamedTuple):
    """x (tiles, STATE_SIZE); rings (tiles, (depth + 1) TILE NUM_ADJOINT); grad (tiles, sources SYNAPSES): of weights
    and delays; total (1,): scratch of ring_lanes.use_adjoint.
    """

    x: np.ndarray
    rings: np.ndarray
    grad: np.ndarray
    scratch: Scratch
    total: np.ndarray


@kernel
def new_adjoint(rings):
    """Room for a sample, and empty sums of gradients."""
    tiles, size = rings.table.shape
    return Adjoint(
        np.empty((tiles, STATE_SIZE)), np.empty((tiles, (rings.grid.depth + 1) * TILE * NUM_ADJOINT)),
        np.zeros((tiles, size)), new_scratch(), np.empty(1),
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
def find_tile(T, s, c, rings, tile, adjoint, slot):
    """Where an emission of source s in bin c at T arrives at a tile, into a slot of the scratch."""
    find(T, s, c, rings, tile, adjoint.rings[tile], NUM_ADJOINT, adjoint.scratch, slot)


@borrowing
def on_edge(T, s, n, rings, neurons, buffer, chain, gradients):
    """dL/dw and dL/dt of an arrival at neuron n in a bin with an edge, from its own segment."""
    table, place = rings.table[n // TILE], s * SYNAPSES + n % TILE
    row, last = chain.start[n], chain.start[n + 1]
    segment = row - chain.begin[0] + n
    return arrival_gradient(
        T + table[place + DELAY], table[place + WEIGHT], neurons.parameters[n], buffer.rows[row:last],
        chain.segments[segment : segment + last - row + 1], False, False, gradients.parameters[n],
    )  # fmt: skip


@borrowing
def emission_gradient(T, s, tile, slot, rings, neurons, buffer, chain, adjoint, gradients):
    """dL/dT of an emission through a tile, where its arrivals are found; adds the gradients of the synapses."""
    grad, place = adjoint.grad[tile], s * SYNAPSES
    mask = use_adjoint(
        rings.table[tile], place, rings.grid.coefficients, adjoint.scratch.factors, adjoint.scratch.places, slot,
        adjoint.rings[tile], grad, adjoint.total, False,
    )  # fmt: skip
    total = adjoint.total[0]
    while mask != 0:
        m = lowest_bit(mask)
        mask &= mask - 1
        by_w, by_t = on_edge(T, s, tile * TILE + m, rings, neurons, buffer, chain, gradients)
        grad[place + WEIGHT + m] += by_w
        grad[place + DELAY + m] += by_t
        total += by_t
    return total


@borrowing
def emission_strength(T, s, tile, slot, rings, neurons, buffer, chain, adjoint, gradients):
    """dL/dstrength of a ghost through a tile, where its arrivals are found."""
    table, place = rings.table[tile], s * SYNAPSES
    mask = use_adjoint(
        table, place, rings.grid.coefficients, adjoint.scratch.factors, adjoint.scratch.places, slot,
        adjoint.rings[tile], adjoint.grad[tile], adjoint.total, True,
    )  # fmt: skip
    total = adjoint.total[0]
    while mask != 0:
        m = lowest_bit(mask)
        mask &= mask - 1
        by_w, _ = on_edge(T, s, tile * TILE + m, rings, neurons, buffer, chain, gradients)
        total += table[place + WEIGHT + m] * by_w
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
        row, k, g = chain.start[N], events.offsets[b + 1], ghosts.offsets[b + 1]
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
                k = inputs_back(k, c, events, False, b, rings, neurons, buffer, chain, adjoint, gradients)
                g = inputs_back(g, c, ghosts, True, b, rings, neurons, buffer, chain, adjoint, gradients)
    hand_over(inputs, adjoint, gradients, recurrent_gradients)


@borrowing
def own_spikes(position, c, inputs, rings, neurons, buffer, order, sent, chain, adjoint, gradients):
    """Back over all spikes of the layer in bin c; returns the position of the one before it."""
    t, tiles = c * rings.grid.h, adjoint.x.shape[0]
    while position >= chain.begin[0] and (c == 0 or buffer.rows[order[position], TIME] >= t):
        j, T = chain.owner[order[position] - chain.begin[0]], buffer.rows[order[position], TIME]
        G = sent.grad_rows[order[position]]
        ghost = is_ghost(buffer.rows[order[position]])
        for tile in range(tiles + LAG):
            if tile < tiles:
                ahead = min(tile + AHEAD, tiles - 1)
                ask_for(inputs + j, rings.table[ahead])
                ask_for(inputs + j, adjoint.grad[ahead])
                find_tile(T, inputs + j, c, rings, tile, adjoint, tile % SLOTS)
            if tile >= LAG:
                known = tile - LAG, (tile - LAG) % SLOTS, rings, neurons, buffer, chain, adjoint, gradients
                if ghost:
                    G += emission_strength(T, inputs + j, *known)
                else:
                    G += emission_gradient(T, inputs + j, *known)
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
def inputs_back(stop, c, emitted, ghosts, b, rings, neurons, buffer, chain, adjoint, gradients):
    """Back over those before `stop` of the input spikes of sample b, or if `ghosts` its ghosts, that come in bin c or
    later, tile by tile; returns the first of them.
    """
    begin = stop
    while begin > emitted.offsets[b] and emitted.times[begin - 1] >= c * rings.grid.h:
        begin -= 1
    for tile in range(adjoint.x.shape[0]):
        known = rings, neurons, buffer, chain, adjoint, gradients
        for k in range(begin, stop + LAG):
            if k < stop:
                soon = emitted.units[min(k + AHEAD, stop - 1)]
                ask_for(soon, rings.table[tile])
                ask_for(soon, adjoint.grad[tile])
                find_tile(emitted.times[k], emitted.units[k], c, rings, tile, adjoint, k % SLOTS)
            p = k - LAG
            if p >= begin and ghosts:
                gradients.strengths[p] += emission_strength(emitted.times[p], emitted.units[p], tile, p % SLOTS, *known)
            elif p >= begin:
                gradients.times[p] += emission_gradient(emitted.times[p], emitted.units[p], tile, p % SLOTS, *known)
    return begin


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

"""The sums of the arrivals in rings of bins, and what goes through a bin without looking at them one by one.

README.md, section 4.
"""

from math import exp, inf
from typing import NamedTuple

import numpy as np

from .crossing import ROUNDING, largest_phi
from .jit import borrowing, kernel
from .layout import BUFFER_FULL, DONE, FIRED, JUMP, TAU_ADAPT, TAU_MEM, TAU_SYN, THRESHOLD
from .rings import AHEAD, E_SYN, FACTORS, PHI, SYNAPSES, TILE, WEIGHT, ask_for, find_arrivals

# Columns of the sums of a bin; NEWEST: the number of the last emission that arrives in it, from 1 on.
S_V, S_I, RISE, NEWEST, NUM_SUMS = range(5)
# Rows of the state of a tile at the start of a bin and at its end, and what belongs to its neurons.
V, I, A, V_NEXT, I_NEXT, A_NEXT, LEVEL, RELEASE, E_ADAPT, STATE_SIZE = (TILE * row for row in range(10))
# Of the emissions the first that may still arrive, and the next; spikes so far, and walkers.
TAIL, HEAD, LENGTH, WALKERS, NUM_COUNTERS = range(5)


class State(NamedTuple):
    """Of a sample. x (tiles, STATE_SIZE); rings (tiles, (depth + 1) TILE NUM_SUMS); hot (tiles, TILE): who is not
    cleared, reached (tiles, TILE): by an emission within this bin; factors, row: scratch of rings.find_arrivals.
    spikes, last_row, phi_max (N,). counters (NUM_COUNTERS,).
    """

    x: np.ndarray
    rings: np.ndarray
    hot: np.ndarray
    reached: np.ndarray
    factors: np.ndarray
    row: np.ndarray
    spikes: np.ndarray
    last_row: np.ndarray
    phi_max: np.ndarray
    counters: np.ndarray


class Emissions(NamedTuple):
    """The last ones, as many as fit (a power of 2): time, source; older (tiles, room TILE): of each and each neuron the
    emission that arrived in the same bin before it, 0 if none.
    """

    time: np.ndarray
    source: np.ndarray
    older: np.ndarray


class Bin(NamedTuple):
    """Bin c, from t to t_end, in row `row` of the rings; fall: (h/tau_mem) e^{h/tau_mem}."""

    c: int
    t: float
    t_end: float
    row: int
    fall: float


@kernel
def new_state(N, tiles, depth, neurons):
    """Room for N neurons."""
    phi_max = np.full(N, largest_phi(neurons.parameters[0, TAU_MEM], neurons.parameters[0, TAU_SYN]))
    return State(
        np.empty((tiles, STATE_SIZE)), np.empty((tiles, (depth + 1) * TILE * NUM_SUMS)),
        np.empty((tiles, TILE), np.uint8), np.empty((tiles, TILE), np.uint8), np.empty(FACTORS),
        np.empty(TILE, np.int32), np.empty(N, np.int64), np.empty(N, np.int64), phi_max,
        np.empty(NUM_COUNTERS, np.int64),
    )  # fmt: skip


@kernel
def new_emissions(room, tiles):
    """Room for so many, a power of 2."""
    return Emissions(np.empty(room), np.empty(room, np.int64), np.empty((tiles, room * TILE), np.int32))


@borrowing
def reset(neurons, h, state):
    """The start of a sample; what pads the last tile never spikes."""
    state.x[:], state.rings[:], state.counters[:], state.spikes[:], state.last_row[:] = 0.0, 0.0, 0, 0, 0
    state.reached[:] = 0
    state.x[:, LEVEL : LEVEL + TILE] = inf
    for n in range(neurons.parameters.shape[0]):
        neuron, x, m = neurons.parameters[n], state.x[n // TILE], n % TILE
        x[LEVEL + m] = neuron[THRESHOLD] - ROUNDING * abs(neuron[THRESHOLD])
        x[E_ADAPT + m] = exp(-h / neuron[TAU_ADAPT]) if neuron[JUMP] != 0.0 else 1.0


@borrowing
def pass_bin(x, rings, hot, bin, grid):
    """All neurons of a tile through a bin; fills hot (TILE,), and returns whether any is.

    The bound without arrivals is that of lanes.py, V <= max(V, v, v + (v - i) fall) with v and i at the end of the bin;
    arrivals raise V by RISE at most. It is no bound where V is released within the bin. No branches, so that it
    vectorises.
    """
    first, any_hot = bin.row * TILE * NUM_SUMS, False
    for m in range(TILE):
        sums = first + m * NUM_SUMS
        V_0, I_0, a = x[V + m], x[I + m], x[A + m]
        v, i, a_next = V_0 * grid.e_mem + I_0 * grid.phi, I_0 * grid.e_syn, a * x[E_ADAPT + m]
        held, falls = x[RELEASE + m] >= bin.t_end, v + (v - i) * bin.fall
        top = max(max(V_0, v), falls) + rings[sums + RISE] - min(a, a_next)
        noise = ROUNDING * (abs(V_0) + abs(I_0) + abs(a) + rings[sums + RISE])
        x[V_NEXT + m] = V_0 if held else v + rings[sums + S_V]
        x[I_NEXT + m] = i + rings[sums + S_I]
        x[A_NEXT + m] = a_next
        seen = (top + noise >= x[LEVEL + m]) | (x[RELEASE + m] > bin.t)
        hot[m] = seen & (not held)
        any_hot |= hot[m] != 0
    return any_hot


@borrowing
def end_bin(x, rings, bin):
    """The state at the end of a bin becomes that at the start of the next, and its row of the ring is empty."""
    first = bin.row * TILE * NUM_SUMS
    for m in range(3 * TILE):
        x[V + m] = x[V_NEXT + m]
    for q in range(first, first + TILE * NUM_SUMS):
        rings[q] = 0.0


@borrowing
def add_arrivals(number, s, table, factors, row, rings, older, slot):
    """Add what `find_arrivals` found of emission `number`, from source s, to the rings of a tile."""
    begin, chain = s * SYNAPSES + WEIGHT, slot * TILE
    for m in range(TILE):
        w, sums = table[begin + m], (row[m] * TILE + m) * NUM_SUMS
        rises = w * factors[PHI + m]
        rings[sums + S_V] += rises
        rings[sums + S_I] += w * factors[E_SYN + m]
        rings[sums + RISE] += max(rises, 0.0)
        older[chain + m] = np.int32(rings[sums + NEWEST])
        rings[sums + NEWEST] = number


@borrowing
def take_slot(T, s, t, rings, state, emissions):
    """A place for an emission; returns its slot, or -1 if there is none. All that arrives before t is forgotten."""
    counters, room = state.counters, emissions.time.size
    while counters[TAIL] < counters[HEAD] and emissions.time[counters[TAIL] & (room - 1)] + rings.longest < t:
        counters[TAIL] += 1
    if counters[HEAD] - counters[TAIL] == room:
        return -1
    slot = counters[HEAD] & (room - 1)
    emissions.time[slot], emissions.source[slot] = T, s
    counters[HEAD] += 1
    return slot


@borrowing
def emit_inputs(k, stop, c, events, rings, state, emissions):
    """The input spikes k ... stop - 1, none of which comes before bin c. Returns whether there was room."""
    first, t = state.counters[HEAD], (c - 1) * rings.grid.h
    for e in range(k, stop):
        if take_slot(events.times[e], events.units[e], t, rings, state, emissions) < 0:
            return False
    for tile in range(state.x.shape[0]):
        for e in range(k, stop):
            s, number = events.units[e], first + e - k
            ask_for(events.units[min(e + AHEAD, stop - 1)], rings.table[tile])
            find_arrivals(events.times[e], s, c, rings.grid, rings.table[tile], state.factors, state.row)
            add_arrivals(
                number + 1, s, rings.table[tile], state.factors, state.row, state.rings[tile], emissions.older[tile],
                number & (emissions.time.size - 1),
            )  # fmt: skip
    return True


@borrowing
def any_of(flags):
    """Whether any of a tile's flags is set."""
    found = False
    for m in range(TILE):
        found |= flags[m] != 0
    return found


@borrowing
def emit(T, s, bin, rings, state, emissions):
    """A spike of the layer at T; fills `reached`. Returns BUFFER_FULL, or DONE, or FIRED: it reaches this very bin."""
    if T + rings.least[s] >= rings.grid.duration:
        return DONE
    slot = take_slot(T, s, bin.t - rings.grid.h, rings, state, emissions)
    if slot < 0:
        return BUFFER_FULL
    near = T + rings.least[s] < bin.t_end + rings.grid.h  # else none can be, whatever the rounding
    for tile in range(state.x.shape[0]):
        ask_for(s, rings.table[min(tile + 1, state.x.shape[0] - 1)])
        find_arrivals(T, s, bin.c, rings.grid, rings.table[tile], state.factors, state.row)
        add_arrivals(
            state.counters[HEAD], s, rings.table[tile], state.factors, state.row, state.rings[tile],
            emissions.older[tile], slot,
        )  # fmt: skip
        for m in range(TILE if near else 0):
            state.reached[tile, m] = state.row[m] == bin.row
    return FIRED if near else DONE

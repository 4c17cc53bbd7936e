"""The sums of the arrivals in rings of bins, and what goes through a bin without looking at them one by one.

README.md, section 4.
"""

from math import exp, inf
from typing import NamedTuple

import numpy as np

from .crossing import ROUNDING, largest_phi
from .jit import borrowing, kernel
from .layout import BUFFER_FULL, DONE, FIRED, JUMP, TAU_ADAPT, TAU_MEM, TAU_SYN, THRESHOLD
from .ring_lanes import E_ADAPT, LEVEL, NUM_SUMS, STATE_SIZE, SYNAPSES, V_NEXT, V, add_arrivals
from .rings import AHEAD, LAG, SLOTS, TILE, Scratch, ask_for, find, new_scratch

# Of the emissions the first that may still arrive, and the next; spikes so far, and walkers.
TAIL, HEAD, LENGTH, WALKERS, NUM_COUNTERS = range(5)


class State(NamedTuple):
    """Of a sample. x (tiles, STATE_SIZE); rings (tiles, (depth + 1) TILE NUM_SUMS); reached (tiles, TILE): by an
    emission within this bin. spikes, last_row, phi_max (N,). counters (NUM_COUNTERS,).
    """

    x: np.ndarray
    rings: np.ndarray
    reached: np.ndarray
    scratch: Scratch
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
        np.empty((tiles, TILE), np.uint8), new_scratch(),
        np.empty(N, np.int64), np.empty(N, np.int64), phi_max,
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
def end_bin(x, rings, bin):
    """The state at the end of a bin becomes that at the start of the next, and its row of the ring is empty."""
    first = bin.row * TILE * NUM_SUMS
    for m in range(3 * TILE):
        x[V + m] = x[V_NEXT + m]
    for q in range(first, first + TILE * NUM_SUMS):
        rings[q] = 0.0


@borrowing
def add(number, s, rings, tile, state, emissions, slot):
    """Add what is in a slot of the scratch, of emission `number` from source s, to the rings of a tile."""
    chain = (number - 1) & (emissions.time.size - 1)
    add_arrivals(
        float(number), rings.table[tile], s * SYNAPSES, state.scratch.factors, state.scratch.places, slot,
        state.rings[tile], emissions.older[tile], chain * TILE,
    )  # fmt: skip


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
        for e in range(k, stop + LAG):
            if e < stop:
                ask_for(events.units[min(e + AHEAD, stop - 1)], rings.table[tile])
                find(
                    events.times[e], events.units[e], c, rings, tile, state.rings[tile], NUM_SUMS, state.scratch,
                    e % SLOTS,
                )  # fmt: skip
            if e - LAG >= k:
                p = e - LAG
                add(first + p - k + 1, events.units[p], rings, tile, state, emissions, p % SLOTS)
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
    if take_slot(T, s, bin.t - rings.grid.h, rings, state, emissions) < 0:
        return BUFFER_FULL
    near = T + rings.least[s] < bin.t_end + rings.grid.h  # else none can be, whatever the rounding
    tiles = state.x.shape[0]
    for tile in range(tiles + LAG):
        if tile < tiles:
            ask_for(s, rings.table[min(tile + AHEAD, tiles - 1)])
            find(T, s, bin.c, rings, tile, state.rings[tile], NUM_SUMS, state.scratch, tile % SLOTS)
            for m in range(TILE if near else 0):
                place = state.scratch.places[tile % SLOTS * TILE + m]
                state.reached[tile, m] = place == (bin.row * TILE + m) * NUM_SUMS
        if tile >= LAG:
            add(state.counters[HEAD], s, rings, tile - LAG, state, emissions, (tile - LAG) % SLOTS)
    return FIRED if near else DONE

"""The forward pass of recurrent layers with delays of any kind, all neurons bin by bin (README.md, section 4).

Emissions are added to the rings of bin sums as they happen. In a bin a bound clears nearly all neurons; the others walk
through its arrivals one by one. The earliest spike of all of them counts, and only who it reaches within the bin is
looked at again.
"""

from math import inf
from typing import NamedTuple

import numpy as np

from .advance import Neuron, State, advance, no_ghost
from .arrivals import longest_sample, sort_arrivals, store_spikes
from .jit import borrowing, embedded, kernel
from .lanes import lowest_bit
from .layout import BUDGET_EXCEEDED, BUFFER_FULL, DONE, FINISHED, FIRED, NO_BUDGET, NUM_COLUMNS, TIME
from .models import Tally
from .ring_lanes import (
    A_NEXT,
    DELAY,
    I_NEXT,
    NEWEST,
    NUM_SUMS,
    RELEASE,
    SYNAPSES,
    V_NEXT,
    WEIGHT,
    A,
    I,
    V,
    pass_bin,
)
from .rings import SPAN, TILE
from .rings_sums import (
    LENGTH,
    WALKERS,
    Bin,
    any_of,
    emit,
    emit_inputs,
    end_bin,
    new_emissions,
    new_state,
    reset,
)

# Columns of a walker: its state after its last spike that counts, or at the start of the bin, and of what follows.
W_V, W_I, W_A, W_RELEASE, W_TIME, NUM_WALKER = range(6)
FIRST_EMISSIONS = 64
FIRST_ROOM = 64  # spikes of a neuron in a sample for which there is room at first, on average


class Walkers(NamedTuple):
    """Who walks through a bin. who (N,): the first counters[WALKERS]; walks (N,): whether; start, end (N, NUM_WALKER),
    and behind how many of the arrivals of the bin: start_taken, end_taken (N,); arrival, source, ...: scratch.
    """

    who: np.ndarray
    walks: np.ndarray
    start: np.ndarray
    end: np.ndarray
    start_taken: np.ndarray
    end_taken: np.ndarray
    arrival: np.ndarray
    source: np.ndarray
    arrival_copy: np.ndarray
    source_copy: np.ndarray
    bins: np.ndarray


class Log(NamedTuple):
    """Spikes as they come: rows (room + N, columns), the last N of them scratch; author (room,): whose."""

    rows: np.ndarray
    author: np.ndarray


@kernel
def new_walkers(N, room):
    """Room for N neurons and up to `room` arrivals of one of them in a bin."""
    return Walkers(
        np.empty(N, np.int64), np.empty(N, np.bool_), np.empty((N, NUM_WALKER)), np.empty((N, NUM_WALKER)),
        np.empty(N, np.int64), np.empty(N, np.int64), np.empty(room), np.empty(room, np.int64), np.empty(room),
        np.empty(room, np.int64), np.empty(room + 1, np.int64),
    )  # fmt: skip


@kernel
def new_log(room, N):
    """Room for so many spikes of N neurons."""
    return Log(np.empty((room + N, NUM_COLUMNS)), np.empty(room, np.int64))


@embedded
def collect(n, bin, rings, state, emissions, arrival, source):
    """The arrivals of a bin at neuron n, in the order of their emissions; returns how many."""
    tile, m, room = n // TILE, n % TILE, emissions.time.size
    older, table = emissions.older[tile], rings.table[tile]
    number, count = np.int64(state.rings[tile, (bin.row * TILE + m) * NUM_SUMS + NEWEST]), 0
    while number > 0:
        slot = (number - 1) & (room - 1)
        s = emissions.source[slot] * SYNAPSES + m
        t = emissions.time[slot] + table[s + DELAY]
        arrival[count], source[count] = min(max(t, bin.t), bin.t_end), s + WEIGHT
        number = np.int64(older[slot * TILE + m])
        count += 1
    for k in range(count // 2):
        other = count - 1 - k
        arrival[k], arrival[other] = arrival[other], arrival[k]
        source[k], source[other] = source[other], source[k]
    return count


@embedded
def walk_on(n, count, bin, rings, neurons, state, walkers, rows):
    """Walker n through the sorted arrivals that are left to the end of the bin, or to right after its next spike."""
    start, end, arrival, table = walkers.start[n], walkers.end[n], walkers.arrival, rings.table[n // TILE]
    t, x = start[W_TIME], State(start[W_V], start[W_I], start[W_A], start[W_RELEASE], inf, 0.0, 0.0, no_ghost())
    fired, k, scratch = inf, walkers.start_taken[n], rows.shape[0] - state.spikes.size + n
    neuron = Neuron(neurons.parameters[n], state.phi_max[n], neurons.subtract, neurons.spiking, False, 0.0, inf)
    tally, finished = Tally(state.last_row[n], scratch, 0, NO_BUDGET), False
    while x.release < inf:  # else it cannot spike again
        t_next = arrival[k] if k < count else bin.t_end
        status, x, _ = advance(x, t, t_next, neuron, rows, tally, True)
        if status in (FIRED, FINISHED):
            fired, finished = rows[scratch, TIME], status == FINISHED
            break
        if k == count:
            break
        t, x = t_next, State(x.V, x.I + table[walkers.source[k]], x.a, x.release, inf, 0.0, 0.0, x.ghost)
        k += 1
    end[W_V], end[W_I], end[W_A], end[W_TIME] = x.V, x.I, x.a, fired
    end[W_RELEASE], walkers.end_taken[n] = inf if finished else x.release, k


@borrowing
def try_walker(n, bin, rings, neurons, state, emissions, walkers, rows):
    """Walker n from where it stands to its next spike, if there is one in the bin: walkers.end[n]."""
    count = collect(n, bin, rings, state, emissions, walkers.arrival, walkers.source)
    if count > 1:
        sort_arrivals(
            count, walkers.arrival, walkers.source, walkers.arrival_copy, walkers.source_copy, walkers.bins
        )  # fmt: skip
    walk_on(n, count, bin, rings, neurons, state, walkers, rows)


@embedded
def add_walker(n, bin, state, walkers):
    """Neuron n walks, from the start of the bin."""
    x, m, start = state.x[n // TILE], n % TILE, walkers.start[n]
    start[W_V], start[W_I], start[W_A], start[W_RELEASE], start[W_TIME] = (
        x[V + m], x[I + m], x[A + m], x[RELEASE + m], bin.t,
    )  # fmt: skip
    walkers.start_taken[n], walkers.walks[n] = 0, True
    walkers.who[state.counters[WALKERS]] = n
    state.counters[WALKERS] += 1


@borrowing
def stop_walkers(state, walkers):
    """All walkers have come to the end of the bin."""
    for k in range(state.counters[WALKERS]):
        n = walkers.who[k]
        x, m, end = state.x[n // TILE], n % TILE, walkers.end[n]
        x[V_NEXT + m], x[I_NEXT + m], x[A_NEXT + m], x[RELEASE + m] = end[W_V], end[W_I], end[W_A], end[W_RELEASE]
        walkers.walks[n] = False
    state.counters[WALKERS] = 0


@embedded
def earliest(state, walkers):
    """The walker that spikes first, the first of several; -1 if none does."""
    first, best = inf, -1
    for k in range(state.counters[WALKERS]):
        n = walkers.who[k]
        T = walkers.end[n, W_TIME]
        if T < first or (n < best and T == first):  # noqa: SIM300
            first, best = T, n
    return best


@embedded
def accept(n, state, walkers, log, budget):
    """The spike of walker n counts: it goes to the log, and the walker stands behind it."""
    length, room = state.counters[LENGTH], log.author.size
    if length == room:
        return BUFFER_FULL
    if state.spikes[n] == budget:
        return BUDGET_EXCEEDED
    for column in range(NUM_COLUMNS):  # copying rows at once would need memory of its own
        log.rows[length, column] = log.rows[room + n, column]
    for column in range(NUM_WALKER):
        walkers.start[n, column] = walkers.end[n, column]
    log.author[length], state.last_row[n] = n, length
    state.spikes[n] += 1
    state.counters[LENGTH] += 1
    walkers.start_taken[n] = walkers.end_taken[n]
    return DONE


@borrowing
def wake(tile, hot, bin, rings, neurons, state, emissions, walkers, log):
    """Who of a tile is in the mask `hot`, and does not walk yet, does so now."""
    while hot != 0:
        n = tile * TILE + lowest_bit(hot)
        hot &= hot - 1
        if not walkers.walks[n]:
            add_walker(n, bin, state, walkers)
            try_walker(n, bin, rings, neurons, state, emissions, walkers, log.rows)


@embedded
def look(tile, bin, rings, neurons, state, emissions, walkers, log):
    """Who of a tile may spike in the bin walks. To hand over all arrays takes longer than to see that none may."""
    grid, first = rings.grid, bin.row * TILE * NUM_SUMS
    hot = pass_bin(
        state.x[tile], state.rings[tile], first, bin.t, bin.t_end, grid.e_mem, grid.phi, grid.e_syn, bin.fall
    )  # fmt: skip
    if hot != 0:
        wake(tile, hot, bin, rings, neurons, state, emissions, walkers, log)


@borrowing
def spike_by_spike(bin, inputs, rings, neurons, state, emissions, walkers, log, budget):
    """The spikes of a bin, the earliest first. Returns (status, neuron)."""
    while True:
        n = earliest(state, walkers)
        if n < 0:
            return DONE, 0
        status = accept(n, state, walkers, log, budget)
        if status != DONE:
            return status, n
        status = emit(walkers.start[n, W_TIME], inputs + n, bin, rings, state, emissions)
        if status == BUFFER_FULL:
            return status, n
        if status == FIRED:
            walking = state.counters[WALKERS]
            for tile in range(state.x.shape[0]):
                if any_of(state.reached[tile]):
                    look(tile, bin, rings, neurons, state, emissions, walkers, log)
            for k in range(walking):
                other = walkers.who[k]
                if state.reached[other // TILE, other % TILE] and other != n:
                    try_walker(other, bin, rings, neurons, state, emissions, walkers, log.rows)
        try_walker(n, bin, rings, neurons, state, emissions, walkers, log.rows)


@borrowing
def rings_sample(k, stop, events, inputs, rings, neurons, state, emissions, walkers, log, budget):
    """All neurons through one sample, whose events are k ... stop - 1; returns (status, neuron).

    With BUFFER_FULL there was not enough room: call again with more.
    """
    grid = rings.grid
    fall = grid.h / grid.tau_mem / grid.e_mem
    reset(neurons, grid.h, state)
    walkers.walks[:] = False
    for c in range(grid.number):
        if c % SPAN == 0:
            new = k
            while new < stop and (c + SPAN >= grid.number or events.times[new] < (c + SPAN) * grid.h):
                new += 1
            if not emit_inputs(k, new, c, events, rings, state, emissions):
                return BUFFER_FULL, 0
            k = new
        t_end = (c + 1) * grid.h if c + 1 < grid.number else grid.duration
        bin = Bin(c, c * grid.h, t_end, c % grid.depth, fall)
        for tile in range(state.x.shape[0]):
            look(tile, bin, rings, neurons, state, emissions, walkers, log)
        if state.counters[WALKERS] > 0:
            status, n = spike_by_spike(bin, inputs, rings, neurons, state, emissions, walkers, log, budget)
            if status != DONE:
                return status, n
            stop_walkers(state, walkers)
        for tile in range(state.x.shape[0]):
            end_bin(state.x[tile], state.rings[tile], bin)
    return DONE, 0


@kernel
def rings_forward(events, synapses, recurrent, rings, neurons, cursor, last, buffer, filled, peaks, budget):
    """As neuron_major.neuron_major_forward, for shared tau_mem and tau_syn, and no peak; rings: rings.make_rings."""
    N, tiles = neurons.parameters.shape[0], rings.table.shape[0]
    room, place, grid = N * FIRST_ROOM, FIRST_EMISSIONS, rings.grid
    at_once = min((rings.longest + SPAN * grid.h) / grid.duration, 1.0) * longest_sample(events, cursor // N, last)
    while place < 2.0 * at_once:  # as many of the layer's own as of the inputs
        place *= 2
    state, start = new_state(N, tiles, grid.depth, neurons), np.empty(N + 1, np.int64)
    emissions, walkers, log = new_emissions(place, tiles), new_walkers(N, place), new_log(room, N)
    for b in range(cursor // N, last):
        while True:
            status, n = rings_sample(
                events.offsets[b], events.offsets[b + 1], events, synapses.weight.shape[1], rings, neurons, state,
                emissions, walkers, log, budget,
            )  # fmt: skip
            if status != BUFFER_FULL:
                break
            room, place = 2 * room, 2 * place
            emissions, walkers, log = new_emissions(place, tiles), new_walkers(N, place), new_log(room, N)
        if status == BUDGET_EXCEEDED:
            return status, b * N + n, filled
        length = state.counters[LENGTH]
        if filled + length > buffer.rows.shape[0]:
            return BUFFER_FULL, b * N, filled
        filled = store_spikes(b, length, log.rows, log.author, state.spikes, start, buffer, filled)
    return DONE, last * N, filled

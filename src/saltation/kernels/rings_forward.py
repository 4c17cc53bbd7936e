"""The forward pass of recurrent layers with delays of any kind, all neurons bin by bin (README.md, section 4).

Emissions are added to the rings of bin sums as they happen. In a bin a bound clears nearly all neurons; the others walk
through its arrivals one by one. The earliest spike of all of them counts, and only who it reaches within the bin is
looked at again.
"""

from math import exp, inf
from typing import NamedTuple

import numpy as np

from .advance import advance
from .arrivals import longest_sample, sort_arrivals, store_spikes
from .crossing import ROUNDING, largest_phi
from .jit import borrowing, kernel
from .layout import (
    BUDGET_EXCEEDED,
    BUFFER_FULL,
    DONE,
    FINISHED,
    FIRED,
    JUMP,
    NUM_COLUMNS,
    TAU_ADAPT,
    TAU_MEM,
    TAU_SYN,
    THRESHOLD,
    TIME,
)
from .recurrent import NO_BUDGET
from .rings import AHEAD, DELAY, E_SYN, FACTORS, PHI, SPAN, SYNAPSES, TILE, WEIGHT, ask_for, find_arrivals

# Columns of the sums of a bin; NEWEST: the number of the last emission that arrives in it, from 1 on.
S_V, S_I, RISE, NEWEST, NUM_SUMS = range(5)
# Rows of the state of a tile at the start of a bin and at its end, and what belongs to its neurons.
V, I, A, V_NEXT, I_NEXT, A_NEXT, LEVEL, RELEASE, E_ADAPT, STATE_SIZE = (TILE * row for row in range(10))
# Columns of a walker: its state after its last spike that counts, or at the start of the bin, and of what follows.
W_V, W_I, W_A, W_RELEASE, W_TIME, NUM_WALKER = range(6)
# Of the emissions the first that may still arrive, and the next; spikes so far, and walkers.
TAIL, HEAD, LENGTH, WALKERS, NUM_COUNTERS = range(5)
FIRST_EMISSIONS = 64
FIRST_ROOM = 64  # spikes of a neuron in a sample for which there is room at first, on average


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


@borrowing
def reset(neurons, h, state, walkers):
    """The start of a sample; what pads the last tile never spikes."""
    state.x[:], state.rings[:], state.counters[:], state.spikes[:], state.last_row[:] = 0.0, 0.0, 0, 0, 0
    state.reached[:], walkers.walks[:] = 0, False
    state.x[:, LEVEL : LEVEL + TILE] = inf
    for n in range(neurons.parameters.shape[0]):
        neuron, x, m = neurons.parameters[n], state.x[n // TILE], n % TILE
        x[LEVEL + m] = neuron[THRESHOLD] - ROUNDING * abs(neuron[THRESHOLD])
        x[E_ADAPT + m] = exp(-h / neuron[TAU_ADAPT]) if neuron[JUMP] != 0.0 else 1.0


@borrowing
def pass_bin(x, rings, hot, bin, grid):
    """All neurons of a tile through a bin; fills hot (TILE,), and returns whether any is.

    The bound without arrivals is that of lanes.py, V <= max(V, v, v + (v - i) fall) with v and i at the end of the bin;
    arrivals raise V by RISE at most. It is no bound in a bin in which V is released. No branches, so that it vectorises.
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


@borrowing
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


@borrowing
def walk_on(n, count, bin, rings, neurons, state, walkers, rows):
    """Walker n through the sorted arrivals that are left to the end of the bin, or to right after its next spike."""
    start, end, arrival, table = walkers.start[n], walkers.end[n], walkers.arrival, rings.table[n // TILE]
    t, v, i, a, release = start[W_TIME], start[W_V], start[W_I], start[W_A], start[W_RELEASE]
    fired, k, scratch = inf, walkers.start_taken[n], rows.shape[0] - state.spikes.size + n
    while release < inf:  # else it cannot spike again
        t_next = arrival[k] if k < count else bin.t_end
        status, v, i, a, release, _, _, _, _ = advance(
            t, t_next, v, i, a, release, inf, 0.0, 0.0, neurons.parameters[n], state.phi_max[n], neurons.subtract,
            neurons.spiking, False, True, rows, state.last_row[n], scratch, 0, NO_BUDGET,
        )  # fmt: skip
        if status in (FIRED, FINISHED):
            fired, release = rows[scratch, TIME], inf if status == FINISHED else release
            break
        if k == count:
            break
        t, i = t_next, i + table[walkers.source[k]]
        k += 1
    end[W_V], end[W_I], end[W_A], end[W_RELEASE], end[W_TIME] = v, i, a, release, fired
    walkers.end_taken[n] = k


@borrowing
def try_walker(n, bin, rings, neurons, state, emissions, walkers, rows):
    """Walker n from where it stands to its next spike, if there is one in the bin: walkers.end[n]."""
    count = collect(n, bin, rings, state, emissions, walkers.arrival, walkers.source)
    if count > 1:
        sort_arrivals(
            count, walkers.arrival, walkers.source, walkers.arrival_copy, walkers.source_copy, walkers.bins
        )  # fmt: skip
    walk_on(n, count, bin, rings, neurons, state, walkers, rows)


@borrowing
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


@borrowing
def earliest(state, walkers):
    """The walker that spikes first, the first of several; -1 if none does."""
    first, best = inf, -1
    for k in range(state.counters[WALKERS]):
        n = walkers.who[k]
        T = walkers.end[n, W_TIME]
        if T < first or (T == first and T < inf and n < best):
            first, best = T, n
    return best


@borrowing
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
def look(tile, bin, rings, neurons, state, emissions, walkers, log):
    """Who of a tile may spike in the bin, and does not walk yet, does so now."""
    if not pass_bin(state.x[tile], state.rings[tile], state.hot[tile], bin, rings.grid):
        return
    for m in range(TILE):
        n = tile * TILE + m
        if state.hot[tile, m] and not walkers.walks[n]:
            add_walker(n, bin, state, walkers)
            try_walker(n, bin, rings, neurons, state, emissions, walkers, log.rows)


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
    fall = grid.h * grid.rate_mem / grid.e_mem
    reset(neurons, grid.h, state, walkers)
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
    """As recurrent.recurrent_forward, for shared tau_mem and tau_syn, and no peak; rings: rings.make_rings."""
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

"""A tile: the neurons that go through a chunk of events together, and those of them that must go through it alone."""

from math import inf
from typing import NamedTuple

import numpy as np

from .advance import no_ghost
from .course import CHUNK_REACH, set_own_table, share_taus, shortest_tau
from .crossing import ROUNDING, largest_phi, watched
from .jit import borrowing, inlined, kernel, upwards
from .lanes import (
    A_AFTER,
    A_ROW,
    BAR,
    LANES,
    LEVEL,
    STATE_SIZE,
    aligned,
    sweep_chunk,
)
from .layout import (
    JUMP,
    NUM_COLUMNS,
    TAU_ADAPT,
    TAU_MEM,
    TAU_SYN,
    THRESHOLD,
)
from .near import FIRST, NUM_GHOST, STOP, keep_ghost
from .own_flow import SERIES
from .short_lanes import HIGH, HIGH_REACH, LOW, LOW_REACH, MIDDLE, MIDDLE_REACH, TOP, fill_decay, sweep_short

# What only the scalar path needs, per neuron
RELEASE, PEAK, PEAK_TIME, PEAK_SLOPE = range(4)
FIRST_ROOM = 64  # spikes of a neuron in a sample for which there is room at first, on average


class Scratch(NamedTuple):
    """Of all neurons: x (tiles STATE_SIZE,), the states of lanes.py; own (N, 4); ghosts (N, NUM_GHOST), the rows of
    near.py; spikes (N,), with ghosts, and the row of the last spike; ends (N,): when the sample ends on each neuron's
    clock; phi_max (N,) and rates (N, 3), 1/tau.
    """

    x: np.ndarray
    own: np.ndarray
    ghosts: np.ndarray
    spikes: np.ndarray
    last_row: np.ndarray
    ends: np.ndarray
    phi_max: np.ndarray
    rates: np.ndarray


class How(NamedTuple):
    """What holds for a whole batch. adaptive: whether a can differ from 0; alike: whether the neurons share their time
    constants; reach: a chunk of several intervals is shorter; budget: of spikes of a neuron in a sample.
    """

    want_peak: bool
    adaptive: bool
    alike: bool
    reach: float
    budget: int


class Log(NamedTuple):
    """Spikes as they come: rows (room, columns), author (room,): whose."""

    rows: np.ndarray
    author: np.ndarray


@kernel
def how_of(neurons, want_peak, budget):
    """What holds for the batch."""
    parameters = neurons.parameters
    reach = CHUNK_REACH * shortest_tau(parameters)
    return How(want_peak, parameters[:, JUMP].any(), share_taus(parameters), reach, budget)


@kernel
def new_log(room, extra):
    """Room for so many spikes, and extra rows."""
    return Log(np.empty((room + extra, NUM_COLUMNS)), np.empty(room, np.int64))


@kernel
def new_scratch(neurons, tiles):
    """Room for all neurons, and what does not change from sample to sample."""
    N = neurons.parameters.shape[0]
    scratch = Scratch(
        aligned(tiles * STATE_SIZE), np.empty((N, 4)), np.empty((N, NUM_GHOST)), np.empty(N, np.int64),
        np.empty(N, np.int64), np.full(N, neurons.duration), np.empty(N), np.empty((N, 3)),
    )  # fmt: skip
    for n in range(N):
        neuron = neurons.parameters[n]
        scratch.phi_max[n] = largest_phi(neuron[TAU_MEM], neuron[TAU_SYN])
        scratch.rates[n] = 1.0 / neuron[TAU_MEM], 1.0 / neuron[TAU_SYN], 1.0 / neuron[TAU_ADAPT]
    return scratch


@kernel
def watch_level(t, release, threshold, peak, spiking, want_peak, smoothing):
    """What V - a of a neuron must not reach unnoticed; -inf, so that it is always watched, while V is held."""
    if release > t:
        return -inf
    level = watched(threshold, peak, spiking, want_peak, smoothing)
    return level - ROUNDING * abs(level)


@borrowing
def start_tile(tile, neurons, how, scratch):
    """The neurons of a tile at the start of a sample."""
    N, x, state = neurons.parameters.shape[0], scratch.x, tile * STATE_SIZE
    for k in range(STATE_SIZE):
        x[state + k] = 0.0 if k < LEVEL else inf  # padding never reaches it
    for m in range(min(LANES, N - tile * LANES)):
        n = tile * LANES + m
        threshold = neurons.parameters[n, THRESHOLD]
        own = scratch.own[n]
        scratch.spikes[n], scratch.last_row[n] = 0, 0
        own[RELEASE], own[PEAK], own[PEAK_TIME], own[PEAK_SLOPE] = 0.0, -threshold, 0.0, 0.0
        if neurons.smoothing > 0.0:
            keep_ghost(no_ghost(), scratch.ghosts[n])
            scratch.ghosts[n, FIRST] = scratch.ghosts[n, STOP] = 0.0  # nothing waits
        x[state + LEVEL + m] = x[state + BAR + m] = watch_level(
            0.0, 0.0, threshold, -threshold, True, how.want_peak, neurons.smoothing
        )


@borrowing
def set_bars(state, x):
    """The bars of a tile for a chunk, given a after it: theta is at least level + min(a, a after)."""
    for n in range(LANES):
        a, after = x[upwards(state + A_ROW + n)], x[upwards(state + A_AFTER + n)]
        lowest = after if after < a else a
        x[upwards(state + BAR + n)] = x[upwards(state + LEVEL + n)] + lowest - ROUNDING * abs(a)


@borrowing
def keep_adaptation(state, x):
    """a after the chunk is the one before the next."""
    for n in range(LANES):
        x[upwards(state + A_ROW + n)] = x[upwards(state + A_AFTER + n)]


@inlined
def chunk_alike(k0, k1, fade, state, rows, x, weights, row_of, table, adaptive):
    """A tile of neurons alike through the intervals k0 ... k1 - 1; returns the mask of `lanes.sweep_chunk`."""
    if adaptive:
        for n in range(LANES):
            x[upwards(state + A_AFTER + n)] = x[upwards(state + A_ROW + n)] * fade
        set_bars(state, x)
    return sweep_chunk(x, state, weights, rows, row_of, table, k0, k1 - k0, False)


@borrowing
def chunk_own(k0, k1, span, state, rows, x, weights, course, adaptive, factors):
    """As chunk_alike, for neurons with time constants of their own; span: no interval is longer."""
    series, time, number = factors[SERIES:], course.time, k1 - k0
    longest = span * series[TOP]
    if longest > HIGH_REACH:
        set_own_table(k0, k1, adaptive, course, factors)
    elif adaptive:
        fill_decay(course.decay, time, k0, number, series)
    if adaptive:
        for n in range(LANES):
            x[state + A_AFTER + n] = x[state + A_ROW + n]
            for e in range(k1 - k0):
                x[state + A_AFTER + n] *= course.decay[e * LANES + n]
        set_bars(state, x)
    row_of, table = course.row_of, course.table
    if longest > HIGH_REACH:
        return sweep_chunk(x, state, weights, rows, row_of, table, k0, number, True)
    if longest > MIDDLE_REACH:
        return sweep_short(x, state, weights, rows, row_of, table, time, k0, number, series, HIGH)
    if longest > LOW_REACH:
        return sweep_short(x, state, weights, rows, row_of, table, time, k0, number, series, MIDDLE)
    return sweep_short(x, state, weights, rows, row_of, table, time, k0, number, series, LOW)

"""Neurons of a recurrent layer that go through a chunk alone, from spike to spike."""

from math import exp, inf
from typing import NamedTuple

import numpy as np

from .advance import Neuron, State, advance, no_ghost
from .course import LONG
from .crossing import ROUNDING
from .flow import flow
from .jit import borrowing, kernel
from .lanes import (
    A_AFTER,
    A_ROW,
    BAR,
    I_BEFORE,
    I_ROW,
    LANES,
    LEVEL,
    NUM_LATE,
    STATE_SIZE,
    V_BEFORE,
    V_ROW,
    aligned,
    lowest_bit,
)
from .layout import (
    BUDGET_EXCEEDED,
    BUFFER_FULL,
    DONE,
    FINISHED,
    FIRED,
    NO_BUDGET,
    TAU_ADAPT,
    TAU_MEM,
    TAU_SYN,
    THRESHOLD,
    TIME,
)
from .models import Tally
from .tile import PEAK, PEAK_SLOPE, PEAK_TIME, RELEASE, watch_level

# Columns of a neuron that goes alone: its state at a time.
AT, V_AT, I_AT, A_AT = range(4)
OWN_AT = 4  # where the columns RELEASE ... PEAK_SLOPE begin
NUM_WALK = 8


class Net(NamedTuple):
    """What does not change within a batch: weights, flat, a tile after the other, of which each has `size` numbers: a
    row for every input, every neuron, and one of zeros; inputs: how many inputs; delay (N or 1,) of own spikes.
    """

    weights: np.ndarray
    size: int
    inputs: int
    delay: np.ndarray


class Alone(NamedTuple):
    """The neurons that go through a chunk alone, neuron[:counts[0]]; mask (tiles,): their lanes.

    now (N, NUM_WALK): where each is known to be, at the start of the chunk or right after its last spike, and event
    (N,): the next arrival then; then (N, NUM_WALK), event_then: at its next spike, or at the end of the chunk; fired
    (N,): when that spike is, or inf; spikes, last_row (N,): as they were before the chunk.
    """

    neuron: np.ndarray
    counts: np.ndarray
    mask: np.ndarray
    now: np.ndarray
    event: np.ndarray
    then: np.ndarray
    event_then: np.ndarray
    fired: np.ndarray
    spikes: np.ndarray
    last_row: np.ndarray
    late: np.ndarray


@kernel
def new_alone(N, tiles):
    """Room for N neurons."""
    return Alone(
        np.empty(N, np.int64), np.zeros(1, np.int64), np.zeros(tiles, np.int64), np.empty((N, NUM_WALK)),
        np.empty(N, np.int64), np.empty((N, NUM_WALK)), np.empty(N, np.int64), np.empty(N), np.empty(N, np.int64),
        np.empty(N, np.int64), aligned(NUM_LATE * LANES),
    )  # fmt: skip


@borrowing
def remember(tile, mask, t, scratch, alone):
    """The neurons `mask` of a tile are to go alone, from the start of the chunk at t."""
    x, state = scratch.x, tile * STATE_SIZE
    while mask != 0:
        m = lowest_bit(mask)
        mask &= mask - 1
        n = tile * LANES + m
        alone.neuron[alone.counts[0]] = n
        alone.counts[0] += 1
        now = alone.now[n]
        now[AT], now[V_AT], now[I_AT] = t, x[state + V_BEFORE + m], x[state + I_BEFORE + m]
        now[A_AT] = x[state + A_ROW + m]
        for k in range(RELEASE, PEAK_SLOPE + 1):
            now[OWN_AT + k] = scratch.own[n, k]
        if x[state + LEVEL + m] == inf:  # it is spent
            now[OWN_AT + RELEASE] = inf
        alone.event[n], alone.spikes[n], alone.last_row[n] = 0, scratch.spikes[n], scratch.last_row[n]


@borrowing
def may_reach(s, V, I, a, v, i, a_next, e_mem, rate, level):
    """Whether V - a may reach `level` within an interval of length s, at whose end V, I and a are v, i and a_next."""
    x = s * rate
    c = x / e_mem * (1.0 + ROUNDING)
    return x > LONG or max(V, v, v + (v - i) * c) > level + min(a, a_next) - ROUNDING * abs(a)


@borrowing
def walk(n, stop, net, course, neurons, how, scratch, alone, log):
    """Neuron n from where it is to its next spike, or through interval `stop` - 1 of the chunk: fills `then`.

    A spike is put in row n of those behind the room of the log.
    """
    now, then, k, p = alone.now[n], alone.then[n], alone.event[n], neurons.parameters[n]
    row, rows = log.author.size + n, net.size * (n // LANES) + n % LANES
    neuron = Neuron(p, scratch.phi_max[n], neurons.subtract, neurons.spiking, how.want_peak, 0.0, inf)
    tally = Tally(scratch.last_row[n], row, 0, NO_BUDGET)
    t, x = now[AT], State(
        now[V_AT], now[I_AT], now[A_AT], now[OWN_AT + RELEASE], now[OWN_AT + PEAK], now[OWN_AT + PEAK_TIME],
        now[OWN_AT + PEAK_SLOPE], no_ghost(),
    )  # fmt: skip
    alone.fired[n] = inf
    while k < stop:
        t_next = course.time[k + 1]
        s = t_next - t
        e_mem, e_syn, phi_s = flow(s, p[TAU_MEM], p[TAU_SYN])
        V, I, a = x.V * e_mem + x.I * phi_s, x.I * e_syn, x.a * exp(-s / p[TAU_ADAPT]) if x.a != 0.0 else 0.0
        level = watch_level(t, x.release, p[THRESHOLD], x.peak, neurons.spiking, how.want_peak, 0.0)
        if may_reach(s, x.V, x.I, x.a, V, I, a, e_mem, scratch.rates[n, 0], level):
            status, x, _ = advance(x, t, t_next, neuron, log.rows, tally, True)
            if status in (FIRED, FINISHED):
                t = alone.fired[n] = log.rows[row, TIME]
                release = inf if status == FINISHED else x.release
                x = State(x.V, x.I, x.a, release, x.peak, x.peak_time, x.peak_slope, x.ghost)
                break
            V, I, a = x.V, x.I, x.a
        t, I = t_next, I + net.weights[rows + course.row_of[k]]
        x = State(V, I, a, x.release, x.peak, x.peak_time, x.peak_slope, x.ghost)
        k += 1
    alone.event_then[n] = k
    then[AT], then[V_AT], then[I_AT], then[A_AT] = t, x.V, x.I, x.a
    then[OWN_AT + RELEASE], then[OWN_AT + PEAK] = x.release, x.peak
    then[OWN_AT + PEAK_TIME], then[OWN_AT + PEAK_SLOPE] = x.peak_time, x.peak_slope


@borrowing
def is_spent(n, how, alone):
    """Whether nothing can happen to neuron n any more."""
    return alone.now[n, OWN_AT + RELEASE] == inf and not how.want_peak


@borrowing
def first_to_fire(alone):
    """(when, which neuron) of the next spike; (inf, -1) if there is none."""
    T, first = inf, -1
    for k in range(alone.counts[0]):
        if alone.fired[alone.neuron[k]] < T:
            first = alone.neuron[k]
            T = alone.fired[first]
    return T, first


@borrowing
def settle(n, alone):
    """What `walk` found of neuron n has happened."""
    for k in range(NUM_WALK):
        alone.now[n, k] = alone.then[n, k]
    alone.event[n], alone.fired[n] = alone.event_then[n], inf


@borrowing
def accept(n, how, scratch, alone, log, length):
    """The spike of neuron n that `walk` found has happened. Returns (status, length)."""
    if length == log.author.size:
        return BUFFER_FULL, length
    if scratch.spikes[n] == how.budget:
        return BUDGET_EXCEEDED, length
    row, found = log.rows[length], log.rows[log.author.size + n]
    for k in range(row.size):
        row[k] = found[k]
    log.author[length], scratch.last_row[n] = n, length
    scratch.spikes[n] += 1
    settle(n, alone)
    return DONE, length + 1


@borrowing
def adopt(t, how, neurons, scratch, alone):
    """Where the neurons of `alone` have come to, at the end of the chunk at t, is their state."""
    for k in range(alone.counts[0]):
        n = alone.neuron[k]
        state, m, then = n // LANES * STATE_SIZE, n % LANES, alone.then[n]
        for j in range(RELEASE, PEAK_SLOPE + 1):
            scratch.own[n, j] = then[OWN_AT + j]
        level = inf
        if not is_spent(n, how, alone):
            level = watch_level(
                t, then[OWN_AT + RELEASE], neurons.parameters[n, THRESHOLD], then[OWN_AT + PEAK], neurons.spiking,
                how.want_peak, 0.0,
            )  # fmt: skip
        x = scratch.x
        x[state + V_ROW + m], x[state + I_ROW + m], x[state + A_AFTER + m] = then[V_AT], then[I_AT], then[A_AT]
        x[state + LEVEL + m] = x[state + BAR + m] = level

"""The forward pass, event by event, for neurons that share their order of arrivals and their time constants.

With dendritic delays every neuron keeps a clock of its own, late by its delay: on it the arrivals are the input spikes
themselves, the sample ends earlier, and spike times are local.

One vectorised pass over all neurons per input event updates the state and tests a bound that rules out a crossing.
Only neurons that the bound does not clear take the scalar path (`advance`). README.md, section 4.
"""

from math import exp, inf

import numpy as np

from .advance import advance
from .arrivals import ordered_arrivals
from .crossing import ROUNDING, largest_phi, reaches
from .flow import flow
from .jit import kernel
from .layout import (
    BUDGET_EXCEEDED,
    BUFFER_FULL,
    DONE,
    FINISHED,
    JUMP,
    NUM_COLUMNS,
    TAU_ADAPT,
    TAU_MEM,
    TAU_SYN,
    THRESHOLD,
)

# Neurons are padded to whole groups: the flags of one group make one 64-bit word.
GROUP = 8
# So many neurons go through a sample together: their weights, one row an input, should fit into the cache.
TILE = 128
# Columns of the table of intervals
E_MEM, E_SYN, PHI, E_ADAPT, KEEP, CAP = range(6)
# What only the scalar path needs, per neuron
RELEASE, PEAK, PEAK_TIME, PEAK_SLOPE = range(4)
FIRST_ROOM = 32  # spikes of a neuron in a sample for which there is room at first


@kernel
def pass_plain(V, I, V_next, I_next, weight, level, hot, interval):
    """The free flow of all neurons over an interval of length s, then the arrival of weight (width,).

    hot[n]: V of neuron n may have reached its level within the interval. No branches, so that it vectorises.
    Without adaptation a maximum of V inside the interval has V = I > 0, and from there V decays at most by
    e^{-s/tau_mem}: if it reached the level, V_next grow > level with grow = e^{s/tau_mem} (and a few roundings).
    """
    e_mem, e_syn, phi_s = interval[E_MEM], interval[E_SYN], interval[PHI]
    grow = (1.0 + ROUNDING) / e_mem if e_mem > 0.0 else inf
    for n in range(V.size):
        v = V[n] * e_mem + I[n] * phi_s
        V_next[n] = v
        I_next[n] = I[n] * e_syn + weight[n]
        hot[n] = v * grow > level[n]


@kernel
def pass_adaptive(V, I, a, V_next, I_next, a_next, weight, level, hot, interval):
    """As pass_plain, with adaptation: V - a may have reached the level.

    At such an instant V >= L = level + min(a, a_next); from there V decays at most by e^{-s/tau_mem} (not at all below
    0), and a negative current pulls it down by at most -I cap, cap >= phi.
    """
    e_mem, e_syn, phi_s, e_adapt, cap = (
        interval[E_MEM],
        interval[E_SYN],
        interval[PHI],
        interval[E_ADAPT],
        interval[CAP],
    )
    for n in range(V.size):
        v, i = V[n], I[n]
        V_next[n] = v * e_mem + i * phi_s
        I_next[n] = i * e_syn + weight[n]
        a_next[n] = a[n] * e_adapt
        L = level[n] + (a_next[n] if a_next[n] < a[n] else a[n])
        decayed = L * e_mem if L > 0.0 else L
        pull = -i * cap if i < 0.0 else 0.0
        hot[n] = V_next[n] + pull + ROUNDING * (abs(v) + abs(i) * cap + abs(a[n])) >= decayed


@kernel
def watch_level(t, release, threshold, peak, want_peak):
    """What V - a of a neuron must not reach unnoticed; -inf, so that it is always watched, while V is held."""
    if release > t:
        return -inf
    level = threshold + peak if want_peak else threshold
    return level - ROUNDING * abs(level)


@kernel
def intervals(count, arrival, duration, neuron, adaptive, table):
    """What all neurons share of each interval, from one arrival to the next: fills the rows of table (count + 1, 6)."""
    tau_mem, tau_syn, tau_adapt = neuron[TAU_MEM], neuron[TAU_SYN], neuron[TAU_ADAPT]
    phi_max = largest_phi(tau_mem, tau_syn)
    t = 0.0
    for k in range(count + 1):
        t_next = arrival[k] if k < count else duration
        s = t_next - t
        row = table[k]
        row[E_MEM], row[E_SYN], row[PHI] = flow(s, tau_mem, tau_syn)
        row[E_ADAPT] = exp(-s / tau_adapt) if adaptive else 1.0
        row[KEEP], row[CAP] = max(1.0 - s / tau_mem, 0.0), min(s / tau_mem, phi_max)
        t = t_next


@kernel
def sweep_tile(
    count, arrival, unit, table, weights, tile, neurons, ends, want_peak, adaptive, state, hot, own, spikes, rows,
    budget,
):  # fmt: skip
    """The neurons of one tile through one sample; returns (status, neuron).

    arrival (count,) sorted times, unit (count,) their inputs, table: their `intervals`, weights (M + 1, width) the rows
    of the tile, the last of zeros. ends (N,): when the sample ends on each neuron's clock. adaptive: whether a can
    differ from 0. state (7, width), hot (width,): scratch. own (N, 4), spikes (N,) and rows (N, room, columns) are
    filled. With BUFFER_FULL there was not enough room: call again with more.
    """
    first, width = tile * weights.shape[1], weights.shape[1]
    N = min(width, neurons.parameters.shape[0] - first)
    phi_max = largest_phi(neurons.parameters[0, TAU_MEM], neurons.parameters[0, TAU_SYN])
    V, I, a, V_next, I_next, a_next, level = state[0], state[1], state[2], state[3], state[4], state[5], state[6]
    words = hot.view(np.uint64)
    state[:6], level[:] = 0.0, inf
    for m in range(N):
        n = first + m
        threshold = neurons.parameters[n, THRESHOLD]
        spikes[n] = 0
        own[n, RELEASE], own[n, PEAK], own[n, PEAK_TIME], own[n, PEAK_SLOPE] = 0.0, -threshold, 0.0, 0.0
        level[m] = watch_level(0.0, 0.0, threshold, -threshold, want_peak)
    t = 0.0
    for k in range(count + 1):
        t_next = arrival[k] if k < count else neurons.duration
        weight = weights[unit[k] if k < count else weights.shape[0] - 1]
        interval = table[k]
        if adaptive:
            pass_adaptive(V, I, a, V_next, I_next, a_next, weight, level, hot, interval)
        else:
            pass_plain(V, I, V_next, I_next, weight, level, hot, interval)
        for g in range(words.size):
            if words[g] == 0:
                continue
            for m in range(GROUP * g, min(GROUP * (g + 1), N)):
                if hot[m] == 0 or not reaches(
                    V[m], I[m], a[m], level[m], interval[KEEP], interval[CAP], interval[E_ADAPT]
                ):
                    continue
                n = first + m
                end = min(t_next, ends[n])
                if t >= end:  # the last arrivals, after the end on this neuron's clock
                    level[m] = inf
                    continue
                before = own[n, RELEASE], own[n, PEAK], own[n, PEAK_TIME], own[n, PEAK_SLOPE]
                found = advance(
                    t, end, V[m], I[m], a[m], *before, neurons.parameters[n], phi_max, neurons.subtract,
                    neurons.spiking, want_peak, rows[n], 0, spikes[n], budget,
                )  # fmt: skip
                status, V_next[m], i, a_next[m], release, peak, peak_time, peak_slope, spikes[n] = found
                own[n, RELEASE], own[n, PEAK], own[n, PEAK_TIME], own[n, PEAK_SLOPE] = (
                    release, peak, peak_time, peak_slope,
                )  # fmt: skip
                if status in (BUFFER_FULL, BUDGET_EXCEEDED):
                    return status, n
                I_next[m] = i + weight[m]
                if status == FINISHED or end == ends[n]:
                    level[m] = inf
                else:
                    level[m] = watch_level(t_next, release, neurons.parameters[n, THRESHOLD], peak, want_peak)
        V, I, a, V_next, I_next, a_next = V_next, I_next, a_next, V, I, a
        t = t_next
    return DONE, 0


@kernel
def sweep_sample(
    count, arrival, unit, table, weights, neurons, ends, want_peak, adaptive, state, hot, own, spikes, rows, budget
):
    """All neurons through one sample, tile by tile; as sweep_tile, weights (tiles, M + 1, width)."""
    for tile in range(weights.shape[0]):
        status, n = sweep_tile(
            count, arrival, unit, table, weights[tile], tile, neurons, ends, want_peak, adaptive, state, hot, own,
            spikes, rows, budget,
        )  # fmt: skip
        if status != DONE:
            return status, n
    return DONE, 0


@kernel
def sample_ends(synapses, duration, ends):
    """When a sample ends on each neuron's clock: earlier by its dendritic delay."""
    for n in range(ends.size):
        ends[n] = duration - (synapses.delay[n, 0] if synapses.delay.shape[0] > 1 else 0.0)


@kernel
def local_arrivals(events, b, synapses, duration, arrival, source, unit, arrival_copy, source_copy, bins):
    """Fill arrival, source and unit with the arrivals of sample b on the clocks of the neurons; returns how many."""
    if synapses.delay.shape[0] > 1:  # dendritic
        first, count = events.offsets[b], events.offsets[b + 1] - events.offsets[b]
        for k in range(count):
            arrival[k], source[k] = events.times[first + k], first + k
    else:
        count = ordered_arrivals(
            events, b, synapses.delay[0], duration, arrival, source, arrival_copy, source_copy, bins
        )
    for k in range(count):
        unit[k] = events.units[source[k]]
    return count


@kernel
def sweep_forward(events, synapses, weights, neurons, cursor, last, buffer, filled, peaks, budget):
    """As forward.lif_forward, for delays of shape (1, 1), (1, M) or (N, 1) and time constants shared by all neurons.

    weights (tiles, M + 1, width): `by_input` of the weights. `cursor` always stands at the start of a sample. With
    dendritic delays the times in `buffer` and `peaks` are those on the neurons' own clocks.
    """
    N = neurons.parameters.shape[0]
    want_peak = peaks.value.size > 0
    adaptive = neurons.parameters[:, JUMP].any()
    longest = 0
    for b in range(cursor // N, last):
        longest = max(longest, events.offsets[b + 1] - events.offsets[b])
    arrival, arrival_copy, unit = np.empty(longest), np.empty(longest), np.empty(longest, np.int64)
    source, source_copy = np.empty(longest, np.int64), np.empty(longest, np.int64)
    bins, table, ends = np.empty(longest + 1, np.int64), np.empty((longest + 1, 6)), np.empty(N)
    state, hot = np.empty((7, weights.shape[2])), np.empty(weights.shape[2], np.uint8)
    own, spikes = np.empty((N, 4)), np.empty(N, np.int64)
    rows = np.empty((N, FIRST_ROOM, NUM_COLUMNS))
    sample_ends(synapses, neurons.duration, ends)
    for b in range(cursor // N, last):
        count = local_arrivals(
            events, b, synapses, neurons.duration, arrival, source, unit, arrival_copy, source_copy, bins
        )
        intervals(count, arrival, neurons.duration, neurons.parameters[0], adaptive, table)
        while True:
            status, n = sweep_sample(
                count, arrival, unit, table, weights, neurons, ends, want_peak, adaptive, state, hot, own, spikes,
                rows, budget,
            )  # fmt: skip
            if status != BUFFER_FULL:
                break
            rows = np.empty((N, 4 * rows.shape[1], NUM_COLUMNS))
        if status == BUDGET_EXCEEDED:
            return status, b * N + n, filled
        if filled + spikes.sum() > buffer.rows.shape[0]:
            return BUFFER_FULL, b * N, filled
        for n in range(N):
            buffer.counts[b, n] = spikes[n]
            buffer.rows[filled : filled + spikes[n]] = rows[n, : spikes[n]]
            filled += spikes[n]
            if want_peak:
                peaks.value[b, n], peaks.time[b, n] = own[n, PEAK], own[n, PEAK_TIME]
                peaks.slope[b, n] = own[n, PEAK_SLOPE]
    return DONE, last * N, filled


def by_input(weight):
    """(N, M) -> (tiles, M + 1, width): the neurons in tiles, one row an input, and one of zeros for a sample's end."""
    N, M = weight.shape
    width = min(TILE, (N + GROUP - 1) // GROUP * GROUP)
    tiles = np.zeros(((N + width - 1) // width, M + 1, width))
    for tile, rows in enumerate(tiles):
        part = weight[tile * width : (tile + 1) * width]
        rows[:M, : part.shape[0]] = part.T
    return tiles


def by_neuron(tiles, N):
    """(tiles, M + 1, width) -> (N, M): the inverse of `by_input`."""
    _, rows, width = tiles.shape
    return np.concatenate([tile[: rows - 1].T for tile in tiles])[:N]

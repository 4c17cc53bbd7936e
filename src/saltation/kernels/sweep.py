"""The forward pass, event by event, for neurons that share their order of arrivals and their time constants.

One vectorised pass over all neurons per input event tests the bound that rules out a crossing and updates the state.
Only neurons that the bound does not clear take the scalar path (`advance`). README.md, section 4.
"""

from math import exp, inf

import numpy as np

from .advance import advance
from .arrivals import arrival_times, sort_arrivals
from .crossing import ROUNDING
from .flow import flow
from .jit import kernel
from .layout import BUDGET_EXCEEDED, BUFFER_FULL, DONE, FINISHED, NUM_COLUMNS, TAU_ADAPT, TAU_MEM, TAU_SYN, THRESHOLD

# Neurons are updated in groups: small enough that looking through one for the neurons to watch is cheap, large enough
# for SIMD. The state of a group lies together: GROUP times V, then I, a, and the level that V - a must not reach.
GROUP = 16
V, I, A, LEVEL = 0, GROUP, 2 * GROUP, 3 * GROUP
BLOCK = 4 * GROUP
# What only the scalar path needs, per neuron
RELEASE, PEAK, PEAK_TIME, PEAK_SLOPE = range(4)
FIRST_ROOM = 8  # spikes of a neuron in a sample for which there is room at first


@kernel
def reaches(v, i, a, level, r, e_adapt):
    """Whether V - a may reach `level` in an interval with r = min(s/tau_mem, 1): the bound of crossing.cannot_cross."""
    rise = (i if i > 0.0 else 0.0) - v
    rise = rise * r if rise > 0.0 else 0.0
    later = a * e_adapt
    lowest = later if later < a else a
    return v + rise - lowest + ROUNDING * (abs(v) + rise + abs(a)) >= level


@kernel
def any_reaches(state, base, r, e_adapt):
    """Whether any neuron of a group may reach its level; no branches, so that it vectorises."""
    reached = False
    for j in range(base, base + GROUP):
        reached |= reaches(state[j + V], state[j + I], state[j + A], state[j + LEVEL], r, e_adapt)
    return reached


@kernel
def update(state, base, e_mem, e_syn, phi_s, e_adapt, weights, column):
    """The free flow of a group, and then the arrival of weights[column:]."""
    for j in range(GROUP):
        v, i, a = state[base + j + V], state[base + j + I], state[base + j + A]
        state[base + j + V] = v * e_mem + i * phi_s
        state[base + j + I] = i * e_syn + weights[column + j]
        state[base + j + A] = a * e_adapt


@kernel
def watch_level(n, neurons, want_peak, own, t):
    """What V - a of a neuron must not reach unnoticed; -inf, so that it is always watched, while V is held."""
    if own[n, RELEASE] > t:
        return -inf
    level = neurons.parameters[n, THRESHOLD] + (own[n, PEAK] if want_peak else 0.0)
    return level - ROUNDING * abs(level)


@kernel
def start(state, own, spikes, neurons, want_peak):
    """The state of all neurons at the start of a sample."""
    N = neurons.parameters.shape[0]
    state[:] = 0.0
    for n in range(state.size // BLOCK * GROUP):
        level = inf  # there is no such neuron
        if n < N:
            spikes[n] = 0
            own[n, RELEASE], own[n, PEAK_TIME], own[n, PEAK_SLOPE] = 0.0, 0.0, 0.0
            own[n, PEAK] = -neurons.parameters[n, THRESHOLD]
            level = watch_level(n, neurons, want_peak, own, 0.0)
        state[n // GROUP * BLOCK + LEVEL + n % GROUP] = level


@kernel
def sweep_sample(count, arrival, unit, weights, neurons, want_peak, state, own, spikes, rows, budget):
    """All neurons through one sample; returns (status, neuron).

    arrival (count,) sorted times before the end, unit (count,) their inputs, weights (M + 1, padded N) rows by input,
    the last of zeros. state (groups * BLOCK,), own (N, 4): scratch, own holds the peaks at the end. spikes (N,) and
    rows (N, room, columns) are filled. With BUFFER_FULL there was not enough room: call again with more.
    """
    N, first = neurons.parameters.shape[0], neurons.parameters[0]
    tau_mem, tau_syn, tau_adapt = first[TAU_MEM], first[TAU_SYN], first[TAU_ADAPT]
    start(state, own, spikes, neurons, want_peak)
    flat_weights = weights.reshape(-1)
    watched, after = np.empty(GROUP, np.int64), np.empty((GROUP, 4))
    t = 0.0
    for k in range(count + 1):
        t_next = arrival[k] if k < count else neurons.duration
        column = (unit[k] if k < count else weights.shape[0] - 1) * weights.shape[1]
        s = t_next - t
        e_mem, e_syn, phi_s = flow(s, tau_mem, tau_syn)
        e_adapt = exp(-s / tau_adapt)
        r = min(s / tau_mem, 1.0)
        for base in range(0, state.size, BLOCK):
            number = 0
            if any_reaches(state, base, r, e_adapt):
                for j in range(GROUP):
                    v, i, a, level = state[base + j + V], state[base + j + I], state[base + j + A], state[base + j + LEVEL]
                    if level == inf or not reaches(v, i, a, level, r, e_adapt):
                        continue
                    n = base // BLOCK * GROUP + j
                    status, v, i, a, own[n, RELEASE], own[n, PEAK], own[n, PEAK_TIME], own[n, PEAK_SLOPE], spikes[n] = (
                        advance(
                            t, t_next, v, i, a, own[n, RELEASE], own[n, PEAK], own[n, PEAK_TIME], own[n, PEAK_SLOPE],
                            neurons.parameters[n], neurons.subtract, neurons.spiking, want_peak,
                            rows[n], 0, spikes[n], budget,
                        )
                    )  # fmt: skip
                    if status == BUFFER_FULL or status == BUDGET_EXCEEDED:
                        return status, n
                    level = inf if status == FINISHED else watch_level(n, neurons, want_peak, own, t_next)
                    after[number, 0], after[number, 1], after[number, 2], after[number, 3] = v, i, a, level
                    watched[number] = j
                    number += 1
            update(state, base, e_mem, e_syn, phi_s, e_adapt, flat_weights, column)
            for m in range(number):
                j = watched[m]
                state[base + j + V] = after[m, 0]
                state[base + j + I] = after[m, 1] + flat_weights[column + j]
                state[base + j + A] = after[m, 2]
                state[base + j + LEVEL] = after[m, 3]
            column += GROUP
        t = t_next
    return DONE, 0


@kernel
def sweep_forward(events, synapses, weights, neurons, cursor, last, buffer, filled, peaks, budget):
    """As forward.lif_forward, for Synapses.delay of shape (1, 1) or (1, M) and time constants shared by all neurons.

    weights (M + 1, padded N): `by_input` of the weights. `cursor` always stands at the start of a sample.
    """
    N = neurons.parameters.shape[0]
    want_peak = peaks.value.size > 0
    longest = 0
    for b in range(cursor // N, last):
        longest = max(longest, events.offsets[b + 1] - events.offsets[b])
    arrival, arrival_copy, unit = np.empty(longest), np.empty(longest), np.empty(longest, np.int64)
    source, source_copy = np.empty(longest, np.int64), np.empty(longest, np.int64)
    bins = np.empty(longest + 1, np.int64)
    state, own, spikes = np.empty(weights.shape[1] // GROUP * BLOCK), np.empty((N, 4)), np.empty(N, np.int64)
    rows = np.empty((N, FIRST_ROOM, NUM_COLUMNS))
    for b in range(cursor // N, last):
        count = arrival_times(
            events.times, events.units, events.offsets[b], events.offsets[b + 1], synapses.delay[0], neurons.duration,
            arrival, source,
        )  # fmt: skip
        if synapses.delay.shape[1] > 1:
            sort_arrivals(count, arrival, source, arrival_copy, source_copy, bins)
        for k in range(count):
            unit[k] = events.units[source[k]]
        while True:
            status, n = sweep_sample(
                count, arrival, unit, weights, neurons, want_peak, state, own, spikes, rows, budget
            )
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


@kernel
def by_input(weight):
    """(N, M) -> (M + 1, N padded to whole groups): one row an input, and one of zeros for the end of a sample."""
    N, M = weight.shape
    rows = np.zeros((M + 1, (N + GROUP - 1) // GROUP * GROUP))
    rows[:M, :N] = weight.T
    return rows

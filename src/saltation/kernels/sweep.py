"""The forward pass, event by event, for neurons that share their order of arrivals and their time constants.

One vectorised pass over all neurons per input event tests the bound that rules out a crossing and updates the state.
Only neurons that the bound does not clear take the scalar path (`advance`). README.md, section 4.
"""

from math import exp, inf

import numpy as np

from .advance import advance
from .arrivals import ordered_arrivals
from .crossing import ROUNDING
from .flow import flow
from .jit import kernel
from .layout import BUDGET_EXCEEDED, BUFFER_FULL, DONE, FINISHED, NUM_COLUMNS, TAU_ADAPT, TAU_MEM, TAU_SYN, THRESHOLD

# The bound is tested group by group: small enough that looking through one for the neurons to watch is cheap, large
# enough for SIMD.
GROUP = 32
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
def any_reaches(V, I, a, level, first, r, e_adapt):
    """Whether any neuron of the group from `first` on may reach its level; no branches, so that it vectorises."""
    reached = False
    for j in range(GROUP):
        n = np.uint64(first) + np.uint64(j)  # unsigned: no test for an index from the end
        reached |= reaches(V[n], I[n], a[n], level[n], r, e_adapt)
    return reached


@kernel
def update(V, I, a, e_mem, e_syn, phi_s, e_adapt, weight):
    """The free flow of all neurons, and then the arrival of weight (padded N,)."""
    for n in range(V.size):
        v, i = V[n], I[n]
        V[n] = v * e_mem + i * phi_s
        I[n] = i * e_syn + weight[n]
        a[n] *= e_adapt


@kernel
def watch_level(n, neurons, want_peak, own, t):
    """What V - a of a neuron must not reach unnoticed; -inf, so that it is always watched, while V is held."""
    if own[n, RELEASE] > t:
        return -inf
    level = neurons.parameters[n, THRESHOLD] + (own[n, PEAK] if want_peak else 0.0)
    return level - ROUNDING * abs(level)


@kernel
def sweep_sample(count, arrival, unit, weights, neurons, want_peak, state, own, spikes, rows, budget):
    """All neurons through one sample; returns (status, neuron).

    arrival (count,) sorted times before the end, unit (count,) their inputs, weights (M + 1, padded N) rows by input,
    the last of zeros. state (5, padded N), own (N, 4): scratch, own holds the peaks at the end. spikes (N,) and
    rows (N, room, columns) are filled. With BUFFER_FULL there was not enough room: call again with more.
    """
    N, first = neurons.parameters.shape[0], neurons.parameters[0]
    tau_mem, tau_syn, tau_adapt = first[TAU_MEM], first[TAU_SYN], first[TAU_ADAPT]
    V, I, a, level, watched = state[0], state[1], state[2], state[3], state[4]
    V[:], I[:], a[:], level[:] = 0.0, 0.0, 0.0, inf
    spikes[:] = 0
    own[:] = 0.0
    for n in range(N):
        own[n, PEAK] = -neurons.parameters[n, THRESHOLD]
        level[n] = watch_level(n, neurons, want_peak, own, 0.0)
    after = np.empty((N, 3))
    t = 0.0
    for k in range(count + 1):
        t_next = arrival[k] if k < count else neurons.duration
        weight = weights[unit[k] if k < count else weights.shape[0] - 1]
        s = t_next - t
        e_mem, e_syn, phi_s = flow(s, tau_mem, tau_syn)
        e_adapt = exp(-s / tau_adapt)
        r = min(s / tau_mem, 1.0)
        number = 0
        for group in range(0, V.size, GROUP):
            if not any_reaches(V, I, a, level, group, r, e_adapt):
                continue
            for n in range(group, min(group + GROUP, N)):
                if level[n] == inf or not reaches(V[n], I[n], a[n], level[n], r, e_adapt):
                    continue
                before = own[n, RELEASE], own[n, PEAK], own[n, PEAK_TIME], own[n, PEAK_SLOPE]
                found = advance(
                    t, t_next, V[n], I[n], a[n], *before, neurons.parameters[n], neurons.subtract, neurons.spiking,
                    want_peak, rows[n], 0, spikes[n], budget,
                )  # fmt: skip
                status, v, i, adaptation = found[:4]
                own[n, RELEASE], own[n, PEAK], own[n, PEAK_TIME], own[n, PEAK_SLOPE], spikes[n] = found[4:]
                if status in (BUFFER_FULL, BUDGET_EXCEEDED):
                    return status, n
                level[n] = inf if status == FINISHED else watch_level(n, neurons, want_peak, own, t_next)
                after[number, 0], after[number, 1], after[number, 2] = v, i, adaptation
                watched[number] = n
                number += 1
        update(V, I, a, e_mem, e_syn, phi_s, e_adapt, weight)
        for m in range(number):
            n = int(watched[m])
            V[n], I[n], a[n] = after[m, 0], after[m, 1] + weight[n], after[m, 2]
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
    state, own, spikes = np.empty((5, weights.shape[1])), np.empty((N, 4)), np.empty(N, np.int64)
    rows = np.empty((N, FIRST_ROOM, NUM_COLUMNS))
    for b in range(cursor // N, last):
        count = ordered_arrivals(
            events, b, synapses.delay[0], neurons.duration, arrival, source, arrival_copy, source_copy, bins
        )
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

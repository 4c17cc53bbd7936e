"""The forward pass with recurrent connections, event by event, where all neurons share the order of arrivals.

As sweep.py, but all tiles go through an interval together. If a spike in it has an effect before its end, the interval
is cut at the first such effect and done again, and the spikes' arrivals queue up with those of the inputs.
README.md, section 4.
"""

from math import inf
from typing import NamedTuple

import numpy as np

from .advance import advance
from .arrivals import longest_sample, store_spikes
from .crossing import largest_phi, reaches
from .jit import kernel
from .layout import (
    BUDGET_EXCEEDED,
    BUFFER_FULL,
    DONE,
    FINISHED,
    FIRED,
    JUMP,
    NUM_COLUMNS,
    TAU_MEM,
    TAU_SYN,
    THRESHOLD,
    TIME,
)
from .passes import (
    E_ADAPT,
    GROUP,
    LEVEL,
    NUM_SHARED,
    STATE_A,
    STATE_B,
    STATE_SIZE,
    one_pass,
    set_interval,
)
from .recurrent import FIRST_QUEUE, FIRST_ROOM, NO_BUDGET, larger, new_queue, push
from .sweep import LONG, PEAK, PEAK_SLOPE, PEAK_TIME, RELEASE, local_arrivals, share_taus, watch_level
from .tile import FACTORS_SIZE, OWN_ADAPT, PHI_MAX, RATE_MEM, TILE, aligned, set_rates

# What a trial run found of a neuron: its state, and when it fired, or nan.
T_V, T_I, T_A, T_RELEASE, T_PEAK, T_PEAK_TIME, T_PEAK_SLOPE, T_FIRED = range(8)
NUM_TRIAL = 8


class Scratch(NamedTuple):
    """State of a sample: x (tiles, STATE_SIZE), factors (tiles, FACTORS_SIZE), hot (tiles, TILE), own (N, 4), trial
    (N, NUM_TRIAL), spikes (N,), last_row (N,): of each neuron's last spike, watched (N,): neurons of an interval.
    """

    x: np.ndarray
    factors: np.ndarray
    hot: np.ndarray
    own: np.ndarray
    trial: np.ndarray
    spikes: np.ndarray
    last_row: np.ndarray
    watched: np.ndarray


@kernel
def new_scratch(N, tiles):
    """Room for N neurons."""
    return Scratch(
        aligned(tiles * STATE_SIZE).reshape((tiles, STATE_SIZE)),
        aligned(tiles * FACTORS_SIZE).reshape((tiles, FACTORS_SIZE)),
        np.empty((tiles, TILE), np.uint8),
        np.empty((N, 4)),
        np.empty((N, NUM_TRIAL)),
        np.empty(N, np.int64),
        np.empty(N, np.int64),
        np.empty(N, np.int64),
    )


@kernel
def reset(neurons, want_peak, alike, scratch):
    """All neurons at the start of a sample."""
    N, x = neurons.parameters.shape[0], scratch.x
    scratch.spikes[:], scratch.last_row[:], scratch.own[:] = 0, 0, 0.0
    x[:] = 0.0
    x[:, LEVEL:] = inf
    for tile in range(x.shape[0]):
        set_rates(neurons.parameters[tile * TILE : min((tile + 1) * TILE, N)], alike, scratch.factors[tile])
    for n in range(N):
        threshold = neurons.parameters[n, THRESHOLD]
        scratch.own[n, PEAK] = -threshold
        x[n // TILE, LEVEL + n % TILE] = watch_level(0.0, 0.0, threshold, -threshold, True, want_peak)


@kernel
def pass_all(k, s, weights, row, interval, adaptive, alike, scratch):
    """Interval k, of length s, of all neurons, then the arrival of weights[:, row]. Returns whether any may have
    crossed.
    """
    any_hot = False
    for tile in range(weights.shape[0]):
        any_hot |= one_pass(
            k, s, scratch.x[tile], weights[tile, row], scratch.hot[tile], interval, scratch.factors[tile], adaptive,
            alike,
        )  # fmt: skip
    return any_hot


@kernel
def watch(s, before, interval, alike, N, scratch):
    """Which neurons may have crossed: fills scratch.watched and returns how many."""
    count = 0
    for tile in range(scratch.x.shape[0]):
        words, x, factors = scratch.hot[tile].view(np.uint64), scratch.x[tile], scratch.factors[tile]
        for g in range(words.size):
            if words[g] == 0:
                continue
            for m in range(GROUP * g, min(GROUP * (g + 1), N - tile * TILE)):
                if scratch.hot[tile, m] == 0:
                    continue
                V, I, a = x[before + m], x[before + TILE + m], x[before + 2 * TILE + m]
                decay = s * factors[RATE_MEM + m]
                e_adapt = interval[E_ADAPT] if alike else factors[OWN_ADAPT + m]
                if reaches(V, I, a, x[LEVEL + m], max(1.0 - decay, 0.0), min(decay, factors[PHI_MAX + m]), e_adapt):
                    scratch.watched[count] = tile * TILE + m
                    count += 1
    return count


@kernel
def try_neuron(n, t, t_end, before, neurons, want_peak, until_spike, log, next_row, budget, scratch):
    """Neuron n alone from t to t_end, or to right after its first spike; fills trial[n]. Returns (status, spikes)."""
    tile, m, own, trial = n // TILE, n % TILE, scratch.own[n], scratch.trial[n]
    x = scratch.x[tile]
    status, V, I, a, release, peak, peak_time, peak_slope, number = advance(
        t, t_end, x[before + m], x[before + TILE + m], x[before + 2 * TILE + m], own[RELEASE], own[PEAK],
        own[PEAK_TIME], own[PEAK_SLOPE], neurons.parameters[n], scratch.factors[tile, PHI_MAX + m], neurons.subtract,
        neurons.spiking, want_peak, until_spike, log, scratch.last_row[n], next_row, scratch.spikes[n], budget,
    )  # fmt: skip
    trial[T_V], trial[T_I], trial[T_A], trial[T_RELEASE] = V, I, a, inf if status == FINISHED else release
    trial[T_PEAK], trial[T_PEAK_TIME], trial[T_PEAK_SLOPE] = peak, peak_time, peak_slope
    trial[T_FIRED] = log[next_row, TIME] if status in (FIRED, FINISHED) else inf
    return status, number


@kernel
def adopt(n, t, t_end, before, after, weight, number, neurons, want_peak, scratch):
    """Make what `try_neuron` found the state of neuron n at t_end; `weight` arrives then."""
    tile, m, own, trial = n // TILE, n % TILE, scratch.own[n], scratch.trial[n]
    x = scratch.x[tile]
    if number > scratch.spikes[n] or own[RELEASE] > t:  # else the pass was right, whether looked at or not
        x[after + m], x[after + TILE + m], x[after + 2 * TILE + m] = trial[T_V], trial[T_I] + weight, trial[T_A]
    own[RELEASE], own[PEAK] = trial[T_RELEASE], trial[T_PEAK]
    own[PEAK_TIME], own[PEAK_SLOPE] = trial[T_PEAK_TIME], trial[T_PEAK_SLOPE]
    scratch.spikes[n] = number
    if own[RELEASE] == inf and not want_peak:
        x[LEVEL + m] = inf  # it cannot spike again
    else:
        threshold = neurons.parameters[n, THRESHOLD]
        x[LEVEL + m] = watch_level(t_end, own[RELEASE], threshold, own[PEAK], True, want_peak)


@kernel
def sweep_recurrent_sample(
    count, arrival, unit, inputs, recurrent_delay, weights, neurons, want_peak, adaptive, alike, scratch, log, author,
    budget,
):  # fmt: skip
    """All neurons through one sample; returns (status, neuron, number of spikes).

    arrival, unit (count,): of the inputs; inputs: their number; weights (tiles, inputs + N + 1, TILE): rows of the
    inputs, of the neurons, of zeros. Rows of spikes go to log, author says whose they are; the last N rows of the log
    are scratch. With BUFFER_FULL there was not enough room: call again with more.
    """
    N, duration, nothing = neurons.parameters.shape[0], neurons.duration, weights.shape[1] - 1
    room, length, stride = author.size, 0, 1 if recurrent_delay.size > 1 else 0
    queue, interval = new_queue(1, FIRST_QUEUE), np.empty(NUM_SHARED)
    phi_max = largest_phi(neurons.parameters[0, TAU_MEM], neurons.parameters[0, TAU_SYN])
    reset(neurons, want_peak, alike, scratch)
    largest_rate = scratch.factors[:, RATE_MEM : RATE_MEM + TILE].max()
    t, k, position = 0.0, 0, 0
    while True:
        t_in = arrival[position] if position < count else inf
        t_own = queue.time[0, queue.head[0]] if queue.head[0] < queue.tail[0] else inf
        t_end, row = min(t_in, t_own, duration), nothing
        if t_end < duration:
            row = unit[position] if t_in <= t_own else inputs + queue.source[0, queue.head[0]]
        before, after = (STATE_A, STATE_B) if k % 2 == 0 else (STATE_B, STATE_A)
        set_interval(t_end - t, neurons.parameters[0], adaptive, phi_max, interval)
        any_hot = pass_all(k, t_end - t, weights, row, interval, adaptive, alike, scratch)
        if (t_end - t) * largest_rate > LONG:
            scratch.hot[:], any_hot = True, True
        watched = watch(t_end - t, before, interval, alike, N, scratch) if any_hot else 0
        cut = t_end
        for w in range(watched):
            n = scratch.watched[w]
            try_neuron(n, t, t_end, before, neurons, want_peak, True, log, room + w, NO_BUDGET, scratch)
            cut = min(cut, scratch.trial[n, T_FIRED] + recurrent_delay[n * stride])
        if cut < t_end:  # a spike has an effect before the next arrival
            row = nothing
            set_interval(cut - t, neurons.parameters[0], adaptive, phi_max, interval)
            pass_all(k, cut - t, weights, row, interval, adaptive, alike, scratch)
        first_new = length
        for w in range(watched):
            n = scratch.watched[w]
            if length == room:
                return BUFFER_FULL, n, length
            number = scratch.spikes[n]
            if scratch.trial[n, T_FIRED] == cut:
                number += 1
                log[length] = log[room + w]
                if number > budget:
                    return BUDGET_EXCEEDED, n, length
            elif scratch.trial[n, T_FIRED] < inf or cut < t_end:
                status, number = try_neuron(
                    n, t, cut, before, neurons, want_peak, False, log[:room], length, budget, scratch
                )
                if status in (BUFFER_FULL, BUDGET_EXCEEDED):
                    return status, n, length
            for _ in range(number - scratch.spikes[n]):
                author[length], scratch.last_row[n] = n, length
                length += 1
            weight = weights[n // TILE, row, n % TILE]
            adopt(n, t, cut, before, after, weight, number, neurons, want_peak, scratch)
        if row != nothing:
            if t_in <= t_own:
                position += 1
            else:
                queue.head[0] += 1
        for new in range(first_new, length):
            time = log[new, TIME] + recurrent_delay[author[new] * stride]
            if time < duration:
                if queue.tail[0] - queue.head[0] == queue.time.shape[1]:
                    queue = larger(queue)
                push(queue, 0, time, author[new])
        if cut == duration and t_end == duration:
            return DONE, 0, length
        t, k = cut, k + 1


@kernel
def recurrent_sweep_forward(events, synapses, recurrent, weights, neurons, cursor, last, buffer, filled, peaks, budget):
    """As recurrent.recurrent_forward, for delays of shape (1, 1) or (1, M), of the inputs and of the layer.

    weights: `sweep.by_input` of the weights of the inputs and of the layer, side by side.
    """
    N = neurons.parameters.shape[0]
    want_peak = peaks.value.size > 0
    adaptive, alike = neurons.parameters[:, JUMP].any(), share_taus(neurons.parameters)
    longest = longest_sample(events, cursor // N, last)
    arrival, arrival_copy, unit = np.empty(longest), np.empty(longest), np.empty(longest, np.int64)
    source, source_copy = np.empty(longest, np.int64), np.empty(longest, np.int64)
    bins, start = np.empty(longest + 1, np.int64), np.empty(N + 1, np.int64)
    scratch = new_scratch(N, weights.shape[0])
    room = N * FIRST_ROOM
    log, author = np.empty((room + N, NUM_COLUMNS)), np.empty(room, np.int64)
    for b in range(cursor // N, last):
        count = local_arrivals(
            events, b, synapses, neurons.duration, arrival, source, unit, arrival_copy, source_copy, bins
        )
        while True:
            status, n, length = sweep_recurrent_sample(
                count, arrival, unit, synapses.weight.shape[1], recurrent.delay[0], weights, neurons, want_peak,
                adaptive, alike, scratch, log, author, budget,
            )  # fmt: skip
            if status != BUFFER_FULL:
                break
            room *= 4
            log, author = np.empty((room + N, NUM_COLUMNS)), np.empty(room, np.int64)
        if status == BUDGET_EXCEEDED:
            return status, b * N + n, filled
        if filled + length > buffer.rows.shape[0]:
            return BUFFER_FULL, b * N, filled
        filled = store_spikes(b, length, log, author, scratch.spikes, start, buffer, filled)
        if want_peak:
            own = scratch.own
            peaks.value[b], peaks.time[b], peaks.slope[b] = own[:, PEAK], own[:, PEAK_TIME], own[:, PEAK_SLOPE]
    return DONE, last * N, filled

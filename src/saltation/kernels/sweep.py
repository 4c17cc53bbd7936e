"""The forward pass, event by event, for neurons that share their order of arrivals.

With dendritic delays every neuron keeps a clock of its own, late by its delay: on it the arrivals are the input spikes
themselves, the sample ends earlier, and spike times are local.

One vectorised pass over all neurons per input event updates the state and tests a bound that rules out a crossing.
Only neurons that the bound does not clear take the scalar path (`advance`). README.md, section 4.
"""

from math import exp, inf

import numpy as np

from .advance import advance
from .arrivals import longest_sample, ordered_arrivals, store_spikes
from .crossing import ROUNDING, largest_phi, reaches, watched
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
from .tile import (
    FACTORS_SIZE,
    OWN_ADAPT,
    OWN_MEM,
    OWN_PHI,
    OWN_SYN,
    PHI_MAX,
    RATE_MEM,
    TILE,
    aligned,
    own_flow,
    set_rates,
)

# After an interval longer than so many tau_mem, V at its end says nothing about V before: all are looked at.
LONG = 300.0
# The flags of one group make one 64-bit word.
GROUP = 8
# The state of a tile: V, I, a; the same after an interval (the two change places with every interval); levels; and the
# highest V at the end of an interval.
STATE_A, STATE_B, LEVEL, BEST, STATE_SIZE = 0, 3 * TILE, 6 * TILE, 7 * TILE, 8 * TILE
# Columns of the table of intervals
E_MEM, E_SYN, PHI, E_ADAPT, CAP = range(5)
NUM_SHARED = 5
# What only the scalar path needs, per neuron
RELEASE, PEAK, PEAK_TIME, PEAK_SLOPE = range(4)
FIRST_ROOM = 64  # spikes of a neuron in a sample for which there is room at first, on average


def _passes(before, after):
    """pass_plain and pass_adaptive for the state at offset `before` and the new one at offset `after`."""
    V, I, a = before, before + TILE, before + 2 * TILE
    V_next, I_next, a_next = after, after + TILE, after + 2 * TILE

    @kernel
    def pass_plain(x, weight, hot, interval):
        """The free flow of all neurons over an interval of length s, then the arrival of weight (TILE,).

        x (STATE_SIZE,). hot[n]: V of neuron n may have reached its level within the interval; returns whether any has.
        No branches, so that it vectorises.
        Without adaptation V has one maximum at most. If V falls at the end of the interval, V > I there, the maximum
        lies inside, where V = I > 0, and from there V decays at most by e^{-s/tau_mem}: if it reached the level, V grow
        is above it at the end, with grow = e^{s/tau_mem}. If V still rises, its value at the end is the highest.
        """
        e_mem, e_syn, phi_s = interval[E_MEM], interval[E_SYN], interval[PHI]
        grow = (1.0 + ROUNDING) / e_mem if e_mem > 0.0 else inf
        any_hot = False
        for n in range(TILE):
            v, i = x[V + n] * e_mem + x[I + n] * phi_s, x[I + n] * e_syn
            x[V_next + n] = v
            x[I_next + n] = i + weight[n]
            reached = v * (grow if i < v else 1.0 + ROUNDING) > x[LEVEL + n]
            hot[n] = reached
            any_hot |= reached
        return any_hot

    @kernel
    def pass_adaptive(x, weight, hot, interval):
        """As pass_plain, with adaptation: V - a may have reached the level.

        At such an instant V >= L = level + min(a, a_next); from there V decays at most by e^{-s/tau_mem} (not at all
        below 0), and a negative current pulls it down by at most -I cap, cap >= phi.
        """
        e_mem, e_syn, phi_s, e_adapt = interval[E_MEM], interval[E_SYN], interval[PHI], interval[E_ADAPT]
        cap = interval[CAP]
        any_hot = False
        for n in range(TILE):
            v, i, a_before = x[V + n], x[I + n], x[a + n]
            v_after, a_after = v * e_mem + i * phi_s, a_before * e_adapt
            x[V_next + n] = v_after
            x[I_next + n] = i * e_syn + weight[n]
            x[a_next + n] = a_after
            L = x[LEVEL + n] + (a_after if a_after < a_before else a_before)
            decayed = L * e_mem if L > 0.0 else L
            pull = -i * cap if i < 0.0 else 0.0
            reached = v_after + pull + ROUNDING * (abs(v) + abs(i) * cap + abs(a_before)) >= decayed
            hot[n] = reached
            any_hot |= reached
        return any_hot

    @kernel
    def pass_own(s, x, weight, hot, factors):
        """As pass_adaptive, for neurons with time constants of their own; factors: `tile.own_flow` of s."""
        any_hot = False
        for n in range(TILE):
            v, i, a_before = x[V + n], x[I + n], x[a + n]
            e_mem, cap = factors[OWN_MEM + n], min(s * factors[RATE_MEM + n], factors[PHI_MAX + n])
            v_after, a_after = v * e_mem + i * factors[OWN_PHI + n], a_before * factors[OWN_ADAPT + n]
            x[V_next + n] = v_after
            x[I_next + n] = i * factors[OWN_SYN + n] + weight[n]
            x[a_next + n] = a_after
            L = x[LEVEL + n] + (a_after if a_after < a_before else a_before)
            decayed = L * e_mem if L > 0.0 else L
            pull = -i * cap if i < 0.0 else 0.0
            reached = v_after + pull + ROUNDING * (abs(v) + abs(i) * cap + abs(a_before)) >= decayed
            hot[n] = reached
            any_hot |= reached
        return any_hot

    return pass_plain, pass_adaptive, pass_own


plain_A_to_B, adaptive_A_to_B, own_A_to_B = _passes(STATE_A, STATE_B)
plain_B_to_A, adaptive_B_to_A, own_B_to_A = _passes(STATE_B, STATE_A)


@kernel
def share_taus(parameters):
    """Whether all neurons have the same time constants."""
    taus = parameters[:, : TAU_ADAPT + 1]
    return (taus == taus[0]).all()


@kernel
def watch_level(t, release, threshold, peak, spiking, want_peak):
    """What V - a of a neuron must not reach unnoticed; -inf, so that it is always watched, while V is held."""
    if release > t:
        return -inf
    level = watched(threshold, peak, spiking, want_peak)
    return level - ROUNDING * abs(level)


@kernel
def set_interval(s, neuron, adaptive, phi_max, row):
    """What neurons alike share of an interval of length s; row (NUM_SHARED,)."""
    row[E_MEM], row[E_SYN], row[PHI] = flow(s, neuron[TAU_MEM], neuron[TAU_SYN])
    row[E_ADAPT] = exp(-s / neuron[TAU_ADAPT]) if adaptive else 1.0
    row[CAP] = min(s / neuron[TAU_MEM], phi_max)


@kernel
def intervals(count, arrival, duration, neuron, adaptive, table):
    """The rows of table (count + 1, NUM_SHARED), one for each interval from one arrival to the next."""
    phi_max = largest_phi(neuron[TAU_MEM], neuron[TAU_SYN])
    t = 0.0
    for k in range(count + 1):
        t_next = arrival[k] if k < count else duration
        set_interval(t_next - t, neuron, adaptive, phi_max, table[k])
        t = t_next


@kernel
def one_pass(k, s, x, weight, hot, interval, factors, adaptive, alike):
    """The pass that fits, over interval k of length s; the state is at A before even k."""
    if not alike:
        own_flow(s, factors, factors.view(np.int64), adaptive)
        if k % 2 == 0:
            return own_A_to_B(s, x, weight, hot, factors)
        return own_B_to_A(s, x, weight, hot, factors)
    if adaptive:
        if k % 2 == 0:
            return adaptive_A_to_B(x, weight, hot, interval)
        return adaptive_B_to_A(x, weight, hot, interval)
    if k % 2 == 0:
        return plain_A_to_B(x, weight, hot, interval)
    return plain_B_to_A(x, weight, hot, interval)


@kernel
def highest_ends(count, arrival, unit, table, weights, duration, adaptive, alike, x, factors, hot):
    """x[BEST:]: the largest V at the end of an interval, if no neuron spikes. The peak is not lower, so that later only
    the few intervals that may hold a higher one are looked at.
    """
    t = 0.0
    for k in range(count + 1):
        t_next = arrival[k] if k < count else duration
        weight = weights[unit[k] if k < count else weights.shape[0] - 1]
        one_pass(k, t_next - t, x, weight, hot, table[k], factors, adaptive, alike)
        after = STATE_B if k % 2 == 0 else STATE_A
        for n in range(TILE):
            V, best = x[after + n], x[BEST + n]
            x[BEST + n] = V if best < V else best
        t = t_next


@kernel
def sweep_tile(
    count, arrival, unit, table, weights, first, neurons, ends, want_peak, adaptive, alike, x, factors, hot, own,
    spikes, log, author, length, budget,
):  # fmt: skip
    """The neurons of one tile, from `first` on, through one sample; returns (status, neuron, length).

    arrival (count,) sorted times, unit (count,) their inputs, table: their `intervals`, weights (M + 1, TILE) the rows
    of the tile, the last of zeros. ends (N,): when the sample ends on each neuron's clock. adaptive: whether a can
    differ from 0. alike: whether the neurons share their time constants. x (STATE_SIZE,), factors (FACTORS_SIZE,), hot
    (TILE,): scratch. own (N, 4) and spikes (N,) are filled; rows of spikes are appended to log (room, columns), author
    (room,) says whose they are, `length` of them are there.
    """
    N = min(TILE, neurons.parameters.shape[0] - first)
    set_rates(neurons.parameters[first : first + N], alike, factors)
    largest_rate = factors[RATE_MEM : RATE_MEM + N].max()
    words = hot.view(np.uint64)
    last_row = np.zeros(N, np.int64)
    x[:] = 0.0
    if want_peak and not neurons.spiking and (ends == neurons.duration).all():
        highest_ends(count, arrival, unit, table, weights, neurons.duration, adaptive, alike, x, factors, hot)
    x[:LEVEL], x[LEVEL:BEST] = 0.0, inf
    for m in range(N):
        n = first + m
        threshold = neurons.parameters[n, THRESHOLD]
        spikes[n], peak = 0, x[BEST + m] * (1.0 - ROUNDING) - threshold
        own[n, RELEASE], own[n, PEAK], own[n, PEAK_TIME], own[n, PEAK_SLOPE] = 0.0, peak, 0.0, 0.0
        x[LEVEL + m] = watch_level(0.0, 0.0, threshold, peak, neurons.spiking, want_peak)
    t = 0.0
    for k in range(count + 1):
        t_next = arrival[k] if k < count else neurons.duration
        weight = weights[unit[k] if k < count else weights.shape[0] - 1]
        before, after = (STATE_A, STATE_B) if k % 2 == 0 else (STATE_B, STATE_A)
        interval = table[k]
        if adaptive or not alike:
            any_hot = one_pass(k, t_next - t, x, weight, hot, interval, factors, adaptive, alike)
        elif k % 2 == 0:  # the fastest pass, where a call more would show
            any_hot = plain_A_to_B(x, weight, hot, interval)
        else:
            any_hot = plain_B_to_A(x, weight, hot, interval)
        if (t_next - t) * largest_rate > LONG:
            hot[:] = True
            any_hot = True
        for g in range(words.size if any_hot else 0):
            if words[g] == 0:
                continue
            for m in range(GROUP * g, min(GROUP * (g + 1), N)):
                if hot[m] == 0:
                    continue
                V, I, a = x[before + m], x[before + TILE + m], x[before + 2 * TILE + m]
                phi_max, decay = factors[PHI_MAX + m], (t_next - t) * factors[RATE_MEM + m]
                e_adapt = interval[E_ADAPT] if alike else factors[OWN_ADAPT + m]
                if not reaches(V, I, a, x[LEVEL + m], max(1.0 - decay, 0.0), min(decay, phi_max), e_adapt):
                    continue
                n = first + m
                end = min(t_next, ends[n])
                if t >= ends[n]:  # the last arrivals, after the end on this neuron's clock
                    x[LEVEL + m] = inf
                    continue
                status, V, I, a, release, peak, peak_time, peak_slope, number = advance(
                    t, end, V, I, a, own[n, RELEASE], own[n, PEAK], own[n, PEAK_TIME], own[n, PEAK_SLOPE],
                    neurons.parameters[n], phi_max, neurons.subtract, neurons.spiking, want_peak, False, log,
                    last_row[m], length, spikes[n], budget,
                )  # fmt: skip
                if status in (BUFFER_FULL, BUDGET_EXCEEDED):
                    return status, n, length
                if number > spikes[n] or own[n, RELEASE] > t:  # else the pass was right, whether looked at or not
                    x[after + m], x[after + TILE + m], x[after + 2 * TILE + m] = V, I + weight[m], a
                own[n, RELEASE], own[n, PEAK], own[n, PEAK_TIME], own[n, PEAK_SLOPE] = (
                    release, peak, peak_time, peak_slope,
                )  # fmt: skip
                for _ in range(number - spikes[n]):
                    author[length], last_row[m] = n, length
                    length += 1
                spikes[n] = number
                if status == FINISHED or end == ends[n]:
                    x[LEVEL + m] = inf
                else:
                    threshold = neurons.parameters[n, THRESHOLD]
                    x[LEVEL + m] = watch_level(t_next, release, threshold, peak, neurons.spiking, want_peak)
        t = t_next
    return DONE, 0, length


@kernel
def sweep_sample(
    count, arrival, unit, table, weights, neurons, ends, want_peak, adaptive, alike, x, factors, hot, own, spikes, log,
    author, budget,
):  # fmt: skip
    """All neurons through one sample, tile by tile; as sweep_tile, weights (tiles, M + 1, TILE).

    With BUFFER_FULL there was not enough room in the log: call again with more.
    """
    length = 0
    for tile in range(weights.shape[0]):
        status, n, length = sweep_tile(
            count, arrival, unit, table, weights[tile], tile * TILE, neurons, ends, want_peak, adaptive, alike,
            x, factors, hot, own, spikes, log, author, length, budget,
        )  # fmt: skip
        if status != DONE:
            return status, n, length
    return DONE, 0, length


@kernel
def sample_ends(synapses, duration, ends):
    """When a sample ends on each neuron's clock: earlier by its dendritic delay."""
    for n in range(ends.size):
        ends[n] = duration - (synapses.delay[n, 0] if synapses.delay.shape[0] > 1 else 0.0)


@kernel
def local_arrivals(events, b, synapses, duration, arrival, source, unit, arrival_copy, source_copy, bins):
    """Fill arrival, source and unit with the arrivals of sample b on the clocks of the neurons; returns how many."""
    row = synapses.delay[0] if synapses.delay.shape[0] == 1 else np.zeros(1)  # dendritic: the clock has the delay
    count = ordered_arrivals(events, b, row, duration, arrival, source, arrival_copy, source_copy, bins)
    for k in range(count):
        unit[k] = events.units[source[k]]
    return count


@kernel
def sweep_forward(events, synapses, weights, neurons, cursor, last, buffer, filled, peaks, budget):
    """As forward.lif_forward, for delays of shape (1, 1), (1, M) or (N, 1).

    weights (tiles, M + 1, TILE): `by_input` of the weights. `cursor` always stands at the start of a sample. With
    dendritic delays the times in `buffer` and `peaks` are those on the neurons' own clocks.
    """
    N = neurons.parameters.shape[0]
    want_peak = peaks.value.size > 0
    adaptive, alike = neurons.parameters[:, JUMP].any(), share_taus(neurons.parameters)
    longest = longest_sample(events, cursor // N, last)
    arrival, arrival_copy, unit = np.empty(longest), np.empty(longest), np.empty(longest, np.int64)
    source, source_copy = np.empty(longest, np.int64), np.empty(longest, np.int64)
    bins, table, ends = np.empty(longest + 1, np.int64), np.empty((longest + 1, NUM_SHARED)), np.empty(N)
    x, factors, hot = aligned(STATE_SIZE), aligned(FACTORS_SIZE), np.empty(TILE, np.uint8)
    own, spikes, start = np.empty((N, 4)), np.empty(N, np.int64), np.empty(N + 1, np.int64)
    room = N * FIRST_ROOM
    log, author = np.empty((room, NUM_COLUMNS)), np.empty(room, np.int64)
    sample_ends(synapses, neurons.duration, ends)
    for b in range(cursor // N, last):
        count = local_arrivals(
            events, b, synapses, neurons.duration, arrival, source, unit, arrival_copy, source_copy, bins
        )
        if alike:
            intervals(count, arrival, neurons.duration, neurons.parameters[0], adaptive, table)
        while True:
            status, n, length = sweep_sample(
                count, arrival, unit, table, weights, neurons, ends, want_peak, adaptive, alike, x, factors, hot, own,
                spikes, log, author, budget,
            )  # fmt: skip
            if status != BUFFER_FULL:
                break
            room *= 4
            log, author = np.empty((room, NUM_COLUMNS)), np.empty(room, np.int64)
        if status == BUDGET_EXCEEDED:
            return status, b * N + n, filled
        if filled + length > buffer.rows.shape[0]:
            return BUFFER_FULL, b * N, filled
        filled = store_spikes(b, length, log, author, spikes, start, buffer, filled)
        if want_peak:
            peaks.value[b], peaks.time[b], peaks.slope[b] = own[:, PEAK], own[:, PEAK_TIME], own[:, PEAK_SLOPE]
    return DONE, last * N, filled


def by_input(weight):
    """(N, M) -> (tiles, M + 1, TILE): the neurons in tiles, one row an input, and one of zeros for a sample's end."""
    N, M = weight.shape
    shape = ((N + TILE - 1) // TILE, M + 1, TILE)
    tiles = aligned(shape[0] * shape[1] * shape[2]).reshape(shape)
    tiles[:, M] = 0.0
    for tile, rows in enumerate(tiles):
        part = weight[tile * TILE : (tile + 1) * TILE]
        rows[:M, : part.shape[0]] = part.T
        rows[:M, part.shape[0] :] = 0.0
    return tiles


def by_neuron(tiles, N):
    """(tiles, M + 1, TILE) -> (N, M): the inverse of `by_input`."""
    return np.concatenate([tile[:-1].T for tile in tiles])[:N]

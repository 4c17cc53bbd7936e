"""The forward pass with synaptic delays, neuron by neuron and bin by bin (README.md, section 4).

The arrivals of a bin are summed as they come. A bound on the sum tells whether the neuron could spike in the bin; only
then are the bin's arrivals put in order and gone through one by one.
"""

from math import exp, inf

import numpy as np

from .advance import State, no_ghost
from .arrivals import longest_sample, sort_arrivals
from .bin_loops import NEWEST, NUM_SUMS, POSITIVE, S_MEM, S_SYN, sum_events
from .bins import D_MEM, D_OFFSET, D_SYN, group_by_source, new_sources
from .crossing import ROUNDING, largest_phi, reaches, watched
from .flow import flow
from .jit import kernel
from .layout import BUDGET_EXCEEDED, BUFFER_FULL, DONE, JUMP, TAU_ADAPT, THRESHOLD
from .models import Tally, single
from .neuron_major import walk


@kernel
def sum_bins(sources, weight, delay_bin, delay_table, grid, sums, older):
    """Sum the arrivals at one neuron by bin, and chain them: see bin_loops.py."""
    for i in range(weight.size):
        first, stop, w = sources.start[i], sources.start[i + 1], weight[i]
        if first < stop:
            limit = grid.h - delay_table[i, D_OFFSET]  # two offsets make one more bin
            sum_events(
                first, stop, delay_bin[i], limit, w * delay_table[i, D_MEM], w * delay_table[i, D_SYN], max(w, 0.0),
                grid.keep, sources.bin, sources.table, sums, older,
            )  # fmt: skip


@kernel
def collect(p, older, sources, events, weight, delay, t, t_end, arrival, source, scratch, current):
    """The arrivals of one bin from the chain that starts with number p, in order; returns how many."""
    count = 0
    while p > 0:
        k = sources.event[p - 1]
        arrival[count] = min(max(events.times[k] + delay[events.units[k]], t), t_end)
        source[count] = k
        count += 1
        p = older[p - 1]
    sort_arrivals(count, arrival, source, *scratch)
    for m in range(count):
        current[m] = weight[events.units[source[m]]]
    return count


@kernel
def binned_forward(events, synapses, grid, delays, neurons, cursor, last, buffer, filled, peaks, budget):
    """As neuron_major.neuron_major_forward, for synaptic delays, shared taus, and no peak; delays: split_delays."""
    N, M = synapses.weight.shape
    longest = longest_sample(events, cursor // N, last)
    sources = new_sources(longest, M)
    arrival, current = np.empty(longest), np.empty(longest)
    source, older = np.empty(longest, np.int64), np.empty(longest, np.int32)
    scratch = np.empty(longest), np.empty(longest, np.int64), np.empty(longest + 1, np.int64)
    sums = np.zeros((2 * grid.number + 4) * NUM_SUMS)
    e_mem, e_syn, phi_h = flow(grid.h, grid.tau_mem, grid.tau_syn)
    phi_max = largest_phi(grid.tau_mem, grid.tau_syn)
    keep, cap = max(1.0 - grid.h / grid.tau_mem, 0.0), min(grid.h / grid.tau_mem, phi_max)
    grouped = -1
    for position in range(cursor, last * N):
        b, j = position // N, position % N
        if grouped != b:
            group_by_source(events, b, grid, sources)
            grouped = b
        weight, delay, neuron = synapses.weight[j], synapses.delay[j], neurons.parameters[j]
        alone = single(neurons, j, False)
        sum_bins(sources, weight, delays.bin[j], delays.table[j], grid, sums, older)
        e_adapt = exp(-grid.h / neuron[TAU_ADAPT]) if neuron[JUMP] != 0.0 else 1.0
        level = watched(neuron[THRESHOLD], 0.0, True, False, neurons.smoothing) * (1.0 - ROUNDING)
        V, I, a, release, ghost, spikes, status = 0.0, 0.0, 0.0, 0.0, no_ghost(), 0, DONE
        for c in range(grid.number):
            t, t_end, row = c * grid.h, (c + 1) * grid.h, c * NUM_SUMS
            if c == grid.number - 1:
                t_end = neurons.duration
            if status != DONE:
                pass  # only clear what is left
            elif release > t_end:  # V is held
                I = I * e_syn + sums[row + S_SYN]
                a *= e_adapt
            elif release <= t and not reaches(V, I, a, level - cap * sums[row + POSITIVE], keep, cap, e_adapt):
                V = V * e_mem + I * phi_h + grid.unit * (sums[row + S_SYN] - sums[row + S_MEM])
                I = I * e_syn + sums[row + S_SYN]
                a *= e_adapt
            else:
                count = collect(
                    int(sums[row + NEWEST]), older, sources, events, weight, delay, t, t_end, arrival, source, scratch,
                    current,
                )  # fmt: skip
                status, x, tally = walk(
                    State(V, I, a, release, -inf, 0.0, 0.0, ghost), t, t_end, count, arrival, current, alone,
                    buffer.rows, Tally(filled + spikes - 1, filled + spikes, spikes, budget + ghost.number), False,
                )  # fmt: skip
                V, I, a, release, ghost, spikes = x.V, x.I, x.a, x.release, x.ghost, tally.spikes
            for k in range(NUM_SUMS):
                sums[row + k] = 0.0
        if status in (BUFFER_FULL, BUDGET_EXCEEDED):
            return status, position, filled
        buffer.counts[b, j] = spikes
        filled += spikes
    return DONE, last * N, filled

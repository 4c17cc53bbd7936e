"""The forward pass with synaptic delays, neuron by neuron and bin by bin (README.md, section 4).

The arrivals of a bin are summed as they come. A bound on the sum tells whether the neuron could spike in the bin; only
then are the bin's arrivals put in order and gone through one by one.
"""

from math import exp, inf

import numpy as np

from .advance import State, no_ghost
from .arrivals import longest_sample, sort_arrivals
from .bins import F_MEM, F_SYN, OFFSET, group_by_source, new_sources
from .crossing import ROUNDING, largest_phi, reaches, watched
from .flow import flow
from .jit import kernel
from .layout import BUDGET_EXCEEDED, BUFFER_FULL, DONE, JUMP, TAU_ADAPT, THRESHOLD
from .models import Tally, single
from .neuron_major import walk

# Columns of the sums of a bin: of w e^{-r/tau_mem} and w e^{-r/tau_syn}, with r from the arrival to the end of the bin,
# and of the positive weights.
S_MEM, S_SYN, POSITIVE = range(3)
NOBODY = -1


@kernel
def sum_bins(sources, weight, delay_bin, delay_table, grid, sums, newest, older):
    """Sum the arrivals at one neuron by bin; and chain them: newest (bins,), older (E,) positions in `sources`."""
    for i in range(weight.size):
        if sources.start[i] == sources.start[i + 1]:
            continue
        w = weight[i]
        first_bin, offset = delay_bin[i], delay_table[i, OFFSET]
        w_mem, w_syn, positive = w * delay_table[i, F_MEM], w * delay_table[i, F_SYN], max(w, 0.0)
        for p in range(sources.start[i], sources.start[i + 1]):
            row = sources.table[p]
            beyond = int(row[OFFSET] + offset >= grid.h)  # the two offsets make one more bin; a number spares a branch
            c = sources.bin[p] + first_bin + beyond
            sums[c, S_MEM] += w_mem * row[F_MEM] * (1.0 - beyond * grid.lost_mem)
            sums[c, S_SYN] += w_syn * row[F_SYN] * (1.0 - beyond * grid.lost_syn)
            sums[c, POSITIVE] += positive
            older[p] = newest[c]
            newest[c] = p


@kernel
def collect(p, older, sources, events, weight, delay, t, t_end, arrival, source, scratch, current):
    """The arrivals of one bin from the chain that starts at p, in order; returns how many."""
    count = 0
    while p != NOBODY:
        k = sources.event[p]
        arrival[count] = min(max(events.times[k] + delay[events.units[k]], t), t_end)
        source[count] = k
        count += 1
        p = older[p]
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
    sums, newest = np.zeros((2 * grid.number + 4, 3)), np.full(2 * grid.number + 4, NOBODY, np.int32)
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
        sum_bins(sources, weight, delays.bin[j], delays.table[j], grid, sums, newest, older)
        e_adapt = exp(-grid.h / neuron[TAU_ADAPT]) if neuron[JUMP] != 0.0 else 1.0
        level = watched(neuron[THRESHOLD], 0.0, True, False, neurons.smoothing) * (1.0 - ROUNDING)
        V, I, a, release, ghost, spikes, status = 0.0, 0.0, 0.0, 0.0, no_ghost(), 0, DONE
        for c in range(grid.number):
            t, t_end = c * grid.h, (c + 1) * grid.h
            if c == grid.number - 1:
                t_end = neurons.duration
            if status != DONE:
                pass  # only clear what is left
            elif release > t_end:  # V is held
                I = I * e_syn + sums[c, S_SYN]
                a *= e_adapt
            elif release <= t and not reaches(V, I, a, level - cap * sums[c, POSITIVE], keep, cap, e_adapt):
                V = V * e_mem + I * phi_h + grid.unit * (sums[c, S_SYN] - sums[c, S_MEM])
                I = I * e_syn + sums[c, S_SYN]
                a *= e_adapt
            else:
                count = collect(
                    newest[c], older, sources, events, weight, delay, t, t_end, arrival, source, scratch, current
                )
                status, x, tally = walk(
                    State(V, I, a, release, -inf, 0.0, 0.0, ghost), t, t_end, count, arrival, current, alone,
                    buffer.rows, Tally(filled + spikes - 1, filled + spikes, spikes, budget + ghost.number), False,
                )  # fmt: skip
                V, I, a, release, ghost, spikes = x.V, x.I, x.a, x.release, x.ghost, tally.spikes
            sums[c, S_MEM], sums[c, S_SYN], sums[c, POSITIVE], newest[c] = 0.0, 0.0, 0.0, NOBODY
        if status in (BUFFER_FULL, BUDGET_EXCEEDED):
            return status, position, filled
        buffer.counts[b, j] = spikes
        filled += spikes
    return DONE, last * N, filled

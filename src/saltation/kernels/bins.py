"""Time bins, for many arrivals with a delay of their own at every synapse (README.md, section 4).

An arrival at t = time + delay needs no exponential of its own: time = (bin) h + offset, and the delay likewise, so
e^{-(end of bin - t)/tau} is a product of one factor of the event, one of the synapse, and one for the bin. A bin in
which the neuron cannot spike is the sum of its arrivals, in any order.
"""

from math import exp
from typing import NamedTuple

import numpy as np

from .arrivals import group_by
from .bin_loops import F_MEM, F_SYN, NUM_ADJOINT, NUM_FACTORS, OFFSET
from .jit import kernel

# Factors are e^{offset/tau} with offset <= h, and must not overflow: h/tau is at most this.
LONGEST = 4.0
ARRIVALS_PER_BIN = 4
# Fewer arrivals at a neuron are sorted faster than binned.
FEWEST = 64
# phi = (e^{-r/tau_syn} - e^{-r/tau_mem}) UNIT with UNIT = 1/(1 - tau_mem/tau_syn) loses digits where the time constants
# are closer to each other than this, relative to tau_syn.
CLOSEST = 1e-2

# Columns of the table of delays: offset in the bin, and its factors e^{(offset - h)/tau} of tau_mem and tau_syn
D_OFFSET, D_MEM, D_SYN = range(3)


class Grid(NamedTuple):
    """Bins of length h over the whole sample, and what every neuron shares."""

    h: float
    number: int
    tau_mem: float
    tau_syn: float
    unit: float  # 1/(1 - tau_mem/tau_syn)
    keep: np.ndarray  # e^{-h/tau_mem}, e^{-h/tau_syn}, 1, 1: what one more bin leaves of the columns of the sums


class Sources(NamedTuple):
    """One sample's input spikes, input by input: start (M + 1,), event (E,), bin (E,), table (E NUM_FACTORS,).
    total (NUM_ADJOINT,): scratch of bin_loops.use_events.
    """

    start: np.ndarray
    event: np.ndarray
    bin: np.ndarray
    table: np.ndarray
    total: np.ndarray


class Delays(NamedTuple):
    """bin (N, M) and table (N, M, 3), with the columns above."""

    bin: np.ndarray
    table: np.ndarray


def make_grid(events, duration, tau_mem, tau_syn):
    """The bins for a batch, or None where binning is not worth it, or not exact enough."""
    mean = events.times.size / max(events.offsets.size - 1, 1)
    if mean < FEWEST or abs(1.0 - tau_mem / tau_syn) < CLOSEST:
        return None
    number = max(mean / ARRIVALS_PER_BIN, duration / (LONGEST * min(tau_mem, tau_syn)))
    if number > mean:
        return None  # the spikes are far apart in units of the time constants
    number = int(np.ceil(number))
    h = duration / number
    unit = 1.0 / (1.0 - tau_mem / tau_syn)
    return Grid(h, number, tau_mem, tau_syn, unit, np.array([exp(-h / tau_mem), exp(-h / tau_syn), 1.0, 1.0]))


@kernel
def new_sources(longest, inputs):
    """Room for samples of up to `longest` events."""
    start, event = np.empty(inputs + 1, np.int64), np.empty(longest, np.int64)
    return Sources(start, event, np.empty(longest, np.int32), np.ones(longest * NUM_FACTORS), np.empty(NUM_ADJOINT))


@kernel
def group_by_source(events, b, grid, sources):
    """Fill `sources` with the events of sample b; those of one input keep their order."""
    first, last = events.offsets[b], events.offsets[b + 1]
    group_by(last - first, events.units[first:last], sources.start, sources.event)
    for p in range(last - first):
        k = first + sources.event[p]
        c = int(events.times[k] / grid.h)
        offset = events.times[k] - c * grid.h
        row = p * NUM_FACTORS
        sources.event[p], sources.bin[p], sources.table[row + OFFSET] = k, c, offset
        sources.table[row + F_MEM], sources.table[row + F_SYN] = exp(offset / grid.tau_mem), exp(offset / grid.tau_syn)


@kernel
def split_delays(delay, grid):
    """The `Delays` of all synapses, from delay (N, M)."""
    N, M = delay.shape
    bins, table = np.empty((N, M), np.int32), np.empty((N, M, 3))
    for j in range(N):
        for i in range(M):
            c = int(min(delay[j, i] / grid.h, grid.number + 1.0))  # all that lies behind the sample's end is alike
            offset = delay[j, i] - c * grid.h if c <= grid.number else 0.0
            bins[j, i], table[j, i, D_OFFSET] = c, offset
            table[j, i, D_MEM] = exp((offset - grid.h) / grid.tau_mem)
            table[j, i, D_SYN] = exp((offset - grid.h) / grid.tau_syn)
    return Delays(bins, table)

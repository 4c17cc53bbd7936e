"""Rings of time bins, for recurrent layers with a delay of its own at every synapse (README.md, section 4).

Spikes of the inputs and of the layer alike are emissions: from source s (an input, or behind the inputs a neuron of the
layer) at time T, they arrive at neuron n at t = T + delay[s, n]. With r the time from t to the end of its bin, an arrival
of weight w adds to V and I there

    S_V += w phi(r),   S_I += w e^{-r/tau_syn}

and to V nowhere in the bin more than RISE += max(w, 0) phi(r), as phi rises that far. A bin is so short that these
functions are polynomials without branches (flow.short_flow); all neurons of a tile go through them at once.
"""

from typing import NamedTuple

import numpy as np

from .flow import SMALL, flow, short_flow
from .jit import borrowing
from .layout import TAU_SYN
from .sweep import share_taus

ARRIVALS_PER_BIN = 4
# Bins cost about as much as so many arrivals; with fewer of those in each, windows are faster.
FEWEST_PER_BIN = 1 / 16
LONGEST = 0.96 * SMALL  # a bin, in units of the shorter time constant
# So many neurons go through a loop together, padded where there are fewer; a constant, so that the compiler knows that
# no two rows of a flat array overlap.
TILE = 32
SPAN = 16  # the inputs' spikes of so many bins are handed out at once, tile by tile

# Rows of the synapses of a source to a tile, and their size
WEIGHT, DELAY, SYNAPSES = 0, TILE, 2 * TILE
# Rows of what `find_arrivals` fills: e^{-r/tau_mem}, e^{-r/tau_syn} and phi(r) of the arrival at each neuron
E_MEM, E_SYN, PHI, FACTORS = 0, TILE, 2 * TILE, 3 * TILE


class Grid(NamedTuple):
    """`number` bins of length h = 1/rate over the whole sample; rings have room for `depth` of them, and one more that
    takes what arrives after the end of the sample. e_mem, e_syn, phi: the flow over a bin.
    """

    h: float
    rate: float
    number: int
    depth: int
    duration: float
    tau_mem: float
    tau_syn: float
    rate_mem: float
    rate_syn: float
    e_mem: float
    e_syn: float
    phi: float


class Rings(NamedTuple):
    """table (tiles, sources SYNAPSES): weights and delays; least (sources,): smallest delay; longest: of all."""

    grid: Grid
    table: np.ndarray
    least: np.ndarray
    longest: float


def make_rings(events, synapses, recurrent, neurons):
    """What the kernels need for a batch, or None where windows are needed, or faster."""
    if not share_taus(neurons.parameters):
        return None
    tau_mem, tau_syn = map(float, neurons.parameters[0, : TAU_SYN + 1])
    mean = events.times.size / max(events.offsets.size - 1, 1)
    number = max(mean / ARRIVALS_PER_BIN, neurons.duration / (LONGEST * min(tau_mem, tau_syn)))
    if mean < FEWEST_PER_BIN * number:
        return None
    number = int(np.ceil(number))
    h = neurons.duration / number
    parts = synapses, recurrent
    weights = np.vstack([part.weight.T for part in parts])
    delays = np.vstack([np.broadcast_to(part.delay, part.weight.shape).T for part in parts])
    longest = min(delays.max(initial=0.0), neurons.duration)
    depth = min(int(longest / h) + 2, number) + SPAN
    grid = Grid(
        h, 1.0 / h, number, depth, neurons.duration, tau_mem, tau_syn, 1.0 / tau_mem, 1.0 / tau_syn,
        *flow(h, tau_mem, tau_syn),
    )  # fmt: skip
    return Rings(grid, _by_tile(weights, delays), delays.min(1), longest)


def _by_tile(weights, delays):
    """(tiles, sources SYNAPSES) from (sources, N) each; what pads the last tile weighs nothing."""
    S, N = weights.shape
    tiles = -(-N // TILE)
    padded = np.zeros((2, S, tiles * TILE))
    padded[:, :, :N] = weights, delays
    return np.ascontiguousarray(padded.reshape(2, S, tiles, TILE).transpose(2, 1, 0, 3)).reshape(tiles, -1)


@borrowing
def ring_row(c, now, depth):
    """The row of a ring that holds bin c, at most `depth` after bin `now`."""
    row = c - (now - now % depth)
    return row - depth if row >= depth else row


@borrowing
def find_arrivals(T, s, now, grid, table, factors, row):
    """Where an emission of source s at T arrives at the neurons of a tile, not before bin `now`.

    table (sources SYNAPSES,); fills row (TILE,), of a ring, and factors (FACTORS,).
    """
    base, depth = np.int32(now - now % grid.depth), np.int32(grid.depth)
    first, last = np.int32(now), np.int32(grid.number - 1)
    begin = s * SYNAPSES + DELAY
    for m in range(TILE):
        t = T + table[begin + m]
        c = np.int32(min(t, grid.duration) * grid.rate)
        c = min(max(c, first), last)
        r = max((c + 1) * grid.h - t, 0.0)
        e_mem, e_syn, phi = short_flow(r * grid.rate_mem, r * grid.rate_syn)
        factors[E_MEM + m], factors[E_SYN + m], factors[PHI + m] = e_mem, e_syn, phi
        k = c - base
        k = k - depth if k >= depth else k
        row[m] = k if t < grid.duration else depth

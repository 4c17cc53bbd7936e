"""Rings of time bins, for recurrent layers with a delay of its own at every synapse (README.md, section 4).

Spikes of the inputs and of the layer alike are emissions: from source s (an input, or behind the inputs a neuron of the
layer) at time T, they arrive at neuron n at t = T + delay[s, n]. With r the time from t to the end of its bin, an
arrival of weight w adds to V and I there

    S_V += w phi(r),   S_I += w e^{-r/tau_syn}

and to V nowhere in the bin more than RISE += max(w, 0) phi(r), as phi rises that far. A bin is so short that both
functions are polynomials in x = (r - h/2)/h, the same for all arrivals, and with lead = 1 - tau_mem/tau_syn
e^{-r/tau_mem} = e^{-r/tau_syn} - lead phi(r). All neurons of a tile go through them at once, without branches
(ring_lanes.py).
"""

from typing import NamedTuple

import numpy as np

from .course import share_taus
from .flow import flow
from .jit import borrowing, kernel
from .lanes import CACHE_LINE, LANES, prefetch
from .layout import TAU_SYN
from .ring_lanes import DEGREE, FACTORS, SYNAPSES, find_arrivals

ARRIVALS_PER_BIN = 4
# With fewer arrivals of N (N + input spikes), as if each neuron spiked once, than this for each bin of each neuron of a
# tile, windows are faster.
FEWEST = 1 / 16
LONGEST = 0.1  # a bin, in units of the shorter time constant: beyond x^8 no term is above a rounding
# So many neurons go through a loop together, padded where there are fewer; a constant, so that the compiler knows that
# no two rows of a flat array overlap.
TILE = LANES
# So many emissions, or tiles, before they are used a source's synapses, and then its places in the rings, are asked
# for.
AHEAD, LAG = 4, 2
SLOTS = LAG + 1  # of scratch
SPAN = 16  # the inputs' spikes of so many bins are handed out at once, tile by tile


class Grid(NamedTuple):
    """`number` bins of length h = 1/rate over the whole sample; rings have room for `depth` of them, and one more that
    takes what arrives after the end of the sample. e_mem, e_syn, phi: the flow over a bin; coefficients: as in
    ring_lanes.py.
    """

    h: float
    number: int
    depth: int
    duration: float
    tau_mem: float
    tau_syn: float
    e_mem: float
    e_syn: float
    phi: float
    coefficients: np.ndarray


class Rings(NamedTuple):
    """table (tiles, sources SYNAPSES): weights and delays; least (sources,): smallest delay; longest: of all."""

    grid: Grid
    table: np.ndarray
    least: np.ndarray
    longest: float


class Scratch(NamedTuple):
    """Of arrivals found but not yet used: factors (SLOTS FACTORS,), places (SLOTS TILE,), see ring_lanes.py."""

    factors: np.ndarray
    places: np.ndarray


@kernel
def new_scratch():
    """Room for arrivals."""
    return Scratch(np.empty(SLOTS * FACTORS), np.empty(SLOTS * TILE, np.int64))


def make_rings(events, synapses, recurrent, neurons):
    """What the kernels need for a batch, or None where windows are needed, or faster."""
    if not share_taus(neurons.parameters):
        return None
    tau_mem, tau_syn = map(float, neurons.parameters[0, : TAU_SYN + 1])
    mean = events.times.size / max(events.offsets.size - 1, 1)
    number = max(mean / ARRIVALS_PER_BIN, neurons.duration / (LONGEST * min(tau_mem, tau_syn)))
    N = neurons.parameters.shape[0]
    if N * (N + mean) < FEWEST * number * -(-N // TILE) * TILE:
        return None
    number = int(np.ceil(number))
    h = neurons.duration / number
    parts = synapses, recurrent
    weights = np.vstack([part.weight.T for part in parts])
    delays = np.vstack([np.broadcast_to(part.delay, part.weight.shape).T for part in parts])
    longest = min(delays.max(initial=0.0), neurons.duration)
    depth = min(int(longest / h) + 2, number) + SPAN
    coefficients = np.array(
        [*_taylor(h, tau_mem, tau_syn), neurons.duration, 1.0 / h, number - 1, depth, 1.0 / tau_syn, 1.0 / tau_mem]
        + [1.0 - tau_mem / tau_syn]
    )
    grid = Grid(h, number, depth, neurons.duration, tau_mem, tau_syn, *flow(h, tau_mem, tau_syn), coefficients)
    return Rings(grid, _by_tile(weights, delays), delays.min(1), longest)


def _taylor(h, tau_mem, tau_syn):
    """Of I = e^{-r/tau_syn} and V = phi(r), r = h/2 + h x, the coefficients of x^k.

    From I' = -I/tau_syn, V' = (I - V)/tau_mem.
    """
    _, current, potential = flow(h / 2, tau_mem, tau_syn)
    by_syn, by_phi = [], []
    for k in range(DEGREE + 1):
        by_syn.append(current)
        by_phi.append(potential)
        step = h / (k + 1)
        current, potential = -step * current / tau_syn, step * (current - potential) / tau_mem
    return *by_syn, *by_phi


def _by_tile(weights, delays):
    """(tiles, sources SYNAPSES) from (sources, N) each; what pads the last tile weighs nothing."""
    S, N = weights.shape
    tiles = -(-N // TILE)
    padded = np.zeros((2, S, tiles * TILE))
    padded[:, :, :N] = weights, delays
    return np.ascontiguousarray(padded.reshape(2, S, tiles, TILE).transpose(2, 1, 0, 3)).reshape(tiles, -1)


@borrowing
def ask_for(s, rows):
    """What belongs to source s, in rows (sources SYNAPSES,), is needed soon."""
    for m in range(0, SYNAPSES, CACHE_LINE):
        prefetch(rows, s * SYNAPSES + m)


@borrowing
def find(T, s, now, rings, tile, ring, width, scratch, slot):
    """Where an emission of source s at T arrives at a tile, not before bin `now`, into a slot of the scratch."""
    base = now - now % rings.grid.depth
    find_arrivals(
        T, float(now), float(base), rings.table[tile], s * SYNAPSES, rings.grid.coefficients, ring, width,
        scratch.factors, scratch.places, slot,
    )  # fmt: skip

"""The packed arguments that every kernel takes, so that no kernel needs a long list of positional arrays."""

from typing import NamedTuple

import numpy as np

# Columns of the (N, 7) array of neuron parameters; gradients with respect to them have the same columns.
TAU_MEM, TAU_SYN, TAU_ADAPT, THRESHOLD, JUMP, V_RESET, REFRACTORY = range(7)
NUM_PARAMETERS = 7
# A QIF neuron has tau_mem, tau_syn and threshold in the same columns, and of its own:
PSEUDO_TIME, PSEUDO_DRIVE = 2, 4

# How a kernel ended: BUFFER_FULL and BUDGET_EXCEEDED before its end; FINISHED: one neuron that cannot spike again;
# FIRED: right after a spike, if that was wanted.
DONE, BUFFER_FULL, BUDGET_EXCEEDED, FINISHED, FIRED = range(5)


class Events(NamedTuple):
    """A ragged batch of input spikes: times (E,) sorted within a sample, units (E,), offsets (B + 1,)."""

    times: np.ndarray
    units: np.ndarray
    offsets: np.ndarray


class Synapses(NamedTuple):
    """weight (N, M); delay (N or 1, M or 1): an axis of length 1 is shared by all (axonal, dendritic, none)."""

    weight: np.ndarray
    delay: np.ndarray


class Wiring(NamedTuple):
    """Which synapses there are, neuron by neuron: those of neuron j are start[j] ... start[j + 1] - 1, from the inputs
    source (S,), each from another one. `Synapses` then has weight (S,) and delay (S,) or (1,).
    """

    start: np.ndarray
    source: np.ndarray
    inputs: int


def full_wiring(inputs: int, neurons: int) -> Wiring:
    """All inputs to all neurons."""
    start = np.arange(neurons + 1, dtype=np.int64) * inputs
    return Wiring(start, np.tile(np.arange(inputs, dtype=np.int64), neurons), inputs)


class Neurons(NamedTuple):
    """parameters (N, 7) with the columns above, and what holds for the whole population."""

    parameters: np.ndarray
    subtract: bool  # reset by V -> V - threshold instead of V -> v_reset
    spiking: bool  # False: the threshold is only a level for `peak`, as for a leaky integrator
    duration: float


class SpikeBuffer(NamedTuple):
    """What the forward pass keeps of each own spike, one row a spike, in the order (sample, neuron, time).

    rows (capacity, 4): the columns TIME, CURRENT, ADAPTATION (both just before the spike), RELEASE_CURRENT
    (I at the end of the refractory period).
    counts (B, N): how many rows each neuron has.
    """

    rows: np.ndarray
    counts: np.ndarray


TIME, CURRENT, ADAPTATION, RELEASE_CURRENT = range(4)
NUM_COLUMNS = 4


class Peaks(NamedTuple):
    """The maximum of V - theta since the last spike; each (B, N), or (0, 0) where nobody asked.

    slope is d(V - theta)/dt just before `time`: not zero where the maximum is a kink at an event.
    """

    value: np.ndarray
    time: np.ndarray
    slope: np.ndarray


class Gradients(NamedTuple):
    """What the backward pass adds up. weight and delay have the shapes of Synapses, parameters that of Neurons."""

    times: np.ndarray
    weight: np.ndarray
    delay: np.ndarray
    parameters: np.ndarray

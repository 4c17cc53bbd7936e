"""The packed arguments that every kernel takes, so that no kernel needs a long list of positional arrays."""

from typing import NamedTuple

import numpy as np

# Columns of the (N, 7) array of neuron parameters; gradients with respect to them have the same columns.
TAU_MEM, TAU_SYN, TAU_ADAPT, THRESHOLD, JUMP, V_RESET, REFRACTORY = range(7)
NUM_PARAMETERS = 7

# How a kernel ended: BUFFER_FULL and BUDGET_EXCEEDED before its end; FINISHED: one neuron that cannot spike again;
# FIRED: right after a spike, if that was wanted.
DONE, BUFFER_FULL, BUDGET_EXCEEDED, FINISHED, FIRED = range(5)
NO_BUDGET = 2**62  # of spikes, where a run is but a trial


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


class Full(NamedTuple):
    """The wiring of all inputs to all neurons: synapse n inputs + i leads from input i to neuron n."""

    inputs: int


class Projection(NamedTuple):
    """wiring: Full or Wiring; weight (S,), delay (S,) or (1,), by synapse."""

    wiring: Full | Wiring
    weight: np.ndarray
    delay: np.ndarray


class Feedback(NamedTuple):
    """The synapses from a layer to itself: weight (S,), delay (S,) or (1,); S = 0 without any.

    Those from neuron j are synapse[start[j]] ... synapse[start[j + 1] - 1], and lead to `target`.
    """

    weight: np.ndarray
    delay: np.ndarray
    start: np.ndarray
    target: np.ndarray
    synapse: np.ndarray


class Neurons(NamedTuple):
    """parameters (N, 7) with the columns above, and what holds for the whole population."""

    parameters: np.ndarray
    subtract: bool  # reset by V -> V - threshold instead of V -> v_reset
    spiking: bool  # False: the threshold is only a level for `peak`, as for a leaky integrator
    duration: float
    smoothing: float = 0.0  # width of the noise of the threshold, in thresholds, that makes ghosts of near misses


class SpikeBuffer(NamedTuple):
    """What the forward pass keeps of each own spike or ghost, one row each, in the order (sample, neuron, time).

    rows (capacity, 5): the columns TIME, CURRENT, ADAPTATION (both just before the spike), RELEASE_CURRENT
    (I at the end of the refractory period; of a ghost CURRENT), MARGIN: 0; of a ghost its V - theta, below 0.
    counts (B, N): how many rows each neuron has.
    """

    rows: np.ndarray
    counts: np.ndarray


TIME, CURRENT, ADAPTATION, RELEASE_CURRENT, MARGIN = range(5)
NUM_COLUMNS = 5
GHOST_REACH = 3.0  # a maximum of V - theta is a ghost down to so many widths of the noise below 0


class Peaks(NamedTuple):
    """The maximum of V - theta since the last spike; each (B, N), or (0, 0) where nobody asked.

    slope is d(V - theta)/dt just before `time`: not zero where the maximum is a kink at an event.
    """

    value: np.ndarray
    time: np.ndarray
    slope: np.ndarray


class Span(NamedTuple):
    """Samples first ... last - 1, whose spikes begin with row `row`."""

    first: int
    last: int
    row: int


class Sent(NamedTuple):
    """What a backward pass starts from, and what is wanted of it.

    grad_rows (S,) = dL/dT of every row, of ghosts dL/dstrength; peaks and grad_peak (B, N) = dL/dpeak, or (0, 0);
    min_slope: a slope at a spike that is smaller counts as this; want_times, with_taus: whether gradients of event
    times and delays, and of tau_mem and tau_syn are wanted.
    """

    grad_rows: np.ndarray
    peaks: Peaks
    grad_peak: np.ndarray
    min_slope: float
    want_times: bool
    with_taus: bool


class Gradients(NamedTuple):
    """What the backward pass adds up. weight and delay have the shapes of Synapses, parameters that of Neurons;
    strengths: of the ghosts among the inputs.
    """

    times: np.ndarray
    weight: np.ndarray
    delay: np.ndarray
    parameters: np.ndarray
    strengths: np.ndarray

"""What a neuron model is: the functions that the neuron-major kernels call, whatever the model.

A model is a file that implements them for NamedTuples of its own: a population (parameters (N, columns) and what holds
for all neurons), one neuron of it, its state, and the chain of its adjoints. See `lif.py`, `qif.py`, `nonleaky.py`.
"""

from typing import NamedTuple

from .jit import generic, generic_borrowing

NUM_STATE = 7  # the most numbers that a state takes


class Tally(NamedTuple):
    """Where a neuron's spikes go: the row of its last one, the row of the next one, how many there are and may be."""

    last_row: int
    next_row: int
    spikes: int
    budget: int


# -- forward -----------------------------------------------------------------------------------------------------------


@generic_borrowing
def single(population, n, want_peak):
    """Neuron n of a population; want_peak: whether its highest V - theta is wanted."""


@generic_borrowing
def start(neuron):
    """Its state at time 0."""


@generic_borrowing
def receive(state, w, neuron):
    """The state right after the arrival of a weight w."""


@generic_borrowing
def advance(state, t, t_next, neuron, rows, tally, until_spike):
    """From t to just before t_next, in closed form: returns (status, state, tally).

    Spikes are written to rows from tally.next_row on. until_spike: stop right after the first one, with FIRED. Statuses
    are those of layout.py; FINISHED: this neuron never spikes again.
    """


@generic_borrowing
def store(state, row):
    """Put the state into row (NUM_STATE,)."""


@generic_borrowing
def restore(neuron, row):
    """The state that `store` put there."""


@generic_borrowing
def peak(state):
    """The highest V - theta since the last spike, its time, and d(V - theta)/dt just before it."""


@generic
def fill_slopes(population, counts, rows, slopes):
    """Fill slopes (S,): the dimensionless slope of each spike, by which its gradient is divided; inf if it is not.

    counts (B, N): how many of the rows (S, columns) each neuron has.
    """


# -- backward ----------------------------------------------------------------------------------------------------------


@generic
def new_chain(population, most, arrivals):
    """Room for the adjoints of the neurons of a sample: `most` spikes, and so many arrivals at those open at a time."""


@generic_borrowing
def open_group(chain, first, last, b, row, buffer):
    """Neurons first ... last - 1 of sample b come next; the first of their spikes is in row `row`."""


@generic_borrowing
def lacks_arrivals(population):
    """Whether `open_neuron` has to know what arrives at the neuron."""


@generic_borrowing
def open_neuron(chain, n, b, count, arrival, weight, population, buffer, sent, gradients):
    """The adjoint of neuron n at the end of sample b. arrival (count,): sorted, if `lacks_arrivals`, and their weights.

    Returns whether anything but its spikes depends on what reaches the neuron.
    """


@generic_borrowing
def cross(chain, j, G, population, buffer, sent, gradients):
    """Back over the last spike that is left of neuron j, whose dL/dT = G."""


@generic_borrowing
def arrival_gradient(chain, n, t, w, population, buffer, sent, gradients):
    """dL/dw and dL/dt of an arrival of weight w at neuron n; all spikes of the neuron after it have been crossed.

    Called once for each arrival: adds its share of the gradients of parameters.
    """


@generic_borrowing
def close_neuron(chain, n, population, gradients):
    """All arrivals at neuron n have been asked for; the rest of the gradients of its parameters is added."""

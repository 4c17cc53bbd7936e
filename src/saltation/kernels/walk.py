"""One neuron of any model from arrival to arrival, and what is to be simulated (README.md, section 4)."""

from typing import NamedTuple

from .jit import borrowing
from .layout import DONE, Events, Feedback, Projection
from .models import advance, peak, receive


class Problem(NamedTuple):
    """A batch of input spikes, where these and own spikes lead, the neurons (models.py), whether their peaks are
    wanted, and the largest number of spikes of one neuron in one sample.
    """

    events: Events
    projection: Projection
    feedback: Feedback
    population: tuple
    want_peak: bool
    budget: int


@borrowing
def walk(state, t, t_end, count, arrival, current, neuron, rows, tally, until_spike):
    """One neuron from its state at t through `count` arrivals to that just before t_end.

    arrival (count,): sorted times in [t, t_end]; current (count,): the weights that arrive then. Returns what
    models.advance does.
    """
    status = DONE
    for k in range(count + 1):
        t_next = arrival[k] if k < count else t_end
        status, state, tally = advance(state, t, t_next, neuron, rows, tally, until_spike)
        if status != DONE:
            break
        t = t_next
        if k < count:
            state = receive(state, current[k], neuron)
    return status, state, tally


@borrowing
def keep_peak(state, b, n, peaks):
    """What is wanted of the last state of neuron n in sample b."""
    peaks.value[b, n], peaks.time[b, n], peaks.slope[b, n] = peak(state)

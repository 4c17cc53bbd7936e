"""The forward pass neuron by neuron, for any model, wiring and delays, recurrent or not (README.md, section 4).

Without recurrent connections neurons are independent: each goes alone through the whole sample, and its spikes straight
into the buffer. With them all go through it together, in windows (windows.py).
"""

import numpy as np

from . import lif  # noqa: F401  registers what layout.Neurons does; other models come with their `Neuron`
from .arrivals import group_inputs, longest_sample
from .jit import borrowing, kernel
from .layout import BUDGET_EXCEEDED, BUFFER_FULL, DONE
from .models import Tally, single, start
from .pending import fill_inputs, new_collected, new_queue
from .walk import Problem, keep_peak, walk
from .windows import forward_in_windows


@borrowing
def run_alone(b, n, problem, inputs, current, collected, next_row, buffer, peaks):
    """Neuron n through sample b; its rows begin with next_row. Returns (status, spikes)."""
    projection, duration = problem.projection, problem.population.duration
    count = fill_inputs(0, n, problem.events, b, projection, duration, inputs, collected)
    arrival, source = inputs.time[0], inputs.source[0]
    for k in range(count):
        current[k] = projection.weight[source[k]]
    neuron, tally = single(problem.population, n, problem.want_peak), Tally(0, next_row, 0, problem.budget)
    status, state, tally = walk(
        start(neuron), 0.0, duration, count, arrival, current, neuron, buffer.rows, tally, False
    )  # fmt: skip
    if problem.want_peak:
        keep_peak(state, b, n, peaks)
    return status, tally.spikes


@kernel
def forward_alone(problem, cursor, last, buffer, filled, peaks):
    """As neuron_major_forward, without recurrent connections."""
    N, wiring = buffer.counts.shape[1], problem.projection.wiring
    longest = longest_sample(problem.events, cursor // N, last)
    inputs, current, collected = new_queue(1, longest), np.empty(longest), new_collected(wiring.inputs, longest)
    for b in range(cursor // N, last):
        group_inputs(wiring, problem.events, b, collected.start, collected.event)
        for n in range(max(cursor - b * N, 0), N):
            status, spikes = run_alone(b, n, problem, inputs, current, collected, filled, buffer, peaks)
            if status in (BUFFER_FULL, BUDGET_EXCEEDED):
                return status, b * N + n, filled
            buffer.counts[b, n] = spikes
            filled += spikes
    return DONE, last * N, filled


@kernel
def neuron_major_forward(events, projection, feedback, population, cursor, last, buffer, filled, peaks, budget):
    """All neurons of the samples before `last`, from neuron cursor % N of sample cursor // N on.

    projection, feedback: where inputs and own spikes lead, population: the neurons, buffer, peaks: see layout.py.
    `filled` rows of the buffer are taken; `budget` is the largest number of spikes of one neuron in one sample. Returns
    (status, cursor, filled): with BUFFER_FULL the caller makes the buffer larger and calls again with what was
    returned; nothing is lost.
    """
    problem = Problem(events, projection, feedback, population, peaks.value.size > 0, budget)
    if feedback.weight.size > 0:
        return forward_in_windows(problem, cursor, last, buffer, filled, peaks)
    return forward_alone(problem, cursor, last, buffer, filled, peaks)

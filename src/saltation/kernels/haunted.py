"""Ghosts in recurrent layers: what reaches a neuron is known only when all spikes are.

So the spikes come first, as without ghosts. Then the layer is a feed-forward one, which its own spikes reach as more
inputs; its maxima below theta are the ghosts. On the way back nothing is special.
"""

import copy

import numpy as np

from . import layout, plans
from .layout import MARGIN, NO_BUDGET, TIME, Events, Synapses
from .plans import Plan, Task

# Without recurrent delays a spike comes back at the very moment at which V crosses theta, where rounding would decide
# which of the two is first, and a neuron that inhibits itself might not spike. So that it always does, theta is lower
# by this fraction while ghosts are looked for.
LOWER = 1e-12


def choose(task: Task) -> Plan:
    """The plan for a task, prepared."""
    ghosts = (
        task.recurrent is not None and isinstance(task.population, layout.Neurons) and task.population.smoothing > 0
    )
    return Haunted(task) if ghosts else plans.choose(task)


class Haunted(Plan):
    """A recurrent layer with ghosts."""

    def __init__(self, task: Task):
        super().__init__(task)
        self.plain = plans.choose(task._replace(population=task.population._replace(smoothing=0.0)))
        self.name, self.why = self.plain.name, f"{self.plain.why}; once more for ghosts"
        self.way_back = copy.copy(self.plain)  # shares what is prepared
        self.way_back.task = task

    def forward(self, cursor, last, buffer, filled, peaks, budget):
        """See Plan."""
        first, counts = cursor // buffer.counts.shape[1], np.zeros_like(buffer.counts)
        status, position, spikes = plans.simulate(self.plain, first, last, counts, peaks, budget)
        if status != layout.DONE:
            return status, position, filled
        task, again = self.unrolled(first, last, spikes[:, TIME], counts), np.zeros_like(counts)
        _, _, rows = plans.simulate(plans.choose(task), first, last, again, peaks, NO_BUDGET)
        rows = with_ghosts(first, last, spikes, counts, rows, again, buffer.counts)
        if filled + len(rows) > len(buffer.rows):
            return layout.BUFFER_FULL, cursor, filled
        buffer.rows[filled : filled + len(rows)] = rows
        return layout.DONE, last * buffer.counts.shape[1], filled + len(rows)

    def unrolled(self, first: int, last: int, emitted: np.ndarray, counts: np.ndarray) -> Task:
        """The same task, for these samples, with the layer's own spikes as inputs, `emitted` neuron by neuron."""
        task, (B, N) = self.task, counts.shape
        assert task.recurrent is not None
        events, inputs = task.events, task.synapses.weight.shape[1]
        span = slice(events.offsets[first], events.offsets[last])
        owner = np.repeat(np.tile(np.arange(N), last - first), counts[first:last].ravel())
        samples = [
            np.repeat(np.arange(first, last), np.diff(events.offsets[first : last + 1])),
            np.repeat(np.arange(first, last), counts[first:last].sum(1)),
        ]
        times, units = (
            np.concatenate([events.times[span], emitted]),
            np.concatenate([events.units[span], inputs + owner]),
        )
        sample = np.concatenate(samples)
        order = np.lexsort((times, sample))
        offsets = np.concatenate([[0], np.bincount(sample, minlength=B).cumsum()])
        weight = np.hstack([task.synapses.weight, task.recurrent.weight])
        rows = max(task.synapses.delay.shape[0], task.recurrent.delay.shape[0])
        delays = [np.broadcast_to(part.delay, (rows, part.weight.shape[1])) for part in (task.synapses, task.recurrent)]
        nothing = Events(np.empty(0), np.empty(0, np.int64), np.zeros(B + 1, np.int64))
        merged = Events(times[order], units[order], offsets)
        parameters = task.population.parameters.copy()
        if task.recurrent.delay.min() == 0.0:
            parameters[:, layout.THRESHOLD] *= 1.0 - LOWER
        return task._replace(
            events=merged, ghosts=nothing, synapses=Synapses(weight, np.hstack(delays)), recurrent=None,
            population=task.population._replace(parameters=parameters), with_taus=False,
        )  # fmt: skip

    def backward(self, span, buffer, order, sent, gradients, feedback):
        """See Plan."""
        self.way_back.backward(span, buffer, order, sent, gradients, feedback)

    def shapes(self):
        """See Plan."""
        return self.way_back.shapes()

    def restore(self, synapses, recurrent):
        """See Plan."""
        return self.way_back.restore(synapses, recurrent)


def with_ghosts(first, last, spikes, counts, rows, again, total):
    """The spikes, and of `rows`, what came out the second time, the ghosts; fills total (B, N), how many there are.

    counts, again (B, N): how many rows of either belong to each neuron. Where rounding made another number of spikes
    the second time, what follows is another course: such a neuron has no ghosts in that sample.
    """
    N, pairs = counts.shape[1], (last - first) * counts.shape[1]
    train = [np.repeat(np.arange(pairs), part[first:last].ravel()) for part in (counts, again)]
    ghost = rows[:, MARGIN] < 0.0
    same = np.bincount(train[1][~ghost], minlength=pairs) == counts[first:last].ravel()
    ghost &= same[train[1]]
    whole, owner = np.concatenate([spikes, rows[ghost]]), np.concatenate([train[0], train[1][ghost]])
    total[first:last] = np.bincount(owner, minlength=pairs).reshape(-1, N)
    return whole[np.lexsort((whole[:, TIME], owner))]

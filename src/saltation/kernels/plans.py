"""The orders of work: how a layer is simulated, and which way suits it (README.md, section 4).

A plan is a class: `fits` says whether it can do a task, an instance holds what is prepared once for both passes. The
first of PLANS that fits is taken, so that the fastest stand first; adding a plan is one more class in this list.
"""

from typing import Any, NamedTuple

import numpy as np

from . import layout
from .binned import binned_forward
from .binned_backward import binned_backward
from .bins import Delays, Grid, make_grid, split_delays
from .course import share_taus
from .lanes import LANES
from .layout import Feedback, Full, Gradients, Projection, Sent, Span, SpikeBuffer, Synapses, Wiring
from .neuron_major import neuron_major_forward
from .neuron_major_backward import neuron_major_backward
from .recurrent_sweep import recurrent_sweep_forward
from .recurrent_sweep_backward import recurrent_sweep_backward
from .rings import Rings, make_rings
from .rings_backward import rings_backward
from .rings_forward import rings_forward
from .sweep import by_input, by_neuron, sweep_forward
from .sweep_backward import sweep_backward

FIRST_ROWS_PER_NEURON = 64  # a guess; the buffer grows, and what is not written costs nothing


class Task(NamedTuple):
    """What is to be simulated, and what is wanted of it.

    ghosts: near misses among the inputs, like events; synapses, recurrent: weight (N, M) and delay that broadcasts to
    it; or with a wiring weight (S,) and delay (S,) or (1,). recurrent is None without recurrent connections;
    population: the neurons, of one of the models.
    """

    events: layout.Events
    ghosts: layout.Events
    synapses: Synapses
    recurrent: Synapses | None
    wiring: Wiring | None
    recurrent_wiring: Wiring | None
    population: Any
    want_peak: bool
    with_taus: bool


class Plan:
    """An order of work for one task. Gradients are added up in arrays of `shapes` and brought back by `restore`."""

    name: str
    why: str

    def __init__(self, task: Task):
        self.task = task

    @staticmethod
    def fits(task: Task) -> bool:
        """Whether it can simulate the task, and is worth it."""
        raise NotImplementedError

    @classmethod
    def of(cls, task: Task) -> "Plan | None":
        """The plan for a task, prepared, if it fits."""
        return cls(task) if cls.fits(task) else None

    def forward(self, cursor: int, last: int, buffer: SpikeBuffer, filled: int, peaks: layout.Peaks, budget: int):
        """See neuron_major.neuron_major_forward."""
        raise NotImplementedError

    def backward(
        self, span: Span, buffer: SpikeBuffer, order: np.ndarray, sent: Sent, gradients: Gradients, feedback: Synapses
    ) -> None:
        """See neuron_major_backward.neuron_major_backward."""
        raise NotImplementedError

    def late(self) -> np.ndarray:
        """(N,): by how much the clock of each neuron is late."""
        return np.zeros(self.task.population.parameters.shape[0])

    def shapes(self) -> tuple[Synapses, Synapses]:
        """Arrays like those of the gradients of synapses and recurrent synapses that `backward` writes."""
        recurrent = self.task.recurrent or Synapses(np.empty((0, 0)), np.empty((0, 0)))
        return self.task.synapses, recurrent

    def restore(self, synapses: Synapses, recurrent: Synapses) -> tuple[Synapses, Synapses]:
        """Such gradients in the shapes of the task."""
        return synapses, recurrent


class EventMajor(Plan):
    """Event by event, in chunks, sixteen neurons at a time."""

    name, why = "event-major", "all neurons share the order of arrivals"

    def __init__(self, task: Task):
        super().__init__(task)
        self.tiles = by_input(task.synapses.weight, LANES)

    @staticmethod
    def fits(task: Task) -> bool:
        """LIF, all-to-all, no delays, or axonal or dendritic ones."""
        return is_dense_lif(task) and task.recurrent is None and min(task.synapses.delay.shape) == 1

    def forward(self, cursor, last, buffer, filled, peaks, budget):
        """See Plan."""
        events, synapses, neurons = self.task.events, self.task.synapses, self.task.population
        return sweep_forward(events, synapses, self.tiles, neurons, cursor, last, buffer, filled, peaks, budget)

    def backward(self, span, buffer, order, sent, gradients, feedback):
        """See Plan."""
        task = self.task
        sweep_backward(
            task.events, task.ghosts, task.synapses, self.tiles, task.population, span, buffer, sent, gradients
        )

    def late(self):
        """See Plan: with dendritic delays every neuron keeps a clock of its own."""
        delay = self.task.synapses.delay
        return np.ascontiguousarray(delay[:, 0]) if delay.shape[0] > 1 else super().late()

    def shapes(self):
        """See Plan."""
        synapses, recurrent = super().shapes()
        return synapses._replace(weight=self.tiles), recurrent

    def restore(self, synapses, recurrent):
        """See Plan."""
        weight = by_neuron(synapses.weight, self.task.synapses.weight.shape[0])
        return synapses._replace(weight=weight), recurrent


class RecurrentEventMajor(EventMajor):
    """The same with recurrent connections."""

    name, why = "recurrent event-major", "all neurons share the order of arrivals, of own spikes too"

    def __init__(self, task: Task):
        Plan.__init__(self, task)
        assert task.recurrent is not None
        self.tiles = by_input(np.hstack([task.synapses.weight, task.recurrent.weight]), LANES)

    @staticmethod
    def fits(task: Task) -> bool:
        """LIF, all-to-all, no delays or axonal ones, of inputs and own spikes."""
        if not is_dense_lif(task) or task.recurrent is None or task.recurrent_wiring is not None:
            return False
        return max(task.synapses.delay.shape[0], task.recurrent.delay.shape[0]) == 1

    def forward(self, cursor, last, buffer, filled, peaks, budget):
        """See Plan."""
        task, rest = self.task, (cursor, last, buffer, filled, peaks, budget)
        return recurrent_sweep_forward(
            task.events, task.synapses, task.recurrent, self.tiles, task.population, *rest
        )  # fmt: skip

    def backward(self, span, buffer, order, sent, gradients, feedback):
        """See Plan."""
        task, rest = self.task, (span, buffer, sent, gradients, feedback)
        recurrent_sweep_backward(
            task.events, task.ghosts, task.synapses, task.recurrent, self.tiles, task.population, *rest
        )  # fmt: skip

    def restore(self, synapses, recurrent):
        """See Plan."""
        synapses, recurrent = super().restore(synapses, recurrent)
        weight, of_weight = np.split(synapses.weight, [self.task.synapses.weight.shape[1]], axis=1)
        return synapses._replace(weight=weight), recurrent._replace(weight=of_weight)


class NeuronMajor(Plan):
    """One neuron after the other, arrival by arrival; window by window, with recurrent connections."""

    name, why = "neuron-major", "any model, wiring and delays"

    def __init__(self, task: Task):
        super().__init__(task)
        self.projection, self.feedback = projected(task.synapses, task.wiring), fed_back(task)

    @staticmethod
    def fits(task: Task) -> bool:
        """Anything."""
        return True

    def forward(self, cursor, last, buffer, filled, peaks, budget):
        """See Plan."""
        rest = cursor, last, buffer, filled, peaks, budget
        return neuron_major_forward(
            self.task.events, self.projection, self.feedback, self.task.population, *rest
        )  # fmt: skip

    def backward(self, span, buffer, order, sent, gradients, feedback):
        """See Plan."""
        rest = span, buffer, order, sent, gradients, feedback
        neuron_major_backward(
            self.task.events, self.task.ghosts, self.projection, self.feedback, self.task.population, *rest
        )  # fmt: skip

    def shapes(self):
        """See Plan."""
        return tuple(Synapses(part.weight, part.delay) for part in (self.projection, self.feedback))

    def restore(self, synapses, recurrent):
        """See Plan."""
        none = Synapses(np.empty((0, 0)), np.empty((0, 0)))
        return unprojected(synapses, self.task.synapses), unprojected(recurrent, self.task.recurrent or none)


class Binned(NeuronMajor):
    """Bin by bin of time; but only the sums over single arrivals know the gradients of tau_mem and tau_syn, so where
    these are wanted the way back is that of NeuronMajor.
    """

    def __init__(self, task: Task):
        if task.with_taus:
            super().__init__(task)
        else:
            Plan.__init__(self, task)

    def backward(self, span, buffer, order, sent, gradients, feedback):
        """See Plan."""
        way = super().backward if self.task.with_taus else self.backward_in_bins
        way(span, buffer, order, sent, gradients, feedback)

    def backward_in_bins(self, span, buffer, order, sent, gradients, feedback):
        """`backward` without the gradients of tau_mem and tau_syn."""
        raise NotImplementedError

    def shapes(self):
        """See Plan."""
        return super().shapes() if self.task.with_taus else Plan.shapes(self)

    def restore(self, synapses, recurrent):
        """See Plan."""
        return super().restore(synapses, recurrent) if self.task.with_taus else (synapses, recurrent)


class RecurrentInBins(Binned):
    """All neurons bin by bin of time, own spikes scattered into bins to come."""

    name, why = "recurrent in bins", "recurrent, with delays of single synapses or neurons, and shared time constants"
    rings: Rings

    @classmethod
    def of(cls, task):
        """LIF, all-to-all, recurrent, shared tau_mem and tau_syn, no peak, and arrivals enough for bins."""
        if task.recurrent is None or not is_dense_lif(task) or task.recurrent_wiring is not None or task.want_peak:
            return None
        rings = make_rings(task.events, task.synapses, task.recurrent, task.population)
        if rings is None:
            return None
        plan = cls(task)
        plan.rings = rings
        return plan

    def forward(self, cursor, last, buffer, filled, peaks, budget):
        """See Plan."""
        task, rest = self.task, (cursor, last, buffer, filled, peaks, budget)
        return rings_forward(task.events, task.synapses, task.recurrent, self.rings, task.population, *rest)

    def backward_in_bins(self, span, buffer, order, sent, gradients, feedback):
        """See Binned."""
        task, rest = self.task, (span, buffer, order, sent, gradients, feedback)
        rings_backward(task.events, task.ghosts, task.synapses, task.recurrent, self.rings, task.population, *rest)


class InBins(Binned):
    """One neuron after the other, bin by bin of time."""

    name, why = "in bins", "synaptic delays, many arrivals, and shared time constants"

    grid: Grid
    delays: Delays

    @classmethod
    def of(cls, task):
        """LIF, all-to-all, synaptic delays, shared tau_mem and tau_syn, no peak, and arrivals enough for bins."""
        if not is_dense_lif(task) or task.recurrent is not None or task.want_peak:
            return None
        population = task.population
        if not share_taus(population.parameters):
            return None
        grid = make_grid(task.events, population.duration, *population.parameters[0, : layout.TAU_SYN + 1])
        if grid is None:
            return None
        plan = cls(task)
        plan.grid, plan.delays = grid, split_delays(task.synapses.delay, grid)
        return plan

    def forward(self, cursor, last, buffer, filled, peaks, budget):
        """See Plan."""
        events, synapses, neurons = self.task.events, self.task.synapses, self.task.population
        rest = cursor, last, buffer, filled, peaks, budget
        return binned_forward(events, synapses, self.grid, self.delays, neurons, *rest)

    def backward_in_bins(self, span, buffer, order, sent, gradients, feedback):
        """See Binned."""
        task, rest = self.task, (span, buffer, sent, gradients)
        binned_backward(task.events, task.ghosts, task.synapses, self.grid, self.delays, task.population, *rest)


PLANS: tuple[type[Plan], ...] = (EventMajor, RecurrentEventMajor, RecurrentInBins, InBins, NeuronMajor)


def choose(task: Task) -> Plan:
    """The first of PLANS that fits, prepared."""
    return next(plan for plan in (kind.of(task) for kind in PLANS) if plan is not None)


def simulate(
    plan: Plan, first: int, last: int, counts: np.ndarray, peaks: layout.Peaks, budget: int
) -> tuple[int, int, np.ndarray]:
    """The rows of the samples first ... last - 1, as (DONE, cursor, rows), or how and where it ended before.

    counts (B, N): filled for these samples. The buffer grows until everything fits.
    """
    N = counts.shape[1]
    rows = np.empty(((last - first) * N * FIRST_ROWS_PER_NEURON + 16, layout.NUM_COLUMNS))
    cursor, filled = first * N, 0
    while True:
        status, cursor, filled = plan.forward(cursor, last, SpikeBuffer(rows, counts), filled, peaks, budget)
        if status != layout.BUFFER_FULL:
            return status, cursor, rows[:filled]
        rows = np.concatenate([rows[:filled], np.empty((3 * rows.shape[0], layout.NUM_COLUMNS))])


def is_dense_lif(task: Task) -> bool:
    """Whether these are LIF neurons (or leaky integrators), with all inputs."""
    return isinstance(task.population, layout.Neurons) and task.wiring is None


def projected(synapses: Synapses, wiring: Wiring | None) -> Projection:
    """By synapse; of all-to-all ones without delay one delay for all."""
    if wiring is not None:
        return Projection(wiring, synapses.weight, synapses.delay)
    weight, delay = synapses
    if 1 < delay.size < weight.size:
        delay = np.broadcast_to(delay, weight.shape).copy()
    return Projection(Full(weight.shape[1]), weight.reshape(-1), delay.reshape(-1))


def unprojected(gradients: Synapses, like: Synapses) -> Synapses:
    """Gradients by synapse in the shapes of weights and delays; those of a shared delay add up."""
    weight, delay = gradients
    if delay.size != like.delay.size:
        delay = delay.reshape(like.weight.shape)
        shared = tuple(axis for axis in range(2) if like.delay.shape[axis] == 1)
        delay = delay.sum(shared, keepdims=True)
    return Synapses(weight.reshape(like.weight.shape), delay.reshape(like.delay.shape))


def fed_back(task: Task) -> Feedback:
    """The recurrent synapses by the neuron that they come from."""
    N = task.population.parameters.shape[0]
    if task.recurrent is None:
        nothing = np.empty(0, np.int64)
        return Feedback(np.empty(0), np.empty(0), np.zeros(N + 1, np.int64), nothing, nothing)
    wiring, weight, delay = projected(task.recurrent, task.recurrent_wiring)
    if isinstance(wiring, Full):
        source, target = np.tile(np.arange(N), N), np.repeat(np.arange(N), N)
    else:
        source, target = wiring.source, np.repeat(np.arange(N), np.diff(wiring.start))
    synapse = np.argsort(source, kind="stable")
    start = np.searchsorted(source[synapse], np.arange(N + 1))
    return Feedback(weight, delay, start, target[synapse], synapse)

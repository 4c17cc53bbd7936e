"""Where torch meets the kernels: what a layer hands to them, and its simulation as an autograd function. No mathematics
here. The readout is in closed_form.py, distances are in distances.py.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .blocks import in_blocks, sum_blocks
from .kernels import layout, plans
from .kernels.arrivals import merge_spikes
from .kernels.jit import announce_compilation
from .kernels.models import fill_slopes

DEFAULT_BUDGET = 100_000  # spikes of one neuron in one sample
RECURRENT_BUDGET = 10_000
FIRST_ROWS_PER_NEURON = 64  # a guess; the buffer grows, and what is not written costs nothing


class Arguments(NamedTuple):
    """The tensors that a layer hands to its kernels; all but the last two may carry gradients.

    float64: times (E,); weight (N, M) and delay (N or 1, M or 1), or with a wiring (S,) and (S,) or (1,); neurons
    (N, columns of the model); recurrent_weight and recurrent_delay likewise, both (0, 0) without recurrent connections;
    int64: units (E,), offsets (B + 1,).
    """

    times: Tensor
    weight: Tensor
    delay: Tensor
    neurons: Tensor
    recurrent_weight: Tensor
    recurrent_delay: Tensor
    units: Tensor
    offsets: Tensor


NOT_RECURRENT = dict.fromkeys(("recurrent_weight", "recurrent_delay"), torch.empty(0, 0, dtype=torch.float64))


class Setting(NamedTuple):
    """What a layer fixes for its kernels, besides tensors.

    population: makes the neurons of a model (kernels/models.py) from their parameters and the duration.
    """

    population: Callable[[np.ndarray, float], Any]
    duration: float
    want_peak: bool = False
    min_slope: float = 0.0
    budget: int = 0
    with_taus: bool = True  # whether gradients with respect to tau_mem and tau_syn are wanted
    wiring: layout.Wiring | None = None  # which synapses there are; None: all
    recurrent_wiring: layout.Wiring | None = None


class SpikeBudgetError(RuntimeError):
    """A neuron spiked more often than its budget allows. neuron, sample and layer (of a `Sequential`) say which, and
    plan in which order of work it was simulated.
    """

    def __init__(self, neuron: int, sample: int, budget: int, plan: str, layer: int | None = None):
        super().__init__(neuron, sample, budget, plan, layer)  # what pickle hands back to __init__, between processes
        self.neuron, self.sample, self.budget, self.plan, self.layer = neuron, sample, budget, plan, layer

    def __str__(self) -> str:
        where = "" if self.layer is None else f"layer {self.layer}: "
        return (
            f"{where}neuron {self.neuron} spiked more than {self.budget} times in sample {self.sample}: its activity "
            "runs away. Lower the weights, use a refractory period or a jump > 0, or raise the layer's max_spikes "
            f"(simulated {self.plan})"
        )


def make_task(arguments: Arguments, setting: Setting, with_taus: bool) -> plans.Task:
    """The same for the kernels."""
    announce_compilation()
    # contiguous: Numba would compile once more for every other memory layout
    arrays = (tensor.detach().contiguous().numpy() for tensor in arguments)
    times, weight, delay, neurons, recurrent_weight, recurrent_delay, units, offsets = arrays
    return plans.Task(
        layout.Events(times, units, offsets),
        layout.Synapses(weight, delay),
        layout.Synapses(recurrent_weight, recurrent_delay) if recurrent_weight.size else None,
        setting.wiring,
        setting.recurrent_wiring,
        setting.population(neurons, setting.duration),
        setting.want_peak,
        with_taus,
    )


# By type of device: the choice of an order of work, for tensors that all are there. Only there they become arrays.
CHOICES: dict[str, Callable[[Arguments, Setting, bool], plans.Plan]] = {
    "cpu": lambda arguments, setting, with_taus: plans.choose(make_task(arguments, setting, with_taus)),
}


def choose(arguments: Arguments, setting: Setting, with_taus: bool) -> plans.Plan:
    """The order of work for a layer, prepared, on the device of its tensors; `Layer` has seen to it that it is one of
    CHOICES, and the same for all.
    """
    return CHOICES[arguments.times.device.type](arguments, setting, with_taus)


def _simulate_block(
    plan: plans.Plan, counts: np.ndarray, peaks: layout.Peaks, budget: int, first: int, last: int
) -> np.ndarray:
    """The spike rows of the samples first ... last - 1. The buffer grows until everything fits."""
    N = counts.shape[1]
    rows = np.empty(((last - first) * N * FIRST_ROWS_PER_NEURON + 16, layout.NUM_COLUMNS))
    cursor, filled = first * N, 0
    while True:
        status, cursor, filled = plan.forward(cursor, last, layout.SpikeBuffer(rows, counts), filled, peaks, budget)
        if status == layout.DONE:
            return rows[:filled]
        if status == layout.BUDGET_EXCEEDED:
            raise SpikeBudgetError(cursor % N, cursor // N, budget, plan.name)
        rows = np.concatenate([rows[:filled], np.empty((3 * rows.shape[0], layout.NUM_COLUMNS))])


class _Spiking(torch.autograd.Function):
    """The first six of `Arguments` -> (times, units, offsets, peak, slopes); see README.md in kernels/.

    Not a custom op of torch.library, which takes and keeps nothing but tensors and numbers: the plan would have to wait
    for the way back in a table of ours, of which nothing is cleared where nobody goes back, and opcheck calls the key
    to it a wrong output. It also costs more, beside the kernels at the size of Yin-Yang: 0.19 instead of 0.06 ms
    forward, 0.48 instead of 0.24 ms forward and backward. Ragged outputs and errors would do.
    """

    @staticmethod
    def forward(ctx: Any, setting: Setting, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Simulate, and keep the rows of layout.SpikeBuffer."""
        plan = choose(Arguments(*tensors), setting, setting.with_taus and ctx.needs_input_grad[4])
        task = plan.task
        B, N = task.events.offsets.size - 1, task.population.parameters.shape[0]
        counts = np.zeros((B, N), np.int64)
        peak_shape = (B, N) if setting.want_peak else (0, 0)
        peaks = layout.Peaks(*(np.zeros(peak_shape) for _ in range(3)))

        def block(first: int, last: int) -> np.ndarray:
            return _simulate_block(plan, counts, peaks, setting.budget, first, last)

        rows = np.concatenate([*in_blocks(task.events, N, block), np.empty((0, layout.NUM_COLUMNS))])
        bounds = np.concatenate([[0], counts.sum(1).cumsum()])
        S = rows.shape[0]
        out_times, out_units, order = np.empty(S), np.empty(S, np.int64), np.empty(S, np.int64)
        merge_spikes(counts, rows, plan.late(), out_times, out_units, order)
        slopes = np.empty(S)
        fill_slopes(task.population, counts, rows, slopes)
        ctx.save_for_backward(*tensors)
        ctx.kept = rows, counts, peaks, bounds, order
        ctx.plan, ctx.min_slope = plan, setting.min_slope
        results = [torch.from_numpy(array) for array in (out_times, out_units, bounds, peaks.value, slopes[order])]
        ctx.mark_non_differentiable(results[1], results[2], results[4])
        return tuple(results)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, grad_times: Tensor, _units: Any, _offsets: Any, grad_peak: Tensor, _slopes: Any
    ) -> tuple[Tensor | None, ...]:
        """Gradients of the first six of `Arguments`."""
        _ = ctx.saved_tensors  # raises if one has changed since; the plan has their values
        rows, counts, peaks, bounds, order = ctx.kept
        plan, buffer, grad_rows = ctx.plan, layout.SpikeBuffer(rows, counts), np.empty(rows.shape[0])
        grad_rows[order] = grad_times.numpy()
        _, want_times, _, want_delay, *_ = ctx.needs_input_grad
        G_peak = np.ascontiguousarray(grad_peak.numpy())
        sent = layout.Sent(
            grad_rows, peaks, G_peak, ctx.min_slope, want_times or want_delay, plan.task.with_taus
        )  # fmt: skip

        def run(first: int, last: int, times: np.ndarray, *parts: np.ndarray) -> None:
            span = layout.Span(first, last, int(bounds[first]))
            plan.backward(
                span, buffer, order, sent, layout.Gradients(times, *parts[:3]), layout.Synapses(*parts[3:])
            )  # fmt: skip

        synapses, recurrent = plan.shapes()
        shapes = *synapses, plan.task.population.parameters, *recurrent
        times, parts = sum_blocks(plan.task.events, shapes, counts.shape[1], run)
        synapses, recurrent = plan.restore(layout.Synapses(*parts[:2]), layout.Synapses(*parts[3:]))
        found = times, *synapses, parts[2], *recurrent
        return (None, *(torch.from_numpy(array) for array in found), None, None)


def spikes(arguments: Arguments, setting: Setting) -> tuple[Tensor, ...]:
    """Simulate one layer.

    Returns times (S,), units (S,), offsets (B + 1,), peak (B, N) or (0, 0), and the dimensionless slope of every spike.
    """
    return _Spiking.apply(setting, *arguments)

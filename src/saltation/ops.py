"""Where torch meets the kernels: what a layer hands to them, and its simulation as an autograd function. No mathematics
here. The readout is in closed_form.py, distances are in distances.py.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .blocks import in_blocks, sum_blocks
from .kernels import layout

if TYPE_CHECKING:  # imported where they are called: Numba takes its time
    from .kernels import plans

DEFAULT_BUDGET = 100_000  # spikes of one neuron in one sample
RECURRENT_BUDGET = 10_000


class Arguments(NamedTuple):
    """The tensors that a layer hands to its kernels; all that are not int64 may carry gradients.

    float64: times (E,); weight (N, M) and delay (N or 1, M or 1), or with a wiring (S,) and (S,) or (1,); neurons
    (N, columns of the model); recurrent_weight and recurrent_delay likewise, both (0, 0) without recurrent connections;
    int64: units (E,), offsets (B + 1,). ghost_times, ghost_units, ghost_offsets: likewise of the ghosts among the
    inputs; the gradient of their times is that of their strengths.
    """

    times: Tensor
    weight: Tensor
    delay: Tensor
    neurons: Tensor
    recurrent_weight: Tensor
    recurrent_delay: Tensor
    ghost_times: Tensor
    units: Tensor
    offsets: Tensor
    ghost_units: Tensor
    ghost_offsets: Tensor


NO_GHOSTS = np.empty(0), np.empty(0, np.int64)
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
    smoothing: float = 0.0  # width of the noise of the threshold, in thresholds, for which ghosts are looked for


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


def make_task(arguments: Arguments, setting: Setting, with_taus: bool) -> "plans.Task":
    """The same for the kernels."""
    from .kernels import plans
    from .kernels.jit import announce_compilation

    announce_compilation()
    # contiguous: Numba would compile once more for every other memory layout
    arrays = (tensor.detach().contiguous().numpy() for tensor in arguments)
    times, weight, delay, neurons, recurrent_weight, recurrent_delay, ghost_times, *indices = arrays
    units, offsets, ghost_units, ghost_offsets = indices
    population = setting.population(neurons, setting.duration)
    if setting.smoothing > 0.0:
        population = population._replace(smoothing=setting.smoothing)
    return plans.Task(
        layout.Events(times, units, offsets),
        layout.Events(ghost_times, ghost_units, ghost_offsets),
        layout.Synapses(weight, delay),
        layout.Synapses(recurrent_weight, recurrent_delay) if recurrent_weight.size else None,
        setting.wiring,
        setting.recurrent_wiring,
        population,
        setting.want_peak,
        with_taus,
    )


def _choose_on_cpu(arguments: Arguments, setting: Setting, with_taus: bool) -> "plans.Plan":
    from .kernels import haunted

    return haunted.choose(make_task(arguments, setting, with_taus))


# By type of device: the choice of an order of work, for tensors that all are there. Only there they become arrays.
CHOICES: dict[str, Callable[[Arguments, Setting, bool], "plans.Plan"]] = {"cpu": _choose_on_cpu}


def choose(arguments: Arguments, setting: Setting, with_taus: bool) -> "plans.Plan":
    """The order of work for a layer, prepared, on the device of its tensors; `Layer` has seen to it that it is one of
    CHOICES, and the same for all.
    """
    return CHOICES[arguments.times.device.type](arguments, setting, with_taus)


def _simulate_block(
    plan: "plans.Plan", counts: np.ndarray, peaks: layout.Peaks, budget: int, first: int, last: int
) -> np.ndarray:
    """The spike rows of the samples first ... last - 1."""
    from .kernels import plans

    status, cursor, rows = plans.simulate(plan, first, last, counts, peaks, budget)
    if status == layout.BUDGET_EXCEEDED:
        raise SpikeBudgetError(cursor % counts.shape[1], cursor // counts.shape[1], budget, plan.name)
    return rows


class _Spiking(torch.autograd.Function):
    """The first seven of `Arguments` -> (times, units, offsets, peak, slopes, and times, units and offsets of ghosts);
    see README.md in kernels/.

    Not a custom op of torch.library, which takes and keeps nothing but tensors and numbers: the plan would have to wait
    for the way back in a table of ours, of which nothing is cleared where nobody goes back, and opcheck calls the key
    to it a wrong output. It also costs more, beside the kernels at the size of Yin-Yang: 0.19 instead of 0.06 ms
    forward, 0.48 instead of 0.24 ms forward and backward. Ragged outputs and errors would do.
    """

    @staticmethod
    def forward(ctx: Any, setting: Setting, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Simulate, and keep the rows of layout.SpikeBuffer."""
        from .kernels.arrivals import merge_spikes
        from .kernels.models import fill_slopes

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
        arrays = [out_times, out_units, bounds, peaks.value, slopes[order], *NO_GHOSTS, np.zeros_like(bounds)]
        ctx.is_ghost = None
        if setting.smoothing > 0.0:
            ctx.is_ghost = ghost = rows[order, layout.MARGIN] < 0.0
            ghosts_before = np.concatenate([[0], ghost.cumsum()])[bounds]
            arrays[:3] = out_times[~ghost], out_units[~ghost], bounds - ghosts_before
            arrays[4:] = arrays[4][~ghost], out_times[ghost], out_units[ghost], ghosts_before
        results = [torch.from_numpy(array) for array in arrays]
        ctx.mark_non_differentiable(*(results[k] for k in (1, 2, 4, 6, 7)))
        return tuple(results)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, grad_times: Tensor, _units: Any, _offsets: Any, grad_peak: Tensor, _slopes: Any,
        grad_strengths: Tensor, *_ghosts: Any,
    ) -> tuple[Tensor | None, ...]:  # fmt: skip
        """Gradients of the first seven of `Arguments`."""
        _ = ctx.saved_tensors  # raises if one has changed since; the plan has their values
        rows, counts, peaks, bounds, order = ctx.kept
        plan, buffer, grad_rows = ctx.plan, layout.SpikeBuffer(rows, counts), np.empty(rows.shape[0])
        if ctx.is_ghost is None:
            grad_rows[order] = grad_times.numpy()
        else:
            grad_rows[order[~ctx.is_ghost]] = grad_times.numpy()
            grad_rows[order[ctx.is_ghost]] = grad_strengths.numpy()
        _, want_times, _, want_delay, *_ = ctx.needs_input_grad
        G_peak = np.ascontiguousarray(grad_peak.numpy())
        sent = layout.Sent(
            grad_rows, peaks, G_peak, ctx.min_slope, want_times or want_delay, plan.task.with_taus
        )  # fmt: skip

        strengths = np.zeros_like(plan.task.ghosts.times)  # every block has its own samples

        def run(first: int, last: int, times: np.ndarray, *parts: np.ndarray) -> None:
            span = layout.Span(first, last, int(bounds[first]))
            weight, delay, parameters, *recurrent = parts
            gradients = layout.Gradients(times, weight, delay, parameters, strengths)
            plan.backward(span, buffer, order, sent, gradients, layout.Synapses(*recurrent))

        synapses, recurrent = plan.shapes()
        shapes = *synapses, plan.task.population.parameters, *recurrent
        times, parts = sum_blocks(plan.task.events, shapes, counts.shape[1], run)
        synapses, recurrent = plan.restore(layout.Synapses(*parts[:2]), layout.Synapses(*parts[3:]))
        found = times, *synapses, parts[2], *recurrent, strengths
        return (None, *(torch.from_numpy(array) for array in found), None, None, None, None)


def spikes(arguments: Arguments, setting: Setting) -> tuple[Tensor, ...]:
    """Simulate one layer.

    Returns times (S,), units (S,), offsets (B + 1,), peak (B, N) or (0, 0), the dimensionless slope of every spike, and
    times, units and offsets of the ghosts, the gradient of whose times is that of their strengths.
    """
    return _Spiking.apply(setting, *arguments)

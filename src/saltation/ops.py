"""Where torch meets the kernels: autograd functions, the blocks of work, and the threads. No mathematics here.

Work is split into fixed blocks of samples, whatever the number of threads, and partial gradients are added in block
order: results are bit-identical for any `torch.set_num_threads`.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .kernels import distances, layout, plans
from .kernels.arrivals import merge_spikes
from .kernels.jit import announce_compilation
from .kernels.models import fill_slopes
from .kernels.patches import Reach, count_seen, list_seen
from .kernels.readout import VALUE, WINDOW, readout_backward, readout_forward

MAX_BLOCKS = 8
SYNAPTIC_EVENTS_PER_BLOCK = 50_000  # less work than this is not worth another block
DEFAULT_BUDGET = 100_000  # spikes of one neuron in one sample
RECURRENT_BUDGET = 10_000
FIRST_ROWS_PER_NEURON = 64  # a guess; the buffer grows, and what is not written costs nothing

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


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
    """A neuron spiked more often than its budget allows. neuron, sample and layer (of a `Sequential`) say which."""

    def __init__(self, neuron: int, sample: int, budget: int, layer: int | None = None):
        super().__init__(neuron, sample, budget, layer)  # what pickle hands back to __init__, between processes
        self.neuron, self.sample, self.budget, self.layer = neuron, sample, budget, layer

    def __str__(self) -> str:
        where = "" if self.layer is None else f"layer {self.layer}: "
        return (
            f"{where}neuron {self.neuron} spiked more than {self.budget} times in sample {self.sample}: its activity "
            "runs away. Lower the weights, use a refractory period or a jump > 0, or raise the layer's max_spikes"
        )


def in_blocks(events: layout.Events, num_neurons: int, work: Callable[[int, int], Any]) -> list[Any]:
    """[work(first, last) ...] over blocks of samples, on torch.get_num_threads() threads, in order.

    The blocks depend on the problem alone, never on the number of threads.
    """
    count = events.offsets.size - 1
    blocks = min(count, MAX_BLOCKS, 1 + events.times.size * num_neurons // SYNAPTIC_EVENTS_PER_BLOCK)
    edges = [count * k // blocks for k in range(blocks + 1)] if count else [0]
    spans = list(zip(edges[:-1], edges[1:], strict=True))
    threads = torch.get_num_threads()
    if threads == 1 or len(spans) <= 1:
        return [work(*span) for span in spans]
    key = (os.getpid(), threads)  # threads do not survive a fork: every process makes its own
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(threads, thread_name_prefix="saltation")
    return list(_pools[key].map(lambda span: work(*span), spans))


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
            raise SpikeBudgetError(cursor % N, cursor // N, budget)
        rows = np.concatenate([rows[:filled], np.empty((3 * rows.shape[0], layout.NUM_COLUMNS))])


def _sum_blocks(
    events: layout.Events, shapes: Sequence[np.ndarray], N: int, run: Callable[..., None]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Add up, in block order, what run(first, last, times, *parts) writes to arrays of these shapes for each block of
    samples; `times` are shared, as every block has its own samples.
    """
    times = np.zeros_like(events.times)

    def block(first: int, last: int) -> list[np.ndarray]:
        parts = [np.zeros_like(array) for array in shapes]
        run(first, last, times, *parts)
        return parts

    total, *others = in_blocks(events, N, block) or [[np.zeros_like(array) for array in shapes]]
    for part in others:
        for sum_, partial in zip(total, part, strict=True):
            sum_ += partial
    return times, total


class _Spiking(torch.autograd.Function):
    """The first six of `Arguments` -> (times, units, offsets, peak, slopes); see README.md in kernels/."""

    @staticmethod
    def forward(ctx: Any, setting: Setting, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Simulate, and keep the rows of layout.SpikeBuffer."""
        task = make_task(Arguments(*tensors), setting, setting.with_taus and ctx.needs_input_grad[4])
        plan = plans.choose(task)
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
        times, parts = _sum_blocks(plan.task.events, shapes, counts.shape[1], run)
        synapses, recurrent = plan.restore(layout.Synapses(*parts[:2]), layout.Synapses(*parts[3:]))
        found = times, *synapses, parts[2], *recurrent
        return (None, *(torch.from_numpy(array) for array in found), None, None)


class _Readout(torch.autograd.Function):
    """(times, weight, delay, neurons) -> (B, N, Q) functionals of the membrane potential; see kernels/readout.py."""

    @staticmethod
    def forward(ctx: Any, setting: Setting, mode: int, points: np.ndarray, *tensors: Tensor) -> Tensor:
        """Evaluate the functionals `points` (Q,)."""
        task = make_task(Arguments(*tensors), setting, False)
        events, synapses, packed = task.events, task.synapses, task.population
        weights = np.ascontiguousarray(synapses.weight.T)
        out = np.zeros((events.offsets.size - 1, points.size, weights.shape[1]))

        def run(first: int, last: int) -> None:
            readout_forward(mode, events, synapses, weights, packed, first, last, points, out)

        in_blocks(events, weights.shape[1], run)
        ctx.save_for_backward(*tensors)
        ctx.setting, ctx.mode, ctx.points = setting, mode, points
        return torch.from_numpy(out).transpose(1, 2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of times, weight, delay and neurons."""
        task = make_task(Arguments(*ctx.saved_tensors), ctx.setting, False)
        events, synapses, packed = task.events, task.synapses, task.population
        weights = np.ascontiguousarray(synapses.weight.T)
        G = grad_out.transpose(1, 2).contiguous().numpy()
        with_taus = ctx.needs_input_grad[6]

        def run(first: int, last: int, times: np.ndarray, *parts: np.ndarray) -> None:
            rest = packed, first, last, ctx.points, G, with_taus
            readout_backward(ctx.mode, events, synapses, weights, *rest, layout.Gradients(times, *parts))

        shapes = weights, synapses.delay, packed.parameters
        times, (weight, delay, neurons) = _sum_blocks(events, shapes, weights.shape[1], run)
        gradients = times, np.ascontiguousarray(weight.T), delay, neurons
        return (None, None, None, *(torch.from_numpy(array) for array in gradients), None, None, None, None)


def spikes(arguments: Arguments, setting: Setting) -> tuple[Tensor, ...]:
    """Simulate one layer.

    Returns times (S,), units (S,), offsets (B + 1,), peak (B, N) or (0, 0), and the dimensionless slope of every spike.
    """
    return _Spiking.apply(setting, *arguments)


def li_values(arguments: Arguments, setting: Setting, points: np.ndarray) -> Tensor:
    """(B, N, Q): V at the given times (Q,)."""
    return _Readout.apply(setting, VALUE, points, *arguments)


def li_window(arguments: Arguments, setting: Setting, tau: float) -> Tensor:
    """(B, N): int_0^duration e^{-t/tau} V dt; tau = inf is the plain integral."""
    return _Readout.apply(setting, WINDOW, np.array([tau]), *arguments)[:, :, 0]


def seen(times: Tensor, units: Tensor, offsets: Tensor, reach: Reach, places: int) -> tuple[Tensor, Tensor, Tensor]:
    """The events that each place of a convolution sees, as a batch of B places samples: times, elements, offsets."""
    announce_compilation()
    events = layout.Events(*(tensor.detach().contiguous().numpy() for tensor in (times, units, offsets)))
    bounds = np.zeros((events.offsets.size - 1) * places + 1, np.int64)
    count_seen(events, reach, places, bounds[1:])
    bounds = bounds.cumsum()
    event, element = np.empty((2, bounds[-1]), np.int64)
    list_seen(events, reach, places, bounds[:-1].copy(), event, element)
    # index_select: its gradient is much faster than that of indexing
    return times.index_select(0, torch.from_numpy(event)), torch.from_numpy(element), torch.from_numpy(bounds)


class _Distance(torch.autograd.Function):
    """(ours (E,), theirs (F,)) -> (trains,): a distance of kernels/distances.py."""

    @staticmethod
    def forward(
        ctx: Any, kernel: Callable[..., None], scale: float, start: Tensor, begin: Tensor, ours: Tensor, theirs: Tensor
    ) -> Tensor:
        """Distances of all trains, and what their gradients need."""
        announce_compilation()
        a, b = (times.detach().contiguous().numpy() for times in (ours, theirs))
        distance, grads = np.zeros(start.numel() - 1), (np.empty_like(a), np.empty_like(b))
        kernel(a, start.numpy(), b, begin.numpy(), scale, distance, *grads)
        ctx.kept = start, begin, grads
        return torch.from_numpy(distance)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_distance: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the times."""
        start, begin, grads = ctx.kept
        shares = (
            torch.from_numpy(grad) * grad_distance.repeat_interleave(bounds.diff())
            for grad, bounds in zip(grads, (start, begin), strict=True)
        )
        return None, None, None, None, *shares


def van_rossum(ours: Tensor, start: Tensor, theirs: Tensor, begin: Tensor, tau: float) -> Tensor:
    """(trains,): see kernels/distances.py."""
    return _Distance.apply(distances.van_rossum, tau, start, begin, ours, theirs)


def victor_purpura(ours: Tensor, start: Tensor, theirs: Tensor, begin: Tensor, q: float) -> Tensor:
    """(trains,): see kernels/distances.py."""
    return _Distance.apply(distances.victor_purpura, q, start, begin, ours, theirs)

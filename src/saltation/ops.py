"""Where torch meets the kernels: autograd functions, the blocks of work, and the threads. No mathematics here.

Work is split into fixed blocks of samples, whatever the number of threads, and partial gradients are added in block
order: results are bit-identical for any `torch.set_num_threads`.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .kernels import distances, layout
from .kernels.arrivals import merge_spikes
from .kernels.backward import lif_backward
from .kernels.binned import binned_forward
from .kernels.binned_backward import binned_backward
from .kernels.bins import Delays, Grid, make_grid, split_delays
from .kernels.course import share_taus
from .kernels.forward import lif_forward
from .kernels.jit import announce_compilation
from .kernels.lanes import LANES
from .kernels.patches import Reach, count_seen, list_seen
from .kernels.qif import qif_backward, qif_forward
from .kernels.readout import VALUE, WINDOW, readout_backward, readout_forward
from .kernels.recurrent import recurrent_forward
from .kernels.recurrent_backward import recurrent_backward
from .kernels.recurrent_sweep import recurrent_sweep_forward
from .kernels.recurrent_sweep_backward import recurrent_sweep_backward
from .kernels.reset import spike_slopes
from .kernels.rings import Rings, make_rings
from .kernels.rings_backward import rings_backward
from .kernels.rings_forward import rings_forward
from .kernels.sparse import sparse_backward, sparse_forward
from .kernels.sweep import by_input, by_neuron, sweep_forward
from .kernels.sweep_backward import sweep_backward

MAX_BLOCKS = 8
SYNAPTIC_EVENTS_PER_BLOCK = 50_000  # less work than this is not worth another block
DEFAULT_BUDGET = 100_000  # spikes of one neuron in one sample
RECURRENT_BUDGET = 10_000
FIRST_ROWS_PER_NEURON = 64  # a guess; the buffer grows, and what is not written costs nothing

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


class Arguments(NamedTuple):
    """The tensors that a layer hands to its kernels; all but the last two may carry gradients.

    float64: times (E,); weight (N, M) and delay (N or 1, M or 1), or both as layout.Wiring says; neurons (N, 7), with
    the columns of kernels/layout.py; recurrent_weight (N, N) and recurrent_delay (N or 1, N or 1), both (0, 0) without
    recurrent connections;
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


class Arrays(NamedTuple):
    """The same for the kernels; recurrent is None without recurrent connections."""

    events: layout.Events
    synapses: layout.Synapses
    recurrent: layout.Synapses | None
    neurons: layout.Neurons


class Setting(NamedTuple):
    """What a layer fixes for its kernels, besides tensors."""

    subtract: bool
    spiking: bool
    duration: float
    want_peak: bool
    min_slope: float
    budget: int
    with_taus: bool = True  # whether gradients with respect to tau_mem and tau_syn are wanted
    wiring: layout.Wiring | None = None  # which synapses there are; None: all
    quadratic: bool = False  # QIF neurons; they need a wiring


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


def _arrays(arguments: Arguments, setting: Setting) -> Arrays:
    announce_compilation()
    # contiguous: Numba would compile once more for every other memory layout
    arrays = (tensor.detach().contiguous().numpy() for tensor in arguments)
    times, weight, delay, neurons, recurrent_weight, recurrent_delay, units, offsets = arrays
    recurrent = layout.Synapses(recurrent_weight, recurrent_delay) if recurrent_weight.size else None
    packed = layout.Neurons(neurons, setting.subtract, setting.spiking, setting.duration)
    return Arrays(layout.Events(times, units, offsets), layout.Synapses(weight, delay), recurrent, packed)


class Plan(NamedTuple):
    """Which kernels simulate a layer (README.md in kernels/, section 4), and what they need besides its arguments.

    wiring: neuron-major along the synapses there are, of quadratic neurons or not. tiles: event-major, the weights by
    input (and by neuron, with recurrent connections). grid and delays: neuron-major in bins. rings: recurrent, bin by
    bin. None of them: neuron-major; with recurrent connections window by window.
    """

    wiring: layout.Wiring | None = None
    quadratic: bool = False
    recurrent: layout.Synapses | None = None
    tiles: np.ndarray | None = None
    grid: Grid | None = None
    delays: Delays | None = None
    rings: Rings | None = None


def _plan(arrays: Arrays, setting: Setting) -> Plan:
    """The fastest kernels that can do it."""
    events, synapses, recurrent, neurons = arrays
    if setting.wiring is not None:
        return Plan(setting.wiring, setting.quadratic)
    if recurrent is not None:
        if max(synapses.delay.shape[0], recurrent.delay.shape[0]) > 1:
            return Plan(recurrent=recurrent, rings=None if setting.want_peak else make_rings(*arrays))
        return Plan(recurrent=recurrent, tiles=by_input(np.hstack([synapses.weight, recurrent.weight]), LANES))
    if min(synapses.delay.shape) == 1:
        return Plan(tiles=by_input(synapses.weight, LANES))
    if setting.want_peak or not share_taus(neurons.parameters):
        return Plan()
    tau_mem, tau_syn = neurons.parameters[0, : layout.TAU_SYN + 1]
    grid = make_grid(events, neurons.duration, tau_mem, tau_syn)
    return Plan() if grid is None else Plan(grid=grid, delays=split_delays(synapses.delay, grid))


def _simulate_block(
    arrays: Arrays,
    plan: Plan,
    counts: np.ndarray,
    peaks: layout.Peaks,
    budget: int,
    first: int,
    last: int,
) -> np.ndarray:
    """The spike rows of the samples first ... last - 1. The buffer grows until everything fits."""
    events, synapses, _, neurons = arrays
    N = neurons.parameters.shape[0]
    rows = np.empty(((last - first) * N * FIRST_ROWS_PER_NEURON + 16, layout.NUM_COLUMNS))
    cursor, filled = first * N, 0
    while True:
        buffer = layout.SpikeBuffer(rows, counts)
        rest = neurons, cursor, last, buffer, filled, peaks, budget
        if plan.quadratic:
            status, cursor, filled = qif_forward(events, synapses, plan.wiring, *rest)
        elif plan.wiring is not None:
            status, cursor, filled = sparse_forward(events, synapses, plan.wiring, *rest)
        elif plan.recurrent is not None and plan.tiles is not None:
            status, cursor, filled = recurrent_sweep_forward(events, synapses, plan.recurrent, plan.tiles, *rest)
        elif plan.rings is not None:
            status, cursor, filled = rings_forward(events, synapses, plan.recurrent, plan.rings, *rest)
        elif plan.recurrent is not None:
            status, cursor, filled = recurrent_forward(events, synapses, plan.recurrent, *rest)
        elif plan.tiles is not None:
            status, cursor, filled = sweep_forward(events, synapses, plan.tiles, *rest)
        elif plan.grid is not None:
            status, cursor, filled = binned_forward(events, synapses, plan.grid, plan.delays, *rest)
        else:
            status, cursor, filled = lif_forward(events, synapses, *rest)
        if status == layout.DONE:
            return rows[:filled]
        if status == layout.BUDGET_EXCEEDED:
            raise SpikeBudgetError(cursor % N, cursor // N, budget)
        rows = np.concatenate([rows[:filled], np.empty((3 * rows.shape[0], layout.NUM_COLUMNS))])


def _sum_gradients(
    arrays: Arrays, run: Callable[[int, int, layout.Gradients, layout.Synapses], None], weights: np.ndarray
) -> tuple[layout.Gradients, layout.Synapses]:
    """Add up, in block order, what run(first, last, gradients, recurrent gradients) writes for each block of samples.

    weights: of the shape and order in which `run` writes their gradients.
    """
    events, synapses, recurrent, neurons = arrays
    times = np.zeros_like(events.times)  # every block has its own samples
    shapes = weights, synapses.delay, neurons.parameters, *(recurrent or (np.empty((0, 0)),) * 2)

    def block(first: int, last: int) -> list[np.ndarray]:
        parts = [np.zeros_like(array) for array in shapes]
        run(first, last, layout.Gradients(times, *parts[:3]), layout.Synapses(*parts[3:]))
        return parts

    total, *others = in_blocks(events, neurons.parameters.shape[0], block) or [
        [np.zeros_like(array) for array in shapes]
    ]
    for part in others:
        for sum_, partial in zip(total, part, strict=True):
            sum_ += partial
    return layout.Gradients(times, *total[:3]), layout.Synapses(*total[3:])


class _LIF(torch.autograd.Function):
    """The first six of `Arguments` -> (times, units, offsets, peak, slopes); see README.md in kernels/."""

    @staticmethod
    def forward(ctx: Any, setting: Setting, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Simulate, and keep the rows of layout.SpikeBuffer."""
        arrays = _arrays(Arguments(*tensors), setting)
        events, synapses, _, packed = arrays
        B, N = events.offsets.size - 1, packed.parameters.shape[0]
        counts = np.zeros((B, N), np.int64)
        peak_shape = (B, N) if setting.want_peak else (0, 0)
        peaks = layout.Peaks(*(np.zeros(peak_shape) for _ in range(3)))

        plan = _plan(arrays, setting)

        def block(first: int, last: int) -> np.ndarray:
            return _simulate_block(arrays, plan, counts, peaks, setting.budget, first, last)

        rows = np.concatenate([*in_blocks(events, N, block), np.empty((0, layout.NUM_COLUMNS))])
        bounds = np.concatenate([[0], counts.sum(1).cumsum()])
        S = rows.shape[0]
        out_times, out_units, order = np.empty(S), np.empty(S, np.int64), np.empty(S, np.int64)
        slopes = np.full(S, np.inf)  # of a QIF neuron's V where it passes infinity
        # event-major neurons with dendritic delays keep clocks of their own
        late = synapses.delay[:, 0] if plan.tiles is not None and synapses.delay.shape[0] > 1 else np.zeros(N)
        merge_spikes(counts, rows, np.ascontiguousarray(late), out_times, out_units, order)
        if not setting.quadratic:
            spike_slopes(counts, rows, packed, slopes)
        ctx.save_for_backward(*tensors)
        ctx.kept = rows, counts, peaks, bounds, order
        ctx.setting = setting
        results = [torch.from_numpy(array) for array in (out_times, out_units, bounds, peaks.value, slopes[order])]
        ctx.mark_non_differentiable(results[1], results[2], results[4])
        return tuple(results)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, grad_times: Tensor, _units: Any, _offsets: Any, grad_peak: Tensor, _slopes: Any
    ) -> tuple[Tensor | None, ...]:
        """Gradients of the first six of `Arguments`."""
        rows, counts, peaks, bounds, order = ctx.kept
        arrays = _arrays(Arguments(*ctx.saved_tensors), ctx.setting)
        events, synapses, _, packed = arrays
        buffer = layout.SpikeBuffer(rows, counts)
        grad_rows = np.empty(rows.shape[0])
        grad_rows[order] = grad_times.numpy()
        G_peak = np.ascontiguousarray(grad_peak.numpy())

        _, want_times, _, want_delay, want_neurons, *_ = ctx.needs_input_grad
        with_taus = ctx.setting.with_taus and want_neurons
        plan = _plan(arrays, ctx.setting)
        if with_taus and plan.grid is not None:
            plan = Plan()  # only the sums over single arrivals know them

        def run(first: int, last: int, gradients: layout.Gradients, of_recurrent: layout.Synapses) -> None:
            head = packed, first, last, buffer, bounds[first]
            span = *head, grad_rows
            min_slope = ctx.setting.min_slope
            if plan.quadratic:
                qif_backward(events, synapses, plan.wiring, *span, gradients)
            elif plan.wiring is not None:
                sparse_backward(events, synapses, plan.wiring, *span, peaks, G_peak, min_slope, with_taus, gradients)
            elif plan.rings is not None and not with_taus:  # else only the sums over single arrivals know them
                ends = grad_rows, peaks, G_peak, min_slope, gradients, of_recurrent
                rings_backward(events, synapses, plan.recurrent, plan.rings, *head, order, *ends)
            elif plan.recurrent is not None:
                rest = grad_rows, peaks, G_peak, min_slope, with_taus, gradients, of_recurrent
                if plan.tiles is None:
                    recurrent_backward(events, synapses, plan.recurrent, *head, order, *rest)
                else:
                    recurrent_sweep_backward(events, synapses, plan.recurrent, plan.tiles, *head, *rest)
            elif plan.tiles is not None:
                tiles, want = plan.tiles, want_times or want_delay
                sweep_backward(events, synapses, tiles, *span, peaks, G_peak, min_slope, want, with_taus, gradients)
            elif plan.grid is not None:
                binned_backward(events, synapses, plan.grid, plan.delays, *span, min_slope, want_times, gradients)
            else:
                lif_backward(events, synapses, *span, peaks, G_peak, min_slope, with_taus, gradients)

        total, of_recurrent = _sum_gradients(arrays, run, synapses.weight if plan.tiles is None else plan.tiles)
        if plan.tiles is not None:
            weight = by_neuron(total.weight, synapses.weight.shape[0])
            if plan.recurrent is not None:
                weight, of_weight = np.split(weight, [synapses.weight.shape[1]], axis=1)
                of_recurrent = of_recurrent._replace(weight=of_weight)
            total = total._replace(weight=weight)
        return (None, *(torch.from_numpy(array) for array in (*total, *of_recurrent)), None, None)


class _Readout(torch.autograd.Function):
    """(times, weight, delay, neurons) -> (B, N, Q) functionals of the membrane potential; see kernels/readout.py."""

    @staticmethod
    def forward(ctx: Any, setting: Setting, mode: int, points: np.ndarray, *tensors: Tensor) -> Tensor:
        """Evaluate the functionals `points` (Q,)."""
        events, synapses, _, packed = _arrays(Arguments(*tensors), setting)
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
        arrays = _arrays(Arguments(*ctx.saved_tensors), ctx.setting)
        events, synapses, _, packed = arrays
        weights = np.ascontiguousarray(synapses.weight.T)
        G = grad_out.transpose(1, 2).contiguous().numpy()
        with_taus = ctx.needs_input_grad[6]

        def run(first: int, last: int, gradients: layout.Gradients, _: layout.Synapses) -> None:
            rest = packed, first, last, ctx.points, G, with_taus
            readout_backward(ctx.mode, events, synapses, weights, *rest, gradients)

        total, _ = _sum_gradients(arrays, run, weights)
        gradients = total._replace(weight=np.ascontiguousarray(total.weight.T))
        return (None, None, None, *(torch.from_numpy(array) for array in gradients), None, None, None, None)


def lif(arguments: Arguments, setting: Setting) -> tuple[Tensor, ...]:
    """Simulate one layer.

    Returns times (S,), units (S,), offsets (B + 1,), peak (B, N) or (0, 0), and the dimensionless slope of every spike.
    """
    return _LIF.apply(setting, *arguments)


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

"""`Twin`: a network of LIF neurons on a time grid, with the parameters of an exact one and surrogate gradients."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  what Numba's np.dot calls; loaded here, so that BLAS finds it
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from saltation import Sequential, Spikes
from saltation.experiments.grid.pack import Packed, Settings, stages
from saltation.experiments.grid.passes import (
    Buffers,
    Events,
    Plan,
    Tape,
    backwards,
    forwards,
    gradients,
    release,
    totals_of,
)
from saltation.experiments.grid.readouts import Functional
from saltation.kernels.flow import phi

MAX_BLOCKS = 8  # of samples, each with gradients of its own
SIDE_BY_SIDE = 16
GROUP_CELLS = 1 << 18  # steps x neurons of as many samples as go through the layers together: they fit a cache

BLAS = ThreadpoolController()
Loss = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


class Outcome(NamedTuple):
    """value: what leaky integrators are read out with, or first spike times with the duration where there is none,
    (B, C) float64; of the functional `spikes` the raster of the last layer (B, T, C), 1 where it spikes; counts: for
    every spiking layer the mean over the samples of `losses.soft_counts` (N,), if asked for; spikes: of every spiking
    layer. The first two carry gradients.
    """

    value: Tensor
    counts: list[Tensor]
    spikes: list[Spikes]


class Twin:
    """A `Sequential` on a time grid of step dt: spikes of step t are at t dt, arrivals are shared out between the steps
    around them.

    It has no parameters of its own: those of the network get the gradients, and the network, changed by an optimiser,
    can at any time be evaluated in continuous time.

    Args:
        network: of LIF layers, and LI at the end if there is a functional; neurons of a layer share time constants.
        duration: of the samples.
        settings: the step, and how gradients are computed.
        functional: what of leaky integrators is read out, or, of a last layer that spikes, `spikes`, its raster; None:
            its first spikes.
        count_tau: of `losses.soft_counts`, if they are wanted.
    """

    def __init__(
        self,
        network: Sequential,
        duration: float,
        settings: Settings,
        functional: Functional | None = None,
        count_tau: float | None = None,
    ):
        self.network, self.duration, self.settings = network, duration, settings
        made = stages(network, settings)
        of_spikes = functional is None or functional.name == "spikes"
        if made[-1].spiking != of_spikes:
            raise ValueError("a network that ends in leaky integrators needs a functional of them, any other none")
        steps = int(np.floor(duration / settings.dt * (1 + 1e-12)))
        times, last = settings.dt * np.arange(steps + 1), made[-1]
        if functional is None or of_spikes:
            window = np.zeros(steps + 1)
        elif functional.name == "maximum":
            window = np.array([phi(t, last.tau_mem, last.tau_syn) for t in times])
        else:
            window = functional.worth(times, duration, last.tau_mem, last.tau_syn)
        worth = None if count_tau is None else -np.expm1((times - duration) / count_tau).astype(settings.dtype)
        self.plan = Plan(made, steps, functional, window.astype(settings.dtype), worth, Buffers())
        self.recurrent = any(stage.layer.recurrent is not None for stage in made)
        self._pools: dict[int, ThreadPoolExecutor] = {}

    def run(self, spikes: Spikes, drop: float = 0.0, generator: torch.Generator | None = None) -> Outcome:
        """Simulate a batch.

        drop: fraction of hidden spikes, drawn from `generator`, that do not go on to the next layer; they do feed back.
        """
        batch = _Batch(self, spikes, drop, generator)
        value, *counts = _Unrolled.apply(batch, *batch.tensors())
        if not value.requires_grad:
            for tape in batch.tapes():
                release(self.plan, tape)
        return Outcome(value, counts, batch.spikes())

    def descend(
        self, spikes: Spikes, loss: Loss, drop: float = 0.0, generator: torch.Generator | None = None
    ) -> tuple[np.ndarray, list[Spikes]]:
        """As `run` and the backward pass of the mean loss, but faster: a few samples go forwards and backwards before
        the next ones, while what they left is in the cache.

        loss: from values (G, C) of samples first ... first + G - 1 to the loss of each and its gradient (G, C).
        Returns losses (B,) and the spikes of the spiking layers; gradients are added to those of the parameters.
        """
        batch = _Batch(self, spikes, drop, generator)
        losses = np.empty(spikes.num_samples)

        def block(spans: list[tuple[int, int]]) -> tuple[list[Tape], list[Packed]]:
            tapes, totals = [], totals_of(self.plan, batch.packed)
            for first, stop in spans:
                tape = batch.forwards(first, stop)
                losses[first:stop], gradient = loss(self.in_time(tape.values), first)
                batch.backwards(tape, gradient / len(losses), [None] * len(totals), totals)
                tapes.append(tape)
            return tapes, totals

        batch.done, blocks = zip(*self.side_by_side(block, batch.blocks), strict=True)
        flat = [array for stage in gradients(batch.packed, list(blocks)) for array in stage]
        pairs = [
            (tensor, torch.from_numpy(array))
            for tensor, array in zip(batch.tensors(), flat, strict=True)
            if tensor is not None and tensor.requires_grad and array is not None
        ]
        tensors, given = zip(*pairs, strict=True)
        torch.autograd.backward(tensors, given)
        return losses, batch.spikes()

    def in_time(self, values: np.ndarray) -> np.ndarray:
        """What the passes computed, float64, steps as times."""
        if self.plan.functional is not None:
            return values.astype(np.float64)
        return np.where(values == self.plan.steps, self.duration, self.settings.dt * values)

    def blocks(self, batch: int) -> list[list[tuple[int, int]]]:
        """Spans of samples: of each block one group after the other. They do not depend on the number of threads."""
        number = min(-(-batch // (SIDE_BY_SIDE if self.recurrent else 1)), MAX_BLOCKS)
        edges = [batch * k // number for k in range(number + 1)]
        cells = self.plan.steps * max(stage.size for stage in self.plan.stages)
        size = max(SIDE_BY_SIDE if self.recurrent else 1, GROUP_CELLS // cells)
        return [
            [(low, min(low + size, stop)) for low in range(start, stop, size)]
            for start, stop in zip(edges[:-1], edges[1:], strict=True)
        ]

    def side_by_side(self, work: Any, items: list[Any]) -> list[Any]:
        """[work(item) ...] on torch.get_num_threads() threads, in order; none of them has threads of its own."""
        threads = torch.get_num_threads()
        with BLAS.limit(limits=1, user_api="blas"):
            if threads == 1:
                return [_flushed(work, item) for item in items]
            if threads not in self._pools:
                self._pools[threads] = ThreadPoolExecutor(threads)
            return list(self._pools[threads].map(partial(_flushed, work), items))


def _flushed(work: Any, item: Any) -> Any:
    """work(item), in which numbers too small for full precision are 0: the processor takes a hundred times longer for
    them, and gradients of samples that are right for sure are full of them.
    """
    torch.set_flush_denormal(True)
    try:
        return work(item)
    finally:
        torch.set_flush_denormal(False)


class _Batch:
    """A batch on its way through a twin: the parameters as they are, the tapes of all samples."""

    def __init__(self, twin: Twin, spikes: Spikes, drop: float, generator: torch.Generator | None):
        self.twin, self.plan = twin, twin.plan
        self.stages = [stage.pack() for stage in twin.plan.stages]
        self.packed = [Packed(*(None if t is None else t.detach().numpy() for t in stage)) for stage in self.stages]
        self.blocks = twin.blocks(spikes.num_samples)
        self.done: Any = []  # of each block the tapes
        self.drop = drop
        self.seed = int(torch.randint(2**62, (1,), generator=generator)) if drop > 0 else None
        self.times = spikes.times.numpy() / twin.settings.dt
        self.units, self.offsets = spikes.units.numpy(), spikes.offsets.numpy()

    def tensors(self) -> list[Tensor | None]:
        """Of all stages."""
        return [tensor for stage in self.stages for tensor in stage]

    def tapes(self) -> list[Tape]:
        """In the order of the samples."""
        return [tape for tapes in self.done for tape in tapes]

    def forwards(self, first: int, stop: int) -> Tape:
        """Samples first ... stop - 1."""
        own = slice(self.offsets[first], self.offsets[stop])
        inputs = Events(self.offsets[first : stop + 1] - self.offsets[first], self.times[own], self.units[own])
        rng = None if self.seed is None else np.random.default_rng([self.seed, first])
        return forwards(self.plan, self.packed, inputs, 1.0 - self.drop, rng)

    def backwards(self, tape: Tape, gradient: np.ndarray, counted: list[Any], totals: list[Packed]) -> None:
        """From the gradient of the values, times among them."""
        unit = 1.0 if self.plan.functional is not None else self.twin.settings.dt
        backwards(self.plan, self.packed, tape, unit * gradient, counted, totals)

    def spikes(self) -> list[Spikes]:
        """Of every spiking layer."""
        tapes, found = self.tapes(), []
        for k, stage in enumerate(self.plan.stages[: len(tapes[0].spikes)]):
            events = [tape.spikes[k] for tape in tapes]
            counts = np.concatenate([np.diff(part.offsets) for part in events])
            offsets = torch.from_numpy(np.concatenate([[0], counts.cumsum()]))
            times = torch.from_numpy(self.twin.settings.dt * np.concatenate([part.times for part in events]))
            units = torch.from_numpy(np.concatenate([part.units for part in events]))
            duration = self.twin.duration
            found.append(Spikes.unchecked(times.clamp(max=duration), units, offsets, stage.size, duration))
        return found

    def mean_counts(self) -> list[Tensor]:
        """See `Outcome`."""
        counts = []
        for k, stage in enumerate(self.plan.stages):
            if stage.spiking:
                total = np.zeros(stage.size)
                for tape in self.tapes():
                    events = tape.spikes[k]
                    worth = self.plan.worth[events.times.astype(np.int64)]
                    total += np.bincount(events.units, worth, minlength=stage.size)
                counts.append(torch.from_numpy(total / (len(self.offsets) - 1)))
        return counts


class _Unrolled(torch.autograd.Function):
    """(batch, *its tensors) -> value, *counts; see `Outcome`."""

    @staticmethod
    def forward(ctx: Any, batch: _Batch, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        """Simulate, and keep the tapes."""
        twin = batch.twin
        batch.done = twin.side_by_side(lambda spans: [batch.forwards(*span) for span in spans], batch.blocks)
        ctx.batch = batch
        value = twin.in_time(np.concatenate([tape.values for tape in batch.tapes()]))
        return torch.from_numpy(value), *([] if twin.plan.worth is None else batch.mean_counts())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor, *counted: Tensor) -> tuple[Tensor | None, ...]:
        """Once only: the tapes are overwritten."""
        batch, ctx.batch = ctx.batch, None
        if batch is None:
            raise RuntimeError("the backward pass of a twin runs once: simulate again")
        G, dtype = gradient.numpy(), batch.twin.settings.dtype
        each: list[Any] = [np.ascontiguousarray(part.numpy() / len(G), dtype) for part in counted]
        each = each or [None] * len(batch.packed)

        def block(item: tuple[list[tuple[int, int]], list[Tape]]) -> list[Packed]:
            totals = totals_of(batch.plan, batch.packed)
            for (first, stop), tape in zip(*item, strict=True):
                batch.backwards(tape, G[first:stop], each, totals)
            return totals

        blocks = batch.twin.side_by_side(block, list(zip(batch.blocks, batch.done, strict=True)))
        flat = [array for stage in gradients(batch.packed, blocks) for array in stage]
        return None, *(None if array is None else torch.from_numpy(array) for array in flat)

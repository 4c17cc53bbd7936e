"""`Twin`: a network of LIF neurons on a time grid, with the parameters of an exact one and surrogate gradients."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from grid.pack import Packed, Settings, stages
from grid.passes import Buffers, Events, Plan, Tape, backwards, forwards, release
from grid.readouts import Functional
from saltation import Sequential, Spikes
from saltation.kernels.flow import phi

MAX_BLOCKS = 8  # of samples, each with gradients of its own
RECURRENT_BLOCK = 16  # samples that go side by side, so that the matrix product of each step is worth a call
GROUP_CELLS = 1 << 18  # steps x neurons of as many samples as go through the layers together: they fit a cache


class Outcome(NamedTuple):
    """value: what leaky integrators are read out with, or first spike times with the duration where there is none,
    (B, C) float64; counts: for every spiking layer the mean over the samples of `losses.soft_counts` (N,), if asked
    for; spikes: of every spiking layer. The first two carry gradients.
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
        functional: what of leaky integrators is read out; None: first spikes of the last layer.
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
        if made[-1].spiking != (functional is None):
            raise ValueError("a network that ends in leaky integrators needs a functional, any other must have none")
        steps = int(np.floor(duration / settings.dt * (1 + 1e-12)))
        times, last = settings.dt * np.arange(steps + 1), made[-1]
        if functional is None:
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
        packed = [stage.pack() for stage in self.plan.stages]
        seed = int(torch.randint(2**62, (1,), generator=generator)) if drop > 0 else None
        flat = [tensor for stage in packed for tensor in stage]
        kept: dict[str, Any] = {"drop": drop, "seed": seed, "tapes": []}
        value, *counts = _Unrolled.apply(self, spikes, kept, *flat)
        tapes = kept["tapes"]
        if not value.requires_grad:
            for tape in tapes:
                release(self.plan, tape)
        return Outcome(value, counts, [self._spikes(tapes, k) for k in range(len(tapes[0].spikes))])

    def _spikes(self, tapes: list[Tape], stage: int) -> Spikes:
        """Of one layer; as tensors."""
        events = [tape.spikes[stage] for tape in tapes]
        counts = np.concatenate([np.diff(part.offsets) for part in events])
        offsets = torch.from_numpy(np.concatenate([[0], counts.cumsum()]))
        times = self.settings.dt * np.concatenate([part.times for part in events])
        units = np.concatenate([part.units for part in events])
        size = self.plan.stages[stage].size
        return Spikes.unchecked(
            torch.from_numpy(times).clamp(max=self.duration), torch.from_numpy(units), offsets, size, self.duration
        )

    def blocks(self, batch: int) -> list[list[tuple[int, int]]]:
        """Spans of samples: of each block one group after the other. They do not depend on the number of threads."""
        number = -(-batch // RECURRENT_BLOCK) if self.recurrent else min(batch, MAX_BLOCKS)
        edges = [batch * k // number for k in range(number + 1)]
        cells = self.plan.steps * max(stage.size for stage in self.plan.stages)
        size = batch if self.recurrent else max(1, GROUP_CELLS // cells)
        return [
            [(low, min(low + size, stop)) for low in range(start, stop, size)]
            for start, stop in zip(edges[:-1], edges[1:], strict=True)
        ]

    def side_by_side(self, work: Any, items: list[Any]) -> list[Any]:
        """[work(item) ...] on torch.get_num_threads() threads, in order."""
        threads = torch.get_num_threads()
        if threads == 1:
            return [work(item) for item in items]
        if threads not in self._pools:
            self._pools[threads] = ThreadPoolExecutor(threads)
        return list(self._pools[threads].map(work, items))


class _Unrolled(torch.autograd.Function):
    """(twin, spikes, how, *tensors of all stages) -> value, *counts; see `Outcome`."""

    @staticmethod
    def forward(ctx: Any, twin: Twin, spikes: Spikes, how: dict[str, Any], *flat: Tensor | None) -> tuple[Tensor, ...]:
        """Simulate, and keep the tapes."""
        packed = _arrays(flat)
        times = spikes.times.numpy() / twin.settings.dt
        units, offsets = spikes.units.numpy(), spikes.offsets.numpy()

        def group(span: tuple[int, int]) -> Tape:
            first, stop = span
            own = slice(offsets[first], offsets[stop])
            inputs = Events(offsets[first : stop + 1] - offsets[first], times[own], units[own])
            rng = None if how["seed"] is None else np.random.default_rng([how["seed"], first])
            return forwards(twin.plan, packed, inputs, 1.0 - how["drop"], rng, twin.settings.detach)

        blocks = twin.blocks(spikes.num_samples)
        done = twin.side_by_side(lambda spans: [group(span) for span in spans], blocks)
        how["tapes"] = [tape for tapes in done for tape in tapes]
        ctx.kept = twin, blocks, packed, done
        value = np.concatenate([tape.values for tape in how["tapes"]]).astype(np.float64)
        if twin.plan.functional is None:
            value = np.where(value == twin.plan.steps, twin.duration, twin.settings.dt * value)
        counts = [] if twin.plan.worth is None else _mean_counts(twin, how["tapes"], spikes.num_samples)
        return torch.from_numpy(value), *counts

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor, *counted: Tensor) -> tuple[Tensor | None, ...]:
        """Once only: the tapes are overwritten."""
        twin, blocks, packed, done = ctx.kept
        ctx.kept = None
        G = gradient.numpy() * (twin.settings.dt if twin.plan.functional is None else 1.0)
        batch, dtype = len(G), twin.settings.dtype
        each = [np.ascontiguousarray(c.numpy() / batch, dtype) for c in counted]
        each = each or [None] * len(packed)

        def block(item: tuple[list[tuple[int, int]], list[Tape]]) -> list[Packed]:
            totals = [Packed(*(None if a is None else np.zeros_like(a) for a in stage)) for stage in packed]
            for (first, stop), tape in zip(*item, strict=True):
                backwards(twin.plan, packed, tape, G[first:stop], each, totals)
            return totals

        total, *others = twin.side_by_side(block, list(zip(blocks, done, strict=True)))
        flat = [array for stage in total for array in stage]
        for other in others:
            for sum_, part in zip(flat, (array for stage in other for array in stage), strict=True):
                if sum_ is not None:
                    sum_ += part
        return None, None, None, *(None if array is None else torch.from_numpy(array) for array in flat)


def _arrays(flat: tuple[Tensor | None, ...]) -> list[Packed]:
    """The tensors of all stages as arrays."""
    arrays = [None if tensor is None else tensor.detach().numpy() for tensor in flat]
    width = len(Packed._fields)
    return [Packed(*arrays[k : k + width]) for k in range(0, len(arrays), width)]


def _mean_counts(twin: Twin, tapes: list[Tape], batch: int) -> list[Tensor]:
    """See `Outcome`."""
    counts = []
    for k, stage in enumerate(twin.plan.stages):
        if stage.spiking:
            total = np.zeros(stage.size)
            for tape in tapes:
                events = tape.spikes[k]
                worth = twin.plan.worth[events.times.astype(np.int64)]
                total += np.bincount(events.units, worth, minlength=stage.size)
            counts.append(torch.from_numpy(total / batch))
    return counts

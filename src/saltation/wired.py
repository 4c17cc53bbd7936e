"""Connections that are made of a list of synapses, or of several connections."""

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import check
from .connections import Connection
from .kernels.layout import Wiring
from .patches import Patches
from .spikes import Spikes


class Wired(Connection):
    """A connection with a list of synapses, in the order of their neurons: source (S,) and target (S,)."""

    source: Tensor
    target: Tensor

    def _wire(self, source: Tensor, target: Tensor, persistent: bool = False) -> None:
        """Keep the synapses, which must be sorted by target; persistent: in the state dict too."""
        self.register_buffer("source", source, persistent=persistent)
        self.register_buffer("target", target, persistent=persistent)
        start = np.searchsorted(target.numpy(), np.arange(self.out_size + 1))
        self.wiring = Wiring(start, np.ascontiguousarray(source.numpy()), self.in_size)

    def settings(self) -> dict[str, Any]:
        """What weights and raw delays mean, the synapses among it."""
        synapses = hashlib.sha256(torch.stack([self.source, self.target]).numpy().tobytes()).hexdigest()[:16]
        return super().settings() | {"synapses": synapses}

    def dense(self) -> tuple[Tensor, Tensor]:
        """Weights (out_size, in_size) and delays that broadcast to them; 0 where there is no synapse."""
        weight, delay = self.synapses()
        return self._scatter(weight), self._scatter(delay) if delay.numel() != 1 else delay.reshape(1, 1)

    def _scatter(self, values: Tensor) -> Tensor:
        return values.new_zeros(self.out_size, self.in_size).index_put((self.target, self.source), values)


class Sparse(Wired):
    """Sparse connection: each synapse with its weight and, on request, delay.

    Time and memory grow with the synapses, except as the recurrent part of a layer or in front of LI neurons: there it
    is computed as a full matrix, with zeros where there is no synapse.

    Args:
        in_size, out_size: number of inputs and of neurons.
        source, target: (S,) int64, the input and the neuron of each synapse, in any order; no pair twice.
        delay: None, "axonal" (one per input), "dendritic" (one per neuron) or "synaptic" (one per synapse).
        max_delay, min_delay: as in `Linear`.
        generator: draws the initial weights; without one torch's global generator does, as in torch's own modules.

    Attributes:
        source, target: the synapses, sorted by target, then source.
        weight: (S,) parameter in that order, drawn from N(0, out_size/S): the inverse of the mean number of inputs.
        raw_delay: see `Connection`; (in_size,), (out_size,) or (S,).

    Example:
        >>> connection = Sparse(3, 2, torch.tensor([0, 2, 1]), torch.tensor([0, 0, 1]))
        >>> connection.weight.shape
        torch.Size([3])
    """

    def __init__(
        self,
        in_size: int,
        out_size: int,
        source: Tensor,
        target: Tensor,
        delay: str | None = None,
        max_delay: float | None = None,
        min_delay: float = 0.0,
        generator: torch.Generator | None = None,
    ):
        super().__init__(in_size, out_size)
        check.generator(generator)
        in_size, out_size = self.in_size, self.out_size
        source, target = (_indices(x, name) for x, name in ((source, "source"), (target, "target")))
        check.require(source.shape == target.shape, f"{source.numel()} sources but {target.numel()} targets")
        for values, size, name in ((source, in_size, "source"), (target, out_size, "target")):
            bad = (values < 0) | (values >= size)
            if bool(bad.any()):
                raise ValueError(f"{name} {values[bad][0].item()}: must be from 0 to {size - 1}")
        pair, order = (target * in_size + source).sort()
        twice = pair[1:][pair.diff() == 0]
        if twice.numel():
            raise ValueError(
                f"there are two synapses from input {twice[0] % in_size} to neuron {twice[0] // in_size}: "
                "leave one out, and add up their weights if you mean both"
            )
        self._wire(source[order], target[order], persistent=True)  # they may have been drawn
        S = source.numel()
        self.weight = nn.Parameter(torch.randn(S, generator=generator) * (out_size / max(S, 1)) ** 0.5)
        self._add_delays(
            delay, {"axonal": (in_size,), "dendritic": (out_size,), "synaptic": (S,)}, min_delay, max_delay
        )

    def remedy(self, name: str, saved: str, prefix: str) -> str:
        """Synapses are made from those saved."""
        if name != "synapses":
            return super().remedy(name, saved, prefix)
        return f"create it with source = state[{prefix + 'source'!r}] and target = state[{prefix + 'target'!r}]"

    @classmethod
    def from_mask(cls, mask: Tensor, **options: object) -> "Sparse":
        """The synapses where mask (out_size, in_size) is not 0: dense, or sparse such as torch's CSR. options: as for
        the class, from `delay` on.
        """
        check.on_cpu(mask, "mask")
        if mask.layout == torch.sparse_csr:  # every stored entry counts
            target = torch.repeat_interleave(torch.arange(mask.shape[0]), mask.crow_indices().diff())
            source = mask.col_indices()
        else:
            target, source = (mask.to_dense() if mask.layout != torch.strided else mask).nonzero(as_tuple=True)
        return cls(mask.shape[1], mask.shape[0], source, target, **options)  # type: ignore[arg-type]

    @classmethod
    def random(
        cls, in_size: int, out_size: int, fan_in: int, generator: torch.Generator | None = None, **options: object
    ) -> "Sparse":
        """Every neuron gets `fan_in` synapses from different inputs, drawn from `generator` like the weights."""
        in_size, out_size = check.whole_number(in_size, "in_size"), check.whole_number(out_size, "out_size")
        fan_in = check.whole_number(fan_in, "fan_in")
        check.require(fan_in <= in_size, f"fan_in = {fan_in}: there are only {in_size} inputs")
        check.generator(generator)
        source = torch.cat([torch.randperm(in_size, generator=generator)[:fan_in] for _ in range(out_size)])
        target = torch.arange(out_size).repeat_interleave(fan_in)
        return cls(in_size, out_size, source, target, generator=generator, **options)  # type: ignore[arg-type]

    def synapses(self) -> tuple[Tensor, Tensor]:
        """Weights and delays as the kernels take them: by synapse."""
        delay = self.delays().reshape(-1)
        if self.delay in ("axonal", "dendritic"):
            delay = delay[self.source if self.delay == "axonal" else self.target]
        return self.weight, delay

    def bump_(self, silent: Tensor, amount: float) -> None:
        """Add `amount` to all weights that lead to the neurons `silent` (out_size,) bool."""
        self.own("weight")[silent[self.target]] += amount

    def extra_repr(self) -> str:
        """What print shows."""
        return f"{super().extra_repr()}, {self.weight.numel()} synapses"


class Beside(Wired):
    """Several connections into the same neurons, each from its own part of the input; see `Spikes.beside`.

    Args:
        connections: at least one, all with the same out_size.

    Attributes:
        connections: the same; their weights and delays are trained and initialised one by one.

    Example:
        >>> from saltation import Linear, Spikes
        >>> both = Beside(Linear(3, 5), Sparse(4, 5, torch.arange(4), torch.arange(4)))
        >>> both.in_size, both.out_size
        (7, 5)
    """

    def __init__(self, *connections: Connection):
        check.require(len(connections) > 0, "Beside needs at least one connection")
        nested = any(isinstance(connection, Parallel) for connection in connections)
        check.require(not nested, "a Parallel cannot be part of another connection: list its parts instead")
        for connection in connections[1:]:
            check.width(connections[0].out_size, connection.out_size, "the outputs of connections side by side")
        super().__init__(sum(connection.in_size for connection in connections), connections[0].out_size)
        self.connections = nn.ModuleList(connections)
        self.delay = None  # that of the parts counts
        if all(connection.wiring is None for connection in connections):
            return
        sources, targets, shift = [], [], 0
        for connection in connections:
            if isinstance(connection, Wired) and connection.wiring is not None:
                target, source = connection.target, connection.source
            else:
                pairs = torch.cartesian_prod(torch.arange(self.out_size), torch.arange(connection.in_size))
                target, source = pairs.unbind(1)
            sources.append(source + shift)
            targets.append(target)
            shift += connection.in_size
        target = torch.cat(targets)
        self.order = torch.argsort(target, stable=True)
        self._wire(torch.cat(sources)[self.order], target[self.order])

    def forward(self) -> None:
        """Call the parts, see `Connection.forward`."""
        for connection in self.connections:
            connection()

    def settings(self) -> dict[str, Any]:
        """Nothing: the parts have their own."""
        return {}

    def parts(self) -> list[Connection]:
        """The connections side by side."""
        return [part for connection in self.connections for part in connection.parts()]  # type: ignore[operator]

    def synapses(self) -> tuple[Tensor, Tensor]:
        """Weights and delays as the kernels take them: by pair, or by synapse of the wiring."""
        if self.wiring is None:
            return self.dense()
        pairs = []
        for connection in self.connections:
            weight, delay = connection.synapses()  # type: ignore[operator]
            pairs.append((weight.flatten(), delay.expand(weight.shape).flatten()))
        return torch.cat([weight for weight, _ in pairs])[self.order], torch.cat([d for _, d in pairs])[self.order]

    def dense(self) -> tuple[Tensor, Tensor]:
        """Weights (out_size, in_size) and delays that broadcast to them; 0 where there is no synapse."""
        return _joined([connection.dense() for connection in self.connections])  # type: ignore[operator]

    def delays(self) -> Tensor:
        """The delays of all parts, broadcastable to (out_size, in_size)."""
        return self.dense()[1]

    def bump_(self, silent: Tensor, amount: float) -> None:
        """Add `amount` to all weights that lead to the neurons `silent` (out_size,) bool."""
        for connection in self.parts():
            connection.bump_(silent, amount)

    def extra_repr(self) -> str:
        """What print shows."""
        return f"{self.in_size}, {self.out_size}"


class Parallel(Beside):
    """Several connections into the same neurons, all from the same input.

    With delays, an input reaches a neuron several times, each time with another weight and delay, as through the
    synaptic terminals of Bohte, Kok and La Poutre (Neurocomputing 48, 2002). Axonal delays make this cheap: all
    neurons still see their arrivals in one order.

    Args:
        connections: at least one, all with the same in_size and out_size.

    Attributes:
        connections: the same; their weights and delays are trained and initialised one by one.

    Example:
        >>> from saltation import Linear
        >>> connection = Parallel(*(Linear(24, 50, delay="axonal", max_delay=0.5) for _ in range(8)))
        >>> connection.in_size, connection.out_size
        (24, 50)
    """

    def __init__(self, *connections: Connection):
        super().__init__(*connections)
        for connection in connections[1:]:
            check.width(connections[0].in_size, connection.in_size, "the inputs of connections in parallel")
        self.in_size = connections[0].in_size

    def patches(self) -> Patches | None:
        """Those of the parts, if all are convolutions of the same geometry."""
        first, *others = (connection.patches() for connection in self.connections)  # type: ignore[operator]
        return first if all(other == first for other in others) else None

    def shared(self) -> tuple[Tensor, Tensor]:
        """Weights and delays of a single place, the parts side by side."""
        return _joined([connection.shared() for connection in self.connections])  # type: ignore[operator]

    def incoming(self, spikes: Spikes) -> Spikes:
        """Every spike once for each part, the units of the parts side by side."""
        many = Spikes.unchecked(
            spikes.times.repeat_interleave(len(self.connections)),
            (spikes.units[:, None] + spikes.num_units * torch.arange(len(self.connections))).flatten(),
            spikes.offsets * len(self.connections),
            spikes.num_units * len(self.connections),
            spikes.duration,
        )
        return many if spikes.ghosts is None else many.haunted(self.incoming(spikes.ghosts))


def _indices(values: Tensor, name: str) -> Tensor:
    """One-dimensional, int64."""
    values = torch.as_tensor(values)
    check.on_cpu(values, name)
    if values.ndim != 1 or values.is_floating_point() or values.dtype == torch.bool:
        raise TypeError(f"{name} has shape {tuple(values.shape)} and {values.dtype}: must be (S,) and of integers")
    return values.detach().long()


def _joined(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """The columns of weights (N, M) and of delays that broadcast to them, side by side."""
    weights, delays = zip(*pairs, strict=True)
    rows = max(delay.shape[0] for delay in delays)  # 1: one order of arrivals for all neurons
    wide = [d.expand(rows, w.shape[1]) for w, d in zip(weights, delays, strict=True)]
    return torch.cat(weights, 1), torch.cat(wide, 1)

"""Connections that are not all-to-all: sparse wiring and convolution. What they cost grows with the synapses that an
input spike reaches.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from . import check
from .connections import Connection
from .kernels.layout import Wiring
from .spikes import Spikes


class Wired(Connection):
    """A connection with a list of synapses, in the order of their neurons: source (S,) and target (S,)."""

    source: Tensor
    target: Tensor

    def _wire(self, source: Tensor, target: Tensor) -> None:
        """Keep the synapses, which must be sorted by target."""
        self.register_buffer("source", source, persistent=False)
        self.register_buffer("target", target, persistent=False)
        start = np.searchsorted(target.numpy(), np.arange(self.out_size + 1))
        self.wiring = Wiring(start, np.ascontiguousarray(source.numpy()), self.in_size)

    def dense(self) -> tuple[Tensor, Tensor]:
        """Weights (out_size, in_size) and delays that broadcast to them; 0 where there is no synapse."""
        weight, delay = self.synapses()
        return self._scatter(weight), self._scatter(delay) if delay.numel() > 1 else delay.reshape(1, 1)

    def _scatter(self, values: Tensor) -> Tensor:
        return values.new_zeros(self.out_size, self.in_size).index_put((self.target, self.source), values)


class Sparse(Wired):
    """Sparse connection: each synapse with its weight and, on request, delay.

    Args:
        in_size, out_size: number of inputs and of neurons.
        source, target: (S,) int64, the input and the neuron of each synapse, in any order; no pair twice.
        delay: None, "axonal" (one per input), "dendritic" (one per neuron) or "synaptic" (one per synapse).
        max_delay, min_delay: as in `Linear`.
        generator: draws the initial weights; without one they are drawn with seed 0.

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
        self._wire(source[order], target[order])
        S = source.numel()
        generator = generator or torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(S, generator=generator) * (out_size / max(S, 1)) ** 0.5)
        self._add_delays(
            delay, {"axonal": (in_size,), "dendritic": (out_size,), "synaptic": (S,)}, min_delay, max_delay
        )

    @classmethod
    def from_mask(cls, mask: Tensor, **options: object) -> "Sparse":
        """The synapses where mask (out_size, in_size) is not 0: dense, or sparse such as torch's CSR. options: as for
        the class, from `delay` on.
        """
        if mask.layout == torch.sparse_csr:  # every stored entry counts
            target = torch.repeat_interleave(torch.arange(mask.shape[0]), mask.crow_indices().diff())
            source = mask.col_indices()
        else:
            target, source = (mask.to_dense() if mask.layout != torch.strided else mask).nonzero(as_tuple=True)
        return cls(mask.shape[1], mask.shape[0], source, target, **options)  # type: ignore[arg-type]

    @classmethod
    def random(
        cls, in_size: int, out_size: int, fan_in: int, generator: torch.Generator, **options: object
    ) -> "Sparse":
        """Every neuron gets `fan_in` synapses from different inputs, drawn from `generator`."""
        check.positive_int(fan_in, "fan_in")
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
        self.weight[silent[self.target]] += amount

    def extra_repr(self) -> str:
        """What print shows."""
        return f"{super().extra_repr()}, {self.weight.numel()} synapses"


class Conv2d(Wired):
    """Two-dimensional convolution: neurons share the weights and, on request, the delays of a kernel.

    Input unit (c, y, x) has the number (c H + y) W + x, and likewise the neurons; `out_shape` says how many there are.

    Args:
        in_shape: (channels, H, W) of the input.
        out_channels, kernel_size, stride, padding, groups: as in `torch.nn.Conv2d`; kernel_size, stride and padding
            are a number or a pair.
        delay: None, "kernel" (one for every weight) or "channel" (one for every output channel).
        max_delay, min_delay: as in `Linear`.
        generator: draws the initial weights; without one they are drawn with seed 0.

    Attributes:
        in_shape, out_shape: (channels, height, width).
        weight: (out_channels, in_channels/groups, kh, kw) parameter, drawn from N(0, 1/(number of inputs)).
        raw_delay: see `Connection`; of the shape of weight, or (out_channels,).

    Example:
        >>> connection = Conv2d((1, 28, 28), out_channels=8, kernel_size=5, stride=2)
        >>> connection.out_shape, connection.out_size
        ((8, 12, 12), 1152)
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        groups: int = 1,
        delay: str | None = None,
        max_delay: float | None = None,
        min_delay: float = 0.0,
        generator: torch.Generator | None = None,
    ):
        check.require(len(in_shape) == 3, f"in_shape = {tuple(in_shape)}: must be (channels, height, width)")
        channels, *extent = (check.positive_int(size, "in_shape") for size in in_shape)
        check.positive_int(out_channels, "out_channels")
        check.positive_int(groups, "groups")
        check.require(
            channels % groups == 0 and out_channels % groups == 0,
            f"groups = {groups}: must divide the {channels} input and {out_channels} output channels",
        )
        kernel, step = _pair(kernel_size, "kernel_size", 1), _pair(stride, "stride", 1)
        pad = _pair(padding, "padding", 0)
        room = [size + 2 * p - k for size, p, k in zip(extent, pad, kernel, strict=True)]
        check.require(
            min(room) >= 0, f"kernel_size = {kernel}: larger than the padded input, {extent} with padding {pad}"
        )
        out = (out_channels, room[0] // step[0] + 1, room[1] // step[1] + 1)
        super().__init__(channels * extent[0] * extent[1], out[0] * out[1] * out[2])
        self.in_shape, self.out_shape = (channels, *extent), out
        weight_shape = (out_channels, channels // groups, *kernel)
        # one axis each: output channel, y, x, input channel of the group, kernel row, kernel column
        o, y, x, c, v, u = np.ogrid[:out_channels, : out[1], : out[2], : weight_shape[1], : kernel[0], : kernel[1]]
        row, column = y * step[0] + v - pad[0], x * step[1] + u - pad[1]
        inside = (row >= 0) & (row < extent[0]) & (column >= 0) & (column < extent[1])
        channel = o // (out_channels // groups) * weight_shape[1] + c
        source = (channel * extent[0] + row) * extent[1] + column
        element = ((o * weight_shape[1] + c) * kernel[0] + v) * kernel[1] + u
        target = (o * out[1] + y) * out[2] + x
        *lists, inside = np.broadcast_arrays(source, target, element, inside)
        sources, targets, self.element = (torch.from_numpy(values[inside]) for values in lists)
        self._wire(sources, targets)
        generator = generator or torch.Generator().manual_seed(0)
        fan_in = weight_shape[1] * weight_shape[2] * weight_shape[3]
        self.weight = nn.Parameter(torch.randn(weight_shape, generator=generator) * fan_in**-0.5)
        self._add_delays(delay, {"kernel": weight_shape, "channel": (out_channels,)}, min_delay, max_delay)

    def synapses(self) -> tuple[Tensor, Tensor]:
        """Weights and delays as the kernels take them: by synapse."""
        delay = self.delays().reshape(-1)
        if self.delay == "kernel":
            delay = delay[self.element]
        elif self.delay == "channel":
            delay = delay[self.target // (self.out_shape[1] * self.out_shape[2])]
        return self.weight.flatten()[self.element], delay

    def bump_(self, silent: Tensor, amount: float) -> None:
        """Add `amount` to the weights of the channels in which all neurons are `silent` (out_size,) bool."""
        self.weight[silent.reshape(self.out_shape[0], -1).all(1)] += amount

    def extra_repr(self) -> str:
        """What print shows."""
        return f"{self.in_shape} -> {self.out_shape}, kernel {tuple(self.weight.shape)}, {super().extra_repr()}"


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
        weights, delays = zip(*(connection.dense() for connection in self.connections), strict=True)  # type: ignore[operator]
        rows = max(delay.shape[0] for delay in delays)  # 1: one order of arrivals for all neurons
        wide = [d.expand(rows, w.shape[1]) for w, d in zip(weights, delays, strict=True)]
        return torch.cat(weights, 1), torch.cat(wide, 1)

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
        >>> connection = Parallel(*(Linear(24, 50, delay="axonal", max_delay=0.5) for _ in range(8)))
        >>> connection.in_size, connection.out_size
        (24, 50)
    """

    def __init__(self, *connections: Connection):
        super().__init__(*connections)
        for connection in connections[1:]:
            check.width(connections[0].in_size, connection.in_size, "the inputs of connections in parallel")
        self.in_size = connections[0].in_size

    def incoming(self, spikes: Spikes) -> Spikes:
        """Every spike once for each part, the units of the parts side by side."""
        return Spikes.unchecked(
            spikes.times.repeat_interleave(len(self.connections)),
            (spikes.units[:, None] + spikes.num_units * torch.arange(len(self.connections))).flatten(),
            spikes.offsets * len(self.connections),
            spikes.num_units * len(self.connections),
            spikes.duration,
        )


class SumPool2d(nn.Module):
    """Merges the spikes of the units in every window: each goes on as a spike of the window's unit, at the same time.

    Units are numbered as in `Conv2d`. Goes between the layers of a `Sequential`.

    Args:
        in_shape: (channels, H, W) of the input.
        kernel_size: of the windows, which lie side by side; a number or a pair that divides H and W.

    Attributes:
        in_shape, out_shape: (channels, height, width).

    Example:
        >>> SumPool2d((8, 12, 12), 2).out_shape
        (8, 6, 6)
    """

    def __init__(self, in_shape: Sequence[int], kernel_size: int | Sequence[int]):
        super().__init__()
        check.require(len(in_shape) == 3, f"in_shape = {tuple(in_shape)}: must be (channels, height, width)")
        channels, height, width = (check.positive_int(size, "in_shape") for size in in_shape)
        rows, columns = _pair(kernel_size, "kernel_size", 1)
        check.require(
            height % rows == 0 and width % columns == 0,
            f"kernel_size = {(rows, columns)}: must divide height and width, {(height, width)}",
        )
        self.in_shape, self.out_shape = (channels, height, width), (channels, height // rows, width // columns)
        self.in_size, self.out_size = channels * height * width, channels * height * width // (rows * columns)
        c, y, x = np.ogrid[:channels, :height, :width]
        unit = (c * self.out_shape[1] + y // rows) * self.out_shape[2] + x // columns
        self.register_buffer("unit", torch.from_numpy(unit.ravel()), persistent=False)

    def forward(self, spikes: Spikes) -> Spikes:
        """The merged spikes; gradients are kept."""
        check.width(self.in_size, spikes.num_units, "the input of this pooling")
        return Spikes.unchecked(spikes.times, self.unit[spikes.units], spikes.offsets, self.out_size, spikes.duration)  # type: ignore[index]

    def extra_repr(self) -> str:
        """What print shows."""
        return f"{self.in_shape} -> {self.out_shape}"


def _indices(values: Tensor, name: str) -> Tensor:
    """One-dimensional, int64."""
    values = torch.as_tensor(values)
    if values.ndim != 1 or values.is_floating_point() or values.dtype == torch.bool:
        raise TypeError(f"{name} has shape {tuple(values.shape)} and {values.dtype}: must be (S,) and of integers")
    return values.detach().long()


def _pair(value: int | Sequence[int], name: str, low: int) -> tuple[int, int]:
    """(height, width), each an integer >= low."""
    pair = (value, value) if isinstance(value, int) else tuple(value)
    legal = len(pair) == 2 and all(isinstance(v, int) and v >= low for v in pair)
    check.require(legal, f"{name} = {value}: must be an integer >= {low}, or two")
    return pair[0], pair[1]

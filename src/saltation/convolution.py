"""Convolution of spikes: neurons at many places of an image share weights, delays and, on request, their parameters."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import check
from .connections import Connection
from .patches import Patches
from .spikes import Spikes
from .wired import Wired


class Conv2d(Wired):
    """Two-dimensional convolution: neurons share the weights and, on request, the delays of a kernel.

    Input unit (c, y, x) has the number (c H + y) W + x, and likewise the outputs; `out_shape` says how many there are.

    Fed to spiking neurons of size `out_channels`, all places share the neurons' parameters too. They are then
    simulated place by place, all channels at once, which is much faster than with `out_size` neurons of their own.
    In front of LI neurons a convolution is computed as a full matrix (out_size, in_size).

    Args:
        in_shape: (channels, H, W) of the input.
        out_channels, kernel_size, stride, padding, groups: as in `torch.nn.Conv2d`; kernel_size, stride and padding
            are a number or a pair.
        delay: None, "kernel" (one for every weight), "channel" (one for every output channel) or "axonal" (one for
            every kernel element, the same for all output channels: the fastest).
        max_delay, min_delay: as in `Linear`.
        generator: draws the initial weights; without one torch's global generator does, as in torch's own modules.

    Attributes:
        in_shape, out_shape: (channels, height, width).
        weight: (out_channels, in_channels/groups, kh, kw) parameter, drawn from N(0, 1/(number of inputs)).
        raw_delay: see `Connection`; of the shape of weight, (out_channels,) or (1, in_channels/groups, kh, kw).

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
        channels, *extent = _image(in_shape)
        out_channels = check.whole_number(out_channels, "out_channels")
        groups = check.whole_number(groups, "groups")
        check.generator(generator)
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
        fan_in = weight_shape[1] * weight_shape[2] * weight_shape[3]
        self.weight = nn.Parameter(torch.randn(weight_shape, generator=generator) * fan_in**-0.5)
        shapes = {"kernel": weight_shape, "channel": (out_channels,), "axonal": (1, *weight_shape[1:])}
        self._add_delays(delay, shapes, min_delay, max_delay)
        self.geometry = (self.in_shape, kernel, step, pad, groups)

    def settings(self) -> dict[str, Any]:
        """What weights and raw delays mean."""
        names = "in_shape", "kernel_size", "stride", "padding", "groups"
        return Connection.settings(self) | dict(zip(names, self.geometry, strict=True))

    def patches(self) -> Patches | None:
        """How the places see the input; None for groups, which are simulated synapse by synapse."""
        from .kernels.patches import Reach

        if self.geometry[-1] > 1:
            return None
        places, elements = self.out_shape[1] * self.out_shape[2], self.weight[0].numel()
        first = int(np.searchsorted(self.target.numpy(), places))  # what leads to the first output channel
        source, place, element = (part[:first].numpy() for part in (self.source, self.target, self.element))
        order = np.argsort(source, kind="stable")
        start = np.searchsorted(source[order], np.arange(self.in_size + 1))
        return Patches(places, elements, Reach(start, place[order], element[order]), self.geometry)

    def shared(self) -> tuple[Tensor, Tensor]:
        """Weights (out_channels, elements) and delays of a single place."""
        rows = {"axonal": 1, "channel": self.out_shape[0], "kernel": self.out_shape[0], None: 1}[self.delay]
        return self.weight.flatten(1), self.delays().reshape(rows, -1)

    def synapses(self) -> tuple[Tensor, Tensor]:
        """Weights and delays as the kernels take them: by synapse."""
        delay = self.delays().reshape(-1)
        if self.delay == "kernel":
            delay = delay[self.element]
        elif self.delay == "channel":
            delay = delay[self.target // (self.out_shape[1] * self.out_shape[2])]
        elif self.delay == "axonal":
            delay = delay[self.element % delay.numel()]
        return self.weight.flatten()[self.element], delay

    def bump_(self, silent: Tensor, amount: float) -> None:
        """Add `amount` to the weights of the channels in which all neurons are `silent` (out_size,) bool."""
        self.own("weight")[silent.reshape(self.out_shape[0], -1).all(1)] += amount

    def extra_repr(self) -> str:
        """What print shows."""
        return f"{self.in_shape} -> {self.out_shape}, kernel {tuple(self.weight.shape)}, {super().extra_repr()}"


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
        channels, height, width = _image(in_shape)
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
        unit: Tensor = self.unit  # type: ignore[assignment]
        pooled = Spikes.unchecked(spikes.times, unit[spikes.units], spikes.offsets, self.out_size, spikes.duration)
        return pooled if spikes.ghosts is None else pooled.haunted(self(spikes.ghosts))

    def extra_repr(self) -> str:
        """What print shows."""
        return f"{self.in_shape} -> {self.out_shape}"


def _image(in_shape: Any) -> tuple[int, int, int]:
    """(channels, height, width)."""
    check.require(np.size(in_shape) == 3, f"in_shape = {in_shape!r}: must be (channels, height, width)")
    channels, height, width = (check.whole_number(size, "in_shape") for size in in_shape)
    return channels, height, width


def _pair(value: Any, name: str, low: int) -> tuple[int, int]:
    """(height, width), each a whole number >= low."""
    pair = (value, value) if np.ndim(value) == 0 else value
    check.require(len(pair) == 2, f"{name} = {value!r}: must be a whole number >= {low}, or two")
    return check.whole_number(pair[0], name, low), check.whole_number(pair[1], name, low)

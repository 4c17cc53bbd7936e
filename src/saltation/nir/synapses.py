"""Connections as chains of linear nodes of NIR.

    no delay    Linear                     axonal    Delay - Linear                dendritic    Linear - Delay
    synaptic    Linear (a copy of the input for every synapse) - Delay - Linear (which gathers them)

NIR has no sparse matrices and no sharing of delays, so these are full matrices, and a `Conv2d` with delays for its
elements becomes single synapses. Kernels that are not square, whose output NIR 1.0.8 gives a wrong shape, become a
matrix; groups, likewise, one kernel with zeros.
"""

from typing import Any

import numpy as np
import torch
from torch import nn

from saltation import check
from saltation.connections import Connection, Linear
from saltation.convolution import Conv2d
from saltation.wired import Sparse, Wired

from .metadata import noted

LARGEST = 2**27  # entries of a matrix, or of the two of synaptic delays together; 1 GiB

Link = tuple[str, Any]  # name and node
Shape = tuple[int, ...]


class Chains:
    """Makes chains of nodes; unit: seconds of a unit of time."""

    def __init__(self, nir: Any, unit: float):
        self.nir, self.unit = nir, unit

    def of(self, connection: Connection, gain: np.ndarray, shape: Shape) -> list[Link]:
        """Nodes for a connection whose weights are multiplied by `gain` (out_size,), from units of this shape.

        The last one has the shape of an image if `keeps_image`, else (out_size,).
        """
        if keeps_image(connection, gain, shape):
            assert isinstance(connection, Conv2d)
            return self._convolution(connection, gain)
        flat = [] if len(shape) == 1 else [("flatten", self.flatten(shape))]
        if connection.in_size * connection.out_size > LARGEST:
            raise ValueError(
                f"{connection.in_size} inputs and {connection.out_size} neurons: NIR has no sparse matrices, and the "
                f"full one would have more than {LARGEST:,} entries"
            )
        if connection.delay is None and not _has_delays(connection):
            return [*flat, ("linear", self.linear(connection.dense()[0], gain))]
        if isinstance(connection, Linear | Sparse) and connection.delay in ("axonal", "dendritic"):
            delay = ("delay", self._delay(connection, connection.delays().reshape(-1)))
            linear = ("linear", self.linear(connection.dense()[0], gain))
            return [*flat, *((delay, linear) if connection.delay == "axonal" else (linear, delay))]
        return flat + self._gathered(connection, gain)

    def flatten(self, shape: Shape) -> Any:
        """All axes to one; NIR's shapes have no batch axis."""
        return self.nir.Flatten(input_type={"input": np.array(shape)}, start_dim=0, end_dim=-1)

    def linear(self, weight: torch.Tensor, gain: np.ndarray) -> Any:
        """A matrix."""
        return self.nir.Linear(weight=_scaled(weight, gain[:, None]))

    def _convolution(self, connection: Conv2d, gain: np.ndarray) -> list[Link]:
        channels, places = connection.out_shape[0], connection.out_shape[1] * connection.out_shape[2]
        in_shape, kernel, stride, padding, groups = connection.geometry
        weight = _scaled(connection.weight, gain.reshape(channels, places)[:, :1, None, None])
        if groups > 1:
            weight = _ungrouped(weight, groups)
        node = self.nir.Conv2d(
            input_shape=in_shape[1:], weight=weight, stride=stride, padding=padding, dilation=(1, 1), groups=1,
            bias=np.zeros(channels, weight.dtype),
        )  # fmt: skip
        if connection.delay is None:
            return [("conv", node)]
        delays = connection.delays()[:, None, None].expand(connection.out_shape)
        return [("conv", node), ("delay", self._delay(connection, delays))]

    def _gathered(self, connection: Connection, gain: np.ndarray) -> list[Link]:
        """A copy of the input for every delay that it has; each is delayed, and given on with the synapses' weights."""
        source, target, weight, delay = _listed(connection)
        pairs = np.stack([source.astype(np.float64), delay], 1)
        (copies, copy) = np.unique(pairs, axis=0, return_inverse=True)
        entries = len(copies) * (connection.in_size + connection.out_size)
        check.require(
            entries <= LARGEST,
            f"{len(copies):,} delays between {connection.in_size} inputs and {connection.out_size} neurons: NIR has no "
            f"sparse matrices, and the full ones would have {entries:,} entries, more than {LARGEST:,}; use axonal or "
            "dendritic delays",
        )
        replicate = np.zeros((len(copies), connection.in_size), weight.dtype)
        replicate[np.arange(len(copies)), copies[:, 0].astype(int)] = 1.0
        gather = np.zeros((connection.out_size, len(copies)), weight.dtype)
        gather[target, copy.reshape(-1)] = weight
        gather = gather if (gain == 1.0).all() else gain[:, None] * gather
        return [
            ("replicate", self.nir.Linear(weight=replicate)),
            ("delay", self._delay(connection, torch.from_numpy(copies[:, 1].copy()))),
            ("gather", self.nir.Linear(weight=gather)),
        ]

    def _delay(self, connection: Connection, delays: torch.Tensor) -> Any:
        """Delays in seconds, and between what bounds they are trained."""
        node = self.nir.Delay(delay=self.unit * delays.detach().double().contiguous().numpy())
        if connection.delay is not None:
            low, high = (float(self.unit * bound) for bound in (connection.min_delay, connection.max_delay))
            kind = connection.delay if isinstance(connection, Linear | Sparse) else None
            node.metadata = noted(kind=kind, min_delay=low, max_delay=high)
        return node


def at_each_place(connection: Connection, places: int) -> Sparse:
    """A connection from channel to channel, within each of so many places."""
    channels = _listed(connection)
    place, pair = (index.reshape(-1) for index in np.indices((places, len(channels[0]))))
    source, target = (channel[pair] * places + place for channel in channels[:2])
    order = np.lexsort((source, target))
    weight, delay = (torch.from_numpy(values[pair][order]) for values in channels[2:])
    kind, bounds = None, {}
    if connection.delay is not None:
        kind, bounds = "synaptic", {"max_delay": connection.max_delay, "min_delay": connection.min_delay}
    size = connection.in_size * places
    units = {"source": torch.from_numpy(source[order]), "target": torch.from_numpy(target[order])}
    whole = Sparse(size, size, **units, delay=kind, **bounds, generator=torch.Generator())  # type: ignore[arg-type]
    whole.weight = nn.Parameter(weight)
    if kind is not None:
        whole.raw_delay = nn.Parameter(whole.raw_delay.detach().double())
        whole.set_delays(delay)
    return whole


def keeps_image(connection: Connection, gain: np.ndarray, shape: Shape) -> bool:
    """Whether a connection becomes a convolution of NIR, from units of this shape: if all places have one gain."""
    if not isinstance(connection, Conv2d) or len(shape) != 3:
        return False
    gains = gain.reshape(connection.out_shape[0], -1)
    if (gains != gains[:, :1]).any():
        return False
    height, width = connection.weight.shape[2:]
    return height == width and connection.delay in (None, "channel")


def _has_delays(connection: Connection) -> bool:
    return any(part.delay is not None for part in connection.parts())


def _listed(connection: Connection) -> tuple[np.ndarray, ...]:
    """Source, target, weight and delay of every synapse, (S,)."""
    if isinstance(connection, Wired) and connection.wiring is not None:
        weight, delay = connection.synapses()
        source, target = connection.source, connection.target
    else:
        weight, delay = connection.dense()
        delay = delay.expand(weight.shape)
        target, source = torch.cartesian_prod(*(torch.arange(size) for size in weight.shape)).unbind(1)
    numbers = (weight, delay.double().expand(weight.shape))
    return (source.numpy(), target.numpy(), *(values.detach().reshape(-1).numpy() for values in numbers))


def _scaled(weight: torch.Tensor, gain: np.ndarray) -> np.ndarray:
    """As they are, or in float64 where they are multiplied."""
    values = weight.detach().numpy()
    return values.copy() if (gain == 1.0).all() else gain * values.astype(np.float64)


def _ungrouped(weight: np.ndarray, groups: int) -> np.ndarray:
    """(out, in/groups, height, width) as (out, in, height, width), with zeros from the channels of other groups."""
    out, per_group = weight.shape[:2]
    whole = np.zeros((out, per_group * groups, *weight.shape[2:]), weight.dtype)
    for channel in range(out):
        first = channel // (out // groups) * per_group
        whole[channel, first : first + per_group] = weight[channel]
    return whole

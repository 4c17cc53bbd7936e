"""Chains of linear nodes of NIR as connections."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from saltation import check
from saltation.connections import Connection, Linear
from saltation.convolution import Conv2d
from saltation.wired import Sparse

from . import terms
from .metadata import notes, number, text
from .structure import Structure, as_array, numbers
from .terms import SPARSE, Terms

KINDS = ("axonal", "dendritic", "synaptic")
VALUES = {"Linear": ("weight",), "Affine": ("weight",), "Conv2d": ("weight",), "Delay": ("delay",), "Scale": ("scale",)}


class Delays(NamedTuple):
    """What the delays of a chain may become in training, and how they are shared, where that is noted."""

    low: float = 0.0
    high: float | None = None
    kind: str | None = None


class Drawn(NamedTuple):
    """Synapses between populations of these sizes, no pair twice."""

    synapses: Terms
    in_size: int
    out_size: int
    delays: Delays
    dtype: torch.dtype


class Connector:
    """Makes connections of the chains of a structure; unit: seconds of a unit of time."""

    def __init__(self, structure: Structure, unit: float, max_delay: float | None):
        self.structure, self.unit, self.max_delay = structure, unit, max_delay

    def connections(self, shape: tuple[int, ...], chain: tuple[str, ...], gain: np.ndarray) -> list[Connection]:
        """One, or several where a pair of units has several synapses.

        shape: of what goes into the chain. gain: of each neuron that it leads to.
        """
        convolution = self._convolution(shape, chain, gain)
        if convolution is not None:
            return [convolution]
        return [self.made(drawn) for drawn in self._drawn(shape, chain, gain)]

    def feedback(self, shape: tuple[int, ...], chains: list[tuple[str, ...]], gain: np.ndarray) -> Drawn:
        """The synapses of a population of this shape to itself."""
        parts = [part for chain in chains for part in self._drawn(shape, chain, gain)]
        check.require(
            len(parts) == 1, "its feedback reaches a neuron on several ways: saltation knows one synapse of each pair"
        )
        return parts[0]

    def _kept(self, chain: tuple[str, ...]) -> list[str]:
        """The nodes that change something: the order of units is the same before and after a Flatten."""
        return [name for name in chain if self.structure.kinds[name] not in ("Flatten", "Input", "Output")]

    def _drawn(self, shape: tuple[int, ...], chain: tuple[str, ...], gain: np.ndarray) -> list[Drawn]:
        """The synapses of a chain that gets this shape."""
        in_size = math.prod(shape)
        whole, delays = None, Delays()
        several = sum(hasattr(self.structure.nodes[name], "weight") for name in chain) > 1
        for name in chain:
            node, kind = self.structure.nodes[name], self.structure.kinds[name]
            values = {field: numbers(name, node, field) for field in VALUES.get(kind, ())}
            step = terms.of_node(kind, node, values, shape)
            if step is not None:
                step = step.present() if several else step  # a 0 in a copying or gathering matrix is no synapse
                whole = step if whole is None else whole.then(step)
            delays = self._noted(node) if kind == "Delay" else delays
            shape = self.structure.shapes[name]
        whole = terms.factors(np.ones(in_size)) if whole is None else whole
        weight = whole.weight / gain[whole.target]
        dtype = self._dtype(chain, weight)
        whole = whole._replace(weight=weight, delay=whole.delay / self.unit)
        return [Drawn(part, in_size, len(gain), delays, dtype) for part in whole.merged().single()]

    def _dtype(self, chain: tuple[str, ...], weight: np.ndarray) -> torch.dtype:
        """float32 if all matrices are, and that holds these weights."""
        nodes = [self.structure.nodes[name] for name in self._kept(chain)]
        narrow = [as_array(node.weight).dtype == np.float32 for node in nodes if hasattr(node, "weight")]
        held = bool((weight.astype(np.float32) == weight).all())
        return torch.float32 if narrow and all(narrow) and held else torch.float64

    def made(self, drawn: Drawn) -> Connection:
        """Linear, or Sparse where few pairs have a synapse."""
        synapses, in_size, out_size, delays, dtype = drawn
        kind = _kind(drawn)
        bounds = {} if kind is None else self._bounds(delays, synapses.delay)
        source, target = (torch.from_numpy(np.ascontiguousarray(part)) for part in synapses[:2])
        weight = torch.from_numpy(synapses.weight).to(dtype)
        connection: Linear | Sparse
        if len(source) >= SPARSE * in_size * out_size:
            connection = Linear(in_size, out_size, kind, **bounds, generator=terms.unused())
            weight = torch.zeros(out_size, in_size, dtype=dtype).index_put((target, source), weight)
        else:
            connection = Sparse(in_size, out_size, source, target, kind, **bounds, generator=terms.unused())
        connection.weight = nn.Parameter(weight)
        if kind is not None:
            values = {"axonal": in_size, "dendritic": out_size}.get(kind)
            if values is not None:
                shared = torch.full((values,), connection.min_delay, dtype=torch.float64)
                shared[source if kind == "axonal" else target] = torch.from_numpy(synapses.delay)
            elif isinstance(connection, Linear):
                shared = torch.full((out_size, in_size), connection.min_delay, dtype=torch.float64)
                shared[target, source] = torch.from_numpy(synapses.delay)
            else:
                shared = torch.from_numpy(synapses.delay)
            _delay(connection, shared)
        return connection

    def _noted(self, node: Any) -> Delays:
        found = notes(node)
        kind = text(found, "kind")
        low, high = number(found, "min_delay") or 0.0, number(found, "max_delay")
        return Delays(low, high, kind if kind in KINDS else None)

    def _bounds(self, noted: Delays, delays: np.ndarray) -> dict[str, float]:
        """min_delay and max_delay; those noted are in the unit of seconds."""
        longest = float(delays.max(initial=0.0))
        low = min(noted.low / self.unit, float(delays.min(initial=np.inf)))
        if self.max_delay is not None:
            check.require(longest <= self.max_delay, f"a delay of {longest:g} is above max_delay = {self.max_delay:g}")
            return {"min_delay": low, "max_delay": self.max_delay}
        high = longest if noted.high is None else max(noted.high / self.unit, longest)
        if not high > low:
            high = 2.0 * low if low > 0.0 else 1.0
        return {"min_delay": low, "max_delay": high}

    def _convolution(self, shape: tuple[int, ...], chain: tuple[str, ...], gain: np.ndarray) -> Conv2d | None:
        """A chain of one convolution, and delays of its channels, as what it is; None if it is something else."""
        structure, kept = self.structure, self._kept(chain)
        kinds = [structure.kinds[name] for name in kept]
        if kinds not in (["Conv2d"], ["Conv2d", "Delay"]):
            return None
        node, out = structure.nodes[kept[0]], structure.shapes[kept[0]]
        places = out[1] * out[2]
        gains = gain.reshape(-1, places)
        weight = as_array(node.weight)
        delays: np.ndarray | None = None
        options: dict[str, Any] = {}
        if len(kept) == 2:
            delays = numbers(kept[1], structure.nodes[kept[1]], "delay").reshape(-1, places) / self.unit
            options = {"delay": "channel", **self._bounds(self._noted(structure.nodes[kept[1]]), delays)}
        for values in (gains, delays):
            if values is not None and not (values == values[:, :1]).all():
                return None
        connection = terms.conv2d(node, weight.shape, shape, **options)
        if not (gain == 1.0).all():
            weight = weight.astype(np.float64) / gains[:, :1, None, None]
        dtype = torch.float32 if weight.dtype == np.float32 else torch.float64
        connection.weight = nn.Parameter(torch.tensor(weight, dtype=dtype))
        if delays is not None:
            _delay(connection, torch.from_numpy(delays[:, 0].copy()))
        return connection


def within_places(drawn: Drawn, places: int) -> Drawn | None:
    """Feedback from channel to channel, if that is what it is: within each place, and the same in all of them."""
    source, target, weight, delay = drawn.synapses
    place = target % places
    counts = np.bincount(place, minlength=places)
    if (source % places != place).any() or (counts != counts[0]).any():
        return None
    order = np.lexsort((source // places, target // places, place))
    pairs = [(values[order].reshape(places, -1)) for values in (source // places, target // places, weight, delay)]
    if any((pair != pair[0]).any() for pair in pairs):
        return None
    one = Terms(*(pair[0] for pair in pairs))
    return drawn._replace(synapses=one, in_size=drawn.in_size // places, out_size=drawn.out_size // places)


def _kind(drawn: Drawn) -> str | None:
    """Which units share the delays: those noted, if it is so; else as few delays as there can be."""
    synapses, noted = drawn.synapses, drawn.delays.kind
    legal = ["synaptic"]
    for kind, units, size in (
        ("dendritic", synapses.target, drawn.out_size),
        ("axonal", synapses.source, drawn.in_size),
    ):
        shared = np.zeros(size)
        shared[units] = synapses.delay
        if (shared[units] == synapses.delay).all():
            legal.insert(0, kind)
    if noted in legal:
        return noted
    return legal[0] if synapses.delay.any() else None


def _delay(connection: Connection, values: torch.Tensor) -> None:
    """Delays to the last bits, which raw delays in float32 would not hold."""
    connection.raw_delay = nn.Parameter(connection.raw_delay.detach().double())
    connection.set_delays(values.reshape(connection.raw_delay.shape))

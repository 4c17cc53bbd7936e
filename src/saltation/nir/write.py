"""`to_nir`: a NIR graph from a network."""

from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from saltation import check
from saltation.connections import Connection
from saltation.convolution import Conv2d, SumPool2d
from saltation.layer import Layer
from saltation.sequential import Sequential
from saltation.wired import Beside, Parallel

from .conventions import Convention, convention_of
from .library import nir_package
from .metadata import FORMAT, noted
from .neurons import cell
from .synapses import Chains, Link, Shape, at_each_place, keeps_image


def to_nir(
    model: Sequential | Layer,
    convention: str = "nir",
    *,
    time_unit: float = 1.0,
    dt: float | None = None,
    lossy: bool = False,
) -> Any:
    """A graph of NIR, the Neuromorphic Intermediate Representation, of a network; `nir.write` saves it.

    LIF neurons become CubaLIF, LI CubaLI, IF an LI (the synapse) before an IF; connections Linear, Conv2d, SumPool2d,
    Flatten and Delay; a layer with feedback a subgraph. `from_nir` makes the same network of it, with the same spikes.
    docs/nir.md has the conventions, and what each framework reads.

    Args:
        model: a `Sequential` or a `Layer`.
        convention: how the graph is meant: "nir", by the letter of NIR's equations, or for who reads it, "snntorch",
            "spikingjelly", "norse", "lava", "rockpool", "jaxsnn"; "unit": a spike adds weight * w_in to the current.
        time_unit: seconds of a unit of time of the network; NIR counts in seconds.
        dt: time step in seconds, of conventions that have one; None: that of the framework.
        lossy: what NIR cannot say, an adaptive threshold, a refractory period or QIF neurons, is kept in metadata that
            saltation alone reads. Else it is an error.

    Returns:
        nir.NIRGraph

    Raises:
        ValueError: if the package nir is missing, or the graph could not say what the network is.
    """
    nir = nir_package()
    if not isinstance(model, Sequential | Layer):
        raise TypeError(f"model is {type(model).__name__}: must be a Sequential or a Layer")
    model = Sequential(model) if isinstance(model, Layer) else model
    unit = check.finite_number(time_unit, "time_unit", low=0.0, strict=True)
    rules = convention_of(convention, dt)
    with torch.no_grad():
        writer = _Writer(nir, rules, unit, lossy)
        writer.write(model)
        nodes, edges = _numbered(writer.nodes, writer.edges)
    about = noted(
        format=FORMAT, convention=convention, time_unit=unit, dt=rules.rule.dt, discretisation=rules.rule.steps
    )
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata=about)


class Units(NamedTuple):
    """What sends spikes: the name of its node, and its shape."""

    name: str
    shape: Shape


class _Writer:
    """Collects nodes and edges, module by module."""

    def __init__(self, nir: Any, convention: Convention, unit: float, lossy: bool):
        self.nir, self.convention, self.unit, self.lossy = nir, convention, unit, lossy
        self.chains = Chains(nir, unit)
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []

    def write(self, model: Sequential) -> None:
        """All modules, from Input to Output."""
        shape = _input_shape(model)
        self.nodes["input"] = self.nir.Input(input_type={"input": np.array(shape)})
        sent = [Units("input", shape)]  # what goes into each module
        for k, module in enumerate(model.layers):
            try:
                if isinstance(module, Layer):
                    others = [sent[i] for i in model.beside.get(k, ())]
                    sent.append(self._layer(k, module, [sent[k], *others]))
                else:
                    sent.append(self._pool(k, module, sent[k]))  # type: ignore[arg-type]
            except (ValueError, TypeError) as error:
                raise ValueError(f"layer {k}: {error}") from error
        check.require(isinstance(module, Layer), "a SumPool2d comes last, which only NIR's neurons can show as output")
        self._add("output", self.nir.Output(output_type={"output": np.array(sent[-1].shape)}), sent[-1].name)

    def _add(self, name: str, node: Any, *sources: str) -> str:
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        return name

    def _pool(self, k: int, pool: SumPool2d, source: Units) -> Units:
        """A SumPool2d; a matrix if its input is no image here."""
        if source.shape != pool.in_shape:
            weight = torch.zeros(pool.out_size, pool.in_size)
            unit: Any = pool.unit
            weight[unit, torch.arange(pool.in_size)] = 1.0
            node = self.nir.Linear(weight=weight.numpy())
            return Units(self._add(f"pool_{k}", node, source.name), (pool.out_size,))
        size = np.array([a // b for a, b in zip(pool.in_shape[1:], pool.out_shape[1:], strict=True)])
        node = self.nir.SumPool2d(kernel_size=size, stride=size, padding=np.zeros(2, int))
        return Units(self._add(f"pool_{k}", node, source.name), pool.out_shape)

    def _layer(self, k: int, layer: Layer, sources: list[Units]) -> Units:
        """The chains of a layer's connections, and its neurons."""
        for connection in (layer.connection, layer.recurrent):
            if connection is not None:
                connection()  # hooks of torch renew the weights
        parts = _parts(layer.connection, sources)
        places = layer.out_size // layer.neuron.size
        population = cell(layer.neuron, self.convention, self.unit, self.lossy)
        gain = np.repeat(population.gain, places)
        image = all(keeps_image(part, gain, units.shape) for part, units in parts)
        image = image and (layer.recurrent is None or places > 1)
        first: Any = parts[0][0]
        shape: Shape = first.out_shape if image else (layer.out_size,)
        neurons = population.nodes(self.nir, lambda value: np.repeat(value, places).reshape(shape))
        ends = [self._chain(f"{k}{_letter(i, parts)}", *part, gain, image) for i, part in enumerate(parts)]
        if layer.recurrent is None:
            return Units(self._row(k, neurons, ends), shape)
        links = self._feedback(layer.recurrent, population.gain, shape, places)
        graph = self._recurrent(neurons, links, shape)
        return Units(self._add(f"layer_{k}", graph, *ends), shape)

    def _chain(self, label: str, connection: Connection, units: Units, gain: np.ndarray, image: bool) -> str:
        """Adds the nodes of one connection; the name of the last."""
        links = self.chains.of(connection, gain, units.shape)
        if keeps_image(connection, gain, units.shape) and not image:
            links.append(("flatten", self.chains.flatten(connection.out_shape)))  # type: ignore[arg-type]
        before = units.name
        for name, node in links:
            twice = f"{name}_{label}" in self.nodes
            before = self._add(f"{name}_{label}{'_out' if twice else ''}", node, before)
        return before

    def _row(self, k: int, neurons: list[Link], ends: list[str]) -> str:
        """Adds the neurons; the name of the last node."""
        for name, node in neurons:
            ends = [self._add(f"{name}_{k}", node, *ends)]
        return ends[0]

    def _feedback(self, recurrent: Connection, gain: np.ndarray, shape: Shape, places: int) -> list[Link]:
        """The chain of a layer's feedback; gain: (neurons,)."""
        if len(shape) == 3:
            return self._by_place(recurrent, gain, shape)
        recurrent = recurrent if places == 1 else at_each_place(recurrent, places)
        return self.chains.of(recurrent, np.repeat(gain, places), shape)

    def _recurrent(self, neurons: list[Link], links: list[Link], shape: Shape) -> Any:
        """A subgraph of neurons and feedback; names as snnTorch's."""
        inner = _Writer(self.nir, self.convention, self.unit, self.lossy)
        state = {"input": np.array(shape)}
        inner._add("input", self.nir.Input(input_type=state))
        names = [inner._add(name, node) for name, node in neurons]
        weights = [name for name, node in links if hasattr(node, "weight")]
        before = names[-1]
        for name, node in links:
            last = "w_rec" if name == weights[-1] else f"rec_{name}"
            before = inner._add(last, node, before)
        inner.edges += [("input", names[0]), *zip(names, names[1:], strict=False), (before, names[0])]
        inner._add("output", self.nir.Output(output_type={"output": np.array(shape)}), names[-1])
        return self.nir.NIRGraph(nodes=inner.nodes, edges=inner.edges)

    def _by_place(self, recurrent: Connection, gain: np.ndarray, shape: Shape) -> list[Link]:
        """Feedback from channel to channel within each place: matrices become convolutions of single pixels."""
        links = []
        for name, node in self.chains.of(recurrent, gain, shape[:1]):
            if isinstance(node, self.nir.Delay):
                spread = np.broadcast_to(node.delay[:, None, None], (len(node.delay), *shape[1:])).copy()
                made = self.nir.Delay(delay=spread, metadata=node.metadata)
            else:
                made = self.nir.Conv2d(
                    input_shape=shape[1:], weight=node.weight[:, :, None, None], stride=(1, 1), padding=(0, 0),
                    dilation=(1, 1), groups=1, bias=np.zeros(len(node.weight), node.weight.dtype),
                )  # fmt: skip
            links.append((name, made))
        return links


def _numbered(nodes: dict[str, Any], edges: list[tuple[str, str]]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Names that sort in the order of the nodes: files hold them sorted, and nirtorch takes them as they come."""
    digits = len(str(len(nodes)))
    names = {name: f"l{i:0{digits}}_{name}" for i, name in enumerate(nodes)}
    names |= {"input": "input", "output": "output"}
    return {names[name]: node for name, node in nodes.items()}, [(names[a], names[b]) for a, b in edges]


def _input_shape(model: Sequential) -> Shape:
    """An image if the first module takes one."""
    first: nn.Module = model.layers[0]
    if isinstance(first, Layer):
        first = first.connection.parts()[0]
    if isinstance(first, Conv2d | SumPool2d) and first.in_size == model.layers[0].in_size:
        return first.in_shape
    return (model.layers[0].in_size,)  # type: ignore[return-value]


def _parts(connection: Connection, sources: list[Units]) -> list[tuple[Connection, Units]]:
    """The connections into a layer, each with the population that it is from."""
    if isinstance(connection, Parallel):
        return [(part, sources[0]) for part in connection.parts()]
    if len(sources) == 1:
        return [(connection, sources[0])]
    assert isinstance(connection, Beside)
    parts = connection.parts()
    sizes = [int(np.prod(units.shape)) for units in sources]
    fits = list(accumulate(part.in_size for part in parts)) == list(accumulate(sizes))
    check.require(
        fits,
        f"the parts of its Beside take {[part.in_size for part in parts]} units, and the populations have {sizes}: "
        "make one part for each population",
    )
    return list(zip(parts, sources, strict=True))


def _letter(i: int, parts: list[Any]) -> str:
    return "" if len(parts) == 1 else f"_{i}"

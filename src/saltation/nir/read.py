"""`from_nir`: a network from a NIR graph."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from saltation import check
from saltation.connections import Connection
from saltation.convolution import SumPool2d
from saltation.layer import Layer
from saltation.sequential import Sequential
from saltation.wired import Beside, Parallel, Sparse

from . import shapes
from .connect import Connector, within_places
from .conventions import convention_of
from .library import nir_package
from .metadata import notes, number, text
from .neurons import Read, Reader
from .paths import Population, populations
from .structure import Structure, opened


def from_nir(
    graph: Any,
    convention: str | None = None,
    *,
    time_unit: float | None = None,
    dt: float | None = None,
    max_delay: float | None = None,
    tau_syn: float | None = None,
    train: Sequence[str] | None = None,
) -> Sequential:
    """A network from a graph of NIR, the Neuromorphic Intermediate Representation.

    Reads CubaLIF, CubaLI, Linear, Affine and Conv2d without bias, SumPool2d, AvgPool2d, Scale, Flatten, Delay,
    subgraphs, and feedback of a population to itself; an LI before a LIF, IF or LI is its synapse. What `to_nir` wrote
    comes back with the same spikes. docs/nir.md has the conventions.

    Args:
        graph: a `nir.NIRGraph`, or the path of a file that `nir.write` made.
        convention: how the graph is meant, "nir" (by the letter), "unit", "snntorch", "spikingjelly", "norse", "lava",
            "rockpool" or "jaxsnn". None: as saltation noted it in the graph, else "nir".
        time_unit: seconds of a unit of time of the network. None: as noted, else 1, so that it counts in seconds.
        dt: time step in seconds, of conventions that have one. None: as noted, else that of the framework; Rockpool's
            graphs tell it.
        max_delay: largest delay that training may reach, in `time_unit`. None: as noted, else the largest there is.
        tau_syn: time constant, in `time_unit`, of the synapses of LIF, IF and LI nodes without one, whose potential
            jumps at every spike. Their spikes are then approximated, the better the shorter it is. None: they are
            refused.
        train: names of neuron parameters to train, for neurons that have them. None: the default of the class.

    Returns:
        A `Sequential`, in float64 but where weights are float32 in the graph.

    Raises:
        ValueError: if the package nir is missing, the file is none of NIR, or a node has no counterpart, is not finite,
            of the wrong shape or not connected; the message names the node.

    Example:
        >>> from saltation import LIF, Layer, Linear, to_nir
        >>> layer = Layer(Linear(3, 2), LIF(2, tau_mem=20e-3, tau_syn=5e-3))
        >>> from_nir(to_nir(layer))[0].neuron.size  # doctest: +SKIP
        2
    """
    nir = nir_package()
    if isinstance(graph, str | os.PathLike):
        graph = _file(nir, Path(graph))
    structure = opened(nir, graph)
    found = notes(graph)
    noted = text(found, "convention")
    convention = convention or noted or "nir"
    if dt is None and convention == noted:
        dt = number(found, "dt")
    unit = (number(found, "time_unit") or 1.0) if time_unit is None else time_unit
    unit = check.finite_number(unit, "time_unit", low=0.0, strict=True)
    for name, value in (("max_delay", max_delay), ("tau_syn", tau_syn)):
        if value is not None:
            check.finite_number(value, name, low=0.0, strict=True)
    check.require(not isinstance(train, str), f"train = {train!r}: pass a tuple of names, for example ({train!r},)")
    reader = Reader(convention_of(convention, dt, reading=True), unit, tau_syn, train)
    return _Network(structure, reader, Connector(structure, unit, max_delay)).build()


def _file(nir: Any, path: Path) -> Any:
    """The graph in a file."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        return nir.read(path, type_check=False)  # checked here, with the name of what is wrong
    except Exception as error:  # h5py and nir raise what they happen to stumble over
        raise ValueError(f"{path} is not a file of NIR that nir {nir.__version__} can read: {error!r:.200}") from error


class Chain(NamedTuple):
    """Linear nodes on the way from a population, and the shape that goes into the first."""

    source: str
    nodes: tuple[str, ...]
    shape: tuple[int, ...]


class _Network:
    """Builds the modules of a Sequential, population by population."""

    def __init__(self, structure: Structure, reader: Reader, connector: Connector):
        self.structure, self.reader, self.connector = structure, reader, connector
        self.modules: list[Layer | SumPool2d] = []
        self.beside: dict[int, list[int]] = {}
        self.place = {structure.start: 0}  # by name of a population, which module is the first that gets its spikes
        self.last = structure.start

    def build(self) -> Sequential:
        """All of it."""
        for population in populations(self.structure):
            try:
                self._add(population)
            except (ValueError, TypeError) as error:
                raise ValueError(f"node {population.name!r}: {error}") from error
        return Sequential(*self.modules, beside=self.beside)

    def _add(self, population: Population) -> None:
        structure = self.structure
        nodes = [structure.nodes[name] for name in population.nodes]
        kinds = tuple(structure.kinds[name] for name in population.nodes)
        read = self.reader.read(kinds, [structure.fields(name) for name in population.nodes], nodes[-1])
        chains = self._pooled([chain for chain in population.chains if chain[0] != population.name])
        connection, others = self._incoming(chains, read)
        feedback = [chain for source, chain in population.chains if source == population.name]
        layer = self._layer(connection, read, feedback, structure.shapes[population.name])
        if others:
            self.beside[len(self.modules)] = others
        self.modules.append(layer)
        self.place[population.name] = len(self.modules)
        self.last = population.name

    def _pooled(self, chains: list[tuple[str, tuple[str, ...]]]) -> list[Chain]:
        """With the shapes that go into them; a pool with which all of those from the population before begin becomes a
        module, and is no longer in them.
        """
        structure = self.structure
        whole = [Chain(source, chain, structure.shapes[source]) for source, chain in chains]
        first = {chain[0] if chain else None for source, chain in chains if source == self.last}
        name = first.pop() if len(first) == 1 else None
        if name is None or structure.kinds[name] != "SumPool2d":
            return whole
        shape = structure.shapes[self.last]
        extent = shapes.windows(structure.nodes[name], shapes.pair(structure.nodes[name].kernel_size, "kernel_size", 1))
        tiled = extent.stride == extent.kernel and extent.padding == (0, 0)
        if not tiled or any(size % k for size, k in zip(shape[1:], extent.kernel, strict=True)):
            return whole  # as synapses
        self.modules.append(SumPool2d(shape, extent.kernel))
        pooled = structure.shapes[name]
        return [Chain(c.source, c.nodes[1:], pooled) if c.source == self.last else c for c in whole]

    def _incoming(self, chains: list[Chain], read: Read) -> tuple[Connection, list[int]]:
        """The connection of a layer, and the modules whose input comes beside the spikes of the one before."""
        parts: dict[str, list[Connection]] = {}
        for source, nodes, shape in chains:
            parts.setdefault(source, []).extend(self.connector.connections(shape, nodes, read.gain))
        if self.last not in parts:  # a Sequential passes on the spikes of the layer before in any case
            nothing = torch.empty(0, dtype=torch.int64)
            before = self.modules[-1].out_size if self.modules else math.prod(self.structure.shapes[self.last])
            parts[self.last] = [Sparse(before, len(read.gain), nothing, nothing)]
        main = parts.pop(self.last)
        if not parts:
            return (main[0] if len(main) == 1 else Parallel(*main)), []
        check.require(
            len(main) == 1,
            f"several ways lead to it from {self.last!r}, and others from {', '.join(map(repr, parts))}: several "
            "synapses of a pair of units are for layers that get spikes from one population alone",
        )
        others = [(self.place[source], part) for source, them in parts.items() for part in them]
        return Beside(main[0], *(part for _, part in others)), [place for place, _ in others]

    def _layer(
        self, connection: Connection, read: Read, feedback: list[tuple[str, ...]], shape: tuple[int, ...]
    ) -> Layer:
        """The neurons of all places share their parameters, if those of a convolution are the same everywhere."""
        back = self.connector.feedback(shape, feedback, read.gain) if feedback else None
        if read.spiking and len(shape) == 3 and connection.patches() is not None:
            places = shape[1] * shape[2]
            shared = within_places(back, places) if back is not None else None
            values = [value.reshape(-1, places) for value in read.values.values()]
            if all((value == value[:, :1]).all() for value in values) and (back is None) == (shared is None):
                neuron = read.make(lambda value: _shown(value.reshape(-1, places)[:, 0]), shape[0])
                return Layer(connection, neuron, recurrent=None if shared is None else self.connector.made(shared))
        recurrent = None if back is None else self.connector.made(back)
        return Layer(connection, read.make(_shown, len(read.gain)), recurrent=recurrent)


def _shown(value: np.ndarray) -> Any:
    """One number where all neurons have the same, since those are simulated faster."""
    return float(value[0]) if (value == value[0]).all() else torch.tensor(value)

"""A NIR graph of anybody, checked: subgraphs opened, every node known, finite and of the right shape."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from saltation import check

from . import shapes

NEURONS = {
    "CubaLIF": ("tau_mem", "tau_syn", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
    "CubaLI": ("tau_mem", "tau_syn", "r", "v_leak", "w_in"),
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    "LI": ("tau", "r", "v_leak"),
    "IF": ("r", "v_threshold", "v_reset"),
}
PASSING = {  # linear nodes: how the output shape follows, and which fields are numbers
    "Linear": (shapes.linear, ("weight",)),
    "Affine": (shapes.affine, ("weight", "bias")),
    "Conv2d": (shapes.convolution, ("weight", "bias")),
    "SumPool2d": (shapes.pooling, ("kernel_size", "stride", "padding")),
    "AvgPool2d": (shapes.pooling, ("kernel_size", "stride", "padding")),
    "Flatten": (shapes.flat, ()),
    "Delay": (shapes.delay, ("delay",)),
    "Scale": (shapes.scale, ("scale",)),
    "Input": (shapes.same, ()),
    "Output": (shapes.same, ()),
}
DEEPEST = 16  # subgraphs in subgraphs


class Structure(NamedTuple):
    """Nodes and edges of a graph without subgraphs; `kinds` are the names of the nodes' classes."""

    nodes: dict[str, Any]
    kinds: dict[str, str]
    before: dict[str, list[str]]
    after: dict[str, list[str]]
    shapes: dict[str, tuple[int, ...]]  # of what comes out
    start: str
    end: str

    def fields(self, name: str) -> dict[str, np.ndarray]:
        """The values of a neuron node, each (size,) float64; single values count for all."""
        size = math.prod(self.shapes[name])
        found = {field: numbers(name, self.nodes[name], field) for field in NEURONS[self.kinds[name]]}
        return {field: np.broadcast_to(value.reshape(-1), (size,)) for field, value in found.items()}


def numbers(name: str, node: Any, field: str) -> np.ndarray:
    """A field of a node as float64. Raises ValueError, naming both, unless it is finite numbers."""
    try:
        value = as_array(getattr(node, field)).astype(np.float64)
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"{_called(name, node)}: {field} must be numbers") from None
    if not np.isfinite(value).all():
        bad = value[~np.isfinite(value)].flat[0]
        raise ValueError(f"{_called(name, node)}: {field} holds {bad}; all values must be finite")
    return value


def as_array(value: Any) -> np.ndarray:
    """Numbers, arrays and tensors of PyTorch (some frameworks leave them in their nodes)."""
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)


def opened(nir: Any, graph: Any) -> Structure:
    """The structure of a graph. Raises ValueError that names the node or edge that is wrong."""
    check.require(
        isinstance(graph, nir.NIRGraph), f"graph is {type(graph).__name__}: must be a nir.NIRGraph or a path to one"
    )
    nodes, edges = _flattened(nir, graph, "", 0)
    top = {
        kind: [name for name, node in graph.nodes.items() if isinstance(node, getattr(nir, kind))]
        for kind in ("Input", "Output")
    }
    for kind, found in top.items():
        check.require(
            len(found) == 1,
            f"the graph has {len(found)} {kind} nodes{''.join(f' {name!r}' for name in found)}: it must have one",
        )
    before, after = defaultdict(list), defaultdict(list)
    for source, target in edges:
        after[source].append(target)
        before[target].append(source)
    kinds = {name: type(node).__name__ for name, node in nodes.items()}
    structure = Structure(nodes, kinds, dict(before), dict(after), {}, top["Input"][0], top["Output"][0])
    for name in nodes:
        _known(name, nodes[name])
    _shape(structure)
    return structure


def _called(name: str, node: Any) -> str:
    return f"node {name!r} ({type(node).__name__})"


def _flattened(nir: Any, graph: Any, prefix: str, depth: int) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Nodes and edges; those of a subgraph `sub` are called `sub.name`."""
    check.require(depth < DEEPEST, f"subgraphs are nested {DEEPEST} deep at {prefix!r}: saltation goes no deeper")
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    entry, leave = {}, {}
    for key, node in graph.nodes.items():
        name = prefix + str(key)
        entry[key] = leave[key] = name
        inside = {name: node}
        if isinstance(node, nir.NIRGraph):
            inside, inner = _flattened(nir, node, f"{name}.", depth + 1)
            edges += inner
            entry[key], leave[key] = (_only(nir, kind, name, node) for kind in ("Input", "Output"))
        twice = nodes.keys() & inside.keys()
        check.require(
            not twice, f"two nodes are called {min(twice, default='')!r} once subgraphs are opened: rename one"
        )
        nodes |= inside
    for edge in graph.edges:
        source, target = _pair(edge)
        for end in (source, target):
            check.require(end in graph.nodes, f"edge {(source, target)}: there is no node {end!r}")
        edges.append((leave[source], entry[target]))
    double = [edge for edge, count in Counter(edges).items() if count > 1]
    check.require(not double, f"edge {double[:1]} is there twice: leave one out")
    return nodes, edges


def _pair(edge: Any) -> tuple[str, str]:
    """The two ends of an edge."""
    try:
        source, target = edge
    except (TypeError, ValueError):
        raise ValueError(f"edge {edge!r:.100}: must be a pair of names of nodes") from None
    return source, target


def _only(nir: Any, kind: str, name: str, graph: Any) -> str:
    """The Input or Output of a subgraph."""
    found = [key for key, node in graph.nodes.items() if isinstance(node, getattr(nir, kind))]
    check.require(len(found) == 1, f"subgraph {name!r} has {len(found)} {kind} nodes: it must have one")
    return f"{name}.{found[0]}"


def _known(name: str, node: Any) -> None:
    """Of a kind that saltation reads, with finite values."""
    kind = type(node).__name__
    if kind not in NEURONS and kind not in PASSING:
        known = ", ".join(sorted({*NEURONS, *PASSING}))
        raise ValueError(f"{_called(name, node)}: saltation reads no nodes of this kind, but {known}")
    for field in NEURONS[kind] if kind in NEURONS else PASSING[kind][1]:
        numbers(name, node, field)


def _shape(structure: Structure) -> None:
    """Fill in all shapes, from the input on; every node must be reached, with the same shape by all edges."""
    nodes, kinds, found = structure.nodes, structure.kinds, structure.shapes
    entering: dict[str, tuple[tuple[int, ...], str]] = {}
    found[structure.start] = _declared(structure.start, nodes[structure.start], "input_type", "input")
    waiting = [structure.start]
    while waiting:
        source = waiting.pop()
        for target in structure.after.get(source, ()):
            if target == structure.start:
                raise ValueError(f"edge {(source, target)} leads into the Input of the graph")
            if target in entering:
                shape, other = entering[target]
                if shape != found[source]:
                    raise ValueError(
                        f"{_called(target, nodes[target])} gets shape {found[source]} from {source!r}, but {shape} "
                        f"from {other!r}: what comes together must have one shape"
                    )
                continue
            entering[target] = found[source], source
            found[target] = _passed(target, nodes[target], kinds[target], found[source], source)
            waiting.append(target)
    for name, node in nodes.items():
        check.require(name in found, f"{_called(name, node)} is not reached from the Input: connect it or take it out")
        if kinds[name] in ("Input", "Output"):
            key = kinds[name].lower()
            declared = _declared(name, node, f"{key}_type", key)
            batch = declared[: len(declared) - len(found[name])]  # Rockpool counts batch and time too
            if (*batch, *found[name]) != declared or set(batch) > {1}:
                raise ValueError(f"{_called(name, node)} has shape {declared}, but gets {found[name]}")


def _declared(name: str, node: Any, attribute: str, key: str) -> tuple[int, ...]:
    """The shape that an Input or Output states."""
    try:
        shape = tuple(int(size) for size in as_array(getattr(node, attribute)[key]).reshape(-1))
    except (TypeError, ValueError, KeyError, AttributeError):
        raise ValueError(f"{_called(name, node)} does not state its shape") from None
    if len(shape) in (2, 4) and shape[0] == 1:  # snnTorch and Rockpool count the batch of their sample
        shape = shape[1:]
    legal = bool(shape) and all(0 < size <= check.LARGEST_SIZE for size in shape)
    check.require(legal, f"{_called(name, node)} states the shape {shape}: all sizes must be > 0")
    return shape


def _passed(name: str, node: Any, kind: str, shape: tuple[int, ...], source: str) -> tuple[int, ...]:
    """The shape that comes out where `shape` goes in."""
    rule: Callable[..., tuple[int, ...]]
    rule = shapes.elementwise if kind in NEURONS else PASSING[kind][0]
    fields = NEURONS.get(kind) or PASSING[kind][1]
    values = {field: numbers(name, node, field) for field in fields}
    try:
        return rule(node, values, shape)
    except ValueError as error:
        raise ValueError(f"{_called(name, node)}, which gets shape {shape} from {source!r}: {error}") from None

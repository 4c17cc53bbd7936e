"""The populations of a NIR graph, in order, and the chains of linear nodes that lead from one to the next."""

from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from saltation import check

from .structure import NEURONS, Structure

MOST_PATHS = 10_000  # into one population
PULSED = ("LIF", "IF", "LI")  # may get their input through a synapse, an LI


class Population(NamedTuple):
    """Neurons: their nodes one after the other, and the chains of linear nodes that lead to them."""

    nodes: tuple[str, ...]  # a synapse and a membrane, or both in one
    chains: list[tuple[str, tuple[str, ...]]]  # (the last node of the population before, the nodes between)

    @property
    def name(self) -> str:
        """Of the node that its spikes leave."""
        return self.nodes[-1]


def populations(structure: Structure) -> list[Population]:
    """In an order in which each gets spikes from those before it and from itself alone; the last is the output.

    Raises ValueError that names a node, if there is no such order, or spikes or potentials go where they cannot.
    """
    synapses = _synapses(structure)
    found = []
    for name, kind in structure.kinds.items():
        if kind not in NEURONS or name in synapses.values():
            continue
        nodes = (synapses[name], name) if name in synapses else (name,)
        found.append(Population(nodes, _chains(structure, nodes[0])))
    output = _output(structure)
    _all_lead_to(output, found)
    sources = {population.name: {source for source, _ in population.chains} for population in found}
    try:
        order = TopologicalSorter({name: them - {name, structure.start} for name, them in sources.items()})
        names = list(order.static_order())
    except CycleError as error:
        cycle = " - ".join(repr(name) for name in error.args[1])
        raise ValueError(
            f"nodes {cycle} are a cycle: saltation knows feedback of a population to itself alone"
        ) from None
    by_name = {population.name: population for population in found}
    return [by_name[name] for name in names]


def _synapses(structure: Structure) -> dict[str, str]:
    """By name of a membrane: the LI right before it, whose potential is its current."""
    found = {}
    for name, kind in structure.kinds.items():
        entering = structure.before.get(name, [])
        if kind not in PULSED or len(entering) != 1 or structure.kinds[entering[0]] != "LI":
            continue
        if structure.after[entering[0]] == [name]:
            found[name] = entering[0]
    return {name: synapse for name, synapse in found.items() if synapse not in found}


def _chains(structure: Structure, node: str) -> list[tuple[str, tuple[str, ...]]]:
    """All ways back from a node to populations or the input."""
    found: list[tuple[str, tuple[str, ...]]] = []
    waiting: list[tuple[str, tuple[str, ...]]] = [(name, ()) for name in reversed(structure.before.get(node, []))]
    while waiting:
        name, chain = waiting.pop()
        kind = structure.kinds[name]
        check.require(name not in chain, f"node {name!r} leads back to itself without a neuron on the way")
        check.require(len(waiting) + len(found) < MOST_PATHS, f"more than {MOST_PATHS:,} ways lead to node {node!r}")
        if name == structure.start or kind in NEURONS:
            silent = kind in ("LI", "CubaLI") and name != structure.start
            check.require(
                not silent, f"node {name!r} ({kind}) has no spikes: it can lead to the Output alone, not to {node!r}"
            )
            found.append((name, chain))
        else:
            waiting += [(before, (name, *chain)) for before in reversed(structure.before[name])]
    return found


def _output(structure: Structure) -> str:
    """The population that the Output shows."""
    name = structure.end
    while True:
        entering = structure.before.get(name, [])
        check.require(
            len(entering) == 1, f"{len(entering)} nodes lead to node {name!r}, on the way to the Output: it must be one"
        )
        name = entering[0]
        kind = structure.kinds[name]
        if kind in NEURONS:
            return name
        check.require(
            kind in ("Flatten", "Output"),
            f"node {name!r} ({kind}) leads to the Output without neurons between: the output must be that of neurons",
        )


def _all_lead_to(output: str, found: list[Population]) -> None:
    """Every population must be of use for the output."""
    by_name = {population.name: population for population in found}
    used, waiting = {output}, [output]
    while waiting:
        new = {source for source, _ in by_name[waiting.pop()].chains if source in by_name} - used
        used |= new
        waiting += new
    loose = [name for name in by_name if name not in used]
    check.require(not loose, f"the spikes of node {loose[0] if loose else ''!r} do not lead to the Output: take it out")

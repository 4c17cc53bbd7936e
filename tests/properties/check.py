"""Whether a law holds for a network, to the accuracy that the network itself allows.

The yardstick is measured on each network: it is simulated again with every number (weights, delays, input times, neuron
parameters) changed at random by up to PERTURBATION of itself. Each kind of output and of gradient moves by some amount;
answers that are right but for a relative change ROUNDING of the inputs differ by ROUNDING / PERTURBATION of that. So a
grazing spike, whose gradient is ill-conditioned, is measured as such, and no tolerance is chosen by hand.

A network is left out (`Skipped`) where no law could hold in floating point:
- a spike appears or vanishes within a relative change of PERTURBATION of the inputs;
- a kind of value is so ill-conditioned that it moves by more than WORST times that, relative to its largest entry;
- a neuron runs away (more than `networks.MOST_SPIKES` spikes).
Laws that hold to the last bit need none of this, and leave out only what runs away.
"""

from unittest.mock import patch

import torch
from properties.laws import Law
from properties.networks import Answer, Network, Tensors, answer, perturbed

from saltation import SpikeBudgetError, blocks

PERTURBATION = 1e-9
TRIALS = 2
ROUNDING = 3e-13
FLOOR = 1e-13  # of what a value is the sum of: for sums that cancel, however the network is perturbed
WORST = 1e6


class Skipped(Exception):
    """No law says anything about this network."""


def merged(found: Answer) -> Tensors:
    """Outputs and gradients in one dictionary."""
    return found.outputs | {f"gradient of {name}": g for name, g in found.gradients.items()}


def size(values: torch.Tensor) -> float:
    """The largest of the finite values, or 0."""
    values = values[values.isfinite()].abs()
    return float(values.max()) if values.numel() else 0.0


def difference(a: Tensors, b: Tensors) -> dict[str, float]:
    """The largest difference of each kind of value; inf where spikes differ in number."""
    found = {}
    for name in a.keys() | b.keys():
        x, y = a.get(name), b.get(name)
        if x is None or y is None or x.shape != y.shape or not torch.equal(x.isfinite(), y.isfinite()):
            found[name] = torch.inf
        else:
            found[name] = size((x - y)[x.isfinite()])
    return found


def tolerances(network: Network, found: Tensors, view, generator: torch.Generator) -> dict[str, float]:
    """How far each kind of value may be off."""
    moved = dict.fromkeys(found, 0.0)
    for _ in range(TRIALS):
        try:
            other = seen(network, answer(perturbed(network, generator, PERTURBATION)), view)
        except SpikeBudgetError:
            raise Skipped("runs away") from None
        for name, change in difference(found, other).items():
            moved[name] = max(moved[name], change)
    if torch.inf in moved.values():
        raise Skipped("a spike appears or vanishes")
    if any(moved[name] > WORST * PERTURBATION * size(x) for name, x in found.items()):
        raise Skipped("ill-conditioned")
    # what reaches a neuron later makes it spike later, by as much: gradients of times and delays cancel, down to what
    # the spikes count in the loss
    terms = float(found["gradient of times"].abs().sum()) + int(found.get("spikes", torch.empty(0)).isfinite().sum())
    sums = {name: max(size(x), terms if "times" in name or "delay" in name else 0.0) for name, x in found.items()}
    return {name: ROUNDING / PERTURBATION * moved[name] + FLOOR * sums[name] for name in found}


def seen(network: Network, found: Answer, view) -> Tensors:
    """What a law is about."""
    return merged(Answer(found.outputs, view(network, found.gradients)))


def pulled_back(leaves: Network, networks: list[Network], answers: list[Answer]) -> Tensors:
    """The sum of the gradients of the networks, with respect to the values that they were made from."""
    wanted = {name: leaves.values[name] for name in leaves.trained()}
    total = {name: torch.zeros_like(value) for name, value in wanted.items()}
    for network, found in zip(networks, answers, strict=True):
        pairs = [(network.values[name], found.gradients[name]) for name in network.trained()]
        values, gradients = zip(*((v, g) for v, g in pairs if v.requires_grad), strict=True)
        parts = torch.autograd.grad(values, list(wanted.values()), gradients, allow_unused=True, retain_graph=True)
        for name, part in zip(wanted, parts, strict=True):
            total[name] = total[name] if part is None else total[name] + part
    return total


def claim(law: Law, network: Network, generator: torch.Generator) -> Answer:
    """What the law says that the answer of the network is."""
    leaves = network.with_leaves()
    networks, back = law.transform(leaves, generator)
    answers = [answer(other.detached()) for other in networks]
    return Answer(back([found.outputs for found in answers]), pulled_back(leaves, networks, answers))


def holds(law: Law, network: Network, seed: int) -> dict[str, float]:
    """Raise AssertionError if not; returns how far each kind of value was off, in units of what is allowed."""
    generator = torch.Generator().manual_seed(seed)
    # so small that most networks have several blocks of samples
    with patch.object(blocks, "SYNAPTIC_EVENTS_PER_BLOCK", 500):
        network = law.prepare(network, generator)
        try:
            found = seen(network, answer(network), law.view)
        except SpikeBudgetError:
            raise Skipped("runs away") from None
        allowed = dict.fromkeys(found, 0.0) if law.exact else tolerances(network, found, law.view, generator)
        claimed = seen(network, claim(law, network, generator), law.view)
    off = difference(found, claimed)
    wrong = {name: (off[name], allowed.get(name)) for name in off if not off[name] <= allowed.get(name, -1.0)}
    assert not wrong, f"off by (allowed): {wrong} in {network!r}"
    return {name: off[name] / allowed[name] if off[name] else 0.0 for name in off}

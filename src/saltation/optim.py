"""What training needs to know of parameters: groups with their own learning rates, and smooth bounds."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from . import check
from .neuron import TRAINABLE, Neuron

KINDS = ("weight", "readout", "delay", "threshold", "tau")
# Relative to the learning rate of weights; what worked for the recipes. Those of thresholds and time constants are
# multiplied by the mean size of the parameter, as a step means as much as the parameter is large.
RATIOS = {"weight": 1.0, "readout": 1.0, "delay": 0.5, "threshold": 0.5, "tau": 0.5}


def parameter_kind(name: str, last_layer: int) -> str:
    """weight, readout (weights of the last layer), delay, threshold or tau, from a name such as `1.neuron.jump`."""
    leaf = name.removesuffix(".original").rpartition(".")[2]  # a parameter with bounds: ...tau_mem.original
    if leaf == "weight":
        layer = next((part for part in name.split(".") if part.isdigit()), None)
        return "readout" if layer == str(last_layer) and ".recurrent." not in name else "weight"
    if leaf == "raw_delay":
        return "delay"
    return "tau" if leaf.startswith("tau_") else "threshold"


def parameter_groups(
    network: nn.Module, lr: float | Mapping[str, float], ratios: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Parameter groups for a torch optimiser, one for each kind of parameter, with learning rates that suit it.

    Weights have `lr`. Delays are trained as fractions of their range and need no unit of time; thresholds, jumps and
    time constants have learning rates relative to their size, unless `bound_` has made them dimensionless too.

    Args:
        network: a `Sequential`, a `Layer`, or any module that holds some.
        lr: > 0, learning rate of weights; for Adam, 0.001 to 0.01. Or the learning rates of all kinds as they stand;
            kinds that are not given or 0 are not trained and have no group.
        ratios: learning rates of the kinds weight, readout (weights of the last layer of a `Sequential`), delay,
            threshold (with jump and v_reset) and tau, relative to `lr`; what is not given is 1, 1, 0.5, 0.5, 0.5.

    Example:
        >>> from saltation import LIF, Layer, Linear
        >>> layer = Layer(Linear(4, 3, delay="axonal", max_delay=0.1), LIF(3, tau_mem=0.02, tau_syn=0.005))
        >>> groups = parameter_groups(layer, lr=0.01)
        >>> [(group["kind"], group["lr"]) for group in groups]
        [('weight', 0.01), ('delay', 0.005), ('threshold', 0.005)]
        >>> optimizer = torch.optim.Adam(groups)
    """
    fixed = isinstance(lr, Mapping)
    check.require(not (fixed and ratios), "ratios are relative to one learning rate of weights, but lr has them all")
    factors = {**(dict.fromkeys(KINDS, 0.0) if fixed else RATIOS), **(lr if isinstance(lr, Mapping) else ratios or {})}
    for kind, value in factors.items():
        check.require(kind in KINDS, f"{'lr' if fixed else 'ratios'}: {kind!r} is not one of {KINDS}")
        factors[kind] = check.finite_number(value, f"{'lr' if fixed else 'ratios'}[{kind!r}]", low=0.0)
    scale = 1.0 if isinstance(lr, Mapping) else check.finite_number(lr, "lr", low=0.0, strict=True)
    layers = getattr(network, "layers", None)
    last = len(layers) - 1 if layers is not None else -1
    groups: dict[tuple[str, float], list[Tensor]] = {}
    for name, parameter in network.named_parameters():
        kind = parameter_kind(name, last)
        if not parameter.requires_grad or (fixed and factors[kind] == 0.0):
            continue
        size = 1.0
        if kind in ("threshold", "tau") and not name.endswith(".original") and not fixed:
            size = float(parameter.detach().abs().mean()) or 1.0
        groups.setdefault((kind, scale * factors[kind] * size), []).append(parameter)
    ordered = sorted(groups.items(), key=lambda group: KINDS.index(group[0][0]))
    return [{"params": members, "lr": rate, "kind": kind} for (kind, rate), members in ordered]


class Bounds(nn.Module):
    """A value in (low, high) as a smooth function of a dimensionless raw value x.

    low (high/low)^s with s = 1/(1 + e^{-x}) where low > 0, so that factors count, else low + (high - low) s.
    """

    def __init__(self, low: float, high: float):
        super().__init__()
        self.low, self.high = low, high

    def forward(self, raw: Tensor) -> Tensor:
        """The value."""
        s = torch.sigmoid(raw)
        if self.low > 0.0:
            return self.low * (self.high / self.low) ** s
        return self.low + (self.high - self.low) * s

    def right_inverse(self, value: Tensor) -> Tensor:
        """The raw value."""
        if self.low > 0.0:
            return torch.logit((value / self.low).log() / torch.log(torch.tensor(self.high / self.low)))
        return torch.logit((value - self.low) / (self.high - self.low))


def bound_(neuron: Neuron, **bounds: tuple[float, float]) -> None:
    """Keep trained parameters of neurons between bounds by a smooth parametrisation, in place.

    `neuron.tau_mem`, for example, stays what the layer uses; what is trained is a dimensionless parameter behind it,
    so that `constrain_` is not needed for it and its learning rate does not depend on the unit of time.

    Args:
        neuron: `LIF` or `LI` with parameters in `train`.
        bounds: name=(low, high) of trained parameters; their present values must lie between.

    Example:
        >>> from saltation import LIF
        >>> neuron = LIF(3, tau_mem=0.02, tau_syn=0.005, train=("tau_mem",))
        >>> bound_(neuron, tau_mem=(0.005, 0.1))
        >>> [name for name, _ in neuron.named_parameters()]
        ['parametrizations.tau_mem.original']
    """
    for name, pair in bounds.items():
        check.require(name in TRAINABLE and name in neuron.train_names, f"{name!r} is not trained: name it in train=")
        check.require(len(pair) == 2, f"{name} = {pair}: must be (low, high)")
        low = check.finite_number(pair[0], f"low bound of {name}")
        high = check.finite_number(pair[1], f"high bound of {name}", low=low, strict=True)
        check.require(
            low > 0.0 or not name.startswith("tau_"), f"low bound {low:g} of {name}: a time constant must be > 0"
        )
        value = getattr(neuron, name)
        check.legal_values(
            name, value, (value > low) & (value < high), f"must lie between the bounds {low:g}, {high:g}"
        )
        parametrize.register_parametrization(neuron, name, Bounds(low, high))

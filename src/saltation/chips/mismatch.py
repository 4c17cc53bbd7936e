"""`Mismatch`: how the copies of a circuit differ from each other, and from themselves from one time to the next."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import Tensor, nn

from saltation import check
from saltation.chips.places import connections_of, layers_of, tensor_of
from saltation.chips.quantise import straight_through
from saltation.connections import Connection
from saltation.neuron import Neuron


@dataclass(frozen=True)
class Mismatch:
    """How strong the random deviations of the parameters are; all >= 0, 0: none.

    Args:
        threshold: of each neuron: threshold -> threshold e^{threshold z}; with a v_reset above 0 the distance to it.
        tau: of each time constant of each neuron (tau_mem, tau_syn, tau_adapt): tau -> tau e^{tau z}.
        weight: of each synapse: weight -> weight + `weight` L z, where L is the largest weight of the connection. No
            synapse, a weight of 0, stays none.

    z are standard normal numbers, see `draw_device`; so 0.1 is a standard deviation of about 10 %. Shared parameters
    (of a convolution, of neurons that its places share) deviate together.
    """

    threshold: float = 0.0
    tau: float = 0.0
    weight: float = 0.0

    def __post_init__(self) -> None:
        for entry in fields(self):
            check.finite_number(getattr(self, entry.name), entry.name, low=0.0)

    @property
    def none(self) -> bool:
        """Whether nothing deviates."""
        return not (self.threshold or self.tau or self.weight)


def draw_device(network: nn.Module, generator: torch.Generator | None = None) -> dict[str, Tensor]:
    """The standard normal deviations of one device, float64: one for every weight, and for every neuron's threshold and
    time constants, by name.

    They do not depend on how strong the mismatch is: one device can be looked at with any `Mismatch`. Without a
    generator torch's global one draws.
    """
    check.generator(generator)
    normal = partial(torch.randn, generator=generator, dtype=torch.float64)
    device: dict[str, Tensor] = {}
    for prefix, layer in layers_of(network).items():
        for name, connection in connections_of(layer):
            device[f"{prefix}{name}weight"] = normal(tensor_of(connection, "weight").shape)
        for name in layer.neuron.names:
            if name == "threshold" or name.startswith("tau"):
                device[f"{prefix}neuron.{name}"] = normal((layer.neuron.size,))
    return device


def disturbed(
    network: nn.Module, mismatch: Mismatch, device: dict[str, Tensor], values: dict[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """The parameters of a network on a device, by name; `values`, as of `quantise`, stand for its own.

    Gradients are exact, but for L, which counts as a constant. Raises ValueError if a parameter that deviates is
    computed from others, by `bound_` or pruning.
    """
    result = dict(values or {})

    def deviate(module: Connection | Neuron, prefix: str, name: str, change: Callable[..., Tensor]) -> None:
        key = f"{prefix}{name}"
        check.require(key in device, f"the device has no deviation of {key}: draw it for this network (draw_device)")
        before = result[key] if key in result else tensor_of(module, name)
        result[key] = change(before, device[key])

    for prefix, layer in layers_of(network).items():
        if mismatch.weight:
            for name, connection in connections_of(layer):
                deviate(connection, f"{prefix}{name}", "weight", partial(_noisy, std=mismatch.weight))
        neuron = layer.neuron
        if mismatch.tau:
            for name in (name for name in neuron.names if name.startswith("tau")):
                deviate(neuron, f"{prefix}neuron.", name, partial(_scaled, std=mismatch.tau))
        if mismatch.threshold and "threshold" in neuron.names:
            key = f"{prefix}neuron.v_reset"
            reset = result.get(key, neuron.v_reset if "v_reset" in neuron.names else torch.zeros(()))
            base = reset.detach().double().clamp(min=0.0)
            deviate(neuron, f"{prefix}neuron.", "threshold", partial(_scaled, std=mismatch.threshold, base=base))
    return result


def _noisy(weight: Tensor, z: Tensor, std: float) -> Tensor:
    fixed = weight.detach().double()
    largest = fixed.abs().max() if fixed.numel() else 0.0
    return straight_through(weight, (fixed + std * largest * z * (fixed != 0.0)).to(weight.dtype))


def _scaled(value: Tensor, z: Tensor, std: float, base: Tensor | float = 0.0) -> Tensor:
    return base + (value.double() - base) * torch.exp(std * z)

"""`OnChip`: a network with the parameters that it has on a chip."""

import copy
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from saltation import check
from saltation.chips.chip import Chip
from saltation.chips.mismatch import Mismatch, disturbed, draw_device
from saltation.chips.quantise import quantise
from saltation.layer import Layer
from saltation.sequential import Sequential
from saltation.spikes import Spikes

PER = ("device", "trial")


class OnChip(nn.Module):
    """A network with the parameters that it has on a chip: quantised, and with the deviations of a device.

    It is called and run like the network itself, and shares its parameters: gradients go to those, straight through the
    rounding (see `quantise`), and an optimiser, a checkpoint or a moving average knows the network alone.

    Args:
        network: a `Sequential` or a `Layer`.
        chip: its limits; None: none.
        mismatch: how far devices deviate; None: not at all.
        per: "device": the deviations are drawn once, here, and stay: one chip. "trial": they are drawn anew for every
            call, for all samples of a batch together: noise, or training for any chip.
        generator: draws them; without one torch's global generator does.

    Attributes:
        device: the standard normal deviations drawn last, see `draw_device`; None without mismatch.

    Example:
        >>> from saltation import LIF, Linear
        >>> network = Layer(Linear(2, 1), LIF(1, tau_mem=2.0, tau_syn=1.0))
        >>> chip = OnChip(network, Chip(weight_bits=4), Mismatch(threshold=0.1), generator=torch.Generator())
        >>> chip(Spikes.from_lists([[(0.0, 0), (0.5, 1)]], num_units=2, duration=5.0)).num_samples
        1
        >>> [name for name, _ in chip.as_network().named_parameters()]
        ['connection.weight', 'neuron.threshold']
    """

    def __init__(
        self,
        network: Sequential | Layer,
        chip: Chip | None = None,
        mismatch: Mismatch | None = None,
        per: Literal["device", "trial"] = "device",
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        check.require(per in PER, f"per = {per!r}: must be one of {PER}")
        check.generator(generator)
        self.network = network
        self.chip, self.mismatch = chip, mismatch
        self.per, self.generator = per, generator
        self.device: dict[str, Tensor] | None = None
        if mismatch is not None and per == "device":
            self.device = draw_device(network, generator)

    def values(self) -> dict[str, Tensor]:
        """The parameters on the chip, by their names in the network; draws deviations if they are those of a trial."""
        found = {} if self.chip is None else quantise(self.network, self.chip)
        if self.mismatch is None:
            return found
        if self.per == "trial":
            self.device = draw_device(self.network, self.generator)
        assert self.device is not None
        return disturbed(self.network, self.mismatch, self.device, found)

    def forward(self, spikes: Spikes) -> Any:
        """As the network."""
        return functional_call(self.network, self.values(), (spikes,))

    def run(self, spikes: Spikes, peak: bool = False, between: Callable[[Spikes], Spikes] | None = None) -> Any:
        """As `Sequential.run`, or `Layer.run` of a single layer, which takes no `between`."""
        values = {f"network.{name}": value for name, value in self.values().items()}
        more = () if between is None else (between,)
        return functional_call(_Run(self.network), values, (spikes, peak, *more))

    @torch.no_grad()
    def as_network(self) -> Any:
        """A copy of the network whose own parameters are those on the chip, to keep, export or look at."""
        copied = copy.deepcopy(self.network)
        for name, value in self.values().items():
            where, _, leaf = name.rpartition(".")
            module = copied.get_submodule(where)
            old = module._parameters.get(leaf)
            if old is None:
                module._buffers[leaf] = value.detach().clone()
            else:
                module._parameters[leaf] = nn.Parameter(value.detach().clone(), old.requires_grad)
        return copied


class _Run(nn.Module):
    """`network.run` as a call, which is what functional_call makes."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, *arguments: Any) -> Any:
        """What `run` returns."""
        return self.network.run(*arguments)  # type: ignore[operator]

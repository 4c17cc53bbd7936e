"""Connections: weights and transmission delays between two populations."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from . import check
from .kernels.layout import Wiring
from .patches import Patches
from .settings import WithSettings
from .spikes import Spikes

DELAYS = (None, "axonal", "dendritic", "synaptic")


class Connection(WithSettings):
    """What all connections share: sizes, a weight parameter, and delays that are trainable and always legal.

    Attributes:
        weight: what an input spike adds to the synaptic current.
        raw_delay: parameter behind `delays()`, dimensionless: 0 stands for min_delay, 1 for max_delay. It is reflected
            at both ends (a triangle wave), so that delays are always legal, their gradient is exact and never
            vanishes, and a learning rate for it means the same in any unit of time. Absent without a delay.
    """

    weight: nn.Parameter
    wiring: Wiring | None = None  # which synapses there are; None: all

    def __init__(self, in_size: int, out_size: int):
        super().__init__()
        self.in_size = check.whole_number(in_size, "in_size")
        self.out_size = check.whole_number(out_size, "out_size")

    def _add_delays(
        self, delay: str | None, shapes: Mapping[str, tuple[int, ...]], min_delay: float, max_delay: float | None
    ) -> None:
        """Make raw_delay, in the shape that belongs to the kind of delay."""
        kinds = tuple(shapes)
        check.require(delay is None or delay in kinds, f"delay = {delay!r}: must be one of {(None, *kinds)}")
        self.delay = delay
        if delay is None:
            check.require(
                max_delay is None and min_delay == 0.0,
                f"max_delay = {max_delay}, min_delay = {min_delay} without a kind of delay: "
                f"set delay= to one of {kinds}",
            )
            return
        check.require(max_delay is not None, f"delay = {delay!r} needs max_delay, the largest delay you allow")
        self.min_delay = check.finite_number(min_delay, "min_delay", low=0.0)
        self.max_delay = check.finite_number(max_delay, "max_delay", low=self.min_delay, strict=True)
        self.raw_delay = nn.Parameter(torch.zeros(shapes[delay]))

    def forward(self) -> None:
        """Nothing but what torch attaches to a call: a layer calls its connection before it reads the weights, so that
        hooks on it (`torch.nn.utils.prune`, `weight_norm`) renew them.
        """

    def settings(self) -> dict[str, Any]:
        """What weights and raw delays mean."""
        if self.delay is None:
            return {"delay": None}
        return {"delay": self.delay, "min_delay": self.min_delay, "max_delay": self.max_delay}

    def incoming(self, spikes: Spikes) -> Spikes:
        """The input spikes as the weights and delays count them: as they are, except for `Parallel`."""
        return spikes

    def synapses(self) -> tuple[Tensor, Tensor]:
        """Weights and delays as the kernels take them: by pair, or by synapse of the wiring."""
        return self.weight, self.delays()

    def dense(self) -> tuple[Tensor, Tensor]:
        """Weights (out_size, in_size) and delays that broadcast to them; 0 where there is no synapse."""
        return self.weight, self.delays()

    def patches(self) -> Patches | None:
        """How neurons at many places share this connection, if it is a convolution."""
        return None

    def shared(self) -> tuple[Tensor, Tensor]:
        """Weights and delays of a single place, if this is a convolution: as of a `Linear` from its patch."""
        return self.synapses()

    def parts(self) -> list["Connection"]:
        """The connections that this one is made of: itself, except for `Beside`."""
        return [self]

    def bump_(self, silent: Tensor, amount: float) -> None:
        """Add `amount` to all weights that lead to the neurons `silent` (out_size,) bool."""
        weight = self.own("weight")
        if bool(silent.any()):  # much faster than to add nothing
            weight[silent] += amount

    def delays(self) -> Tensor:
        """The delays, float64, within [min_delay, max_delay], in the shape of raw_delay. Zeros (1, 1) without delay."""
        if self.delay is None:
            return torch.zeros(1, 1, dtype=torch.float64)
        # Triangle wave of period 2. Its slope is 1 or -1 everywhere (at the turning points: inwards).
        folded = self.raw_delay.remainder(2.0)
        fraction = torch.where(folded < 1.0, folded, 2.0 - folded).double()
        # lerp is exact at both ends; in float64, so that no rounding leads out of the range
        low, high = (torch.tensor(bound, dtype=torch.float64) for bound in (self.min_delay, self.max_delay))
        return torch.lerp(low, high, fraction)

    def set_delays(self, values: Tensor | float) -> None:
        """Set the delays to `values`, broadcastable to the shape of `raw_delay`; each within [min_delay, max_delay].

        Raises:
            ValueError: if there is no delay, a value is outside the range, or the shape does not fit.
        """
        check.require(
            self.delay is not None, "this connection has no delay: create it with delay='synaptic' or another"
        )
        values = torch.as_tensor(values, dtype=torch.float64).detach()
        check.on_cpu(values, "the tensor of delays")
        shape = tuple(self.raw_delay.shape)
        try:
            values = values.expand(shape)
        except RuntimeError:
            raise ValueError(
                f"delays have shape {tuple(values.shape)}: must be a number or broadcast to {shape}"
            ) from None
        legal = (values >= self.min_delay) & (values <= self.max_delay)
        if not bool(legal.all()):
            bad = values[~legal][0].item()
            raise ValueError(
                f"delay {bad:g}: must be within [{self.min_delay:g}, {self.max_delay:g}]; change it, or create the "
                "connection with another min_delay or max_delay"
            )
        with torch.no_grad():
            self.own("raw_delay").copy_((values - self.min_delay) / (self.max_delay - self.min_delay))

    def extra_repr(self) -> str:
        """What print shows."""
        delay = "" if self.delay is None else f", delay={self.delay} in [{self.min_delay:g}, {self.max_delay:g}]"
        return f"{self.in_size}, {self.out_size}{delay}"


class Linear(Connection):
    """All-to-all connection with weights and, on request, trainable delays.

    A spike of input i at t reaches neuron j at t + d_ij and adds weight[j, i] to its synaptic current.

    Args:
        in_size, out_size: number of inputs and of neurons.
        delay: None, "axonal" (one per input), "dendritic" (one per neuron) or "synaptic" (one per pair).
        max_delay: largest delay, in the unit of the spike times; required with a delay, > min_delay.
        min_delay: smallest delay, >= 0.
        generator: draws the initial weights; without one torch's global generator does, as in torch's own modules.

    Attributes:
        weight: (out_size, in_size) parameter, drawn from N(0, 1/in_size); see `saltation.init` for better starts.
        raw_delay: see `Connection`; (1, in_size), (out_size, 1) or (out_size, in_size).

    Example:
        >>> connection = Linear(4, 30, delay="synaptic", max_delay=1.0)
        >>> connection.set_delays(0.25)
        >>> connection.delays().shape, float(connection.delays()[0, 0])
        (torch.Size([30, 4]), 0.25)
    """

    def __init__(
        self,
        in_size: int,
        out_size: int,
        delay: str | None = None,
        max_delay: float | None = None,
        min_delay: float = 0.0,
        generator: torch.Generator | None = None,
    ):
        super().__init__(in_size, out_size)
        check.generator(generator)
        in_size, out_size = self.in_size, self.out_size
        self.weight = nn.Parameter(torch.randn(out_size, in_size, generator=generator) * in_size**-0.5)
        shapes = {"axonal": (1, in_size), "dendritic": (out_size, 1), "synaptic": (out_size, in_size)}
        self._add_delays(delay, shapes, min_delay, max_delay)

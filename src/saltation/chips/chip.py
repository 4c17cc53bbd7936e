"""`Chip`: what the parameters of a network may be on a piece of hardware."""

import math
from dataclasses import dataclass

from saltation import check


@dataclass(frozen=True)
class Chip:
    """Limits of a chip; None: none. See `quantise` for what they do.

    Args:
        weight_bits: from 2 to 32, the sign among them: a weight is one of 2^bits - 1 multiples of a step, symmetric
            about 0. Each connection has a step of its own.
        weight_range: > 0, the largest weight, in the unit of the threshold. None: of each connection its own largest.
        delay_step: > 0, delays are multiples of it; in the unit of the spike times.
        max_delay: >= 0, the largest delay.
        threshold_bits: from 1 to 32: the thresholds of a layer are one of 2^bits - 1 multiples of a step, the largest
            among them; jumps and reset potentials are multiples of the same step.
        fan_in: >= 1, how many synapses a neuron may have, its feedback among them.

    Example:
        >>> Chip(weight_bits=4, delay_step=1e-3, max_delay=0.02).weight_levels
        7
    """

    weight_bits: int | None = None
    weight_range: float | None = None
    delay_step: float | None = None
    max_delay: float | None = None
    threshold_bits: int | None = None
    fan_in: int | None = None

    def __post_init__(self) -> None:
        for name, low in (("weight_bits", 2), ("threshold_bits", 1)):
            bits = getattr(self, name)
            if bits is not None:
                check.require(check.whole_number(bits, name, low) <= 32, f"{name} = {bits}: must be at most 32")
        for name in ("weight_range", "delay_step"):
            if getattr(self, name) is not None:
                check.finite_number(getattr(self, name), name, low=0.0, strict=True)
        if self.max_delay is not None:
            check.finite_number(self.max_delay, "max_delay", low=0.0)
        if self.fan_in is not None:
            check.whole_number(self.fan_in, "fan_in")

    @property
    def weight_levels(self) -> int | None:
        """How many steps the largest weight has."""
        return None if self.weight_bits is None else 2 ** (self.weight_bits - 1) - 1

    @property
    def threshold_levels(self) -> int | None:
        """How many steps the largest threshold has."""
        return None if self.threshold_bits is None else 2**self.threshold_bits - 1

    @property
    def largest_delay(self) -> float:
        """`max_delay`, or inf."""
        return math.inf if self.max_delay is None else self.max_delay

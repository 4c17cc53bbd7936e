"""`Readout`: what a layer of leaky integrators returns; its outputs are computed when asked for, in closed form."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from . import check, closed_form, ops
from .tree import walked


@walked
@dataclass(eq=False, repr=False)
class Readout:
    """The membrane potentials V of B samples x N leaky integrators over [0, duration], known through functionals.

    Nothing is sampled or stored: every method evaluates a closed form over the input spikes, with exact gradients with
    respect to their times, weights, delays and time constants.
    """

    _arguments: ops.Arguments
    _setting: ops.Setting
    num_units: int

    @property
    def duration(self) -> float:
        """Until when V is known, in the unit of the spike times."""
        return self._setting.duration

    def integral(self) -> Tensor:
        """(B, N): int_0^duration V dt."""
        return closed_form.window(self._arguments, self._setting, math.inf)

    def weighted(self, tau: float) -> Tensor:
        """(B, N): int_0^duration e^{-t/tau} V dt, which favours early activity; tau > 0 in the unit of time."""
        tau = check.finite_number(tau, "tau", low=0.0, strict=True, inf_ok=True)
        return closed_form.window(self._arguments, self._setting, tau)

    def maximum(self) -> Tensor:
        """(B, N): the largest V, at least 0 (its value at the start)."""
        return ops.spikes(self._arguments, self._setting._replace(want_peak=True))[3]

    def at(self, times: Tensor | list[float]) -> Tensor:
        """(B, N, Q): V at the given times (Q,), each in [0, duration]; no gradient for them."""
        times = times.detach().double() if isinstance(times, Tensor) else torch.tensor(times, dtype=torch.float64)
        check.on_cpu(times, "times")
        points = times.contiguous().numpy()
        check.require(points.ndim == 1, f"times has shape {points.shape}: must have one dimension")
        bad = ~((points >= 0) & (points <= self.duration))
        if bad.any():
            raise ValueError(f"time {points[bad][0]:g}: must be within [0, duration] = [0, {self.duration:g}]")
        return closed_form.values(self._arguments, self._setting, points)

    def __repr__(self) -> str:
        B = self._arguments.offsets.numel() - 1
        return f"Readout({B} samples, {self.num_units} units, duration {self.duration:g})"

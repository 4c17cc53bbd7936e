"""Neuron models: parameters and their equations. The kernels solve the equations; nothing here holds state."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from . import check
from .kernels import layout
from .neuron import PARAMETERS, TRAINABLE, Neuron, Resetting
from .trace import Arrivals, linear_trace, quadratic_trace

if TYPE_CHECKING:  # Numba takes longer to import than all the rest: only what simulates imports kernels
    from .kernels import nonleaky, qif

RESETS = ("constant", "subtract")


class LIF(Resetting):
    """Leaky integrate-and-fire neurons with current-based synapses and an adaptive threshold.

        tau_mem   dV/dt = -V + I           tau_syn dI/dt = -I          tau_adapt da/dt = -a
        theta(t) = threshold + a(t)

    An input spike adds its weight to I. When V reaches theta from below the neuron spikes: V -> v_reset (or
    V -> V - threshold), a += jump, and V is held for the refractory period. Any number of spikes.

    Args:
        size: number of neurons.
        tau_mem, tau_syn: time constants, > 0, any ratio, equal ones too; in the unit of the spike times.
        threshold: base of the threshold, > v_reset and > 0.
        jump: what each own spike adds to the threshold; 0 switches adaptation off, < 0 is facilitation, which may run
            away: where no jump is negative when made or loaded, `constrain_` keeps trained ones from it.
        tau_adapt: time constant of the adaptation, > 0; must be given if jump is not 0 or is trained.
        v_reset: potential after a spike, < threshold; used by reset="constant".
        refractory: time for which V is held after a spike, >= 0; math.inf allows one spike at most.
        reset: "constant" (V -> v_reset) or "subtract" (V -> V - threshold, which leaves V = a; or more, where V is
            above theta when the refractory period ends, so that the neuron spikes at once).
        train: names of the parameters to train, out of tau_mem, tau_syn, tau_adapt, threshold, jump, v_reset. They
            become nn.Parameters of shape (size,).
        min_slope: lower bound on d(V - theta)/dt at a spike in the backward pass, >= 0, in units of V per time. A spike
            that grazes the threshold has a diverging gradient; 0, the default, keeps it exact.

    Every parameter is a number or a tensor of shape (size,).

    Raises:
        ValueError, TypeError: if a value is out of range, or of another shape or dtype.

    Example:
        >>> LIF(30, tau_mem=20e-3, tau_syn=5e-3, jump=0.2, tau_adapt=0.2, train=("threshold", "jump")).threshold.shape
        torch.Size([30])
    """

    def __init__(
        self,
        size: int,
        tau_mem: float | Tensor,
        tau_syn: float | Tensor,
        threshold: float | Tensor = 1.0,
        jump: float | Tensor = 0.0,
        tau_adapt: float | Tensor | None = None,
        v_reset: float | Tensor = 0.0,
        refractory: float | Tensor = 0.0,
        reset: str = "constant",
        train: Sequence[str] = ("threshold",),
        min_slope: float = 0.0,
    ):
        if tau_adapt is None:
            adaptive = "jump" in train or "tau_adapt" in train or bool(torch.as_tensor(jump).ne(0).any())
            check.require(not adaptive, "tau_adapt is missing: an adaptive threshold (jump not 0, or trained) needs it")
            tau_adapt = tau_mem  # never used
        given = (tau_mem, tau_syn, tau_adapt, threshold, jump, v_reset, refractory)
        values = dict(zip(PARAMETERS, given, strict=True))
        super().__init__(size, values, train, TRAINABLE)
        check.require(reset in RESETS, f"reset = {reset!r}: must be one of {RESETS}")
        self.reset = reset
        self.min_slope = check.finite_number(min_slope, "min_slope", low=0.0)
        self.validate()

    def population(self, parameters: np.ndarray, duration: float) -> layout.Neurons:
        """See Neuron."""
        return layout.Neurons(parameters, self.reset == "subtract", True, duration)

    def trace(
        self, n: int, times: np.ndarray, own: Sequence[float], arrivals: Arrivals
    ) -> tuple[np.ndarray, np.ndarray]:
        """See Neuron."""
        return linear_trace(times, own, arrivals, self.packed()[n].detach().numpy(), self.reset == "subtract")

    def settings(self) -> dict[str, Any]:
        """What besides the parameters determines the spikes and their gradients."""
        return {"reset": self.reset, "min_slope": self.min_slope}

    def validate(self) -> None:
        """Raise ValueError if a parameter is illegal, and say which."""
        super().validate()
        check.legal_values("jump", self.jump, self.jump.isfinite(), "must be finite")

    def constrain_(self) -> None:
        """Move trained parameters that have left their legal range back to its edge. Call it after optimiser steps."""
        super().constrain_()
        with torch.no_grad():
            # adaptation stays adaptation, as facilitation may run away; a parametrization has a range of its own
            if "jump" in self._parameters and self.initial["jump"] >= 0.0:
                self.jump.clamp_(min=0.0)


class QIF(Neuron):
    """Quadratic integrate-and-fire neurons with current-based synapses; spike times depend smoothly on everything.

        tau_mem dV/dt = V (V / threshold - 1) + I          (tau_mem / 2) dI/dt = -I

    An input spike adds its weight to I. Rest is V = 0; above `threshold` V grows by itself, reaches infinity (a spike)
    and goes on from minus infinity. For tau_syn = tau_mem / 2, which is fixed, all of this has a closed form.

    A spike that vanishes as parameters change does not vanish in the middle: it moves later and later, and leaves at
    the end of the trial. So does its effect, and gradients neither jump nor diverge at the threshold. With
    `pseudo_time` even a neuron that the input leaves silent gets a gradient: near the end of the trial a drive strong
    enough to make every neuron spike is added to I, and these pseudospikes come earlier the closer V was to threshold.

    Args:
        size: number of neurons.
        tau_mem: membrane time constant, > 0, in the unit of the spike times; tau_syn is half of it.
        threshold: where V starts to grow by itself, > 0. It scales V and the weights.
        pseudo_time: when the pseudo drive is added, >= 0, after the relevant input and, in a deeper layer, after the
            pseudospikes of the layer before; leave some tau_mem until the end of the trial. inf: never.
        pseudo_drive: what is added to I then, in thresholds, >= 0. Even from V = -infinity a neuron spikes if its I
            exceeds pi^2 thresholds. 20, the default, leaves room for inhibition and makes a resting neuron spike once.
        train: names of the parameters to train, out of tau_mem, threshold.

    Every parameter is a number or a tensor of shape (size,).

    Raises:
        ValueError, TypeError: if a value is out of range, or of another shape or dtype.

    Source: Klos & Memmesheimer, Smooth exact gradient descent learning in spiking neural networks, PRL 134 (2025).

    Example:
        >>> float(QIF(30, tau_mem=2.0, pseudo_time=5.0).tau_syn)
        1.0
    """

    names = ("tau_mem", "threshold", "pseudo_time", "pseudo_drive")
    pseudo_time: Tensor
    pseudo_drive: Tensor

    def __init__(
        self,
        size: int,
        tau_mem: float | Tensor,
        threshold: float | Tensor = 1.0,
        pseudo_time: float | Tensor = torch.inf,
        pseudo_drive: float | Tensor = 20.0,
        train: Sequence[str] = (),
    ):
        given = (tau_mem, threshold, pseudo_time, pseudo_drive)
        super().__init__(size, dict(zip(self.names, given, strict=True)), train, ("tau_mem", "threshold"))
        self.validate()

    @property
    def tau_syn(self) -> Tensor:  # type: ignore[override]
        """Half of tau_mem."""
        return 0.5 * self.tau_mem

    def columns(self) -> dict[str, Tensor]:
        """The parameters by name, in the order of the columns of kernels/qif.py."""
        return {"tau_mem": self.tau_mem, "threshold": self.threshold}

    def population(self, parameters: np.ndarray, duration: float) -> "qif.Population":
        """See Neuron."""
        from .kernels import qif

        return qif.Population(parameters, duration)

    def trace(
        self, n: int, times: np.ndarray, own: Sequence[float], arrivals: Arrivals
    ) -> tuple[np.ndarray, np.ndarray]:
        """See Neuron; the pseudo drive arrives too."""
        drive, (tau, threshold) = self.drive(), self.packed()[n].detach().tolist()
        if drive is not None:
            arrivals = [*arrivals, (float(drive[0][n]), float(drive[1][n]))]
        return quadratic_trace(times, own, arrivals, tau, threshold)

    def drive(self) -> tuple[Tensor, Tensor] | None:
        """See Neuron: the pseudo drive."""
        if bool(self.pseudo_time.isinf().all()):
            return None
        drive = self.pseudo_drive.double() * self.threshold.double()
        return self.pseudo_time.double().expand(self.size), drive.expand(self.size)

    def legal(self, packed: np.ndarray) -> bool:
        """Whether all of `packed` and the pseudo drive is legal."""
        pseudo = (self.pseudo_time >= 0).all() & (self.pseudo_drive >= 0).all() & self.pseudo_drive.isfinite().all()
        return bool(np.isfinite(packed).all() and (packed > 0).all() and pseudo)

    def validate(self) -> None:
        """Raise ValueError if a parameter is illegal, and say which."""
        super().validate()
        rule = "must be finite and > 0"
        check.legal_values("threshold", self.threshold, (self.threshold > 0) & self.threshold.isfinite(), rule)
        check.legal_values("pseudo_time", self.pseudo_time, self.pseudo_time >= 0, "must be >= 0 (math.inf: never)")
        legal = (self.pseudo_drive >= 0) & self.pseudo_drive.isfinite()
        check.legal_values("pseudo_drive", self.pseudo_drive, legal, "must be finite and >= 0")


class IF(Resetting):
    """Integrate-and-fire neurons without leak, with current-based synapses; all spikes in closed form.

        tau_syn dV/dt = I          tau_syn dI/dt = -I

    An input spike adds its weight to I, and raises V by just that weight in the end: weights have the unit of V,
    whatever the unit of time. For tau_syn = 1 these are the neurons, and the weights, of Mostafa 2017; where hardware
    states dV/dt = I instead, multiply its weights by tau_syn. When V reaches threshold from below the neuron spikes:
    V -> v_reset, and V is held for the refractory period. Any number of spikes. A reset by subtraction is v_reset = 0,
    since V is at the threshold when it spikes.

    Args:
        size: number of neurons.
        tau_syn: time constant of the synapses, > 0; in the unit of the spike times.
        threshold: > v_reset and > 0.
        v_reset: potential after a spike, < threshold.
        refractory: time for which V is held after a spike, >= 0; math.inf allows one spike at most.
        train: names of the parameters to train, out of tau_syn, threshold, v_reset. They become nn.Parameters of shape
            (size,).
        min_slope: lower bound on dV/dt at a spike in the backward pass, >= 0, in units of V per time. A spike for which
            the input hardly suffices comes when I is nearly spent, and has a diverging gradient; 0, the default, keeps
            it exact.

    Every parameter is a number or a tensor of shape (size,).

    Raises:
        ValueError, TypeError: if a value is out of range, or of another shape or dtype.

    Source: Mostafa, Supervised learning based on temporal coding in spiking neural networks, IEEE TNNLS 29 (2017).

    Example:
        >>> IF(30, tau_syn=5e-3, refractory=float("inf")).threshold.shape
        torch.Size([30])
    """

    names = ("tau_syn", "threshold", "v_reset", "refractory")

    def __init__(
        self,
        size: int,
        tau_syn: float | Tensor,
        threshold: float | Tensor = 1.0,
        v_reset: float | Tensor = 0.0,
        refractory: float | Tensor = 0.0,
        train: Sequence[str] = ("threshold",),
        min_slope: float = 0.0,
    ):
        given = (tau_syn, threshold, v_reset, refractory)
        super().__init__(size, dict(zip(self.names, given, strict=True)), train, self.names[:3])
        self.min_slope = check.finite_number(min_slope, "min_slope", low=0.0)
        self.validate()

    def columns(self) -> dict[str, Tensor]:
        """The parameters by name, in the order of the columns of kernels/nonleaky.py."""
        return {name: getattr(self, name) for name in self.names}

    def population(self, parameters: np.ndarray, duration: float) -> "nonleaky.Population":
        """See Neuron."""
        from .kernels import nonleaky

        return nonleaky.Population(parameters, True, duration)

    def free(self) -> tuple[Tensor, Callable[[np.ndarray, float], Any]]:
        """See Neuron; without leak too."""
        from .kernels import nonleaky

        zero = torch.zeros(self.size, dtype=torch.float64)
        packed = torch.stack([self.tau_syn.detach().double().expand(self.size), zero, zero, zero], dim=1)
        return packed, lambda packed, duration: nonleaky.Population(packed, False, duration)

    def trace(
        self, n: int, times: np.ndarray, own: Sequence[float], arrivals: Arrivals
    ) -> tuple[np.ndarray, np.ndarray]:
        """See Neuron."""
        tau_syn, threshold, v_reset, refractory = self.packed()[n].detach().tolist()
        neuron = np.array([math.inf, tau_syn, 1.0, threshold, 0.0, v_reset, refractory])
        return linear_trace(times, own, arrivals, neuron, response=lambda s, _, tau: -math.expm1(-s / tau))


class LI(Neuron):
    """Leaky integrators that never spike: the readout. Equations as LIF, without threshold.

    Args:
        size: number of units.
        tau_mem, tau_syn: time constants, > 0; numbers or tensors of shape (size,).
        train: names out of tau_mem, tau_syn to train; they become nn.Parameters of shape (size,).

    A `Layer` with LI neurons returns a `Readout`.
    """

    names = ("tau_mem", "tau_syn")
    spiking = False

    def __init__(self, size: int, tau_mem: float | Tensor, tau_syn: float | Tensor, train: Sequence[str] = ()):
        super().__init__(size, {"tau_mem": tau_mem, "tau_syn": tau_syn}, train, ("tau_mem", "tau_syn"))
        self.validate()

    def population(self, parameters: np.ndarray, duration: float) -> layout.Neurons:
        """See Neuron."""
        return layout.Neurons(parameters, False, False, duration)

    def columns(self) -> dict[str, Tensor]:
        """tau_mem and tau_syn; a threshold of 0, so that a peak over it is the maximum of V."""
        zero = torch.zeros((), dtype=torch.float64)
        unused = dict.fromkeys(PARAMETERS, zero) | {"tau_adapt": torch.ones((), dtype=torch.float64)}
        return unused | {"tau_mem": self.tau_mem, "tau_syn": self.tau_syn}


# Spiking neurons of models that are simulated neuron by neuron alone; the first that each takes is a time constant.
BY_NEURON = (QIF, IF)

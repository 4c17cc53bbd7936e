"""What neuron models share: parameters, which of them are trained, and how they are kept legal."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import check
from .kernels import layout
from .settings import WithSettings
from .trace import Arrivals, linear_trace

PARAMETERS = ("tau_mem", "tau_syn", "tau_adapt", "threshold", "jump", "v_reset", "refractory")
TRAINABLE = ("tau_mem", "tau_syn", "tau_adapt", "threshold", "jump", "v_reset")

# Where `constrain_` puts a value that must be positive and is not, relative to the mean of those that are.
SMALLEST_FACTOR = 1e-2


def _show(values: Tensor) -> str:
    """A number, or how many there are and their range."""
    low, high = values.detach().min().item(), values.detach().max().item()
    return f"{low:g}" if low == high else f"<{values.numel()} values from {low:g} to {high:g}>"


class Neuron(WithSettings):
    """What all neurons share: a population whose parameters are scalars or per neuron, some of them trained."""

    names: tuple[str, ...] = PARAMETERS  # of the parameters that a user can set
    spiking = True
    has_peak = False  # whether the kernels know the highest V - theta
    min_slope = 0.0
    tau_mem: Tensor
    tau_syn: Tensor
    tau_adapt: Tensor
    threshold: Tensor
    jump: Tensor
    v_reset: Tensor
    refractory: Tensor

    def __init__(self, size: int, values: dict[str, Any], train: Sequence[str], trainable: Sequence[str]):
        super().__init__()
        self.size = check.whole_number(size, "size")
        if isinstance(train, str):
            raise TypeError(f"train = {train!r}: pass a tuple of names, for example ({train!r},)")
        for name in train:
            check.require(name in trainable, f"train = {tuple(train)!r}: {name!r} is not one of {tuple(trainable)}")
        self.train_names = tuple(train)
        for name, value in values.items():
            tensor = check.neuron_parameter(name, value, size)
            if name in train:
                # one value per neuron: what is trained is individual
                tensor = tensor.to(torch.get_default_dtype()) if not isinstance(value, Tensor) else tensor
                self.register_parameter(name, nn.Parameter(tensor.expand(size).clone()))
            else:
                self.register_buffer(name, tensor)
        self.initial = {name: float(getattr(self, name).detach().min()) for name in train}

    def set_extra_state(self, state: Tensor) -> None:
        """Facilitation that was loaded, a negative jump, is as legal as if the neurons had been made with it."""
        if "jump" in self.initial:
            self.initial["jump"] = min(self.initial["jump"], float(self.jump.detach().min()))

    def columns(self) -> dict[str, Tensor]:
        """The parameters by name, in the order of the columns of kernels/layout.py."""
        return {name: getattr(self, name) for name in PARAMETERS}

    def population(self, parameters: np.ndarray, duration: float) -> Any:
        """The neurons as their kernels take them (kernels/models.py), from `packed` (size, columns)."""
        raise NotImplementedError

    def taus(self) -> list[Tensor]:
        """The time constants of membranes and synapses that a user can set."""
        return [getattr(self, name) for name in ("tau_mem", "tau_syn") if name in self.names]

    def free(self) -> tuple[Tensor, Callable[[np.ndarray, float], Any]]:
        """(size, columns) and `population` of neurons with the same time constants that are linear and never spike: of
        leaky integrators, with a threshold of 0. No gradients.
        """
        taus = (self.tau_mem, self.tau_syn, torch.ones(()), *(torch.zeros(()),) * (layout.NUM_PARAMETERS - 3))
        packed = torch.stack([value.detach().double().expand(self.size) for value in taus], dim=1)
        return packed, lambda packed, duration: layout.Neurons(packed, False, False, duration)

    def trace(
        self, n: int, times: np.ndarray, own: Sequence[float], arrivals: Arrivals
    ) -> tuple[np.ndarray, np.ndarray]:
        """V and threshold of neuron n at `times`, given its own spikes and what arrives."""
        return linear_trace(times, own, arrivals, self.packed()[n].detach().numpy())

    def drive(self) -> tuple[Tensor, Tensor] | None:
        """When each neuron gets a weight of its own besides all input, and which, both (size,); None: never."""
        return None

    def packed(self) -> Tensor:
        """(size, columns) float64, the columns of the kernels; carries gradients. Raises if one is illegal.

        Made anew for every call: writing to a tensor's `.data`, or to a NumPy array that shares its memory, leaves its
        version as it was, so that nothing kept could be known to be right.
        """
        values = self.columns()
        for name, value in values.items():
            check.floating(value, name)
        packed = torch.stack([value.double().expand(self.size) for value in values.values()], dim=1)
        if not self.legal(packed.detach().numpy()):
            self.validate()
        return packed

    def legal(self, packed: np.ndarray) -> bool:
        """Whether all of `packed` is legal, in one go; `validate` then finds the words for what is not."""
        taus = packed[:, [name.startswith("tau") for name in self.columns()]]
        return bool(taus.min() > 0 and taus.max() < np.inf)  # neither is true of nan

    def validate(self) -> None:
        """Raise ValueError if a parameter is illegal, and say which."""
        for name, value in self.columns().items():
            if not name.startswith("tau"):
                continue
            check.legal_values(name, value, (value > 0) & value.isfinite(), "a time constant must be > 0 and finite")

    def constrain_(self) -> None:
        """Move trained parameters that have left their legal range back to its edge; what is legal stays as it is.

        Call it after optimiser steps. Raises ValueError if what is illegal is computed from other parameters, by
        `torch.nn.utils.parametrize`; after `bound_` it is always legal.
        """
        for name in self.train_names:
            if name.startswith("tau") or name == "threshold":
                self._keep_positive_(name)

    def _keep_positive_(self, name: str, above: Tensor | float = 0.0) -> None:
        """Put values of a parameter that are not above `above` >= 0 a little over it; leave all others alone."""
        with torch.no_grad():
            values = getattr(self, name)
            illegal = values <= above
            if bool(illegal.any()):
                legal = values[~illegal]
                scale = float(legal.mean()) if legal.numel() else self.initial[name]
                self.own(name).copy_(torch.where(illegal, above + SMALLEST_FACTOR * scale, values))

    def extra_repr(self) -> str:
        """What print shows."""
        shown = {name: getattr(self, name) for name in self.names}
        parts = [
            f"{name}={v.item():g}" if v.numel() == 1 else f"{name}=<{v.numel()} values>" for name, v in shown.items()
        ]
        return ", ".join([str(self.size), *parts, f"train={self.train_names}"])


class Resetting(Neuron):
    """What neurons share that are reset, and held for a refractory period, where V reaches a threshold."""

    has_peak = True

    def settings(self) -> dict[str, Any]:
        """What besides the parameters determines the spikes and their gradients."""
        return {"min_slope": self.min_slope}

    def legal(self, packed: np.ndarray) -> bool:
        """As for any neuron, and the rest of the model's assumptions."""
        column = dict(zip(self.columns(), packed.T, strict=True))
        threshold, refractory = column["threshold"], column.pop("refractory")
        finite = all(np.isfinite(values).all() for values in column.values())
        positive = super().legal(packed) and (threshold > 0).all() and (refractory >= 0).all()
        return bool(finite and positive and (threshold > column["v_reset"]).all())

    def validate(self) -> None:
        """Raise ValueError if a parameter is illegal, and say which."""
        super().validate()
        check.legal_values("v_reset", self.v_reset, self.v_reset.isfinite(), "must be finite")
        check.legal_values("refractory", self.refractory, self.refractory >= 0, "must be >= 0 (math.inf is legal)")
        rule = "must be finite and > 0, else the neuron spikes without input"
        check.legal_values("threshold", self.threshold, (self.threshold > 0) & self.threshold.isfinite(), rule)
        rule = f"must be above v_reset = {_show(self.v_reset)}, else a spike follows each spike at once"
        check.legal_values("threshold", self.threshold, self.threshold > self.v_reset, rule)

    def constrain_(self) -> None:
        """Move trained parameters that have left their legal range back to its edge. Call it after optimiser steps."""
        super().constrain_()
        with torch.no_grad():
            if "threshold" in self.train_names:
                self._keep_positive_("threshold", above=self.v_reset.clamp(min=0.0))
            elif "v_reset" in self.train_names and bool((self.v_reset >= self.threshold).any()):
                legal = torch.where(self.v_reset < self.threshold, self.v_reset, 0.99 * self.threshold)
                self.own("v_reset").copy_(legal)

"""The losses that a recipe can name: one dataclass each, whose fields are the arguments of a function of `losses`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from saltation import losses
from saltation.check import shown
from saltation.spikes import Spikes
from saltation.train.ranges import ANY, NOT_NEGATIVE, POSITIVE, arguments_of, number


@dataclass
class LossConfig:
    """What is minimised; its parameters are those of a subclass."""

    name: str = ""  # one of LOSSES; others have other fields
    function: ClassVar[Callable[..., Tensor]]
    of_readout: ClassVar[bool] = False  # of leaky integrators instead of spikes
    has_logits: ClassVar[bool] = True

    def __call__(self, output: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean over the samples (scalar), and the class of every sample (B,) int64, -1 where no output spiked."""
        value = self.function(output, self.wanted(output, labels), **arguments_of(self.function, self))
        if value.ndim:  # distances are given for every sample and output
            value = value.sum(1).mean() if len(value) else value.sum()
        return value, losses.first_spike_prediction(output)

    def wanted(self, output: Any, labels: Tensor) -> Any:
        """What the output is compared with."""
        return labels

    def logits(self, output: Any) -> Tensor:
        """(B, C): the softmax of these is taken for the probabilities of the classes; the largest is the answer.

        Where no output spikes they are all the same. Only of losses with `has_logits`.
        """
        raise NotImplementedError


@dataclass
class ShiftInvariant(LossConfig):
    """See `losses.shift_invariant`."""

    name: Literal["shift_invariant"] = "shift_invariant"
    margin: float = number(0.2, ANY)  # wanted lead of the right neuron, in time units
    function = staticmethod(losses.shift_invariant)

    def logits(self, output: Any) -> Tensor:
        """-t / margin of first spikes: this loss has none of its own, but the margin is the lead it takes for clear."""
        return -losses.first_times(output) / self.margin


@dataclass
class FirstSpikeCrossEntropy(LossConfig):
    """See `losses.first_spike_cross_entropy`."""

    name: Literal["first_spike_cross_entropy"] = "first_spike_cross_entropy"
    tau: float = number(0.5, POSITIVE)  # time scale of the softmax
    early: float = number(0.0, NOT_NEGATIVE)  # weight of the early-spike term
    function = staticmethod(losses.first_spike_cross_entropy)

    def logits(self, output: Any) -> Tensor:
        """-t / tau of first spikes."""
        return -losses.first_times(output) / self.tau


@dataclass
class TargetLoss(LossConfig):
    """Distance to target spike trains, which say at what times the output of the right class and all others spike."""

    right: list[float] = number([1.0], NOT_NEGATIVE)  # in the unit of time
    wrong: list[float] = number([], NOT_NEGATIVE)  # later than the first of the right; []: silent
    has_logits: ClassVar[bool] = False

    def wanted(self, output: Spikes, labels: Tensor) -> Spikes:
        """The target trains. Raises ValueError if one goes on after the samples have ended."""
        if max([*self.right, *self.wrong]) > output.duration:
            raise ValueError(
                f"loss.right is {shown(self.right)} and loss.wrong {shown(self.wrong)}, but samples are only "
                f"{output.duration:g} long; choose earlier times or a longer data.duration"
            )
        units = range(output.num_units)
        trains = [
            [(time, unit) for unit in units for time in (self.right if unit == label else self.wrong)]
            for label in units
        ]
        return Spikes.from_lists([trains[label] for label in labels.tolist()], output.num_units, output.duration)


@dataclass
class SpikeTimeMSE(TargetLoss):
    """See `losses.spike_time_mse`."""

    name: Literal["spike_time_mse"] = "spike_time_mse"
    function = staticmethod(losses.spike_time_mse)


@dataclass
class VanRossum(TargetLoss):
    """Sum over the outputs of `losses.van_rossum`."""

    name: Literal["van_rossum"] = "van_rossum"
    tau: float = number(0.5, POSITIVE)  # the precision that counts, in time units
    function = staticmethod(losses.van_rossum)


@dataclass
class VictorPurpura(TargetLoss):
    """Sum over the outputs of `losses.victor_purpura`."""

    name: Literal["victor_purpura"] = "victor_purpura"
    q: float = number(1.0, NOT_NEGATIVE)  # cost of moving a spike by one time unit
    function = staticmethod(losses.victor_purpura)


@dataclass
class ReadoutCrossEntropy(LossConfig):
    """See `losses.readout_cross_entropy`; the largest value is the answer."""

    name: Literal["readout"] = "readout"
    readout: Literal["integral", "weighted", "maximum"] = "weighted"  # of the membrane potential of the LI layer
    window: float = number(1.0, POSITIVE)  # weighted: decay time of the weight exp(-t / window)
    scale: float = number(1.0, POSITIVE)  # makes logits of values; an integral adds weight * tau_syn a spike
    of_readout: ClassVar[bool] = True

    def __call__(self, output: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean over the samples (scalar), and the class of every sample (B,) int64."""
        values = self.logits(output)
        return losses.readout_cross_entropy(values, labels), values.detach().argmax(dim=1)

    def logits(self, output: Any) -> Tensor:
        """The scaled values."""
        arguments = [self.window] if self.readout == "weighted" else []
        values: Tensor = self.scale * getattr(output, self.readout)(*arguments)
        return values


_ALL = (ShiftInvariant, FirstSpikeCrossEntropy, ReadoutCrossEntropy, SpikeTimeMSE, VanRossum, VictorPurpura)
LOSSES: dict[str, type[LossConfig]] = {kind.name: kind for kind in _ALL}

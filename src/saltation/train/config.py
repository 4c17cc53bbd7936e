"""What a recipe can say: typed fields with their units, ranges and defaults."""

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Range:
    """Legal numbers: from `low` to `high`, themselves legal or not; infinity only where `infinite` says so."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    infinite: bool = False

    def __contains__(self, value: float) -> bool:
        inside = self.low <= value <= self.high and (self.infinite or math.isfinite(value))
        return inside and not (self.low_open and value == self.low) and not (self.high_open and value == self.high)

    def __str__(self) -> str:
        parts = [f"{'>' if self.low_open else '>='} {self.low:.10g}"] if math.isfinite(self.low) else []
        if math.isfinite(self.high):
            parts.append(f"{'<' if self.high_open else '<='} {self.high:.10g}")
        return " and ".join(parts or ["a number"]) + ("" if self.infinite or parts[1:] else " and finite")


ANY = Range()
POSITIVE = Range(0, low_open=True)
NOT_NEGATIVE = Range(0)
FRACTION = Range(0, 1)
BELOW_ONE = Range(0, 1, high_open=True)  # 1 would leave nothing
INSIDE = Range(0, 1, low_open=True, high_open=True)
COUNT = Range(1, 1_000_000)
COUNT_OR_NONE = Range(0, 1_000_000)
SEED = Range(0, 2**63 - 1)
INFINITE = Range(0, infinite=True)


def number(default: Any, legal: Range) -> Any:
    """A numeric field (or list of numbers) of a recipe, and the range it must lie in; null where the type allows it."""
    metadata = {"range": legal}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class DataConfig:
    """Which data set, and from where; see `saltation.data.load`."""

    name: str = "yin_yang"  # see `saltation data list`
    path: str | None = None  # the file, for braille and events
    root: str | None = None  # data root; null: the environment variable SALTATION_DATA
    split_key: str | None = None  # which array of the file holds the split; null: "split"
    duration: float | None = number(None, POSITIVE)  # how long a sample is simulated; null: what the data set says
    validation_fraction: float = number(0.1, INSIDE)  # taken from training samples if there are no others
    validation_seed: int = number(0, SEED)
    options: dict[str, Any] = field(default_factory=dict)  # further options of the data set


@dataclass
class WeightConfig:
    """Initial weights: normal with `mean` and `std`; or, where mean is null, scaled to a drive (`init.drive_`)."""

    mean: float | None = number(None, ANY)
    std: float = number(1.0, NOT_NEGATIVE)  # with a drive: relative to the mean
    drive: float = number(1.5, POSITIVE)  # mean peak of the free membrane potential, as a multiple of the threshold


@dataclass
class RecurrentConfig:
    """The connection of a layer to itself; its weights are drawn from a normal distribution."""

    delay: str = "none"  # none, axonal, dendritic, synaptic
    min_delay: float = number(0.0, NOT_NEGATIVE)
    max_delay: float = number(1.0, POSITIVE)
    delay_init: list[float] | None = number(None, NOT_NEGATIVE)  # [low, high], uniform; null: all that is legal
    mean: float = number(0.0, ANY)
    std: float = number(0.1, NOT_NEGATIVE)


@dataclass
class ConvConfig:
    """A convolution instead of all-to-all: `Conv2d`. Its input is an image of channels, rows and columns."""

    channels: int = number(8, COUNT)  # of the output
    kernel_size: int = number(3, COUNT)
    stride: int = number(1, COUNT)
    padding: int = number(0, COUNT_OR_NONE)
    groups: int = number(1, COUNT)


@dataclass
class LayerConfig:
    """One layer: a connection, all-to-all or a convolution, and its neurons. Times in the unit of the data."""

    neuron: str = "lif"  # lif, qif, li (a readout that never spikes; last layer only)
    size: int | None = number(None, COUNT)  # null in the last layer: the number of classes
    conv: ConvConfig | None = None  # a convolution; its size follows from the layer before; null: all-to-all
    terminals: int = number(1, Range(1, 1000))  # connections in parallel, each with weights and delays of its own
    delay: str = "none"  # none, axonal, dendritic, synaptic; with conv: none, axonal, kernel, channel
    min_delay: float = number(0.0, NOT_NEGATIVE)
    max_delay: float = number(1.0, POSITIVE)
    delay_init: list[float] | None = number(None, NOT_NEGATIVE)  # [low, high], uniform; null: all that is legal
    tau_mem: float = number(2.0, POSITIVE)
    tau_syn: float = number(1.0, POSITIVE)
    tau_adapt: float | None = number(None, POSITIVE)  # needed where jump is not 0 or is trained
    threshold: float = number(1.0, ANY)
    jump: float = number(0.0, ANY)  # threshold adaptation per spike
    v_reset: float = number(0.0, ANY)
    refractory: float = number(0.0, INFINITE)  # .inf: at most one spike
    reset: str = "constant"  # constant, subtract
    min_slope: float = number(0.0, NOT_NEGATIVE)  # bound of the slope of grazing spikes; 0: exact gradients
    pseudo_time: float = number(math.inf, INFINITE)  # qif: when a drive makes silent neurons spike
    pseudo_drive: float = number(20.0, POSITIVE)  # qif: how strong it is, in thresholds
    max_spikes: int | None = number(None, Range(1, 1_000_000_000))  # of one neuron in a sample; null: see `Layer`
    train: list[str] = field(default_factory=list)  # neuron parameters that are trained, for example [threshold]
    weights: WeightConfig = field(default_factory=WeightConfig)
    recurrent: RecurrentConfig | None = None  # null: none; {}: with the defaults


@dataclass
class ModelConfig:
    """The layers from input to output."""

    image: list[int] | None = number(None, COUNT)  # [channels, rows, columns] of an input that is an image
    layers: list[LayerConfig] = field(default_factory=list)


@dataclass
class LossConfig:
    """The loss; which of its parameters count depends on the name."""

    name: str = "shift_invariant"  # shift_invariant, first_spike_cross_entropy, readout
    margin: float = number(0.2, ANY)  # shift_invariant: wanted lead of the right neuron, in time units
    tau: float = number(0.5, POSITIVE)  # first_spike_cross_entropy: time scale of the softmax
    early: float = number(0.0, NOT_NEGATIVE)  # first_spike_cross_entropy: weight of the early-spike term
    readout: str = "weighted"  # readout: integral, weighted, maximum of the LI layer
    window: float = number(1.0, POSITIVE)  # readout weighted: decay time of the weight exp(-t / window)
    scale: float = number(1.0, POSITIVE)  # readout: makes logits of values; an integral adds weight * tau_syn a spike


@dataclass
class LearningRates:
    """Learning rates by kind of parameter. 0 freezes that kind."""

    weight: float = number(0.01, NOT_NEGATIVE)
    delay: float = number(0.01, NOT_NEGATIVE)  # of the delay as a fraction of its range
    threshold: float = number(0.005, NOT_NEGATIVE)  # threshold, jump and v_reset
    tau: float = number(0.0, NOT_NEGATIVE)  # time constants, where a layer trains them
    readout: float | None = number(None, NOT_NEGATIVE)  # weights of the last layer; null: as weight


@dataclass
class BumpConfig:
    """Add `amount` to all incoming weights of a neuron silent in more than a fraction of a batch. 0: off."""

    amount: float = number(0.0, NOT_NEGATIVE)
    hidden_fraction: float = number(0.7, FRACTION)
    output_fraction: float = number(0.4, FRACTION)


@dataclass
class CountsConfig:
    """Pull the mean number of spikes of every spiking unit towards a target (`regularizers.count_target`)."""

    weight: float = number(0.0, NOT_NEGATIVE)  # of the penalty in the loss; 0: off
    target: float = number(2.0, NOT_NEGATIVE)  # spikes per sample, on average over a batch
    tau: float = number(1.0, POSITIVE)  # see `losses.soft_counts`; in the unit of time


@dataclass
class TrainConfig:
    """How the network is trained."""

    epochs: int = number(100, COUNT)
    starts: int = number(1, Range(1, 10_000))  # so many are started; the one that validates best goes on
    start_epochs: int = number(30, COUNT)  # after so many epochs, which count among `epochs`
    batch_size: int = number(128, COUNT)
    optimizer: str = "adam"  # adam, adamw
    lr: LearningRates = field(default_factory=LearningRates)
    betas: list[float] = number([0.9, 0.999], BELOW_ONE)
    weight_decay: float = number(0.0, NOT_NEGATIVE)  # of weights only
    schedule: str = "cosine"  # cosine (to zero, step by step), step, constant
    gamma: float = number(0.95, POSITIVE)  # schedule step: factor every step_epochs
    step_epochs: int = number(20, COUNT)
    clip_norm: float = number(1.0, NOT_NEGATIVE)  # bound of the norm of the whole gradient; 0: none
    jitter: float = number(0.0, NOT_NEGATIVE)  # standard deviation of random shifts of input spikes in training
    drop: float = number(0.0, BELOW_ONE)  # fraction of input spikes left out in training, drawn anew every time
    shift: int = number(0, COUNT_OR_NONE)  # samples moved by up to so many channels; an image by rows, columns
    stretch: float = number(0.0, BELOW_ONE)  # every sample made longer or shorter in training, by up to this fraction
    hidden_drop: float = number(0.0, BELOW_ONE)  # fraction of the spikes of hidden layers left out in training
    blend: float = number(0.0, FRACTION)  # fraction of training samples mixed with another of their class
    bump: BumpConfig = field(default_factory=BumpConfig)
    peak_hinge: float = number(0.0, NOT_NEGATIVE)  # weight of the hinge that pulls silent neurons up
    peak_margin: float = number(0.0, ANY)
    counts: CountsConfig = field(default_factory=CountsConfig)


@dataclass
class Config:
    """Everything that determines a run."""

    name: str = "run"
    seed: int = number(0, SEED)
    threads: int = number(0, Range(0, 1024))  # 0: as many as PyTorch uses by itself
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

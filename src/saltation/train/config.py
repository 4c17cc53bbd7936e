"""What a recipe can say: typed fields with their units, ranges and defaults."""

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass
class DataConfig:
    """Which data set, and from where; see `saltation.data.load`."""

    name: str = "yin_yang"  # see `saltation data list`
    path: str | None = None  # the file, for braille and events
    root: str | None = None  # data root; null: the environment variable SALTATION_DATA
    split_key: str | None = None  # which array of the file holds the split; null: "split"
    duration: float | None = None  # how long a sample is simulated; null: what the data set says
    validation_fraction: float = 0.1  # taken from the training samples if there are no validation samples
    validation_seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)  # further options of the data set


@dataclass
class WeightConfig:
    """Initial weights: normal with `mean` and `std`; or, where mean is null, scaled to a drive (`init.drive_`)."""

    mean: float | None = None
    std: float = 1.0  # with a drive: relative to the mean
    drive: float = 1.5  # mean peak of the free membrane potential, as a multiple of the threshold


@dataclass
class RecurrentConfig:
    """The connection of a layer to itself; its weights are drawn from a normal distribution."""

    delay: str = "none"  # none, axonal, dendritic, synaptic
    min_delay: float = 0.0
    max_delay: float = 1.0
    delay_init: list[float] | None = None  # [low, high] of a uniform distribution; null: [min_delay, max_delay]
    mean: float = 0.0
    std: float = 0.1


@dataclass
class ConvConfig:
    """A convolution instead of all-to-all: `Conv2d`. Its input is an image of channels, rows and columns."""

    channels: int = 8  # of the output
    kernel_size: int = 3
    stride: int = 1
    padding: int = 0
    groups: int = 1


@dataclass
class LayerConfig:
    """One layer: a connection, all-to-all or a convolution, and its neurons. Times in the unit of the data."""

    neuron: str = "lif"  # lif, qif, li (a readout that never spikes; last layer only)
    size: int | None = None  # null in the last layer: the number of classes
    conv: ConvConfig | None = None  # a convolution; its size follows from the layer before; null: all-to-all
    terminals: int = 1  # so many connections in parallel, each with weights and delays of its own (`Parallel`)
    delay: str = "none"  # none, axonal, dendritic, synaptic; with conv: none, axonal, kernel, channel
    min_delay: float = 0.0
    max_delay: float = 1.0
    delay_init: list[float] | None = None  # [low, high] of a uniform distribution; null: [min_delay, max_delay]
    tau_mem: float = 2.0
    tau_syn: float = 1.0
    tau_adapt: float | None = None  # needed where jump is not 0 or is trained
    threshold: float = 1.0
    jump: float = 0.0  # threshold adaptation per spike
    v_reset: float = 0.0
    refractory: float = 0.0  # .inf: at most one spike
    reset: str = "constant"  # constant, subtract
    min_slope: float = 0.0  # bound of the slope of grazing spikes; 0: exact gradients
    pseudo_time: float = math.inf  # qif: when a drive is added that makes silent neurons spike
    pseudo_drive: float = 20.0  # qif: how strong it is, in thresholds
    train: list[str] = field(default_factory=list)  # neuron parameters that are trained, for example [threshold]
    weights: WeightConfig = field(default_factory=WeightConfig)
    recurrent: RecurrentConfig | None = None  # null: none; {}: with the defaults


@dataclass
class ModelConfig:
    """The layers from input to output."""

    image: list[int] | None = None  # [channels, rows, columns] of an input that is an image
    layers: list[LayerConfig] = field(default_factory=list)


@dataclass
class LossConfig:
    """The loss; which of its parameters count depends on the name."""

    name: str = "shift_invariant"  # shift_invariant, first_spike_cross_entropy, readout
    margin: float = 0.2  # shift_invariant: wanted lead of the right neuron, in time units
    tau: float = 0.5  # first_spike_cross_entropy: time scale of the softmax
    early: float = 0.0  # first_spike_cross_entropy: weight of the early-spike term
    readout: str = "weighted"  # readout: integral, weighted, maximum of the LI layer
    window: float = 1.0  # readout weighted: decay time of the weight exp(-t / window)
    scale: float = 1.0  # readout: factor that makes logits of the values; an integral adds weight * tau_syn per spike


@dataclass
class LearningRates:
    """Learning rates by kind of parameter. 0 freezes that kind."""

    weight: float = 0.01
    delay: float = 0.01  # of the delay as a fraction of its range
    threshold: float = 0.005  # threshold, jump and v_reset
    tau: float = 0.0  # time constants, where a layer trains them
    readout: float | None = None  # weights of the last layer; null: as weight


@dataclass
class BumpConfig:
    """Add `amount` to all incoming weights of a neuron silent in more than a fraction of a batch. 0: off."""

    amount: float = 0.0
    hidden_fraction: float = 0.7
    output_fraction: float = 0.4


@dataclass
class CountsConfig:
    """Pull the mean number of spikes of every spiking unit towards a target (`regularizers.count_target`)."""

    weight: float = 0.0  # of the penalty in the loss; 0: off
    target: float = 2.0  # spikes per sample, on average over a batch
    tau: float = 1.0  # see `losses.soft_counts`; in the unit of time


@dataclass
class TrainConfig:
    """How the network is trained."""

    epochs: int = 100
    starts: int = 1  # small networks: so many are started, and the one that validates best goes on
    start_epochs: int = 30  # after so many epochs, which count among `epochs`
    batch_size: int = 128
    optimizer: str = "adam"  # adam, adamw
    lr: LearningRates = field(default_factory=LearningRates)
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    weight_decay: float = 0.0  # of weights only
    schedule: str = "cosine"  # cosine (to zero, step by step), step, constant
    gamma: float = 0.95  # schedule step: factor every step_epochs
    step_epochs: int = 20
    clip_norm: float = 1.0  # bound of the norm of the whole gradient; 0: none
    jitter: float = 0.0  # standard deviation of random shifts of input spikes in training, in time units
    drop: float = 0.0  # fraction of input spikes left out in training, drawn anew every time
    shift: int = 0  # every sample moved by up to so many channels in training; an image (model.image) by rows, columns
    stretch: float = 0.0  # every sample made longer or shorter in training, by up to this fraction
    hidden_drop: float = 0.0  # fraction of the spikes of hidden layers left out in training
    blend: float = 0.0  # fraction of training samples mixed with another of their class
    bump: BumpConfig = field(default_factory=BumpConfig)
    peak_hinge: float = 0.0  # weight of the hinge that pulls silent neurons towards their threshold
    peak_margin: float = 0.0
    counts: CountsConfig = field(default_factory=CountsConfig)


@dataclass
class Config:
    """Everything that determines a run."""

    name: str = "run"
    seed: int = 0
    threads: int = 0  # 0: as many as PyTorch uses by itself
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


CHOICES = {
    "loss.name": ("shift_invariant", "first_spike_cross_entropy", "readout"),
    "loss.readout": ("integral", "weighted", "maximum"),
    "train.optimizer": ("adam", "adamw"),
    "train.schedule": ("cosine", "step", "constant"),
}
DELAYS = ("none", "axonal", "dendritic", "synaptic")
CONV_DELAYS = ("none", "axonal", "kernel", "channel")
LAYER_CHOICES = {
    "neuron": ("lif", "qif", "li"),
    "reset": ("constant", "subtract"),
}
POSITIVE = (
    "train.epochs",
    "train.starts",
    "train.start_epochs",
    "train.batch_size",
    "train.step_epochs",
    "train.gamma",
    "loss.tau",
    "loss.window",
    "loss.scale",
    "train.counts.tau",
)
NOT_NEGATIVE = (
    "seed",
    "threads",
    "train.lr.weight",
    "train.lr.delay",
    "train.lr.threshold",
    "train.lr.tau",
    "train.weight_decay",
    "train.clip_norm",
    "train.jitter",
    "train.drop",
    "train.hidden_drop",
    "train.shift",
    "train.stretch",
    "train.blend",
    "train.peak_hinge",
    "train.bump.amount",
    "train.counts.weight",
    "train.counts.target",
)

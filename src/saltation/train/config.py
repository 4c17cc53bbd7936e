"""What a recipe can say: typed fields with their units, ranges and defaults.

The layers of a network are in layers.py, the losses in loss.py: one dataclass for each kind.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from saltation.train.hardware import HardwareConfig
from saltation.train.layers import LayerConfig
from saltation.train.loss import LossConfig, ShiftInvariant
from saltation.train.ranges import (
    ANY,
    BELOW_ONE,
    COUNT,
    COUNT_OR_NONE,
    FRACTION,
    INSIDE,
    NOT_NEGATIVE,
    POSITIVE,
    SEED,
    Range,
    number,
)


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
class ModelConfig:
    """The layers from input to output."""

    image: list[int] | None = number(None, COUNT)  # [channels, rows, columns] of an input that is an image
    layers: list[LayerConfig] = field(default_factory=list)


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
    optimizer: Literal["adam", "adamw"] = "adam"
    lr: LearningRates = field(default_factory=LearningRates)
    betas: list[float] = number([0.9, 0.999], BELOW_ONE)
    weight_decay: float = number(0.0, NOT_NEGATIVE)  # of weights only
    schedule: Literal["cosine", "step", "constant"] = "cosine"  # cosine: to zero, step by step
    gamma: float = number(0.95, POSITIVE)  # schedule step: factor every step_epochs
    step_epochs: int = number(20, COUNT)
    clip_norm: float = number(1.0, NOT_NEGATIVE)  # bound of the norm of the whole gradient; 0: none
    average: float = number(0.0, BELOW_ONE)  # decay a step of the moving average that answers for the network; 0: none
    jitter: float = number(0.0, NOT_NEGATIVE)  # standard deviation of random shifts of input spikes in training
    drop: float = number(0.0, BELOW_ONE)  # fraction of input spikes left out in training, drawn anew every time
    shift: int = number(0, COUNT_OR_NONE)  # samples moved by up to so many channels; an image by rows, columns
    stretch: float = number(0.0, BELOW_ONE)  # every sample made longer or shorter in training, by up to this fraction
    hidden_drop: float = number(0.0, BELOW_ONE)  # fraction of the spikes of hidden layers left out in training
    hidden_jitter: float = number(0.0, NOT_NEGATIVE)  # standard deviation of random shifts of them
    blend: float = number(0.0, FRACTION)  # fraction of training samples mixed with another of their class
    hardware: HardwareConfig | None = None  # the chip trained for; null: none
    bump: BumpConfig = field(default_factory=BumpConfig)
    peak_hinge: float = number(0.0, NOT_NEGATIVE)  # weight of the hinge that pulls silent neurons up
    peak_margin: float = number(0.0, ANY)
    counts: CountsConfig = field(default_factory=CountsConfig)
    report: Literal["best", "last"] = "best"  # the epoch that is tested: that which validates best, or the last one
    refit: bool = False  # train on the validation samples too, for `epochs` fixed beforehand; goes with report: last


@dataclass
class Config:
    """Everything that determines a run."""

    name: str = "run"
    seed: int = number(0, SEED)
    threads: int = number(0, Range(0, 1024))  # 0: as many as PyTorch uses by itself
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=ShiftInvariant)
    train: TrainConfig = field(default_factory=TrainConfig)

"""The layers of a recipe: what connects them, and one dataclass for each kind of neuron, named in NEURONS.

To add a neuron: a dataclass with its parameters, their ranges and the class of `saltation.neurons` that takes them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch

from saltation import init, neurons
from saltation.connections import Connection, Linear
from saltation.convolution import Conv2d
from saltation.layer import Layer
from saltation.neuron import Neuron
from saltation.train.ranges import (
    ANY,
    COUNT,
    COUNT_OR_NONE,
    INFINITE,
    NOT_NEGATIVE,
    POSITIVE,
    SEED,
    Range,
    arguments_of,
    number,
)
from saltation.wired import Beside, Parallel, Sparse


def _unused() -> torch.Generator:
    """For weights that are set afterwards: torch's global generator is left alone."""
    return torch.Generator()


@dataclass
class WeightConfig:
    """Initial weights: normal with `mean` and `std`; or, where mean is null, scaled to a drive (`init.drive_`)."""

    mean: float | None = number(None, ANY)
    std: float = number(1.0, NOT_NEGATIVE)  # with a drive: relative to the mean
    drive: float = number(1.5, POSITIVE)  # mean peak of the free membrane potential, as a multiple of the threshold


@dataclass
class SparseConfig:
    """Only some synapses: every neuron has equally many, from different inputs, drawn once. `Sparse`."""

    fan_in: int | None = number(None, COUNT)  # how many, or
    density: float | None = number(None, Range(0, 1, low_open=True))  # which fraction of the inputs
    seed: int = number(0, SEED)  # of the draw; the network's own seed changes the weights alone


@dataclass
class ConvConfig:
    """A convolution instead of all-to-all: `Conv2d`. Its input is an image of channels, rows and columns."""

    channels: int = number(8, COUNT)  # of the output
    kernel_size: int = number(3, COUNT)
    stride: int = number(1, COUNT)
    padding: int = number(0, COUNT_OR_NONE)
    groups: int = number(1, COUNT)


@dataclass
class ConnectionConfig:
    """All-to-all or sparse, with delays or without. Times in the unit of the data."""

    delay: Literal["none", "axonal", "dendritic", "synaptic", "kernel", "channel"] = "none"  # conv: axonal or the last
    min_delay: float = number(0.0, NOT_NEGATIVE)
    max_delay: float = number(1.0, POSITIVE)
    delay_init: list[float] | None = number(None, NOT_NEGATIVE)  # [low, high], uniform; null: all that is legal
    sparse: SparseConfig | None = None  # null: all-to-all

    def delays(self) -> dict[str, Any]:
        """As connections take them."""
        if self.delay == "none":
            return {}
        return {"delay": self.delay, "max_delay": self.max_delay, "min_delay": self.min_delay}

    def build(self, in_size: int, size: int, count: int = 1) -> list[Connection]:
        """So many connections; the synapses of sparse ones are drawn one after the other."""
        if self.sparse is None:
            return [Linear(in_size, size, generator=_unused(), **self.delays()) for _ in range(count)]
        fan_in = self.sparse.fan_in or max(1, round((self.sparse.density or 0.0) * in_size))
        drawn = torch.Generator().manual_seed(self.sparse.seed)
        return [Sparse.random(in_size, size, fan_in, drawn, **self.delays()) for _ in range(count)]

    def initialise_delays(self, connection: Connection, generator: torch.Generator) -> None:
        """Draw its delays."""
        if self.delay != "none":
            low, high = self.delay_init or (self.min_delay, self.max_delay)
            init.uniform_delays_(connection, low, high, generator)


@dataclass
class RecurrentConfig(ConnectionConfig):
    """The connection of a layer to itself; its weights are drawn from a normal distribution."""

    mean: float = number(0.0, ANY)
    std: float = number(0.1, NOT_NEGATIVE)


@dataclass
class BesideConfig(ConnectionConfig):
    """One more connection into a layer, from an earlier one or from the input. `Beside`."""

    source: int = number(
        -1, Range(-1, 1_000_000)
    )  # number of a layer before the last one; -1: the input of the network


@dataclass
class LayerConfig(ConnectionConfig):
    """One layer: a connection, all-to-all, sparse or a convolution, and its neurons, which are those of a subclass."""

    neuron: str = ""  # one of NEURONS; others have other fields
    size: int | None = number(None, COUNT)  # null in the last layer: the number of classes
    pool: int | None = number(None, COUNT)  # merges the input, an image, in windows of so many rows and columns
    conv: ConvConfig | None = None  # a convolution; its size follows from the layer before; null: all-to-all
    terminals: int = number(1, Range(1, 1000))  # connections in parallel, each with weights and delays of its own
    beside: list[BesideConfig] = field(default_factory=list)  # further connections, from earlier layers or the input
    weights: WeightConfig = field(default_factory=WeightConfig)  # of all connections but the recurrent one
    train: list[str] = field(default_factory=list)  # neuron parameters that are trained, for example [threshold]
    model: ClassVar[type[Neuron]]  # whose parameters the fields of a subclass are
    spikes: ClassVar[bool] = True

    def connect(self, in_size: int, size: int, image: Sequence[int] | None, others: Sequence[int]) -> Connection:
        """Its connection from `in_size` inputs, or an image, and from `others`, the sizes of what `beside` names."""
        if self.conv is not None:
            assert image is not None
            geometry = arguments_of(Conv2d, self.conv) | {"out_channels": self.conv.channels}
            made = (Conv2d(image, **geometry, **self.delays(), generator=_unused()) for _ in range(self.terminals))
            parts: list[Connection] = list(made)
        else:
            parts = self.build(in_size, size, self.terminals)
        if self.beside:
            further = [config.build(width, size)[0] for config, width in zip(self.beside, others, strict=True)]
            return Beside(*parts, *further)
        return parts[0] if len(parts) == 1 else Parallel(*parts)

    def layer(self, connection: Connection) -> Layer:
        """With default parameters; those of a convolution's neurons are shared by all places."""
        size = connection.out_size if self.conv is None else self.conv.channels
        neuron: Any = self.model(**arguments_of(self.model, self) | {"size": size})
        recurrent = getattr(self, "recurrent", None)  # which some neurons cannot have
        feedback = None if recurrent is None else recurrent.build(size, size)[0]
        return Layer(connection, neuron, feedback, getattr(self, "max_spikes", None), getattr(self, "smoothing", 0.0))

    def initialise_all_delays(self, layer: Layer, generator: torch.Generator) -> None:
        """Draw the delays of everything that leads to a layer from elsewhere."""
        configs: list[ConnectionConfig] = [*[self] * self.terminals, *self.beside]
        for config, part in zip(configs, layer.connection.parts(), strict=True):
            config.initialise_delays(part, generator)


@dataclass
class SpikingLayer(LayerConfig):
    """What layers of all spiking neurons share."""

    max_spikes: int | None = number(None, Range(1, 1_000_000_000))  # of one neuron in a sample; null: see `Layer`
    recurrent: RecurrentConfig | None = None  # null: none; {}: with the defaults


@dataclass
class LIFLayer(SpikingLayer):
    """Leaky integrate-and-fire neurons: `LIF`."""

    neuron: Literal["lif"] = "lif"
    tau_mem: float = number(2.0, POSITIVE)
    tau_syn: float = number(1.0, POSITIVE)
    tau_adapt: float | None = number(None, POSITIVE)  # needed where jump is not 0 or is trained
    threshold: float = number(1.0, ANY)
    jump: float = number(0.0, ANY)  # threshold adaptation per spike
    v_reset: float = number(0.0, ANY)
    refractory: float = number(0.0, INFINITE)  # .inf: at most one spike
    reset: Literal["constant", "subtract"] = "constant"
    min_slope: float = number(0.0, NOT_NEGATIVE)  # bound of the slope of grazing spikes; 0: exact gradients
    smoothing: float = number(0.0, NOT_NEGATIVE)  # noise of the threshold, in thresholds; 0: exact gradients
    model = neurons.LIF


@dataclass
class QIFLayer(SpikingLayer):
    """Quadratic integrate-and-fire neurons: `QIF`. Their tau_syn is half of tau_mem."""

    neuron: Literal["qif"] = "qif"
    tau_mem: float = number(2.0, POSITIVE)
    threshold: float = number(1.0, ANY)
    pseudo_time: float = number(math.inf, INFINITE)  # when a drive makes silent neurons spike
    pseudo_drive: float = number(20.0, POSITIVE)  # how strong it is, in thresholds
    model = neurons.QIF


@dataclass
class IFLayer(SpikingLayer):
    """Integrate-and-fire neurons without leak: `IF`."""

    neuron: Literal["if"] = "if"
    tau_syn: float = number(1.0, POSITIVE)
    threshold: float = number(1.0, ANY)
    v_reset: float = number(0.0, ANY)
    refractory: float = number(0.0, INFINITE)  # .inf: at most one spike
    min_slope: float = number(0.0, NOT_NEGATIVE)  # bound of the slope of grazing spikes; 0: exact gradients
    model = neurons.IF


@dataclass
class LILayer(LayerConfig):
    """Leaky integrators, a readout that never spikes: `LI`. The last layer only."""

    neuron: Literal["li"] = "li"
    tau_mem: float = number(2.0, POSITIVE)
    tau_syn: float = number(1.0, POSITIVE)
    model = neurons.LI
    spikes = False


NEURONS: dict[str, type[LayerConfig]] = {"lif": LIFLayer, "qif": QIFLayer, "if": IFLayer, "li": LILayer}

"""From a configuration to a network with its initial parameters."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from saltation import init
from saltation.connections import Connection, Linear
from saltation.convolution import Conv2d
from saltation.data.samples import Samples
from saltation.layer import Layer, Sequential
from saltation.neurons import LI, LIF, QIF
from saltation.spikes import Spikes
from saltation.train.config import LayerConfig, ModelConfig, RecurrentConfig
from saltation.wired import Parallel

INIT_SAMPLES = 256  # how many training samples the scale of driven weights is measured on


def make_layer(config: LayerConfig, connection: Connection) -> Layer:
    """A layer with default parameters; those of a convolution's neurons are shared by all places."""
    size = connection.out_size if config.conv is None else config.conv.channels
    if config.neuron == "li":
        return Layer(connection, LI(size, tau_mem=config.tau_mem, tau_syn=config.tau_syn, train=tuple(config.train)))
    if config.neuron == "qif":
        shared = {name: getattr(config, name) for name in QIF.names}
        return Layer(connection, QIF(size, **shared, train=tuple(config.train)), max_spikes=config.max_spikes)
    neuron = LIF(
        size,
        tau_mem=config.tau_mem,
        tau_syn=config.tau_syn,
        tau_adapt=config.tau_adapt,
        threshold=config.threshold,
        jump=config.jump,
        v_reset=config.v_reset,
        refractory=config.refractory,
        reset=config.reset,
        train=tuple(config.train),
        min_slope=config.min_slope,
    )
    recurrent = None if config.recurrent is None else _connection(config.recurrent, size, size)
    return Layer(connection, neuron, recurrent=recurrent, max_spikes=config.max_spikes)


def _connection(config: LayerConfig | RecurrentConfig, in_size: int, size: int) -> Linear:
    return Linear(in_size, size, generator=_unused(), **_delays(config))


def _unused() -> torch.Generator:
    """For weights that are set afterwards: torch's global generator is left alone."""
    return torch.Generator()


def _parallel(connections: Sequence[Connection]) -> Connection:
    return connections[0] if len(connections) == 1 else Parallel(*connections)


def _delays(config: LayerConfig | RecurrentConfig) -> dict[str, Any]:
    if config.delay == "none":
        return {}
    return {"delay": config.delay, "max_delay": config.max_delay, "min_delay": config.min_delay}


def make_model(config: ModelConfig, num_channels: int, num_classes: int) -> Sequential:
    """The network with default parameters, to be initialised or loaded from a checkpoint.

    Raises ValueError if the last layer does not have one neuron per class, or a convolution follows what is no image.
    """
    layers: list[Layer] = []
    in_size, image = num_channels, config.image
    if image is not None and math.prod(image) != num_channels:
        raise ValueError(
            f"model.image is {image}, {math.prod(image)} pixels, but the data have {num_channels} channels"
        )
    for i, layer in enumerate(config.layers):
        if layer.conv is not None:
            if image is None:
                before = "model.image is missing" if i == 0 else f"layer {i - 1} is none"
                raise ValueError(f"model.layers.{i}.conv needs an image [channels, rows, columns], but {before}")
            conv = vars(layer.conv) | {"out_channels": layer.conv.channels}
            del conv["channels"]
            conv |= _delays(layer)
            convolutions = [Conv2d(image, **conv, generator=_unused()) for _ in range(layer.terminals)]
            connection = _parallel(convolutions)
            image = list(convolutions[0].out_shape)
        else:
            size = num_classes if layer.size is None else layer.size
            connection = _parallel([_connection(layer, in_size, size) for _ in range(layer.terminals)])
            image = None
        layers.append(make_layer(layer, connection))
        in_size = connection.out_size
    if in_size != num_classes:
        raise ValueError(
            f"the last layer has size {in_size} but the data have {num_classes} classes; leave its size out (null)"
        )
    return Sequential(*layers)


def build_model(config: ModelConfig, train_data: Samples, generator: torch.Generator) -> Sequential:
    """The network with its initial delays and weights, drawn from `generator`.

    The weights of layers with a drive are scaled on the first training samples, layer after layer.
    """
    model = make_model(config, train_data.num_channels, train_data.num_classes)
    order = torch.randperm(len(train_data), generator=generator)[:INIT_SAMPLES]
    spikes, _ = train_data.batch(order.numpy())
    with torch.no_grad():
        for layer, layer_config in zip(model, config.layers, strict=True):
            _initialise(layer, layer_config, spikes, generator)
            if layer_config.neuron != "li":
                spikes = layer(spikes)
    return model


def _initialise(layer: Layer, config: LayerConfig, spikes: Spikes, generator: torch.Generator) -> None:
    _initialise_delays(layer.connection, config, generator)
    weights = config.weights
    if weights.mean is None:
        init.drive_(layer, spikes, drive=weights.drive, std=weights.std, generator=generator)
    else:
        init.normal_(layer, weights.mean, weights.std, generator)
    if layer.recurrent is not None and config.recurrent is not None:
        _initialise_delays(layer.recurrent, config.recurrent, generator)
        init.normal_(layer.recurrent, config.recurrent.mean, config.recurrent.std, generator)


def _initialise_delays(
    connection: Connection, config: LayerConfig | RecurrentConfig, generator: torch.Generator
) -> None:
    if config.delay != "none":
        low, high = config.delay_init or (config.min_delay, config.max_delay)
        init.uniform_delays_(connection, low, high, generator)

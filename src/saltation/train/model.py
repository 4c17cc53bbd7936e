"""From a configuration to a network with its initial parameters."""

import math
from typing import Any

import torch

from saltation import init
from saltation.connections import Connection
from saltation.convolution import Conv2d, SumPool2d
from saltation.data.samples import Samples
from saltation.layer import Layer
from saltation.sequential import Sequential
from saltation.spikes import Spikes
from saltation.train.config import ModelConfig
from saltation.train.layers import LayerConfig

INIT_SAMPLES = 256  # how many training samples the scale of driven weights is measured on


def make_model(config: ModelConfig, num_channels: int, num_classes: int) -> Sequential:
    """The network with default parameters, to be initialised or loaded from a checkpoint.

    Raises ValueError if the last layer does not have one neuron per class, or what needs an image follows what is none.
    """
    if config.image is not None and math.prod(config.image) != num_channels:
        raise ValueError(
            f"model.image is {config.image}, {math.prod(config.image)} pixels, but the data have {num_channels} "
            "channels"
        )
    modules: list[Layer | SumPool2d] = []
    beside: dict[int, list[int]] = {}  # by number of a module, after which ones come further inputs
    place = {-1: 0}  # by number of a layer, which of the populations, with the input and pools, it is
    sizes, image = [num_channels], config.image
    for i, layer in enumerate(config.layers):
        for what in ("pool", "conv"):
            if getattr(layer, what) is not None and image is None:
                before = "model.image is missing" if i == 0 else f"layer {i - 1} is none"
                raise ValueError(f"model.layers.{i}.{what} needs an image [channels, rows, columns], but {before}")
        try:
            if layer.pool is not None and image is not None:
                pool = SumPool2d(image, layer.pool)
                modules.append(pool)
                sizes.append(pool.out_size)
                image = list(pool.out_shape)
            others = [place[part.source] for part in layer.beside]
            size = num_classes if layer.size is None else layer.size
            connection = layer.connect(sizes[-1], size, image, [sizes[other] for other in others])
            if others:
                beside[len(modules)] = others
            modules.append(layer.layer(connection))
        except (ValueError, TypeError) as error:
            raise ValueError(f"model.layers.{i}: {error}") from error
        sizes.append(connection.out_size)
        place[i] = len(modules)
        image = _image(connection)
    if sizes[-1] != num_classes:
        raise ValueError(
            f"the last layer has size {sizes[-1]} but the data have {num_classes} classes; leave its size out (null)"
        )
    return Sequential(*modules, beside=beside)


def _image(connection: Connection) -> list[int] | None:
    """What a convolution makes; several in parallel make the same."""
    part = connection.parts()[0]
    return list(part.out_shape) if isinstance(part, Conv2d) else None


def build_model(config: ModelConfig, train_data: Samples, generator: torch.Generator) -> Sequential:
    """The network with its initial delays and weights, drawn from `generator`.

    The weights of layers with a drive are scaled on the first training samples, layer after layer.
    """
    model = make_model(config, train_data.num_channels, train_data.num_classes)
    order = torch.randperm(len(train_data), generator=generator)[:INIT_SAMPLES]
    spikes, _ = train_data.batch(order.numpy())
    settings = iter(config.layers)

    def begin(module: Any, inputs: Spikes) -> Any:
        if isinstance(module, Layer):
            _initialise(module, next(settings), inputs, generator)
        return module(inputs)

    with torch.no_grad():
        model.walk(spikes, begin)
    return model


def _initialise(layer: Layer, config: LayerConfig, spikes: Spikes, generator: torch.Generator) -> None:
    config.initialise_all_delays(layer, generator)
    weights = config.weights
    if weights.mean is None:
        init.drive_(layer, spikes, drive=weights.drive, std=weights.std, generator=generator)
    else:
        init.normal_(layer, weights.mean, weights.std, generator)
    recurrent = getattr(config, "recurrent", None)
    if layer.recurrent is not None and recurrent is not None:
        recurrent.initialise_delays(layer.recurrent, generator)
        init.normal_(layer.recurrent, recurrent.mean, recurrent.std, generator)

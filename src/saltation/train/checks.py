"""Which configurations are legal. Every error quotes the key, the value and what it may be."""

import os
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from saltation.check import shown
from saltation.train.config import Config, TrainConfig
from saltation.train.hardware import chip_of
from saltation.train.layers import ConnectionConfig, LayerConfig, RecurrentConfig
from saltation.train.loss import TargetLoss
from saltation.train.reading import check_plain

LONGEST_NAME = 100
DELAYS = ("none", "axonal", "dendritic", "synaptic")


def check_config(config: Config) -> None:
    """Raise ValueError where a value is of another type or out of range, quoting it and the legal ones."""
    try:
        check_plain(OmegaConf.to_container(OmegaConf.structured(config)), "configuration")
    except OmegaConfBaseException as error:
        raise ValueError(f"configuration: {str(error).splitlines()[0]}") from error
    check_numbers("", config)
    _check_name(config.name)
    if len(config.train.betas) != 2:
        raise ValueError(f"train.betas is {shown(config.train.betas)}; give two numbers, for example [0.9, 0.999]")
    if config.model.image is not None and len(config.model.image) != 3:
        raise ValueError(f"model.image is {shown(config.model.image)}; give three numbers, [channels, rows, columns]")
    _check_validation(config.train)
    if config.train.hardware is not None:
        chip_of(config.train.hardware)
    layers = config.model.layers
    for i, layer in enumerate(layers if config.train.peak_hinge > 0.0 else []):
        if getattr(layer, "smoothing", 0.0) > 0.0:
            raise ValueError(
                f"train.peak_hinge is {config.train.peak_hinge} but model.layers.{i} has a smoothing; choose one of "
                "them, ghosts do what the hinge does"
            )
    if not layers:
        raise ValueError("model.layers is empty; a recipe needs at least one layer, for example - {size: 30}")
    for i, layer in enumerate(layers):
        _check_layer(f"model.layers.{i}", layer, i, last=i == len(layers) - 1)
    if layers[-1].spikes == config.loss.of_readout:
        raise ValueError(
            f"loss.name is {config.loss.name!r} but the last layer is {layers[-1].neuron!r}; "
            "loss 'readout' goes with an 'li' layer, the other losses with neurons that spike"
        )
    if isinstance(config.loss, TargetLoss):
        right, wrong = config.loss.right, config.loss.wrong
        if not right or (wrong and min(right) >= min(wrong)):
            raise ValueError(
                f"loss.right is {shown(right)} and loss.wrong {shown(wrong)}; right needs a spike before all of wrong, "
                "since the output that spikes first is the answer"
            )


def check_numbers(prefix: str, section: Any) -> None:
    """Every number of a section and of those below it lies in its range."""
    for entry in fields(section):
        key, value = f"{prefix}{entry.name}", getattr(section, entry.name)
        legal = entry.metadata.get("range")
        if is_dataclass(value):
            check_numbers(f"{key}.", value)
        elif legal is not None and value is not None:
            for item in value if isinstance(value, list) else [value]:
                if item is None or item not in legal:
                    raise ValueError(f"{key} is {shown(value)}; it must be {legal}")
        elif isinstance(value, list):
            for i, item in enumerate(value):
                if is_dataclass(item):
                    check_numbers(f"{key}.{i}.", item)


def _check_validation(train: TrainConfig) -> None:
    """What chooses by validation, and what leaves nothing to validate with."""
    if train.starts > 1 and train.start_epochs > train.epochs:
        raise ValueError(f"train.start_epochs is {train.start_epochs}; it must not exceed train.epochs, {train.epochs}")
    if train.refit and train.report == "best":
        raise ValueError(
            "train.refit trains on the validation samples too, so that none are left to find the best epoch; set "
            "train.report last, and train.epochs to what is best without it"
        )
    if train.refit and train.starts > 1:
        raise ValueError(
            f"train.refit trains on the validation samples too, so that none are left to choose among train.starts "
            f"{train.starts}; set it to 1"
        )


def _check_name(name: str) -> None:
    """The name becomes that of a folder, which must not lead elsewhere."""
    separators = [separator for separator in ("/", "\\", os.sep, os.altsep) if separator and separator in name]
    if separators or name.strip() != name or name.strip(".") == "" or len(name.encode()) > LONGEST_NAME:
        raise ValueError(
            f"name is {shown(name)}; it must be the name of a folder, without path separators, of at most "
            f"{LONGEST_NAME} bytes; to choose the folder of a run use --out"
        )


def _check_layer(key: str, layer: LayerConfig, number: int, last: bool) -> None:
    if layer.conv is not None and (layer.size is not None or last):
        raise ValueError(
            f"{key}.conv goes without size, which follows from the layer before, and not in the last layer"
        )
    if not last and layer.size is None and layer.conv is None:
        raise ValueError(f"{key}.size is missing; only the last layer may leave it out (the number of classes)")
    if not last and not layer.spikes:
        raise ValueError(f"{key}.neuron is {layer.neuron!r}, which never spikes; only the last layer can be a readout")
    if layer.terminals > 1 and layer.delay == "none":
        raise ValueError(
            f"{key}.terminals is {layer.terminals} with delay {layer.delay!r}; more than 1 goes with a delay, since "
            "without one parallel connections act as one"
        )
    if layer.conv is not None and layer.sparse is not None:
        raise ValueError(f"{key} has conv and sparse; a convolution is sparse already: leave one out")
    if layer.beside and (layer.conv is not None or layer.terminals > 1):
        raise ValueError(f"{key}.beside goes with neither conv nor terminals; leave them out")
    _check_connection(key, layer, ("none", "axonal", "kernel", "channel") if layer.conv is not None else DELAYS)
    for i, part in enumerate(layer.beside):
        if part.source >= number - 1:
            raise ValueError(
                f"{key}.beside.{i}.source is {part.source}; it must be -1, the input, or the number of a layer before "
                "the one that comes in anyway"
            )
        _check_connection(f"{key}.beside.{i}", part, DELAYS)
    recurrent: RecurrentConfig | None = getattr(layer, "recurrent", None)
    if recurrent is not None:
        _check_connection(f"{key}.recurrent", recurrent, DELAYS)


def _check_connection(key: str, connection: ConnectionConfig, delays: Sequence[str]) -> None:
    if connection.delay not in delays:
        raise ValueError(f"{key}.delay is {connection.delay!r}; choose one of {', '.join(delays)}")
    bounds = connection.delay_init
    if bounds is not None and (len(bounds) != 2 or bounds[0] > bounds[1]):
        raise ValueError(f"{key}.delay_init is {shown(bounds)}; give two numbers, [low, high]")
    sparse = connection.sparse
    if sparse is not None and (sparse.fan_in is None) == (sparse.density is None):
        raise ValueError(
            f"{key}.sparse has fan_in {sparse.fan_in} and density {sparse.density}; give one of them: how many inputs "
            "a neuron has, or which fraction"
        )

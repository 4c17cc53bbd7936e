"""Which configurations are legal. Every error quotes the key, the value and what it may be."""

import os
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from saltation.train.config import Config, LayerConfig
from saltation.train.reading import check_plain

LONGEST_NAME = 100
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


def check_config(config: Config) -> None:
    """Raise ValueError where a value is of another type or out of range, quoting it and the legal ones."""
    try:
        check_plain(OmegaConf.to_container(OmegaConf.structured(config)), "configuration")
    except OmegaConfBaseException as error:
        raise ValueError(f"configuration: {str(error).splitlines()[0]}") from error
    check_numbers("", config)
    _check_name(config.name)
    for key, choices in CHOICES.items():
        section, _, name = key.partition(".")
        _check_choice(key, getattr(getattr(config, section), name), choices)
    if len(config.train.betas) != 2:
        raise ValueError(f"train.betas is {config.train.betas}; give two numbers, for example [0.9, 0.999]")
    if config.model.image is not None and len(config.model.image) != 3:
        raise ValueError(f"model.image is {config.model.image}; give three numbers, [channels, rows, columns]")
    if config.train.starts > 1 and config.train.start_epochs > config.train.epochs:
        raise ValueError(
            f"train.start_epochs is {config.train.start_epochs}; it must not exceed train.epochs, {config.train.epochs}"
        )
    layers = config.model.layers
    if not layers:
        raise ValueError("model.layers is empty; a recipe needs at least one layer, for example - {size: 30}")
    for i, layer in enumerate(layers):
        _check_layer(f"model.layers.{i}", layer, last=i == len(layers) - 1)
    if (layers[-1].neuron == "li") != (config.loss.name == "readout"):
        raise ValueError(
            f"loss.name is {config.loss.name!r} but the last layer is {layers[-1].neuron!r}; "
            "loss 'readout' goes with an 'li' layer, the other losses with 'lif' and 'qif'"
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
                    raise ValueError(f"{key} is {value}; it must be {legal}")
        elif isinstance(value, list):
            for i, item in enumerate(value):
                if is_dataclass(item):
                    check_numbers(f"{key}.{i}.", item)


def _check_name(name: str) -> None:
    """The name becomes that of a folder, which must not lead elsewhere."""
    separators = [separator for separator in ("/", "\\", os.sep, os.altsep) if separator and separator in name]
    if separators or name.strip() != name or name.strip(".") == "" or len(name.encode()) > LONGEST_NAME:
        raise ValueError(
            f"name is {name[:LONGEST_NAME]!r}; it must be the name of a folder, without path separators, of at most "
            f"{LONGEST_NAME} bytes; to choose the folder of a run use --out"
        )


def _check_layer(key: str, layer: LayerConfig, last: bool) -> None:
    for name, choices in LAYER_CHOICES.items():
        _check_choice(f"{key}.{name}", getattr(layer, name), choices)
    _check_choice(f"{key}.delay", layer.delay, DELAYS if layer.conv is None else CONV_DELAYS)
    if layer.conv is not None and (layer.size is not None or last):
        raise ValueError(
            f"{key}.conv goes without size, which follows from the layer before, and not in the last layer"
        )
    if not last and layer.size is None and layer.conv is None:
        raise ValueError(f"{key}.size is missing; only the last layer may leave it out (the number of classes)")
    if not last and layer.neuron == "li":
        raise ValueError(f"{key}.neuron is 'li', which never spikes; only the last layer can be a readout")
    _check_delay_init(key, layer.delay_init)
    if layer.terminals > 1 and layer.delay == "none":
        raise ValueError(
            f"{key}.terminals is {layer.terminals} with delay {layer.delay!r}; more than 1 goes with a delay, since "
            "without one parallel connections act as one"
        )
    if layer.neuron == "qif" and layer.tau_syn != 0.5 * layer.tau_mem:
        raise ValueError(
            f"{key}.tau_syn is {layer.tau_syn}; with neuron 'qif' it must be half of tau_mem, {0.5 * layer.tau_mem}"
        )
    if layer.recurrent is not None:
        if layer.neuron != "lif":
            raise ValueError(
                f"{key}.recurrent is given, but its neuron is {layer.neuron!r}; only 'lif' can be recurrent"
            )
        _check_choice(f"{key}.recurrent.delay", layer.recurrent.delay, DELAYS)
        _check_delay_init(f"{key}.recurrent", layer.recurrent.delay_init)


def _check_delay_init(key: str, delay_init: list[float] | None) -> None:
    if delay_init is not None and (len(delay_init) != 2 or delay_init[0] > delay_init[1]):
        raise ValueError(f"{key}.delay_init is {delay_init}; give two numbers, [low, high]")


def _check_choice(key: str, value: Any, choices: Iterable[str]) -> None:
    if value not in choices:
        raise ValueError(f"{key} is {value!r}; choose one of {', '.join(choices)}")

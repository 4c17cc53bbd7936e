"""From a recipe and overrides to a checked `Config`."""

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from saltation.train.config import (
    CHOICES,
    CONV_DELAYS,
    DELAYS,
    LAYER_CHOICES,
    NOT_NEGATIVE,
    POSITIVE,
    Config,
    ConvConfig,
    LayerConfig,
    RecurrentConfig,
)


class _Loader(yaml.SafeLoader):
    """YAML whose numbers include 1e-3, which YAML 1.1 takes for text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def recipe_names() -> list[str]:
    """The names of the recipes that come with the package."""
    folder = files("saltation") / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_config(recipe: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None) -> Config:
    """A recipe as a Config.

    recipe     the name of a packaged recipe, or the path of a YAML file
    overrides  dotted keys and values, list entries by index: {"train.lr.weight": 0.02, "model.layers.0.size": 20}

    Raises FileNotFoundError for an unknown recipe, ValueError for unknown keys, wrong types and values out of range.
    """
    source, text = _recipe_text(recipe)
    try:
        content = yaml.load(text, Loader=_Loader) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{source} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{source} must hold keys and values, as in 'name: my_run'")
    content.setdefault("name", Path(source).stem)
    config = _merge(source, content)
    for key, value in (overrides or {}).items():
        _override(config, key, value)
    result = OmegaConf.to_object(config)
    assert isinstance(result, Config)
    check_config(result)
    return result


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """`--a.b value` and `--a.b=value` as a mapping; values are read as YAML. Raises ValueError."""
    overrides: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("--"):
            raise ValueError(f"unexpected argument {argument!r}; options of a recipe are written --section.key value")
        key, equals, value = argument[2:].partition("=")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise ValueError(f"{argument} needs a value: {argument} VALUE")
            value = rest.pop(0)
        overrides[key] = value_from_text(value)
    return overrides


def value_from_text(text: str) -> Any:
    """A value from the command line: number, true/false, null, [list] or text."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        return text


def to_yaml(config: Config) -> str:
    """The resolved configuration as YAML that `load_config` reads back."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def check_config(config: Config) -> None:
    """Raise ValueError where a value is out of range, quoting it and the legal ones."""
    tree = OmegaConf.structured(config)
    for key, choices in CHOICES.items():
        _check_choice(key, OmegaConf.select(tree, key), choices)
    for key in POSITIVE:
        if not OmegaConf.select(tree, key) > 0:
            raise ValueError(f"{key} is {OmegaConf.select(tree, key)}; it must be > 0")
    for key in NOT_NEGATIVE:
        if not OmegaConf.select(tree, key) >= 0:
            raise ValueError(f"{key} is {OmegaConf.select(tree, key)}; it must be >= 0")
    for key in ("drop", "hidden_drop"):
        if getattr(config.train, key) >= 1:
            raise ValueError(f"train.{key} is {getattr(config.train, key)}; it must be below 1, or no spike is left")
    if config.train.stretch >= 1 or config.train.blend > 1:
        raise ValueError(
            f"train.stretch is {config.train.stretch}, train.blend {config.train.blend}; stretch must be below 1, "
            "or times become negative, and blend at most 1"
        )
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
    if layer.terminals < 1 or (layer.terminals > 1 and layer.delay == "none"):
        raise ValueError(
            f"{key}.terminals is {layer.terminals} with delay {layer.delay!r}; it must be >= 1, and more than 1 goes "
            "with a delay, since without one parallel connections act as one"
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
    if delay_init is not None and len(delay_init) != 2:
        raise ValueError(f"{key}.delay_init is {delay_init}; give two numbers, [low, high]")


def _check_choice(key: str, value: Any, choices: Iterable[str]) -> None:
    if value not in choices:
        raise ValueError(f"{key} is {value!r}; choose one of {', '.join(choices)}")


def _recipe_text(recipe: str | os.PathLike[str]) -> tuple[str, str]:
    packaged = files("saltation") / "recipes" / f"{recipe}.yaml"
    if os.fspath(recipe) in recipe_names():
        return f"{recipe}.yaml", packaged.read_text(encoding="utf-8")
    path = Path(recipe)
    if path.is_file():
        return str(path), path.read_text(encoding="utf-8")
    close = difflib.get_close_matches(os.fspath(recipe), recipe_names(), n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise FileNotFoundError(
        f"no recipe named {os.fspath(recipe)!r} and no such file{hint}; recipes: {', '.join(recipe_names())}"
    )


def _merge(source: str, content: dict[str, Any]) -> DictConfig:
    _check_keys(source, content, Config())
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), content)
    except OmegaConfBaseException as error:
        raise ValueError(f"{source}: {_reason(error)}") from error
    assert isinstance(merged, DictConfig)
    return merged


def _check_keys(source: str, content: Any, pattern: Any, prefix: str = "") -> None:
    """Refuse unknown keys with their full path; types are left to OmegaConf."""
    if not is_dataclass(pattern) or not isinstance(content, dict):
        return
    known = [entry.name for entry in fields(pattern)]
    for key, value in content.items():
        if key not in known:
            raise ValueError(f"{source}: unknown key '{prefix}{key}'{_near(str(key), known)}")
        if prefix + key == "model.layers" and isinstance(value, list):
            for i, layer in enumerate(value):
                _check_keys(
                    source, layer, LayerConfig(recurrent=RecurrentConfig(), conv=ConvConfig()), f"model.layers.{i}."
                )
        else:
            _check_keys(source, value, getattr(pattern, key), f"{prefix}{key}.")


def _override(config: DictConfig, key: str, value: Any) -> None:
    node: Any = config
    *parents, last = key.split(".")
    for depth, part in enumerate(parents):
        node = _child(node, part, ".".join(parents[: depth + 1]))
    if isinstance(node, DictConfig) and OmegaConf.get_type(node) is dict:
        node[last] = value  # free options
        return
    _child(node, last, key)
    try:
        OmegaConf.update(config, key, value, merge=isinstance(value, dict))
    except (OmegaConfBaseException, TypeError) as error:
        raise ValueError(f"--{key} {value!r}: {_reason(error)}") from error


def _child(node: Any, part: str, key: str) -> Any:
    """The entry `part` of a configuration node; ValueError with near matches if there is none."""
    if isinstance(node, ListConfig):
        if not part.isdigit() or int(part) >= len(node):
            raise ValueError(f"--{key}: no entry '{part}'; use an index from 0 to {len(node) - 1}")
        return node[int(part)]
    if not isinstance(node, DictConfig):
        raise ValueError(f"--{key}: '{key.rpartition('.')[0]}' is a single value, it has no '{part}'")
    if part not in node:
        raise ValueError(f"--{key}: unknown key '{part}'{_near(part, [str(name) for name in node])}")
    return node[part]


def _near(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=2, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else f"; there are {', '.join(known)}"


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    where = next((line.split(":", 1)[1].strip() for line in lines if "full_key:" in line), "")
    return f"{where}: {lines[0]}" if where else lines[0]

"""From a recipe and overrides to a checked `Config`."""

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from saltation.train.checks import check_config
from saltation.train.config import Config, ConvConfig, LayerConfig, RecurrentConfig
from saltation.train.reading import check_plain, plain_yaml

_REFUSALS = (OmegaConfBaseException, TypeError, ValueError, OverflowError, AttributeError)  # of OmegaConf


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
    content = plain_yaml(text, source) or {}
    if not isinstance(content, dict):
        raise ValueError(f"{source} must hold keys and values, as in 'name: my_run'")
    content.setdefault("name", Path(source).stem)
    config = _merge(source, content)
    for key, value in (overrides or {}).items():
        check_plain(value, f"--{key}")
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
    """A value from the command line: number, true/false, null, [list] or text. Raises ValueError (see `plain_yaml`)."""
    try:
        return plain_yaml(text, f"the value {text[:100]!r}")
    except ValueError as error:
        if isinstance(error.__cause__, yaml.YAMLError):
            return text  # a path may be anything
        raise


def to_yaml(config: Config) -> str:
    """The resolved configuration as YAML that `load_config` reads back."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def _recipe_text(recipe: str | os.PathLike[str]) -> tuple[str, str]:
    packaged = files("saltation") / "recipes" / f"{recipe}.yaml"
    if os.fspath(recipe) in recipe_names():
        return f"{recipe}.yaml", packaged.read_text(encoding="utf-8")
    path = Path(recipe)
    if path.is_file():
        try:
            return str(path), path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not a recipe: it is not text in UTF-8 ({error.reason})") from error
    close = difflib.get_close_matches(os.fspath(recipe), recipe_names(), n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise FileNotFoundError(
        f"no recipe named {os.fspath(recipe)!r} and no such file{hint}; recipes: {', '.join(recipe_names())}"
    )


def _merge(source: str, content: dict[str, Any]) -> DictConfig:
    _check_keys(source, content, Config())
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), content)
    except _REFUSALS as error:
        raise ValueError(f"{source}: {_reason(error)}") from error
    assert isinstance(merged, DictConfig)
    return merged


def _check_keys(source: str, content: Any, pattern: Any, path: str = "") -> None:
    """Refuse unknown keys, and values in place of sections, with their full path; other types are left to OmegaConf."""
    if path == "model.layers" and isinstance(content, list):
        for i, layer in enumerate(content):
            _check_keys(source, layer, _example(LayerConfig), f"{path}.{i}")
    if not is_dataclass(pattern) or content is None:
        return
    known = [entry.name for entry in fields(pattern)]
    if not isinstance(content, dict):
        raise ValueError(
            f"{source}: {path} is {content!r}, but it is a section; set one of its keys: {path}.{known[0]}, or "
            f"{', '.join(known[1:])}"
        )
    for key, value in content.items():
        below = f"{path}.{key}" if path else key
        if key not in known:
            raise ValueError(f"{source}: unknown key '{below}'{_near(str(key), known)}")
        _check_keys(source, value, getattr(pattern, key), below)


def _example(section: type) -> Any:
    """A section in which no section is null."""
    return LayerConfig(recurrent=RecurrentConfig(), conv=ConvConfig()) if section is LayerConfig else section()


def _override(config: DictConfig, key: str, value: Any) -> None:
    node: Any = config
    *parents, last = key.split(".")
    for depth, part in enumerate(parents):
        node = _child(node, part, ".".join(parents[: depth + 1]))
    if isinstance(node, DictConfig) and OmegaConf.get_type(node) is dict:
        node[last] = value  # free options
        return
    _child(node, last, key)
    section = OmegaConf.get_type(node)
    if is_dataclass(section):
        _check_keys(f"--{key}", value, getattr(_example(section), last), key)
    elif parents == ["model", "layers"]:
        _check_keys(f"--{key}", value, _example(LayerConfig), key)
    try:
        OmegaConf.update(config, key, value, merge=isinstance(value, dict))
    except _REFUSALS as error:
        raise ValueError(f"--{key} {value!r}: {_reason(error)}") from error


def _child(node: Any, part: str, key: str) -> Any:
    """The entry `part` of a configuration node; ValueError with near matches if there is none."""
    if isinstance(node, ListConfig):
        if not (part.isascii() and part.isdigit() and len(part) < 9 and int(part) < len(node)):
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

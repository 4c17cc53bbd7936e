"""From a recipe and overrides to a checked `Config`."""

import difflib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from saltation.check import cut, shown
from saltation.train.checks import check_config
from saltation.train.config import Config
from saltation.train.layers import NEURONS, LayerConfig
from saltation.train.loss import LOSSES, LossConfig
from saltation.train.reading import check_plain, plain_yaml

_REFUSALS = (OmegaConfBaseException, TypeError, ValueError, OverflowError, AttributeError)  # of OmegaConf
KIND_KEYS = {"name", "neuron"}  # they say which other keys there are


def recipe_names() -> list[str]:
    """The names of the recipes that come with the package."""
    folder = files("saltation") / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_config(recipe: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None) -> Config:
    """A recipe as a Config.

    recipe     the name of a packaged recipe, or the path of a YAML file
    overrides  dotted keys and values, list entries by index: {"train.lr.weight": 0.02, "model.layers.0.size": 20};
               a mapping is merged with what is there, or takes its place if it says of which kind it is, by name or
               neuron

    Raises FileNotFoundError for an unknown recipe, ValueError for unknown keys, wrong types and values out of range.
    """
    source, content = _recipe_content(recipe)
    return config_of({"name": Path(source).stem, **content}, source, overrides)


def recipe_digest(recipe: str | os.PathLike[str]) -> str:
    """The SHA-256 of what a recipe says, in twelve digits of sixteen: comments and layout do not count.

    Raises FileNotFoundError for an unknown recipe, ValueError for one that is no YAML.
    """
    said = json.dumps(_recipe_content(recipe)[1], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def _recipe_content(recipe: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
    source, text = _recipe_text(recipe)
    content = plain_yaml(text, source) or {}
    if not isinstance(content, dict):
        raise ValueError(f"{source} must hold keys and values, as in 'name: my_run'")
    return source, content


def config_of(content: dict[str, Any], source: str, overrides: Mapping[str, Any] | None = None) -> Config:
    """The keys and values of a recipe as a Config; errors call it `source`. Raises ValueError as `load_config`."""
    tree = OmegaConf.create(content)
    for key, value in (overrides or {}).items():
        check_plain({key: value}, f"--{key}")
        try:
            OmegaConf.update(tree, key, value, merge=isinstance(value, dict) and not value.keys() & KIND_KEYS)
        except _REFUSALS as error:
            raise ValueError(
                f"--{cut(key)} {shown(value)} has no place in {source}: {_first_line(error)}; entries of lists count "
                "from 0"
            ) from error
    try:
        result = OmegaConf.to_object(_typed(Config, OmegaConf.to_container(tree)))
    except _Refused as error:
        said = [key for key in overrides or {} if f"{error.key}.".startswith(f"{key}.")]
        if error.key in said:
            raise ValueError(f"--{cut(error.key)}{error.reason}") from error
        raise ValueError(f"{f'--{said[-1]}' if said else source}: {error}") from error
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
            raise ValueError(
                f"unexpected argument {shown(argument)}; options of a recipe are written --section.key value"
            )
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
        return plain_yaml(text, f"the value {shown(text)}")
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
    if os.path.isfile(path):
        try:
            return str(path), path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not a recipe: it is not text in UTF-8 ({error.reason})") from error
    close = difflib.get_close_matches(os.fspath(recipe), recipe_names(), n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise FileNotFoundError(
        f"no recipe named {shown(os.fspath(recipe))} and no such file{hint}; recipes: {', '.join(recipe_names())}"
    )


class _Refused(ValueError):
    """What is wrong, and with which key."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{cut(key)}{reason}")
        self.key, self.reason = key, reason


def _typed(kind: type, content: Any, key: str = "") -> Any:
    """A section as OmegaConf's node of its dataclass, with the sections in it, which may be of a kind named in them."""
    if not isinstance(content, dict):
        keys = ", ".join(entry.name for entry in fields(kind)).replace(", ", ", or ", 1)
        raise _Refused(key, f" is {shown(content)}, but it is a section; set one of its keys: {key}.{keys}")
    kind = _chosen(kind, content, key)
    hints = get_type_hints(kind)
    inner: dict[str, Any] = {}
    for name in [name for name in content if name in hints and content[name] is not None]:
        below = f"{key}.{name}".lstrip(".")
        many = get_origin(hints[name]) is list
        section: Any = next((hint for hint in (hints[name], *get_args(hints[name])) if is_dataclass(hint)), None)
        if section is None:
            continue
        if many and not isinstance(content[name], list):
            raise _Refused(below, f" is {shown(content[name])}, but it is a list of sections; write {below} [{{...}}]")
        if many:
            inner[name] = [_typed(section, entry, f"{below}.{i}") for i, entry in enumerate(content[name])]
        else:
            inner[name] = _typed(section, content[name], below)
    try:
        node: Any = OmegaConf.merge(OmegaConf.structured(kind), {k: v for k, v in content.items() if k not in inner})
        for name, value in inner.items():
            node[name] = value
    except _REFUSALS as error:
        reason = _first_line(error)
        if isinstance(error, AttributeError | KeyError) and "Did you mean" not in reason:
            reason += f"; it has {', '.join(entry.name for entry in fields(kind))}"
            if issubclass(kind, LayerConfig | LossConfig):
                named = "neuron" if issubclass(kind, LayerConfig) else "name"
                reason += f"; of another kind give the whole section: --{key} '{{{named}: {content.get(named)}, ...}}'"
        place = ".".join(part for part in (key, getattr(error, "full_key", None)) if part)
        raise _Refused(place, f": {reason}") from error
    return node


def _chosen(kind: type, content: dict[str, Any], key: str) -> type:
    """The dataclass of the neuron or loss that a section names."""
    kinds: dict[str, Any]
    if kind is LayerConfig:
        field, kinds = "neuron", NEURONS
    elif kind is LossConfig:
        field, kinds = "name", LOSSES
    else:
        return kind
    name = content.get(field, next(iter(kinds)))
    if not isinstance(name, str) or name not in kinds:
        raise _Refused(f"{key}.{field}", f" is {shown(name)}; choose one of {', '.join(kinds)}")
    chosen: type = kinds[name]
    return chosen


def _first_line(error: Exception) -> str:
    return cut(str(error).partition("\n")[0], 300)

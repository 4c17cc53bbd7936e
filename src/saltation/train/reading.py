"""From YAML text to plain values, in bounded time and memory. Nothing is resolved, imported or looked up."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import yaml

from saltation.check import cut, shown

LONGEST = 1 << 18  # characters of a recipe
DEEPEST = 20  # levels of lists and mappings
MOST = 10_000  # values, aliases counted as often as they are used
LARGEST = 2**63 - 1


class _Loader(yaml.SafeLoader):
    """YAML whose numbers include 1e-3, which YAML 1.1 takes for text, and whose dates are text."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def plain_yaml(text: str, source: str) -> Any:
    """The value that `text` stands for, checked by `check_plain`. Raises ValueError, which names the `source`."""
    if len(text) > LONGEST:
        raise ValueError(f"{source} has {len(text)} characters; a recipe has at most {LONGEST}")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
    except RecursionError:
        raise ValueError(f"{source} is nested more than {DEEPEST} deep; write it flat") from None
    except yaml.YAMLError as error:
        raise _invalid(source, error) from error
    _measure(node, source, {}, 0)
    try:
        value = loader.construct_document(node)
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise _invalid(source, error) from error  # tags such as !!int stumble over what they do not know
    check_plain(value, source)
    return value


def _invalid(source: str, error: Exception) -> ValueError:
    return ValueError(f"{source} is not valid YAML: {' '.join(str(error).split())}")


def _measure(node: yaml.Node, source: str, sizes: dict[int, int], depth: int) -> int:
    """How many values `node` becomes with its aliases written out. Raises ValueError if it is too much."""
    if depth > DEEPEST:
        raise ValueError(f"{source} is nested more than {DEEPEST} deep, or contains itself; write it flat")
    if id(node) not in sizes:
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            children = [child for pair in node.value for child in pair]
            names = [name.value for name, _ in node.value if isinstance(name, yaml.ScalarNode)]
            twice = next((name for name in names if names.count(name) > 1 and name != "<<"), None)
            if twice is not None:
                raise ValueError(f"{source}: the key {shown(twice)} is there twice in one section; leave one out")
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        sizes[id(node)] = 1 + sum(_measure(child, source, sizes, depth + 1) for child in children)
        if sizes[id(node)] > MOST:
            raise ValueError(f"{source} holds more than {MOST} values once its aliases are written out; shorten it")
    return sizes[id(node)]


def check_plain(value: Any, source: str, key: str = "", depth: int = 0) -> None:
    """Raise ValueError unless `value` is made of numbers, text without tricks, lists and mappings of names."""
    where = f"{source}: {cut(key)}" if key else source
    if depth > DEEPEST:
        raise ValueError(f"{source} is nested more than {DEEPEST} deep, or contains itself; write it flat")
    if isinstance(value, Mapping):
        for name, entry in value.items():
            if not isinstance(name, str):
                raise ValueError(f"{where}: the key {shown(name)} is not text; put it in quotes")
            _check_text(name, where)
            check_plain(entry, source, f"{key}.{name}" if key else name, depth + 1)
    elif isinstance(value, list | tuple):
        for i, entry in enumerate(value):
            check_plain(entry, source, f"{key}.{i}" if key else str(i), depth + 1)
    elif isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, int) and not -LARGEST <= value <= LARGEST:
        raise ValueError(f"{where} is a whole number of more than 63 bits; write a smaller one")
    elif value is not None and not isinstance(value, bool | int | float):
        raise ValueError(f"{where} is {shown(value)}, a {type(value).__name__}; use numbers, text, lists and mappings")


def _check_text(text: str, where: str) -> None:
    if "${" in text:
        raise ValueError(
            f"{where}: {shown(text)} asks for a value from elsewhere ('${{'), which recipes do not; write it out"
        )
    if text == "???":
        raise ValueError(f"{where} is '???', a value left open; write it out")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ValueError(f"{where}: {shown(text)} holds control characters; leave them out")

"""Options of a data set, from a recipe or the command line, checked against the function that takes them."""

import inspect
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any

from saltation.check import shown


def check_options(name: str, function: Callable[..., Any], options: dict[str, Any]) -> None:
    """Raise ValueError, naming the option, for one that `function` does not have or of another type than it says."""
    known = [key for key in inspect.signature(function).parameters if key not in ("path", "root")]
    hints = typing.get_type_hints(function)
    for key, value in options.items():
        if key not in known:
            raise ValueError(f"data set {shown(name)} has no option {shown(key)}; it has {', '.join(known)}")
        if not _fits(value, hints[key]):
            raise ValueError(f"data set {shown(name)}: option {key} is {shown(value)}; it must be {_words(hints[key])}")


def _fits(value: Any, hint: Any) -> bool:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return any(_fits(value, part) for part in typing.get_args(hint))
    if typing.get_origin(hint) in (tuple, Sequence):
        parts = [part for part in typing.get_args(hint) if part is not Ellipsis]
        fixed = typing.get_origin(hint) is tuple and Ellipsis not in typing.get_args(hint)
        if not isinstance(value, list | tuple) or fixed and len(value) != len(parts):
            return False
        hints = parts if fixed else parts * len(value)
        return all(_fits(entry, part) for entry, part in zip(value, hints, strict=True))
    if hint is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def _words(hint: Any) -> str:
    if hint is type(None):
        return "null"
    if typing.get_args(hint):
        inner = [_words(part) for part in typing.get_args(hint) if part is not Ellipsis]
        if typing.get_origin(hint) in (types.UnionType, typing.Union):
            return " or ".join(inner)
        return f"a list ({', '.join(inner)})"
    return {float: "a number", int: "a whole number", str: "text", bool: "true or false"}.get(hint, str(hint))

"""Ranges of the numbers in a recipe; they stand beside the fields."""

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Range:
    """Legal numbers: from `low` to `high`, themselves legal or not; infinity only where `infinite` says so."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    infinite: bool = False

    def __contains__(self, value: float) -> bool:
        inside = self.low <= value <= self.high and (self.infinite or math.isfinite(value))
        return inside and not (self.low_open and value == self.low) and not (self.high_open and value == self.high)

    def __str__(self) -> str:
        parts = [f"{'>' if self.low_open else '>='} {self.low:.10g}"] if math.isfinite(self.low) else []
        if math.isfinite(self.high):
            parts.append(f"{'<' if self.high_open else '<='} {self.high:.10g}")
        return " and ".join(parts or ["a number"]) + ("" if self.infinite or parts[1:] else " and finite")


ANY = Range()
POSITIVE = Range(0, low_open=True)
NOT_NEGATIVE = Range(0)
FRACTION = Range(0, 1)
BELOW_ONE = Range(0, 1, high_open=True)  # 1 would leave nothing
INSIDE = Range(0, 1, low_open=True, high_open=True)
COUNT = Range(1, 1_000_000)
COUNT_OR_NONE = Range(0, 1_000_000)
SEED = Range(0, 2**63 - 1)
INFINITE = Range(0, infinite=True)


def number(default: Any, legal: Range) -> Any:
    """A numeric field (or list of numbers) of a recipe, and the range it must lie in; null where the type allows it."""
    metadata = {"range": legal}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def arguments_of(function: Callable[..., Any], section: Any) -> dict[str, Any]:
    """The fields of a section that are arguments of `function`."""
    taken = _parameters(function)
    return {entry.name: getattr(section, entry.name) for entry in fields(section) if entry.name in taken}


@functools.cache
def _parameters(function: Callable[..., Any]) -> frozenset[str]:
    """The names; asked for in every training step."""
    return frozenset(inspect.signature(function).parameters)

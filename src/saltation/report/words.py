"""Numbers as pages and tables say them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from saltation.train.evaluate import standard_error

UNKNOWN = "–"


def printable(value: Any) -> str:
    """As text, without characters that could steer a terminal or are none of a page."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in str(value))


def number(value: Any) -> str:
    """Four digits; whole numbers as they are; a dash for what is none."""
    if not isinstance(value, int | float | np.number) or isinstance(value, bool):
        return UNKNOWN
    exact = float(value)
    return str(int(exact)) if exact.is_integer() and abs(exact) < 1e9 else f"{exact:.4g}"


def percent(share: Any) -> str:
    """A fraction in per cent."""
    return f"{100 * share:.2f} %" if isinstance(share, int | float) and math.isfinite(share) else UNKNOWN


def share_with_error(share: Any, count: int | None) -> str:
    """A fraction of `count` samples in per cent, with its standard error."""
    if not count or not isinstance(share, int | float) or not 0 <= share <= 1:
        return percent(share)
    return f"{100 * share:.2f} ± {100 * standard_error(share, count):.2f} %"


def tested(result: Mapping[str, Any]) -> int | None:
    """How many test samples a result is of; None if it does not say."""
    confusion = result.get("test_confusion")
    return int(np.sum(confusion)) if confusion else None


def spread(values: np.ndarray) -> str:
    """Mean and standard deviation."""
    return f"{number(float(values.mean()))} ± {number(float(values.std()))}" if values.size else UNKNOWN

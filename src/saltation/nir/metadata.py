"""What saltation notes in a NIR graph besides its nodes: one key in the metadata of the graph and of nodes.

Values are numbers, text, arrays and dicts of them, which is what NIR files hold. Whoever reads a graph without them
loses nothing but what `lossy=True` allowed; see docs/nir.md.
"""

from typing import Any

import numpy as np

from saltation import check

KEY = "saltation"
FORMAT = 1


def noted(**values: Any) -> dict[str, Any]:
    """The metadata of a node or graph; what is None is left out, as files cannot hold it."""
    return {KEY: {name: value for name, value in values.items() if value is not None}}


def notes(node: Any) -> dict[str, Any]:
    """What `noted` put there, or nothing."""
    metadata = getattr(node, "metadata", None)
    found = metadata.get(KEY) if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


def number(found: dict[str, Any], name: str, low: float = 0.0) -> float | None:
    """A noted number, None if there is none. Raises ValueError if it is not finite and >= low."""
    value = found.get(name)
    return None if value is None else check.finite_number(value, f"metadata {KEY}.{name}", low=low)


def text(found: dict[str, Any], name: str) -> str | None:
    """A noted text, None if there is none. Raises ValueError if it is something else."""
    value = found.get(name)
    if value is None:
        return None
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    check.require(isinstance(value, str), f"metadata {KEY}.{name} = {check.shown(value)}: must be text")
    return value


def arrays(found: dict[str, Any], name: str) -> dict[str, np.ndarray]:
    """A noted dict of arrays or numbers, as float64; empty if there is none."""
    values = found.get(name)
    if values is None:
        return {}
    try:
        return {key: np.asarray(value, np.float64) for key, value in values.items()}
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"metadata {KEY}.{name} = {check.shown(values)}: must be arrays by name") from None

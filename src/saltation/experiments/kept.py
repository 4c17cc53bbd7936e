"""What is kept between the passes, in bytes, by looking at the memory that the graph of a loss holds."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

Span = tuple[int, int]  # address, bytes


def kept_by_graph(loss: Callable[[], Tensor], besides: Iterable[Tensor]) -> int:
    """Bytes that the backward pass of `loss()` needs: tensors saved by autograd, and arrays that saltation's own
    functions keep. Memory that several of them share counts once, that of `besides` (parameters, input) not at all.
    """
    saved: list[Tensor] = []  # held, so that no memory is given away and counted twice

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor.detach())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        value = loss()
    found = [_span(tensor) for tensor in saved]
    for node in _nodes(value.grad_fn):
        for name in ("kept", "plan"):
            found += _spans(getattr(node, name, None), set())
    return _union(found) - _union_within(found, [_span(tensor) for tensor in besides])


def kept_by(thing: Any) -> int:
    """Bytes of all arrays that can be reached from `thing`."""
    return _union(_spans(thing, set()))


def _nodes(root: Any) -> list[Any]:
    """All nodes of a graph."""
    found: dict[Any, None] = {}
    left = [root]
    while left:
        node = left.pop()
        if node is not None and node not in found:
            found[node] = None
            left += [following for following, _ in node.next_functions]
    return list(found)


def _spans(thing: Any, seen: set[int]) -> list[Span]:
    """Of all arrays and tensors that lists, tuples, mappings, partial functions and objects lead to."""
    if thing is None or isinstance(thing, str | bytes | int | float | type) or id(thing) in seen:
        return []
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        low, high = np.lib.array_utils.byte_bounds(thing)
        return [(low, high - low)]
    if isinstance(thing, Tensor):
        return [_span(thing)]
    if isinstance(thing, dict):
        parts: Iterable[Any] = thing.values()
    elif isinstance(thing, list | tuple | set):
        parts = thing
    elif isinstance(thing, partial):
        parts = [thing.args, thing.keywords]
    else:
        parts = [getattr(thing, "__dict__", None)]
    return [span for part in parts for span in _spans(part, seen)]


def _span(tensor: Tensor) -> Span:
    storage = tensor.untyped_storage()
    return storage.data_ptr(), storage.nbytes()


def _union(spans: Iterable[Span]) -> int:
    """Bytes that at least one of the spans covers."""
    total, reached = 0, 0
    for address, size in sorted(spans):
        end = address + size
        total += max(0, end - max(address, reached))
        reached = max(reached, end)
    return total


def _union_within(spans: list[Span], others: list[Span]) -> int:
    """Bytes that both cover."""
    return _union(spans) + _union(others) - _union([*spans, *others])

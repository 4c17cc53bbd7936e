"""How much of a gradient comes from ghosts, the near misses of layers with `smoothing`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from saltation.layer import Layer
from saltation.parameters import layers
from saltation.sequential import Sequential
from saltation.train.processes import ALONE, Processes


def smoothed_layers(model: Sequential) -> list[Layer]:
    """The layers with a smoothing."""
    return [layer for layer in layers(model) if layer.smoothing > 0.0]


def ghost_share(
    model: Sequential,
    step: Callable[[], tuple[Any, ...]],
    generator: torch.Generator,
    drawn: Tensor,
    processes: Processes = ALONE,
) -> float | None:
    """|g - e| / |g| with g the smoothed gradient, which is in `.grad`, and e the exact one; None where g is 0.

    step  returns, before other things, what g is the gradient of; called again, here without smoothing
    generator, drawn  what `step` draws from, and the state it had before it drew for g
    processes  whose mean g is, and e then too

    Parameters, their `.grad` and the generator are left as they were.
    """
    trained = [parameter for parameter in model.parameters() if parameter.grad is not None]
    smoothed = torch.cat([parameter.grad.flatten().double() for parameter in trained if parameter.grad is not None])
    norm = float(torch.linalg.vector_norm(smoothed))
    if norm == 0.0:
        return None
    now = generator.get_state()
    generator.set_state(drawn)
    try:
        with _exact(model):
            gradients = torch.autograd.grad(step()[0], trained, materialize_grads=True)
    finally:
        generator.set_state(now)
    exact = processes.total(torch.cat([gradient.flatten().double() for gradient in gradients])) / processes.count
    return float(torch.linalg.vector_norm(smoothed - exact)) / norm


@contextmanager
def _exact(model: Sequential) -> Iterator[None]:
    """Meanwhile no layer has a smoothing."""
    smoothed = smoothed_layers(model)
    smoothings = [layer.smoothing for layer in smoothed]
    try:
        for layer in smoothed:
            layer.smoothing = 0.0
        yield
    finally:
        for layer, smoothing in zip(smoothed, smoothings, strict=True):
            layer.smoothing = smoothing

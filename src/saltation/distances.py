"""Distances of spike trains as autograd functions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor


class _Distance(torch.autograd.Function):
    """(ours (E,), theirs (F,)) -> (trains,): a distance of kernels/distances.py."""

    @staticmethod
    def forward(
        ctx: Any, kernel: Callable[..., None], scale: float, start: Tensor, begin: Tensor, ours: Tensor, theirs: Tensor
    ) -> Tensor:
        """Distances of all trains, and what their gradients need."""
        from .kernels.jit import announce_compilation

        announce_compilation()
        a, b = (times.detach().contiguous().numpy() for times in (ours, theirs))
        distance, grads = np.zeros(start.numel() - 1), (np.empty_like(a), np.empty_like(b))
        kernel(a, start.numpy(), b, begin.numpy(), scale, distance, *grads)
        ctx.kept = start, begin, grads
        return torch.from_numpy(distance)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_distance: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the times."""
        start, begin, grads = ctx.kept
        shares = (
            torch.from_numpy(grad) * grad_distance.repeat_interleave(bounds.diff())
            for grad, bounds in zip(grads, (start, begin), strict=True)
        )
        return None, None, None, None, *shares


def van_rossum(ours: Tensor, start: Tensor, theirs: Tensor, begin: Tensor, tau: float) -> Tensor:
    """(trains,): see kernels/distances.py."""
    from .kernels import distances

    return _Distance.apply(distances.van_rossum, tau, start, begin, ours, theirs)


def victor_purpura(ours: Tensor, start: Tensor, theirs: Tensor, begin: Tensor, q: float) -> Tensor:
    """(trains,): see kernels/distances.py."""
    from .kernels import distances

    return _Distance.apply(distances.victor_purpura, q, start, begin, ours, theirs)

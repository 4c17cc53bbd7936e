"""The readout of leaky integrators as an autograd function: in closed form, without simulation."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .blocks import in_blocks, sum_blocks
from .kernels import layout
from .ops import Arguments, Setting, make_task


class _Readout(torch.autograd.Function):
    """(times, weight, delay, neurons, ghost_times) -> (B, N, Q) functionals of the membrane potential; see
    kernels/readout.py.
    """

    @staticmethod
    def forward(ctx: Any, setting: Setting, mode: int, points: np.ndarray, *tensors: Tensor) -> Tensor:
        """Evaluate the functionals `points` (Q,)."""
        from .kernels.readout import readout_forward

        task = make_task(Arguments(*tensors), setting, False)
        events, synapses, packed = task.events, task.synapses, task.population
        weights = np.ascontiguousarray(synapses.weight.T)
        out = np.zeros((events.offsets.size - 1, points.size, weights.shape[1]))

        def run(first: int, last: int) -> None:
            readout_forward(mode, events, synapses, weights, packed, first, last, points, out)

        in_blocks(events, weights.shape[1], run)
        ctx.save_for_backward(*tensors)
        ctx.setting, ctx.mode, ctx.points = setting, mode, points
        return torch.from_numpy(out).transpose(1, 2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of times, weight, delay and neurons, and of the strengths of ghosts."""
        from .kernels.readout import readout_backward, readout_strengths

        task = make_task(Arguments(*ctx.saved_tensors), ctx.setting, False)
        events, synapses, packed = task.events, task.synapses, task.population
        weights = np.ascontiguousarray(synapses.weight.T)
        G = grad_out.transpose(1, 2).contiguous().numpy()
        with_taus = ctx.needs_input_grad[6]
        strengths = np.zeros_like(task.ghosts.times)  # every block has its own samples

        def run(first: int, last: int, times: np.ndarray, *parts: np.ndarray) -> None:
            rest = packed, first, last, ctx.points, G, with_taus
            weight, delay, parameters = parts
            found = layout.Gradients(times, weight, delay, parameters, strengths)
            readout_backward(ctx.mode, events, synapses, weights, *rest, found)
            if strengths.size:
                readout_strengths(ctx.mode, task.ghosts, synapses, weights, *rest[:5], strengths)

        shapes = weights, synapses.delay, packed.parameters
        times, (weight, delay, neurons) = sum_blocks(events, shapes, weights.shape[1], run)
        gradients = (torch.from_numpy(array) for array in (times, np.ascontiguousarray(weight.T), delay, neurons))
        return None, None, None, *gradients, None, None, torch.from_numpy(strengths), None, None, None, None


def values(arguments: Arguments, setting: Setting, points: np.ndarray) -> Tensor:
    """(B, N, Q): V at the given times (Q,)."""
    from .kernels.readout import VALUE

    return _Readout.apply(setting, VALUE, points, *arguments)


def window(arguments: Arguments, setting: Setting, tau: float) -> Tensor:
    """(B, N): int_0^duration e^{-t/tau} V dt; tau = inf is the plain integral."""
    from .kernels.readout import WINDOW

    return _Readout.apply(setting, WINDOW, np.array([tau]), *arguments)[:, :, 0]

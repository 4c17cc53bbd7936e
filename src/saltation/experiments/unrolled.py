"""A layer of LIF neurons and a leaky readout, step by step in torch, as in tutorials: autograd keeps every step."""

import math

import torch
from torch import Tensor

from saltation.kernels.flow import phi
from saltation.spikes import Spikes


class Surrogate(torch.autograd.Function):
    """1 where x >= 0; backwards 1 / (1 + slope |x|)^2."""

    @staticmethod
    def forward(ctx, x: Tensor, slope: float) -> Tensor:  # type: ignore[no-untyped-def]
        """Spikes."""
        ctx.save_for_backward(x)
        ctx.slope = slope
        return (x >= 0.0).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]
        """The surrogate."""
        (x,) = ctx.saved_tensors
        return gradient / (1.0 + ctx.slope * x.abs()).square(), None


def unrolled(
    spikes: Spikes, hidden: Tensor, readout: Tensor, taus: tuple[float, float], dt: float, slope: float = 10.0
) -> Tensor:
    """(B, C): the mean potential of the readout; hidden (N, M), readout (C, N), taus: of membrane and synapse."""
    raster = spikes.to_dense(dt, time_first=True).to(hidden.dtype)
    tau_mem, tau_syn = taus
    e_mem, e_syn, lead = math.exp(-dt / tau_mem), math.exp(-dt / tau_syn), phi(dt, tau_mem, tau_syn)
    B = raster.shape[1]
    V, current = torch.zeros(2, B, hidden.shape[0], dtype=hidden.dtype)
    U, J = torch.zeros(2, B, readout.shape[0], dtype=hidden.dtype)
    total = torch.zeros_like(U)
    for inputs in raster:
        V = e_mem * V + lead * current
        out = Surrogate.apply(V - 1.0, slope)
        V = V * (1.0 - out.detach())
        current = e_syn * current + inputs @ hidden.T
        U = e_mem * U + lead * J
        J = e_syn * J + out @ readout.T
        total = total + U
    return total / len(raster)

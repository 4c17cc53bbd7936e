"""Random changes of input spikes during training."""

import torch

from saltation.spikes import Spikes


def jitter(spikes: Spikes, std: float, generator: torch.Generator) -> Spikes:
    """Every spike moved by a normal random time of standard deviation `std` >= 0, reflected at 0 and cut at `duration`.

    Times are sorted again within each sample; the numbers of spikes stay. Gradients are not tracked.
    """
    noise = torch.randn(spikes.times.shape, generator=generator, dtype=spikes.times.dtype)
    times = (spikes.times.detach() + std * noise).abs().clamp(max=spikes.duration)
    return spikes.with_times(times)

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


def drop(spikes: Spikes, fraction: float, generator: torch.Generator) -> Spikes:
    """Every spike left out with probability `fraction`, in [0, 1), independently of all others."""
    keep = torch.rand(spikes.times.shape, generator=generator) >= fraction
    kept_before = torch.cat([torch.zeros(1, dtype=torch.int64), keep.cumsum(0)])
    return Spikes.unchecked(
        spikes.times[keep], spikes.units[keep], kept_before[spikes.offsets], spikes.num_units, spikes.duration
    )

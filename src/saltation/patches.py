"""`Patches`: a convolution with shared neurons, place by place."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .kernels.layout import Events
from .spikes import Spikes, by_sample_and_time

if TYPE_CHECKING:
    from .kernels.patches import Reach


@dataclass(frozen=True)
class Patches:
    """How a convolution sees its input: every place of a sample becomes a sample of one small all-to-all layer."""

    places: int
    elements: int  # of the kernel, over all input channels
    reach: "Reach" = field(compare=False)
    geometry: tuple[object, ...]  # what two convolutions must share for their patches to be the same

    def unfold(self, spikes: Spikes) -> Spikes:
        """What each place sees: B places samples of `elements` units."""
        from .kernels.jit import announce_compilation
        from .kernels.patches import count_seen, list_seen

        announce_compilation()
        tensors = spikes.times, spikes.units, spikes.offsets
        events = Events(*(tensor.detach().contiguous().numpy() for tensor in tensors))
        bounds = np.zeros(spikes.num_samples * self.places + 1, np.int64)
        count_seen(events, self.reach, self.places, bounds[1:])
        bounds = bounds.cumsum()
        event, element = np.empty((2, bounds[-1]), np.int64)
        list_seen(events, self.reach, self.places, bounds[:-1].copy(), event, element)
        # index_select: its gradient is much faster than that of indexing
        times = spikes.times.index_select(0, torch.from_numpy(event))
        units, offsets = torch.from_numpy(element), torch.from_numpy(bounds)
        seen = Spikes.unchecked(times, units, offsets, self.elements, spikes.duration)
        return seen if spikes.ghosts is None else seen.haunted(self.unfold(spikes.ghosts))

    def fold(self, spikes: Spikes) -> tuple[Spikes, Tensor]:
        """From the spikes of the channels at each place to B samples of channels x places units, and their order."""
        sample, channel = spikes.sample_index(), spikes.units
        order = by_sample_and_time(sample // self.places, spikes.times)
        units = channel * self.places + sample % self.places
        folded = Spikes.unchecked(
            spikes.times[order],
            units[order],
            spikes.offsets[:: self.places],
            spikes.num_units * self.places,
            spikes.duration,
        )
        return folded if spikes.ghosts is None else folded.haunted(self.fold(spikes.ghosts)[0]), order

    def fold_units(self, values: Tensor) -> Tensor:
        """From (B places, channels) to (B, channels places)."""
        samples, channels = values.shape[0] // self.places, values.shape[1]
        return values.view(samples, self.places, channels).transpose(1, 2).reshape(samples, channels * self.places)

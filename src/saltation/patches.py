"""`Patches`: a convolution with shared neurons, place by place."""

from dataclasses import dataclass, field

from torch import Tensor

from . import ops
from .kernels.patches import Reach
from .spikes import Spikes, by_sample_and_time


@dataclass(frozen=True)
class Patches:
    """How a convolution sees its input: every place of a sample becomes a sample of one small all-to-all layer."""

    places: int
    elements: int  # of the kernel, over all input channels
    reach: Reach = field(compare=False)
    geometry: tuple[object, ...]  # what two convolutions must share for their patches to be the same

    def unfold(self, spikes: Spikes) -> Spikes:
        """What each place sees: B places samples of `elements` units."""
        times, elements, offsets = ops.seen(spikes.times, spikes.units, spikes.offsets, self.reach, self.places)
        return Spikes.unchecked(times, elements, offsets, self.elements, spikes.duration)

    def fold(self, spikes: Spikes) -> tuple[Spikes, Tensor]:
        """From the spikes of the channels at each place to B samples of channels x places units, and their order."""
        sample, channel = spikes.sample_index(), spikes.units
        order = by_sample_and_time(sample // self.places, spikes.times)
        units = channel * self.places + sample % self.places
        return (
            Spikes.unchecked(
                spikes.times[order],
                units[order],
                spikes.offsets[:: self.places],
                spikes.num_units * self.places,
                spikes.duration,
            ),
            order,
        )

    def fold_units(self, values: Tensor) -> Tensor:
        """From (B places, channels) to (B, channels places)."""
        samples, channels = values.shape[0] // self.places, values.shape[1]
        return values.view(samples, self.places, channels).transpose(1, 2).reshape(samples, channels * self.places)

"""EventDataset: labelled recordings of spikes in flat arrays."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from saltation.data import validate
from saltation.data.samples import Samples, gather
from saltation.data.validate import TEST, TRAIN, VALIDATION
from saltation.spikes import Spikes

__all__ = ["TEST", "TRAIN", "VALIDATION", "EventDataset"]


@dataclass(frozen=True, repr=False)
class EventDataset(Samples):
    """S labelled samples with E events in all.

    times     (E,) float64, sorted within a sample, >= 0, in the unit of the time constants of the network
    channels  (E,) int64 in [0, num_channels)
    offsets   (S + 1,) int64; sample i holds the events offsets[i]:offsets[i + 1]; an empty sample is legal
    labels    (S,) int64 in [0, num_classes)
    split     (S,) uint8: 0 train, 1 validation, 2 test
    num_channels, num_classes  0: the highest channel or label plus one (class_names, if given, count)
    duration  how long a sample is simulated, > 0; 0: until the last event of all
    class_names  one name a class, or empty
    source    where the data come from; error messages quote it

    Other integer and float dtypes are converted. Raises ValueError, naming the record, where a rule is broken.
    """

    times: np.ndarray
    channels: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    split: np.ndarray
    num_channels: int = 0
    num_classes: int = 0
    duration: float = 0.0
    class_names: tuple[str, ...] = ()
    source: str = "event arrays"

    def __post_init__(self) -> None:
        for name, value in validate.checked_fields(**vars(self)).items():
            object.__setattr__(self, name, value)

    @property
    def num_events(self) -> int:
        """Of all samples together."""
        return len(self.times)

    def take(self, indices: np.ndarray) -> "EventDataset":
        """The samples `indices` (n,), in that order, as a data set of their own."""
        events, offsets = self._gather(np.asarray(indices, dtype=np.int64))
        return replace(
            self,
            times=self.times[events],
            channels=self.channels[events],
            offsets=offsets,
            labels=self.labels[indices],
            split=self.split[indices],
        )

    def batch(self, indices: np.ndarray) -> tuple[Spikes, torch.Tensor]:
        """The samples `indices` (B,) as (Spikes with times up to `duration`, labels (B,) int64)."""
        indices = np.asarray(indices, dtype=np.int64)
        events, offsets = self._gather(indices)
        spikes = Spikes.unchecked(  # checked when the data set was made
            torch.from_numpy(self.times[events]),
            torch.from_numpy(self.channels[events]),
            torch.from_numpy(offsets),
            self.num_channels,
            self.duration,
        )
        return spikes, torch.from_numpy(self.labels[indices])

    def with_split(self, split: np.ndarray) -> "EventDataset":
        """The same samples with another split (S,)."""
        return replace(self, split=split)

    def _spans(self) -> tuple[np.ndarray, np.ndarray]:
        return self.offsets[:-1], np.diff(self.offsets)

    def _gather(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return gather(self.offsets[indices], self.offsets[indices + 1] - self.offsets[indices])

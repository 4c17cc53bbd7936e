"""EventDataset: labelled recordings of spikes in flat arrays."""

from dataclasses import dataclass

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
    num_channels, num_classes  0: the highest channel or label plus one (class_names, if given, count); at most 2^24
              channels and 2^20 classes
    duration  how long a sample is simulated, > 0; 0: until the last event of all
    class_names  one name a class, or empty
    source    where the data come from; error messages quote it

    Other integer and float dtypes are converted, never rounded. The arrays of the data set are read-only and its own:
    they are copied, except what nobody can write to any more, and memory maps of the final dtype, which stay maps.
    Raises ValueError, naming the record, where a rule is broken; warns of labels that do not count from 0 and of
    classes without training samples.

    >>> data = EventDataset(times=[0.1, 0.3], channels=[0, 1], offsets=[0, 1, 2], labels=[0, 1], split=[0, 0])
    >>> data.batch([-1])[0].times
    tensor([0.3000], dtype=torch.float64)
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

    def _take(self, chosen: np.ndarray) -> "EventDataset":
        events, offsets = self._gather(chosen)
        return self._with(
            times=self.times[events],
            channels=self.channels[events],
            offsets=offsets,
            labels=self.labels[chosen],
            split=self.split[chosen],
        )

    def _read(self, chosen: np.ndarray) -> Spikes:
        events, offsets = self._gather(chosen)
        return Spikes.unchecked(  # checked when the data set was made
            torch.from_numpy(self.times[events]),
            torch.from_numpy(self.channels[events]),
            torch.from_numpy(offsets),
            self.num_channels,
            self.duration,
        )

    def _spans(self) -> tuple[np.ndarray, np.ndarray]:
        return self.offsets[:-1], np.diff(self.offsets)

    def _gather(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return gather(self.offsets[indices], self.offsets[indices + 1] - self.offsets[indices])

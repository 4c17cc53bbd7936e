"""EventDataset: labelled recordings of spikes in flat arrays."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from saltation.data import validate
from saltation.data.validate import SPLIT_NAMES, TEST, TRAIN, VALIDATION
from saltation.spikes import Spikes

__all__ = ["TEST", "TRAIN", "VALIDATION", "EventDataset"]


@dataclass(frozen=True)
class EventDataset:
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

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{np.sum(self.split == code)} {name}" for code, name in enumerate(SPLIT_NAMES))
        return (
            f"EventDataset({self.source}: {sizes}; {self.num_channels} channels, {self.num_classes} classes, "
            f"{len(self.times)} events in [0, {self.duration:g}])"
        )

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

    def subset(self, split: int | str) -> "EventDataset":
        """The samples of one split: 0, 1, 2 or "train", "validation", "test". It may be empty. Raises ValueError."""
        if split in SPLIT_NAMES:
            split = SPLIT_NAMES.index(str(split))
        if split not in (TRAIN, VALIDATION, TEST):
            raise ValueError(f"split is {split!r}; it must be 'train', 'validation' or 'test' (or 0, 1, 2)")
        return self.take(np.flatnonzero(self.split == split))

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

    def batches(
        self, batch_size: int, generator: torch.Generator | None = None
    ) -> Iterator[tuple[Spikes, torch.Tensor]]:
        """All samples once, `batch_size` at a time (the last batch may be smaller).

        With a generator the order is drawn from it, anew at every call; without one it is that of the data set.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
        order = np.arange(len(self)) if generator is None else torch.randperm(len(self), generator=generator).numpy()
        for start in range(0, len(order), batch_size):
            yield self.batch(order[start : start + batch_size])

    def with_validation(self, fraction: float, seed: int) -> "EventDataset":
        """A data set whose validation samples are `fraction` of each class's training samples; test stays as it is.

        fraction in (0, 1); at least one training sample of every class stays. The draw depends on `seed` alone.
        Raises ValueError if there are validation samples already.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"validation fraction is {fraction}; it must lie between 0 and 1, for example 0.1")
        if np.any(self.split == VALIDATION):
            raise ValueError(f"{self.source} has validation samples already; leave validation_fraction at 0")
        rng = np.random.default_rng(seed)
        split = self.split.copy()
        for label in range(self.num_classes):
            members = np.flatnonzero((self.split == TRAIN) & (self.labels == label))
            if len(members) > 1:
                number = min(max(round(fraction * len(members)), 1), len(members) - 1)
                split[rng.permutation(members)[:number]] = VALIDATION
        return replace(self, split=split)

    def without_test(self) -> "EventDataset":
        """The training and validation samples."""
        return self.take(np.flatnonzero(self.split != TEST))

    def _gather(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The positions of the events of samples `indices`, and the offsets they have when laid end to end."""
        lengths = self.offsets[indices + 1] - self.offsets[indices]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        events = np.arange(offsets[-1]) + np.repeat(self.offsets[indices] - offsets[:-1], lengths)
        return events, offsets

"""What data sets in memory and on disk share: splits, order, batches and the fingerprint."""

import hashlib
import json
import operator
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import torch
from torch.utils.data._utils.collate import default_collate_fn_map

from saltation.check import shown
from saltation.data.validate import SPLIT_NAMES, TEST, TRAIN, VALIDATION, checked_split, number, positions
from saltation.spikes import Spikes

WHOLE = 1 << 26  # up to so many events all of them enter a fingerprint (1 GiB, about a second)
BLOCKS, BLOCK = 1 << 10, 1 << 14  # of larger sets so many blocks of so many events


class Samples:
    """Labelled recordings. Subclasses say how samples are taken and read.

    Samples are chosen as in NumPy: by whole numbers, negative ones counting from the end, or by a mask of one bool a
    sample; anything else raises ValueError. `dataset.batches` and torch's `DataLoader(dataset, batch_size=...)` both
    yield (Spikes, labels); the first is quicker.
    """

    times: np.ndarray  # the events of all samples, in memory or mapped
    channels: np.ndarray
    labels: np.ndarray  # (S,) int64
    split: np.ndarray  # (S,) uint8: 0 train, 1 validation, 2 test
    num_channels: int
    num_classes: int
    duration: float
    class_names: tuple[str, ...]
    source: str

    def take(self, indices: Any) -> Self:
        """The samples `indices` (n,), in that order, as a data set of their own."""
        return self._take(positions(self.source, indices, len(self)))

    def batch(self, indices: Any) -> tuple[Spikes, torch.Tensor]:
        """The samples `indices` (B,) as (Spikes with times up to `duration`, labels (B,) int64)."""
        chosen = positions(self.source, indices, len(self))
        return self._read(chosen), torch.from_numpy(self.labels[chosen])

    def __getitem__(self, index: int) -> tuple[Spikes, torch.Tensor]:
        """Sample `index` as (Spikes of one sample, its label); `DataLoader` collates them to what `batch` returns.

        Raises IndexError, TypeError.
        """
        try:
            number = operator.index(index)
        except TypeError:
            raise TypeError(
                f"dataset[{shown(index)}] is not one sample; dataset.take(indices) chooses several"
            ) from None
        if not -len(self) <= number < len(self):
            raise IndexError(f"{self.source} has {len(self)} samples, none of number {number}")
        spikes, labels = self.batch([number])
        return spikes, labels[0]

    def with_split(self, split: Any) -> Self:
        """The same samples with another split (S,) of 0 train, 1 validation, 2 test. Raises ValueError."""
        return self._with(split=checked_split(self.source, split, len(self)))

    def _take(self, chosen: np.ndarray) -> Self:
        """`take` of legal positions."""
        raise NotImplementedError

    def _read(self, chosen: np.ndarray) -> Spikes:
        """The events of samples at legal positions."""
        raise NotImplementedError

    def _with(self, **changes: Any) -> Self:
        """The same with other fields that are right by construction, so that nothing is checked again."""
        for value in changes.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        other = object.__new__(type(self))
        vars(other).update({**vars(self), **changes})
        return other

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{np.sum(self.split == code)} {name}" for code, name in enumerate(SPLIT_NAMES))
        return (
            f"{type(self).__name__}({self.source}: {sizes}; {self.num_channels} channels, {self.num_classes} classes, "
            f"{self.num_events} events in [0, {self.duration:g}])"
        )

    @property
    def num_events(self) -> int:
        """Of all samples together."""
        raise NotImplementedError

    def _spans(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the events of each sample begin in `times`, and how many they are."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal digits, of what training sees: two sets of one fingerprint hold the same samples.

        Of num_channels, num_classes and duration; then, sample by sample in order, the number of events, the label and
        the split; then times (float64) and channels (int64) of the events in that order. Class names, `source` and the
        form on disk do not count: a store with times in float64 has the fingerprint of the set it was written from.
        Of a set of more than 2^26 events, 1024 blocks of 2^14 events count, evenly spaced, the first and the last ones
        among them (256 MiB, so that it is quick on sets larger than memory); a change between them goes unseen.
        """
        starts, lengths = self._spans()
        digest = hashlib.sha256(
            json.dumps([int(self.num_channels), int(self.num_classes), float(self.duration).hex()]).encode()
        )
        for values, dtype in ((lengths, "<i8"), (self.labels, "<i8"), (self.split, "u1")):
            digest.update(np.ascontiguousarray(values, dtype).data)
        ends = np.cumsum(lengths)
        total = int(ends[-1]) if len(ends) else 0
        firsts = (
            np.arange(0, total, BLOCK) if total <= WHOLE else np.linspace(0, total - BLOCK, BLOCKS).astype(np.int64)
        )
        for first in firsts:
            number = np.arange(first, min(first + BLOCK, total))
            sample = np.searchsorted(ends, number, side="right")
            events = number - (ends - lengths)[sample] + starts[sample]
            digest.update(np.ascontiguousarray(self.times[events], "<f8").data)
            digest.update(np.ascontiguousarray(self.channels[events], "<i8").data)
        return digest.hexdigest()

    def subset(self, split: int | str) -> Self:
        """The samples of one split: 0, 1, 2 or "train", "validation", "test". It may be empty. Raises ValueError."""
        if split in SPLIT_NAMES:
            split = SPLIT_NAMES.index(str(split))
        if split not in (TRAIN, VALIDATION, TEST):
            raise ValueError(f"split is {shown(split)}; it must be 'train', 'validation' or 'test' (or 0, 1, 2)")
        return self.take(np.flatnonzero(self.split == split))

    def without_test(self) -> Self:
        """The training and validation samples."""
        return self.take(np.flatnonzero(self.split != TEST))

    def batches(
        self, batch_size: int, generator: torch.Generator | None = None
    ) -> Iterator[tuple[Spikes, torch.Tensor]]:
        """All samples once, `batch_size` at a time (the last batch may be smaller).

        With a generator the order is drawn from it, anew at every call; without one it is that of the data set.
        Raises ValueError, at the first batch, if batch_size is no whole number of at least 1.
        """
        for indices in self.orders(batch_size, generator):
            yield self.batch(indices)

    def orders(self, batch_size: int, generator: torch.Generator | None = None) -> Iterator[np.ndarray]:
        """Which samples `batches` takes, batch by batch: their numbers, for `batch`."""
        if not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise ValueError(f"batch_size is {shown(batch_size)}; it must be a whole number of at least 1")
        order = np.arange(len(self)) if generator is None else torch.randperm(len(self), generator=generator).numpy()
        for start in range(0, len(order), batch_size):
            yield order[start : start + batch_size]

    def with_validation(self, fraction: float, seed: int) -> Self:
        """A data set whose validation samples are `fraction` of each class's training samples; test stays as it is.

        fraction in (0, 1); at least one training sample of every class stays. The draw depends on `seed` alone.
        Raises ValueError if there are validation samples already.
        """
        fraction = number(self.source, "validation fraction", fraction)
        if not 0 < fraction < 1:
            raise ValueError(f"validation fraction is {fraction}; it must lie between 0 and 1, for example 0.1")
        if np.any(self.split == VALIDATION):
            raise ValueError(f"{self.source} has validation samples already; leave validation_fraction at 0")
        rng = np.random.default_rng(seed)
        split = self.split.copy()
        for label in np.unique(self.labels):
            members = np.flatnonzero((self.split == TRAIN) & (self.labels == label))
            if len(members) > 1:
                taken = min(max(round(fraction * len(members)), 1), len(members) - 1)
                split[rng.permutation(members)[:taken]] = VALIDATION
        return self.with_split(split)


def gather(starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The positions of the events of samples, and the offsets they have when laid end to end."""
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths), offsets


def _collate(batch: list[Spikes], *, collate_fn_map: Any = None) -> Spikes:
    """What torch's default_collate does with the Spikes of a DataLoader."""
    return Spikes.cat(batch)


default_collate_fn_map[Spikes] = _collate

"""`Spikes`: a ragged batch of events, the only thing that travels between layers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import check
from .tree import walked

FEW_ROUNDINGS = 4 * 2.0**-52  # relative
LARGEST_RASTER = 2**34  # cells, 64 GiB
MOST_EVENTS = 2**28  # made of numbers at once; sorting them takes about 16 GB


# walked, and a dataclass: DistributedDataParallel finds the tensors in both ways; equal: only if the same object
@walked
@dataclass(eq=False, repr=False, slots=True)
class Spikes:
    """Spike events of B samples of N units, on [0, duration].

    Args:
        times: (E,) float64, in [0, duration], sorted within a sample; may carry a gradient.
        units: (E,) int64 in 0 ... num_units - 1.
        offsets: (B + 1,) int64; sample b owns the events offsets[b] ... offsets[b + 1] - 1. Samples may be silent, and
            a batch may have no samples.
        num_units: N >= 1.
        duration: length of every sample, > 0, in the unit of the times.

    Attributes:
        ghosts: the near misses of a layer with `smoothing`, as a batch of their own, or None. A ghost is a spike of
            strength 0: it changes nothing, but what flows back into `ghosts.times` is the derivative of the loss with
            respect to its strength, in the place of that with respect to its time.

    Raises:
        ValueError, TypeError: if any of this does not hold.

    Example:
        >>> spikes = Spikes.from_lists([[(0.1, 0), (0.3, 2)], []], num_units=3, duration=1.0)
        >>> spikes
        Spikes(2 samples, 3 units, 2 events, duration 1)
        >>> spikes.counts().tolist()
        [[1, 0, 1], [0, 0, 0]]
    """

    times: Tensor
    units: Tensor
    offsets: Tensor
    num_units: int
    duration: float
    ghosts: "Spikes | None" = field(default=None, init=False)

    def __post_init__(self) -> None:
        check.spikes(self.times, self.units, self.offsets, self.num_units, self.duration)
        self.num_units, self.duration, self.ghosts = int(self.num_units), float(self.duration), None

    @classmethod
    def unchecked(cls, times: Tensor, units: Tensor, offsets: Tensor, num_units: int, duration: float) -> "Spikes":
        """The same without validation, for fields that are right by construction."""
        spikes = cls.__new__(cls)
        spikes.times, spikes.units, spikes.offsets = times, units, offsets
        spikes.num_units, spikes.duration, spikes.ghosts = num_units, duration, None
        return spikes

    def haunted(self, ghosts: "Spikes | None") -> "Spikes":
        """The same spikes with these ghosts."""
        spikes = Spikes.unchecked(self.times, self.units, self.offsets, self.num_units, self.duration)
        spikes.ghosts = ghosts
        return spikes

    @staticmethod
    def silent(num_samples: int, num_units: int, duration: float) -> "Spikes":
        """Samples without events."""
        nothing = torch.empty(0, dtype=torch.int64)
        return Spikes.unchecked(
            nothing.double(), nothing, torch.zeros(num_samples + 1, dtype=torch.int64), num_units, duration
        )

    # -- conversions ---------------------------------------------------------------------------------------------

    @classmethod
    def from_lists(cls, samples: Sequence[Sequence[tuple[float, int]]], num_units: int, duration: float) -> "Spikes":
        """From one list of (time, unit) pairs per sample, in any order; or one NumPy array (events, 2).

        Raises:
            ValueError: for times outside [0, duration], units out of range, or entries that are not pairs.
        """
        try:
            events = [list(sample) for sample in samples]
        except TypeError:
            raise TypeError(f"samples is {samples!r:.80}: pass one list of (time, unit) pairs per sample") from None
        ordered = [sorted(_pair(b, event) for event in sample) for b, sample in enumerate(events)]
        flat = [event for sample in ordered for event in sample]
        times = torch.tensor([time for time, _ in flat], dtype=torch.float64)
        units = torch.tensor([unit for _, unit in flat], dtype=torch.int64)
        counts = torch.tensor([0] + [len(sample) for sample in ordered], dtype=torch.int64)
        return cls(times, units, counts.cumsum(0), num_units, duration)

    def to_lists(self) -> list[list[tuple[float, int]]]:
        """One list of (time, unit) pairs per sample, sorted by time."""
        pairs = list(zip(self.times.tolist(), self.units.tolist(), strict=True))
        bounds = self.offsets.tolist()
        return [pairs[start:stop] for start, stop in zip(bounds[:-1], bounds[1:], strict=True)]

    @classmethod
    def from_dense(cls, raster: Tensor, dt: float, *, time_first: bool, offset: float = 0.0) -> "Spikes":
        """From a raster of spike counts; a spike in step k happens at (k + offset) dt.

        Args:
            raster: (T, B, N) if time_first else (B, T, N); non-negative whole numbers of any dtype. A count of 2 makes
                two simultaneous events.
            dt: length of a step, > 0.
            offset: where in its step a spike lies, in [0, 1): 0 at its start, 0.5 in the middle.
        """
        if not isinstance(raster, Tensor):
            raise TypeError(f"raster is {type(raster).__name__}: pass a torch tensor, for example torch.tensor(raster)")
        check.require(raster.dim() == 3, f"raster has shape {tuple(raster.shape)}: must be (T, B, N) or (B, T, N)")
        check.plain_tensor(raster, "raster")
        dt = check.finite_number(dt, "dt", low=0.0, strict=True)
        offset = check.finite_number(offset, "offset", low=0.0)
        check.require(offset < 1.0, f"offset = {offset}: must be in [0, 1), a part of a step")
        if raster.is_complex():
            raise TypeError(f"raster has dtype {raster.dtype}: it must hold spike counts, whole numbers >= 0")
        raster = raster.detach()
        whole = raster.double()
        bad = ~((whole >= 0) & (whole == whole.round()) & whole.isfinite())
        if bool(bad.any()):
            where = check.first_bad(bad)
            raise ValueError(
                f"raster[{', '.join(map(str, where))}] is {whole[where].item():g}: it must hold spike counts, whole "
                "numbers >= 0"
            )
        total = float(whole.sum())
        if total > MOST_EVENTS:
            raise ValueError(
                f"the raster holds {total:.3g} spikes, up to {whole.max().item():.0f} in a step, more than 2^28 in "
                "all: it must hold spike counts"
            )
        whole = whole.transpose(0, 1) if time_first else whole
        B, T, N = whole.shape
        sample, step, unit = whole.nonzero(as_tuple=True)  # ordered by sample, then step
        repeats = whole[sample, step, unit].long()
        sample, step, unit = (index.repeat_interleave(repeats) for index in (sample, step, unit))
        offsets = torch.searchsorted(sample, torch.arange(B + 1))
        return cls((step.double() + offset) * dt, unit, offsets, N, T * dt)

    def to_dense(self, dt: float, *, time_first: bool) -> Tensor:
        """Spike counts per step of length dt, float32: (T, B, N) if time_first else (B, T, N), T = ceil(duration / dt).

        A spike at t counts in step k if k dt <= t < (k + 1) dt, one at the very end in the last step. A time that is
        below a step's start by a few roundings only counts as on it: `from_dense` and `to_dense` are inverse.
        """
        dt = check.finite_number(dt, "dt", low=0.0, strict=True)
        steps = self.duration / dt
        size = steps * max(self.num_samples * self.num_units, 1)
        fits = size <= LARGEST_RASTER
        check.require(fits, f"dt = {dt:g}: a raster of {steps:.15g} steps has {size:.3g} cells; use a larger dt")
        T = number_of_steps(self.duration, dt)
        step = step_of(self.times.detach(), dt).clamp(0, T - 1)
        dense = torch.zeros(self.num_samples, T, self.num_units)
        dense.index_put_((self.sample_index(), step, self.units), torch.ones(1), accumulate=True)
        return dense.transpose(0, 1).contiguous() if time_first else dense

    @classmethod
    def cat(cls, batches: Sequence["Spikes"]) -> "Spikes":
        """The samples of several batches, one after the other; num_units and duration must agree."""
        check.require(len(batches) > 0, "Spikes.cat needs at least one batch")
        for name in ("num_units", "duration"):
            values = [getattr(batch, name) for batch in batches]
            check.require(len(set(values)) == 1, f"{name} differs between the batches: {values}")
        shifts = [0]
        for batch in batches:
            shifts.append(shifts[-1] + batch.times.numel())
        pieces = [batch.offsets[:-1] + shift for batch, shift in zip(batches, shifts, strict=False)]
        offsets = torch.cat([*pieces, torch.tensor([shifts[-1]])])
        times = torch.cat([batch.times for batch in batches])
        units = torch.cat([batch.units for batch in batches])
        ghosts = _of_all(batches)
        whole = cls.unchecked(times, units, offsets, batches[0].num_units, batches[0].duration)
        return whole if ghosts is None else whole.haunted(cls.cat(ghosts))

    def beside(self, *others: "Spikes") -> "Spikes":
        """The same samples with the units of all side by side; those of the first batch keep their numbers.

        With it one layer gets input from several, and connections skip layers (see `Beside`); gradients are kept.
        """
        parts = (self, *others)
        for name in ("num_samples", "duration"):
            values = [getattr(part, name) for part in parts]
            check.require(len(set(values)) == 1, f"{name} differs: {values}")
        shifts = [sum(part.num_units for part in parts[:k]) for k in range(len(parts))]
        times = torch.cat([part.times for part in parts])
        units = torch.cat([part.units + shift for part, shift in zip(parts, shifts, strict=True)])
        sample = torch.cat([part.sample_index() for part in parts])
        order = by_sample_and_time(sample, times)
        offsets = torch.stack([part.offsets for part in parts]).sum(0)
        num_units = sum(part.num_units for part in parts)
        ghosts = _of_all(parts)
        whole = Spikes.unchecked(times[order], units[order], offsets, num_units, self.duration)
        return whole if ghosts is None else whole.haunted(ghosts[0].beside(*ghosts[1:]))

    # -- views ---------------------------------------------------------------------------------------------------

    @property
    def num_samples(self) -> int:
        """B"""
        return self.offsets.numel() - 1

    def sample_index(self) -> Tensor:
        """(E,) int64: the sample of every event."""
        counts = np.diff(self.offsets.numpy())
        return torch.from_numpy(np.repeat(np.arange(self.num_samples), counts))  # much faster than repeat_interleave

    def train_index(self) -> Tensor:
        """(E,) int64: b num_units + n for an event of unit n in sample b, the number of its spike train."""
        counts = np.diff(self.offsets.numpy())
        return torch.from_numpy(np.repeat(np.arange(self.num_samples) * self.num_units, counts) + self.units.numpy())

    def counts(self) -> Tensor:
        """(B, N) int64: spikes of each unit in each sample."""
        counts = np.bincount(self.train_index().numpy(), minlength=self.num_samples * self.num_units)
        return torch.from_numpy(counts.reshape(self.num_samples, self.num_units))

    def first(self, silent: float = math.inf) -> Tensor:
        """(B, N): time of each unit's first spike, `silent` where there is none; carries the gradient of the times."""
        return self._pick(slice(None, None, -1), silent)

    def last(self, silent: float = -math.inf) -> Tensor:
        """(B, N): time of each unit's last spike, `silent` where there is none; carries the gradient of the times."""
        return self._pick(slice(None), silent)

    def _pick(self, order: slice, silent: float) -> Tensor:
        """The time of the event of each train that comes last in that order of all events."""
        E = self.times.numel()
        event = np.full(self.num_samples * self.num_units, E)
        event[self.train_index().numpy()[order]] = np.arange(E)[order]  # of those of one train the last one stays
        times = torch.cat([self.times, self.times.new_full((1,), silent)])
        return times.index_select(0, torch.from_numpy(event)).view(self.num_samples, self.num_units)

    def sample(self, b: int) -> "Spikes":
        """Sample b alone, as a batch of one; negative b counts from the end."""
        check.require(-self.num_samples <= b < self.num_samples, f"sample {b}: this batch has {self.num_samples}")
        return self.part(b % self.num_samples, b % self.num_samples + 1)

    def part(self, first: int, last: int) -> "Spikes":
        """The samples first ... last - 1, with 0 <= first <= last <= B, as a batch of their own; gradients are kept."""
        legal = 0 <= first <= last <= self.num_samples
        check.require(legal, f"samples {first} to {last - 1}: this batch has {self.num_samples}")
        start, stop = int(self.offsets[first]), int(self.offsets[last])
        offsets = self.offsets[first : last + 1] - start
        few = Spikes.unchecked(self.times[start:stop], self.units[start:stop], offsets, self.num_units, self.duration)
        return few if self.ghosts is None else few.haunted(self.ghosts.part(first, last))

    def detach(self) -> "Spikes":
        """The same events without gradient, and without ghosts."""
        return Spikes.unchecked(self.times.detach(), self.units, self.offsets, self.num_units, self.duration)

    def with_times(self, times: Tensor) -> "Spikes":
        """The same units with other times; sorted again within each sample, gradients kept, and without ghosts."""
        check.require(times.shape == self.times.shape, f"times has {times.numel()} events, not {self.times.numel()}")
        order = by_sample_and_time(self.sample_index(), times)
        return Spikes(times[order], self.units[order], self.offsets, self.num_units, self.duration)

    def __len__(self) -> int:
        return self.num_samples

    def __repr__(self) -> str:
        gradient = ", times with gradient" if self.times.requires_grad else ""
        return (
            f"Spikes({self.num_samples} samples, {self.num_units} units, {self.times.numel()} events, "
            f"duration {self.duration:g}{gradient})"
        )


def _of_all(batches: Sequence[Spikes]) -> list[Spikes] | None:
    """The ghosts of all batches; None if there are none at all."""
    if all(batch.ghosts is None for batch in batches):
        return None
    silent = [Spikes.silent(batch.num_samples, batch.num_units, batch.duration) for batch in batches]
    return [batch.ghosts or none for batch, none in zip(batches, silent, strict=True)]


def _pair(b: int, event: Any) -> tuple[float, int]:
    """(time, unit) of an event of sample b."""
    try:
        time, unit = event
    except (TypeError, ValueError):
        raise ValueError(f"sample {b} holds {event!r:.200}: every event must be a pair (time, unit)") from None
    try:
        check.require(not isinstance(time, (str, bytes)) and not isinstance(unit, (str, bytes)), "text")
        time, number = float(time), int(unit)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise ValueError(f"sample {b} holds {event!r:.200}: must be two numbers; events are (time, unit)") from None
    check.require(
        number == unit and abs(number) <= check.LARGEST_SIZE,
        f"sample {b} holds {event!r:.200}: the unit must be a whole number; events are (time, unit)",
    )
    return time, number


def number_of_steps(duration: float, dt: float) -> int:
    """How many steps of length dt a sample has: the last one begins before its end, by more than a few roundings."""
    return 1 + int(step_of(torch.tensor([duration * (1.0 - 2.0 * FEW_ROUNDINGS)], dtype=torch.float64), dt))


def step_of(times: Tensor, dt: float) -> Tensor:
    """int64: the largest k with k dt <= times, up to a few roundings of the times; exact for times k dt."""
    times = times * (1.0 + FEW_ROUNDINGS)
    step = (times / dt).floor()
    step = torch.where((step + 1.0) * dt <= times, step + 1.0, step)
    return torch.where(step * dt > times, step - 1.0, step).long()


def by_sample_and_time(sample: Tensor, times: Tensor) -> Tensor:
    """The order of events; those of equal times keep theirs."""
    order = torch.argsort(times.detach(), stable=True)
    return order[torch.argsort(sample[order], stable=True)]

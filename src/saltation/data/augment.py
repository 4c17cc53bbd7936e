"""Random changes of spikes, in training or to test a network. Without a generator torch's global one draws.

All raise ValueError for a strength that is out of range.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch

from saltation import check
from saltation.spikes import Spikes


def jitter(spikes: Spikes, std: float, generator: torch.Generator | None = None) -> Spikes:
    """Every spike moved by a normal random time of standard deviation `std` >= 0, reflected at 0 and cut at `duration`.

    Times are sorted again within each sample; the numbers of spikes stay. Gradients are kept, ghosts moved likewise.
    """
    std = check.finite_number(std, "std", low=0.0)
    check.generator(generator)
    return jittered(spikes, std, partial(torch.randn, generator=generator))


def jittered(spikes: Spikes, std: float, normal: Callable[..., torch.Tensor]) -> Spikes:
    """As `jitter`; normal(shape, dtype=) draws."""
    noise = normal(spikes.times.shape, dtype=spikes.times.dtype)
    moved = spikes.with_times((spikes.times + std * noise).abs().clamp(max=spikes.duration))
    return moved if spikes.ghosts is None else moved.haunted(jittered(spikes.ghosts, std, normal))


def drop(spikes: Spikes, fraction: float, generator: torch.Generator | None = None) -> Spikes:
    """Every spike left out with probability `fraction`, in [0, 1), independently of all others; gradients are kept."""
    fraction = check.fraction(fraction, "fraction")
    check.generator(generator)
    return dropped(spikes, fraction, partial(torch.rand, generator=generator))


def dropped(spikes: Spikes, fraction: float, uniform: Callable[..., torch.Tensor]) -> Spikes:
    """As `drop`; uniform(shape) draws."""
    kept = _keep(spikes, uniform(spikes.times.shape) >= fraction, times=spikes.times)
    return kept if spikes.ghosts is None else kept.haunted(dropped(spikes.ghosts, fraction, uniform))


def insert(spikes: Spikes, rate: float, generator: torch.Generator | None = None) -> Spikes:
    """Spikes added to every unit at random times in [0, `duration`]: a Poisson process of `rate` >= 0 spikes per time.

    Gradients and ghosts of the spikes that were there are kept.
    """
    rate = check.finite_number(rate, "rate", low=0.0)
    check.generator(generator)
    mean = torch.full((spikes.num_samples,), rate * spikes.duration * spikes.num_units, dtype=torch.float64)
    added = torch.poisson(mean, generator=generator).long()
    total = int(added.sum())
    times = spikes.duration * torch.rand(total, generator=generator, dtype=torch.float64)
    units = torch.randint(spikes.num_units, (total,), generator=generator)
    owner = torch.arange(spikes.num_samples).repeat_interleave(added)
    merged = _collect(
        spikes,
        torch.cat([spikes.times, times]),
        torch.cat([spikes.units, units]),
        torch.cat([spikes.sample_index(), owner]),
    )
    return merged if spikes.ghosts is None else merged.haunted(spikes.ghosts)


def shift_channels(spikes: Spikes, largest: int, generator: torch.Generator | None = None) -> Spikes:
    """All spikes of a sample moved by the same whole number of channels, uniform in [-largest, largest].

    What is moved beyond the first or last channel is lost, as in a narrower band of frequencies.
    """
    largest = check.whole_number(largest, "largest", low=0)
    check.generator(generator)
    shifts = torch.randint(-largest, largest + 1, (spikes.num_samples,), generator=generator)
    units = spikes.units + shifts[spikes.sample_index()]
    return _keep(spikes, (units >= 0) & (units < spikes.num_units), units=units)


def shift_image(spikes: Spikes, image: Sequence[int], largest: int, generator: torch.Generator | None = None) -> Spikes:
    """All spikes of a sample moved by the same numbers of rows and columns, each uniform in [-largest, largest].

    image  [channels, rows, columns]; unit (c, y, x) has the number (c rows + y) columns + x, as in `Conv2d`
    What is moved beyond an edge is lost. Raises ValueError if the image has another number of pixels than there are
    units, too.
    """
    largest = check.whole_number(largest, "largest", low=0)
    check.require(
        len(image) == 3 and math.prod(image) == spikes.num_units,
        f"image = {list(image)}: must be three sizes, channels, rows and columns, of {spikes.num_units} pixels in all, "
        "as many as there are units",
    )
    _, rows, columns = image
    check.generator(generator)
    down, right = torch.randint(-largest, largest + 1, (2, spikes.num_samples), generator=generator)[
        :, spikes.sample_index()
    ]
    y, x = spikes.units // columns % rows + down, spikes.units % columns + right
    inside = (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
    return _keep(spikes, inside, units=spikes.units + down * columns + right)


def stretch(spikes: Spikes, largest: float, generator: torch.Generator | None = None) -> Spikes:
    """All times of a sample multiplied by the same factor, uniform in [1 - largest, 1 + largest], 0 <= largest < 1.

    What comes after `duration` then is lost.
    """
    largest = check.fraction(largest, "largest")
    check.generator(generator)
    factors = 1.0 + largest * (2.0 * torch.rand(spikes.num_samples, generator=generator, dtype=torch.float64) - 1.0)
    times = spikes.times.detach() * factors[spikes.sample_index()]
    return _keep(spikes, times <= spikes.duration, times=times)


def blend(spikes: Spikes, labels: torch.Tensor, fraction: float, generator: torch.Generator | None = None) -> Spikes:
    """A `fraction` of the samples, in [0, 1], drawn at random, mixed with another one of the same class in the batch.

    The other is moved so that mean time and mean channel agree, and each spike of both is kept with probability 1/2.
    A sample that is alone in its class, or silent, stays as it is.
    """
    fraction = check.fraction(fraction, "fraction", all_ok=True)
    check.labels(labels, spikes.num_samples, check.LARGEST_SIZE)
    check.generator(generator)
    owner, count = spikes.sample_index(), spikes.num_samples
    chosen = torch.rand(count, generator=generator) < fraction
    partner = torch.arange(count)
    for label in labels.unique():
        members = (labels == label).nonzero()[:, 0]
        members = members[torch.randperm(len(members), generator=generator)]
        partner[members] = members.roll(1)
    sizes = spikes.offsets.diff()
    chosen &= (partner != torch.arange(count)) & (sizes > 0) & (sizes[partner] > 0)
    mean_time, mean_unit = (
        torch.zeros(count, dtype=torch.float64).index_add_(0, owner, values.double()) / sizes.clamp(min=1)
        for values in (spikes.times.detach(), spikes.units)
    )
    # spikes that go to the sample `target` from its partner
    target = partner.argsort()  # partner is a permutation: this is its inverse
    to = target[owner]
    times = spikes.times.detach() + (mean_time[to] - mean_time[owner])
    units = spikes.units + (mean_unit[to] - mean_unit[owner]).round().long()
    half = torch.rand((2, len(owner)), generator=generator) < 0.5
    inside = (times >= 0) & (times <= spikes.duration) & (units >= 0) & (units < spikes.num_units)
    guests = chosen[to] & half[0] & inside
    stay = ~chosen[owner] | half[1]
    return _collect(
        spikes,
        torch.cat([spikes.times.detach()[stay], times[guests]]),
        torch.cat([spikes.units[stay], units[guests]]),
        torch.cat([owner[stay], to[guests]]),
    )


def _keep(
    spikes: Spikes, keep: torch.Tensor, times: torch.Tensor | None = None, units: torch.Tensor | None = None
) -> Spikes:
    """Some of the spikes, with other times (in the same order) or units."""
    times = spikes.times.detach() if times is None else times
    units = spikes.units if units is None else units
    kept_before = torch.cat([torch.zeros(1, dtype=torch.int64), keep.cumsum(0)])
    return Spikes.unchecked(times[keep], units[keep], kept_before[spikes.offsets], spikes.num_units, spikes.duration)


def _collect(spikes: Spikes, times: torch.Tensor, units: torch.Tensor, owner: torch.Tensor) -> Spikes:
    """Events of the samples `owner`, in any order, as a batch like `spikes`."""
    order = times.detach().argsort(stable=True)
    order = order[owner[order].argsort(stable=True)]
    sizes = torch.bincount(owner, minlength=spikes.num_samples)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])
    return Spikes.unchecked(times[order], units[order], offsets, spikes.num_units, spikes.duration)

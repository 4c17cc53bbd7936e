"""Loss functions of spikes or of a readout; plain torch, each the mean over the batch, each defined for silent outputs.

A silent output has no spike time. Where a time is needed it is taken as the end of the sample, which is finite, later
than any spike, and carries no gradient: such a loss sees that an output is missing, but only the near misses of a layer
with `smoothing`, `regularizers.peak_hinge` or `regularizers.bump_silent_` can bring it back. `shift_invariant` passes
no gradient to the partner of a silent output either: it would be pushed towards the end of the sample, and training
could collapse.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from . import check, distances
from .creation import Trains, first_spike_change, strengths, train_changes
from .spikes import Spikes

LARGEST_TABLE = 2**28  # of costs, 2 GiB


def _of_spikes(value: object) -> None:
    if not isinstance(value, Spikes):
        raise TypeError(
            f"this loss takes Spikes, not {type(value).__name__}; for leaky integrators use "
            "readout_cross_entropy, for example of readout.integral()"
        )


def first_times(spikes: Spikes) -> Tensor:
    """(B, N): first spike times, with the duration in place of a missing spike."""
    return spikes.first(silent=spikes.duration)


def first_spike_cross_entropy(spikes: Spikes, labels: Tensor, tau: float, early: float = 0.0) -> Tensor:
    """Cross-entropy of softmax(-t/tau) over first spike times t (Mostafa 2017; Wunderlich & Pehle 2021, eq. 20).

    Args:
        spikes: outputs, one unit per class.
        labels: (B,) int64.
        tau: > 0, the time difference that counts as a clear decision.
        early: >= 0, weight of an extra term exp(t_label / duration) - 1 that favours early answers.
    """
    _of_spikes(spikes)
    check.labels(labels, spikes.num_samples, spikes.num_units)
    tau = check.finite_number(tau, "tau", low=0.0, strict=True)
    early = check.finite_number(early, "early", low=0.0)

    def each(t: Tensor, labels: Tensor) -> Tensor:
        loss = functional.cross_entropy(-t / tau, labels, reduction="none")
        if early > 0.0:
            t_label = t.gather(1, labels[:, None])[:, 0]
            loss = loss + early * torch.expm1(t_label / spikes.duration)
        return loss

    return _of_first_spikes(each, spikes, labels)


def shift_invariant(spikes: Spikes, labels: Tensor, margin: float = 0.2) -> Tensor:
    """1/2 sum_n (t_n - t_label - margin [n != label])^2, which only sees differences of times (DelGrad 2025).

    Args:
        spikes: outputs, one unit per class.
        labels: (B,) int64.
        margin: how much later than the label's neuron the others should fire, > 0, in the unit of time.
    """
    _of_spikes(spikes)
    check.labels(labels, spikes.num_samples, spikes.num_units)
    margin = check.finite_number(margin, "margin", low=0.0, strict=True)

    def each(t: Tensor, labels: Tensor) -> Tensor:
        label = labels[:, None]
        target = torch.full_like(t, margin).scatter_(1, label, 0.0)
        silent = t.detach() >= spikes.duration
        error = t - t.gather(1, label) - target
        error = torch.where(silent | silent.gather(1, label), error.detach(), error)
        return 0.5 * error.square().sum(1)

    return _of_first_spikes(each, spikes, labels)


def _of_first_spikes(each: Callable[[Tensor, Tensor], Tensor], spikes: Spikes, labels: Tensor) -> Tensor:
    """The mean of a loss of first spike times (B, N) and labels (B,) to (B,), near misses included."""
    t = first_times(spikes)
    if not len(labels):
        return t.sum()
    now = each(t, labels)
    return (now.sum() + first_spike_change(each, spikes, t, labels, now)) / len(labels)


def spike_time_mse(spikes: Spikes, target: Spikes) -> Tensor:
    """Mean over samples of the squared differences to target spike trains, matched in order.

    The k-th spike of a unit is compared with its k-th target. A missing spike is taken to come at the end of the sample
    and costs (duration - target)^2; a surplus spike costs (duration - t)^2, which pushes it out of the sample.

    Args:
        spikes, target: of the same samples, units and duration.
    """
    _matching(spikes, target)
    return _of_trains(partial(_squares, spikes.duration), spikes, target).sum() / max(spikes.num_samples, 1)


def _squares(duration: float, ours: Trains, theirs: Trains) -> Tensor:
    """(T,): sum of squared differences, see `spike_time_mse`."""
    trains = ours, theirs
    places = torch.maximum(*(start.diff() for _, start in trains))  # of each train, the end of the sample among them
    train = torch.arange(places.numel()).repeat_interleave(places)
    rank = torch.arange(train.numel()) - (places.cumsum(0) - places)[train]
    a, b = (_ranked(*item, train, rank, duration) for item in trains)
    return a.new_zeros(places.numel()).index_add(0, train, (a - b).square())


def soft_counts(spikes: Spikes, tau: float) -> Tensor:
    """(B, N): sum over spikes of 1 - exp(-(duration - t)/tau).

    A number of spikes has no gradient but 0. This one does: a spike counts as 1 well before the end of the sample and
    less and less towards it, so that spikes that leave there do so continuously; earlier spikes count more.

    Args:
        spikes: of any layer.
        tau: > 0, in the unit of time; the smaller, the closer to the number of spikes, and the smaller the gradient.
    """
    _of_spikes(spikes)
    tau = check.finite_number(tau, "tau", low=0.0, strict=True)

    def worth(times: Tensor) -> Tensor:
        return -torch.expm1((times - spikes.duration) / tau)

    counts = spikes.times.new_zeros(spikes.num_samples * spikes.num_units)
    counts = counts.index_add(0, spikes.train_index(), worth(spikes.times))
    ghosts = spikes.ghosts
    if ghosts is not None:
        counts = counts.index_add(0, ghosts.train_index(), strengths(ghosts) * worth(ghosts.times.detach()))
    return counts.reshape(spikes.num_samples, spikes.num_units)


def _matching(spikes: Spikes, target: Spikes) -> None:
    """Raises ValueError if they do not belong together."""
    _of_spikes(spikes)
    _of_spikes(target)
    for name in ("num_samples", "num_units", "duration"):
        ours, theirs = getattr(spikes, name), getattr(target, name)
        check.require(ours == theirs, f"{name} differs: spikes have {ours}, target has {theirs}")


def van_rossum(spikes: Spikes, target: Spikes, tau: float) -> Tensor:
    """(B, N): squared van Rossum distance of every train to its target (van Rossum 2001).

    (1/tau) int_0^inf (f - g)^2 dt with f = sum over spikes of e^{-(t - t_k)/tau}, g likewise of the target; the end of
    the sample does not cut it off. In closed form `1/2 sum_ij s_i s_j e^{-|t_i - t_j|/tau}` with s = 1 for spikes and
    -1 for targets. A surplus or missing spike costs 1/2. A loss is for example its mean.

    Time and memory grow with the number of spikes. Where spikes of both trains coincide, its gradient is 0.

    Args:
        spikes, target: of the same samples, units and duration.
        tau: > 0, the precision that counts, in the unit of time.
    """
    _matching(spikes, target)
    tau = check.finite_number(tau, "tau", low=0.0, strict=True)
    return _of_trains(lambda ours, theirs: distances.van_rossum(*ours, *theirs, tau), spikes, target)


def victor_purpura(spikes: Spikes, target: Spikes, q: float) -> Tensor:
    """(B, N): Victor-Purpura distance of every train to its target (Victor & Purpura 1996).

    The least cost of turning one train into the other: 1 to add or remove a spike, `q |dt|` to move one. Its gradient
    is exact wherever one way is cheapest: +-q for a spike that is moved, 0 for one that is removed. Time grows with the
    product of the numbers of spikes of a train and its target, memory with the largest one, which is at most 2^28.

    Args:
        spikes, target: of the same samples, units and duration.
        q: >= 0, cost per unit of time; spikes further apart than 2/q are not matched.
    """
    _matching(spikes, target)
    q = check.finite_number(q, "q", low=0.0)

    def distance(ours: Trains, theirs: Trains) -> Tensor:
        n, m = (start.diff() for _, start in (ours, theirs))
        largest = int((n * m).max()) if n.numel() else 0
        check.require(
            largest <= LARGEST_TABLE,
            f"a train and its target have {largest} pairs of spikes: must be at most 2^28, 2 GiB; use van_rossum, "
            "whose cost is linear, or shorter samples",
        )
        return distances.victor_purpura(*ours, *theirs, q)

    return _of_trains(distance, spikes, target)


def _of_trains(distance: Callable[[Trains, Trains], Tensor], spikes: Spikes, target: Spikes) -> Tensor:
    """(B, N): a distance of every train to its target, near misses included."""
    ours, theirs = _trains(spikes), _trains(target)
    now = distance(ours, theirs)
    return (now + train_changes(distance, spikes, ours, theirs, now)).reshape(spikes.num_samples, spikes.num_units)


def _trains(spikes: Spikes) -> Trains:
    """Times (E,) train by train, and where each train begins (B N + 1,)."""
    start = torch.cat([torch.zeros(1, dtype=torch.int64), spikes.counts().flatten().cumsum(0)])
    order = torch.argsort(spikes.train_index(), stable=True)  # stable: keeps the order of time within a train
    return spikes.times[order], start


def _ranked(times: Tensor, start: Tensor, train: Tensor, rank: Tensor, duration: float) -> Tensor:
    """The spikes of these ranks in these trains (see `_trains`), the duration where there is none."""
    there = rank < start.diff()[train]
    found = torch.full(train.shape, duration, dtype=times.dtype)
    return found.masked_scatter(there, times[(start[train] + rank)[there]])


def readout_cross_entropy(values: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of readout values (B, N) as logits, labels (B,) int64."""
    if not isinstance(values, Tensor):
        raise TypeError(
            f"values is {type(values).__name__}: pass readout values (B, N), for example readout.integral()"
        )
    check.require(values.dim() == 2, f"values has shape {tuple(values.shape)}: must be (samples, classes)")
    check.floating(values, "values")
    check.labels(labels, *values.shape)
    return functional.cross_entropy(values, labels) if len(labels) else values.sum()


def first_spike_prediction(spikes: Spikes) -> Tensor:
    """(B,) int64: the unit that spikes first, -1 where all are silent."""
    _of_spikes(spikes)
    earliest, unit = spikes.detach().first().min(1)
    return torch.where(earliest.isfinite(), unit, torch.full_like(unit, -1))

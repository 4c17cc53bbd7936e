"""What losses of spikes see of near misses: the smoothed gradient of a last layer.

A ghost has strength 0, so it adds nothing to a loss; the derivative with respect to that strength is, to first order,
what the loss would change if the ghost were a spike and all else stayed: L(with it) - L.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .spikes import Spikes

Trains = tuple[Tensor, Tensor]  # times (E,), train by train, and where each of T trains begins (T + 1,)


def strengths(ghosts: Spikes) -> Tensor:
    """(G,): the strengths of the ghosts, all 0; their gradient flows into `ghosts.times`."""
    return ghosts.times - ghosts.times.detach()


def first_spike_change(
    loss: Callable[[Tensor, Tensor], Tensor], spikes: Spikes, t: Tensor, labels: Tensor, now: Tensor
) -> Tensor:
    """Scalar 0, whose gradient is what `loss` would change if a ghost were the first spike of its unit.

    Args:
        loss: of first spike times (G, N) and labels (G,) to (G,).
        t: (B, N) first spike times, finite.
        labels: (B,) int64.
        now: (B,), the loss as it is.
    """
    ghosts = spikes.ghosts
    if ghosts is None:
        return t.new_zeros(())
    sample, t = ghosts.sample_index(), t.detach()
    earlier = ghosts.times.detach() < t[sample, ghosts.units]
    sample, strength = sample[earlier], strengths(ghosts)[earlier]
    with torch.no_grad():
        moved = t[sample].scatter_(1, ghosts.units[earlier, None], ghosts.times.detach()[earlier, None])
        change = loss(moved, labels[sample]) - now[sample]
    return (strength * change).sum()


def train_changes(
    distance: Callable[[Trains, Trains], Tensor], spikes: Spikes, ours: Trains, theirs: Trains, now: Tensor
) -> Tensor:
    """(T,) zeros, whose gradients are what a distance would change if a ghost were one more spike of its train.

    Args:
        distance: of T trains and as many targets to (T,).
        ours, theirs: the T = B N trains of `spikes`, and their targets.
        now: (T,), the distance as it is.
    """
    changes, ghosts = torch.zeros_like(now), spikes.ghosts
    if ghosts is None:
        return changes
    train = ghosts.train_index()
    with torch.no_grad():
        change = distance(_with_one_more(_chosen(ours, train), ghosts.times), _chosen(theirs, train)) - now[train]
    return changes.index_add(0, train, strengths(ghosts) * change)


def _chosen(trains: Trains, index: Tensor) -> Trains:
    """The trains of these indices, one of them as often as it is named."""
    times, start = trains
    lengths = start.diff()[index]
    begin = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    within = torch.arange(int(begin[-1])) - begin[:-1].repeat_interleave(lengths)
    return times.detach()[start[index].repeat_interleave(lengths) + within], begin


def _with_one_more(trains: Trains, times: Tensor) -> Trains:
    """Train k and the k-th of `times`, in order."""
    old, begin = trains
    one_each = torch.arange(times.numel())
    owner = torch.cat([one_each.repeat_interleave(begin.diff()), one_each])
    together = torch.cat([old, times.detach()])
    order = torch.argsort(together, stable=True)
    order = order[torch.argsort(owner[order], stable=True)]
    return together[order], begin + torch.arange(begin.numel())

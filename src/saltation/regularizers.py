"""Remedies for silent neurons, and penalties on activity."""

from collections.abc import Callable

import torch
from torch import Tensor

from . import check
from .connections import Connection
from .layer import Layer
from .losses import soft_counts
from .spikes import Spikes

Mean = Callable[[Tensor], Tensor]


def batch_mean(values: Tensor) -> Tensor:
    """(B, ...) -> (...), the mean over samples; 0 of none."""
    return values.mean(0) if len(values) else values.sum(0)


def peak_hinge(peak: Tensor | None, counts: Tensor, margin: float = 0.0) -> Tensor:
    """Mean over samples and neurons of max(margin - peak, 0) where a neuron is silent; its gradient is exact.

    A silent neuron has no gradient through its spikes; this one pulls its highest potential over the threshold.

    Args:
        peak: (B, N) from `Layer.run(spikes, peak=True)`: maximum of V - theta.
        counts: (B, N) number of spikes.
        margin: how far above the threshold to aim, in units of V.
    """
    if peak is None:
        raise TypeError("peak is None: ask for it with layer.run(spikes, peak=True)")
    margin = check.finite_number(margin, "margin")
    check.on_cpu(peak, "peak")
    check.on_cpu(counts, "counts")
    check.require(peak.shape == counts.shape, f"peak {tuple(peak.shape)} and counts {tuple(counts.shape)} must agree")
    if not peak.numel():
        return peak.sum()
    return torch.where(counts == 0, (margin - peak).clamp(min=0.0), torch.zeros_like(peak)).mean()


def count_target(spikes: Spikes, target: float | Tensor, tau: float, mean: Mean = batch_mean) -> Tensor:
    """Mean over units of (mean over samples of `losses.soft_counts` - target)^2: pulls the activity of every unit, on
    average over a batch, towards a number of spikes, whatever the size of the batch.

    Only spikes carry a gradient: for units that are silent in the whole batch see `peak_hinge`.

    Args:
        spikes: of a layer.
        target: >= 0, a number or (N,).
        tau: > 0, see `losses.soft_counts`.
        mean: (B, N) -> (N,), over samples; for a batch that several processes share, over those of all.
    """
    counts = soft_counts(spikes, tau)
    target = torch.as_tensor(target, dtype=counts.dtype)
    check.require(
        target.shape in ((), (spikes.num_units,)), f"target has shape {tuple(target.shape)}: one number, or (N,)"
    )
    check.legal_values("target", target, (target >= 0) & target.isfinite(), "must be >= 0 and finite")
    if mean is batch_mean and not spikes.num_samples:
        return counts.sum()
    return (mean(counts) - target).square().mean()


def mean_delay(connection: Connection) -> Tensor:
    """The mean delay as a fraction of max_delay: a penalty that keeps delays short unless they pay."""
    check.require(connection.delay is not None, "this connection has no delays to penalise")
    return connection.delays().mean() / connection.max_delay


def bump_silent_(layer: Layer, spikes: Spikes, max_silent: float, amount: float, mean: Mean = batch_mean) -> int:
    """Add `amount` to all incoming weights of each neuron that is silent in more than `max_silent` of the samples.

    Args:
        layer: changed in place.
        spikes: the layer's own output spikes. An empty batch changes nothing.
        max_silent: tolerated fraction of silent samples, in [0, 1].
        amount: what to add to the weights, > 0.
        mean: see `count_target`.

    Returns:
        How many neurons were bumped.
    """
    check.width(layer.out_size, spikes.num_units, "the spikes given to bump_silent_")
    check.finite_number(amount, "amount", low=0.0, strict=True)
    check.require(0.0 <= max_silent <= 1.0, f"max_silent = {max_silent}: must be within [0, 1]")
    silent = mean((spikes.counts() == 0).double()) > max_silent
    with torch.no_grad():
        layer.connection.bump_(silent, amount)
    return int(silent.sum())

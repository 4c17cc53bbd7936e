"""Remedies for silent neurons, and penalties on activity."""

import torch
from torch import Tensor

from . import check
from .layer import Layer
from .spikes import Spikes


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
    check.require(peak.shape == counts.shape, f"peak {tuple(peak.shape)} and counts {tuple(counts.shape)} must agree")
    if not peak.numel():
        return peak.sum()
    return torch.where(counts == 0, (margin - peak).clamp(min=0.0), torch.zeros_like(peak)).mean()


def bump_silent_(layer: Layer, spikes: Spikes, max_silent: float, amount: float) -> int:
    """Add `amount` to all incoming weights of each neuron that is silent in more than `max_silent` of the samples.

    Args:
        layer: changed in place.
        spikes: the layer's own output spikes. An empty batch changes nothing.
        max_silent: tolerated fraction of silent samples, in [0, 1].
        amount: what to add to the weights, > 0.

    Returns:
        How many neurons were bumped.
    """
    check.width(layer.neuron.size, spikes.num_units, "the spikes given to bump_silent_")
    check.finite_number(amount, "amount", low=0.0, strict=True)
    check.require(0.0 <= max_silent <= 1.0, f"max_silent = {max_silent}: must be within [0, 1]")
    if not spikes.num_samples:
        return 0
    silent = (spikes.counts() == 0).double().mean(0) > max_silent
    with torch.no_grad():
        layer.connection.bump_(silent, amount)
    return int(silent.sum())

"""What may be wrong with the input of a network or with the device that it runs on, each kind with a strength."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from saltation.chips import Chip, Mismatch, OnChip
from saltation.data import augment
from saltation.data.events import EventDataset
from saltation.data.samples import Samples
from saltation.sequential import Sequential
from saltation.spikes import Spikes


class Kind(NamedTuple):
    """words: what it is, with the unit of the strength; strengths: what is tried, weakest first."""

    words: str
    strengths: tuple[float, ...]


KINDS = {
    "jitter": Kind("jitter of input spikes (ms)", (1.0, 2.0, 5.0, 10.0, 20.0)),
    "loss": Kind("input spikes lost", (0.05, 0.1, 0.2, 0.3, 0.5)),
    "insertion": Kind("input spikes inserted", (0.05, 0.1, 0.2, 0.5, 1.0)),
    "hidden_loss": Kind("hidden spikes lost", (0.05, 0.1, 0.2, 0.3, 0.5)),
    "threshold": Kind("threshold mismatch", (0.02, 0.05, 0.1, 0.2, 0.4)),
    "tau": Kind("time-constant mismatch", (0.02, 0.05, 0.1, 0.2, 0.4)),
    "weight": Kind("weight noise (largest weight)", (0.01, 0.02, 0.05, 0.1, 0.2)),
    "weight_bits": Kind("bits a weight", (8, 6, 5, 4, 3, 2)),
    "delay_bits": Kind("bits a delay", (8, 6, 5, 4, 3, 2)),
}
FIXED = ("weight_bits", "delay_bits")
"""Kinds in which nothing is drawn at random."""


def disturbed_data(
    kind: str, strength: float, data: Samples, millisecond: float, generator: torch.Generator
) -> Samples:
    """The samples, with their events changed if this kind changes them."""
    rate = data.num_events / (len(data) * data.num_channels * data.duration)
    changes: dict[str, Callable[[Spikes], Spikes]] = {
        "jitter": partial(augment.jitter, std=strength * millisecond, generator=generator),
        "loss": partial(augment.drop, fraction=strength, generator=generator),
        "insertion": partial(augment.insert, rate=strength * rate, generator=generator),
    }
    return changed(data, changes[kind]) if kind in changes else data


def changed(data: Samples, change: Callable[[Spikes], Spikes]) -> EventDataset:
    """The same samples, all events of which have gone through `change`."""
    spikes, labels = data.batch(np.arange(len(data)))
    spikes = change(spikes)
    return EventDataset(
        times=spikes.times.detach().numpy(),
        channels=spikes.units.numpy(),
        offsets=spikes.offsets.numpy(),
        labels=labels.numpy(),
        split=data.split,
        num_channels=data.num_channels,
        num_classes=data.num_classes,
        duration=data.duration,
        source=data.source,
    )


def disturbed_network(kind: str, strength: float, network: Sequential, generator: torch.Generator) -> Sequential:
    """A copy of the network with the parameters of a device, if this kind changes them; else the network itself."""
    chip, mismatch = None, None
    if kind == "weight_bits":
        chip = Chip(weight_bits=int(strength))
    elif kind == "delay_bits":
        longest = max(part.max_delay for part in network[0].connection.parts())
        chip = Chip(delay_step=longest / (2 ** int(strength) - 1))
    elif kind in ("threshold", "tau", "weight"):
        mismatch = Mismatch(**{kind: strength})
    else:
        return network
    found: Sequential = OnChip(network, chip, mismatch, generator=generator).as_network()
    return found


class Losing(Sequential):
    """A network that loses a fraction of the spikes of its hidden layers; it shares the layers of another."""

    def __init__(self, network: Sequential, fraction: float, generator: torch.Generator):
        super().__init__(*network.layers, beside=network.beside)
        self.lose = partial(augment.drop, fraction=fraction, generator=generator)

    def run(self, spikes: Spikes, peak: bool = False, between: Callable[[Spikes], Spikes] | None = None) -> list:
        """As of the network."""
        return super().run(spikes, peak, self.lose)

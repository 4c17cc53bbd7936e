"""`driven`: a weight that every neuron gets at a time of its own, as one more synapse."""

import numpy as np
import torch
from torch import Tensor

from .kernels.layout import Wiring
from .spikes import Spikes


def driven(
    spikes: Spikes, weight: Tensor, delay: Tensor, wiring: Wiring | None, drive: tuple[Tensor, Tensor]
) -> tuple[Spikes, Tensor, Tensor, Wiring | None]:
    """The same with one more input, which spikes at time 0, and one more synapse for each neuron.

    Args:
        weight, delay: (N, M) and what broadcasts to it; with a wiring (S,) and (S,) or (1,).
        drive: when the weight arrives, and which, both (N,).
    """
    time, strength = drive
    M = spikes.num_units
    starts, B = spikes.offsets[:-1], spikes.offsets.numel() - 1
    first = starts + torch.arange(B)  # where the new events come
    old = torch.arange(spikes.times.numel()) + 1 + spikes.sample_index()
    times = torch.zeros(spikes.times.numel() + B, dtype=torch.float64).index_put((old,), spikes.times.double())
    units = torch.empty(times.numel(), dtype=torch.int64).index_fill(0, first, M).index_put((old,), spikes.units)
    offsets = spikes.offsets + torch.arange(B + 1)
    spikes = Spikes.unchecked(times, units, offsets, M + 1, spikes.duration).haunted(spikes.ghosts)
    if wiring is None:
        delay = torch.cat([delay.expand(weight.shape), time[:, None]], 1)
        return spikes, torch.cat([weight, strength[:, None]], 1), delay, None
    S, N = weight.numel(), time.numel()
    order = torch.from_numpy(np.insert(np.arange(S), wiring.start[1:], np.arange(S, S + N)))
    source = np.insert(wiring.source, wiring.start[1:], M)
    wiring = Wiring(wiring.start + np.arange(N + 1), source, M + 1)
    return spikes, torch.cat([weight, strength])[order], torch.cat([delay.expand(S), time])[order], wiring

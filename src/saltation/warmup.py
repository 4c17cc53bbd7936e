"""Compile every kernel, by running each once on a tiny problem."""

import time

import torch

from . import losses
from .connections import DELAYS, Linear
from .convolution import Conv2d
from .kernels.bins import FEWEST
from .layer import Layer
from .neurons import BY_NEURON, LI, LIF
from .spikes import Spikes
from .wired import Sparse


def warmup() -> float:
    """Compile all kernels into the cache (`saltation info` shows where it is); returns the seconds it took."""
    start = time.perf_counter()
    for events in (4, 2 * FEWEST):  # few arrivals, and enough for bins
        times = torch.linspace(0.0, 3.0, events, dtype=torch.float64, requires_grad=True)
        spikes = Spikes(times, torch.arange(events) % 2, torch.tensor([0, events]), 2, 4.0)
        for delay in DELAYS:
            for taus in ((), ("tau_mem", "tau_syn")):
                connection = Linear(2, 3, delay=delay, max_delay=None if delay is None else 1.0)
                neuron = LIF(3, tau_mem=2.0, tau_syn=1.0, jump=0.1, tau_adapt=3.0, train=taus)
                torch.nn.init.constant_(connection.weight, 4.0)
                sparse = Sparse.from_mask(torch.ones(3, 2))
                torch.nn.init.constant_(sparse.weight, 4.0)
                for layer in (
                    Layer(connection, neuron),
                    Layer(connection, neuron, recurrent=Linear(3, 3)),
                    Layer(sparse, neuron),
                    Layer(Conv2d((1, 1, 2), 3, (1, 2)), neuron),
                    *(Layer(connection, kind(3, 2.0)) for kind in BY_NEURON),
                ):
                    result = layer.run(spikes, peak=bool(taus) and layer.neuron is neuron)
                    readout = Layer(Linear(3, 2), LI(2, tau_mem=2.0, tau_syn=1.0))(result.spikes)
                    values = readout.integral() + readout.maximum() + readout.at([1.0])[:, :, 0]
                    losses.readout_cross_entropy(values, torch.tensor([1])).backward()
    for distance in (losses.van_rossum, losses.victor_purpura):
        distance(spikes, spikes, 1.0)
    return time.perf_counter() - start

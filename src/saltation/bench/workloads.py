"""What is measured: sizes, rates and time constants, the same for every package. Times in seconds."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saltation import LI, LIF, Layer, Linear, Spikes, init, losses

TAU_MEM, TAU_SYN = 20e-3, 5e-3


@dataclass(frozen=True)
class Workload:
    """A network of one hidden layer of LIF neurons, and its input.

    rate  Poisson rate of an input in Hz; 0: one spike each, at a random time in the first three quarters
    target  spikes of a hidden neuron in a sample, to which the weights of every package are scaled
    readout  "mean" or "maximum" of leaky integrators, or "first": the first spikes of LIF outputs (in packages with a
        time grid: the maximum, as they have no exact spike times)
    steps  numbers of time steps at which the other packages are run
    delay  whether the hidden layer has trained synaptic delays of up to 100 ms
    """

    name: str
    inputs: int
    hidden: int
    outputs: int
    batch: int
    duration: float
    rate: float
    target: float
    readout: str
    steps: tuple[int, ...]
    delay: bool = False
    seed: int = 0

    def spikes(self) -> Spikes:
        """The input batch."""
        rng = np.random.default_rng(self.seed)
        times, units, offsets = [], [], [0]
        for _ in range(self.batch):
            if self.rate > 0:
                count = rng.poisson(self.rate * self.duration * self.inputs)
                t, unit = rng.uniform(0, self.duration, count), rng.integers(0, self.inputs, count)
            else:
                t, unit = rng.uniform(0, 0.75 * self.duration, self.inputs), np.arange(self.inputs)
            order = np.argsort(t)
            times.append(t[order])
            units.append(unit[order])
            offsets.append(offsets[-1] + len(t))
        flat = torch.from_numpy(np.concatenate(times)), torch.from_numpy(np.concatenate(units))
        return Spikes(*flat, torch.tensor(offsets), self.inputs, self.duration)

    def labels(self) -> Tensor:
        """(batch,) int64"""
        return torch.from_numpy(np.random.default_rng(self.seed + 1).integers(0, self.outputs, self.batch))

    def weights(self) -> tuple[Tensor, Tensor]:
        """Unscaled weights of both layers, float32: hidden (hidden, inputs), readout (outputs, hidden)."""
        generator = torch.Generator().manual_seed(self.seed + 2)
        hidden = 1.0 + torch.randn(self.hidden, self.inputs, generator=generator)
        return hidden, 0.3 + torch.randn(self.outputs, self.hidden, generator=generator)


WORKLOADS = {
    "W1": Workload("W1", 5, 120, 3, 150, 40e-3, 0.0, 0.8, "first", (100,)),
    "W2": Workload("W2", 700, 256, 20, 32, 1.0, 10.0, 17.0, "mean", (1000, 100)),
    "W3": Workload("W3", 784, 350, 10, 128, 40e-3, 0.0, 0.8, "maximum", (100,)),
    "W4": Workload("W4", 700, 256, 20, 32, 1.0, 10.0, 17.0, "mean", (1000,), delay=True),
}
QUICK = {"W1": Workload("W1", 5, 12, 3, 10, 40e-3, 0.0, 0.8, "first", (100,))}


class Ours:
    """The workload in saltation; `step` does the forward and backward pass of one batch.

    scale  of the weights; None: found by `calibrate`
    """

    name = "saltation"

    def __init__(self, workload: Workload, scale: float | None = None):
        self.workload, self.spikes, self.labels = workload, workload.spikes(), workload.labels()
        delay: dict[str, Any] = {"delay": "synaptic", "max_delay": 0.1} if workload.delay else {}
        neurons: dict[str, Any] = {"tau_mem": TAU_MEM, "tau_syn": TAU_SYN}
        self.hidden = Layer(
            Linear(workload.inputs, workload.hidden, **delay), LIF(workload.hidden, **neurons, train=())
        )
        first = workload.readout == "first"
        output = LIF(workload.outputs, **neurons, train=()) if first else LI(workload.outputs, **neurons)
        self.readout = Layer(Linear(workload.hidden, workload.outputs), output)
        if workload.delay:
            init.uniform_delays_(self.hidden, 0.0, 0.1, torch.Generator().manual_seed(workload.seed))
        weights = workload.weights()
        self.scale = scale or calibrate(lambda s: self._set(weights, s), self.spikes_per_neuron, workload.target)
        self._set(weights, self.scale)

    def _set(self, weights: tuple[Tensor, Tensor], scale: float) -> None:
        with torch.no_grad():
            for layer, weight in zip((self.hidden, self.readout), weights, strict=True):
                layer.connection.weight.copy_(scale * weight)

    def spikes_per_neuron(self) -> float:
        """Spikes of a hidden neuron in a sample, on average."""
        with torch.no_grad():
            return self.hidden(self.spikes).times.numel() / (self.workload.batch * self.workload.hidden)

    def step(self) -> None:
        """One batch."""
        outputs = self.readout(self.hidden(self.spikes))
        if self.workload.readout == "first":
            loss = losses.first_spike_cross_entropy(outputs, self.labels, tau=TAU_SYN)
        else:
            values = outputs.integral() if self.workload.readout == "mean" else outputs.maximum()
            loss = losses.readout_cross_entropy(values, self.labels)
        for layer in (self.hidden, self.readout):
            layer.zero_grad()
        loss.backward()

    def silence(self) -> int:
        """Make the weights so small that nothing spikes; returns the hidden layer's number of synaptic events."""
        self._set(self.workload.weights(), 1e-3 * self.scale)
        if self.spikes_per_neuron() > 0.0:
            raise RuntimeError("there are spikes where there should be none")
        return self.spikes.times.numel() * self.workload.hidden

    def forward(self) -> None:
        """The hidden layer's forward pass alone."""
        with torch.no_grad():
            self.hidden(self.spikes)


def calibrate(set_scale: Any, spikes_per_neuron: Any, target: float, steps: int = 18) -> float:
    """The scale of the weights at which hidden neurons spike `target` times, by bisection (0.2 % of the scale)."""
    low, high = 1e-5, 1e3
    for _ in range(steps):
        middle = (low * high) ** 0.5
        set_scale(middle)
        low, high = (low, middle) if spikes_per_neuron() > target else (middle, high)
    return float((low * high) ** 0.5)

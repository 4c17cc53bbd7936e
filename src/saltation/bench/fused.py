"""The same workloads on a time grid with surrogate gradients, made fast (`saltation.experiments.grid`): how fast the
way of the other packages can be, and so how much of the lead over them is owed to exact events.
"""

import torch

from saltation import Sequential
from saltation.bench.workloads import TAU_SYN, Ours, Workload, calibrate
from saltation.experiments.grid.network import Twin
from saltation.experiments.grid.pack import Settings
from saltation.experiments.grid.readouts import Functional
from saltation.experiments.grid.train import cross_entropy_of, loss_of
from saltation.train.loss import FirstSpikeCrossEntropy

FUNCTIONALS = {"mean": Functional("integral"), "maximum": Functional("maximum"), "first": None}


class FusedGrid:
    """The network of `Ours` in so many steps; `step` does the forward and backward pass of one batch."""

    def __init__(self, workload: Workload, steps: int, scale: float | None = None):
        self.workload, self.weights, dt = workload, workload.weights(), workload.duration / steps
        self.name = f"fused surrogate grid {1e3 * dt:g} ms"
        self.network = Ours(workload, 1.0)
        layers = Sequential(self.network.hidden, self.network.readout)
        self.twin = Twin(layers, workload.duration, Settings(dt), FUNCTIONALS[workload.readout])
        self.scale = scale or calibrate(self._set, self.spikes_per_neuron, workload.target, 14)
        self._set(self.scale)

    def _set(self, scale: float) -> None:
        with torch.no_grad():
            for layer, weight in zip((self.network.hidden, self.network.readout), self.weights, strict=True):
                layer.connection.weight.copy_(scale * weight)

    def spikes_per_neuron(self) -> float:
        """Spikes of a hidden neuron in a sample, on average."""
        with torch.no_grad():
            hidden, *_ = self.twin.run(self.network.spikes).spikes
        return hidden.times.numel() / (self.workload.batch * self.workload.hidden)

    def step(self) -> None:
        """One batch."""
        labels = self.network.labels
        self.twin.network.zero_grad()
        if self.workload.readout == "first":
            outcome = self.twin.run(self.network.spikes)
            loss, _ = loss_of(FirstSpikeCrossEntropy(tau=TAU_SYN), outcome, labels)
            loss.backward()
            return
        targets = labels.numpy()
        self.twin.descend(
            self.network.spikes,
            lambda values, first: cross_entropy_of(1.0, values, targets[first : first + len(values)]),
        )

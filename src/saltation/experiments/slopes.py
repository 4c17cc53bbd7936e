"""Gradients of one network by several arms, and how the loss in continuous time then changes along each of them.

All is in scaled coordinates: a parameter divided by its learning rate. In these one step of Adam moves every parameter
by at most about 1, so a step of length sqrt(P), P parameters, is as long as one of Adam's.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from saltation.experiments.arms import Arm
from saltation.experiments.grid.network import Twin
from saltation.experiments.grid.pack import Settings
from saltation.experiments.grid.train import loss_of, make_twin
from saltation.parameters import layers
from saltation.spikes import Spikes
from saltation.train.config import Config
from saltation.train.objective import Objective
from saltation.train.state import State

Batch = tuple[Spikes, Tensor]


class Probe:
    """A network that is looked at, with the samples on which its loss is measured.

    hidden: look at the parameters of all layers but the last one alone.
    """

    def __init__(self, config: Config, state: State, duration: float, batches: Sequence[Batch], hidden: bool = False):
        self.config, self.state, self.duration, self.batches = config, state, duration, batches
        self.model, self.objective = state.model, Objective(config)
        last = {id(parameter) for parameter in layers(self.model)[-1].parameters()} if hidden else set()
        pairs = [
            (parameter, group["base_lr"])
            for group in state.optimizer.param_groups
            for parameter in group["params"]
            if id(parameter) not in last
        ]
        self.parameters = [parameter for parameter, _ in pairs]
        self.rates = torch.cat([torch.full((parameter.numel(),), rate) for parameter, rate in pairs]).double()
        self.samples = sum(len(labels) for _, labels in batches)

    @property
    def size(self) -> int:
        """How many parameters are trained."""
        return len(self.rates)

    def gradients(self, arm: Arm) -> Tensor:
        """(batches, P): of the mean loss of each batch."""
        twin = self._twin(arm) if arm.on_grid else None
        smoothed = layers(self.model)[:-1]
        for layer in smoothed:
            layer.smoothing = arm.smoothing if arm.gradient == "smoothed" else 0.0
        found = []
        for spikes, labels in self.batches:
            self.model.zero_grad()
            self._loss(spikes, labels, twin).backward()
            flat = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
            found.append(self.rates * torch.cat([gradient.flatten() for gradient in flat]).double())
        for layer in smoothed:
            layer.smoothing = 0.0
        return torch.stack(found)

    @torch.no_grad()
    def loss(self, arm: Arm | None = None) -> float:
        """Mean over all samples; in continuous time, or on the grid of an arm."""
        twin = None if arm is None else self._twin(arm)
        total = sum(self._loss(spikes, labels, twin).item() * len(labels) for spikes, labels in self.batches)
        return total / self.samples

    @torch.no_grad()
    def losses_along(self, direction: Tensor, lengths: Sequence[float], arm: Arm | None = None) -> list[float]:
        """The loss after a step of each length, of either sign, along a direction (P,); the parameters are put back."""
        start = [parameter.detach().clone() for parameter in self.parameters]
        found = []
        for length in lengths:
            step = (length * self.rates * direction).split([parameter.numel() for parameter in self.parameters])
            for parameter, before, move in zip(self.parameters, start, step, strict=True):
                parameter.copy_(before + move.view_as(before))
            self.model.constrain_()
            found.append(self.loss(arm))
        for parameter, before in zip(self.parameters, start, strict=True):
            parameter.copy_(before)
        return found

    def _twin(self, arm: Arm) -> Twin:
        return make_twin(self.config, self.state.model, self.duration, Settings(arm.dt, arm.slope))

    def _loss(self, spikes: Spikes, labels: Tensor, twin: Twin | None) -> Tensor:
        if twin is None:
            return self.objective(self.model.run(spikes), labels)[0]
        return loss_of(self.config.loss, twin.run(spikes), labels)[0]


def signal_to_noise(gradients: Tensor) -> float:
    """|mean|^2 over the variance of a batch's gradient, summed over the parameters, from K batches (K, P); the noise of
    the mean itself is taken off, so that 0 is expected where there is no signal.
    """
    batches = len(gradients)
    variance = float(gradients.var(0, correction=1).sum())
    signal = float(gradients.mean(0).square().sum()) - variance / batches
    return signal / variance if variance > 0.0 else float("nan")


def unit(gradients: Tensor) -> Tensor:
    """(P,): the direction of the mean of (K, P); zero stays zero."""
    mean = gradients.mean(0)
    norm = float(torch.linalg.vector_norm(mean))
    return mean / norm if norm > 0.0 else mean


def cosines(directions: Sequence[Tensor]) -> list[list[float]]:
    """Of all pairs of unit vectors."""
    stacked = torch.stack(list(directions))
    return np.round((stacked @ stacked.T).numpy(), 4).tolist()

"""Loss and prediction of a batch, as a configuration asks for."""

from typing import Any

import torch

from saltation import regularizers
from saltation.parameters import layers
from saltation.readout import Readout
from saltation.sequential import Sequential
from saltation.train.config import Config
from saltation.train.processes import ALONE, Processes


class Objective:
    """What is minimised, and how the class of a sample is read from the outputs.

    processes  share every batch: what is not a sum over samples is taken over all of them
    """

    def __init__(self, config: Config, processes: Processes = ALONE) -> None:
        self.loss = config.loss
        self.processes = processes
        self.train = config.train
        self.needs_peak = config.train.peak_hinge > 0

    def __call__(self, results: list[Any], labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Batch mean of the loss (scalar) and predictions (B,) int64, -1 where no output spiked.

        results  one entry a layer, as `Sequential.run` returns them
        """
        return self.loss(output_of(results), labels)

    def logits(self, results: list[Any]) -> torch.Tensor:
        """(B, C), see `LossConfig.logits`."""
        return self.loss.logits(output_of(results))

    def penalty(self, results: list[Any], weight: float = 1.0) -> torch.Tensor | float:
        """The weighted hinge on the peak potential of silent neurons, and the distance from wanted counts; or 0.

        weight: of means over the own samples, see `Processes.weight`
        """
        total: torch.Tensor | float = 0.0
        wanted = self.train.counts
        for result in spiking_results(results):
            if self.needs_peak:
                hinge = regularizers.peak_hinge(result.peak, result.spikes.counts(), margin=self.train.peak_margin)
                total = total + self.train.peak_hinge * hinge * weight
            if wanted.weight > 0:
                mean = self.processes.batch_mean
                off = regularizers.count_target(result.spikes, wanted.target, wanted.tau, mean)
                total = total + wanted.weight * off
        return total

    def revive(self, model: Sequential, results: list[Any]) -> int:
        """Bump the incoming weights of silent neurons in place; how many neurons were bumped."""
        bump = self.train.bump
        if bump.amount == 0:
            return 0
        bumped = 0
        for i, (layer, result) in enumerate(zip(layers(model), results, strict=True)):
            if not isinstance(result, Readout):
                fraction = bump.output_fraction if i == len(results) - 1 else bump.hidden_fraction
                mean = self.processes.batch_mean
                bumped += regularizers.bump_silent_(layer, result.spikes, fraction, bump.amount, mean)
        return bumped


def output_of(results: list[Any]) -> Any:
    """What the last layer gives: a readout, or spikes."""
    return results[-1] if isinstance(results[-1], Readout) else results[-1].spikes


def spiking_results(results: list[Any]) -> list[Any]:
    """The results of the layers that spike."""
    return [result for result in results if not isinstance(result, Readout)]

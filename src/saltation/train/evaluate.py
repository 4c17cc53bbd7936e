"""Running statistics of an epoch, and evaluation without training."""

import math
from typing import Any

import torch

from saltation.data.samples import Samples
from saltation.metrics import Workload
from saltation.readout import Readout
from saltation.train.objective import Objective, spiking_results
from saltation.train.processes import Processes


class EpochStatistics:
    """Means over the samples of an epoch, and how the spiking layers behave."""

    def __init__(self) -> None:
        self.samples = 0
        self.loss_sum = 0.0
        self.correct = 0
        self.grazing = 0
        self.ghosts = 0
        self.smoothed = False
        self.silent_outputs = 0
        self.counts: list[torch.Tensor] = []  # per spiking layer, spikes of each neuron over all samples
        self.readout = False

    def update(self, loss: float, predictions: torch.Tensor, labels: torch.Tensor, results: list[Any]) -> None:
        """Add a batch: its mean loss, predictions (B,), labels (B,) and what `Sequential.run` returned."""
        batch = len(labels)
        self.samples += batch
        self.loss_sum += loss * batch
        self.correct += int((predictions == labels).sum())
        self.readout = isinstance(results[-1], Readout)
        counts = [result.spikes.counts() for result in spiking_results(results)]
        self.grazing += sum(int(result.grazing) for result in spiking_results(results))
        ghosts = [result.spikes.ghosts for result in spiking_results(results) if result.spikes.ghosts is not None]
        self.smoothed |= bool(ghosts)
        self.ghosts += sum(batch.times.numel() for batch in ghosts)
        totals = [count.sum(dim=0) for count in counts]
        self.counts = [a + b for a, b in zip(self.counts, totals, strict=True)] if self.counts else totals
        if not self.readout:
            self.silent_outputs += int((counts[-1] == 0).sum())

    def gather(self, processes: Processes) -> None:
        """Take in what other processes have counted on their shares of the same batches."""
        names = ("samples", "loss_sum", "correct", "grazing", "ghosts", "silent_outputs")
        own = [torch.tensor([float(getattr(self, name)) for name in names], dtype=torch.float64), *self.counts]
        sums = processes.total(torch.cat([part.double() for part in own])).split([len(part) for part in own])
        for name, value in zip(names, sums[0].tolist(), strict=True):
            setattr(self, name, value if name == "loss_sum" else round(value))
        self.counts = [part.long() for part in sums[1:]]

    def summary(self) -> dict[str, Any]:
        """loss, accuracy; spikes per neuron and sample in all and by layer; the fraction of neurons that never
        spiked, in all and by layer; the fraction of (sample, output neuron) pairs without a spike (None for a readout);
        grazing spikes; ghosts for every spike (None without smoothing)."""
        neurons = sum(len(count) for count in self.counts)
        spikes = sum(float(count.sum()) for count in self.counts)
        outputs = len(self.counts[-1]) if self.counts and not self.readout else 0
        return {
            "loss": self.loss_sum / self.samples,
            "accuracy": self.correct / self.samples,
            "spikes_per_neuron": spikes / max(neurons * self.samples, 1),
            "spikes_by_layer": [float(count.sum()) / (len(count) * self.samples) for count in self.counts],
            "silent_neurons": sum(int((count == 0).sum()) for count in self.counts) / max(neurons, 1),
            "silent_by_layer": [float((count == 0).double().mean()) for count in self.counts],
            "silent_outputs": self.silent_outputs / (outputs * self.samples) if outputs else None,
            "grazing": self.grazing,
            "ghosts_per_spike": self.ghosts / max(spikes, 1.0) if self.smoothed else None,
        }


@torch.no_grad()
def evaluate(
    model: Any, objective: Objective, data: Samples, batch_size: int, workload: Workload | None = None
) -> dict[str, Any]:
    """Loss, accuracy and spike statistics of `model`, a `Sequential` or `OnChip`, on all of `data`; see
    EpochStatistics.summary.

    Also `samples`, how many they are; `standard_error` of the accuracy; and `confusion`, num_classes lists of
    num_classes + 1 numbers: how often the class of the row was taken for that of the column; the last column is no
    answer. A workload of the same model counts along. If the objective has several processes, each runs its share.
    Raises ValueError if `data` is empty.
    """
    if len(data) == 0:
        raise ValueError(f"{data.source} has no samples in this split; give it some (split: 0 train, 1 val, 2 test)")
    statistics = EpochStatistics()
    confusion = torch.zeros(data.num_classes, data.num_classes + 1, dtype=torch.int64)
    processes = objective.processes
    for indices in data.orders(batch_size):
        spikes, labels = data.batch(indices[processes.share(len(indices))])
        results = model.run(spikes)
        loss, predictions = objective(results, labels)
        statistics.update(float(loss), predictions, labels, results)
        confusion += count_answers(labels, predictions, data.num_classes)
        if workload is not None:
            workload.add(spikes, results)
    statistics.gather(processes)
    confusion = processes.total(confusion)
    found = statistics.summary()
    error = standard_error(found["accuracy"], len(data))
    return {**found, "samples": len(data), "standard_error": error, "confusion": confusion.tolist()}


def standard_error(accuracy: float, samples: int) -> float:
    """sqrt(p (1 - p) / n): how far an accuracy p on n samples drawn at random is off, by which samples they are."""
    return math.sqrt(accuracy * (1.0 - accuracy) / samples)


def count_answers(labels: torch.Tensor, predictions: torch.Tensor, num_classes: int) -> torch.Tensor:
    """(C, C + 1) int64: how often a class (row) was taken for another (column); the last column is no answer, -1."""
    counts = torch.zeros(num_classes, num_classes + 1, dtype=torch.int64)
    columns = torch.where(predictions < 0, num_classes, predictions)
    return counts.index_put_((labels, columns), torch.ones_like(labels), accumulate=True)

"""What the network of a run does with some of its samples: enough for a page, in seconds."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from saltation.data.samples import Samples
from saltation.parameters import layers
from saltation.readout import Readout
from saltation.report.facts import Network
from saltation.train.evaluate import count_answers
from saltation.train.objective import Objective

MOST_SAMPLES = 256
MOST_ARRIVALS = 3e8  # at a synapse of the first layer, in all samples looked at
BATCH = 32
SHOWN, WRONG = 8, 3  # samples to look at one by one; so many of them with wrong answers, if there are some
SHOWN_EVENTS = 400_000  # input events of all of these


@dataclass
class LayerActivity:
    """What the neurons of a layer did in all samples looked at. counts (N,): spikes of each."""

    name: str
    kind: str
    size: int
    counts: np.ndarray | None = None  # None: leaky integrators
    grazing: int = 0

    @property
    def silent(self) -> int:
        """How many neurons never spiked."""
        return 0 if self.counts is None else int((self.counts == 0).sum())


@dataclass
class Measured:
    """positions: of the samples looked at, among those of the network; predictions: of each, -1 for no answer."""

    layers: list[LayerActivity]
    positions: np.ndarray
    predictions: list[int] = field(default_factory=list)

    def confusion(self, samples: Samples) -> list[list[int]]:
        """As `evaluate` counts it, over the samples looked at."""
        labels = torch.from_numpy(samples.labels[self.positions])
        table: list[list[int]] = count_answers(labels, torch.tensor(self.predictions), samples.num_classes).tolist()
        return table


@torch.no_grad()
def measure(network: Network) -> Measured:
    """Run samples that are spread evenly over all there are: 256, or fewer where they have many events."""
    samples, objective = network.samples, Objective(network.config)
    found = [
        LayerActivity(f"layer {k}", type(layer.neuron).__name__, layer.out_size)
        for k, layer in enumerate(layers(network.model))
    ]
    positions = np.unique(np.linspace(0, len(samples) - 1, min(MOST_SAMPLES, len(samples))).astype(int))
    order = np.random.default_rng(0).permutation(positions)  # where it ends early, the rest is spread as evenly
    measured, arrivals = Measured(found, order), 0.0
    for start in range(0, len(order), BATCH):
        spikes, labels = samples.batch(order[start : start + BATCH])
        results = network.model.run(spikes)
        measured.predictions += objective(results, labels)[1].tolist()
        for activity, result in zip(found, results, strict=True):
            _add(activity, result)
        arrivals += len(spikes.times) * network.model[0].out_size
        if arrivals > MOST_ARRIVALS:
            break
    measured.positions = order[: len(measured.predictions)]
    return measured


def _add(activity: LayerActivity, result: Any) -> None:
    if isinstance(result, Readout):
        return
    counts = result.spikes.counts().sum(0).numpy()
    activity.counts = counts if activity.counts is None else activity.counts + counts
    activity.grazing += result.grazing


def chosen_samples(network: Network, measured: Measured) -> list[tuple[int, int]]:
    """(position, answer) of samples to look at one by one: of different classes, some with wrong answers among them."""
    answers = dict(sorted(zip(measured.positions.tolist(), measured.predictions, strict=True)))
    labels = network.samples.labels
    wrong = [position for position, answer in answers.items() if answer != labels[position]][:WRONG]
    by_class: dict[int, list[int]] = {}
    for position in answers:
        if position not in wrong:
            by_class.setdefault(int(labels[position]), []).append(position)
    rounds = [group[n] for n in range(SHOWN) for group in by_class.values() if n < len(group)]
    picked: list[tuple[int, int]] = []
    events = 0
    for position in [*rounds[: SHOWN - len(wrong)], *wrong]:
        events += len(network.samples.batch([position])[0].times)
        if picked and events > SHOWN_EVENTS:
            break
        picked.append((position, answers[position]))
    return picked

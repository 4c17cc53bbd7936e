"""Yin-Yang on a model of noisy analogue hardware, with delays and without: that of DelGrad (Goeltz et al. 2025).

Taken from their published code (github.com/JulianGoeltz/fastAndDeep, experiment_configs/yin_yang_hwAware.yaml): every
input five times; 30 hidden and 3 output neurons, tau_mem = tau_syn, at most one spike; weights in +-2.1 by steps of
1/30; thresholds 2.6 + 0.13 + 0.08 z of a device, drawn once, + 0.04 z' drawn anew for every batch; axonal delays from
2 to 3.5 tau_syn, four of them for the twenty inputs, input j with that of number j mod 4; jitter 0.01 of what arrives;
the shift-invariant loss with a margin of 0.3, Adam, batches of 40.

What differs: thresholds deviate log-normally (`chips.Mismatch`), as widely; jitter is of each spike, not of each
synapse; the gradient is that of the noisy network, while theirs takes the nominal thresholds; the learning rate, theirs
0.002, falls along a cosine to zero, and there are `epochs` of them instead of 300.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import saltation as sal
from saltation.chips import Chip, Mismatch, OnChip, disturbed, draw_device
from saltation.data import augment, load
from saltation.data.events import EventDataset
from saltation.experiments.case import Case, Picture, Row, Size, Table, seed_of
from saltation.experiments.statistics import column, mean_std, paired_rows
from saltation.train.evaluate import standard_error

COPIES, HIDDEN, DURATION = 5, 30, 16.0
DELAYS = 2.0, 3.5
NOMINAL = 2.6 + 0.13
LARGEST = 2.1
CHIP = Chip(weight_bits=7, weight_range=LARGEST)  # 63 steps of 1/30 on either side
DEVICE, TRIAL = Mismatch(threshold=0.08 / NOMINAL), Mismatch(threshold=0.04 / NOMINAL)
JITTER, MARGIN, BATCH = 0.01, 0.3, 40
RATES = (0.003, 0.01, 0.03)
CHOSEN: dict[str, float] = {
    "weights_exact": 0.03,
    "weights_smoothed": 0.03,
    "axonal_exact": 0.01,
    "axonal_smoothed": 0.01,
}
"""Of RATES by case: the one with the highest validation accuracy, see the table `trials`; else the middle one."""
GRADIENTS = {"exact": 0.0, "smoothed": 0.2}  # their smoothing
PUBLISHED = {"weights": "84.9", "axonal": "92.8"}
NAMES = [f"{trained}_{gradient}" for trained in PUBLISHED for gradient in GRADIENTS]
WORDS = {"weights": "weights", "axonal": "weights and axonal delays"}


def cases(size: Size) -> list[Case]:
    """With delays and without, exact and smoothed; and, of the full size, trials on devices of their own."""
    epochs, samples = {"full": (20, None), "quick": (5, [1000, 100, 300]), "tiny": (1, [40, 10, 20])}[size]
    found, trials = [], []
    for trained in PUBLISHED:
        for gradient, smoothing in GRADIENTS.items():
            name = f"{trained}_{gradient}"
            same = {"trained": trained, "smoothing": smoothing, "epochs": epochs, "samples": samples}
            chosen = CHOSEN.get(name, RATES[1])
            found.append(Case(name, {**same, "lr": chosen}, {"full": 5, "quick": 2, "tiny": 1}[size]))
            trials += [Case(f"tune_{name}_{lr:g}", {**same, "lr": lr, "tune": True}, 1) for lr in RATES]
    return trials + found if size == "full" else found


class Shared(nn.Module):
    """Four delays for twenty inputs."""

    def forward(self, few: Tensor) -> Tensor:
        """Input j has the one of number j mod 4."""
        return few.repeat(1, COPIES)

    def right_inverse(self, many: Tensor) -> Tensor:
        """The first four."""
        return many[:, :4].clone()


class Noisy(OnChip):
    """A network on a device, whose thresholds moreover differ from batch to batch, and whose spikes jitter."""

    def values(self) -> dict[str, Tensor]:
        """Of this batch."""
        return disturbed(self.network, TRIAL, draw_device(self.network, self.generator), super().values())

    def run(self, spikes: sal.Spikes, peak: bool = False, between: Any = None) -> list[Any]:
        """As of the network; everything that arrives jitters."""
        jittered = partial(augment.jitter, std=JITTER, generator=self.generator)
        found: list[Any] = super().run(jittered(spikes), peak, jittered)
        return found

    def forward(self, spikes: sal.Spikes) -> sal.Spikes:
        """The spikes of the output."""
        found: sal.Spikes = self.run(spikes)[-1].spikes
        return found


def run(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train on one noisy device, and test on it: mean of ten passes over the test samples, each with its noise. Of a
    trial the accuracy on the validation samples alone.
    """
    generator = torch.Generator().manual_seed(seed_of(settings, seed))
    data = points(settings["samples"])
    network = make(settings, generator)
    device = Noisy(network, CHIP, DEVICE, generator=generator)
    rates = {"weight": settings["lr"], "readout": settings["lr"], "delay": settings["lr"]}
    optimizer = torch.optim.Adam(sal.parameter_groups(network, rates))
    train = data.subset("train")
    steps = settings["epochs"] * -(-len(train) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(settings["epochs"]):
        for spikes, labels in train.batches(BATCH, generator):
            results = device.run(spikes)
            loss = sal.losses.shift_invariant(results[-1].spikes, labels, MARGIN)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            revive(network, results)
    validation = float(np.mean([tested(device, data.subset("validation")) for _ in range(10)]))
    if settings.get("tune"):
        return {"validation": validation}
    test = data.subset("test")
    accuracy = float(np.mean([tested(device, test) for _ in range(10)]))
    others = [Noisy(network, CHIP, DEVICE, generator=generator) for _ in range(10)]
    return {
        "accuracy": accuracy,
        "standard_error": standard_error(accuracy, len(test)),
        "validation": validation,
        "other_devices": float(np.mean([tested(another, test) for another in others])),
        "without_noise": tested(network, test),
    }


def points(samples: list[int] | None) -> EventDataset:
    """Yin-Yang with every input COPIES times; samples: how many are generated, None: the published points, if there."""
    options: dict[str, Any] = {} if samples is None else {"publication": False, "sizes": tuple(samples)}
    data = load("yin_yang", duration=DURATION, **options)
    spikes, labels = data.batch(np.arange(len(data)))
    times, units = spikes.times.numpy().repeat(COPIES), spikes.units.numpy()
    channels = (COPIES * units[:, None] + np.arange(COPIES)).ravel()
    offsets, split = COPIES * spikes.offsets.numpy(), data.split
    return EventDataset(times, channels, offsets, labels.numpy(), split, 4 * COPIES, 3, DURATION, source=data.source)


def make(settings: dict[str, Any], generator: torch.Generator) -> sal.Sequential:
    """The network at its start, as published."""
    delay: dict[str, Any] = {}
    if settings["trained"] == "axonal":
        delay = {"delay": "axonal", "min_delay": DELAYS[0], "max_delay": DELAYS[1]}
    layers: list[sal.Layer] = []
    for in_size, size, mean, std in ((4 * COPIES, HIDDEN, 1.0, 0.12), (HIDDEN, 3, 0.075, 0.15)):
        connection = sal.Linear(in_size, size, generator=generator, **delay)
        neuron = sal.LIF(size, tau_mem=1.0, tau_syn=1.0, threshold=NOMINAL, refractory=math.inf, train=())
        layer = sal.Layer(connection, neuron, smoothing=0.0 if layers else settings["smoothing"])
        sal.init.normal_(layer, mean, std, generator)
        if delay:
            drawn = torch.sigmoid(0.5 * torch.randn(1, in_size, generator=generator, dtype=torch.float64))
            connection.set_delays(DELAYS[0] + (DELAYS[1] - DELAYS[0]) * drawn)
            if not layers:
                parametrize.register_parametrization(connection, "raw_delay", Shared())
        layers.append(layer)
    return sal.Sequential(*layers)


@torch.no_grad()
def revive(network: sal.Sequential, results: list[Any]) -> None:
    """Bump neurons that are silent, as the recipes of Yin-Yang do; and keep weights in the range of the chip."""
    for layer, result, silent in zip(network, results, (0.99, 0.3), strict=True):
        sal.regularizers.bump_silent_(layer, result.spikes, silent, 0.02)
        layer.connection.weight.clamp_(-LARGEST, LARGEST)


@torch.no_grad()
def tested(network: nn.Module, data: EventDataset) -> float:
    """Accuracy."""
    right = 0
    for spikes, labels in data.batches(BATCH):  # thresholds differ from batch to batch, as in training
        right += int((sal.losses.first_spike_prediction(network(spikes)) == labels).sum())
    return right / len(data)


def reached(rows: list[Row]) -> Table:
    """A line for each network and gradient; published: one run."""
    lines = []
    for trained, published in PUBLISHED.items():
        for gradient in GRADIENTS:
            own = [row for row in rows if row.case == f"{trained}_{gradient}"]
            keys = ("accuracy", "other_devices", "without_noise")
            cells = [mean_std(column(own, key, 100.0), 1) for key in keys]
            lines.append([WORDS[trained], gradient, *cells, published if gradient == "exact" else "", str(len(own))])
    header = ["trained", "gradient", "its device, %", "ten other devices, %", "no noise, no rounding, %"]
    return Table([*header, "published, %", "seeds"], lines)


def differences(rows: list[Row]) -> Table:
    """Points by which delays help, and the smoothed gradient; paired by seed."""
    found = {name: [row for row in rows if row.case == name] for name in {row.case for row in rows}}
    pairs = {
        "delays, exact": ("axonal_exact", "weights_exact"),
        "delays, smoothed": ("axonal_smoothed", "weights_smoothed"),
        "smoothed, weights": ("weights_smoothed", "weights_exact"),
        "smoothed, delays": ("axonal_smoothed", "axonal_exact"),
    }
    lines = [
        [words, paired_rows(found.get(ours, []), found.get(theirs, []), "accuracy", 100.0).words(1) or "not run"]
        for words, (ours, theirs) in pairs.items()
    ]
    return Table(["what", "points"], lines)


def trials(rows: list[Row]) -> Table:
    """Validation accuracy of every learning rate."""
    found = {row.case: f"{100 * row.result['validation']:.1f}" for row in rows if "tune" in row.settings}
    lines = [
        [WORDS[trained], gradient, *(found.get(f"tune_{trained}_{gradient}_{lr:g}", "not run") for lr in RATES)]
        for trained in PUBLISHED
        for gradient in GRADIENTS
    ]
    return Table(["trained", "gradient", *(f"rate {lr:g}, %" for lr in RATES)], lines)


TABLES = {"reached": reached, "differences": differences, "trials": trials}
PICTURES: dict[str, Picture] = {}

"""Train the twin of a recipe as `saltation.train` trains the network itself: same start, batches, random changes of the
samples, optimiser groups and schedule.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saltation import Sequential, Spikes, losses
from saltation.data.samples import Samples
from saltation.experiments.grid.begin import begin_run
from saltation.experiments.grid.network import Outcome, Twin
from saltation.experiments.grid.pack import Settings
from saltation.experiments.grid.readouts import Functional
from saltation.regularizers import bump_silent_
from saltation.train.batch import augmented
from saltation.train.config import Config
from saltation.train.evaluate import evaluate
from saltation.train.loss import FirstSpikeCrossEntropy, LossConfig, ReadoutCrossEntropy, ShiftInvariant
from saltation.train.objective import Objective
from saltation.train.optim import clip_gradient, set_learning_rates
from saltation.train.run import load_data
from saltation.train.state import State, save_state


def make_twin(config: Config, network: Sequential, duration: float, settings: Settings) -> Twin:
    """Of a network of this configuration. Raises ValueError for what has no counterpart on a grid."""
    loss, train = config.loss, config.train
    if isinstance(loss, ReadoutCrossEntropy):
        functional = Functional(loss.readout, loss.window if loss.readout == "weighted" else math.inf)
    elif isinstance(loss, ShiftInvariant | FirstSpikeCrossEntropy):
        functional = None
    else:
        raise ValueError(f"loss.name is {loss.name}: on a grid there are only losses of readouts and of first spikes")
    if train.starts > 1 or train.peak_hinge > 0 or train.refit:
        raise ValueError("train.starts must be 1, train.peak_hinge 0, train.refit false: on a grid there is none of it")
    if train.hidden_jitter > 0 or train.hardware is not None:
        raise ValueError("train.hidden_jitter must be 0, train.hardware null: on a grid there is none of it")
    return Twin(network, duration, settings, functional, train.counts.tau if train.counts.weight > 0 else None)


def loss_of(config: LossConfig, outcome: Outcome, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over the samples (scalar), and the class of every sample, as the recipe has them.

    Silent outputs have a gradient here, towards a spike: they take part in the loss with a spike at the end.
    """
    if isinstance(config, ReadoutCrossEntropy):
        values = config.scale * outcome.value
        return losses.readout_cross_entropy(values, labels), values.detach().argmax(dim=1)
    first = outcome.value
    B, C = first.shape
    units, offsets = torch.arange(C).repeat(B), C * torch.arange(B + 1)
    spikes = Spikes.unchecked(first.flatten(), units, offsets, C, outcome.spikes[-1].duration)
    return config(spikes, labels)[0], losses.first_spike_prediction(outcome.spikes[-1])


@torch.no_grad()
def evaluate_twin(twin: Twin, config: Config, data: Samples) -> dict[str, Any]:
    """Loss, accuracy and spikes per neuron on the grid."""
    total, correct, spikes = 0.0, 0, 0
    for inputs, labels in data.batches(config.train.batch_size):
        outcome = twin.run(inputs)
        loss, predictions = loss_of(config.loss, outcome, labels)
        total += float(loss) * len(labels)
        correct += int((predictions == labels).sum())
        spikes += sum(layer.times.numel() for layer in outcome.spikes)
    neurons = sum(layer.num_units for layer in outcome.spikes)
    return {
        "loss": total / len(data),
        "accuracy": correct / len(data),
        "spikes_per_neuron": spikes / neurons / len(data),
    }


def train_step(
    twin: Twin, config: Config, state: State, spikes: Spikes, labels: Tensor, where: str = ""
) -> tuple[float, int, list[Spikes]]:
    """One batch: its mean loss, how many predictions were right, and the spikes of all layers."""
    settings = config.train
    state.optimizer.zero_grad()
    if isinstance(config.loss, ReadoutCrossEntropy) and settings.counts.weight == 0:
        scale, right = config.loss.scale, np.zeros(len(labels), bool)
        targets = labels.numpy()

        def cross_entropy(values: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
            own = targets[first : first + len(values)]
            right[first : first + len(values)] = values.argmax(1) == own
            return cross_entropy_of(scale, values, own)

        each, layers = twin.descend(spikes, cross_entropy, settings.hidden_drop, state.generator)
        loss, correct = float(each.mean()), int(right.sum())
    else:
        outcome = twin.run(spikes, settings.hidden_drop, state.generator)
        mean, predictions = loss_of(config.loss, outcome, labels)
        penalty = sum((counts - settings.counts.target).square().mean() for counts in outcome.counts)
        (mean + settings.counts.weight * penalty).backward()
        loss, correct, layers = float(mean.detach()), int((predictions == labels).sum()), outcome.spikes
    clip_gradient(state.model, settings.clip_norm, where)
    state.optimizer.step()
    state.model.constrain_()
    return loss, correct, layers


def cross_entropy_of(scale: float, values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of every sample (G,), with scale * values (G, C) as logits; and its gradient with respect to the values."""
    logits = scale * values
    logits -= logits.max(1, keepdims=True)
    chances = np.exp(logits)
    total = chances.sum(1, keepdims=True)
    rows = np.arange(len(labels))
    loss = np.log(total[:, 0]) - logits[rows, labels]
    gradient = scale * chances / total
    gradient[rows, labels] -= scale
    return loss, gradient


@contextmanager
def answering(state: State) -> Iterator[None]:
    """Meanwhile the parameters of the network are those that answer for it, as averaged ones do."""
    own = {name: value.clone() for name, value in state.model.state_dict().items()}
    state.model.load_state_dict(state.answering.state_dict())
    try:
        yield
    finally:
        state.model.load_state_dict(own)


def train_epoch(twin: Twin, config: Config, data: Samples, state: State) -> dict[str, Any]:
    """One pass over the training samples."""
    settings, bump = config.train, config.train.bump
    total, correct, spiked = 0.0, 0, 0
    silent: Any = 0
    steps = math.ceil(len(data) / settings.batch_size)
    begun = time.process_time()
    for i, (spikes, labels) in enumerate(data.batches(settings.batch_size, state.generator)):
        set_learning_rates(state.optimizer, settings, state.epoch * steps + i, steps)
        spikes = augmented(spikes, labels, settings, config.model.image, state.generator)
        where = f"in epoch {state.epoch + 1}, batch {i + 1}"
        loss, right, layers = train_step(twin, config, state, spikes, labels, where)
        if bump.amount > 0:
            for stage, layer in zip(twin.plan.stages, layers, strict=False):
                last = stage is twin.plan.stages[-1]
                bump_silent_(stage.layer, layer, bump.output_fraction if last else bump.hidden_fraction, bump.amount)
        state.follow()
        counts = torch.cat([layer.counts().sum(0) for layer in layers])
        silent = silent + counts
        total += loss * len(labels)
        correct += right
        spiked += int(counts.sum())
    return {
        "loss": total / len(data),
        "accuracy": correct / len(data),
        "spikes_per_neuron": spiked / len(counts) / len(data),
        "silent_neurons": float((silent == 0).double().mean()),
        "cpu_seconds": time.process_time() - begun,
    }


def train_twin(config: Config, settings: Settings, out: Path, test: bool = True) -> dict[str, float | None]:
    """Train in the new run folder `out`. Returns accuracies of the last epoch: validation_grid, validation_continuous,
    test_grid and test_continuous; the last two are None without `test`.
    """
    dataset = load_data(config.data)
    run, state = begin_run(config, dataset, out)
    twin = make_twin(config, state.model, dataset.duration, settings)
    data, validation = dataset.subset("train"), dataset.subset("validation")
    while state.epoch < config.train.epochs:
        line = {"epoch": state.epoch + 1, **train_epoch(twin, config, data, state)}
        with answering(state):
            found = evaluate_twin(twin, config, validation)
        run.append_metrics({**line, "validation_loss": found["loss"], "validation_accuracy": found["accuracy"]})
        state.epoch += 1
    save_state(run, state)
    result: dict[str, float | None] = {"test_grid": None, "test_continuous": None}
    with answering(state):
        for split in ("validation", "test") if test else ("validation",):
            samples = dataset.subset(split)
            result[f"{split}_grid"] = evaluate_twin(twin, config, samples)["accuracy"]
            exact = evaluate(state.model, Objective(config), samples, config.train.batch_size)
            result[f"{split}_continuous"] = exact["accuracy"]
    return result

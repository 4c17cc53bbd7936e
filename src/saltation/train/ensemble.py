"""Several runs as one: the average of their class probabilities answers."""

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from saltation.data.samples import Samples
from saltation.sequential import Sequential
from saltation.train.config import Config
from saltation.train.evaluate import standard_error
from saltation.train.hardware import on_hardware
from saltation.train.objective import Objective
from saltation.train.run import load_split


def evaluate_runs(paths: Sequence[str | os.PathLike[str]], split: str = "test") -> dict[str, Any]:
    """Accuracy and standard error of every run on one split of its data, and of the average of all.

    The answer of the average is the class with the largest mean probability (see `LossConfig.logits`); where none of
    the networks answers, it does not either. The networks, losses and training of the runs may differ.

    Returns {"accuracy", "standard_error", "samples", "runs": [{"run", "accuracy", "standard_error"}, ...]}.
    Raises what `evaluate_run` raises, and ValueError for a loss without probabilities and for runs whose samples of
    that split differ.
    """
    loaded, samples = _load(paths, split)
    labels = torch.tensor(samples.labels)
    total = torch.zeros(len(samples), samples.num_classes, dtype=torch.float64)
    answered = torch.zeros(len(samples), dtype=torch.bool)
    runs = []
    for path, (model, config) in zip(paths, loaded, strict=True):
        probabilities, answers = class_probabilities(model, config, samples)
        total += probabilities
        answered |= answers >= 0
        runs.append({"run": os.fspath(path), **_score(answers, labels)})
    average = torch.where(answered, total.argmax(dim=1), -1)
    return {**_score(average, labels), "samples": len(samples), "runs": runs}


def _load(paths: Sequence[str | os.PathLike[str]], split: str) -> tuple[list[tuple[Sequential, Config]], Samples]:
    """Networks and configurations, and the samples, which are the same for all."""
    loaded = []
    first: Samples | None = None
    for path in paths:
        model, config, samples = load_split(path, split)
        if not config.loss.has_logits:
            raise ValueError(
                f"{path} was trained with loss {config.loss.name!r}, which compares spike trains and gives classes no "
                "probabilities; leave it out: networks of the other losses can be averaged"
            )
        if first is None:
            first = samples
        elif samples.fingerprint() != first.fingerprint():
            raise ValueError(
                f"{path} has other {split} samples than {paths[0]} ({samples.source}, {first.source}): the averaged "
                "networks must answer for the same samples; choose runs on the same data, or another --split"
            )
        loaded.append((model, config))
    if first is None:
        raise ValueError("there are no runs to average; give at least one run folder")
    return loaded, first


@torch.no_grad()
def class_probabilities(model: Sequential, config: Config, data: Samples) -> tuple[Tensor, Tensor]:
    """Probabilities of the classes (S, C) float64, and the answers (S,) of the network alone, -1 where it has none."""
    objective = Objective(config)
    network = on_hardware(model, config.train.hardware)
    probabilities, answers = [], []
    for spikes, labels in data.batches(config.train.batch_size):
        results = network.run(spikes)
        probabilities.append(objective.logits(results).double().softmax(dim=1))
        answers.append(objective(results, labels)[1])
    return torch.cat(probabilities), torch.cat(answers)


def _score(answers: Tensor, labels: Tensor) -> dict[str, float]:
    accuracy = float((answers == labels).double().mean())
    return {"accuracy": accuracy, "standard_error": standard_error(accuracy, len(labels))}

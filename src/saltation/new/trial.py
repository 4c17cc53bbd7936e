"""A network is built and tried, so that it fires, learns at the right speed, and is trained within a given time."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from saltation.data.samples import Samples
from saltation.new.design import Design
from saltation.new.scales import rounded
from saltation.train.config import Config
from saltation.train.model import build_model
from saltation.train.objective import Objective, spiking_results

FEWEST, MOST = 0.5, 6.0  # spikes of a hidden neuron in a sample, on average
MOST_SILENT = 0.25  # fraction of the hidden neurons that may be silent in all samples tried
TRIED = 128  # samples
CHANGES = 10  # of the drive
SHARE = 0.015  # of its own size (root mean square) that a weight may learn in a step
FEWEST_EPOCHS, MOST_EPOCHS = 5, 150
EVALUATION = 0.4  # what a sample costs to validate, relative to training

Make = Callable[[Design], Config]


def tried(design: Design, make: Make, samples: Samples, seconds: float) -> tuple[Design, list[str]]:
    """The design with a drive that makes hidden neurons fire, logits and learning rate of the right size, and as many
    epochs as `seconds` of one core allow; and what was found. make: the configuration of a design.
    """
    train_data = samples.subset("train")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        while True:
            design, activity = _firing(design, make, train_data)
            cost = _seconds_a_sample(design, make, train_data)
            validating = int((samples.split == 1).sum())
            epoch = cost * (len(train_data) + EVALUATION * validating)
            epochs = int(seconds / epoch)
            if epochs >= FEWEST_EPOCHS or (design.terminals, design.size) == (1, 64):
                break
            smaller = {"terminals": design.terminals // 2} if design.terminals > 1 else {"size": design.size // 2}
            design = replace(design, **smaller)
    finally:
        torch.set_num_threads(threads)
    design = replace(design, epochs=min(max(epochs, FEWEST_EPOCHS), MOST_EPOCHS))
    total = design.epochs * epoch
    return design, [
        activity,
        f"a training step of {design.batch_size} samples takes {1e3 * cost * design.batch_size:.0f} ms of one core: "
        f"{design.epochs} epochs take about {max(total / 60, 0.1):.1f} minutes",
    ]


def _firing(design: Design, make: Make, train_data: Samples) -> tuple[Design, str]:
    chosen = np.unique(np.linspace(0, len(train_data) - 1, min(TRIED, len(train_data))).astype(int))
    spikes, _ = train_data.batch(chosen)
    for change in range(CHANGES + 1):
        config = make(replace(design, scale=1.0))
        model = build_model(config.model, train_data, torch.Generator().manual_seed(0))
        with torch.no_grad():
            results = model.run(spikes)
        counts = spiking_results(results)[0].spikes.counts().double()
        mean, silent = float(counts.mean()), float((counts.sum(0) == 0).double().mean())
        factor = 1 / 1.4 if mean > MOST else 1.4 if mean < FEWEST or silent > MOST_SILENT else None
        if factor is None or change == CHANGES:
            break
        design = replace(design, drive=rounded(design.drive * factor))
    with torch.no_grad():
        logits = Objective(config).logits(results)
    spread = float(logits.std(dim=1).mean())
    size = float(model[0].connection.parts()[0].weight.detach().double().square().mean().sqrt())
    design = replace(design, scale=rounded(1.0 / max(spread, 1e-9)), rate=rounded(min(max(SHARE * size, 1e-3), 0.02)))
    return design, f"at the start a hidden neuron spikes {mean:.1f} times a sample, {silent:.0%} of them are silent"


def _seconds_a_sample(design: Design, make: Make, train_data: Samples) -> float:
    """Processor time of training steps, after one that compiles."""
    config = make(design)
    model = build_model(config.model, train_data, torch.Generator().manual_seed(0))
    objective, spent, number = Objective(config), 0.0, 0
    batches = train_data.batches(design.batch_size, torch.Generator().manual_seed(0))
    for step, (spikes, labels) in enumerate(batches):
        begun = time.process_time()
        results: list[Any] = model.run(spikes)
        objective(results, labels)[0].backward()
        if step > 0:
            spent, number = spent + time.process_time() - begun, number + len(labels)
        if step == 3 or spent > 5.0:
            break
    return spent / number if number else (time.process_time() - begun) / max(len(labels), 1)

"""One training step of the twin at several steps and of the exact network, taking turns."""

import time
from functools import partial
from typing import Any

import numpy as np
import torch

from saltation.experiments.grid.pack import Settings
from saltation.experiments.grid.train import make_twin, train_step
from saltation.train import load_config
from saltation.train.batch import augmented
from saltation.train.objective import Objective
from saltation.train.optim import clip_gradient
from saltation.train.run import Origin, load_data
from saltation.train.state import new_state

REPEATS = 15


def timing(recipe: str, changes: dict[str, Any], dts: list[float]) -> dict[str, Any]:
    """CPU milliseconds of a step on the recipe's first batch, at its start: medians, and ratios to the exact network.

    A step is forward and backward pass, clipping, optimiser; the parameters are put back after each.
    """
    torch.set_num_threads(1)
    config = load_config(recipe, {**changes, "threads": 1})
    dataset = load_data(config.data)
    data = dataset.subset("train")
    state = new_state(config, data, Origin.of(config, dataset))
    spikes, labels = data.batch(np.arange(config.train.batch_size))
    spikes = augmented(spikes, labels, config.train, config.model.image, state.generator)
    objective = Objective(config)

    def exact() -> None:
        results = state.model.run(spikes, objective.needs_peak)
        loss, _ = objective(results, labels)
        state.optimizer.zero_grad()
        (loss + objective.penalty(results)).backward()
        clip_gradient(state.model, config.train.clip_norm, "")
        state.optimizer.step()
        state.model.constrain_()

    config.train.hidden_drop = 0.0  # the same spikes for all
    steps: dict[str, Any] = {"exact": exact}
    for dt in dts:
        twin = make_twin(config, state.model, dataset.duration, Settings(dt))
        steps[f"{dt:g}"] = partial(train_step, twin, config, state, spikes, labels)
    start = [parameter.detach().clone() for parameter in state.model.parameters()]
    milliseconds: dict[str, list[float]] = {name: [] for name in steps}
    for k in range(REPEATS + 1):  # the first one compiles
        for name, step in steps.items():
            with torch.no_grad():
                for parameter, value in zip(state.model.parameters(), start, strict=True):
                    parameter.copy_(value)
            begun = time.process_time()
            step()
            if k > 0:
                milliseconds[name].append(1e3 * (time.process_time() - begun))
    medians = {name: round(float(np.median(values)), 2) for name, values in milliseconds.items()}
    ratios = {
        name: round(float(np.median(np.array(milliseconds["exact"]) / np.array(values))), 2)
        for name, values in milliseconds.items()
    }
    for name in steps:
        print(f"{recipe}, dt {name}: {medians[name]} ms, {ratios[name]} x as fast as exact", flush=True)
    return {
        "recipe": recipe,
        "batch": config.train.batch_size,
        "cpu_milliseconds": medians,
        "exact_over_this": ratios,
        "all": {name: [round(value, 2) for value in values] for name, values in milliseconds.items()},
    }

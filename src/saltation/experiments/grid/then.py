"""From parameters that were trained on a grid: training in continuous time, as `saltation.train` does it."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from saltation.data.samples import Samples
from saltation.train import train
from saltation.train.checkpoint import load_answering, read_checkpoint
from saltation.train.config import Config
from saltation.train.optim import make_average
from saltation.train.run import Origin, RunFolder, load_data, new_run
from saltation.train.state import begin, new_state


def train_on(start: RunFolder, which: str, config: Config, out: Path, test: bool = True) -> dict[str, Any]:
    """Train in the run folder `out`, or go on there, from the parameters `which` (best or last) of the run `start`.

    config  of the same network, but for smoothings; all else may be another. Optimiser, schedule and random draws begin
            afresh

    Returns accuracies of the epoch that it reports and the processor time of an epoch. Raises ValueError if it is
    another network, or if the run in `out` was begun with another configuration or other data.
    """
    dataset = load_data(config.data, config.train.refit)
    origin, run = Origin.of(config, dataset), RunFolder(out)
    if run.begun():
        origin.read(run.checkpoint("last"))
    else:
        begin_from(start.checkpoint(which), config, dataset, out)
    result = train(resume=out, quiet=True, test=test)
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    kept = ("epochs", "reported_epoch", "validation_accuracy", "test_accuracy", "test_standard_error")
    seconds = float(np.median([line["cpu_seconds"] for line in lines]))
    return {key: result[key] for key in kept if key in result} | {"cpu_seconds_per_epoch": round(seconds, 2)}


def begin_from(parameters: Path, config: Config, dataset: Samples, out: Path) -> None:
    """Write the run folder of a network that has not trained yet, with the parameters of this checkpoint.

    Raises ValueError if they are of another network.
    """
    origin = Origin.of(config, dataset)
    state = new_state(config, dataset.subset("train"), origin)
    tensors, record = read_checkpoint(parameters)
    saved = record["origin"]["config"]
    for key in sorted(saved.keys() | origin.config.keys()):
        if key.startswith("model.") and not key.endswith(".smoothing") and saved.get(key) != origin.config.get(key):
            raise ValueError(
                f"{key} is {origin.config.get(key)}, but the parameters were trained with {saved.get(key)}; of the "
                "network only model.layers.N.smoothing may change"
            )
    load_answering(state.model, tensors, parameters)
    state.average = make_average(state.model, config.train)
    run, lock = new_run(config, out)
    try:
        begin(run, state, config.train.refit)
    finally:
        lock.release()

"""The gradients that are compared, and one way to train a network with each: all else is that of the recipe.

`exact`             in continuous time
`smoothed`          the same, with ghosts: `smoothing`, in thresholds, of all hidden layers
`surrogate`         on a time grid of step `dt`, with the surrogate 1 / (1 + slope |V - theta|)^2 (`experiments.grid`)
`surrogate_exact`   the surrogate for the first `epochs_before`, then the exact one

Start, samples, their order and random changes, loss, optimiser, schedule, clipping and moving average are the same for
all arms with one seed. The last epoch is reported. Every network is scored in continuous time, those of a grid also on
it.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from saltation.experiments.grid.begin import begin_run
from saltation.experiments.grid.pack import Settings
from saltation.experiments.grid.train import train_twin
from saltation.sequential import Sequential
from saltation.train import load_config, load_run
from saltation.train.config import Config
from saltation.train.evaluate import evaluate, standard_error
from saltation.train.loop import train_epochs
from saltation.train.objective import Objective
from saltation.train.processes import ALONE
from saltation.train.run import RunFolder, load_data
from saltation.train.training import Training

Gradient = Literal["exact", "smoothed", "surrogate", "surrogate_exact"]
BATCH = 256  # for evaluation


@dataclass(frozen=True)
class Arm:
    """A gradient and its settings; dt in the unit of time of the data."""

    gradient: Gradient
    smoothing: float = 0.0
    dt: float = 0.0
    slope: float = 10.0
    epochs_before: int = 0

    @property
    def on_grid(self) -> bool:
        """Whether the network is simulated on a grid at the end of training."""
        return self.gradient == "surrogate"


@dataclass(frozen=True)
class Task:
    """What all arms share: a recipe with changes."""

    recipe: str
    changes: dict[str, Any]

    def config(self, arm: Arm, seed: int, **further: Any) -> Config:
        """Of one run: one thread, the last epoch is reported."""
        fixed = {"train.report": "last", "train.starts": 1, "train.peak_hinge": 0.0, "threads": 1, "seed": seed}
        hidden = range(len(load_config(self.recipe, self.changes).model.layers) - 1)
        smoothing = arm.smoothing if arm.gradient == "smoothed" else 0.0
        smoothings = {f"model.layers.{k}.smoothing": smoothing for k in hidden}
        return load_config(self.recipe, {**self.changes, **fixed, **smoothings, **further})


def train_arm(task: Task, arm: Arm, seed: int, folder: Path, test: bool = True) -> dict[str, Any]:
    """Train in a new folder; returns what was reached.

    test    False: the test samples are left alone, as tuning must
    Returns validation and (None without test) test accuracy in continuous time, on the grid (None for networks that do
    not end there), `accuracy`: that of the arm itself, the standard error of the test set, CPU seconds of training
    (median of an epoch times epochs) and the validation accuracy and loss after each epoch against them.
    """
    if arm.gradient == "surrogate":
        return _on_grid(task.config(arm, seed), arm, folder, test)
    if arm.gradient == "surrogate_exact":
        before, after = folder / "before", folder / "after"
        first = _on_grid(task.config(arm, seed, **{"train.epochs": arm.epochs_before}), arm, before, test=False)
        config = task.config(arm, seed)
        config.train.epochs -= arm.epochs_before
        return _in_continuous_time(config, after, test, RunFolder(before).checkpoint("last"), first["curve"])
    return _in_continuous_time(task.config(arm, seed), folder, test)


def run_arm(task: Task, arm: Arm, seed: int, test: bool = True) -> dict[str, Any]:
    """As `train_arm`, and nothing is left behind."""
    with tempfile.TemporaryDirectory() as folder:
        return train_arm(task, arm, seed, Path(folder) / "run", test)


def trained(task: Task, arm: Arm, seed: int) -> tuple[Sequential, Config, dict[str, Any]]:
    """The network of an arm, to be looked at further; its configuration, and what `train_arm` returned."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        result = train_arm(task, arm, seed, folder)
        last = folder / "after" if arm.gradient == "surrogate_exact" else folder
        network, config, _ = load_run(last, "last")
    return network, config, result


def _on_grid(config: Config, arm: Arm, folder: Path, test: bool) -> dict[str, Any]:
    found = train_twin(config, Settings(arm.dt, arm.slope), folder, test)
    return _with_curve(found, "grid", folder, config, ())


def _in_continuous_time(
    config: Config, folder: Path, test: bool, start: Path | None = None, before: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """Train in `folder`, as `saltation.train` does, without its report.

    start: a checkpoint whose parameters it begins with; before: the curve until there.
    """
    dataset = load_data(config.data)
    run, state = begin_run(config, dataset, folder, start)
    training = Training(config, dataset, state.origin, ALONE, quiet=True)
    train_epochs(training, state, run, config.train.epochs)
    found: dict[str, Any] = {}
    for split in ("validation", "test"):
        wanted = test or split == "validation"
        score = (
            evaluate(state.answering, Objective(config), dataset.subset(split), BATCH)["accuracy"] if wanted else None
        )
        found |= {f"{split}_grid": None, f"{split}_continuous": score}
    return _with_curve(found, "continuous", folder, config, before)


def _with_curve(
    found: dict[str, float | None], how: str, folder: Path, config: Config, before: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """With what the metrics say. The first epoch of a process loads kernels: the median epoch counts for each."""
    lines = [json.loads(line) for line in RunFolder(folder).metrics.read_text().splitlines()]
    each = median(line["cpu_seconds"] for line in lines)
    spent = before[-1]["cpu_seconds"] if before else 0.0
    curve = [
        {
            "cpu_seconds": round(spent + each * (k + 1), 3),
            "loss": line["validation_loss"],
            "accuracy": line["validation_accuracy"],
        }
        for k, line in enumerate(lines)
    ]
    accuracy = found[f"test_{how}"]
    samples = len(load_data(config.data).subset("test"))
    return {
        **found,
        "accuracy": accuracy,
        "standard_error": None if accuracy is None else standard_error(accuracy, samples),
        "validation_loss": lines[-1]["validation_loss"],
        "spikes_per_neuron": lines[-1]["spikes_per_neuron"],
        "cpu_seconds": curve[-1]["cpu_seconds"],
        "curve": [*before, *curve],
    }

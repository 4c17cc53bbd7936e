"""Run folders: what a training run leaves behind, and how to pick it up again.

config.yaml            the resolved configuration
metrics.jsonl          one line per epoch
initial.safetensors    parameters before training
last.safetensors       everything needed to continue: parameters, optimizer, random generator, epoch, best so far
best.safetensors       parameters of the epoch with the best validation accuracy
result.json, *.png     written at the end
starts/                with train.starts > 1: what each start left behind, in the same files
"""

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saltation import data
from saltation.data.events import TRAIN, VALIDATION
from saltation.data.samples import Samples
from saltation.layer import Sequential
from saltation.train.checkpoint import read_checkpoint, unprefixed
from saltation.train.config import Config, DataConfig
from saltation.train.evaluate import evaluate
from saltation.train.model import make_model
from saltation.train.objective import Objective
from saltation.train.recipes import load_config, to_yaml


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run folder, and its metrics file."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """One JSON line per epoch."""
        return self.path / "metrics.jsonl"

    @property
    def result(self) -> Path:
        """What the finished run reached."""
        return self.path / "result.json"

    def checkpoint(self, which: str) -> Path:
        """The checkpoint `initial`, `last` or `best`."""
        return self.path / f"{which}.safetensors"

    def start(self, number: int) -> "RunFolder":
        """The folder of one of several starts; made if it is missing."""
        path = self.path / "starts" / str(number)
        path.mkdir(parents=True, exist_ok=True)
        return RunFolder(path)

    def take_over(self, other: "RunFolder") -> None:
        """Copy the checkpoints and metrics of `other`; `last`, which says that all is there, comes last."""
        for source in (other.metrics, *(other.checkpoint(which) for which in ("initial", "best", "last"))):
            partial = self.path / f"{source.name}.partial"
            shutil.copyfile(source, partial)
            os.replace(partial, self.path / source.name)

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Add the line of an epoch."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def read_metrics(self, epochs: int | None = None) -> list[dict[str, Any]]:
        """The lines of the first `epochs` epochs; an unfinished last line (after a crash) is left out."""
        if not self.metrics.is_file():
            return []
        lines = self.metrics.read_text(encoding="utf-8").split("\n")[:-1]
        return [json.loads(line) for line in lines[:epochs]]

    def truncate_metrics(self, epochs: int) -> list[dict[str, Any]]:
        """Keep only the first `epochs` lines, and return them."""
        history = self.read_metrics(epochs)
        write_text(self.metrics, "".join(json.dumps(line) + "\n" for line in history))
        return history


def new_run(config: Config, out: str | os.PathLike[str] | None) -> RunFolder:
    """A new run folder: `out`, or runs/<name>-<time>. Raises ValueError if `out` holds a run already."""
    if out is None:
        base = Path("runs") / f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        path, copy = base, 2
        while path.exists():
            path, copy = base.with_name(f"{base.name}-{copy}"), copy + 1
    else:
        path = Path(out)
        if RunFolder(path).config.exists():
            raise ValueError(f"{path} holds a run already; continue it with --resume {path} or choose another --out")
    path.mkdir(parents=True, exist_ok=True)
    run = RunFolder(path)
    write_text(run.config, to_yaml(config))
    return run


def open_run(path: str | os.PathLike[str]) -> tuple[RunFolder, Config]:
    """An existing run folder and its configuration. Raises FileNotFoundError."""
    run = RunFolder(Path(path))
    if not run.config.is_file():
        raise FileNotFoundError(f"no run at {run.path}: it has no config.yaml; give a folder that training has written")
    return run, load_config(run.config)


def load_data(config: DataConfig) -> Samples:
    """The data set of a configuration, with validation samples. Raises ValueError if it has none to train on."""
    options = dict(config.options)
    if config.split_key is not None:
        options["split_key"] = config.split_key
    if config.duration is not None:
        options["duration"] = config.duration
    dataset = data.load(config.name, config.path, config.root, **options)
    if not (dataset.split == TRAIN).any():
        raise ValueError(f"{dataset.source} has no training samples (split 0)")
    if not (dataset.split == VALIDATION).any():
        dataset = dataset.with_validation(config.validation_fraction, config.validation_seed)
    return dataset


def load_run(path: str | os.PathLike[str], which: str = "best") -> tuple[Sequential, Config, Samples]:
    """Network, configuration and data of a run; which: best, last or initial parameters.

    Raises FileNotFoundError or ValueError if the folder or its checkpoint is missing or damaged.
    """
    run, config = open_run(path)
    dataset = load_data(config.data)
    model = make_model(config.model, dataset.num_channels, dataset.num_classes)
    tensors, _ = read_checkpoint(run.checkpoint(which))
    model.load_state_dict(unprefixed("model", tensors))
    return model, config, dataset


def evaluate_run(path: str | os.PathLike[str], split: str = "test") -> dict[str, Any]:
    """Loss, accuracy and spike statistics of a run's best parameters on one split of its data."""
    model, config, dataset = load_run(path)
    return evaluate(model, Objective(config), dataset.subset(split), config.train.batch_size)


def write_text(path: Path, text: str) -> None:
    """Write a file atomically."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)

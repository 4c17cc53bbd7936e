"""What a run folder says, as far as it can be read."""

import json
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from saltation.check import cut, shown
from saltation.data.registry import time_unit
from saltation.data.samples import Samples
from saltation.extras import MissingPackageError
from saltation.files import whole_lines
from saltation.sequential import Sequential
from saltation.train.checkpoint import load_parameters, read_checkpoint
from saltation.train.config import Config
from saltation.train.model import make_model
from saltation.train.recipes import load_config
from saltation.train.run import RunFolder, load_run


@dataclass(frozen=True)
class Network:
    """The network that a run reports, its parameters before training, and samples it may be looked at with.

    split: of the samples; the test samples only where training has ended with a look at them.
    """

    model: Sequential
    initial: dict[str, torch.Tensor]
    config: Config
    samples: Samples
    split: str
    unit: str  # of time


@dataclass(frozen=True)
class Record:
    """The files of a run as far as they are text; result and environment are {} where they are missing."""

    run: RunFolder
    settings: str
    config: Config | None  # None: the settings are not those of this version
    history: list[dict[str, Any]]
    result: dict[str, Any]
    environment: dict[str, Any]

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.run.path.resolve().name

    def reported(self) -> dict[str, Any]:
        """The metrics of the epoch whose network the run reports, as things stand; {} if there is none.

        That is the last one if the configuration says so, else the one that validates best, by accuracy and then loss.
        """
        epoch = self.result.get("reported_epoch", self.result.get("best_epoch"))
        named = [line for line in self.history if line["epoch"] == epoch]
        if named:
            return named[0]
        if self.config is not None and self.config.train.report == "last":
            return self.history[-1] if self.history else {}
        return max(self.history, key=_validation, default={})

    def seconds(self) -> float | None:
        """How long training took, as far as it says."""
        values = [line.get("seconds") for line in self.history]
        known = [value for value in values if isinstance(value, int | float)]
        return self.result.get("seconds", sum(known) if known else None)


def read_record(path: str | os.PathLike[str]) -> Record:
    """Raises FileNotFoundError if there is no run, ValueError if its metrics or its result are damaged."""
    run = RunFolder(Path(path))
    if not os.path.isfile(run.config):
        raise FileNotFoundError(f"no run at {run.path}: it has no config.yaml; give a folder that training has written")
    settings = run.config.read_text(encoding="utf-8", errors="replace")
    try:
        config = load_config(run.config)
    except ValueError:
        config = None
    history = [_line(run, number, line) for number, line in enumerate(whole_lines(run.metrics), start=1)]
    return Record(run, settings, config, history, _mapping(run.result), _mapping(run.environment))


def read_network(record: Record) -> tuple[Network | None, list[str]]:
    """The network, and what is to be said about it; None if it cannot be had, and why."""
    tested = record.result.get("test_accuracy") is not None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        try:
            model, config, dataset = load_run(record.run.path)
            path = record.run.checkpoint("initial")
            first = make_model(config.model, dataset.num_channels, dataset.num_classes)
            load_parameters(first, read_checkpoint(path)[0], path)
        except (ValueError, OSError, MemoryError, MissingPackageError) as error:
            return None, [str(error)]
    if tested and len(dataset.subset("test")):
        split = "test"
    else:
        split = "train" if config.train.refit else "validation"
    unit = time_unit(config.data.name)
    network = Network(model, first.state_dict(), config, dataset.subset(split), split, unit)
    return network, [str(warning.message) for warning in said]


def _validation(line: Mapping[str, Any]) -> tuple[float, float]:
    accuracy, loss = line.get("validation_accuracy"), line.get("validation_loss")
    return (
        accuracy if isinstance(accuracy, int | float) else -1.0,
        -loss if isinstance(loss, int | float) else -math.inf,
    )


def _line(run: RunFolder, number: int, line: str) -> dict[str, Any]:
    """The metrics of an epoch."""
    try:
        content = json.loads(line)
        if not isinstance(content, dict) or not isinstance(content["epoch"], int):
            raise TypeError(f"it says {shown(content)}")
        return content
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{run.metrics}, line {number} is no metrics of an epoch ({cut(str(error))})") from error


def _mapping(path: Path) -> dict[str, Any]:
    if not os.path.isfile(path):
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError(f"it says {shown(content)}")
        return content
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({cut(str(error))}); put it back or take it away") from error

"""Run folders: what a training run leaves behind, and how to pick it up again.

config.yaml            the resolved configuration
environment.json       versions, machine and threads of the session that began it
metrics.jsonl          one line per epoch
initial.safetensors    parameters before training
last.safetensors       everything needed to continue: parameters, optimizer, random generator, epoch, best so far
best.safetensors       parameters of the epoch with the best validation accuracy; not with train.refit
result.json, *.png     written at the end
.lock                  keeps a second process out while one trains
starts/                with train.starts > 1: what each start left behind, in the same files

Every checkpoint says what it comes from: the configuration and the fingerprint of the data (`Origin`). With
train.average, it also holds the moving average of the parameters, which answers for the network.
"""

import json
import os
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from saltation import data
from saltation.check import cut, shown
from saltation.data.events import TRAIN, VALIDATION
from saltation.data.samples import Samples
from saltation.environment import environment
from saltation.files import append_line, hold, make_folder, whole_lines, write_bytes, write_text
from saltation.metrics import Workload
from saltation.sequential import Sequential
from saltation.train.checkpoint import load_answering, read_checkpoint
from saltation.train.config import Config, DataConfig
from saltation.train.evaluate import evaluate
from saltation.train.hardware import on_hardware, quantised
from saltation.train.model import make_model
from saltation.train.objective import Objective
from saltation.train.processes import launch
from saltation.train.recipes import load_config, to_yaml

MAY_CHANGE = ("data.path", "data.root", "threads")  # the fingerprint says whether the data are the same


@dataclass(frozen=True)
class Origin:
    """What a run comes from: its configuration and its data."""

    config: dict[str, Any]  # flat: by dotted keys
    fingerprint: str
    num_channels: int
    num_classes: int
    source: str

    @classmethod
    def of(cls, config: Config, dataset: Samples) -> "Origin":
        """Of a configuration and the data set that it names."""
        flat = json.loads(json.dumps(flattened(asdict(config))))
        return cls(flat, dataset.fingerprint(), dataset.num_channels, dataset.num_classes, dataset.source)

    def fixed(self) -> dict[str, Any]:
        """The configuration without what may change from one session to the next."""
        return {key: value for key, value in self.config.items() if key not in MAY_CHANGE}

    def record(self) -> dict[str, Any]:
        """What a checkpoint says of it."""
        return {"origin": asdict(self)}

    def read(self, path: Path, exact: bool = True) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """The checkpoint at `path`, which must have this origin.

        exact  False: for evaluation; only model and loss must be the same, and other data are worth a warning
        Raises ValueError if it has another one, saying what differs.
        """
        tensors, record = read_checkpoint(path)
        try:
            saved = Origin(**record["origin"])
            config = dict(saved.config)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} does not say what it comes from; use another checkpoint") from error
        for key in sorted(config.keys() | self.config.keys()):
            matters = key not in MAY_CHANGE if exact else key.startswith(("model.", "loss."))
            here, there = self.config.get(key), config.get(key)
            if matters and here != there:
                raise ValueError(
                    f"{path.with_name('config.yaml')} was edited: {cut(key)} is {shown(here)} there, but "
                    f"{shown(there)} in {path.name}; set it back, or start a new run with the new value"
                )
        for name in ("num_channels", "num_classes"):
            if getattr(saved, name) != getattr(self, name):
                raise ValueError(
                    f"{self.source} now has {name} {getattr(self, name)}, but {path} was trained with "
                    f"{getattr(saved, name)} ({saved.source}); give it the data of that time, or train anew"
                )
        if saved.fingerprint != self.fingerprint:
            text = f"{self.source} is not the data that {path} was trained with ({saved.source})"
            if exact:
                raise ValueError(f"{text}; give it the data of that time (data.path, data.root), or start a new run")
            warnings.warn(f"{text}; the figures are those of other samples", stacklevel=2)
        return tensors, record


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run folder, and its metrics file.

    writes: whether this process writes; of several that train together only one does
    """

    path: Path
    writes: bool = True

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """One JSON line per epoch."""
        return self.path / "metrics.jsonl"

    @property
    def environment(self) -> Path:
        """On what the run was begun."""
        return self.path / "environment.json"

    @property
    def result(self) -> Path:
        """What the finished run reached."""
        return self.path / "result.json"

    def checkpoint(self, which: str) -> Path:
        """The checkpoint `initial`, `last` or `best`."""
        return self.path / f"{which}.safetensors"

    def start(self, number: int) -> "RunFolder":
        """The folder of one of several starts."""
        return RunFolder(self.path / "starts" / str(number), self.writes)

    def begun(self) -> bool:
        """Whether there is a state to continue from. Raises FileNotFoundError if there was one once."""
        if os.path.exists(self.checkpoint("last")):
            return True
        if os.path.exists(self.metrics):
            raise FileNotFoundError(
                f"{self.checkpoint('last')} is missing, so {self.path} cannot be continued; put it back, or start a "
                "new run in another folder"
            )
        return False

    def take_over(self, other: "RunFolder") -> None:
        """Copy the checkpoints and metrics of `other`; `last`, which says that all is there, comes last."""
        for source in (other.metrics, *(other.checkpoint(which) for which in ("initial", "best", "last"))):
            write_bytes(self.path / source.name, source.read_bytes())

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Add the line of an epoch."""
        if self.writes:
            append_line(self.metrics, json.dumps(line))

    def read_metrics(self, epochs: int) -> list[dict[str, Any]]:
        """The lines of the first `epochs` epochs; what a crash left behind them is left out.

        Raises ValueError if one of them is missing or damaged.
        """
        history = []
        lines = whole_lines(self.metrics)
        for epoch in range(1, epochs + 1):
            try:
                history.append(json.loads(lines[epoch - 1]))
                if history[-1]["epoch"] != epoch:
                    raise ValueError(f"it is of epoch {shown(history[-1]['epoch'])}")
            except (IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
                raise ValueError(
                    f"{self.metrics}, line {epoch}: the metrics of an epoch that {self.checkpoint('last').name} "
                    f"has behind it are missing or damaged ({error}); put the file back, or start a new run"
                ) from error
        return history

    def truncate_metrics(self, epochs: int) -> list[dict[str, Any]]:
        """Keep only the first `epochs` lines, and return them."""
        history = self.read_metrics(epochs)
        if self.writes:
            write_text(self.metrics, "".join(json.dumps(line) + "\n" for line in history))
        return history


def new_run(config: Config, out: str | os.PathLike[str] | None) -> tuple[RunFolder, FileLock]:
    """A new run folder, held (see `hold`): `out`, or runs/<name>-<time>. Raises ValueError if `out` is taken.

    A run that was killed before its first checkpoint has lost nothing, and is begun again.
    """
    if out is None:
        base = Path("runs") / f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        path, copy = base, 2
        while os.path.exists(path):
            path, copy = base.with_name(f"{base.name}-{copy}"), copy + 1
    else:
        path = Path(out)
    run = RunFolder(path)
    make_folder(path)
    lock = hold(path)
    if os.path.exists(run.config) and (os.path.exists(run.metrics) or os.path.exists(run.checkpoint("last"))):
        lock.release()
        raise ValueError(f"{path} holds a run already; continue it with --resume {path} or choose another --out")
    begun_by = launch()
    started = {} if begun_by is None else {"torchrun": begun_by}
    write_text(run.environment, json.dumps({**environment(), **started}, indent=2) + "\n")
    write_text(run.config, to_yaml(config))
    return run, lock


def open_run(path: str | os.PathLike[str]) -> tuple[RunFolder, Config]:
    """An existing run folder and its configuration. Raises FileNotFoundError, or ValueError if that is not legal."""
    run = RunFolder(Path(path))
    if not os.path.isfile(run.config):
        raise FileNotFoundError(f"no run at {run.path}: it has no config.yaml; give a folder that training has written")
    try:
        return run, load_config(run.config)
    except ValueError as error:
        raise ValueError(
            f"{error}; was it edited, or written by another version of saltation? Then train again with this one"
        ) from error


def load_data(config: DataConfig, refit: bool = False) -> Samples:
    """The data set of a configuration, with validation samples; or, to refit, with these among the training samples.

    Raises ValueError if it has no samples to train on, or none to validate with.
    """
    options = dict(config.options)
    if config.split_key is not None:
        options["split_key"] = config.split_key
    if config.duration is not None:
        options["duration"] = config.duration
    dataset = data.load(config.name, config.path, config.root, **options)
    if not (dataset.split == TRAIN).any():
        raise ValueError(f"{dataset.source} has no training samples; give it some of split 0")
    if refit:
        return dataset.with_split(np.where(dataset.split == VALIDATION, TRAIN, dataset.split))
    if not (dataset.split == VALIDATION).any():
        dataset = dataset.with_validation(config.validation_fraction, config.validation_seed)
    if not (dataset.split == VALIDATION).any():
        raise ValueError(
            f"{dataset.source} has no validation samples (split 1), and none can be taken from the training samples "
            "(split 0), of which every class must keep one; give a class two training samples, or set the split of "
            "some samples to 1"
        )
    return dataset


def load_run(path: str | os.PathLike[str], which: str | None = None) -> tuple[Sequential, Config, Samples]:
    """Network, configuration and data of a run; which: best, last or initial parameters; None: what train.report says.

    With `train.hardware` the network has the parameters that the chip can hold.

    Raises FileNotFoundError or ValueError if the folder or its checkpoint is missing or damaged, or if model, loss or
    the sizes of the data have changed. Warns if the samples have.
    """
    run, config = open_run(path)
    which = config.train.report if which is None else which
    if which not in ("best", "last", "initial"):
        raise ValueError(f"which is {shown(which)}; choose one of best, last, initial")
    dataset = load_data(config.data, config.train.refit)
    checkpoint = run.checkpoint(which)
    tensors, _ = Origin.of(config, dataset).read(checkpoint, exact=False)
    model = make_model(config.model, dataset.num_channels, dataset.num_classes)
    load_answering(model, tensors, checkpoint)
    return quantised(model, config.train.hardware), config, dataset


def evaluate_run(path: str | os.PathLike[str], split: str = "test", dt: float | None = None) -> dict[str, Any]:
    """Loss, accuracy and spike statistics of the parameters that a run reports, on one split of its data.

    Under "neurobench", what `metrics.neurobench` says, with `dt` as there, and classification_accuracy.
    Raises what `load_run` raises, and ValueError if that split is empty.
    """
    model, config, samples = load_split(path, split)
    workload = Workload(model, dt)
    network = on_hardware(model, config.train.hardware)
    found = evaluate(network, Objective(config), samples, config.train.batch_size, workload)
    return {**found, "neurobench": {"classification_accuracy": found["accuracy"], **workload.summary()}}


def load_split(path: str | os.PathLike[str], split: str) -> tuple[Sequential, Config, Samples]:
    """Network and configuration as `load_run` has them, and the samples of one split. Raises ValueError if none."""
    model, config, dataset = load_run(path)
    samples = dataset.subset(split)
    if len(samples) == 0:
        raise ValueError(f"{dataset.source} has no {split} samples; choose another --split, or give it some")
    return model, config, samples


def flattened(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings and lists as one mapping with dotted keys."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
            value = {str(i): entry for i, entry in enumerate(value)}
        if isinstance(value, dict) and value:
            flat |= flattened(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat

"""Everything that changes during training: how it begins, is saved, and is put back."""

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel

from saltation.check import shown
from saltation.data.samples import Samples
from saltation.sequential import Sequential
from saltation.train.checkpoint import (
    AVERAGE,
    load_optimizer_tensors,
    load_parameters,
    optimizer_tensors,
    prefixed,
    write_checkpoint,
)
from saltation.train.config import Config
from saltation.train.model import build_model
from saltation.train.optim import make_average, make_optimizer
from saltation.train.run import Origin, RunFolder


@dataclass
class State:
    """Parameters, their average, optimizer, random generator, and how far training has come."""

    model: Sequential
    optimizer: torch.optim.Optimizer
    generator: torch.Generator  # order of samples, augmentation
    origin: Origin
    average: AveragedModel | None = None
    epoch: int = 0  # finished epochs
    best_accuracy: float = -1.0
    best_loss: float = math.inf
    best_epoch: int = 0
    seconds: float = 0.0
    start: int = 0  # which of the starts this is
    processes: int = 1  # so many train together

    @property
    def answering(self) -> Sequential:
        """The network that is evaluated: that of the averaged parameters, if there are any."""
        return self.model if self.average is None else cast(Sequential, self.average.module)

    def follow(self) -> None:
        """The average follows a step of the parameters."""
        if self.average is not None:
            self.average.update_parameters(self.model)


NUMBERS = {
    "epoch": int, "best_accuracy": float, "best_loss": float, "best_epoch": int, "seconds": float, "start": int,
    "processes": int,
}  # fmt: skip


def new_state(config: Config, train_data: Samples, origin: Origin, start: int = 0) -> State:
    """A network and optimizer at the start. Initialisation and training draw from generators of their own."""
    entropy = [config.seed, start] if start else config.seed
    initialisation, training = (
        torch.Generator().manual_seed(int(stream.generate_state(1, np.uint64)[0]) >> 1)
        for stream in np.random.SeedSequence(entropy).spawn(2)
    )
    model = build_model(config.model, train_data, initialisation)
    optimizer = make_optimizer(model, config.train)
    return State(model, optimizer, training, origin, make_average(model, config.train), start=start)


def begin(run: RunFolder, state: State, refit: bool = False) -> None:
    """Write the checkpoints of a run that has not trained yet; `last`, which says that all is there, comes last."""
    save_parameters(run, "initial", state)
    if not refit:  # which finds no best epoch
        save_parameters(run, "best", state)  # so that any run can be evaluated
    save_state(run, state)


def save_parameters(run: RunFolder, which: str, state: State) -> None:
    """Write the checkpoint `initial` or `best`."""
    if run.writes:
        write_checkpoint(run.checkpoint(which), parameter_tensors(state), state.origin.record())


def parameter_tensors(state: State) -> dict[str, torch.Tensor]:
    """The parameters as training has them, and their average where there is one."""
    average = {} if state.average is None else prefixed(AVERAGE, state.average.state_dict())
    return prefixed("model", state.model.state_dict()) | average


def keep_best(run: RunFolder, state: State, validation: dict[str, Any]) -> None:
    """Save the parameters if this epoch validates better than all before (lower loss among equal accuracies)."""
    accuracy, loss = validation["accuracy"], validation["loss"]
    if (accuracy, -loss) > (state.best_accuracy, -state.best_loss):
        state.best_accuracy, state.best_loss, state.best_epoch = accuracy, loss, state.epoch + 1
        save_parameters(run, "best", state)


def save_state(run: RunFolder, state: State) -> None:
    """Write `last.safetensors`, from which training goes on."""
    if not run.writes:
        return
    optimizer = optimizer_tensors(state.optimizer)
    record = {name: getattr(state, name) for name in NUMBERS} | {"optimizer_tensors": len(optimizer)}
    tensors = {**parameter_tensors(state), **optimizer, "generator": state.generator.get_state()}
    write_checkpoint(run.checkpoint("last"), tensors, {**state.origin.record(), **record})


def restore_state(run: RunFolder, config: Config, train_data: Samples, origin: Origin) -> State:
    """The state that `save_state` wrote. Raises ValueError if it is of another configuration or data, or incomplete."""
    path = run.checkpoint("last")
    tensors, record = origin.read(path)
    state = new_state(config, train_data, origin)
    load_parameters(state.model, tensors, path)
    if state.average is not None:
        load_parameters(state.average, tensors, path, AVERAGE)
        if int(state.average.n_averaged) < 0:
            raise ValueError(f"{path} says the average is of {int(state.average.n_averaged)} steps; start a new run")
    optimizer = [name for name in tensors if name.startswith("optimizer.")]
    if record.get("optimizer_tensors") != len(optimizer) or "generator" not in tensors:
        raise ValueError(f"{path} lacks the state of the optimizer or the random generator; start a new run")
    load_optimizer_tensors(state.optimizer, tensors, path)
    try:
        state.generator.set_state(tensors["generator"])
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"{path} holds no usable state of the random generator ({error}); start a new run") from error
    for name, kind in NUMBERS.items():
        value = record.get(name, getattr(state, name) if name == "processes" else None)  # earlier versions had one
        number = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
        if not number or (kind is int and (not isinstance(value, int) or value < 0)):
            raise ValueError(f"{path} says {name} is {shown(value)}, which is no legal number; start a new run")
        setattr(state, name, value)
    return state

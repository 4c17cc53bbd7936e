"""What stays as it is while networks train, and the states that they begin with or go on from."""

import json
import os
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from saltation.data.samples import Samples
from saltation.train.config import Config
from saltation.train.objective import Objective
from saltation.train.processes import Processes, launch, restarted
from saltation.train.run import Origin, RunFolder
from saltation.train.state import State, new_state, restore_state


@dataclass(frozen=True)
class Training:
    """A configuration, its data, and the processes that share the work. quiet: print nothing."""

    config: Config
    dataset: Samples
    origin: Origin
    processes: Processes
    quiet: bool

    @cached_property
    def samples(self) -> Samples:
        """Those to train on."""
        return self.dataset.subset("train")

    @property
    def objective(self) -> Objective:
        """What is minimised."""
        return Objective(self.config, self.processes)

    def begun(self, start: int = 0) -> State:
        """A network at the start."""
        state = new_state(self.config, self.samples, self.origin, start)
        state.processes = self.processes.count
        return state

    def restored(self, run: RunFolder) -> State:
        """Where a run has come to. A warning says if it was trained by another number of processes."""
        state = restore_state(run, self.config, self.samples, self.origin)
        before, state.processes = state.processes, self.processes.count
        if before != state.processes and state.epoch < self.config.train.epochs and self.processes.leads:
            warnings.warn(
                f"{run.path} was trained by {_in_words(before)} and goes on with {_in_words(state.processes)}: the "
                "same up to rounding, but not bit for bit",
                stacklevel=2,
            )
        return state


def left_behind(out: str | os.PathLike[str] | None) -> str | None:
    """The folder `out` if an earlier attempt of the same torchrun has begun a run there; None if not."""
    if out is None or not restarted():
        return None
    try:
        if not os.path.exists(RunFolder(Path(out)).config):
            return None
        environment = json.loads(RunFolder(Path(out)).environment.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return os.fspath(out) if environment.get("torchrun") == launch() else None


def _in_words(processes: int) -> str:
    return "one process" if processes == 1 else f"{processes} processes"

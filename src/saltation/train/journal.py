"""Where a search keeps its trials: Optuna's journal in a file that survives a crash, and what each trial may try."""

import json
import os
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from omegaconf import OmegaConf
from optuna import Study
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import TrialState

from saltation.check import cut, shown
from saltation.files import append_line, try_lock
from saltation.train.config import Config
from saltation.train.recipes import value_from_text

SETTINGS, NUMBER = "settings", "number"  # attributes of the study, and of each trial


class Journal(BaseJournalBackend):
    """One JSON object a line, for any number of processes at once. An unfinished last line, which a crash may leave, is
    dropped before the next one is written.

    Raises ValueError if the file is damaged elsewhere.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writing = FileLock(path.with_name(f".{path.name}.lock"))
        self.records: list[dict[str, Any]] = []
        self.size = 0  # of the records in the file
        with self.writing:
            self._mend()
        self._catch_up()

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """The records from that number on, those of other processes too."""
        self._catch_up()
        yield from self.records[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add records, on disk when this returns."""
        with self.writing:
            self._mend()
            for record in logs:
                append_line(self.path, json.dumps(record, separators=(",", ":")))

    def _mend(self) -> None:
        """Nobody else is writing: what is unfinished stays so."""
        content = self.path.read_bytes() if os.path.exists(self.path) else b""
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self.path, whole)

    def _catch_up(self) -> None:
        """Read the finished lines that are new."""
        if not os.path.exists(self.path):
            return
        with self.path.open("rb") as file:
            file.seek(self.size)
            new = file.read()
        new = new[: new.rfind(b"\n") + 1]
        self.size += len(new)
        for line in new.splitlines():
            try:
                record = json.loads(line)
                record["op_code"]
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise ValueError(
                    f"{self.path}, line {len(self.records) + 1} is damaged ({error}); choose another --out"
                ) from error
            self.records.append(record)
        if self.records and self.records[0]["op_code"] != 0:  # which creates the study
            raise ValueError(f"{self.path} is damaged: its beginning is missing; choose another --out")


def settle(study: Study, settings: Mapping[str, Any]) -> None:
    """Raise ValueError if the study was begun with other `settings`, JSON-able values by key; or note these in it."""
    now = json.loads(json.dumps(settings))
    begun = study.user_attrs.get(SETTINGS, {} if study.trials else now)
    for key in sorted(begun.keys() | now.keys()):
        if begun.get(key) != now.get(key):
            raise ValueError(
                f"the search in that folder was begun with {key} {shown(begun.get(key))}, not "
                f"{shown(now.get(key))}; set it back or choose another --out"
            )
    if SETTINGS not in study.user_attrs:
        study.set_user_attr(SETTINGS, now)


def next_number(study: Study, folder: Path) -> int:
    """The smallest number that no trial has which is finished or runs; only one process at a time may ask.

    A trial whose process is gone is given up; the same one is tried anew.
    """
    used: set[int] = set()
    for trial in study.get_trials(deepcopy=False):
        number = trial.user_attrs.get(NUMBER)
        if trial.state == TrialState.RUNNING and (number is None or _gone(folder, number)):
            study.tell(trial.number, state=TrialState.FAIL)
        elif trial.state in (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED):
            used.add(len(used) if number is None else number)
    return next(number for number in range(len(used) + 1) if number not in used)


def trial_lock(folder: Path, number: int) -> Path:
    """Held by the process that runs the trial of that number."""
    return folder / f".trial-{number}.lock"


def _gone(folder: Path, number: int) -> bool:
    lock = try_lock(trial_lock(folder, number))
    if lock is not None:
        lock.release()
    return lock is not None


def parse_range(text: str) -> tuple[str, dict[str, Any]]:
    """KEY=LOW:HIGH, KEY=log:LOW:HIGH or KEY=A,B,C as key and choice. Raises ValueError."""
    key, equals, values = text.partition("=")
    if not equals or not values:
        raise ValueError(f"--search {cut(text)}: write KEY=LOW:HIGH, KEY=log:LOW:HIGH or KEY=A,B,C")
    if ":" not in values:
        choices = [value_from_text(value) for value in values.split(",")]
        if any(isinstance(choice, list | dict) for choice in choices):
            raise ValueError(f"--search {cut(text)}: lists and mappings cannot be searched; choose numbers or text")
        return key, {"choices": choices}
    log = values.startswith("log:")
    edges = [value_from_text(edge) for edge in values.removeprefix("log:").split(":")]
    numbers = all(isinstance(edge, int | float) and not isinstance(edge, bool) for edge in edges)
    if len(edges) != 2 or not numbers or not edges[0] < edges[1] or (log and edges[0] <= 0):
        raise ValueError(f"--search {cut(text)}: LOW must be below HIGH, both numbers, and with log above 0")
    if not edges[1] - edges[0] < float("inf"):
        raise ValueError(f"--search {cut(text)}: the range must be finite")
    return key, {"low": edges[0], "high": edges[1], "log": log}


def own_values(config: Config, ranges: Mapping[str, dict[str, Any]]) -> dict[str, Any] | None:
    """The recipe's own values of the keys, or None if one of them is outside of its range."""
    tree = OmegaConf.structured(config)
    values = {}
    for key, choice in ranges.items():
        value = OmegaConf.select(tree, key)
        if "choices" in choice:
            inside = value in choice["choices"]
        else:
            inside = value is not None and choice["low"] <= value <= choice["high"]
        if not inside:
            return None
        values[key] = value
    return values


def suggest(trial: Any, key: str, choice: dict[str, Any]) -> Any:
    """What the trial tries for `key`."""
    if "choices" in choice:
        return trial.suggest_categorical(key, choice["choices"])
    if isinstance(choice["low"], int) and isinstance(choice["high"], int):
        return trial.suggest_int(key, choice["low"], choice["high"], log=choice["log"])
    return trial.suggest_float(key, choice["low"], choice["high"], log=choice["log"])

"""Where a search keeps its trials: Optuna's journal in a file that survives a crash, and what each trial may try."""

import json
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from optuna import Study
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import TrialState

from saltation.check import cut, shown
from saltation.files import append_line, whole_lines, write_text
from saltation.train.config import Config
from saltation.train.recipes import value_from_text

SETTINGS = "settings"


class Journal(BaseJournalBackend):
    """One JSON object a line. An unfinished last line, which a crash may leave, is dropped when the file is opened.

    Raises ValueError if the file is damaged elsewhere.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[dict[str, Any]] = []
        lines = whole_lines(path)
        for number, line in enumerate(lines, start=1):
            try:
                self.records.append(json.loads(line))
                self.records[-1]["op_code"]
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise ValueError(f"{path}, line {number} is damaged ({error}); choose another --out") from error
        if self.records and self.records[0]["op_code"] != 0:  # which creates the study
            raise ValueError(f"{path} is damaged: its beginning is missing; choose another --out")
        write_text(path, "".join(line + "\n" for line in lines))

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """The records from that number on."""
        yield from self.records[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add records, on disk when this returns."""
        for record in logs:
            text = json.dumps(record, separators=(",", ":"))
            append_line(self.path, text)
            self.records.append(json.loads(text))


def settle(study: Study, settings: Mapping[str, Any]) -> int:
    """Make a study ready to go on after whatever ended it; how many of its trials are finished.

    A trial that was running is given up; the same one is tried anew.
    Raises ValueError if the study was begun with other `settings`, JSON-able values by key.
    """
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
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    return len(study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED)))


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

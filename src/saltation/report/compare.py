"""`compare`: several runs side by side, in a table and a picture."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from saltation import plot
from saltation.report.facts import Record, read_record
from saltation.report.words import number, percent, printable, share_with_error, tested
from saltation.train.reading import plain_yaml
from saltation.train.run import MAY_CHANGE, flattened

MOST_SETTINGS = 8  # of each run
NUMBERS = ("epochs", "epoch", "val. %", "test %", "trained", "spikes", "silent", "seconds")
CAPTION = (
    "Below a run: settings in which the runs differ. Epoch: the one that the run reports, with its validation "
    "accuracy, spikes per neuron and sample, and silent neurons (%). Trained: how many parameters are."
)


def compare(runs: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> Table:
    """Draw the curves of runs into the picture `out`, and return a table of what they reached and where they differ.

    Runs may be unfinished, or of earlier versions: what they do not say is a dash, or "not recorded".
    Raises ValueError for fewer than two runs or the same one twice, and what `read_record` raises.
    """
    if len(runs) < 2:
        raise ValueError("give two runs or more to compare; saltation report RUN shows a single one")
    paths = [Path(run).resolve() for run in runs]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is given twice; leave one out")
    records = [read_record(run) for run in runs]
    names = _names(paths)
    plot.save(plot.compare_figure(dict(zip(names, (r.history for r in records), strict=True))), Path(out))
    table = Table(box=box.SIMPLE_HEAD, caption=CAPTION, caption_justify="left", padding=(0, 0, 1, 0))
    table.add_column("run", overflow="fold")
    for title in NUMBERS:
        table.add_column(title, justify="right", no_wrap=True)
    for name, record, settings in zip(names, records, differences(records), strict=True):
        lines = [name, *_lines(settings)]
        table.add_row(*(Text(printable(cell)) for cell in ("\n".join(lines), *_numbers(record))))
    return table


def differences(records: Sequence[Record]) -> list[dict[str, Any]]:
    """For every run those of its settings, by dotted keys, in which not all are alike."""
    settings = [_settings(record) for record in records]
    keys = sorted({key for each in settings for key in each} - {"name", *MAY_CHANGE})
    unlike = [key for key in keys if any(each.get(key) != settings[0].get(key) for each in settings)]
    return [{key: each.get(key) for key in unlike} for each in settings]


def _settings(record: Record) -> dict[str, Any]:
    """As they stand in the file, which may be that of another version."""
    content = plain_yaml(record.settings, str(record.run.config))
    return flattened(content) if isinstance(content, dict) else {}


def _names(paths: Sequence[Path]) -> list[str]:
    """The folders' own names; with those above them where two are alike."""
    own = [path.name for path in paths]
    if len(set(own)) == len(own):
        return own
    shared = os.path.commonpath(paths)
    return [os.path.relpath(path, shared) for path in paths]


def _lines(settings: Mapping[str, Any]) -> list[str]:
    shown = [f"{key} {value}" for key, value in list(settings.items())[:MOST_SETTINGS]]
    more = len(settings) - len(shown)
    return [*shown, *([f"and {more} more"] if more else [])]


def _numbers(record: Record) -> list[str]:
    reported, found = record.reported(), record.result
    return [
        str(len(record.history)),
        number(reported.get("epoch")),
        percent(reported.get("validation_accuracy")).removesuffix(" %"),
        share_with_error(found.get("test_accuracy"), tested(found)).removesuffix(" %").replace(" ", ""),
        number(found.get("parameters")),
        number(reported.get("spikes_per_neuron")),
        percent(reported.get("silent_neurons")).removesuffix(" %"),
        number(record.seconds()),
    ]

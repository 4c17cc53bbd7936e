"""Accuracy: networks trained by each gradient from the same start, at equal processor time."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from saltation.experiments import tuning
from saltation.experiments.case import Case, Picture, Row, Size, Table
from saltation.experiments.statistics import column, mean_std, paired_rows
from saltation.experiments.tasks import SETUPS, named, words
from saltation.plot.style import PALETTE, tidy

TRAINED = ("W", "WD", "WT", "WDT")
WORDS = {"W": "weights", "WD": "weights, delays", "WT": "weights, thresholds", "WDT": "weights, delays, thresholds"}
PARTS = {"yin_yang_30": ("exact", "smoothed", "surrogate_0.2ms")}  # which arms also train fewer parameters
SEEDS = {"mnist": 3, "braille_recurrent": 3, "spoken_digits": 3}  # others: 5
MORE_SEEDS = dict.fromkeys(PARTS["yin_yang_30"], 10)  # of Yin-Yang, where seeds differ by as much as the arms
SMALL = {"train.epochs": 2}
REFERENCE = "smoothed"  # what all others are compared with
DRAWN = ("yin_yang_30", "braille")  # the tables have all


def cases(size: Size) -> list[Case]:
    """Full: all data sets and arms. Quick: Yin-Yang, a few epochs. Tiny: three arms of it."""
    if size == "full":
        found = [_case(setup, arm, "WDT", _seeds(setup, arm)) for setup, made in SETUPS.items() for arm in made.epochs]
        less = [(setup, arm, trained) for setup, arms in PARTS.items() for trained in TRAINED[:-1] for arm in arms]
        return found + [_case(setup, arm, trained, 5) for setup, arm, trained in less]
    small: dict[str, Any] = {**SMALL, "data.options.publication": False, "data.options.sizes": [300, 100, 100]}
    arms = list(SETUPS["yin_yang_5"].epochs) if size == "quick" else ["exact", "surrogate_2ms", "surrogate_1ms_exact"]
    return [_case("yin_yang_5", arm, "WDT", 2, small) for arm in arms]


def _case(setup: str, arm: str, trained: str, seeds: int, changes: dict[str, Any] | None = None) -> Case:
    settings = {**named(setup, arm), "trained": trained, "chosen": tuning.settings_of(setup, arm)}
    return Case(f"{setup}-{trained}-{arm}", settings | ({"changes": changes} if changes else {}), seeds)


def _seeds(setup: str, arm: str) -> int:
    return MORE_SEEDS.get(arm, 5) if setup == "yin_yang_30" else SEEDS.get(setup, 5)


def run(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """One network."""
    return tuning.train(settings, seed, settings["chosen"], test=True)


def of(rows: list[Row], setup: str, arm: str, trained: str = "WDT") -> list[Row]:
    """The rows of one case."""
    wanted = {"setup": setup, "arm": arm, "trained": trained}
    return [row for row in rows if all(row.settings[key] == value for key, value in wanted.items())]


def _line(rows: list[Row], setup: str, arm: str, trained: str) -> list[str]:
    own, reference = of(rows, setup, arm, trained), of(rows, setup, REFERENCE, trained)
    if not own:
        return ["not run"] + [""] * 5
    ahead = "" if arm == REFERENCE else paired_rows(reference, own, "accuracy", 100).words()
    return [
        mean_std(column(own, "accuracy", 100)),
        mean_std(column(own, "test_continuous", 100)),
        str(len(own)),
        f"{np.mean(column(own, 'standard_error', 100)):.2f}",
        f"{np.mean(column(own, 'cpu_seconds')):.1f}",
        ahead,
    ]


COLUMNS = ["test, %", "in continuous time, %", "seeds", "standard error of the test set", "CPU s", "smoothed ahead by"]


def _arms(rows: list[Row], setup: str) -> Table:
    """All arms on a data set."""
    lines = [[words(arm), *_line(rows, setup, arm, "WDT")] for arm in SETUPS[setup].epochs]
    return Table(["gradient", *COLUMNS], lines)


def _parameters(rows: list[Row]) -> Table:
    """What fewer trained parameters reach."""
    lines = [
        [WORDS[trained], words(arm), *_line(rows, setup, arm, trained)]
        for setup, arms in PARTS.items()
        for trained in TRAINED
        for arm in arms
    ]
    return Table(["trained", "gradient", *COLUMNS], lines)


def _summary(rows: list[Row]) -> Table:
    """A line for each data set that was run. Of the surrogates the step that was best on validation samples, alone; the
    standard error is that of the test set.
    """
    lines = []
    for setup, made in SETUPS.items():
        arms = [of(rows, setup, arm) for arm in ("exact", "smoothed")]
        grids = {arm: own for arm in made.epochs if made.arm(arm).on_grid and (own := of(rows, setup, arm))}
        best = max(grids, key=lambda arm: np.mean(column(grids[arm], "validation_grid")), default=None)
        arms += [grids.get(best or "", []), of(rows, setup, next((a for a in made.epochs if a.endswith("_exact")), ""))]
        cells = [mean_std(column(own, "accuracy", 100), 1) for own in arms]
        if best:
            cells[2] += f" ({words(best).removeprefix('surrogate ')})"
        there = [own for own in arms if own]
        if not there:
            continue
        seeds = " / ".join(sorted({str(len(own)) for own in there}, key=int))
        error = f"{max(np.mean(column(own, 'standard_error', 100)) for own in there):.1f}"
        seconds = f"{np.median([np.mean(column(own, 'cpu_seconds')) for own in there]):.0f}"
        lines.append([words(setup), *cells, seeds, error, seconds])
    header = ["data", "exact", "smoothed", "surrogate (step)", "surrogate, then exact"]
    return Table([*header, "seeds", "standard error", "CPU s"], lines)


def _curve(axes: Axes, rows: list[Row], setup: str) -> None:
    """Validation accuracy against CPU seconds, mean over the seeds."""
    for k, arm in enumerate(SETUPS[setup].epochs):
        curves = [row.result["curve"] for row in of(rows, setup, arm)]
        if curves:
            seconds, accuracy = (
                np.mean([[point[key] for point in curve] for curve in curves], axis=0)
                for key in ("cpu_seconds", "accuracy")
            )
            axes.plot(seconds, 100 * accuracy, color=PALETTE[k], linewidth=1.3, label=words(arm))
    axes.set(title=words(setup), xlabel="CPU seconds of training", ylabel="validation accuracy (%)")
    tidy(axes)


def _curves(axes: Any, rows: list[Row]) -> None:
    """The data sets of `DRAWN`."""
    for panel, setup in zip(axes.flat, DRAWN, strict=True):
        _curve(panel, rows, setup)
        if panel.lines:
            panel.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


TABLES: dict[str, Callable[[list[Row]], Table]] = {
    **{setup: partial(_arms, setup=setup) for setup in SETUPS},
    "parameters": _parameters,
    "summary": _summary,
}
PICTURES = {"curves": Picture(_curves, (1, 2), (12.0, 3.8))}

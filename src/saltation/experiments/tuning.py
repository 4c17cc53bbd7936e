"""Tuning: six trials of every arm, each with half the epochs, on the validation samples of one seed.

What is best is `CHOSEN`. The test samples are left alone, and the seed is none of those that are compared.
"""

import math
from typing import Any

from saltation.experiments.arms import run_arm
from saltation.experiments.case import Case, Picture, Row, Size, Table
from saltation.experiments.tasks import SETUPS, named, trials, words

SEED = 100  # of all trials: seeds 0, 1, ... are compared
TUNED = ("yin_yang_30", "japanese_vowels", "digits", "braille")
LIKE = {
    "yin_yang_5": "yin_yang_30",
    "mnist": "digits",
    "braille_recurrent": "braille",
    "spoken_digits": "braille",
}  # take what is best there
CHOSEN: dict[str, dict[str, dict[str, float]]] = {
    "yin_yang_30": {
        "exact": {"rate": 2},
        "smoothed": {"rate": 4, "smoothing": 0.2},
        "surrogate_0.2ms": {"rate": 2, "slope": 10},
        "surrogate_1ms": {"rate": 2, "slope": 10},
        "surrogate_2ms": {"rate": 4, "slope": 10},
        "surrogate_5ms": {"rate": 4, "slope": 10},
        "surrogate_10ms": {"rate": 1, "slope": 25},
    },
    "japanese_vowels": {
        "exact": {"rate": 4},
        "smoothed": {"rate": 4, "smoothing": 0.2},
        "surrogate_1ms": {"rate": 4, "slope": 10},
        "surrogate_5ms": {"rate": 4, "slope": 10},
        "surrogate_10ms": {"rate": 4, "slope": 10},
    },
    "digits": {
        "exact": {"rate": 4},
        "smoothed": {"rate": 4, "smoothing": 0.2},
        "surrogate_1ms": {"rate": 4, "slope": 10},
        "surrogate_5ms": {"rate": 4, "slope": 10},
    },
    "braille": {
        "exact": {"rate": 1},
        "smoothed": {"rate": 1, "smoothing": 0.3},
        "surrogate_1ms": {"rate": 1, "slope": 25},
        "surrogate_2ms": {"rate": 1, "slope": 25},
        "surrogate_5ms": {"rate": 0.5, "slope": 10},
        "surrogate_10ms": {"rate": 1, "slope": 25},
    },
}


def settings_of(setup: str, name: str) -> dict[str, float]:
    """What an arm is trained with: that which was best on this data set, or on the one it is like; else the middle."""
    return CHOSEN.get(LIKE.get(setup, setup), {}).get(name.removesuffix("_exact"), trials(name)[0])


def cases(size: Size) -> list[Case]:
    """Full: all trials of the tuned data sets. Quick and tiny: two of one arm."""
    found = []
    for setup in TUNED if size == "full" else TUNED[:1]:
        for name in tuned(setup) if size == "full" else ["exact"]:
            changes: dict[str, Any] = {"train.epochs": (SETUPS[setup].epochs[name] + 1) // 2}
            if size != "full":
                changes = {"train.epochs": 2, "data.options.publication": False, "data.options.sizes": [300, 100, 100]}
            for number, trial in enumerate(trials(name) if size == "full" else trials(name)[:2]):
                settings = {**named(setup, name), "trial": trial, "changes": changes}
                found.append(Case(f"{setup}-{name}-{number}", settings, 1))
    return found


def tuned(setup: str) -> list[str]:
    """The arms that have trials: a surrogate that the exact gradient follows takes the settings of the surrogate."""
    return [name for name in SETUPS[setup].epochs if not name.endswith("_exact")]


def run(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """One trial."""
    return train(settings, SEED + seed, settings["trial"], test=False)


def train(settings: dict[str, Any], seed: int, trial: dict[str, float], test: bool) -> dict[str, Any]:
    """One run of an arm on a data set."""
    setup, own = SETUPS[settings["setup"]], {key: value for key, value in trial.items() if key != "rate"}
    task = setup.task(settings["arm"], settings.get("trained", "WDT"), trial["rate"])
    task.changes.update(settings.get("changes", {}))
    arm = setup.arm(settings["arm"], **own, epochs=task.changes["train.epochs"])
    return run_arm(task, arm, seed, test)


def best(rows: list[Row]) -> dict[str, dict[str, dict[str, float]]]:
    """By data set and arm the trial with the lowest validation loss."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        arms = found.setdefault(row.settings["setup"], {})
        arms[row.settings["arm"]] = min(arms.get(row.settings["arm"], row), row, key=_loss)
    return {setup: {arm: row.settings["trial"] for arm, row in arms.items()} for setup, arms in found.items()}


def _loss(row: Row) -> float:
    """One that diverged is the last choice."""
    loss = float(row.result["validation_loss"])
    return math.inf if math.isnan(loss) else loss


def _table(rows: list[Row]) -> Table:
    """Every trial; the best of each arm in bold."""
    winners, lines = best(rows), []
    for row in rows:
        trial, result = row.settings["trial"], row.result
        mark = "**" if winners[row.settings["setup"]][row.settings["arm"]] == trial else ""
        how = "grid" if result["validation_grid"] is not None else "continuous"
        others = ", ".join(f"{key} {value:g}" for key, value in trial.items() if key != "rate")
        figures = f"{result['validation_loss']:.4f}", f"{100 * result[f'validation_{how}']:.1f}"
        lines.append(
            [words(row.settings["setup"]), words(row.settings["arm"]), f"{trial['rate']:g}", others]
            + [f"{mark}{figure}{mark}" for figure in figures]
        )
    return Table(["data", "gradient", "rates", "setting", "validation loss", "validation, %"], lines)


TABLES = {"trials": _table}
PICTURES: dict[str, Picture] = {}

"""Networks trained by each gradient, on disturbed input and on devices that are not what they were trained for.

Every network is trained once, then tested with each kind of disturbance (`disturb.KINDS`) at each strength; draws of
noise and devices are the same for all arms of a seed. Half of the networks are trained with noise: jitter and loss of
spikes (`NOISE`), which all arms can have. Tested in continuous time and, those of a grid, also on it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from saltation.experiments.arms import BATCH, Arm, trained
from saltation.experiments.case import Case, Picture, Row, Size, Table
from saltation.experiments.disturb import FIXED, KINDS, Losing, disturbed_data, disturbed_network
from saltation.experiments.grid.pack import Settings
from saltation.experiments.grid.train import evaluate_twin, make_twin
from saltation.experiments.statistics import mean_std, paired
from saltation.experiments.tasks import SETUPS, named, words
from saltation.experiments.tuning import settings_of
from saltation.plot.style import PALETTE, note, tidy
from saltation.sequential import Sequential
from saltation.train.config import Config
from saltation.train.evaluate import evaluate
from saltation.train.objective import Objective
from saltation.train.run import load_data

ARMS = {
    "yin_yang_30": ("exact", "smoothed", "surrogate_0.2ms", "surrogate_1ms"),
    "braille": ("exact", "smoothed", "surrogate_5ms"),
}
NOISE = {  # without and with noise in training
    "yin_yang_30": ({}, {"train.jitter": 0.1, "train.hidden_drop": 0.1}),
    "braille": ({"train.jitter": 0.0, "train.drop": 0.0, "train.stretch": 0.0, "train.hidden_drop": 0.0}, {}),
}  # the recipe of Braille has noise
DRAWS = {"yin_yang_30": 2, "braille": 1}
SEEDS = {"yin_yang_30": 5, "braille": 3}
HARD = {"jitter": 5.0, "loss": 0.2, "insertion": 0.5, "weight_bits": 4}
BASES = {"yin_yang_30": "surrogate_0.2ms", "braille": "surrogate_5ms"}  # what exact and smoothed ones are held against


def cases(size: Size) -> list[Case]:
    """Full: both data sets. Quick and tiny: Yin-Yang, a few epochs, one strength of some kinds."""
    if size == "full":
        return [
            Case(f"{setup}-{arm}-{('plain', 'noise')[noise]}", _settings(setup, arm, noise), SEEDS[setup])
            for setup, arms in ARMS.items()
            for noise in (0, 1)
            for arm in arms
        ]
    epochs, sizes = (4, [600, 100, 200]) if size == "quick" else (1, [60, 20, 20])
    changes = {"train.epochs": epochs, "data.options.publication": False, "data.options.sizes": sizes}
    arms = ("exact", "surrogate_1ms")
    small = {"changes": changes, "kinds": HARD}
    return [Case(f"yin_yang_30-{arm}-plain", _settings("yin_yang_30", arm, 0) | small, 1) for arm in arms]


def _settings(setup: str, arm: str, noise: int) -> dict[str, Any]:
    chosen = settings_of(setup, arm)  # those of undisturbed samples: nothing is tuned for disturbances
    return {**named(setup, arm), "noise": noise, "chosen": chosen, "draws": DRAWS[setup]}


def run(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Accuracy on the test samples as they are, and for every kind of disturbance a list, by strength."""
    setup, chosen = SETUPS[settings["setup"]], dict(settings["chosen"])
    task = setup.task(settings["arm"], rate=chosen.pop("rate"))
    task.changes.update(NOISE[settings["setup"]][settings["noise"]] | settings.get("changes", {}))
    arm = setup.arm(settings["arm"], **chosen)
    network, config, reached = trained(task, arm, seed)
    chosen_kinds = settings.get("kinds") or dict.fromkeys(KINDS)
    found: dict[str, Any] = {"clean": tested(network, config, arm), "cpu_seconds": reached["cpu_seconds"]}
    for number, (kind, strength) in enumerate(chosen_kinds.items()):
        strengths = KINDS[kind].strengths if strength is None else (strength,)
        draws = 1 if kind in FIXED else settings["draws"]
        each = [
            [
                tested(network, config, arm, kind, strength, setup.millisecond, _generator(seed, number, draw))
                for draw in range(draws)
            ]
            for strength in strengths
        ]
        curves = {how: [_mean([one[how] for one in same]) for same in each] for how in ("continuous", "grid")}
        found[kind] = {"strengths": list(strengths), **curves}
    return found


def _generator(seed: int, kind: int, draw: int) -> torch.Generator:
    """The same for all arms and strengths, so that one device is looked at with all of them."""
    entropy = np.random.SeedSequence([seed, kind, draw]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(entropy[0]) >> 1)


def _mean(values: list[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None


def tested(
    network: Sequential,
    config: Config,
    arm: Arm,
    kind: str = "",
    strength: float = 0.0,
    millisecond: float = 1.0,
    generator: torch.Generator | None = None,
) -> dict[str, float | None]:
    """Test accuracy in continuous time, and on the grid of the arm (None: there is none, or not of this kind)."""
    data = load_data(config.data).subset("test")
    if generator is not None:
        data = disturbed_data(kind, strength, data, millisecond, generator)
        network = disturbed_network(kind, strength, network, generator)
    probed = Losing(network, strength, generator) if kind == "hidden_loss" and generator is not None else network
    exact = evaluate(probed, Objective(config), data, BATCH)["accuracy"]
    if not arm.on_grid or kind in ("hidden_loss", "tau"):
        return {"continuous": exact, "grid": None}
    twin = make_twin(config, network, data.duration, Settings(arm.dt, arm.slope))
    return {"continuous": exact, "grid": evaluate_twin(twin, config, data)["accuracy"]}


# -- tables and pictures -------------------------------------------------------------------------------------------


def area(result: dict[str, Any], kind: str, how: str) -> float | None:
    """The mean accuracy between no disturbance and the strongest one, by the trapezoidal rule; of bits between the most
    and the fewest.
    """
    curve = result[kind]
    values, strengths = list(curve[how]), list(curve["strengths"])
    if kind not in FIXED:
        values, strengths = [result["clean"][how], *values], [0.0, *strengths]
    if any(value is None for value in values) or len(values) < 2:
        return None
    return float(np.trapezoid(values, strengths) / (strengths[-1] - strengths[0]))


def of(rows: list[Row], setup: str, arm: str, noise: int) -> list[Row]:
    """The rows of one case."""
    wanted = {"setup": setup, "arm": arm, "noise": noise}
    return [row for row in rows if all(row.settings[key] == value for key, value in wanted.items())]


def label(arm: str, noise: int) -> str:
    """As tables have it."""
    return words(arm) + (", noise in training" if noise else "")


def areas(rows: list[Row], setup: str) -> Table:
    """Per cent, of each kind, and the mean of all kinds; a line for each arm, on a grid a second one."""
    lines = []
    for noise in (0, 1):
        for arm in ARMS[setup]:
            own = of(rows, setup, arm, noise)
            if not own:
                lines.append([label(arm, noise), "not run", *[""] * (len(KINDS) + 2)])
            for how in ("continuous", "grid"):
                if not own or own[0].result["clean"][how] is None:
                    continue
                name = label(arm, noise) + (", on its grid" if how == "grid" else "")
                clean = mean_std([100 * row.result["clean"][how] for row in own], 1)
                each = {kind: _areas(own, kind, how) for kind in KINDS}
                complete = all(len(values) == len(own) for values in each.values())
                mean = mean_std(list(np.mean(list(each.values()), axis=0)), 1) if complete else ""
                cells = [mean_std(values, 1) if values else "" for values in each.values()]
                lines.append([name, clean, *cells, mean, str(len(own))])
    return Table(["gradient", "undisturbed", *(kind.words for kind in KINDS.values()), "mean of all", "seeds"], lines)


def _areas(rows: list[Row], kind: str, how: str) -> list[float]:
    values = (area(row.result, kind, how) for row in rows if kind in row.result)
    return [100 * value for value in values if value is not None]


def ahead(rows: list[Row], setup: str) -> Table:
    """Areas of the exact and the smoothed arm minus those of the surrogate, points, paired by seed."""
    lines = []
    for noise in (0, 1):
        for arm in ("exact", "smoothed"):
            ours, theirs = of(rows, setup, arm, noise), of(rows, setup, BASES[setup], noise)
            cells = [_difference(ours, theirs, kind) for kind in KINDS]
            lines.append([label(arm, noise), *cells])
    return Table([f"minus the {words(BASES[setup])}", *(kind.words for kind in KINDS.values())], lines)


def _difference(ours: list[Row], theirs: list[Row], kind: str) -> str:
    """The surrogate counts where it is better, on its grid or in continuous time."""
    mine = {row.seed: area(row.result, kind, "continuous") for row in ours if kind in row.result}
    other: dict[int, float] = {}
    for row in theirs:
        if kind in row.result:
            both = [area(row.result, kind, how) for how in ("continuous", "grid")]
            there = [value for value in both if value is not None]
            if there:
                other[row.seed] = max(there)
    seeds = [seed for seed in sorted(mine.keys() & other.keys()) if mine[seed] is not None]
    return paired([100 * mine[seed] for seed in seeds], [100 * other[seed] for seed in seeds]).words(1)  # type: ignore[operator]


def draw(axes: Any, rows: list[Row], setup: str) -> None:
    """Accuracy against strength, a panel for each kind; dashed: trained with noise; dotted: on the grid."""
    if not any(row.settings["setup"] == setup for row in rows):
        note(axes[0][0], "not run")
        return
    for panel, (kind, about) in zip(axes.flat, KINDS.items(), strict=True):
        for k, arm in enumerate(ARMS[setup]):
            for noise in (0, 1):
                own = [row for row in of(rows, setup, arm, noise) if kind in row.result]
                for how, style in (("continuous", "--" if noise else "-"), ("grid", ":")):
                    if not own or own[0].result[kind][how][0] is None or (how == "grid" and noise):
                        continue
                    strengths = own[0].result[kind]["strengths"]
                    curves = [row.result[kind][how] for row in own]
                    if kind not in FIXED:
                        strengths = [0.0, *strengths]
                        curves = [[row.result["clean"][how], *curve] for row, curve in zip(own, curves, strict=True)]
                    title = label(arm, noise) if how == "continuous" else f"{label(arm, noise)}, on its grid"
                    middle = 100 * np.mean(np.array(curves, float), axis=0)
                    panel.plot(strengths, middle, style, color=PALETTE[k], lw=1.3, label=title)
        panel.set(xlabel=about.words)
        if kind in FIXED:
            panel.invert_xaxis()
        tidy(panel)
    for left in axes[:, 0]:
        left.set_ylabel("test accuracy (%)")
    if axes[0][0].get_lines():
        handles = axes[0][0].get_legend_handles_labels()
        axes[0][0].figure.legend(*handles, fontsize=8, frameon=False, ncols=4, loc="outside lower center")


def _of(function: Callable[..., Any], setup: str) -> Callable[..., Any]:
    return lambda *arguments: function(*arguments, setup)


TABLES: dict[str, Callable[[list[Row]], Table]] = {
    f"{name}_{setup}": _of(function, setup) for setup in ARMS for name, function in (("areas", areas), ("ahead", ahead))
}
PICTURES = {setup: Picture(_of(draw, setup), (3, 3), (11.0, 9.0)) for setup in ARMS}

"""Gradient quality: what each gradient says the loss will do, and what it does; noise; angles between gradients.

Every arm's gradient is taken of the same network on the same samples, without random changes, at the start of training
and at its end. Then the network takes steps along each of them, and its loss in continuous time is measured.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from saltation.experiments.arms import Arm, trained
from saltation.experiments.case import Case, Picture, Row, Size, Table
from saltation.experiments.slopes import Probe, cosines, signal_to_noise, unit
from saltation.experiments.statistics import mean_std
from saltation.experiments.tasks import SETUPS, named, words
from saltation.plot.style import PALETTE, tidy
from saltation.train.run import Origin, load_data
from saltation.train.state import new_state

ARMS = ("exact", "smoothed", "surrogate_1ms", "surrogate_5ms", "surrogate_10ms")
LENGTHS = (0.001, 0.01, 0.03, 0.1, 0.3)  # of steps, in steps of Adam
SHOWN = (1, 3)  # which of them the table shows
BATCH = 32
SMOOTHING, SLOPE = 0.2, 10.0  # not tuned: the middle of what tuning tries
POINTS = {"start": "at the start", "exact": "trained by the exact gradient"}


def cases(size: Size) -> list[Case]:
    """Full: Braille and Yin-Yang, at all points. Quick, tiny: Yin-Yang."""
    if size == "full":
        wanted = [("braille", "start", "hidden"), ("braille", "exact", "hidden"), ("braille", "start", "all")]
        wanted += [("yin_yang_30", point, "all") for point in POINTS]
        return [
            Case("-".join((setup, point, *(["hidden"] if part == "hidden" else []))), _settings(setup, point, part, 8))
            for setup, point, part in wanted
        ]
    changes = {"train.epochs": 2, "data.options.publication": False, "data.options.sizes": [200, 100, 100]}
    points = ("start", "exact") if size == "quick" else ("start",)
    return [
        Case(f"yin_yang_5-{point}", _settings("yin_yang_5", point, "all", 3) | {"changes": changes}, 1)
        for point in points
    ]


def _settings(setup: str, point: str, part: str, batches: int) -> dict[str, Any]:
    own = {**named(setup), "point": point, "batches": batches, "smoothing": SMOOTHING, "slope": SLOPE}
    return own if part == "all" else {**own, "part": part}


def run(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """All arms at one point of training."""
    setup, point = SETUPS[settings["setup"]], settings["point"]
    task = setup.task("exact" if point == "start" else point)
    task.changes.update(settings.get("changes", {}))
    config = task.config(setup.arm("exact"), seed)
    dataset = load_data(config.data)
    data = dataset.subset("train")
    state = new_state(config, data, Origin.of(config, dataset))
    arms = {name: setup.arm(name, settings["slope"], settings["smoothing"]) for name in ARMS}
    if point != "start":
        network, _, _ = trained(task, arms[point], seed)
        state.model.load_state_dict(network.state_dict())
    order = np.random.default_rng(seed).permutation(len(data))[: BATCH * settings["batches"]]
    batches = [data.batch(part) for part in np.split(order, settings["batches"])]
    return measure(Probe(config, state, dataset.duration, batches, settings.get("part") == "hidden"), arms)


def measure(probe: Probe, arms: dict[str, Arm]) -> dict[str, Any]:
    """Of every arm: norm, signal to noise, cosines, and losses along it, in continuous time and on its own grid."""
    found: dict[str, Any] = {}
    directions = []
    for name, arm in arms.items():
        gradients = probe.gradients(arm)
        directions.append(unit(gradients))
        found[name] = {
            "norm": float(gradients.mean(0).norm()),
            "signal_to_noise": signal_to_noise(gradients),
            "single_batch_cosine": float((gradients @ directions[-1] / gradients.norm(dim=1)).mean()),
        }
        lengths = [sign * length * probe.size**0.5 for sign in (-1.0, 1.0) for length in LENGTHS]
        for where, grid in (("continuous", None), *([("grid", arm)] if arm.on_grid else [])):
            losses = probe.losses_along(directions[-1], lengths, grid)
            half = len(LENGTHS)
            found[name][where] = {"loss": probe.loss(grid), "down": losses[:half], "up": losses[half:]}
    return {"parameters": probe.size, "lengths": list(LENGTHS), "arms": found, "cosines": cosines(directions)}


def true_slope(result: dict[str, Any], arm: str, k: int, where: str = "continuous") -> float:
    """Of the loss along an arm's direction, from steps of length k to either side."""
    losses = result["arms"][arm][where]
    return float((losses["up"][k] - losses["down"][k]) / (2 * LENGTHS[k] * result["parameters"] ** 0.5))


def decrease(result: dict[str, Any], arm: str) -> np.ndarray:
    """By how much a step of each length along an arm's direction lowers the loss in continuous time."""
    losses = result["arms"][arm]["continuous"]
    return losses["loss"] - np.array(losses["down"])


Place = tuple[str, str, str]  # data set, point of training, which parameters


def place(row: Row) -> Place:
    """What a row looks at."""
    return row.settings["setup"], row.settings["point"], row.settings.get("part", "all")


def by_place(rows: list[Row]) -> dict[Place, list[Row]]:
    """The rows of each place."""
    found: dict[Place, list[Row]] = {}
    for row in rows:
        found.setdefault(place(row), []).append(row)
    return found


def _directions(rows: list[Row]) -> Table:
    """Predicted and true slopes along each direction."""
    lines = []
    for (setup, point, part), own in by_place(rows).items():
        for arm in ARMS:
            results = [row.result for row in own]
            ratios = [[true_slope(result, arm, k) / result["arms"][arm]["norm"] for result in results] for k in SHOWN]
            grid = [
                true_slope(result, arm, SHOWN[1], "grid") / result["arms"][arm]["norm"]
                for result in results
                if "grid" in result["arms"][arm]
            ]
            best = [float(decrease(result, arm).max()) for result in results]
            noise = [result["arms"][arm]["signal_to_noise"] for result in results]
            cosine = [result["cosines"][ARMS.index(arm)][ARMS.index("smoothed")] for result in results]
            figures = [*map(mean_std, ratios), mean_std(grid) if grid else "", mean_std(best, 4), mean_std(noise, 3)]
            lines.append([words(setup), POINTS[point], part, words(arm), *figures, mean_std(cosine, 2), str(len(own))])
    steps = [f"true / predicted slope, step {LENGTHS[k]:g}" for k in SHOWN]
    header = ["data", "point", "parameters", "direction", *steps, "step 0.1, on its own grid", "largest decrease"]
    return Table([*header, "signal / noise", "cosine with smoothed", "seeds"], lines)


def _decreases(axes: Axes, own: list[Row]) -> None:
    """True decrease against the length of the step, along every direction."""
    setup, point, part = place(own[0])
    for k, arm in enumerate(ARMS):
        true = np.mean([decrease(row.result, arm) for row in own], axis=0)
        predicted = np.mean([row.result["arms"][arm]["norm"] * row.result["parameters"] ** 0.5 for row in own])
        axes.plot(LENGTHS, true, ".-", color=PALETTE[k], linewidth=1.3, label=words(arm))
        axes.plot(LENGTHS, predicted * np.array(LENGTHS), ":", color=PALETTE[k], linewidth=0.9)
    top = max(float(np.mean([decrease(row.result, arm) for row in own], axis=0).max()) for arm in ARMS)
    axes.set(xscale="log", ylim=(-0.5 * top, 1.3 * top), title=f"{words(setup)}, {POINTS[point]}, {part}")
    axes.set(xlabel="length of the step (steps of Adam)", ylabel="decrease of the loss")
    axes.axhline(0.0, color="black", linewidth=0.5)
    tidy(axes)


def _draw(axes: Any, rows: list[Row]) -> None:
    """A panel for each data set and point; dotted: predicted."""
    there = list(by_place(rows).values())
    for panel, own in zip(axes.flat, there, strict=False):
        _decreases(panel, own)
    axes.flat[0].legend(fontsize=7, frameon=False)
    for panel in axes.flat[len(there) :]:
        panel.set_axis_off()


TABLES = {"directions": _directions}
PICTURES = {"directions": Picture(_draw, (2, 3), (12.0, 6.5))}

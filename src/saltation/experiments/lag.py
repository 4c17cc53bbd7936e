"""Which of two ears hears a click first: accuracy against the lag, for networks trained by each gradient.

Each ear has FIBRES inputs that spike once for each of CLICKS clicks, at times of their own around it: JITTER. In
one class the second ear hears everything `lag` later than in the other. The times of the clicks are random, so only the
difference between the ears tells the classes apart. What the best observer reaches is known: `best`.

On a grid, spikes of the input are shared out between the two steps around them, so that the grid sees their times
(`binned` False), or fall into the step in which they are, as data on a grid usually have them (True).
"""

import math
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from saltation.data.events import EventDataset
from saltation.data.npz import save_npz
from saltation.experiments.arms import BATCH, Arm, Task, run_arm, trained
from saltation.experiments.case import Case, Picture, Row, Size, Table, seed_of
from saltation.experiments.statistics import column, mean_std, paired_rows
from saltation.plot.style import PALETTE, note, tidy
from saltation.train import load_config
from saltation.train.evaluate import evaluate
from saltation.train.objective import Objective
from saltation.train.run import load_data

RECIPE = str(Path(__file__).with_suffix(".yaml"))
FIBRES, CLICKS, JITTER, DURATION = 10, 3, 0.1, 80.0  # times in ms
GAP, FIRST, LAST = 15.0, 8.0, 64.0  # of the clicks: least distance, and where they lie
LAGS = (0.05, 0.1, 0.2, 0.5, 2.0, 1.0, 5.0)
SAMPLES = {"full": (600, 400, 1000), "quick": (600, 100, 300), "tiny": (64, 32, 32)}
RATES = (0.5, 1.0, 2.0, 4.0)  # times the learning rates of the recipe
TRIAL_LAG = 0.2
ARMS: dict[str, dict[str, Any]] = {
    "exact": {"arm": {"gradient": "exact"}},
    "smoothed": {"arm": {"gradient": "smoothed", "smoothing": 0.2}},
    **{
        f"{'binned' if binned else 'grid'}{dt:g}": {
            "arm": {"gradient": "surrogate", "dt": dt, "slope": 10.0},
            "binned": binned,
        }
        for dt in (1.0, 2.0, 5.0, 10.0)
        for binned in (False, True)
    },
}
CHOSEN = {"binned1": 2.0, "binned2": 2.0, "binned5": 4.0, "grid1": 4.0, "grid5": 2.0, "grid10": 2.0}
"""Of RATES by arm: the one with the least validation loss, see the table `trials`; else 1."""


def cases(size: Size) -> list[Case]:
    """Every arm with every lag; and, of the full size, trials with samples of their own."""
    common = {"samples": SAMPLES[size], "epochs": {"full": 40, "quick": 3, "tiny": 1}[size]}
    lags = LAGS if size == "full" else (0.5,)
    arms = ARMS if size == "full" else {arm: ARMS[arm] for arm in ("exact", "smoothed", "binned1")}
    found = [
        Case(
            f"{name}_lag{lag:g}",
            {**arm, "lag": lag, "rate": CHOSEN.get(name, 1.0), **common},
            {"full": 5, "quick": 2, "tiny": 1}[size],
        )
        for lag in lags
        for name, arm in arms.items()
    ]
    if size != "full":
        return found
    trials = [
        Case(f"tune_{name}_{rate:g}", {**arm, "lag": TRIAL_LAG, "rate": rate, "tune": True, **common}, 1)
        for name, arm in ARMS.items()
        for rate in RATES
    ]
    return trials + found


def run(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Test accuracy of the arm itself (on its grid, with its input), and in continuous time on the exact input; of a
    trial the validation loss of the arm itself.
    """
    arm, dt = Arm(**settings["arm"]), settings["arm"].get("dt", 0.0)
    data = clicks(settings["lag"], settings["samples"], seed_of(settings, seed))
    rates = asdict(load_config(RECIPE).train.lr)
    changes = {f"train.lr.{kind}": settings["rate"] * rates[kind] for kind in ("weight", "readout", "delay")}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clicks.npz"
        save_npz(path, binned(data, dt) if settings.get("binned") else data)
        task = Task(RECIPE, {"data.path": str(path), "train.epochs": settings["epochs"], **changes})
        if settings.get("tune"):
            return {"validation_loss": run_arm(task, arm, seed_of(settings, seed), test=False)["validation_loss"]}
        network, config, result = trained(task, arm, seed)
        save_npz(path, data)
        exact = evaluate(network, Objective(config), load_data(config.data).subset("test"), BATCH)
    kept = ("accuracy", "standard_error", "spikes_per_neuron", "cpu_seconds")
    return {**{key: result[key] for key in kept}, "continuous": exact["accuracy"]}


def clicks(lag: float, sizes: tuple[int, int, int], seed: int) -> EventDataset:
    """Samples of both classes for training, validation and test; those of one seed differ in their lag alone."""
    rng = np.random.default_rng([seed, 20])
    total = sum(sizes)
    labels = rng.integers(2, size=total)
    free = LAST - FIRST - GAP * (CLICKS - 1)
    onsets = FIRST + np.sort(free * rng.random((total, CLICKS)), axis=1) + GAP * np.arange(CLICKS)
    times = onsets[:, :, None] + JITTER * rng.standard_normal((total, CLICKS, 2 * FIBRES))
    times[:, :, FIBRES:] += lag * (labels[:, None, None] - 0.5)
    channels = np.broadcast_to(np.arange(2 * FIBRES), times.shape)
    return gathered(times.reshape(total, -1), channels.reshape(total, -1), labels, np.repeat([0, 1, 2], sizes))


def gathered(times: np.ndarray, channels: np.ndarray, labels: np.ndarray, split: np.ndarray) -> EventDataset:
    """A data set from equally many events a sample (S, events)."""
    order = np.argsort(times, axis=1, kind="stable")
    times, channels = np.take_along_axis(times, order, 1), np.take_along_axis(channels, order, 1)
    offsets = times.shape[1] * np.arange(len(times) + 1)
    return EventDataset(times.ravel(), channels.ravel(), offsets, labels, split, 2 * FIBRES, 2, DURATION)


def binned(data: EventDataset, dt: float) -> EventDataset:
    """Every event at the start of the step of length dt in which it lies."""
    shape = len(data.labels), -1
    times = dt * np.floor(data.times / dt)
    return gathered(times.reshape(shape), data.channels.reshape(shape), data.labels, data.split)


def best(lag: float) -> float:
    """The accuracy of the best observer, who compares the mean times of the two ears."""
    spread = JITTER * math.sqrt(2.0 / (FIBRES * CLICKS))
    return float(norm.cdf(0.5 * lag / spread))


def by_arm(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows by the name of their arm."""
    found: dict[str, list[Row]] = {}
    for row in (row for row in rows if "tune" not in row.settings):
        found.setdefault(row.case.rpartition("_lag")[0], []).append(row)
    return found


def lags_of(rows: list[Row]) -> list[float]:
    """That were run, in order."""
    return sorted({row.settings["lag"] for row in rows if "tune" not in row.settings})


def trials(rows: list[Row]) -> Table:
    """Validation loss of every trial, a line for each arm."""
    found = {row.case: f"{row.result['validation_loss']:.4f}" for row in rows if "tune" in row.settings}
    lines = [[name_of(arm), *(found.get(f"tune_{arm}_{rate:g}", "not run") for rate in RATES)] for arm in ARMS]
    return Table(["arm", *(f"rates x {rate:g}" for rate in RATES)], lines)


def name_of(arm: str) -> str:
    """As tables have it."""
    for prefix, words in (("grid", "surrogate, {} ms"), ("binned", "surrogate, {} ms, binned input")):
        if arm.startswith(prefix):
            return words.format(arm.removeprefix(prefix))
    return arm


def accuracy(rows: list[Row]) -> Table:
    """Per cent, mean and standard deviation, a line for each arm, a column for each lag."""
    lags = lags_of(rows)
    lines = [["the best observer", *(f"{100 * best(lag):.1f}" for lag in lags), ""]]
    for arm, own in by_arm(rows).items():
        cells = [
            mean_std(column([row for row in own if row.settings["lag"] == lag], "accuracy", 100.0), 1) for lag in lags
        ]
        lines.append([name_of(arm), *cells, mean_std(column(own, "cpu_seconds"), 1)])
    return Table(["arm", *(f"{lag:g} ms" for lag in lags), "CPU s"], lines)


def continuous(rows: list[Row]) -> Table:
    """The same networks in continuous time, with the times of the input as they are."""
    lags = lags_of(rows)
    lines = [
        [name_of(arm)]
        + [mean_std(column([row for row in own if row.settings["lag"] == lag], "continuous", 100.0), 1) for lag in lags]
        for arm, own in by_arm(rows).items()
    ]
    return Table(["arm", *(f"{lag:g} ms" for lag in lags)], lines)


def differences(rows: list[Row]) -> Table:
    """Smoothed minus each other arm, points, paired by seed."""
    found, lags, lines = by_arm(rows), lags_of(rows), []
    for arm, own in found.items():
        if arm == "smoothed" or "smoothed" not in found:
            continue
        cells = []
        for lag in lags:
            ours, theirs = ([row for row in each if row.settings["lag"] == lag] for each in (found["smoothed"], own))
            cells.append(paired_rows(ours, theirs, "accuracy", 100.0).words(1))
        lines.append([name_of(arm), *cells])
    return Table(["smoothed minus", *(f"{lag:g} ms" for lag in lags)], lines)


def draw(axes: Any, rows: list[Row]) -> None:
    """Accuracy against lag: left on the arm's own grid and input, right in continuous time."""
    lags = lags_of(rows)
    if not lags:
        note(axes[0][0], "not run")
        return
    for axis, key, title in zip(axes[0], ("accuracy", "continuous"), ("as trained", "in continuous time"), strict=True):
        axis.plot(lags, [100 * best(lag) for lag in lags], "k--", lw=0.8, label="the best observer")
        for k, (arm, own) in enumerate(by_arm(rows).items()):
            dashed = ":" if arm.startswith("binned") else "-"
            colour = PALETTE[k if k < 2 else 2 + (k - 2) // 2]
            means = [np.mean([100 * row.result[key] for row in own if row.settings["lag"] == lag]) for lag in lags]
            axis.plot(lags, means, f"o{dashed}", ms=3, lw=1.2, color=colour, label=name_of(arm))
        axis.axhline(50.0, color="0.7", lw=0.8)
        axis.set(xscale="log", xlabel="lag (ms)", title=title, ylim=(45, 101))
        axis.set_xticks(lags, [f"{lag:g}" for lag in lags])
        axis.minorticks_off()
        tidy(axis)
    axes[0][0].set_ylabel("test accuracy (%)")
    axes[0][1].legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


TABLES = {"accuracy": accuracy, "continuous": continuous, "differences": differences, "trials": trials}
PICTURES = {"accuracy": Picture(draw, (1, 2), (11.0, 4.0))}

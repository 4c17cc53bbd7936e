"""Learning to fire at given times: one neuron, frozen Poisson input, from 1 to 50 target spikes in half a second.

All arms minimise the van Rossum distance, whose time constant shrinks while they learn, from the same start:

`exact`      in continuous time
`smoothed`   the same, with near misses: a spike that would bring the trains closer has a gradient
`surrogate`  on a grid; its spikes are at multiples of dt. The distance is the same, of the raster: quadratic in it
`surrogate_exact`, `surrogate_smoothed`  the first half of the steps on the grid, the others in continuous time
"""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

import saltation as sal
from saltation.experiments.case import Case, Picture, Row, Size, Table, seed_of
from saltation.experiments.grid.network import Twin
from saltation.experiments.grid.pack import Settings
from saltation.experiments.grid.readouts import Functional
from saltation.experiments.grid_error import poisson
from saltation.experiments.matching import match
from saltation.experiments.statistics import Difference, paired
from saltation.plot.style import PALETTE, note, tidy

INPUTS, RATE, DURATION = 200, 0.01, 500.0  # ms
TAU_MEM, TAU_SYN, MAX_DELAY = 10.0, 2.0, 10.0
WINDOW = 5.0  # within which a spike counts as that of a target
WIDEST, NARROWEST = 20.0, 1.0  # of the van Rossum distance, at the start and at the end
CLIP = 1.0

Loss = Callable[[float, float], Tensor]


RATES = (0.01, 0.03, 0.1)
CHOSEN = {"smoothed": 0.1, "grid1_smoothed": 0.1, "grid1_exact": 0.1, "grid1": 0.1}
"""Learning rate by arm: of RATES the one with the least distance, see the table `trials`."""
ARMS: dict[str, dict[str, Any]] = {
    "exact": {"arm": "exact"},
    "smoothed": {"arm": "smoothed", "smoothing": 0.2},
    "grid1_smoothed": {"arm": "surrogate_smoothed", "dt": 1.0, "slope": 10.0, "smoothing": 0.2},
    "grid1_exact": {"arm": "surrogate_exact", "dt": 1.0, "slope": 10.0},
    **{f"grid{dt:g}": {"arm": "surrogate", "dt": dt, "slope": 10.0} for dt in (1.0, 5.0, 0.1, 2.0)},
}
TASKS: dict[str, dict[str, Any]] = {
    **{f"count{n}": {"targets": n} for n in (1, 5, 20, 50)},  # anywhere, at least 3 ms apart
    **{f"burst{gap:g}": {"targets": 5, "gap": gap} for gap in (3.0, 1.0, 0.3)},  # so many ms apart
}
TUNED_ON = ("count5", "count20")


def cases(size: Size) -> list[Case]:
    """Every arm with every task; and, of the full size, trials with inputs and targets of their own."""
    steps = {"full": 500, "quick": 200, "tiny": 5}[size]
    arms = ARMS if size == "full" else {arm: ARMS[arm] for arm in ("exact", "smoothed", "grid1")}
    tasks = TASKS if size == "full" else {name: TASKS[name] for name in ("count1", "burst1")}
    found = [
        Case(
            f"{arm}_{task}",
            {**settings, **what, "steps": steps, "lr": CHOSEN.get(arm, RATES[1])},
            {"full": 5, "quick": 2, "tiny": 1}[size],
        )
        for task, what in tasks.items()
        for arm, settings in arms.items()
    ]
    if size != "full":
        return found
    trials = [
        Case(f"tune_{arm}_{task}_{lr:g}", {**settings, **TASKS[task], "steps": steps, "lr": lr, "tune": True}, 1)
        for arm, settings in ARMS.items()
        for task in TUNED_ON
        for lr in RATES
    ]
    return trials + found


def run(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Learn, and pair the spikes with the targets: in continuous time and, of an arm on a grid, there."""
    generator = torch.Generator().manual_seed(seed_of(settings, seed))
    inputs = poisson(1, INPUTS, RATE, DURATION, generator)
    wanted = targets(settings["targets"], settings.get("gap"), generator)
    network = start(inputs, generator, settings)
    twin = None
    if "dt" in settings:
        twin = Twin(network, DURATION, Settings(settings["dt"], settings["slope"]), Functional("spikes"))
    then = 0.0 if twin is None else 1.0 if settings["arm"] == "surrogate" else 0.5
    begun = time.process_time()
    learn(network, loss_of(network, twin, then, inputs, wanted), settings)
    spent = time.process_time() - begun
    with torch.no_grad():
        own = spikes = network(inputs).detach()
        found: dict[str, Any] = {"continuous": match(spikes, wanted, WINDOW).summary(), "cpu_seconds": round(spent, 3)}
        if twin is not None and settings["arm"] == "surrogate":
            own = twin.run(inputs).spikes[-1]
            found["grid"] = match(own, wanted, WINDOW).summary()
        found["distance"] = float(sal.losses.van_rossum(own, wanted, NARROWEST).sum())
    return found


def targets(count: int, gap: float | None, generator: torch.Generator) -> sal.Spikes:
    """Target times, never at the edges; gap: of a burst, or None."""
    low, high, least = 50.0, DURATION - 10.0, 3.0
    if gap is None:
        free = high - low - least * (count - 1)
        times = low + free * torch.rand(count, generator=generator, dtype=torch.float64).sort().values
        times += least * torch.arange(count)
    else:
        first = low + (high - low - gap * count) * torch.rand(1, generator=generator, dtype=torch.float64)
        times = first + gap * torch.arange(count)
    return sal.Spikes(times, torch.zeros(count, dtype=torch.int64), torch.tensor([0, count]), 1, DURATION)


def start(inputs: sal.Spikes, generator: torch.Generator, settings: dict[str, Any]) -> sal.Sequential:
    """One neuron that fires, all weights and delays trained."""
    connection = sal.Linear(INPUTS, 1, "axonal", MAX_DELAY, generator=generator)
    layer = sal.Layer(connection, sal.LIF(1, TAU_MEM, TAU_SYN), smoothing=settings.get("smoothing", 0.0))
    sal.init.uniform_delays_(layer, 0.0, MAX_DELAY, generator)
    sal.init.drive_(layer, inputs, generator, drive=2.0, std=2.0)
    return sal.Sequential(layer)


def learn(network: sal.Sequential, loss: Loss, settings: dict[str, Any]) -> None:
    """So many steps of Adam; the rates go to zero along a cosine, the time constant of the distance shrinks."""
    rates = {"weight": settings["lr"], "readout": settings["lr"], "delay": 0.2 * settings["lr"]}
    optimizer = torch.optim.Adam(sal.parameter_groups(network, rates))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings["steps"])
    for step in range(settings["steps"]):
        progress = step / settings["steps"]
        optimizer.zero_grad()
        loss(progress, WIDEST * (NARROWEST / WIDEST) ** progress).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        schedule.step()


def loss_of(network: sal.Sequential, twin: Twin | None, then: float, inputs: sal.Spikes, wanted: sal.Spikes) -> Loss:
    """What is minimised, given the progress of training and the time constant of the distance; on the grid before the
    progress `then`.
    """

    def loss(progress: float, tau: float) -> Tensor:
        if twin is not None and progress < then:
            return raster_distance(twin.run(inputs).value, twin.settings.dt, wanted.times, tau)
        return sal.losses.van_rossum(network(inputs), wanted, tau).sum()

    return loss


def raster_distance(raster: Tensor, dt: float, wanted: Tensor, tau: float) -> Tensor:
    """The same distance of a train on a grid, (1, T, 1): S_t is whether there is a spike at t dt.

    1/2 sum_ij s_i s_j e^{-|t_i - t_j|/tau} is quadratic in S, and its derivative with respect to S_t, for steps with
    and without a spike, is what the surrogate gradient passes on.
    """
    S = raster[0, :, 0]
    steps = dt * torch.arange(1, len(S) + 1, dtype=torch.float64)
    spikes = S.detach().nonzero()[:, 0]
    among = kernel(steps, steps[spikes], tau).sum(1)  # K S, from the few entries that are 1
    towards = kernel(steps, wanted, tau).sum(1)
    gradient = (among - towards).detach()
    value = 0.5 * among[spikes].sum() - towards[spikes].sum() + 0.5 * kernel(wanted, wanted, tau).sum()
    return value.detach() + (gradient * (S - S.detach())).sum()


def kernel(one: Tensor, other: Tensor, tau: float) -> Tensor:
    """(n, m): e^{-|t_i - u_j|/tau}"""
    return (-(one.detach()[:, None] - other.detach()[None, :]).abs() / tau).exp()


NAMES = {
    "exact": "exact",
    "smoothed": "smoothed",
    "grid1_exact": "surrogate, 1 ms, then exact",
    "grid1_smoothed": "surrogate, 1 ms, then smoothed",
}


def name_of(arm: str) -> str:
    """As tables have it."""
    return NAMES.get(arm, f"surrogate, {arm.removeprefix('grid')} ms")


def by_arm(rows: list[Row], task: str) -> dict[str, list[Row]]:
    """Rows of one task by the name of their arm, which ends before the task in that of the case."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.case.endswith(f"_{task}") and "tune" not in row.settings:
            found.setdefault(row.case.removesuffix(f"_{task}"), []).append(row)
    return found


def tasks_of(rows: list[Row]) -> dict[str, str]:
    """What is shown of each task, by its name."""
    found = {}
    for row in rows:
        if "tune" in row.settings:
            continue
        count, gap = row.settings["targets"], row.settings.get("gap")
        if gap is None:
            found[f"count{count}"] = f"{count} target{'s' if count > 1 else ''}"
        else:
            found[f"burst{gap:g}"] = f"{count} in a burst, {gap:g} ms apart"
    return found


def figures(row: Row, how: str) -> tuple[float, float, float]:
    """RMS error in ms (nan without a pair), share of targets matched, surplus."""
    result = row.result[how]
    rms = math.nan if result["rms"] is None else result["rms"]
    return rms, result["matched"], result["surplus"]


def learnt(rows: list[Row]) -> Table:
    """A line for each task and arm: geometric mean of the RMS errors, means of the shares."""
    lines = []
    for task, words in tasks_of(rows).items():
        for arm, own in by_arm(rows, task).items():
            for how in ("grid", "continuous") if "grid" in own[0].result else ("continuous",):
                rms, matched, surplus = np.array([figures(row, how) for row in own]).T
                paired_ones = rms[np.isfinite(rms)]
                error = two_digits(1e3 * math.exp(np.log(paired_ones).mean())) if len(paired_ones) else "no pair"
                place = {"grid": "the grid", "continuous": "continuous time"}[how]
                shares = [f"{100 * matched.mean():.1f}", f"{100 * surplus.mean():.1f}"]
                lines.append([words, name_of(arm), place, error, *shares, str(len(own))])
    return Table(["targets", "arm", "scored in", "RMS error, µs", "matched, %", "surplus, %", "seeds"], lines)


def trials(rows: list[Row]) -> Table:
    """Distance per target of every trial, a line for each arm; the least is chosen."""
    lines = []
    for arm in ARMS:
        cells = []
        for lr in RATES:
            own = [row for row in rows if row.case.startswith(f"tune_{arm}_c") and row.settings["lr"] == lr]
            each = [row.result["distance"] / row.settings["targets"] for row in own]
            cells.append(f"{np.mean(each):.3f}" if each else "not run")
        lines.append([name_of(arm), *cells])
    return Table(["arm", *(f"rate {lr:g}" for lr in RATES)], lines)


def two_digits(value: float) -> str:
    """Such as 0.038 and 13,000."""
    return f"{float(f'{value:.2g}'):,g}"


def factor(difference: Difference) -> str:
    """Of a difference of decimal logarithms, with its interval."""
    if difference.pairs == 0:
        return "no pair"
    mean, low, high = (two_digits(10.0**value) for value in difference[:3])
    return mean if difference.pairs == 1 else f"{mean} [{low}, {high}]"


def ratios(rows: list[Row]) -> Table:
    """By which factor the RMS errors of a grid of 1 ms, on it, are those of the arms in continuous time: paired."""
    lines = []
    for task, words in tasks_of(rows).items():
        found = by_arm(rows, task)
        theirs = {row.seed: figures(row, "grid")[0] for row in found.get("grid1", [])}
        for arm in (name for name in NAMES if name in found):
            ours = {row.seed: figures(row, "continuous")[0] for row in found[arm]}
            seeds = [seed for seed in sorted(ours.keys() & theirs.keys()) if math.isfinite(ours[seed] + theirs[seed])]
            difference = paired(
                [math.log10(theirs[seed]) for seed in seeds], [math.log10(ours[seed]) for seed in seeds]
            )
            lines.append([words, name_of(arm), factor(difference), str(len(seeds))])
    return Table(["targets", "arm", "error of the 1 ms grid over its own", "pairs"], lines)


def draw(axes: Any, rows: list[Row]) -> None:
    """Error and share matched of every arm, task by task."""
    upper, lower = axes[0][0], axes[1][0]
    tasks = tasks_of(rows)
    if not tasks:
        note(upper, "not run")
        return
    arms_there = list(dict.fromkeys(arm for task in tasks for arm in by_arm(rows, task)))
    for k, arm in enumerate(arms_there):
        own = [by_arm(rows, task).get(arm, []) for task in tasks]
        how = "grid" if any("grid" in row.result for each in own for row in each) else "continuous"
        places = np.arange(len(tasks)) + 0.1 * (k - 0.5 * (len(arms_there) - 1))
        for axis, column in ((upper, 0), (lower, 1)):
            values = [np.array([figures(row, how)[column] for row in each]) for each in own]
            for place, each in zip(places, values, strict=True):
                axis.plot(np.full(len(each), place), each, ".", ms=4, color=PALETTE[k], alpha=0.5)
            middle = [np.nanmedian(each) if np.isfinite(each).any() else math.nan for each in values]
            axis.plot(places, middle, "_", ms=7, mew=2, color=PALETTE[k], label=name_of(arm))
    upper.set(yscale="log", ylabel="RMS error (ms)")
    lower.set(ylabel="share matched", ylim=(-0.03, 1.03))
    upper.set_xticks([])
    tidy(upper)
    tidy(lower)
    lower.set_xticks(np.arange(len(tasks)), [words.replace(", ", ",\n") for words in tasks.values()], fontsize=7)
    upper.legend(fontsize=7, frameon=False, ncols=2)


TABLES = {"learnt": learnt, "ratios": ratios, "trials": trials}
PICTURES = {"learnt": Picture(draw, (2, 1), (8.0, 6.0))}

"""Memory: bytes kept for the backward pass, peak memory of a training step, and modelled traffic (`traffic`)."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from saltation import LI, Sequential, Spikes, losses
from saltation.bench.measure import peak_megabytes, reset_peak
from saltation.bench.workloads import TAU_MEM, TAU_SYN, Ours, Workload
from saltation.experiments.case import Case, Picture, Row, Size, Table
from saltation.experiments.grid.network import Twin
from saltation.experiments.grid.pack import Settings
from saltation.experiments.grid.readouts import Functional
from saltation.experiments.grid.train import make_twin
from saltation.experiments.kept import kept_by, kept_by_graph
from saltation.experiments.statistics import mean_std
from saltation.experiments.tasks import MILLISECONDS, SETUPS, named
from saltation.experiments.traffic import words_in_events, words_on_grid
from saltation.experiments.unrolled import unrolled
from saltation.parameters import layers
from saltation.plot.style import PALETTE, tidy
from saltation.train.objective import Objective
from saltation.train.run import Origin, load_data
from saltation.train.state import new_state

SMOOTHING = 0.2
BASE = {"inputs": 100, "hidden": 128, "duration": 1.0, "rate": 10.0, "spikes": 8.0}
SWEEPS: dict[str, tuple[float, ...]] = {
    "duration": (0.125, 0.25, 0.5, 1.0, 2.0, 4.0),
    "rate": (1.0, 3.0, 10.0, 30.0, 100.0),
    "spikes": (1.0, 3.0, 10.0, 30.0, 100.0),
}
STEPS = (2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)  # seconds
DATA = ("yin_yang_30", "braille", "spoken_digits", "mnist")
PEAK_BATCH = 32


def cases(size: Size) -> list[Case]:
    """Full: networks of the data sets, sweeps on random input, peaks. Quick: less of it; tiny: one network."""
    data = [Case(f"data-{setup}", {"kind": "data", **named(setup), "batch": 16}, 1) for setup in DATA]
    sweep = [
        Case(f"{key}-{value:g}", {"kind": "sweep", **BASE, key: value, "batch": 4}, 1)
        for key, values in SWEEPS.items()
        for value in values
    ]
    ways = ["exact", *(f"grid_{dt}" for dt in (1e-3, 5e-3, 1e-2)), "unrolled_0.001"]
    peak = [Case(f"peak-{way}", {"kind": "peak", **BASE, "way": way, "batch": PEAK_BATCH}, 1) for way in ways]
    if size == "full":
        return data + sweep + peak
    small = [case._replace(seeds=1) for case in (data[0], sweep[0], peak[0], peak[1])]
    return small if size == "quick" else [_smaller(sweep[0])]


def _smaller(case: Case) -> Case:
    return Case(case.name, {**case.settings, "inputs": 10, "hidden": 8, "duration": 0.05, "batch": 2}, 1)


def run(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """One network, or one process."""
    if settings["kind"] == "data":
        return _of_data(settings, seed)
    if settings["kind"] == "sweep":
        return _of_sweep(settings, seed)
    command = [sys.executable, "-m", "saltation.experiments.memory", json.dumps([settings, seed])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {"megabytes": float(done.stdout.splitlines()[-1])}


def _of_data(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """The network of a recipe at its start."""
    setup, batch = SETUPS[settings["setup"]], settings["batch"]
    config = setup.task("exact").config(setup.arm("exact"), seed)
    dataset = load_data(config.data)
    data = dataset.subset("train")
    state = new_state(config, data, Origin.of(config, dataset))
    order = np.random.default_rng(seed).permutation(len(data))
    objective, model = Objective(config), state.model

    def loss(spikes: Spikes, labels: Tensor) -> Tensor:
        return objective(model.run(spikes), labels)[0]

    def twin(milliseconds: float) -> Twin:
        return make_twin(config, state.model, dataset.duration, Settings(milliseconds * setup.millisecond))

    result = _measure(
        model, lambda count: data.batch(order[:count]), batch, loss, twin, [float(m) for m in MILLISECONDS]
    )
    return {**result, "duration_ms": dataset.duration / setup.millisecond}


def _of_sweep(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """A random network with random input."""
    batch = settings["batch"]
    ours = Ours(_workload(settings, 2 * batch, seed))
    model = Sequential(ours.hidden, ours.readout)

    def take(count: int) -> tuple[Spikes, Tensor]:
        return Spikes.cat([ours.spikes.sample(b) for b in range(count)]), ours.labels[:count]

    def loss(spikes: Spikes, labels: Tensor) -> Tensor:
        return losses.readout_cross_entropy(model(spikes).integral(), labels)

    def twin(milliseconds: float) -> Twin:
        return Twin(model, settings["duration"], Settings(1e-3 * milliseconds), Functional("integral"))

    result = _measure(model, take, batch, loss, twin, [1e3 * dt for dt in STEPS])
    weights = [layer.connection.weight.detach().requires_grad_() for layer in model]
    kept = []
    for count in (batch, 2 * batch):
        spikes, labels = take(count)
        kept.append(kept_by_graph(partial(_unrolled_loss, spikes, labels, weights), [*weights, *_arrays(spikes)]))
    return {**result, "unrolled_1ms": (kept[1] - kept[0]) / batch}


def _workload(settings: dict[str, Any], batch: int, seed: int) -> Workload:
    sizes = settings["inputs"], settings["hidden"], 10
    spikes = settings["spikes"] * settings["duration"]  # a neuron: so many a second
    return Workload("sweep", *sizes, batch, settings["duration"], settings["rate"], spikes, "mean", (), seed=seed)


def _unrolled_loss(spikes: Spikes, labels: Tensor, weights: list[Tensor]) -> Tensor:
    values = unrolled(spikes, weights[0], weights[1], (TAU_MEM, TAU_SYN), 1e-3)
    return losses.readout_cross_entropy(values, labels)


def _arrays(spikes: Spikes) -> list[Tensor]:
    return [spikes.times, spikes.units, spikes.offsets]


def _measure(
    model: Sequential,
    take: Callable[[int], tuple[Spikes, Tensor]],
    batch: int,
    loss: Callable[[Spikes, Tensor], Tensor],
    twin: Callable[[float], Twin],
    milliseconds: list[float],
) -> dict[str, Any]:
    """Bytes a sample by each way, from a batch and one twice as large: what does not grow with it is left out."""
    result: dict[str, Any] = {"grid": {}, "words_grid": {}}
    spiking = [layer for layer in layers(model) if not isinstance(layer.neuron, LI)]
    batches = [take(count) for count in (batch, 2 * batch)]
    for name, smoothing in (("exact", 0.0), ("smoothed", SMOOTHING)):
        hidden = layers(model)[:-1]
        for layer in hidden:
            layer.smoothing = smoothing
        parameters = list(model.parameters())
        kept = [kept_by_graph(partial(loss, *b), [*parameters, *_arrays(b[0])]) for b in batches]
        found = model.run(batches[0][0])[: len(spiking)]
        ghosts = [0 if one.spikes.ghosts is None else one.spikes.ghosts.times.numel() / batch for one in found]
        spikes = [one.spikes.times.numel() / batch for one in found]
        for layer in hidden:
            layer.smoothing = 0.0
        result[name] = (kept[1] - kept[0]) / batch
        traffic = _traffic(model, spiking, batches[0][0].times.numel() / batch, spikes)
        result[f"words_{name}"] = sum(
            words_in_events(neurons, events, s + g, state)
            for (neurons, events, state, _), s, g in zip(traffic, spikes, ghosts, strict=True)
        )
        result[f"{name}_counts"] = {"events": [row[1] for row in traffic], "spikes": spikes, "ghosts": ghosts}
    for dt in milliseconds:
        made = twin(dt)
        kept = [_tape(made, spikes) for spikes, _ in batches]
        result["grid"][f"{dt:g}"] = (kept[1] - kept[0]) / batch
        result["words_grid"][f"{dt:g}"] = sum(
            words_on_grid(neurons, events, made.plan.steps, state, before) for neurons, events, state, before in traffic
        )
    return {**result, "neurons": sum(layer.out_size for layer in spiking)}


def _traffic(
    model: Sequential, spiking: list[Any], inputs: float, spikes: list[float]
) -> list[tuple[int, float, int, int]]:
    """Of each spiking layer: neurons, events that reach it, state variables, neurons before it."""
    rows, arriving, before = [], inputs, 0
    for layer, own in zip(spiking, spikes, strict=True):
        copies = len(layer.connection.parts())
        feedback = own if layer.recurrent is not None else 0.0
        adapting = float(layer.neuron.columns()["jump"].detach().abs().max()) > 0.0
        source = before + (layer.out_size if layer.recurrent is not None else 0)
        rows.append((layer.out_size, copies * arriving + feedback, 3 if adapting else 2, source))
        arriving, before = own, layer.out_size
    return rows


def _tape(twin: Twin, spikes: Spikes) -> int:
    """Bytes of the tapes of a batch."""
    outcome = twin.run(spikes)
    batch = outcome.value.grad_fn.batch  # type: ignore[union-attr]
    kept = kept_by([vars(tape) for tape in batch.tapes()])
    outcome.value.sum().backward()
    return kept


def _peak(settings: dict[str, Any], seed: int) -> float:
    """What one training step adds to the memory of this process, in megabytes."""
    torch.set_num_threads(1)
    way, _, dt = settings["way"].partition("_")

    def step(batch: int, duration: float) -> Callable[[], None]:
        sizes = {**settings, "duration": duration}
        ours = Ours(_workload(sizes, batch, seed))
        model, spikes, labels = Sequential(ours.hidden, ours.readout), ours.spikes, ours.labels
        weights = [layer.connection.weight.detach().requires_grad_() for layer in model]
        if way == "exact":
            return lambda: losses.readout_cross_entropy(model(spikes).integral(), labels).backward()
        if way == "unrolled":
            return lambda: _unrolled_loss(spikes, labels, weights).backward()
        twin = Twin(model, duration, Settings(float(dt)), Functional("integral"))
        return lambda: losses.readout_cross_entropy(twin.run(spikes).value, labels).backward()

    step(1, 0.05)()  # libraries and kernels are loaded
    work = step(settings["batch"], settings["duration"])
    reset_peak()  # finding weights of the wanted activity has taken more than the step will
    before = peak_megabytes()
    work()
    return peak_megabytes() - before


def _kind(rows: list[Row], kind: str) -> list[Row]:
    return [row for row in rows if row.settings["kind"] == kind]


def _data(rows: list[Row]) -> Table:
    """Bytes kept and words moved a sample, on the data sets."""
    lines = []
    for setup in DATA:
        own = [row.result for row in _kind(rows, "data") if row.settings["setup"] == setup]
        if not own:
            continue
        mean = {key: float(np.mean([result[key] for result in own])) for key in ("exact", "smoothed", "words_exact")}
        counts = own[0]["exact_counts"]
        head = [setup.replace("_", " "), f"{sum(counts['events']):.0f}", f"{sum(counts['spikes']):.0f}"]
        head += [f"{own[0]['duration_ms']:.0f}", _size(mean["exact"]), f"{mean['smoothed'] / mean['exact']:.1f} x"]
        for dt in MILLISECONDS:
            kept, words = (np.mean([result[key][f"{dt}"] for result in own]) for key in ("grid", "words_grid"))
            head.append(f"{kept / mean['exact']:.1f} x / {words / mean['words_exact']:.2f} x")
        lines.append(head)
    header = ["network", "events", "spikes", "duration, ms", "exact keeps", "smoothed"]
    return Table([*header, *(f"grid of {dt} ms: kept / moved" for dt in MILLISECONDS)], lines)


def _rates(rows: list[Row]) -> Table:
    """Bytes kept on random input, against how often neurons spike."""
    lines = []
    for row in _swept(rows, "spikes"):
        exact = row.result["exact"]
        ratios = [row.result["grid"][f"{1e3 * dt:g}"] / exact for dt in STEPS]
        line = [f"{row.settings['spikes']:g}", _size(exact), f"{row.result['smoothed'] / exact:.1f} x"]
        lines.append([*line, *(f"{ratio:.1f} x" for ratio in ratios), f"{row.result['unrolled_1ms'] / exact:.1f} x"])
    header = ["rate of a neuron, Hz", "exact keeps", "smoothed", *(f"grid, {1e3 * dt:g} ms" for dt in STEPS)]
    return Table([*header, "unrolled in torch, 1 ms"], lines)


def _size(number: float) -> str:
    return f"{number / 1000:.1f} kB" if number >= 1000 else f"{number:.0f} B"


def _peaks(rows: list[Row]) -> Table:
    """Peak memory of a step."""
    found: dict[str, list[float]] = {}
    for row in _kind(rows, "peak"):
        found.setdefault(row.settings["way"], []).append(row.result["megabytes"])
    return Table(["step", "adds, MB"], [[way.replace("_", " "), mean_std(values, 1)] for way, values in found.items()])


LABELS = {"duration": "duration (s)", "rate": "rate of an input (Hz)", "spikes": "rate of a neuron (Hz)"}


def _swept(rows: list[Row], key: str) -> list[Row]:
    """The rows of a sweep in order."""
    own = [row for row in _kind(rows, "sweep") if row.case.startswith(f"{key}-")]
    return sorted(own, key=lambda row: row.settings[key])


def _finish(axes: Axes, own: list[Row], key: str, label: str) -> None:
    """Logarithmic, and the values that were taken as ticks."""
    axes.set(xscale="log", yscale="log", xlabel=LABELS[key], ylabel=label)
    axes.minorticks_off()
    values = [row.settings[key] for row in own]
    axes.set_xticks(values, [f"{value:g}" for value in values])
    tidy(axes)


def _kept(axes: Axes, own: list[Row], key: str) -> None:
    """Bytes a sample against one figure, all else as in BASE."""
    x = [row.settings[key] for row in own]
    curves = {"exact": [row.result["exact"] for row in own], "smoothed": [row.result["smoothed"] for row in own]}
    curves |= {f"grid, {dt} ms": [row.result["grid"][f"{dt}"] for row in own] for dt in MILLISECONDS}
    curves["unrolled in torch, 1 ms"] = [row.result["unrolled_1ms"] for row in own]
    for k, (name, values) in enumerate(curves.items()):
        axes.plot(x, values, ".-", color=PALETTE[k], linewidth=1.2, label=name)
    _finish(axes, own, key, "bytes kept a sample")


def _moved(axes: Axes, own: list[Row], key: str) -> None:
    """Words a sample, over those of the exact gradient."""
    x = [row.settings[key] for row in own]
    for k, dt in enumerate(MILLISECONDS):
        ratio = [row.result["words_grid"][f"{dt}"] / row.result["words_exact"] for row in own]
        axes.plot(x, ratio, ".-", color=PALETTE[k + 2], linewidth=1.2)
    axes.axhline(1.0, color="black", linewidth=0.6)
    axes.set_ylim(0.4, 12.0)
    _finish(axes, own, key, "words moved, grid / exact (model)")
    ticks = (0.5, 1.0, 2.0, 5.0, 10.0)
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])


def _draw(axes: Any, rows: list[Row]) -> None:
    """Above what is kept, below what is moved."""
    for column, key in enumerate(SWEEPS):
        own = _swept(rows, key)
        if own:
            _kept(axes[0, column], own, key)
            _moved(axes[1, column], own, key)
            handles = axes[0, column].get_legend_handles_labels()
    if _kind(rows, "sweep"):
        axes[0, 0].figure.legend(*handles, loc="outside lower center", ncols=7, fontsize=8, frameon=False)


TABLES = {"data": _data, "rates": _rates, "peaks": _peaks}
PICTURES = {"growth": Picture(_draw, (2, 3), (11.0, 6.5))}

if __name__ == "__main__":
    print(_peak(*json.loads(sys.argv[1])))

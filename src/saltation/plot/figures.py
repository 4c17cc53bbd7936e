"""Pictures made of the functions on Axes, and those that a run leaves behind. Everything is drawn off screen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from saltation.data.samples import Samples
from saltation.parameters import parameters
from saltation.plot import curves
from saltation.plot.activity import Step, potential, propagate, raster, readout
from saltation.plot.statistics import confusion, histogram, shortened
from saltation.plot.style import BLUE, GREEN, GREY, ORANGE, plain, save, time_label
from saltation.readout import Readout
from saltation.sequential import Sequential
from saltation.spikes import Spikes


def run_pictures(
    folder: Path,
    model: Sequential,
    initial: Mapping[str, torch.Tensor],
    history: Sequence[dict[str, Any]],
    examples: Samples,
    confusion: Sequence[Sequence[int]] | None = None,
    unit: str = "",
) -> list[Path]:
    """Save learning_curves.png, sample.png, parameters.png and confusion.png in `folder`; returns their paths.

    model      the trained network
    initial    its state_dict before training
    history    one dict of metrics per epoch
    examples   the first of its samples is shown
    confusion  what `evaluate` says; None: no such picture
    unit       of time; "": only the data know
    """
    spikes, labels = examples.batch([0])
    pictures = {
        "learning_curves": learning_figure(history),
        "sample": sample_figure(model, spikes, int(labels[0]), examples.class_names, unit),
        "parameters": parameter_figure(model, initial, unit),
    }
    if confusion is not None:
        pictures["confusion"] = confusion_figure(confusion, examples.class_names)
    return [save(figure, folder / f"{name}.png") for name, figure in pictures.items()]


def learning_figure(history: Sequence[dict[str, Any]]) -> Figure:
    """Loss, accuracy, and the health of training: activity, silence, gradient norm, grazing spikes, ghosts."""
    ghosts = any(line.get("ghosts_per_spike") is not None for line in history)
    figure = Figure(figsize=(17 if ghosts else 13, 6.5), layout="constrained")
    grid = figure.subplots(2, 3 + ghosts, sharex=True)
    upper = [curves.loss_curve, curves.accuracy_curve, curves.rate_curve, curves.ghost_curve]
    lower = [curves.silence_curve, curves.gradient_curve, curves.grazing_curve, curves.ghost_share_curve]
    for row, drawn in zip(grid, (upper, lower), strict=True):
        for axes, draw in zip(row, drawn, strict=False):
            draw(axes, history)
    for axes in grid[0]:
        axes.set_xlabel("")
    figure.align_ylabels()
    return figure


def sample_figure(
    model: Sequential,
    spikes: Spikes,
    label: int | None = None,
    class_names: Sequence[str] = (),
    unit: str = "",
    layer: int | None = None,
    neuron: int | None = None,
    end: float | None = None,
) -> Figure:
    """The first sample: raster through all layers, V(t) against the threshold theta(t) of one neuron, and the readout.

    label          its class, for the title; None: unknown
    layer, neuron  whose potential is shown; default: in the last hidden spiking layer, the one that spikes most
    end            where the time axis ends; default: shortly after the last spike
    """
    spikes = spikes.sample(0)
    steps = propagate(model, spikes)
    chain = [("input", spikes), *((step.name, step.output) for step in steps if isinstance(step.output, Spikes))]
    last = steps[-1].output if isinstance(steps[-1].output, Readout) else None
    shown = _chosen(steps, layer)
    end = _last_time([item for _, item in chain]) if end is None else end
    heights = [float(np.clip(np.sqrt(max(item.num_units, 1)) / 4, 0.7, 2.5)) for _, item in chain]
    heights += [2.2] * ((shown is not None) + (last is not None))
    figure = Figure(figsize=(9, 1.2 * sum(heights) + 0.6), layout="constrained")
    if label is not None:
        figure.suptitle(f"one sample of class {plain(class_names[label]) if class_names else label}")
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    for i, (name, item) in enumerate(chain):
        raster(axes[i], item, name, [GREY, BLUE, ORANGE, GREEN][min(i, 3)])
    if shown is not None:
        assert isinstance(shown.output, Spikes)
        neuron = int(torch.argmax(shown.output.counts()[0])) if neuron is None else neuron
        potential(axes[len(chain)], shown, neuron, end)
    if last is not None:
        readout(axes[-1], steps[-1].name, last, end, class_names, label)
    axes[-1].set(xlabel=time_label(unit), xlim=(0, end))
    return figure


def compare_figure(histories: Mapping[str, Sequence[dict[str, Any]]]) -> Figure:
    """Several runs, by their names: validation accuracy, losses, activity and gradient norm."""
    rows = -(-len(histories) // 3)
    figure = Figure(figsize=(11, 7 + 0.22 * rows), layout="constrained")
    grid = figure.subplots(2, 2, sharex=True)
    named = {shortened(name, 40): history for name, history in histories.items()}
    curves.run_curves(grid[0, 0], named, "validation_accuracy", "validation accuracy (%)", 100)
    curves.run_curves(grid[0, 1], named, "validation_loss", "validation loss")
    curves.run_curves(grid[1, 0], named, "spikes_per_neuron", "spikes per neuron and sample")
    curves.run_curves(grid[1, 1], named, "gradient_norm", "mean gradient norm")
    for axes in grid[0]:
        axes.set_xlabel("")
    for axes in grid[1]:
        axes.set_ylim(bottom=0)
    lines = [Line2D([], [], **curves.run_style(k)) for k in range(len(named))]
    figure.legend(lines, list(named), loc="outside lower center", ncols=3, frameon=False)
    figure.align_ylabels()
    return figure


def confusion_figure(counts: Sequence[Sequence[int]], class_names: Sequence[str]) -> Figure:
    """See `confusion`."""
    size = 2.8 + 0.32 * len(counts)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    figure.colorbar(confusion(axes, counts, class_names), label="% of the class", shrink=0.8)
    return figure


def raster_figure(dataset: Samples, unit: str = "", most: int = 6) -> Figure:
    """The first sample of up to `most` classes; unit: of time. Raises ValueError if there are no samples."""
    firsts = [int(np.flatnonzero(dataset.labels == label)[0]) for label in np.unique(dataset.labels)[:most]]
    if not firsts:
        raise ValueError(f"{dataset.source} has no samples to draw")
    figure = Figure(figsize=(9, 1.7 * len(firsts)), layout="constrained")
    axes = figure.subplots(len(firsts), 1, sharex=True, squeeze=False)[:, 0]
    for axis, i in zip(axes, firsts, strict=True):
        label = int(dataset.labels[i])
        name = plain(dataset.class_names[label]) if dataset.class_names else f"class {label}"
        raster(axis, dataset.batch([i])[0], name)
    axes[-1].set(xlabel=time_label(unit), xlim=(0, dataset.duration))
    return figure


def parameter_figure(model: Sequential, initial: Mapping[str, torch.Tensor], unit: str = "") -> Figure:
    """Histograms before and after training: a row for every connection, with its weights, its delays, and what is
    trained of the neurons behind it. `initial` is the state_dict before training.
    """
    before, after = parameters(model, initial), parameters(model)
    names = list(dict.fromkeys(name for place in after.values() for name in place.neurons))
    delayed = any(place.delays is not None for place in after.values())
    columns = ["weights", *(["delays"] if delayed else []), *names]
    figure = Figure(figsize=(max(3.8 * len(columns), 5), 2.8 * len(after)), layout="constrained")
    grid = figure.subplots(len(after), len(columns), squeeze=False)
    for row, (place, new) in zip(grid, after.items(), strict=True):
        old = before[place]
        for axes, what in zip(row, columns, strict=True):
            if what == "weights":
                histogram(axes, old.weights, new.weights, f"weights of {place}", "weight (a.u.)")
            elif what == "delays" and old.delays is not None and new.delays is not None:
                bounds = (new.delays.low, new.delays.high)
                label = time_label(unit, "delay")
                histogram(axes, old.delays.values, new.delays.values, f"delays of {place}", label, bounds)
            elif what in new.neurons:
                label = time_label(unit, what) if what.startswith("tau") else f"{what} (a.u.)"
                histogram(axes, old.neurons[what], new.neurons[what], f"{what} of {place}", label)
            else:
                axes.set_axis_off()
    return figure


def _chosen(steps: Sequence[Step], layer: int | None) -> Step | None:
    """The layer of that number; or the last hidden one that spikes, or the only one; None if none does."""
    layers = [step for step in steps if step.layer is not None]
    spiking = [step for step in layers if isinstance(step.output, Spikes)]
    if layer is not None:
        return layers[layer]
    hidden = [step for step in spiking if step is not layers[-1]] or spiking
    return hidden[-1] if hidden else None


def _last_time(chain: Sequence[Spikes]) -> float:
    last = max((float(item.times.max()) for item in chain if len(item.times)), default=0.0)
    return min(1.1 * last, chain[0].duration) if last > 0 else chain[0].duration

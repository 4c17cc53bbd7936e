"""Pictures of a run. Everything is drawn off screen and saved as PNG."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from saltation.data.samples import Samples
from saltation.files import write_bytes
from saltation.layer import Layer
from saltation.neurons import LI
from saltation.sequential import Sequential
from saltation.spikes import Spikes

# Okabe and Ito's palette: told apart with every kind of colour vision.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#6E6E6E"
DPI = 150
TRACE_POINTS = 4000


def run_pictures(
    folder: Path,
    model: Sequential,
    initial: dict[str, torch.Tensor],
    history: Sequence[dict[str, Any]],
    examples: Samples,
) -> list[Path]:
    """Save learning_curves.png, sample.png and parameters.png in `folder`; returns their paths.

    model     the trained network
    initial   its state_dict before training
    history   one dict of metrics per epoch
    examples  the first of its samples is shown
    """
    paths = [folder / "learning_curves.png", folder / "sample.png", folder / "parameters.png"]
    learning_curves(history, paths[0])
    spikes, labels = examples.batch(np.array([0]))
    label = int(labels[0])
    name = examples.class_names[label] if examples.class_names else str(label)
    sample_picture(model, spikes, paths[1], title=f"one sample of class {name}")
    parameter_histograms(model, initial, paths[2])
    return paths


def learning_curves(history: Sequence[dict[str, Any]], path: Path) -> None:
    """Loss, accuracy, and the health of training: silent outputs and neurons, grazing spikes, gradient norm, ghosts."""
    ghosts = any(line.get("ghosts_per_spike") is not None for line in history)
    figure = Figure(figsize=(14 if ghosts else 10, 6.5), layout="constrained")
    grid = figure.subplots(2, 2 + ghosts, sharex=True)
    epochs = _column(history, "epoch")
    loss, accuracy, silent, gradient = grid[:, :2].flat
    if ghosts:
        _ghost_curves(history, *grid[:, 2])
    validated = any(line.get("validation_loss") is not None for line in history)
    for axis, name, unit in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
        axis.plot(epochs, unit * _column(history, name), color=BLUE, label="training")
        if validated:
            axis.plot(epochs, unit * _column(history, f"validation_{name}"), color=ORANGE, label="validation")
    loss.set(title="loss", ylabel="loss")
    loss.legend(frameon=False)
    accuracy.set(title="accuracy", ylabel="%")
    accuracy.legend(frameon=False, loc="lower right")
    silent.plot(epochs, 100 * _column(history, "silent_outputs"), color=RED, label="output spikes missing")
    silent.plot(epochs, 100 * _column(history, "silent_neurons"), color=GREY, label="neurons silent all epoch")
    silent.set(title="silence", xlabel="epoch", ylabel="%")
    highest = np.nanmax([_column(history, "silent_outputs"), _column(history, "silent_neurons")], initial=0)
    silent.set_ylim(-3, max(103 * highest, 20))
    silent.legend(frameon=False)
    gradient.plot(epochs, _column(history, "gradient_norm"), color=GREEN, label="gradient norm, mean")
    gradient.plot(epochs, _column(history, "gradient_norm_max"), color=GREEN, alpha=0.35, label="gradient norm, max")
    gradient.set(title="gradient norm before clipping, grazing spikes", xlabel="epoch")
    if np.any(_column(history, "gradient_norm") > 0):
        gradient.set_yscale("log")
    grazing = gradient.twinx()
    grazing.bar(epochs, _column(history, "grazing"), color=GREY, alpha=0.35, width=1.0, label="grazing spikes")
    grazing.set_ylim(0, max(1.0, 2 * float(np.max(_column(history, "grazing"), initial=0))))
    grazing.set_ylabel("grazing spikes per epoch", color=GREY)
    handles = [*gradient.get_legend_handles_labels()[0], *grazing.get_legend_handles_labels()[0]]
    gradient.legend(handles=handles, frameon=False, fontsize="small")
    grazing.spines[["top", "left"]].set_visible(False)
    _save(figure, [*grid.flat], path)


def _ghost_curves(history: Sequence[dict[str, Any]], ghosts: Axes, share: Axes) -> None:
    """Near misses of layers with smoothing, and what they contribute to the gradient."""
    epochs = _column(history, "epoch")
    ghosts.plot(epochs, _column(history, "ghosts_per_spike"), color=BLUE)
    ghosts.set(title="ghosts (near misses) per spike")
    ghosts.set_ylim(bottom=0)
    share.plot(epochs, 100 * _column(history, "ghost_share"), color=BLUE)
    share.set(title="share of the gradient from ghosts", xlabel="epoch", ylabel="%")
    share.set_ylim(bottom=0)


def sample_picture(
    model: Sequential,
    spikes: Spikes,
    path: Path,
    title: str = "",
    layer: int | None = None,
    unit: int | None = None,
    end: float | None = None,
) -> None:
    """Raster of the first sample through all layers, and V(t) against the threshold theta(t) of one neuron.

    layer, unit  the neuron shown; default: in the last hidden spiking layer, the one that spikes most
    end          where the time axis ends; default: shortly after the last spike
    """
    with torch.no_grad():
        chain, inputs = _propagate(model, spikes.detach())
    end = _last_time(chain) if end is None else end
    spiking = [i for i, part in enumerate(model) if isinstance(part, Layer) and not isinstance(part.neuron, LI)]
    sizes = [max(item.num_units, 1) for item in chain]
    heights = [float(np.clip(np.sqrt(size) / 4, 0.7, 2.5)) for size in sizes]
    figure = Figure(figsize=(9, 1.2 * sum(heights) + 3.2), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(len(chain) + 1, 1, sharex=True, height_ratios=[*heights, 2.2])
    for i, (axis, item) in enumerate(zip(axes, chain, strict=False)):
        _raster(axis, item, "input" if i == 0 else f"layer {i}", [GREY, BLUE, ORANGE, GREEN][min(i, 3)])
    if spiking:
        if layer is None:
            layer = [i for i in spiking if i < len(model) - 1 or len(spiking) == 1][-1]
        if unit is None:
            unit = int(torch.argmax(chain[layer + 1].counts()[0]))
        _trace(axes[-1], model[layer], inputs[layer], chain[layer + 1], unit, end, f"layer {layer + 1}, neuron {unit}")
    else:
        axes[-1].set_visible(False)
    axes[-1].set(xlabel="time", xlim=(0, end))
    _save(figure, list(axes), path)


def confusion_matrix(counts: Sequence[Sequence[int]], class_names: Sequence[str], path: Path) -> None:
    """Draw how often each class (row) was taken for each (column), in per cent of the row; see `evaluate`."""
    table = np.array(counts, dtype=float)
    if not table[:, -1].any():
        table = table[:, :-1]
    percent = 100 * table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    names = list(class_names) or [str(label) for label in range(len(table))]
    size = 2.5 + 0.32 * len(table)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    columns = names if table.shape[1] == len(names) else [*names, "none"]
    axis.set_xticks(range(table.shape[1]), columns, rotation=90 if len(names) > 10 else 0)
    axis.set_yticks(range(len(table)), names)
    axis.set(xlabel="answer", ylabel="class")
    for row, column in np.argwhere(percent >= 0.5):
        color = "white" if percent[row, column] > 50 else "black"
        text = f"{percent[row, column]:.0f}"
        axis.text(column, row, text, ha="center", va="center", fontsize="x-small", color=color)
    figure.colorbar(image, label="% of the class", shrink=0.8)
    _save(figure, [axis], path)


def rasters(dataset: Samples, path: Path, most: int = 6) -> Path:
    """Draw the first sample of up to `most` classes; returns the path."""
    firsts = [int(np.flatnonzero(dataset.labels == label)[0]) for label in np.unique(dataset.labels)[:most]]
    if not firsts:
        raise ValueError(f"{dataset.source} has no samples to draw")
    figure = Figure(figsize=(9, 1.7 * len(firsts)), layout="constrained")
    axes = figure.subplots(len(firsts), 1, sharex=True, squeeze=False)[:, 0]
    for axis, i in zip(axes, firsts, strict=True):
        label = int(dataset.labels[i])
        name = dataset.class_names[label] if dataset.class_names else f"class {label}"
        _raster(axis, dataset.batch(np.array([i]))[0], name, BLUE)
    axes[-1].set(xlabel="time", xlim=(0, dataset.duration))
    _save(figure, list(axes), path)
    return path


def parameter_histograms(model: Sequential, initial: dict[str, torch.Tensor], path: Path) -> None:
    """Histograms of the weights and delays of every connection, before and after training.

    All terminals of a layer are shown together. `initial` is the state_dict before training.
    """
    before, after = parameters(model, initial), parameters(model)
    rows = 1 + any(delays.size for _, delays in after.values())
    figure = Figure(figsize=(max(4.2 * len(after), 5), 3 * rows), layout="constrained")
    grid = figure.subplots(rows, len(after), squeeze=False)
    for i, name in enumerate(after):
        _histogram(grid[0, i], before[name][0], after[name][0], f"weights of {name}")
        if after[name][1].size:
            _histogram(grid[1, i], before[name][1], after[name][1], f"delays of {name}")
        elif rows > 1:
            grid[1, i].set_axis_off()
    _save(figure, [axis for axis in grid.flat if axis.axison], path)


@torch.no_grad()
def parameters(
    model: Sequential, state: dict[str, torch.Tensor] | None = None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Weights and delays (none: empty) of every connection, by its name; with `state`, those of that state_dict."""
    current = {name: value.clone() for name, value in model.state_dict().items()}
    if state is not None:
        model.load_state_dict(state)
    connections = {}
    for i, layer in enumerate(model):
        if isinstance(layer, Layer):
            connections[f"layer {i + 1}"] = layer.connection
            if layer.recurrent is not None:
                connections[f"layer {i + 1}, recurrent"] = layer.recurrent
    result = {}
    for name, connection in connections.items():
        parts = connection.parts()
        weights = [part.weight for part in parts]
        delays = [part.delays() for part in parts if part.delay is not None]
        flat = (
            torch.cat([values.flatten() for values in kind]) if kind else torch.empty(0) for kind in (weights, delays)
        )
        weight, delay = (values.numpy().copy() for values in flat)
        result[name] = weight, delay
    model.load_state_dict(current)
    return result


def _propagate(model: Sequential, spikes: Spikes) -> tuple[list[Spikes], list[Spikes]]:
    """The input spikes and what every layer sends on, pooling too (a last layer may not spike); what each gets."""
    chain, got = [spikes], []

    def step(layer: Any, inputs: Spikes) -> Any:
        output = layer(inputs)
        got.append(inputs)
        if isinstance(output, Spikes):
            chain.append(output.detach())
        return output

    model.walk(spikes, step)
    return chain, got


def _last_time(chain: Sequence[Spikes]) -> float:
    last = max((float(item.times.max()) for item in chain if len(item.times)), default=0.0)
    return min(1.1 * last, chain[0].duration) if last > 0 else chain[0].duration


def _raster(axis: Axes, spikes: Spikes, name: str, color: str) -> None:
    first, last = int(spikes.offsets[0]), int(spikes.offsets[1])
    times, units = spikes.times[first:last].numpy(), spikes.units[first:last].numpy()
    half = max(0.4, 0.012 * spikes.num_units)
    axis.vlines(times, units - half, units + half, color=color, linewidth=1.4)
    margin = 0.04 * spikes.num_units + 0.5
    axis.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axis.set(ylabel=f"{name}\n({spikes.num_units})", ylim=(-margin, spikes.num_units - 1 + margin))


def _trace(axis: Axes, layer: Layer, spikes: Spikes, output: Spikes, unit: int, end: float, name: str) -> None:
    times = np.linspace(0.0, end, TRACE_POINTS)
    potential, threshold = layer.trace(spikes, 0, unit, times)
    axis.plot(times, potential, color=BLUE, label="membrane potential V")
    axis.plot(times, threshold, color=RED, linestyle="--", label="threshold θ")
    first, last = int(output.offsets[0]), int(output.offsets[1])
    own = output.times[first:last][output.units[first:last] == unit]
    for time in own.tolist():
        axis.axvline(time, color=GREY, linewidth=0.8, linestyle=":")
    low, high = min(potential.min(), 0.0), max(potential.max(), threshold.max())
    axis.set(ylabel=name, ylim=(low - 0.05 * (high - low), high + 0.3 * (high - low)))
    axis.legend(frameon=False, loc="upper right", ncols=2, fontsize="small")


def _histogram(axis: Axes, before: np.ndarray, after: np.ndarray, title: str) -> None:
    bins = np.histogram_bin_edges(np.concatenate([before, after]), bins=30).tolist()
    axis.hist(before, bins=bins, color=GREY, alpha=0.45, label="before training")
    axis.hist(after, bins=bins, histtype="step", color=BLUE, linewidth=1.6, label="after training")
    axis.set_title(title)
    axis.legend(frameon=False, fontsize="small")


def _column(history: Sequence[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([np.nan if line.get(name) is None else line[name] for line in history], dtype=float)


def _save(figure: Figure, axes: Sequence[Axes], path: Path) -> None:
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.title.set_fontsize(10)
    picture = BytesIO()
    figure.savefig(picture, dpi=DPI, format=path.suffix.removeprefix(".") or None)
    write_bytes(path, picture.getvalue())

"""How training went, epoch by epoch. Every function draws lines of metrics.jsonl on Axes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from saltation.plot.style import BLUE, GREEN, GREY, ORANGE, PALETTE, RED, column, note, recorded, tidy

History = Sequence[dict[str, Any]]
FEW_EPOCHS = 30  # up to so many, every epoch is a dot: a line of one epoch would show nothing


def curve(axes: Axes, history: History, key: str, factor: float = 1.0, **style: Any) -> None:
    """One line over the epochs: `factor` times what the metrics say. None if they say of every epoch that there is no
    such figure; the legend tells if they do not know it.
    """
    values = factor * column(history, key)
    if not recorded(history, key):
        style["label"] = f"{style.get('label', key)} (not recorded)"
    elif not np.isfinite(values).any():
        return
    marker = "." if len(history) <= FEW_EPOCHS else None
    axes.plot(column(history, "epoch"), values, **{"marker": marker, "linewidth": 1.4, **style})


def loss_curve(axes: Axes, history: History) -> None:
    """Loss of training and validation samples."""
    curve(axes, history, "loss", color=BLUE, label="training")
    curve(axes, history, "validation_loss", color=ORANGE, label="validation")
    _finish(axes, "loss", "loss")


def accuracy_curve(axes: Axes, history: History) -> None:
    """Accuracy on training and validation samples."""
    curve(axes, history, "accuracy", 100, color=BLUE, label="training")
    curve(axes, history, "validation_accuracy", 100, color=ORANGE, label="validation")
    _finish(axes, "accuracy", "accuracy (%)", loc="lower right")


def silence_curve(axes: Axes, history: History) -> None:
    """Which part of the output spikes is missing, and of the neurons that never spiked in an epoch."""
    curve(axes, history, "silent_outputs", 100, color=RED, label="output spikes missing")
    curve(axes, history, "silent_neurons", 100, color=GREY, label="neurons silent all epoch")
    highest = max((_highest(history, key) for key in ("silent_outputs", "silent_neurons")), default=0.0)
    axes.set_ylim(-3, max(103 * highest, 20))
    _finish(axes, "silence", "share (%)")


def gradient_curve(axes: Axes, history: History, clip_norm: float = 0.0) -> None:
    """Mean and largest norm of the gradient over the steps of an epoch.

    clip_norm: the bound to which norms were clipped; 0: none
    """
    curve(axes, history, "gradient_norm", color=GREEN, label="mean")
    curve(axes, history, "gradient_norm_max", color=GREEN, alpha=0.4, label="largest")
    if np.any(column(history, "gradient_norm") > 0):
        axes.set_yscale("log")
    if clip_norm > 0:
        axes.axhline(clip_norm, color=RED, linewidth=0.9, linestyle="--", label="clipped to this")
    _finish(axes, "gradient norm before clipping", "norm")


def grazing_curve(axes: Axes, history: History) -> None:
    """Spikes that graze the threshold: their gradient is a hundred times that of others, or more."""
    curve(axes, history, "grazing", color=GREY, label="grazing spikes")
    axes.set_ylim(0, max(1.0, 1.25 * _highest(history, "grazing")))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _finish(axes, "grazing spikes", "spikes per epoch")


def ghost_curve(axes: Axes, history: History) -> None:
    """Near misses of layers with smoothing, for every spike."""
    curve(axes, history, "ghosts_per_spike", color=BLUE)
    axes.set_ylim(bottom=0)
    _finish(axes, "ghosts (near misses)", "ghosts per spike")


def ghost_share_curve(axes: Axes, history: History) -> None:
    """What near misses contribute to the gradient."""
    curve(axes, history, "ghost_share", 100, color=BLUE)
    axes.set_ylim(bottom=0)
    _finish(axes, "gradient from ghosts", "share of the gradient (%)")


def rate_curve(axes: Axes, history: History) -> None:
    """Spikes per neuron and sample of every spiking layer."""
    lines = [line for line in history if isinstance(line.get("spikes_by_layer"), list)]
    rates, epochs = [line["spikes_by_layer"] for line in lines], [line["epoch"] for line in lines]
    if not rates:
        note(axes, "not recorded")
    for k in range(len(rates[0]) if rates else 0):
        color, dashes = PALETTE[k % len(PALETTE)], ("-", "--", ":")[k // len(PALETTE) % 3]
        marker = "." if len(epochs) <= FEW_EPOCHS else None
        values = [rate[k] if k < len(rate) else np.nan for rate in rates]
        axes.plot(epochs, values, dashes, color=color, marker=marker, label=f"layer {k}")
    axes.set_ylim(bottom=0)
    _finish(axes, "activity", "spikes per neuron and sample")


def run_style(number: int) -> dict[str, Any]:
    """Colour and dashes of one of several runs."""
    return {
        "color": PALETTE[number % len(PALETTE)],
        "linestyle": ("-", "--", ":", "-.")[number // len(PALETTE) % 4],
    }


def run_curves(axes: Axes, histories: Mapping[str, History], key: str, label: str, factor: float = 1.0) -> None:
    """One key of the metrics of several runs, by their names; without a legend."""
    for k, (name, history) in enumerate(histories.items()):
        curve(axes, history, key, factor, label=name, **run_style(k))
    _finish(axes, "", label, legend=False)


def _highest(history: History, key: str) -> float:
    return float(np.max(np.nan_to_num(column(history, key)), initial=0.0))


def _finish(axes: Axes, title: str, label: str, legend: bool = True, **where: Any) -> None:
    axes.set(title=title, xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize="small", **where)
    tidy(axes)

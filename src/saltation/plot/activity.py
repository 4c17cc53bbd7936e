"""One sample in a network: spikes of all layers, membrane potentials, readouts; on Axes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from saltation.layer import Layer
from saltation.plot.style import BLUE, GREY, RED, plain, tidy
from saltation.readout import Readout
from saltation.sequential import Sequential
from saltation.spikes import Spikes

TRACE_POINTS = 4000
MOST_EVENTS = 20_000  # in one raster; of more, every n-th is drawn
MOST_READOUTS = 30


@dataclass(frozen=True)
class Step:
    """What one part of a network got and what it made of it. layer: None for a pool."""

    name: str
    layer: Layer | None
    inputs: Spikes
    output: Spikes | Readout


@torch.no_grad()
def propagate(model: Sequential, spikes: Spikes) -> list[Step]:
    """What every layer and pool makes of input spikes; named as in `parameters`."""
    steps: list[Step] = []

    def step(part: Any, inputs: Spikes) -> Any:
        number = sum(step.layer is not None for step in steps)
        layer = part if isinstance(part, Layer) else None
        name = f"layer {number}" if layer is not None else f"pool of\nlayer {number}"
        steps.append(Step(name, layer, inputs, part(inputs)))
        return steps[-1].output

    model.walk(spikes.detach(), step)
    return steps


def raster(axes: Axes, spikes: Spikes, name: str, color: str = BLUE) -> None:
    """The spikes of the first sample, one row for each unit; `name` and the number of units are written beside them."""
    one = spikes.sample(0)
    stride = -(-len(one.times) // MOST_EVENTS) or 1
    times, units = one.times.detach().numpy()[::stride], one.units.numpy()[::stride]
    half = max(0.4, 0.012 * spikes.num_units)
    axes.vlines(times, units - half, units + half, color=color, linewidth=1.4 if len(times) < 2000 else 0.7)
    margin = 0.04 * spikes.num_units + 0.5
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    size = f"{spikes.num_units}" if stride == 1 else f"{spikes.num_units}; 1 in {stride} spikes"
    axes.set(ylabel=f"{name}\n({size})", ylim=(-margin, spikes.num_units - 1 + margin))
    tidy(axes)


def potential(axes: Axes, step: Step, unit: int, end: float) -> None:
    """V(t) against the threshold theta(t) of one neuron in the first sample, until `end`; its spikes are dotted."""
    assert step.layer is not None and isinstance(step.output, Spikes)
    times = np.linspace(0.0, end, TRACE_POINTS)
    voltage, threshold = step.layer.trace(step.inputs, 0, unit, times)
    axes.plot(times, voltage, color=BLUE, label="membrane potential V")
    axes.plot(times, threshold, color=RED, linestyle="--", label="threshold θ")
    output = step.output.sample(0)
    for time in output.times[output.units == unit].tolist():
        axes.axvline(time, color=GREY, linewidth=0.8, linestyle=":")
    low, high = min(voltage.min(), 0.0), max(voltage.max(), threshold.max())
    axes.set(ylabel=f"{step.name}, neuron {unit}\nV, θ (a.u.)")
    axes.set_ylim(low - 0.05 * (high - low), high + 0.3 * (high - low))
    axes.legend(edgecolor="none", framealpha=0.9, loc="upper right", ncols=2, fontsize="small")
    tidy(axes)


def readout(axes: Axes, name: str, output: Readout, end: float, names: Sequence[str], label: int | None) -> None:
    """V(t) of the leaky integrators of the first sample; that of class `label` stands out. names: of the classes."""
    times = np.linspace(0.0, min(end, output.duration), TRACE_POINTS // 8)
    voltages = output.at(times.tolist())[0].detach().numpy()
    for unit in np.argsort(-voltages[:, -1], kind="stable")[:MOST_READOUTS].tolist():
        if unit != label:
            axes.plot(times, voltages[unit], color=GREY, linewidth=0.8, alpha=0.6)
    if label is not None:
        shown = plain(names[label]) if names else str(label)
        axes.plot(times, voltages[label], color=BLUE, label=f"class {shown}")
        axes.legend(edgecolor="none", framealpha=0.9, loc="upper left", fontsize="small")
    axes.set(ylabel=f"{name}, readout\nV (a.u.)")
    tidy(axes)

"""How far spike times on a grid are off: networks of known parameters, simulated in continuous time and in steps.

Nothing is trained. The networks fire: Poisson input, all-to-all layers of LIF neurons with weights of both
signs. The grid shares arrivals out between its steps and is exact between them (grid/README.md); what is left is that
spikes are seen at steps only.
"""

import math
from typing import Any

import numpy as np
import torch

import saltation as sal
from saltation.experiments.case import Case, Picture, Row, Size, Table
from saltation.experiments.grid.network import Twin
from saltation.experiments.grid.pack import Settings
from saltation.experiments.grid.readouts import Functional
from saltation.experiments.matching import match
from saltation.plot.style import PALETTE, tidy

TAU_MEM, TAU_SYN = 10.0, 2.0  # ms
WINDOW = 5.0  # ms, within which spikes are paired
INPUTS, NEURONS, RATE = 100, 50, 0.02  # spikes per ms and input
STEPS = {
    "full": [5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01],
    "quick": [5.0, 1.0, 0.1],
    "tiny": [1.0, 0.1],
}


def cases(size: Size) -> list[Case]:
    """One for each length of a step."""
    samples, duration = (8, 200.0) if size == "full" else (2, 50.0)
    common = {"layers": 3, "samples": samples, "duration": duration}
    seeds = {"full": 10, "quick": 3, "tiny": 1}[size]
    return [Case(f"dt{dt:g}", {"dt": dt, **common}, seeds) for dt in STEPS[size]]


def run(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Errors of every layer, spikes paired with the exact ones; and of the exact first spikes, see `exact_error`."""
    duration = settings["duration"]
    generator = torch.Generator().manual_seed(seed)
    inputs = poisson(settings["samples"], INPUTS, RATE, duration, generator)
    network = firing_network(settings["layers"], inputs, generator)
    with torch.no_grad():
        exact = [result.spikes for result in network.run(inputs)]
        twin = Twin(network, duration, Settings(settings["dt"], dtype=np.float64), Functional("spikes"))
        steps = twin.run(inputs).spikes
        found = [match(ours, theirs, WINDOW).summary() for ours, theirs in zip(steps, exact, strict=True)]
        return {"layers": found, "exact": exact_error(network[0], inputs, exact[0])}


def poisson(samples: int, units: int, rate: float, duration: float, generator: torch.Generator) -> sal.Spikes:
    """Independent Poisson trains; rate: spikes per unit of time."""
    counts = torch.poisson(torch.full((samples, units), rate * duration), generator).long()
    index = torch.repeat_interleave(torch.arange(samples * units), counts.flatten())
    times = duration * torch.rand(len(index), generator=generator, dtype=torch.float64)
    order = torch.argsort(index // units * duration + times)  # by sample, then time
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.sum(1).cumsum(0)])
    return sal.Spikes(times[order], (index % units)[order], offsets, units, duration)


def firing_network(layers: int, inputs: sal.Spikes, generator: torch.Generator) -> sal.Sequential:
    """Layers of LIF neurons, in float64, that all fire for this input."""
    made: list[sal.Layer] = []
    spikes = inputs
    for k in range(layers):
        connection = sal.Linear(INPUTS if k == 0 else NEURONS, NEURONS, generator=generator).double()
        layer = sal.Layer(connection, sal.LIF(NEURONS, TAU_MEM, TAU_SYN))
        sal.init.drive_(layer, spikes, generator, drive=1.5, std=2.0)
        made.append(layer)
        with torch.no_grad():
            spikes = layer(spikes)
    return sal.Sequential(*made)


def exact_error(layer: sal.Layer, inputs: sal.Spikes, spikes: sal.Spikes) -> dict[str, Any]:
    """How far first spikes are from the root of V - theta, found by Newton's method in extended precision.

    Until its first spike a neuron's V is a sum over arrivals, so the reference needs nothing of the kernels.
    """
    weight = layer.connection.dense()[0].detach().numpy().astype(np.longdouble)
    theta = np.longdouble(float(layer.neuron.threshold.detach().max()))
    first, sizes = spikes.first().numpy(), []
    for b in range(inputs.num_samples):
        one = inputs.sample(b)
        times, units = one.times.numpy().astype(np.longdouble), one.units.numpy()
        for n in np.flatnonzero(np.isfinite(first[b])):
            root = t = np.longdouble(first[b, n])
            for _ in range(5):
                V, slope = potential(t, times, weight[n, units])
                t = t - (V - theta) / slope
            sizes.append(float(abs(t - root)))
    return {"spikes": len(sizes), "rms": float(np.sqrt(np.mean(np.square(sizes)))), "largest": max(sizes)}


def potential(t: np.longdouble, times: np.ndarray, weights: np.ndarray) -> tuple[np.longdouble, np.longdouble]:
    """V and dV/dt at t of a neuron that has not spiked: tau_mem dV/dt = -V + I, tau_syn dI/dt = -I + tau_syn w d."""
    before = times < t
    s, w = t - times[before], weights[before]
    slow, fast = np.exp(-s / np.longdouble(TAU_MEM)), np.exp(-s / np.longdouble(TAU_SYN))
    V = (w * (slow - fast)).sum() * np.longdouble(TAU_SYN) / np.longdouble(TAU_MEM - TAU_SYN)
    return V, ((w * fast).sum() - V) / np.longdouble(TAU_MEM)


def mean(found: list[dict[str, Any]], name: str) -> float:
    """Of those that have the figure; nan if there is none."""
    values = [each[name] for each in found if each[name] is not None]
    return float(np.mean(values)) if values else math.nan


FIGURES = {"rms": 1.0, "median": 1.0, "matched": 100.0, "surplus": 100.0}


def errors_by_step(rows: list[Row]) -> Table:
    """Means over the networks, a line for each step, the layers side by side; the last line is continuous time."""
    lines = []
    for case in dict.fromkeys(row.case for row in rows):
        own = [row for row in rows if row.case == case]
        layers = [[row.result["layers"][k] for row in own] for k in range(len(own[0].result["layers"]))]
        cells = [
            " / ".join(f"{factor * mean(found, name):.3g}" for found in layers) for name, factor in FIGURES.items()
        ]
        lines.append([f"{own[0].settings['dt']:g}", *cells, str(len(own))])
    exact = {row.seed: row.result["exact"]["rms"] for row in rows}
    lines.append(["none", f"{np.mean(list(exact.values())):.1g}", "", "", "", str(len(exact))])
    return Table(["step, ms", "RMS error, ms", "median error, ms", "matched, %", "surplus, %", "networks"], lines)


def draw_errors(axes: Any, rows: list[Row]) -> None:
    """Error and share of missing spikes against the step, a line for each layer."""
    left, right = axes[0]
    dts = np.array(sorted({row.settings["dt"] for row in rows}))
    for k in range(len(rows[0].result["layers"])):
        own = [[row.result["layers"][k] for row in rows if row.settings["dt"] == dt] for dt in dts]
        colour = PALETTE[k]
        left.plot(dts, [mean(found, "rms") for found in own], "o-", ms=3, color=colour, label=f"layer {k + 1}, RMS")
        left.plot(dts, [mean(found, "median") for found in own], ":", color=colour, label=f"layer {k + 1}, median")
        missing = [100 * np.mean([1.0 - each["matched"] + each["surplus"] for each in found]) for found in own]
        right.plot(dts, missing, "o-", ms=3, color=colour)
    left.plot(dts, dts / math.sqrt(3.0), "k--", lw=0.8, label=r"step / $\sqrt{3}$")
    exact = np.mean([row.result["exact"]["rms"] for row in rows])
    left.axhline(max(exact, 1e-16), color="k", lw=1.0, label="continuous time, layer 1")
    left.set(xscale="log", yscale="log", xlabel="step (ms)", ylabel="error of matched spikes (ms)")
    right.set(xscale="log", xlabel="step (ms)", ylabel="missing or surplus (% of the spikes)", ylim=(0, None))
    left.legend(fontsize=8, frameon=False)
    tidy(left)
    tidy(right)


TABLES = {"errors": errors_by_step}
PICTURES = {"errors": Picture(draw_errors, (1, 2), (8.5, 3.6))}

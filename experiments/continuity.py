"""Draw the loss along a line in weight space: it jumps where LIF spikes vanish, QIF's never jump.

    python experiments/continuity.py

A network 4-30-3 with random weights, one sample of Yin-Yang; the line leads from one random draw of the weights to
another. Prints the largest step of the loss between neighbouring points, and writes docs/images/qif_continuity.png.
"""

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

import saltation as sal
from saltation.data import load

POINTS = 4001
IMAGE = Path(__file__).parents[1] / "docs" / "images" / "qif_continuity.png"


def network(kind: str) -> sal.Sequential:
    """4-30-3 of LIF or QIF neurons, in float64."""
    layers = []
    for in_size, size, pseudo_time in ((4, 30, 4.0), (30, 3, 7.0)):
        neuron = sal.LIF(size, 2.0, 1.0) if kind == "LIF" else sal.QIF(size, 2.0, pseudo_time=pseudo_time)
        layers.append(sal.Layer(sal.Linear(in_size, size).double(), neuron))
    return sal.Sequential(*layers)


@torch.no_grad()
def losses_along_a_line(kind: str, spikes: sal.Spikes, labels: torch.Tensor) -> np.ndarray:
    """The loss at POINTS points between two random draws of all weights."""
    model = network(kind)
    generator = torch.Generator().manual_seed(1)
    weights = [layer.connection.weight for layer in model]
    scale = [1.2, 0.25] if kind == "LIF" else [4.0, 1.5]
    ends = [
        [
            s * (1 + torch.randn(w.shape, generator=generator, dtype=torch.float64))
            for w, s in zip(weights, scale, strict=True)
        ]
        for _ in range(2)
    ]
    values = []
    for x in np.linspace(0.0, 1.0, POINTS):
        for weight, start, stop in zip(weights, *ends, strict=True):
            weight.copy_(torch.lerp(start, stop, float(x)))
        values.append(float(sal.losses.shift_invariant(model(spikes), labels)))
    return np.array(values)


def main() -> None:
    """Draw and print."""
    data = load("yin_yang", duration=12.0)
    spikes, labels = data.batch(np.arange(1))
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for axis, kind in zip(figure.subplots(1, 2), ("LIF", "QIF"), strict=True):
        values = losses_along_a_line(kind, spikes, labels)
        step = np.abs(np.diff(values)).max() / np.ptp(values)
        print(f"{kind}: largest step between {POINTS} points is {100 * step:.2f} % of the range of the loss")
        axis.plot(np.linspace(0, 1, POINTS), values, ".", markersize=1.5, color="#0072B2")
        axis.set(title=f"{kind}: largest step {100 * step:.1f} % of the range", xlabel="position in weight space")
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_ylabel("loss")
    figure.savefig(IMAGE, dpi=150)


if __name__ == "__main__":
    main()

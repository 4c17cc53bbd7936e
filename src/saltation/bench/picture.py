"""The growth plot of W5."""

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from saltation.bench.growth import slope

AXES = {"neurons": "neurons", "events": "events per sample", "batch": "batch size"}
COLOURS = ("#0072b2", "#d55e00")


def growth_picture(curves: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Time (above) and added memory (below) along each axis; the legend says with which power they grow."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, len(AXES), sharex="col", squeeze=False)
    for column, (axis, label) in enumerate(AXES.items()):
        for row, (quantity, unit) in enumerate((("seconds", "ms"), ("megabytes", "MB"))):
            panel = panels[row][column]
            named = [(name, curve) for name, curve in curves.items() if name.split(",")[0] == axis]
            for colour, (name, curve) in zip(COLOURS, named, strict=False):
                kept = [point for point in curve if point[quantity]]
                x, y = [point[axis] for point in kept], [point[quantity] for point in kept]
                if quantity == "seconds":
                    y = [1e3 * value for value in y]
                delay = name.partition(", ")[2] or "no delays"
                if len(x) > 1:
                    panel.loglog(x, y, "o-", color=colour, label=f"{delay}: power {slope(x, y):.2f}")
            panel.set_ylabel(("time" if row == 0 else "added memory") + f" ({unit})")
            panel.grid(alpha=0.3)
            if panel.get_legend_handles_labels()[0]:
                panel.legend(frameon=False)
        panels[1][column].set_xlabel(label)
    figure.suptitle("Forward and backward pass of one hidden layer; powers over the upper half of each curve")
    figure.savefig(path, dpi=110)

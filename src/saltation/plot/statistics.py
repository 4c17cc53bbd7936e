"""Confusion of classes and histograms of parameters, on Axes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from saltation.plot.style import BLUE, GREY, plain, tidy

MOST_NUMBERS = 40  # classes of a confusion matrix, above which the cells have no numbers


def confusion(axes: Axes, counts: Sequence[Sequence[int]], class_names: Sequence[str]) -> AxesImage:
    """How often each class (row) was taken for each (column), in per cent of the row; see `evaluate`.

    Returns the image, for a colour bar.
    """
    table = np.array(counts, dtype=float)
    if not table[:, -1].any():
        table = table[:, :-1]
    percent = 100 * table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    names = [shortened(name) for name in class_names] or [str(label) for label in range(len(table))]
    image = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    columns = names if table.shape[1] == len(names) else [*names, "none"]
    upright = len(names) > 10 or max(map(len, columns)) > 4
    axes.set_xticks(range(table.shape[1]), columns, rotation=90 if upright else 0)
    axes.set_yticks(range(len(table)), names)
    axes.set(xlabel="answer", ylabel="class")
    for row, place in np.argwhere(percent >= 0.5) if len(table) <= MOST_NUMBERS else ():
        color = "white" if percent[row, place] > 50 else "black"
        text = f"{percent[row, place]:.0f}"
        axes.text(place, row, text, ha="center", va="center", fontsize="x-small", color=color)
    tidy(axes)
    return image


def shortened(name: str, longest: int = 16) -> str:
    """A class name that leaves room for the picture."""
    return plain(name if len(name) <= longest else name[: longest - 1] + "…")


def histogram(
    axes: Axes, before: np.ndarray, after: np.ndarray, title: str, label: str, bounds: tuple[float, float] | None = None
) -> None:
    """One kind of parameter before and after training. label: of the axis of values; bounds: of what is legal."""
    both = np.concatenate([before, after])
    bins = np.histogram_bin_edges(both, bins=30, range=bounds).tolist()
    axes.hist(before, bins=bins, color=GREY, alpha=0.45, label="before training")
    axes.hist(after, bins=bins, histtype="step", color=BLUE, linewidth=1.6, label="after training")
    axes.set(title=title, xlabel=label, ylabel="how many")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    axes.set_ylim(top=1.3 * axes.get_ylim()[1])  # room for the legend
    axes.legend(frameon=False, fontsize="small", loc="upper center", ncols=2)
    tidy(axes)

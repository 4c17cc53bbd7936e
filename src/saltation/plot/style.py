"""Colours, labels, and how a picture becomes a file."""

import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saltation.files import write_bytes

# Okabe and Ito's palette: told apart with every kind of colour vision.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#6E6E6E"
PALETTE = (BLUE, RED, GREEN, ORANGE, "#CC79A7", "#56B4E9", "#000000", "#B8A800")
DPI = 150


def time_label(unit: str = "", what: str = "time") -> str:
    """The label of an axis of times; unit: "" if only the data know it."""
    shown = unit.replace("τ_syn", r"$\tau_\mathrm{syn}$")
    return f"{what} ({shown or 'unit of the data'})"


def column(history: Sequence[dict[str, Any]], key: str) -> np.ndarray:
    """(epochs,): the numbers of one key of all lines of metrics; nan where a line has none."""
    values = [line.get(key) for line in history]
    return np.array([value if isinstance(value, int | float) else np.nan for value in values], dtype=float)


def recorded(history: Sequence[dict[str, Any]], key: str) -> bool:
    """Whether the version of saltation that wrote the metrics knew the key."""
    return any(key in line for line in history)


def plain(name: str) -> str:
    """A name of the user's, which is no formula even if it has dollars in it."""
    return name.replace("$", r"\$")


def tidy(axes: Axes) -> None:
    """No frame above and on the right; a small title."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.title.set_fontsize(10)


def note(axes: Axes, text: str) -> None:
    """Say in the middle of empty axes why they are empty."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)


def png(figure: Figure, dpi: int = DPI, kind: str = "png") -> bytes:
    """The picture as the content of a file, a PNG or of another kind."""
    content = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # names in scripts that the font lacks: boxes
        figure.savefig(content, dpi=dpi, format=kind)
    return content.getvalue()


def save(figure: Figure, path: Path) -> Path:
    """Write the picture as a file of the kind its ending names, whole or not at all; returns the path."""
    write_bytes(path, png(figure, kind=path.suffix.removeprefix(".") or "png"))
    return path

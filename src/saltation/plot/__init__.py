"""Pictures. Most functions draw on matplotlib Axes that they are given; those named ..._figure put these together."""

from saltation.extras import need

need("plots", "saltation.plot")

from saltation.plot.activity import Step, potential, propagate, raster, readout
from saltation.plot.curves import (
    accuracy_curve,
    curve,
    ghost_curve,
    ghost_share_curve,
    gradient_curve,
    grazing_curve,
    loss_curve,
    rate_curve,
    run_curves,
    silence_curve,
)
from saltation.plot.figures import (
    compare_figure,
    confusion_figure,
    learning_figure,
    parameter_figure,
    raster_figure,
    run_pictures,
    sample_figure,
)
from saltation.plot.statistics import confusion, histogram
from saltation.plot.style import png, save, time_label

__all__ = [
    "Step",
    "accuracy_curve",
    "compare_figure",
    "confusion",
    "confusion_figure",
    "curve",
    "ghost_curve",
    "ghost_share_curve",
    "gradient_curve",
    "grazing_curve",
    "histogram",
    "learning_figure",
    "loss_curve",
    "parameter_figure",
    "png",
    "potential",
    "propagate",
    "raster",
    "raster_figure",
    "rate_curve",
    "readout",
    "run_curves",
    "run_pictures",
    "sample_figure",
    "save",
    "silence_curve",
    "time_label",
]

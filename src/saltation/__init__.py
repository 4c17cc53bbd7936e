"""saltation: spiking neural networks in continuous time, trained with exact gradients.

The packages `data`, `plot`, `report` and `train` are imported when they are first asked for.
"""

from importlib import import_module
from typing import Any

from . import init, losses, metrics, regularizers
from .chips import Chip, Mismatch, OnChip, quantise
from .connections import Linear
from .convolution import Conv2d, SumPool2d
from .layer import Layer, Result
from .neurons import IF, LI, LIF, QIF
from .nir import from_nir, from_nir_events, to_nir, to_nir_events
from .ops import SpikeBudgetError
from .optim import bound_, parameter_groups
from .readout import Readout
from .sequential import Sequential
from .spikes import Spikes
from .wired import Beside, Parallel, Sparse

__version__ = "0.1.0"
__all__ = [
    "Beside",
    "Chip",
    "Conv2d",
    "IF",
    "LI",
    "LIF",
    "QIF",
    "Layer",
    "Linear",
    "Mismatch",
    "OnChip",
    "Parallel",
    "Readout",
    "Result",
    "Sequential",
    "Sparse",
    "SpikeBudgetError",
    "Spikes",
    "SumPool2d",
    "__version__",
    "bound_",
    "from_nir",
    "from_nir_events",
    "init",
    "losses",
    "metrics",
    "parameter_groups",
    "quantise",
    "regularizers",
    "to_nir",
    "to_nir_events",
]


def __getattr__(name: str) -> Any:
    if name in ("data", "plot", "report", "train"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

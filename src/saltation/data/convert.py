"""From dense arrays to events."""

from pathlib import Path

import numpy as np
import torch

from saltation.check import cut
from saltation.data.arrays import read_arrays
from saltation.data.events import EventDataset
from saltation.spikes import Spikes


def from_dense(
    raster: np.ndarray,
    labels: np.ndarray,
    split: np.ndarray,
    dt: float,
    source: str = "dense array",
    offset: float = 0.0,
) -> EventDataset:
    """Events of a raster (samples, steps, channels) of counts: a count of n in step k is n events at (k + offset) dt.

    As `Spikes.from_dense`. Raises ValueError, naming the entry, for counts that are negative or not whole, and for more
    than 2^28 in all.
    """
    raster = np.asarray(raster)
    if raster.ndim != 3 or raster.dtype.kind not in "biuf":
        raise ValueError(
            f"{source}: the raster has shape {raster.shape} and dtype {raster.dtype}; it must hold numbers of spikes, "
            "(samples, steps, channels)"
        )
    try:
        spikes = Spikes.from_dense(torch.from_numpy(raster.astype(np.float64)), dt, time_first=False, offset=offset)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    return EventDataset(
        times=spikes.times.numpy(),
        channels=spikes.units.numpy(),
        offsets=spikes.offsets.numpy(),
        labels=labels,
        split=split,
        num_channels=spikes.num_units,
        duration=spikes.duration,
        source=source,
    )


def load_dense(path: Path, dt: float, offset: float = 0.0) -> EventDataset:
    """`from_dense` of an .npz with raster, labels and split."""
    arrays = read_arrays(path)
    for key in ("raster", "labels", "split"):
        if key not in arrays:
            raise ValueError(f"{path}: no array named '{key}'; the file has {cut(', '.join(sorted(arrays)))}")
    return from_dense(arrays["raster"], arrays["labels"], arrays["split"], dt, str(path), offset)

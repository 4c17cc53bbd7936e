"""From dense arrays to events."""

from pathlib import Path

import numpy as np

from saltation.data.arrays import read_arrays
from saltation.data.events import EventDataset
from saltation.data.validate import MOST_EVENTS


def from_dense(
    raster: np.ndarray, labels: np.ndarray, split: np.ndarray, dt: float, source: str = "dense array"
) -> EventDataset:
    """Events of a raster (samples, steps, channels) of counts: a count of n in step k is n events at (k + 1/2) dt.

    Raises ValueError, naming the entry, for counts that are negative or not whole, and for more than 2^28 in all.
    """
    raster = np.asarray(raster)
    if raster.ndim != 3 or raster.dtype.kind not in "biuf":
        raise ValueError(
            f"{source}: the raster has shape {raster.shape} and dtype {raster.dtype}; it must hold numbers of spikes, "
            "(samples, steps, channels)"
        )
    if not dt > 0:
        raise ValueError(f"{source}: dt is {dt}; it must be > 0")
    bad = np.argwhere(~((raster >= 0) & (raster == np.round(raster))))
    if len(bad):
        place = tuple(int(i) for i in bad[0])
        raise ValueError(f"{source}: raster{list(place)} is {raster[place]}; it must hold numbers of spikes")
    if (total := float(raster.sum(dtype=np.float64))) > MOST_EVENTS:
        raise ValueError(
            f"{source}: the raster holds {total:.3g} spikes, up to {raster.max()} in a step, more than 2^28 in all; "
            "is it one of numbers of spikes?"
        )
    samples, steps, channels = raster.shape
    sample, step, channel = (np.repeat(index, raster[raster > 0].astype(np.int64)) for index in raster.nonzero())
    return EventDataset(
        times=(step + 0.5) * dt,
        channels=channel,
        offsets=np.concatenate(([0], np.bincount(sample, minlength=samples).cumsum())),
        labels=labels,
        split=split,
        num_channels=channels,
        duration=steps * dt,
        source=source,
    )


def load_dense(path: Path, dt: float) -> EventDataset:
    """`from_dense` of an .npz with raster, labels and split."""
    arrays = read_arrays(path)
    for key in ("raster", "labels", "split"):
        if key not in arrays:
            raise ValueError(f"{path}: no array named '{key}'; the file has {', '.join(sorted(arrays))}")
    return from_dense(arrays["raster"], arrays["labels"], arrays["split"], dt, str(path))

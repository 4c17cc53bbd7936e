"""From other forms to the generic one: dense arrays, and data sets of Tonic."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from saltation.data.events import EventDataset
from saltation.data.npz import read_arrays

MICROSECOND = 1e-6


def from_dense(
    raster: np.ndarray, labels: np.ndarray, split: np.ndarray, dt: float, source: str = "dense array"
) -> EventDataset:
    """Events of a raster (samples, steps, channels) of counts: a count of n in step k is n events at (k + 1/2) dt.

    Raises ValueError, naming the entry, for counts that are negative or not whole.
    """
    raster = np.asarray(raster)
    if raster.ndim != 3:
        raise ValueError(f"{source}: the raster has shape {raster.shape}; it must be (samples, steps, channels)")
    if not dt > 0:
        raise ValueError(f"{source}: dt is {dt}; it must be > 0")
    bad = np.argwhere(~((raster >= 0) & (raster == np.round(raster))))
    if len(bad):
        place = tuple(int(i) for i in bad[0])
        raise ValueError(f"{source}: raster{list(place)} is {raster[place]}; it must hold numbers of spikes")
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


def from_tonic(parts: Sequence[tuple[int, Any]], duration: float = 0.0) -> EventDataset:
    """Data sets of Tonic as one, times in seconds.

    parts     (split, data set) pairs, such as (0, tonic.datasets.SHD("data", train=True)); each yields (events, label)
              with events a structured array with t in microseconds and x, and y and p where the sensor has them
    duration  0: until the last event

    Channel x + width (y + height p). Raises ValueError, naming the sample, where events do not fit the sensor.
    """
    times: list[np.ndarray] = []
    channels: list[np.ndarray] = []
    labels: list[int] = []
    split: list[int] = []
    names: tuple[str, ...] = ()
    name = " and ".join(dict.fromkeys(type(dataset).__name__ for _, dataset in parts))
    width, height, polarities = sensor = tuple(int(n) for n in parts[0][1].sensor_size)
    for code, dataset in parts:
        names = tuple(str(label) for label in getattr(dataset, "classes", ()))
        for i in range(len(dataset)):
            events, label = dataset[i]
            t, x = (np.asarray(events[key], np.int64) for key in ("t", "x"))
            y = np.asarray(events["y"], np.int64) if "y" in events.dtype.names else np.zeros_like(x)
            p = np.asarray(events["p"], np.int64) if polarities > 1 else np.zeros_like(x)
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (p >= 0) & (p < polarities)
            if not inside.all():
                raise ValueError(f"{name}: event {np.argmin(inside)} of sample {i} lies outside of the sensor {sensor}")
            order = np.argsort(t, kind="stable")
            times.append(t[order] * MICROSECOND)
            channels.append((x + width * (y + height * p))[order])
            labels.append(int(label))
            split.append(code)
    return EventDataset(
        times=np.concatenate(times),
        channels=np.concatenate(channels),
        offsets=np.concatenate(([0], np.cumsum([len(t) for t in times]))),
        labels=np.array(labels),
        split=np.array(split),
        num_channels=width * height * polarities,
        num_classes=len(names),
        duration=duration,
        class_names=names,
        source=f"Tonic {name}",
    )

"""Data sets of the package Tonic."""

import inspect
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from saltation.check import shown
from saltation.data.events import TEST, TRAIN, VALIDATION, EventDataset
from saltation.data.validate import checked_names
from saltation.extras import MissingPackageError

MICROSECOND = 1e-6


def from_tonic(parts: Sequence[tuple[int, Any]], duration: float = 0.0) -> EventDataset:
    """Data sets of Tonic as one, times in seconds.

    parts     (split, data set) pairs, such as (0, tonic.datasets.SHD("data", train=True)); each yields (events, label)
              with events a structured array with t in microseconds and x, and y and p where the sensor has them; a
              label is a whole number, or one of the names in `classes`
    duration  0: until the last event

    Channel x + width (y + height p); events are sorted by time. Raises ValueError, naming the sample, where events do
    not fit the sensor or are of another form.
    """
    if not parts:
        raise ValueError(
            "parts is empty; give (split, data set) pairs such as (0, tonic.datasets.SHD(..., train=True))"
        )
    name = " and ".join(dict.fromkeys(type(dataset).__name__ for _, dataset in parts))
    sensor, names = _sensor(name, parts[0][1]), _names(name, parts[0][1])
    times: list[np.ndarray] = [np.empty(0)]
    channels: list[np.ndarray] = [np.empty(0, np.int64)]
    labels: list[int] = []
    split: list[int] = []
    for code, dataset in parts:
        if (_sensor(name, dataset), _names(name, dataset)) != (sensor, names):
            raise ValueError(f"{name}: the parts have different sensors or classes; convert them one by one")
        for i in range(len(dataset)):
            events, label = dataset[i]
            where = f"{name}: sample {i} of split {code}"
            t, channel = _tonic_events(where, events, sensor)
            times.append(t)
            channels.append(channel)
            labels.append(_tonic_label(where, label, names))
            split.append(code)
    return EventDataset(
        times=np.concatenate(times),
        channels=np.concatenate(channels),
        offsets=np.cumsum([len(t) for t in times]),
        labels=np.array(labels, np.int64),
        split=np.array(split),
        num_channels=sensor[0] * sensor[1] * sensor[2],
        num_classes=len(names),
        duration=duration,
        class_names=names,
        source=f"Tonic {name}",
    )


def _sensor(name: str, dataset: Any) -> tuple[int, int, int]:
    size: Any = getattr(dataset, "sensor_size", None)
    try:
        width, height, polarities = (operator.index(n) for n in size)
    except (TypeError, ValueError):
        width = height = polarities = 0
    if min(width, height, polarities) < 1:
        raise ValueError(f"{name}: sensor_size is {shown(size)}; it must be (width, height, polarities)")
    return width, height, polarities


def _names(name: str, dataset: Any) -> tuple[str, ...]:
    classes = getattr(dataset, "classes", ())
    return checked_names(name, () if classes is None else classes)


def _tonic_events(where: str, events: Any, sensor: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Times in seconds, in order, and channels of one recording."""
    fields = getattr(getattr(events, "dtype", None), "names", None) or ()
    wanted = ("t", "x", *(["y"] if sensor[1] > 1 else []), *(["p"] if sensor[2] > 1 else []))
    if not set(wanted) <= set(fields):
        raise ValueError(
            f"{where} has the fields {', '.join(fields) or 'of no structured array'}; it must have "
            f"{', '.join(wanted)}: give the data set without a transform"
        )
    width, height, polarities = sensor
    columns = []
    for field, size in (("x", width), ("y", height), ("p", polarities)):
        values = np.asarray(events[field]) if field in fields and (field != "p" or size > 1) else np.zeros(len(events))
        bad = np.flatnonzero(~((values >= 0) & (values < size) & (values == np.floor(values))))
        if len(bad):
            raise ValueError(
                f"{where}: event {bad[0]} has {field} = {values[bad[0]]}; it lies outside of the sensor {sensor} or "
                "between its pixels"
            )
        columns.append(values.astype(np.int64))
    x, y, p = columns
    t = np.asarray(events["t"]).astype(np.float64) * MICROSECOND  # real-valued ones keep their fractions
    bad = np.flatnonzero(~(np.isfinite(t) & (t >= 0)))
    if len(bad):
        raise ValueError(
            f"{where}: event {bad[0]} has t = {events['t'][bad[0]]}; it must be finite and >= 0 microseconds"
        )
    order = np.argsort(t, kind="stable")
    return t[order], (x + width * (y + height * p))[order]


def _tonic_label(where: str, label: Any, names: tuple[str, ...]) -> int:
    if isinstance(label, bytes):
        label = label.decode(errors="replace")
    if isinstance(label, str) and label in names:
        return names.index(label)
    try:
        return operator.index(label)
    except TypeError:
        known = f", or one of the classes {', '.join(names[:20])}" if names else ""
        raise ValueError(
            f"{where} has the label {shown(label)}; it must be a whole number{known}: use target_transform"
        ) from None


def load_tonic(name: str, root: str) -> EventDataset:
    """All parts of `tonic.datasets.NAME`, whichever way it chooses them: train=True and False, or split="train", ...

    Raises MissingPackageError without Tonic, ValueError if it has no such set, or the set has no parts.
    """
    try:
        import tonic
    except ImportError as error:
        raise MissingPackageError("--tonic needs the package tonic: pip install tonic") from error
    if not inspect.isclass(getattr(tonic.datasets, name, None)):
        raise ValueError(f"tonic.datasets has no {shown(name)}; see tonic.readthedocs.io for the names")
    maker: Any = getattr(tonic.datasets, name)
    known = inspect.signature(maker).parameters
    if "train" in known:
        choices: list[tuple[int, dict[str, Any]]] = [(TRAIN, {"train": True}), (TEST, {"train": False})]
    elif "split" in known:
        choices = [(TRAIN, {"split": "train"}), (VALIDATION, {"split": "valid"}), (TEST, {"split": "test"})]
    else:
        raise ValueError(
            f"tonic.datasets.{name} has neither train= nor split=, so its test samples are not known; divide it "
            "yourself, with saltation.data.from_tonic([(0, training samples), (2, test samples)])"
        )
    try:
        parts = [(code, maker(root, **choice)) for code, choice in choices]
    except (TypeError, LookupError, AttributeError, AssertionError, RuntimeError) as error:
        raise ValueError(
            f"tonic.datasets.{name} could not be made with {choices[0][1]} and so on ({type(error).__name__}: "
            f"{error}); make its parts yourself and use saltation.data.from_tonic"
        ) from error
    return from_tonic(parts)

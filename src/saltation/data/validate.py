"""The one place where event data are checked. Every message names the source, the array and the record."""

from typing import Any

import numpy as np

TRAIN, VALIDATION, TEST = 0, 1, 2
SPLIT_NAMES = ("train", "validation", "test")


def checked_fields(
    *, times: np.ndarray, channels: np.ndarray, offsets: np.ndarray, labels: np.ndarray, split: np.ndarray,
    num_channels: int, num_classes: int, duration: float, class_names: tuple[str, ...], source: str,
) -> dict[str, Any]:  # fmt: skip
    """The fields of an `EventDataset`, checked, in final dtypes, with defaults filled in. Raises ValueError."""
    times = _times(source, times)
    channels = _integers(source, "channels", channels)
    offsets = _integers(source, "offsets", offsets)
    labels = _integers(source, "labels", labels)
    split = _integers(source, "split", split)
    _check_lengths(source, times, channels, offsets, labels, split)
    _check_order(source, times, offsets)
    _check_split(source, split)
    class_names = tuple(str(name) for name in class_names)
    num_classes = num_classes or len(class_names) or int(labels.max(initial=-1)) + 1
    num_channels = num_channels or int(channels.max(initial=-1)) + 1
    _check_below(source, "labels", labels, num_classes, "classes")
    _check_below(source, "channels", channels, num_channels, "channels")
    if class_names and len(class_names) != num_classes:
        raise ValueError(f"{source}: class_names has {len(class_names)} names for {num_classes} classes; give one each")
    return {
        "times": times,
        "channels": channels,
        "offsets": offsets,
        "labels": labels,
        "split": split.astype(np.uint8),
        "num_channels": int(num_channels),
        "num_classes": int(num_classes),
        "duration": _duration(source, duration, times),
        "class_names": class_names,
    }


def _times(source: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1 or values.dtype.kind not in "fiu":
        raise ValueError(
            f"{source}: 'times' is {_kind(values)}; it must be a flat array of numbers, one per event, "
            "in the unit of the network's time constants"
        )
    times = np.ascontiguousarray(values, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(times) | (times < 0))
    if len(bad):
        raise ValueError(
            f"{source}: times[{bad[0]}] is {times[bad[0]]} ({len(bad)} such events); times must be finite and >= 0: "
            "shift every sample to start at 0 and drop invalid events"
        )
    return times


def _integers(source: str, name: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1 or (values.dtype.kind not in "iu" and values.size):
        example = f", for example {name}[0] = {values.flat[0]!r}" if values.size else ""
        raise ValueError(
            f"{source}: '{name}' is {_kind(values)}{example}; it must be a flat array of integers: "
            f"save it as {name}.astype(np.int64)"
        )
    result = np.ascontiguousarray(values, dtype=np.int64)
    bad = np.flatnonzero(result < 0)
    if len(bad):
        raise ValueError(
            f"{source}: {name}[{bad[0]}] is {result[bad[0]]} ({len(bad)} such entries); {name} must be >= 0"
        )
    return result


def _kind(values: np.ndarray) -> str:
    return f"an array of dtype {values.dtype} and shape {values.shape}"


def _check_lengths(
    source: str, times: np.ndarray, channels: np.ndarray, offsets: np.ndarray, labels: np.ndarray, split: np.ndarray
) -> None:
    if len(channels) != len(times):
        raise ValueError(f"{source}: {len(times)} times but {len(channels)} channels; every event needs one of each")
    if len(offsets) != len(labels) + 1:
        raise ValueError(
            f"{source}: {len(offsets)} offsets for {len(labels)} labels; offsets must have one entry more than labels: "
            "sample i holds the events offsets[i]:offsets[i + 1]"
        )
    if len(split) != len(labels):
        raise ValueError(f"{source}: {len(split)} entries in split for {len(labels)} labels; every sample needs one")
    falling = np.flatnonzero(np.diff(offsets) < 0)
    if len(falling):
        i = falling[0]
        raise ValueError(
            f"{source}: offsets[{i + 1}] is {offsets[i + 1]} after offsets[{i}] = {offsets[i]}; "
            "offsets must never decrease"
        )
    if offsets[0] != 0 or offsets[-1] != len(times):
        raise ValueError(
            f"{source}: offsets run from {offsets[0]} to {offsets[-1]} but there are {len(times)} events; "
            f"they must start at 0 and end at {len(times)} (is the file cut short?)"
        )


def _check_order(source: str, times: np.ndarray, offsets: np.ndarray) -> None:
    falling = np.flatnonzero(np.diff(times) < 0) + 1
    falling = falling[~np.isin(falling, offsets)]  # a new sample starts its clock again
    if len(falling):
        event = falling[0]
        sample = int(np.searchsorted(offsets, event, side="right")) - 1
        raise ValueError(
            f"{source}: sample {sample} is not sorted in time: times[{event}] = {times[event]} comes after "
            f"times[{event - 1}] = {times[event - 1]}; sort the events of every sample by time"
        )


def _check_split(source: str, split: np.ndarray) -> None:
    bad = np.flatnonzero(split > TEST)
    if len(bad):
        raise ValueError(
            f"{source}: split[{bad[0]}] is {split[bad[0]]} ({len(bad)} such samples); "
            "use 0 for train, 1 for validation, 2 for test"
        )


def _check_below(source: str, name: str, values: np.ndarray, limit: int, what: str) -> None:
    bad = np.flatnonzero(values >= limit)
    if len(bad):
        raise ValueError(
            f"{source}: {name}[{bad[0]}] is {values[bad[0]]} but there are {limit} {what}; "
            f"{name} count from 0: use 0 to {limit - 1}, or declare more {what}"
        )


def _duration(source: str, duration: float, times: np.ndarray) -> float:
    last = float(times.max(initial=0.0))
    if duration == 0:
        if last == 0:
            raise ValueError(f"{source}: there is no event after time 0; give the duration of a sample, > 0")
        return last
    duration = float(duration)
    if not np.isfinite(duration) or duration <= 0 or duration < last:
        raise ValueError(
            f"{source}: duration is {duration} but the last event is at {last}; "
            f"give a finite duration of at least {last} (times and duration share one unit)"
        )
    return duration

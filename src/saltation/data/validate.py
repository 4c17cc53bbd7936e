"""The one place where event data are checked. Every message names the source, the array and the record."""

import operator
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from saltation.check import cut, shown

TRAIN, VALIDATION, TEST = 0, 1, 2
SPLIT_NAMES = ("train", "validation", "test")
# More than these are raw addresses of a sensor, or codes: every layer and every table would be as wide.
MOST = {"channels": 1 << 24, "classes": 1 << 20}
EXACT = 1 << 53  # larger whole numbers are not all float64 numbers


def checked_fields(
    *, times: np.ndarray, channels: np.ndarray, offsets: np.ndarray, labels: np.ndarray, split: np.ndarray,
    num_channels: int, num_classes: int, duration: float, class_names: tuple[str, ...], source: str,
) -> dict[str, Any]:  # fmt: skip
    """The fields of an `EventDataset`, checked, in final dtypes, with defaults filled in. Raises ValueError."""
    times = checked_times(source, times)
    channels = integers(source, "channels", channels)
    offsets = integers(source, "offsets", offsets)
    labels = integers(source, "labels", labels)
    split = checked_split(source, split, len(labels))
    _check_lengths(source, times, channels, offsets, labels)
    _check_order(source, times, offsets)
    class_names = checked_names(source, class_names)
    declared = whole(source, "num_classes", num_classes) or len(class_names)
    num_classes = _width(source, "labels", labels, declared, "classes")
    num_channels = _width(source, "channels", channels, whole(source, "num_channels", num_channels), "channels")
    if class_names and len(class_names) != num_classes:
        raise ValueError(f"{source}: class_names has {len(class_names)} names for {num_classes} classes; give one each")
    _warn_of_labels(source, labels, split, num_classes, bool(declared))
    return {
        "times": times,
        "channels": channels,
        "offsets": offsets,
        "labels": labels,
        "split": split,
        "num_channels": num_channels,
        "num_classes": num_classes,
        "duration": _duration(source, duration, times),
        "class_names": class_names,
        "source": str(source),
    }


def positions(source: str, indices: Any, count: int) -> np.ndarray:
    """What `indices` choose of `count` samples, (n,) int64 within 0 ... count - 1, with NumPy's meaning.

    Whole numbers, negative ones from the end, or a mask of one bool a sample. Raises ValueError for anything else.
    """
    chosen = _array(source, "indices", indices)
    if chosen.ndim != 1:
        raise ValueError(f"{source}: indices is {_kind(chosen)}; it must be flat, for example [0, 2]")
    if chosen.dtype.kind == "b":
        if len(chosen) != count:
            raise ValueError(
                f"{source}: a mask of {len(chosen)} entries for {count} samples; it must have one for each"
            )
        return np.flatnonzero(chosen)
    if chosen.dtype.kind not in "iu" and chosen.size:
        raise ValueError(
            f"{source}: indices is {_kind(chosen)}, for example {shown(chosen[0])}; choose samples by whole numbers or "
            "by a mask of bools"
        )
    bad = np.flatnonzero((chosen >= count) | (chosen < -count))
    if len(bad):
        raise ValueError(f"{source}: indices[{bad[0]}] is {chosen[bad[0]]}, but there are {count} samples")
    chosen = chosen.astype(np.int64)
    return np.where(chosen < 0, chosen + count, chosen)


def frozen(values: np.ndarray, dtype: Any = None) -> np.ndarray:
    """Contiguous, of that dtype, and read-only: a copy, unless nobody else can write to it or it is a memory map."""
    result = np.ascontiguousarray(values, dtype)
    if np.may_share_memory(result, values):
        result = result.view() if _kept(values) else result.copy()
    result.flags.writeable = False
    return result


def _kept(values: Any) -> bool:
    writeable = False
    while isinstance(values, np.ndarray):
        if isinstance(values, np.memmap):
            return True
        writeable |= values.flags.writeable
        values = values.base
    return not writeable and (values is None or isinstance(values, bytes))


def whole(source: str, name: str, value: Any) -> int:
    """A whole number >= 0, also of an integer type of NumPy."""
    try:
        number = -1 if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = -1
    if number < 0:
        raise ValueError(f"{source}: {name} is {shown(value)}; it must be a whole number >= 0 (0: as the data have)")
    return number


def number(source: str, name: str, value: Any) -> float:
    """A real number, of Python or NumPy."""
    try:
        if isinstance(value, str | bytes | bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{source}: {name} is {shown(value)}; it must be a number") from None


def checked_names(source: str, names: Iterable[Any]) -> tuple[str, ...]:
    """Names of classes; bytes are taken as UTF-8."""
    if isinstance(names, str | bytes) or not isinstance(names, Iterable):
        raise ValueError(f"{source}: class_names is {shown(names)}; it must hold one name a class, or nothing")
    try:
        result = tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{source}: class_names holds {shown(error.object)}, which is not UTF-8; write it as text"
        ) from None
    for name in result:
        if "\0" in name:
            raise ValueError(
                f"{source}: the class name {shown(name)} has a zero in it, which files would lose; leave it out"
            )
    return result


def checked_times(source: str, values: Any) -> np.ndarray:
    """Finite times >= 0, float64, read-only."""
    values = _array(source, "times", values)
    if values.ndim != 1 or (values.dtype.kind not in "fiu" and values.size):
        raise ValueError(
            f"{source}: 'times' is {_kind(values)}; it must be a flat array of numbers, one per event, "
            "in the unit of the network's time constants"
        )
    times = frozen(values, np.float64)
    bad = np.flatnonzero(~np.isfinite(times) | (times < 0))
    if len(bad):
        raise ValueError(
            f"{source}: times[{bad[0]}] is {values[bad[0]]} ({len(bad)} such events); times must be finite and >= 0: "
            "shift every sample to start at 0 and drop invalid events"
        )
    if values.dtype.kind in "iu":
        bad = np.flatnonzero(values > EXACT)
    else:
        bad = np.flatnonzero(times != values) if values.dtype.itemsize > times.dtype.itemsize else bad
    if len(bad):
        raise ValueError(
            f"{source}: times[{bad[0]}] is {values[bad[0]]} ({len(bad)} such events), which float64 would round to "
            f"{times[bad[0]]:.17g}: shift every sample to start at 0, or round them yourself with astype(np.float64)"
        )
    return times


def integers(source: str, name: str, values: Any) -> np.ndarray:
    """Whole numbers >= 0, int64, read-only."""
    values = _array(source, name, values)
    if values.ndim != 1:
        raise ValueError(
            f"{source}: '{name}' is {_kind(values)}; it must be flat, {_ONE_EACH.get(name, 'one per event')}"
        )
    if values.dtype.kind not in "iu" and values.size:
        remedy = f"save it as {name}.astype(np.int64)"
        if values.dtype.kind not in "fb":
            remedy = f"number them: names, {name} = np.unique({name}, return_inverse=True)"
        raise ValueError(
            f"{source}: '{name}' is {_kind(values)}, for example {name}[0] = {shown(values.flat[0])}; it must be a "
            f"flat array of integers: {remedy}"
        )
    if not values.size:
        return frozen(np.empty(0, np.int64))
    bad = np.flatnonzero((values < 0) | (values > np.iinfo(np.int64).max))
    if len(bad):
        raise ValueError(
            f"{source}: {name}[{bad[0]}] is {values[bad[0]]} ({len(bad)} such entries); {name} must be >= 0 and below "
            "2^63"
        )
    return frozen(values, np.int64)


_ONE_EACH = {
    "channels": "one per event: number the pixels of a sensor as x + width * y",
    "offsets": "one more than there are samples",
    "labels": "one class per sample, for example labels.argmax(1) of labels that are one-hot",
    "split": "one per sample",
}


def checked_split(source: str, values: Any, samples: int) -> np.ndarray:
    """One of 0, 1, 2 for each sample, uint8, read-only."""
    split = integers(source, "split", values)
    if len(split) != samples:
        raise ValueError(f"{source}: {len(split)} entries in split for {samples} labels; every sample needs one")
    bad = np.flatnonzero(split > TEST)
    if len(bad):
        raise ValueError(
            f"{source}: split[{bad[0]}] is {split[bad[0]]} ({len(bad)} such samples); "
            "use 0 for train, 1 for validation, 2 for test"
        )
    return frozen(split, np.uint8)


def _array(source: str, name: str, values: Any) -> np.ndarray:
    if np.ma.is_masked(values):
        raise ValueError(f"{source}: '{name}' has masked entries; leave them out with .compressed() or fill them in")
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{source}: '{name}' cannot be taken as an array of numbers: {cut(str(error))}") from error


def _kind(values: np.ndarray) -> str:
    return f"an array of dtype {values.dtype} and shape {values.shape}"


def _check_lengths(
    source: str, times: np.ndarray, channels: np.ndarray, offsets: np.ndarray, labels: np.ndarray
) -> None:
    if len(channels) != len(times):
        raise ValueError(f"{source}: {len(times)} times but {len(channels)} channels; every event needs one of each")
    if len(offsets) != len(labels) + 1:
        raise ValueError(
            f"{source}: {len(offsets)} offsets for {len(labels)} labels; offsets must have one entry more than labels: "
            "sample i holds the events offsets[i]:offsets[i + 1]"
        )
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


def _width(source: str, name: str, values: np.ndarray, declared: int, what: str) -> int:
    """How many channels or classes there are: as declared, or as found."""
    highest = int(values.max(initial=-1))
    if max(declared, highest + 1) > MOST[what]:
        where = f"{name}[{int(values.argmax())}] is {highest}" if highest >= MOST[what] else f"num_{what} is {declared}"
        raise ValueError(
            f"{source}: {where}, but at most {MOST[what]} {what} make sense, since networks get as many {name}; raw "
            f"addresses must be numbered from 0 on without gaps: {name} = np.unique({name}, return_inverse=True)[1]"
        )
    if declared and highest >= declared:
        bad = np.flatnonzero(values >= declared)
        raise ValueError(
            f"{source}: {name}[{bad[0]}] is {values[bad[0]]} but there are {declared} {what}; "
            f"{name} count from 0: use 0 to {declared - 1}, or declare more {what}"
        )
    if not declared and highest < 0:
        of = {"channels": "event", "classes": "sample"}[what]
        raise ValueError(f"{source}: there is no {of} to tell how many {what} there are; give num_{what}")
    return declared or highest + 1


def _warn_of_labels(source: str, labels: np.ndarray, split: np.ndarray, num_classes: int, declared: bool) -> None:
    used = np.unique(labels)
    if not declared and len(used) and used[0] > 0:
        warnings.warn(
            f"{source}: the lowest label is {used[0]}, but labels count from 0, so there are {num_classes} classes of "
            f"which the first ones have no sample; if yours count from {used[0]}, use labels - {used[0]}, otherwise "
            "give num_classes",
            stacklevel=2,
        )
    trained = np.unique(labels[split == TRAIN])
    unknown = np.setdiff1d(used, trained)
    if len(trained) and len(unknown):
        warnings.warn(
            f"{source}: of the classes {shown(unknown.tolist())} there are "
            "validation or test samples but no training samples, so they cannot be learned; check labels and split, or "
            "leave those samples out",
            stacklevel=2,
        )


def _duration(source: str, duration: float, times: np.ndarray) -> float:
    duration, last = number(source, "duration", duration), float(times.max(initial=0.0))
    if duration == 0:
        if last == 0:
            raise ValueError(f"{source}: there is no event after time 0; give the duration of a sample, > 0")
        return last
    if not np.isfinite(duration) or duration <= 0 or duration < last:
        raise ValueError(
            f"{source}: duration is {duration} but the last event is at {last}; "
            f"give a finite duration of at least {last} (times and duration share one unit)"
        )
    return duration

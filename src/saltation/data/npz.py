"""The generic file format: one `.npz` of plain arrays, without pickles.

  times      (E,)    float, sorted within a sample, >= 0, in the unit of the network's time constants
  channels   (E,)    integer >= 0
  offsets    (S + 1,) integer; sample i holds the events offsets[i]:offsets[i + 1]
  labels     (S,)    integer >= 0
  split      (S,)    integer: 0 train, 1 validation, 2 test
optional:
  class_names (classes,) strings      duration  a number      num_channels, num_classes  an integer
Other arrays are read by name only: another split, or what to group by.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from saltation.check import cut, shown
from saltation.data.arrays import read_arrays
from saltation.data.events import TEST, TRAIN, VALIDATION, EventDataset
from saltation.files import make_folder, replacing

_REQUIRED = ("times", "channels", "offsets", "labels")


def load_npz(
    path: str | os.PathLike[str],
    split_key: str = "split",
    duration: float = 0.0,
    group_key: str | None = None,
    test_group: int | str | Sequence[int | str] = 0,
    validation_group: int | str | Sequence[int | str] | None = None,
) -> EventDataset:
    """Read a recording in the generic format.

    path       the `.npz` file
    split_key  which array holds the split, for files with more than one
    duration   how long a sample is simulated; 0: the file's own, else until the last event
    group_key  an array with one integer or word per sample, such as the speaker, to split by instead: `test_group`,
               one or several, is tested, `validation_group` (None: nobody) validates, all others train

    Raises FileNotFoundError, or ValueError that names the file, the array, the record and the remedy.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no event file at {path}; give the path of an .npz file")
    arrays = read_arrays(path)
    if group_key is not None:
        split_key = f"split by {group_key}"
        arrays[split_key] = _split_by_group(path, arrays, group_key, test_group, validation_group)
    for key in (*_REQUIRED, split_key):
        if key not in arrays:
            remedy = "choose another with split_key (--data.split_key)" if key == split_key else "add that array"
            raise ValueError(f"{path}: no array named '{key}'; the file has {cut(', '.join(sorted(arrays)))}; {remedy}")
    if duration == 0 and "duration" in arrays:
        duration = float(_scalar(path, "duration", arrays, "fiu"))
    sizes = {key: int(_scalar(path, key, arrays, "iu")) for key in ("num_channels", "num_classes") if key in arrays}
    names = np.atleast_1d(arrays.get("class_names", np.empty(0, dtype=str)))
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise ValueError(
            f"{path}: 'class_names' has shape {names.shape} and dtype {names.dtype}; it must hold one string a class: "
            "np.array(names, dtype=str)"
        )
    return EventDataset(
        times=arrays["times"],
        channels=arrays["channels"],
        offsets=arrays["offsets"],
        labels=arrays["labels"],
        split=arrays[split_key],
        **sizes,
        duration=duration,
        class_names=tuple(names.tolist()),
        source=str(path),
    )


def save_npz(path: str | os.PathLike[str], dataset: EventDataset) -> None:
    """Write `dataset` in the generic format, compressed; the file appears only when it is complete and on disk.

    `load_npz` gives back the same data set; only its `source` is the file then. Raises TypeError for a store.
    """
    if not isinstance(dataset, EventDataset):
        raise TypeError(f"dataset is {type(dataset).__name__}; only an EventDataset, in memory, is written as .npz")
    path = Path(path)
    make_folder(path.parent)
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            times=dataset.times,
            channels=dataset.channels,
            offsets=dataset.offsets,
            labels=dataset.labels,
            split=dataset.split,
            class_names=np.array(dataset.class_names, dtype=str),
            duration=dataset.duration,
            num_channels=dataset.num_channels,
            num_classes=dataset.num_classes,
        )


def _split_by_group(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    key: str,
    test: int | str | Sequence[int | str],
    validation: int | str | Sequence[int | str] | None,
) -> np.ndarray:
    if key not in arrays:
        raise ValueError(f"{path}: no array named '{key}'; the file has {cut(', '.join(sorted(arrays)))}")
    values = arrays[key]
    if values.ndim != 1:
        raise ValueError(f"{path}: '{key}' has shape {values.shape}; it must be flat, one entry per sample")
    split = np.full(len(values), TRAIN)
    chosen = {
        code: np.atleast_1d([] if groups is None else groups)
        for groups, code in ((validation, VALIDATION), (test, TEST))
    }
    for code, groups in chosen.items():
        for group in groups.tolist():
            members = values == group
            if not np.any(members):
                raise ValueError(f"{path}: no sample has {key} {group}; there are {shown(np.unique(values).tolist())}")
            split[members] = code
    both = [group for group in chosen[VALIDATION].tolist() if group in chosen[TEST].tolist()]
    if both:
        raise ValueError(f"{path}: {key} {both[0]} can not be tested and validate at once; choose others")
    return split


def _scalar(path: Path, key: str, arrays: Mapping[str, np.ndarray], kinds: str) -> float:
    value = arrays[key]
    if value.size != 1 or value.dtype.kind not in kinds:
        what = "one number" if "f" in kinds else "one integer"
        raise ValueError(f"{path}: '{key}' has shape {value.shape} and dtype {value.dtype}; it must be {what}")
    number: float = value.reshape(()).item()
    return number

"""What lies at a path: which loader reads it, or events made of it, and what was assumed."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from saltation.check import cut
from saltation.data import EventDataset, Samples, latency, load, population, save_npz
from saltation.data.arrays import read_arrays
from saltation.data.images import IDX_FILES
from saltation.new.numbers import GROUPS, Numbers, read_array, read_numbers, read_table
from saltation.new.sounds import read_sounds, sound_files
from saltation.new.split import draw_split

EVENTS = ("times", "channels", "offsets", "labels")
MOST_FIELDS = 64  # features of a table that are seen by eight neurons each; more: by two
FAINT = 0.1  # of the largest value of all images; fainter pixels do not spike
KINDS = (
    "an .npz of events, or of arrays x and y; a store; a folder of .ts series, of idx images, of .wav files, of .h5 "
    "files of SHD; a .csv table; an .npy with its labels; or tonic:NAME"
)


@dataclass
class Recording:
    """data: the section of a recipe that loads the samples; coded: whether each channel spikes once, at a time that
    tells a value; image: (channels, rows, columns) or None; said: what was found and assumed.
    """

    name: str
    data: dict[str, Any]
    samples: Samples
    coded: bool = False
    image: tuple[int, int, int] | None = None
    steps: bool = False  # time counts steps of series
    made: Path | None = None  # the events that were written to be read at once
    said: list[str] = field(default_factory=list)


def look(file: str, beside: Path, root: str | None = None) -> Recording:
    """What lies at `file`, a path or tonic:NAME; what no loader reads at once becomes events in a new .npz in `beside`.

    Raises FileNotFoundError, or ValueError that says what can be read.
    """
    if file.startswith("tonic:"):
        return _tonic(file.removeprefix("tonic:"), beside, root)
    path = Path(file).expanduser().absolute()  # so that the recipe works from anywhere
    if not os.path.exists(path):
        raise FileNotFoundError(f"nothing lies at {path}; give {KINDS}")
    if os.path.isdir(path):
        return _folder(path, beside)
    ending = path.suffix.lower()
    if ending == ".ts":
        return _folder(path.parent, beside)
    if ending in (".csv", ".tsv", ".txt", ".data"):
        table, said = read_table(path)
        return _of_numbers(path, table, beside, said)
    if ending == ".npy":
        return _of_numbers(path, read_array(path), beside, [])
    if ending != ".npz":
        raise ValueError(f"{path} is of no kind that is known here; give {KINDS}")
    arrays = read_arrays(path)
    if set(EVENTS) <= arrays.keys():
        return _events(path, arrays, beside)
    if set(IDX_FILES) <= arrays.keys():
        return _images(path)
    if "raster" in arrays:
        raise ValueError(
            f"{path} is a raster; make events of it first: saltation data convert OUT.npz --dense {path} --dt DT"
        )
    return _of_numbers(path, read_numbers(path, arrays), beside, [])


def _folder(path: Path, beside: Path) -> Recording:
    names = sorted(os.listdir(path))
    if "meta.json" in names and "times.npy" in names:
        return _loaded(path, "events")
    if f"{path.name}_TRAIN.ts" in names:
        found = _loaded(path, "series", delta=0.5)
        return _with_levels(found, path)
    series = [name for name in names if name.endswith("_TRAIN.ts")]
    if series:
        right = series[0].removesuffix("_TRAIN.ts")
        raise ValueError(f"{path} holds {series[0]}; the folder must have the name of the series, {right}: rename it")
    if any(name.removesuffix(".gz") == IDX_FILES["train_images"] for name in names):
        return _images(path)
    if any(name.endswith("_train.h5") for name in names):
        return _loaded(path, "shd")
    if "Train" in names and "Test" in names and not sound_files(path):
        return _loaded(path, "nmnist", image=(2, 34, 34))
    if sound_files(path):
        events, said = read_sounds(path)
        return _converted(path.name, events, beside, said)
    raise ValueError(f"{path} holds {cut(', '.join(names[:8]) or 'nothing')}; a recording is {KINDS}")


def _loaded(path: Path, name: str, image: tuple[int, int, int] | None = None, **options: Any) -> Recording:
    samples = load(name, path, **options)
    data = {"name": name, "path": str(path), **({"options": options} if options else {})}
    return Recording(path.stem, data, samples, image=image)


def _with_levels(found: Recording, path: Path) -> Recording:
    """A series with levels so close that a sample has a hundred events, if it can be."""
    delta = 0.5
    for delta in (0.5, 0.25, 0.1, 0.05):
        found = _loaded(path, "series", delta=delta)
        if found.samples.num_events >= 100 * len(found.samples):
            break
    found.steps = True
    found.said.append(f"level crossings every {delta:g} standard deviations; time counts steps of the series")
    return found


def _images(path: Path) -> Recording:
    found = _loaded(path, "images", darkest=25)
    side = round(found.samples.num_channels**0.5)
    found.image = (1, side, side) if side * side == found.samples.num_channels else None
    found.coded = True
    found.said.append("a pixel of at least 25 of 255 spikes once, the brighter the earlier")
    return found


def _events(path: Path, arrays: dict[str, np.ndarray], beside: Path) -> Recording:
    """The generic format; split by its own array, by groups, or drawn."""
    labels = arrays["labels"]
    if labels.ndim != 1:
        raise ValueError(f"{path}: 'labels' has shape {labels.shape}; it must be flat, one class for each sample")
    samples = len(labels)
    splits = [key for key in arrays if key.startswith("split") and arrays[key].shape == (samples,)]
    options: dict[str, Any] = {}
    if splits:
        key = "split" if "split" in splits else splits[0]
        found = load("events", path, split_key=key)
        data = {"name": "events", "path": str(path), **({"split_key": key} if key != "split" else {})}
        said = [f"split: array {key!r} of the file" + (f", of {', '.join(splits)}" if len(splits) > 1 else "")]
        return Recording(path.stem, data, found, said=said)
    key = next((name for name in GROUPS if name in arrays and arrays[name].shape == (samples,)), "")
    split, how = draw_split(labels, arrays.get(key))
    if key and how.startswith("split by group") and arrays[key].dtype.kind in "iuU":
        groups = {code: np.unique(arrays[key][split == code]).tolist() for code in (1, 2)}
        options = {"group_key": key, "test_group": groups[2], "validation_group": groups[1]}
        found = load("events", path, **options)
        return Recording(path.stem, {"name": "events", "path": str(path), "options": options}, found, said=[how])
    rest: dict[str, Any] = {name: arrays[name] for name in EVENTS}
    for name, kind in (("duration", float), ("num_channels", int), ("num_classes", int)):
        if name in arrays:
            if arrays[name].size != 1 or arrays[name].dtype.kind not in "fiu":
                raise ValueError(f"{path}: {name!r} has shape {arrays[name].shape}; it must be one number")
            rest[name] = kind(arrays[name].item())
    if "class_names" in arrays:
        rest["class_names"] = tuple(np.atleast_1d(arrays["class_names"]).astype(str).tolist())
    events = EventDataset(**rest, split=split, source=str(path))
    return _converted(path.stem, events, beside, [how])


def _of_numbers(path: Path, found: Numbers, beside: Path, said: list[str]) -> Recording:
    """Latency codes: of images by brightness, of tables by receptive fields."""
    split, how = (found.split, "split: as the file has it") if found.split is not None else (None, "")
    if split is None or not (split == 2).any():
        split, how = draw_split(found.labels, found.groups)
    rest: dict[str, Any] = {"class_names": found.names, "source": str(path)}
    values = np.asarray(found.values, np.float64)
    if values.ndim > 2:
        events, image, coded = _coded_images(values, found.labels, split, rest)
        return _converted(path.stem, events, beside, [*said, how, coded], True, image)
    low, high = (np.nanquantile(values[split == 0], q, axis=0) for q in (0.02, 0.98))
    kept = np.flatnonzero(high > low)
    if not len(kept):
        raise ValueError(f"{path}: no column has different values in the training samples; there is nothing to learn")
    if len(kept) < values.shape[1]:
        said.append(f"{values.shape[1] - len(kept)} columns are left out: they hardly change")
    neurons = 8 if len(kept) <= MOST_FIELDS else 2
    low, high = low[kept], high[kept]
    values = np.clip(values[:, kept], low, high)
    events = population(values, found.labels, split, neurons=neurons, low=low, high=high, **rest)
    said.append(f"each of {len(kept)} columns is seen by {neurons} receptive fields between its 2 % and 98 % quantile")
    return _converted(path.stem, events, beside, [*said, how], True)


def _coded_images(
    values: np.ndarray, labels: np.ndarray, split: np.ndarray, rest: dict[str, Any]
) -> tuple[EventDataset, tuple[int, int, int] | None, str]:
    """(S, rows, columns), or with channels first or last, few of them."""
    if values.ndim == 4 and values.shape[3] <= 4 < values.shape[1]:
        values = values.transpose(0, 3, 1, 2)
    shape = values.shape[1:] if values.ndim == 4 else (1, *values.shape[1:])
    flat = np.nan_to_num(values.reshape(len(values), -1))
    low, high = flat[split == 0].min(), flat[split == 0].max()
    scaled = np.clip((flat - low) / max(high - low, 1e-300), 0.0, 1.0)
    scaled[scaled < FAINT] = 0.0
    events = latency(scaled, labels, split, **rest)
    image = (int(shape[0]), int(shape[1]), int(shape[2])) if len(shape) == 3 else None
    return events, image, f"images of {' x '.join(map(str, shape))}: a pixel spikes once, the brighter the earlier"


def _converted(
    name: str, events: EventDataset, beside: Path, said: list[str], coded: bool = False,
    image: tuple[int, int, int] | None = None,
) -> Recording:  # fmt: skip
    """Written as events, so that a run reads them at once."""
    path = (beside / f"{name}-events.npz").absolute()
    if os.path.exists(path):
        raise ValueError(f"{path} is there already; take it away, or give --out in another folder")
    save_npz(path, events)
    said = [*said, f"events: {path}"]
    data = {"name": "events", "path": str(path)}
    return Recording(name, data, load("events", path), coded, image, said=said, made=path)


def _tonic(name: str, beside: Path, root: str | None) -> Recording:
    from saltation.data.tonic import load_tonic

    if root is None:
        raise ValueError("tonic:NAME needs --root, the folder where its files are or shall be put")
    return _converted(name, load_tonic(name, root), beside, [f"tonic.datasets.{name}"])

"""Tables and arrays of numbers with labels: .csv, .tsv, .npz and .npy."""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from saltation.check import cut, shown
from saltation.data.arrays import map_array
from saltation.data.events import TEST, TRAIN, VALIDATION

LABELS = ("label", "labels", "target", "targets", "class", "classes", "species", "y")
GROUPS = ("group", "groups", "speaker", "subject", "user", "person", "patient", "animal", "session", "day", "recording")
SPLITS = {"train": TRAIN, "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION, "test": TEST}
SPLITS |= {str(code): code for code in (TRAIN, VALIDATION, TEST)}
LARGEST_TEXT = 1 << 28  # characters of a table
MOST_CLASSES = 1000  # of a table; more distinct labels are measurements


@dataclass(frozen=True)
class Numbers:
    """values (S, ...) float; labels (S,) int, names of the classes; split and groups (S,), or None."""

    values: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    split: np.ndarray | None = None
    groups: np.ndarray | None = None


def read_table(path: Path) -> tuple[Numbers, list[str]]:
    """A text table, one sample a line, and what was assumed: which column holds the classes, the split, groups.

    Fields are divided by commas, semicolons, tabs or spaces; a first line without a number holds names. An empty field
    is missing (NaN). Raises ValueError naming the file and line.
    """
    rows = _rows(path)
    header = [name.strip().lower() for name in rows[0]] if not any(_is_number(field) for field in rows[0]) else None
    body = rows[1:] if header else rows
    widths = {len(row) for row in rows}
    if len(widths) > 1 or not body or len(rows[0]) < 2:
        bad = next((n for n, row in enumerate(rows, start=1) if len(row) != len(rows[0])), 1)
        raise ValueError(
            f"{path}, line {bad}: a table needs lines of equally many fields, at least two: values and a class"
        )
    columns = dict(enumerate(zip(*body, strict=True)))
    names = header or [""] * len(columns)
    label = next((k for k, name in enumerate(names) if name in LABELS), len(names) - 1)
    said = [f"classes: column {names[label] or label + 1}"]
    split = next((k for k, name in enumerate(names) if name == "split" and k != label), None)
    group = next((k for k, name in enumerate(names) if name in GROUPS and k not in (label, split)), None)
    values = {}
    for k, column in columns.items():
        if k in (label, split, group):
            continue
        try:
            values[k] = np.array([float(field) if field.strip() else np.nan for field in column])
        except ValueError:
            said.append(f"column {names[k] or k + 1} is left out: it holds text")
    if not values:
        raise ValueError(f"{path} has no column of numbers besides the class; at least one is needed")
    words = [field.strip() for field in columns[label]]
    if "" in words:
        raise ValueError(f"{path}: sample {words.index('') + 1} has no class; leave it out, or name its class")
    classes, labels = np.unique(words, return_inverse=True)
    codes = None if split is None else _split_of(path, np.array(columns[split]))
    groups = None if group is None else np.array(columns[group])
    found = Numbers(np.stack(list(values.values()), 1), labels, tuple(classes.tolist()), codes, groups)
    return checked(path, found), said


def _rows(path: Path) -> list[list[str]]:
    if path.stat().st_size > LARGEST_TEXT:
        raise ValueError(f"{path} is larger than 256 MiB; save it as an .npz of arrays x and y")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a table: it is not text in UTF-8 ({error.reason})") from error
    first = text.lstrip().partition("\n")[0]
    mark = next((mark for mark in (",", ";", "\t") if mark in first), " ")
    try:
        rows = [row for row in csv.reader(text.splitlines(), delimiter=mark, skipinitialspace=True) if row]
    except csv.Error as error:
        raise ValueError(f"{path} is not a table: {cut(str(error))}") from error
    if len(rows) < 2:
        raise ValueError(f"{path} has {len(rows)} lines; a table needs one for each sample")
    return rows


def _is_number(field: str) -> bool:
    try:
        float(field)
        return True
    except ValueError:
        return False


def read_numbers(path: Path, arrays: dict[str, np.ndarray]) -> Numbers:
    """The arrays of an .npz: x and y (also data, images, features; label, labels, target), or x_train, y_train, x_test
    and y_test; split and a group by name. Raises ValueError, saying which arrays there are.
    """
    lower = {key.lower(): value for key, value in arrays.items()}
    parts = []
    for code, part in ((TRAIN, "train"), (VALIDATION, "valid"), (TEST, "test")):
        pairs = [(x, y) for x in ("x", "data", "images") for y in ("y", "labels", "label")]
        names = [(f"{x}_{part}", f"{y}_{part}") for x, y in pairs] + [(f"{part}_{x}", f"{part}_{y}") for x, y in pairs]
        pair = next(((x, y) for x, y in names if x in lower and y in lower), None)
        if pair is not None:
            parts.append((code, lower[pair[0]], lower[pair[1]]))
    flat = [value for _, *pair in parts for value in pair if value.ndim == 0]
    if flat:
        raise ValueError(f"{path} holds a single number where an array of samples or of classes must be")
    if parts:
        if len({x.shape[1:] for _, x, _ in parts}) > 1:
            raise ValueError(f"{path}: the parts have samples of different shapes, {[x.shape for _, x, _ in parts]}")
        split = np.concatenate([np.full(len(x), code) for code, x, _ in parts])
        return _labelled(path, np.concatenate([x for _, x, _ in parts]), np.concatenate([y for *_, y in parts]), split)
    labels = next((lower[name] for name in LABELS if name in lower and lower[name].ndim == 1), None)
    fits = [] if labels is None else [v for v in lower.values() if v.ndim > 1 and len(v) == len(labels)]
    if labels is None or not fits:
        raise ValueError(
            f"{path} has {cut(', '.join(arrays))}; it must hold events (times, channels, offsets, labels), or an array "
            "x of samples and an array y of their classes"
        )
    values = max(fits, key=lambda value: value.size)
    codes = _split_of(path, lower["split"]) if "split" in lower else None
    return _labelled(path, values, labels, codes, next((lower[name] for name in GROUPS if name in lower), None))


def read_array(path: Path) -> Numbers:
    """An .npy of samples, with their classes in NAME_labels.npy or labels.npy beside it."""
    places = [path.with_name(f"{path.stem}_labels.npy"), path.with_name("labels.npy")]
    found = next((place for place in places if os.path.isfile(place)), None)
    if found is None:
        raise ValueError(f"{path} has no classes: put them into {places[0].name} beside it, one for each sample")
    return _labelled(path, np.asarray(map_array(path)), np.asarray(map_array(found)))


def _labelled(
    path: Path,
    values: np.ndarray,
    labels: np.ndarray,
    split: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> Numbers:
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if values.dtype.kind not in "biuf" or values.ndim < 2 or labels.ndim != 1 or len(labels) != len(values):
        raise ValueError(
            f"{path}: the samples have shape {values.shape} and dtype {values.dtype}, the classes {labels.shape}; "
            "there must be an array (samples, ...) of numbers, and one class for each sample"
        )
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError(f"{path}: sample {np.flatnonzero(~np.isfinite(labels))[0]} has no class; leave it out")
    names, codes = np.unique(labels, return_inverse=True)
    return checked(path, Numbers(values, codes, tuple(map(str, names.tolist())), split, groups))


def checked(path: Path, found: Numbers) -> Numbers:
    """As it is. Raises ValueError for labels that are no classes, for values that are infinite, for a split or groups
    that are not one for each sample, and for a split without training samples.
    """
    for name, codes in (("split", found.split), ("groups", found.groups)):
        if codes is not None and codes.shape != found.labels.shape:
            raise ValueError(
                f"{path}: the {name} have shape {codes.shape}; there must be one for each of the {len(found.labels)} "
                "samples"
            )
    if found.split is not None and not (found.split == TRAIN).any():
        raise ValueError(f"{path} has no training samples; give it some (split: train or 0), or leave the split out")
    if not 2 <= len(found.names) <= min(MOST_CLASSES, max(len(found.labels) // 2, 2)):
        raise ValueError(
            f"{path}: {len(found.labels)} samples of {len(found.names)} classes, {cut(', '.join(found.names))}; a "
            "class needs two samples or more, and there must be at least two and at most 1,000 classes"
        )
    if found.values.dtype.kind == "f" and np.isinf(found.values).any():
        raise ValueError(f"{path} holds infinite values; leave these samples out")
    return found


def _split_of(path: Path, column: np.ndarray) -> np.ndarray:
    words = np.char.lower(np.char.strip(column.astype(str).ravel()))
    unknown = sorted(set(words.tolist()) - set(SPLITS))
    if unknown:
        raise ValueError(f"{path}: split {shown(unknown[0])}; it must be one of {', '.join(SPLITS)}")
    return np.array([SPLITS[word] for word in words.tolist()]).reshape(column.shape)

"""Time series in the `.ts` files of the UEA archive, coded by level crossings."""

import importlib.util
import os
from pathlib import Path

import numpy as np

from saltation.check import cut, shown
from saltation.data.encode import level_crossing
from saltation.data.events import TEST, TRAIN, EventDataset
from saltation.spikes import MOST_EVENTS


def load_series(path: Path, *, delta: float = 0.5, dt: float = 1.0, rest: int = 10) -> EventDataset:
    """Series of a folder with NAME_TRAIN.ts and NAME_TEST.ts, NAME being that of the folder; see `level_crossing`.

    path   the folder
    delta  distance between levels, in standard deviations of the variable over the training samples
    rest   steps of silence after the longest series, for delays and the readout
    dt     time between two values; signals start at their mean one dt before their first value

    Raises FileNotFoundError, or ValueError naming the file and line.
    """
    parts = {code: read_ts(path / f"{path.name}_{part}.ts") for code, part in ((TRAIN, "TRAIN"), (TEST, "TEST"))}
    widths = {len(samples[0]) for samples, _ in parts.values()}
    if len(widths) > 1:
        raise ValueError(
            f"{path}: training samples have {len(parts[TRAIN][0][0])} variables, test samples another number"
        )
    if rest < 0:
        raise ValueError(f"rest is {rest}; it must be a number of steps >= 0")
    classes = sorted(set(parts[TRAIN][1]))
    for code, (_, names) in parts.items():
        unknown = sorted(set(names) - set(classes))
        if unknown:
            raise ValueError(
                f"{path}: class {shown(unknown[0])} of split {code} does not occur in the training samples"
            )
    steps = max(sample.shape[1] for samples, _ in parts.values() for sample in samples)
    cells = sum(len(samples) for samples, _ in parts.values()) * max(widths) * (steps + rest)
    if cells > MOST_EVENTS:
        raise ValueError(
            f"{path}: all series made as long as the longest, {steps} steps, and followed by rest = {rest} steps of "
            f"silence, hold {cells:.3g} values, more than 2^28; cut long series, or use a smaller rest"
        )
    padded = {
        code: np.stack([np.pad(s, ((0, 0), (0, steps - s.shape[1])), constant_values=np.nan) for s in samples])
        for code, (samples, _) in parts.items()
    }
    mean, std = (f(padded[TRAIN], axis=(0, 2))[:, None] for f in (np.nanmean, np.nanstd))
    series = (np.concatenate([padded[TRAIN], padded[TEST]]) - mean) / np.where(std > 0, std, 1.0)
    silence = np.full((*series.shape[:2], rest), np.nan)
    return level_crossing(
        np.concatenate([np.zeros_like(series[:, :, :1]), series, silence], axis=2),
        np.array([classes.index(name) for code in parts for name in parts[code][1]]),
        np.repeat([TRAIN, TEST], [len(parts[TRAIN][1]), len(parts[TEST][1])]),
        dt=dt,
        delta=delta,
        class_names=tuple(classes),
        source=str(path),
    )


def bundled(name: str) -> Path | None:
    """The folder of a series that comes with the package aeon, if that is installed; it is not imported."""
    found = importlib.util.find_spec("aeon")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "datasets" / "data" / name
    return folder if os.path.isdir(folder) else None


def read_ts(path: Path) -> tuple[list[np.ndarray], list[str]]:
    """Samples (variables, steps) and class names of one file; missing values ("?") are not accepted."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no series at {path}; get them from timeseriesclassification.com")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text ({cut(str(error))}); it is damaged or not a .ts file") from error
    samples: list[np.ndarray] = []
    names: list[str] = []
    data = False
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if not data or not line or line.startswith("#"):
            if " ".join(line.lower().split()) in ("@timestamps true", "@classlabel false"):
                raise ValueError(
                    f"{path}, line {number}: {shown(line)}: only values at equal distances with a class are read"
                )
            data = data or line.lower() == "@data"
            continue
        *variables, name = line.split(":")
        try:
            samples.append(np.array([[float(value) for value in variable.split(",")] for variable in variables]))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}; every variable needs as many plain numbers") from error
        if not np.isfinite(samples[-1]).all() or samples[-1].ndim != 2 or len(samples[-1]) != len(samples[0]):
            raise ValueError(f"{path}, line {number}: values must be finite, with as many variables in every sample")
        names.append(name)
    if not samples:
        raise ValueError(f"{path} has no samples after @data; it is cut short or not a .ts file")
    return samples, names

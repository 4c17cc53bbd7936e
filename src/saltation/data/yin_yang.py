"""The Yin-Yang data set: points in a Yin-Yang symbol, three classes, four input channels.

L. Kriener, J. Goeltz, M. A. Petrovici, "The Yin-Yang dataset", NICE 2022, doi 10.1145/3517343.3517380.
"""

import os
from pathlib import Path

import numpy as np

from saltation.data.arrays import read_arrays
from saltation.data.events import EventDataset
from saltation.data.latency import check_window, encode_latency

R_BIG, R_SMALL = 0.5, 0.1
CLASS_NAMES = ("yin", "yang", "dot")
PUBLICATION_FILE = Path("yin_yang") / "yin_yang_publication.npz"
SPLITS = ("train", "validation", "test")


def yin_yang(
    root: str | os.PathLike[str] | None = None,
    *,
    publication: bool | None = None,
    t_early: float = 0.15,
    t_late: float = 2.0,
    bias: float | None = None,
    duration: float = 6.0,
    sizes: tuple[int, int, int] = (5000, 1000, 1000),
    seeds: tuple[int, int, int] = (42, 41, 40),
) -> EventDataset:
    """Yin-Yang with one spike per channel at t_early + value * (t_late - t_early), in units of tau_syn.

    root         data root; if it holds yin_yang/yin_yang_publication.npz those points are used
    publication  True: the publication points or an error; False: always generate; None: whichever is there
    bias         time of an extra spike in every sample, on a fifth channel; None: no such channel
    duration     how long a sample is simulated, >= t_late
    sizes, seeds  samples and random seed of the train, validation and test part, when generated

    Raises ValueError for times out of order, FileNotFoundError for missing publication points.
    """
    check_window(t_early, t_late, duration)
    if bias is not None and not 0 <= bias <= duration:
        raise ValueError(
            f"bias is {bias}; it must be a time in [0, duration] = [0, {duration}], or None for no such channel"
        )
    if len(sizes) != 3 or len(seeds) != 3 or min(sizes) < 0 or sum(sizes) == 0:
        raise ValueError(
            f"sizes are {sizes}, seeds {seeds}; give three numbers >= 0 each, for train, validation and test"
        )
    path = None if root is None else Path(root) / PUBLICATION_FILE
    if publication is not False and path is not None and os.path.isfile(path):
        parts, source = _publication_points(path), str(path)
    elif publication:
        raise FileNotFoundError(
            f"no Yin-Yang publication points at {path or PUBLICATION_FILE}; they are published at "
            "github.com/lkriener/yin_yang_data_set (publication_data): put its six arrays into one .npz "
            f"named {PUBLICATION_FILE} under the data root, or generate points with publication=False"
        )
    else:
        parts = [yin_yang_points(size, seed) for size, seed in zip(sizes, seeds, strict=True)]
        source = f"Yin-Yang, generated with seeds {tuple(seeds)}"
    features = np.concatenate([features for features, _ in parts])
    times = t_early + features * (t_late - t_early)
    if bias is not None:
        times = np.column_stack([times, np.full(len(times), float(bias))])
    labels = np.concatenate([labels for _, labels in parts])
    split = np.repeat(np.arange(3), [len(labels) for _, labels in parts])
    return encode_latency(times, labels, split, duration, CLASS_NAMES, source)


def yin_yang_points(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`size` random points: features x, y, 1 - x, 1 - y (size, 4) in [0, 1], and labels (size,) int64.

    As published: first a class is drawn for each point, all equally likely, then points of the disc until one is of it.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(len(CLASS_NAMES), size=size)
    points = np.empty((size, 2))
    missing = np.arange(size)
    while len(missing):
        candidates = rng.uniform(0.0, 2 * R_BIG, size=(len(missing), 2))
        in_disc = np.hypot(candidates[:, 0] - R_BIG, candidates[:, 1] - R_BIG) <= R_BIG
        accepted = in_disc & (yin_yang_class(candidates) == labels[missing])
        points[missing[accepted]] = candidates[accepted]
        missing = missing[~accepted]
    return np.column_stack([points, 1 - points]), labels


def yin_yang_class(points: np.ndarray) -> np.ndarray:
    """The class of each point (n, 2): 0 yin, 1 yang, 2 one of the two dots."""
    x, y = points[:, 0], points[:, 1]
    to_right_dot = np.hypot(x - 1.5 * R_BIG, y - R_BIG)
    to_left_dot = np.hypot(x - 0.5 * R_BIG, y - R_BIG)
    dot = (to_right_dot < R_SMALL) | (to_left_dot < R_SMALL)
    left_head = to_left_dot <= 0.5 * R_BIG
    body = (y > R_BIG) & (to_right_dot > 0.5 * R_BIG)
    return np.where(dot, 2, (left_head | body).astype(np.int64))


def _publication_points(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    arrays = read_arrays(path)
    needed = [f"{split}_{what}" for split in SPLITS for what in ("samples", "labels")]
    for key in needed:
        if key not in arrays:
            raise ValueError(f"{path}: no array named '{key}'; it must hold {', '.join(needed)}")
    parts = [(arrays[f"{split}_samples"], arrays[f"{split}_labels"]) for split in SPLITS]
    for split, (features, _) in zip(SPLITS, parts, strict=True):
        if features.ndim != 2 or features.shape[1:] != parts[0][0].shape[1:] or features.dtype.kind not in "fiu":
            raise ValueError(
                f"{path}: {split}_samples has shape {features.shape} and dtype {features.dtype}; it must be "
                "(samples, features) of numbers"
            )
        bad = np.argwhere(~((features >= 0) & (features <= 1)))
        if len(bad):
            i, j = bad[0]
            raise ValueError(f"{path}: {split}_samples[{i}, {j}] is {features[i, j]}; features must be in [0, 1]")
    return parts

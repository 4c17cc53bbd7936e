"""MNIST and Fashion-MNIST in the original idx files or an `.npz`, latency coded: a brighter pixel spikes earlier."""

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from saltation.check import cut
from saltation.data.arrays import RATIO, ROOM, check_room, read_arrays
from saltation.data.events import TEST, TRAIN, EventDataset
from saltation.data.latency import check_window, encode_latency

# What the four arrays are called in an .npz, and the files in the original form (plain or .gz).
IDX_FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
FULL_SCALE = 255.0


def load_images(
    path: Path, *, t_early: float = 0.15, t_late: float = 2.0, duration: float = 6.0, darkest: int = 1
) -> EventDataset:
    """Images with one spike per pixel of at least `darkest`, at t_late - value / 255 * (t_late - t_early).

    path     a folder with the four original idx files (plain or .gz), or an .npz with train_images, train_labels,
             test_images and test_labels
    darkest  from 1 to 255: pixels below do not spike

    One channel per pixel, row by row; times in units of tau_syn. Raises FileNotFoundError, or ValueError naming the
    file for damaged files and values out of range.
    """
    check_window(t_early, t_late, duration)
    if not 1 <= darkest <= FULL_SCALE:
        raise ValueError(f"darkest is {darkest}; it must be from 1 to 255, since a black pixel carries nothing")
    arrays = (
        {key: read_idx(_find(path, file)) for key, file in IDX_FILES.items()} if os.path.isdir(path) else _npz(path)
    )
    for part in ("train", "test"):
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        if images.ndim != 3 or images.dtype != np.uint8 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"{path}: {part}_images has shape {images.shape} and dtype {images.dtype}, {part}_labels shape "
                f"{labels.shape}; there must be one label for each image of bytes (images, rows, columns)"
            )
    shapes = {arrays[f"{part}_images"].shape[1:] for part in ("train", "test")}
    if len(shapes) > 1:
        raise ValueError(f"{path}: training and test images differ in size, {' and '.join(map(str, sorted(shapes)))}")
    images = np.concatenate([arrays["train_images"], arrays["test_images"]]).reshape(-1, math.prod(images.shape[1:]))
    labels = np.concatenate([arrays["train_labels"], arrays["test_labels"]])
    split = np.repeat([TRAIN, TEST], [len(arrays["train_labels"]), len(arrays["test_labels"])])
    times = np.where(images >= darkest, t_late - images / FULL_SCALE * (t_late - t_early), np.inf)
    names = tuple(str(digit) for digit in range(10))
    return encode_latency(times, labels, split, duration, names, str(path))


def read_idx(path: Path) -> np.ndarray:
    """The array of one idx file of bytes, plain or .gz. Raises ValueError if it is damaged, or a bomb."""
    most = ROOM + RATIO * path.stat().st_size
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(most + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged or cut short ({cut(str(error))}); copy or download it again") from error
    check_room(path, len(content), path.stat().st_size)
    if len(content) < 4 or content[:3] != b"\0\0\x08" or content[3] > 3 or len(content) < 4 + 4 * content[3]:
        raise ValueError(f"{path} is not an idx file of bytes: it begins with {content[:4].hex(' ')}")
    shape = struct.unpack(f">{content[3]}I", content[4 : 4 + 4 * content[3]])
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3])
    if values.size != math.prod(shape):
        raise ValueError(
            f"{path} holds {values.size} bytes of data but announces shape {shape}, {math.prod(shape)} bytes; "
            "copy or download it again"
        )
    return values.reshape(shape)


def _find(folder: Path, name: str) -> Path:
    for file in (folder / name, folder / f"{name}.gz"):
        if os.path.isfile(file):
            return file
    raise FileNotFoundError(f"{folder} has no {name} and no {name}.gz; put the four original files there")


def _npz(path: Path) -> dict[str, np.ndarray]:
    arrays = read_arrays(path)
    missing = [key for key in IDX_FILES if key not in arrays]
    if missing:
        raise ValueError(f"{path}: no array named '{missing[0]}'; it must hold {', '.join(IDX_FILES)}")
    return arrays

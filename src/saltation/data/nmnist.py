"""N-MNIST: digits seen by an event camera (34 x 34 pixels, two polarities), in seconds."""

import os
from pathlib import Path

import numpy as np

from saltation.check import cut
from saltation.data.arrays import read_arrays
from saltation.data.events import TEST, TRAIN, EventDataset
from saltation.data.validate import EXACT, integers

WIDTH = HEIGHT = 34
CHANNELS = 2 * WIDTH * HEIGHT  # x + 34 y + 1156 polarity
MICROSECOND = 1e-6
OVERFLOW_ROW, OVERFLOW = 240, 1 << 13  # an event in this row only says that the clock has gone round
EVENT_BYTES = 5


def load_nmnist(path: Path, *, duration: float = 0.34, per_class: int = 0) -> EventDataset:
    """N-MNIST events.

    path       a folder with the original Train/0..9/*.bin and Test/0..9/*.bin, or an .npz with address, dt_us (time
               since the event before, in microseconds), offsets, labels and split
    per_class  at most so many files of each digit and split, in order of name; 0: all

    Hidden files (._1.bin, which macOS adds) are no recordings. Raises FileNotFoundError, or ValueError naming the file.
    """
    if per_class < 0:
        raise ValueError(f"per_class is {per_class}; it must be >= 0 (0: all files)")
    if os.path.isdir(path):
        times, channels, lengths, labels, split = _folder(path, per_class)
    else:
        times, channels, lengths, labels, split = _npz(path)
    return EventDataset(
        times=times * MICROSECOND,
        channels=channels,
        offsets=np.concatenate(([0], np.cumsum(lengths))),
        labels=labels,
        split=split,
        num_channels=CHANNELS,
        num_classes=10,
        duration=duration,
        class_names=tuple(str(digit) for digit in range(10)),
        source=str(path),
    )


def read_bin(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times in microseconds and channels of one original file: x, y, then polarity (1 bit) and time (23 bits)."""
    content = np.fromfile(path, np.uint8)
    if content.size == 0 or content.size % EVENT_BYTES:
        raise ValueError(f"{path} has {content.size} bytes, not a multiple of 5: it is cut short; copy it again")
    x, y, high, middle, low = content.reshape(-1, EVENT_BYTES).astype(np.int64).T
    overflow = y == OVERFLOW_ROW
    times = ((high & 0x7F) << 16 | middle << 8 | low) + OVERFLOW * np.cumsum(overflow)
    bad = np.flatnonzero(~overflow & ((x >= WIDTH) | (y >= HEIGHT)))
    if len(bad):
        raise ValueError(f"{path}: event {bad[0]} is at pixel ({x[bad[0]]}, {y[bad[0]]}), outside of 34 x 34")
    channels = x + WIDTH * y + WIDTH * HEIGHT * (high >> 7)
    order = np.argsort(times[~overflow], kind="stable")
    return times[~overflow][order], channels[~overflow][order]


def _folder(path: Path, per_class: int) -> tuple[np.ndarray, ...]:
    times, channels, labels, split = [], [], [], []
    for code, part in ((TRAIN, "Train"), (TEST, "Test")):
        for digit in range(10):
            files = sorted(file for file in (path / part / str(digit)).glob("*.bin") if file.name[0] != ".")
            if not files:
                raise FileNotFoundError(
                    f"no .bin files in {path / part / str(digit)}; unpack {part}.zip of N-MNIST there"
                )
            for file in files[: per_class or None]:
                t, channel = read_bin(file)
                times.append(t)
                channels.append(channel)
                labels.append(digit)
                split.append(code)
    lengths = np.array([len(t) for t in times])
    return np.concatenate(times), np.concatenate(channels), lengths, np.array(labels), np.array(split)


def _npz(path: Path) -> tuple[np.ndarray, ...]:
    arrays = read_arrays(path)
    for key in ("address", "dt_us", "offsets", "labels", "split"):
        if key not in arrays:
            raise ValueError(f"{path}: no array named '{key}'; the file has {cut(', '.join(sorted(arrays)))}")
    offsets, gaps, channels = (integers(str(path), key, arrays[key]) for key in ("offsets", "dt_us", "address"))
    last = int(offsets[-1]) if len(offsets) else -1
    if last != len(gaps) or offsets[0] != 0 or (np.diff(offsets) < 0).any():
        raise ValueError(f"{path}: offsets must rise from 0 to {len(gaps)}, the number of events, but end at {last}")
    if len(gaps) and int(gaps.max()) * len(gaps) >= EXACT:
        raise ValueError(f"{path}: dt_us goes up to {gaps.max()}; it must hold microseconds since the event before")
    clock = np.concatenate(([0], np.cumsum(gaps)))
    lengths = np.diff(offsets)
    times = clock[1:] - np.repeat(clock[offsets[:-1]], lengths)
    return times, channels, lengths, arrays["labels"], arrays["split"]

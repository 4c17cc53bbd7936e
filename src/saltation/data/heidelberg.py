"""Spiking Heidelberg Digits and Spiking Speech Commands: HDF5 files of an artificial cochlea, 700 channels, seconds."""

import warnings
from pathlib import Path

import numpy as np

from saltation.check import cut
from saltation.data import hdf5
from saltation.data.events import TEST, TRAIN, VALIDATION, EventDataset
from saltation.extras import need

CHANNELS = 700
LONGEST = 60.0  # seconds; no recording is longer than two, so the times of such a file have another unit
SPLITS = {"train": TRAIN, "valid": VALIDATION, "test": TEST}


def load_heidelberg(
    path: Path, *, duration: float = 1.4, validation_speaker: int | None = None, group: int = 1
) -> EventDataset:
    """The HDF5 files of a folder, as published: spikes/times, spikes/units (ragged), labels, extra/speaker, extra/keys.

    path      a folder with shd_train.h5 and shd_test.h5, or ssc_train.h5, ssc_valid.h5 and ssc_test.h5
    duration  later spikes are left out, and a warning counts them; a few recordings of SSC are longer
    validation_speaker  SHD has no validation samples: those of this speaker, of the training part, are taken
    group     so many neighbouring channels are read as one (a divisor of 700)

    Spikes of a sample may come in any order. Raises FileNotFoundError, MissingPackageError without
    h5py, or ValueError naming the file and record, also for times that are not in seconds and for files that refer to
    other files.
    """
    if not duration > 0:
        raise ValueError(f"duration is {duration}; it must be > 0, in seconds")
    if group < 1 or CHANNELS % group:
        raise ValueError(f"group is {group}; it must divide {CHANNELS}, for example 5")
    files = {part: sorted(path.glob(f"*_{part}.h5")) for part in SPLITS}
    for part in ("train", "test"):
        if len(files[part]) != 1:
            raise FileNotFoundError(
                f"{path} holds {len(files[part])} files named *_{part}.h5; unpack shd_{part}.h5.gz (or "
                f"ssc_{part}.h5.gz) from zenkelab.org/datasets there, one data set to a folder"
            )
    parts = [(SPLITS[part], *_read(found[0], duration)) for part, found in files.items() if found]
    speakers = np.concatenate([part[5] for part in parts])
    split = np.concatenate([np.full(len(part[4]), part[0]) for part in parts])
    if validation_speaker is not None:
        taken = (speakers == validation_speaker) & (split == TRAIN)
        if not taken.any():
            known = np.unique(speakers[split == TRAIN]).tolist()
            raise ValueError(f"{path}: no training sample of speaker {validation_speaker}; there are {known}")
        split[taken] = VALIDATION
    return EventDataset(
        times=np.concatenate([part[1] for part in parts]),
        channels=np.concatenate([part[2] for part in parts]) // group,
        offsets=np.concatenate(([0], np.cumsum(np.concatenate([part[3] for part in parts])))),
        labels=np.concatenate([part[4] for part in parts]),
        split=split,
        num_channels=CHANNELS // group,
        duration=duration,
        class_names=parts[0][6],
        source=str(path),
    )


def _read(path: Path, duration: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, tuple]:
    """times, channels, lengths, labels, speakers and class names of one file."""
    need("data", f"reading {path}")
    import h5py

    try:
        with h5py.File(path) as file:
            times, units = hdf5.ragged(file, "spikes/times", "fiu"), hdf5.ragged(file, "spikes/units", "iu")
            labels = hdf5.flat(file, "labels", "iu")
            known = hdf5.holds(file, "extra/speaker")
            speakers = hdf5.flat(file, "extra/speaker", "iu") if known else np.zeros(len(labels), np.int64)
            names = hdf5.texts(file, "extra/keys") if hdf5.holds(file, "extra/keys") else ()
    except (OSError, KeyError, RuntimeError, TypeError) as error:  # what h5py raises for damage
        raise ValueError(
            f"{path} is damaged, cut short or of another layout ({cut(str(error))}); download it again"
        ) from error
    if not 0 < len(times) == len(units) == len(labels) == len(speakers):
        raise ValueError(
            f"{path}: {len(times)} times, {len(units)} units, {len(labels)} labels, {len(speakers)} speakers; there "
            "must be as many of each, and some"
        )
    late = 0
    for i, (t, u) in enumerate(zip(times, units, strict=True)):
        if len(t) != len(u):
            raise ValueError(f"{path}: sample {i} has {len(t)} times but {len(u)} units")
        t = t.astype(np.float64)
        if not np.isfinite(t).all() or t.max(initial=0.0) > LONGEST:
            k = int(np.argmax(~(t <= LONGEST)))
            raise ValueError(
                f"{path}: spikes/times[{i}][{k}] is {t[k]}, but the recordings are in seconds and no longer than two; "
                "divide times in milliseconds by 1e3, in microseconds by 1e6, and leave out what is not finite"
            )
        order = np.argsort(t, kind="stable")
        order = order[t[order] <= duration]
        late += len(t) - len(order)
        times[i], units[i] = t[order], u[order].astype(np.int64)
    if late:
        warnings.warn(
            f"{path}: {late} spikes come after duration = {duration:g} and are left out; a longer duration keeps them",
            stacklevel=2,
        )
    lengths = np.array([len(t) for t in times], np.int64)
    return np.concatenate(times), np.concatenate(units), lengths, labels, speakers, names

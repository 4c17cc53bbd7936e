"""Data sets larger than memory: a folder of plain `.npy` arrays that are read through memory maps.

times.npy (E,), channels.npy (E,), offsets.npy (S + 1,), labels.npy (S,), split.npy (S,) as in the generic format, and
meta.json: num_channels, num_classes, duration, class_names.
"""

import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch

from saltation.data import validate
from saltation.data.events import EventDataset
from saltation.data.samples import Samples, gather
from saltation.spikes import Spikes

ARRAYS = ("times", "channels", "offsets", "labels", "split")
CHUNK = 4096  # samples written at once by save_store
HEADER = 128  # bytes of an .npy header, padded


@dataclass(frozen=True, repr=False)
class StoredDataset(Samples):
    """Samples of a store; made by `load_store`. Only batches are read into memory."""

    times: np.ndarray  # (E,) memory-mapped, of the whole store
    channels: np.ndarray  # (E,) memory-mapped
    starts: np.ndarray  # (S,) where the events of each of these samples begin
    lengths: np.ndarray  # (S,)
    labels: np.ndarray
    split: np.ndarray
    num_channels: int
    num_classes: int
    duration: float
    class_names: tuple[str, ...]
    source: str

    @property
    def num_events(self) -> int:
        """Of all samples together."""
        return int(self.lengths.sum())

    def take(self, indices: np.ndarray) -> "StoredDataset":
        """The samples `indices` (n,), in that order, as a data set of their own; reads nothing."""
        parts = {name: getattr(self, name)[indices] for name in ("starts", "lengths", "labels", "split")}
        return replace(self, **parts)

    def batch(self, indices: np.ndarray) -> tuple[Spikes, torch.Tensor]:
        """The samples `indices` (B,) as (Spikes, labels (B,) int64).

        Raises ValueError, naming the store and the event, if what is read breaks a rule of `Spikes`.
        """
        indices = np.asarray(indices, dtype=np.int64)
        events, offsets = gather(self.starts[indices], self.lengths[indices])
        times = torch.from_numpy(self.times[events].astype(np.float64))
        units = torch.from_numpy(self.channels[events].astype(np.int64))
        try:
            spikes = Spikes(times, units, torch.from_numpy(offsets), self.num_channels, self.duration)
        except ValueError as error:
            raise ValueError(f"{self.source}, batch of the samples {indices.tolist()[:8]} ...: {error}") from error
        return spikes, torch.from_numpy(self.labels[indices])

    def with_split(self, split: np.ndarray) -> "StoredDataset":
        """The same samples with another split (S,)."""
        return replace(self, split=split.astype(np.uint8))

    def _spans(self) -> tuple[np.ndarray, np.ndarray]:
        return self.starts, self.lengths


class StoreWriter:
    """Write a store sample by sample or in pieces, so that it never has to be in memory as a whole.

        with StoreWriter("folder", num_channels=700, num_classes=20, duration=1.0) as writer:
            writer.add(piece)  # an EventDataset; again and again

    The folder appears when the block ends without an error; until then it is called folder.partial.

    Args:
        times: dtype in which times are kept; "float32" halves the size and rounds to 7 digits.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        num_channels: int,
        num_classes: int,
        duration: float,
        class_names: tuple[str, ...] = (),
        times: str = "float64",
    ):
        self.path = Path(path)
        if self.path.exists():
            raise ValueError(f"{self.path} exists already; choose another name or remove it")
        if times not in ("float32", "float64"):
            raise ValueError(f"times is {times!r}; it must be 'float32' or 'float64'")
        self.meta = {"num_channels": num_channels, "num_classes": num_classes, "duration": duration}
        self.class_names = class_names
        self.dtypes = {"times": np.dtype(times), "channels": np.min_scalar_type(num_channels)}
        self.lengths: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []
        self.split: list[np.ndarray] = []

    def __enter__(self) -> Self:
        self.partial = self.path.with_name(self.path.name + ".partial")
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True)
        self.files = {name: (self.partial / f"{name}.npy").open("wb") for name in self.dtypes}
        for file in self.files.values():
            file.write(b"\0" * HEADER)
        return self

    def add(self, piece: EventDataset) -> None:
        """Append all samples of `piece`. Raises ValueError if it has more channels, classes or time than the store."""
        for name, limit in self.meta.items():
            if getattr(piece, name) > limit:
                raise ValueError(f"{piece.source} has {name} {getattr(piece, name)}, but {self.path} only {limit}")
        for name, file in self.files.items():
            values = getattr(piece, name).astype(self.dtypes[name])
            if name == "times":
                values = np.minimum(values, self.dtypes[name].type(self.meta["duration"]))  # rounding
            file.write(values.tobytes())
        self.lengths.append(np.diff(piece.offsets))
        self.labels.append(piece.labels)
        self.split.append(piece.split)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        empty = np.empty(0, np.int64)
        lengths = np.concatenate([empty, *self.lengths])
        for name, file in self.files.items():
            file.seek(0)
            header = {"descr": self.dtypes[name].str, "fortran_order": False, "shape": (int(lengths.sum()),)}
            np.lib.format.write_array_header_1_0(file, header)  # padded to HEADER bytes
            assert file.tell() == HEADER
            file.close()
        if kind is not None:
            shutil.rmtree(self.partial, ignore_errors=True)
            return
        np.save(self.partial / "offsets.npy", np.concatenate(([0], np.cumsum(lengths))))
        np.save(self.partial / "labels.npy", np.concatenate([empty, *self.labels]))
        np.save(self.partial / "split.npy", np.concatenate([empty, *self.split]).astype(np.uint8))
        text = json.dumps({**self.meta, "class_names": self.class_names}, indent=2)
        (self.partial / "meta.json").write_text(text, encoding="utf-8")
        os.replace(self.partial, self.path)


def save_store(path: str | os.PathLike[str], dataset: EventDataset, times: str = "float64") -> None:
    """Write a data set as a store. Raises ValueError if the folder exists."""
    sizes = dataset.num_channels, dataset.num_classes, dataset.duration
    with StoreWriter(path, *sizes, dataset.class_names, times) as writer:
        for start in range(0, len(dataset), CHUNK):
            writer.add(dataset.take(np.arange(start, min(start + CHUNK, len(dataset)))))


def load_store(path: str | os.PathLike[str]) -> StoredDataset:
    """Open a store. Sizes, labels and split are checked now; events when they are read.

    Raises FileNotFoundError, or ValueError naming the file that is missing, damaged or cut short.
    """
    path = Path(path)
    if not (path / "meta.json").is_file():
        raise FileNotFoundError(f"no store at {path}: it has no meta.json; see saltation data convert")
    try:
        meta: dict[str, Any] = json.loads((path / "meta.json").read_text(encoding="utf-8"))
        num_channels, num_classes, duration, names = (
            meta[key] for key in ("num_channels", "num_classes", "duration", "class_names")
        )
    except (json.JSONDecodeError, KeyError) as error:
        raise ValueError(f"{path / 'meta.json'} is damaged ({error}); write the store again") from error
    arrays = {name: _open(path / f"{name}.npy", mapped=name in ("times", "channels")) for name in ARRAYS}
    small = validate.checked_fields(
        times=np.empty(0), channels=np.empty(0, np.int64), offsets=np.zeros(len(arrays["labels"]) + 1, np.int64),
        labels=arrays["labels"], split=arrays["split"], num_channels=num_channels, num_classes=num_classes,
        duration=duration, class_names=tuple(names), source=str(path),
    )  # fmt: skip
    offsets = arrays["offsets"].astype(np.int64)
    events = len(arrays["times"])
    rising = len(offsets) == len(small["labels"]) + 1 and offsets[0] == 0 and (np.diff(offsets) >= 0).all()
    if not rising or offsets[-1] != events or len(arrays["channels"]) != events:
        raise ValueError(
            f"{path}: {events} times, {len(arrays['channels'])} channels, {len(small['labels'])} labels and offsets up "
            f"to {offsets[-1]} do not belong together; write the store again"
        )
    rest = {key: small[key] for key in ("labels", "split", "num_channels", "num_classes", "duration", "class_names")}
    return StoredDataset(arrays["times"], arrays["channels"], offsets[:-1], np.diff(offsets), source=str(path), **rest)


def _open(file: Path, mapped: bool) -> np.ndarray:
    try:
        array: np.ndarray = np.load(file, mmap_mode="r" if mapped and file.stat().st_size > HEADER else None)
        return array
    except FileNotFoundError:
        raise FileNotFoundError(f"{file} is missing; write the store again") from None
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{file} is damaged or cut short ({error}); write the store again") from error

"""Data sets larger than memory: a folder of plain `.npy` arrays that are read through memory maps.

times.npy (E,), channels.npy (E,), offsets.npy (S + 1,), labels.npy (S,), split.npy (S,) as in the generic format, and
meta.json: num_channels, num_classes, duration, class_names.
"""

import json
import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch

from saltation.check import cut, shown
from saltation.data import validate
from saltation.data.arrays import map_array
from saltation.data.events import EventDataset
from saltation.data.samples import Samples, gather
from saltation.files import make_folder, replacing
from saltation.spikes import Spikes

ARRAYS = ("times", "channels", "offsets", "labels", "split")
CHUNK = 4096  # samples written at once by save_store
HEADER = 128  # bytes of an .npy header, padded
LARGEST_META = 1 << 26  # bytes of meta.json, most of them names of classes


@dataclass(frozen=True, repr=False)
class StoredDataset(Samples):
    """Samples of a store; made by `load_store`. Only batches are read into memory.

    A batch raises ValueError, naming the store and the event, if what is read breaks a rule of `Spikes`.
    """

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

    def _take(self, chosen: np.ndarray) -> "StoredDataset":
        return self._with(**{name: getattr(self, name)[chosen] for name in ("starts", "lengths", "labels", "split")})

    def _read(self, chosen: np.ndarray) -> Spikes:
        events, offsets = gather(self.starts[chosen], self.lengths[chosen])
        times = torch.from_numpy(self.times[events].astype(np.float64))
        units = torch.from_numpy(self.channels[events].astype(np.int64))
        try:
            return Spikes(times, units, torch.from_numpy(offsets), self.num_channels, self.duration)
        except ValueError as error:
            raise ValueError(f"{self.source}, batch of the samples {chosen.tolist()[:8]} ...: {error}") from error

    def _spans(self) -> tuple[np.ndarray, np.ndarray]:
        return self.starts, self.lengths


class StoreWriter:
    """Write a store sample by sample or in pieces, so that it never has to be in memory as a whole.

        with StoreWriter("folder", num_channels=700, num_classes=20, duration=1.0) as writer:
            writer.add(piece)  # an EventDataset; again and again

    The folder appears when the block ends without an error, whole and on disk; until then it has another name.

    Args:
        num_channels, num_classes: whole numbers >= 1; no piece may have more.
        duration: > 0; no piece may be longer.
        times: dtype in which times are kept; "float32" halves the size and rounds to 7 digits, never beyond `duration`.

    Raises ValueError, before anything is written, for other values and for a folder that exists.
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
        if os.path.exists(self.path):
            raise ValueError(f"{self.path} exists already; choose another name or remove it")
        if times not in ("float32", "float64"):
            raise ValueError(f"times is {shown(times)}; it must be 'float32' or 'float64'")
        none = np.empty(0, np.int64)
        fields = validate.checked_fields(
            times=np.empty(0), channels=none, offsets=np.zeros(1, np.int64), labels=none, split=none,
            num_channels=num_channels, num_classes=num_classes, duration=duration, class_names=class_names,
            source=str(path),
        )  # fmt: skip
        self.meta = {name: fields[name] for name in ("num_channels", "num_classes", "duration")}
        self.class_names = fields["class_names"]
        self.dtypes = {"times": np.dtype(times), "channels": np.min_scalar_type(fields["num_channels"])}
        self.last = _at_most(fields["duration"], self.dtypes["times"])
        self.lengths: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []
        self.split: list[np.ndarray] = []

    def __enter__(self) -> Self:
        make_folder(self.path.parent)
        with ExitStack() as stack:
            self.partial = stack.enter_context(replacing(self.path))
            self.partial.mkdir()
            self.files = {name: stack.enter_context((self.partial / f"{name}.npy").open("wb")) for name in self.dtypes}
            for file in self.files.values():
                file.write(b"\0" * HEADER)
            self._open = stack.pop_all()
        return self

    def add(self, piece: EventDataset) -> None:
        """Append all samples of `piece`. Raises ValueError if it has more channels, classes or time than the store."""
        if not isinstance(piece, EventDataset):
            raise TypeError(f"piece is {type(piece).__name__}; it must be an EventDataset, in memory")
        for name, limit in self.meta.items():
            if getattr(piece, name) > limit:
                raise ValueError(f"{piece.source} has {name} {getattr(piece, name)}, but {self.path} only {limit}")
        for name, file in self.files.items():
            values = getattr(piece, name).astype(self.dtypes[name])
            if name == "times":
                values = np.minimum(values, self.last)  # rounded up, the last ones would come after the end
            file.write(values.tobytes())
        self.lengths.append(np.diff(piece.offsets))
        self.labels.append(piece.labels)
        self.split.append(piece.split)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._open.__exit__(kind, error, trace)
            return
        with self._open:
            self._finish()

    def _finish(self) -> None:
        """Write the headers and the small files."""
        empty = np.empty(0, np.int64)
        lengths = np.concatenate([empty, *self.lengths])
        for name, file in self.files.items():
            file.seek(0)
            header = {"descr": self.dtypes[name].str, "fortran_order": False, "shape": (int(lengths.sum()),)}
            np.lib.format.write_array_header_1_0(file, header)  # padded to HEADER bytes
            assert file.tell() == HEADER
        np.save(self.partial / "offsets.npy", np.concatenate(([0], np.cumsum(lengths))))
        np.save(self.partial / "labels.npy", np.concatenate([empty, *self.labels]))
        np.save(self.partial / "split.npy", np.concatenate([empty, *self.split]).astype(np.uint8))
        text = json.dumps({**self.meta, "class_names": self.class_names}, indent=2)
        (self.partial / "meta.json").write_text(text, encoding="utf-8")
        if os.path.exists(self.path):
            raise ValueError(f"{self.path} was made by someone else meanwhile; nothing was kept, choose another name")


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
    meta = _read_meta(path)
    arrays = {name: _open(path / f"{name}.npy") for name in ARRAYS}
    small = validate.checked_fields(
        times=np.empty(0), channels=np.empty(0, np.int64), offsets=np.zeros(arrays["labels"].size + 1, np.int64),
        labels=np.array(arrays["labels"]), split=np.array(arrays["split"]), **meta, source=str(path),
    )  # fmt: skip
    offsets = validate.integers(str(path), "offsets", np.array(arrays["offsets"]))
    times, channels = arrays["times"], arrays["channels"]
    for name, values, kinds in (("times", times, "f"), ("channels", channels, "iu")):
        if values.ndim != 1 or values.dtype.kind not in kinds:
            raise ValueError(
                f"{path / name}.npy has dtype {values.dtype} and shape {values.shape}; it must be flat, {name} of type "
                f"{'float' if kinds == 'f' else 'integer'}; write the store again"
            )
    rising = len(offsets) == len(small["labels"]) + 1 and offsets[0] == 0 and (np.diff(offsets) >= 0).all()
    if not rising or offsets[-1] != len(times) or len(channels) != len(times):
        raise ValueError(
            f"{path}: {len(times)} times, {len(channels)} channels, {len(small['labels'])} labels and {len(offsets)} "
            f"offsets up to {offsets.max(initial=0)} do not belong together; write the store again"
        )
    rest = {key: small[key] for key in ("labels", "split", *meta)}
    return StoredDataset(times, channels, offsets[:-1], np.diff(offsets), source=str(path), **rest)


def _read_meta(path: Path) -> dict[str, Any]:
    file = path / "meta.json"
    if not os.path.isfile(file):
        raise FileNotFoundError(f"no store at {path}: it has no meta.json; see saltation data convert")
    try:
        if file.stat().st_size > LARGEST_META:
            raise ValueError(f"{file.stat().st_size} bytes")
        meta = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(meta, dict):
            raise ValueError(f"it holds {type(meta).__name__} instead of a mapping")
        return {key: meta[key] for key in ("num_channels", "num_classes", "duration", "class_names")}
    except KeyError as error:
        raise ValueError(f"{file} is damaged: it has no {error}; write the store again") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is damaged ({cut(str(error))}); write the store again") from error


def _open(file: Path) -> np.ndarray:
    if not os.path.isfile(file):
        raise FileNotFoundError(f"{file} is missing; write the store again")
    return map_array(file)


def _at_most(value: float, dtype: np.dtype) -> np.floating:
    """The largest number of that dtype that is not above `value`. Raises ValueError if it has none near."""
    with np.errstate(over="ignore"):
        rounded = dtype.type(value)
    if not np.isfinite(rounded) or rounded == 0:
        raise ValueError(f"duration is {value}, beyond what {dtype} can hold; use times='float64'")
    return np.nextafter(rounded, dtype.type(0)) if float(rounded) > value else rounded

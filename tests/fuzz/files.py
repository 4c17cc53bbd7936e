"""Files of the formats that are read: valid ones, and ones made to do harm."""

import contextlib
import functools
import gzip
import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np

from . import mutate
from .guard import Payload

HUGE = 3 << 29  # bytes that bombs unpack to, 1.5 GiB


class Folder:
    """A valid folder of files; `changed` replaces some of them and puts them back."""

    def __init__(self, path: Path, files: Mapping[str, bytes]) -> None:
        self.path, self.files = path, dict(files)
        if not path.exists():
            for name in self.files:
                self._write(name, self.files[name])

    def change(self, changes: Mapping[str, bytes | None]) -> None:
        """Files with other content, or removed (None); what the change before this one did is undone first."""
        self.restore()
        self._changed = list(changes)
        for name, content in changes.items():
            if content is None:
                (self.path / name).unlink()
            else:
                self._write(name, content)

    def restore(self) -> None:
        """As it was."""
        for name in getattr(self, "_changed", ()):
            if name in self.files:
                self._write(name, self.files[name])
            else:
                (self.path / name).unlink(missing_ok=True)

    def _write(self, name: str, content: bytes) -> None:
        place = self.path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def npy(values: Any) -> bytes:
    """The bytes of an .npy file; objects are pickled."""
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def npz(arrays: Mapping[str, Any]) -> bytes:
    """The bytes of an .npz."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that occur twice
        for name, values in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), values if isinstance(values, bytes) else npy(values))
    return stream.getvalue()


def announced(dtype: str, shape: Any, rest: bytes = b"") -> bytes:
    """An .npy whose header announces anything."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    head = text.encode("utf-8", "replace")
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", min(len(head), 65535)) + head + rest


@functools.cache
def _deflated_zeros(size: int) -> bytes:
    """`size` zero bytes as a raw deflate stream: one block of 1 MiB, flushed so that it may be repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + again * ((size >> 20) - 1) + packer.flush(zlib.Z_FINISH)


@functools.cache
def zip_bomb(name: str, honest: bool) -> bytes:
    """An .npz of one array that unpacks to 1.5 GiB; a dishonest one announces 100 bytes in its directory."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = packer.compress(announced("|u1", (HUGE,))) + packer.flush(zlib.Z_FULL_FLUSH)
    content = head + _deflated_zeros(HUGE)
    size = HUGE + 128 if honest else 100
    entry = f"{name}.npy".encode()
    local = struct.pack("<4s5HLLLHH", b"PK\3\4", 20, 0, 8, 0, 33, 0, len(content), size, len(entry), 0) + entry
    central = struct.pack(
        "<4s6HLLL5HLL", b"PK\1\2", 20, 20, 0, 8, 0, 33, 0, len(content), size, len(entry), 0, 0, 0, 0, 0, 0
    )
    central += entry
    end = struct.pack("<4s4HLLH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local) + len(content), 0)
    return local + content + central + end


@functools.cache
def gzip_bomb() -> bytes:
    """A .gz that unpacks to 1.5 GiB of zeros; its checksum does not matter, since it comes last."""
    head = b"\0\0\x08\3" + struct.pack(">3I", HUGE >> 20, 1 << 10, 1 << 10)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH) + _deflated_zeros(HUGE)
    return b"\x1f\x8b\x08\0\0\0\0\0\2\xff" + body + bytes(8)


def hostile_array(rng: Random) -> Any:
    """What stands in place of an array: a pickle, or a header that lies."""
    how = rng.randrange(4)
    if how == 0:
        objects = np.empty(rng.choice((1, 3)), object)
        objects[:] = [Payload()] * len(objects)
        return objects
    if how == 1:
        shape = rng.choice(((2**40,), (2**62,), (-1,), (2**31, 2**31, 2**31), (1.5,), "x", (10**30,), (0, 2**62), ()))
        return announced(rng.choice(("<f8", "|u1", "<i8", "|O", "|S0", "<U1000000", "x")), shape, bytes(24))
    if how == 2:
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", 2000) + b"(" * 2000
    return announced("<f8", (3,), bytes(24)).replace(
        b"\x01\x00", rng.choice((b"\x02\x00", b"\x03\x00", b"\xff\xff")), 1
    )


def changed_npz(rng: Random, arrays: Mapping[str, np.ndarray]) -> bytes:
    """A mutation of an .npz: of its arrays, of its bytes, or an attack."""
    how = rng.random()
    if how < 0.0005:
        return zip_bomb(rng.choice(list(arrays)), rng.random() < 0.5)
    if how < 0.25:
        return mutate.raw(rng, npz(arrays))
    if how < 0.27:
        return mutate.garbage(rng, b"PK\3\4")
    changed: dict[str, Any] = dict(arrays)
    for _ in range(rng.choice((1, 1, 2))):
        key = rng.choice(list(arrays))
        what = rng.random()
        if what < 0.08:
            changed.pop(key, None)
        elif what < 0.16:
            changed[key] = hostile_array(rng)
        elif what < 0.2:
            with np.errstate(all="ignore"), contextlib.suppress(ValueError):
                changed[key] = np.array(mutate.thing(rng))
        elif what < 0.24:
            changed[rng.choice(("../../escape", "/tmp/escape", "x", "", "é", key + ".npy"))] = arrays[key]
        elif what < 0.26:
            changed[key] = mutate.raw(rng, npy(arrays[key]))
        else:
            changed[key] = mutate.array(rng, arrays[key])
    return npz(changed)


def idx(values: np.ndarray) -> bytes:
    """The bytes of an idx file."""
    return b"\0\0\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def gz(content: bytes) -> bytes:
    """Compressed, quickly."""
    return gzip.compress(content, 1, mtime=0)


def cochlea(times: Any = None, units: Any = None, **rest: Any) -> bytes:
    """An HDF5 file in the layout of the Heidelberg recordings."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        put_cochlea(file, times, units, **rest)
    return stream.getvalue()


def put_cochlea(file: Any, times: Any = None, units: Any = None, **rest: Any) -> None:
    """Fill an open file; arrays in `rest` by path, None leaves one out."""
    rows = {
        "spikes/times": ([[0.1, 0.5, 0.9], [], [0.2, 1.3]] if times is None else times, np.float16),
        "spikes/units": ([[3, 699, 5], [], [0, 1]] if units is None else units, np.uint16),
    }
    for name, (values, dtype) in rows.items():
        if isinstance(values, np.ndarray):
            file[name] = values
            continue
        ragged = file.create_dataset(name, (len(values),), dtype=h5py.vlen_dtype(rest.get("dtype", dtype)))
        for i, row in enumerate(values):
            ragged[i] = np.asarray(row).astype(rest.get("dtype", dtype))
    flat = {"labels": np.array([0, 1, 1], np.uint16), "extra/speaker": np.array([3, 5, 5])}
    flat["extra/keys"] = np.array([b"null", b"eins"])
    for name, values in (flat | {key: value for key, value in rest.items() if key != "dtype"}).items():
        if values is not None:
            file[name] = values


@contextlib.contextmanager
def open_cochlea(stream: io.BytesIO) -> Iterator[Any]:
    """A valid one, still open for changes."""
    with h5py.File(stream, "w") as file:
        put_cochlea(file)
        yield file

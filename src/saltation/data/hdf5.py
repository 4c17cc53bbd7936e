"""Reading HDF5 files that anyone may have written: nothing outside of the file, with bounded memory."""

import mmap
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from saltation.data.arrays import check_room

REFERENCE = np.dtype([("length", "<u4"), ("heap", "<u8"), ("index", "<u4")])  # of a ragged row
HEAP_HEADER = 16  # bytes before the first object of a heap, and of an object before its content


def check_heaps(path: Path) -> None:
    """Raise ValueError if a heap, where ragged rows lie, is damaged: the HDF5 library would walk it for ever.

    A heap is "GCOL", version 1, its size, and objects: index, size, content padded to 8 bytes; object 0 is what is
    free, and its size counts its header (HDF5 File Format Specification 3.0, III.E).
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise ValueError(f"{path} is damaged or cut short (it is empty); download it again")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            sizes = content[13:15] if content[8:9] in (b"\0", b"\1") else content[9:11]
            if content[:8] != b"\x89HDF\r\n\x1a\n" or sizes != b"\x08\x08":
                raise ValueError(f"{path} is damaged or no plain HDF5 file; download it again")
            heap = content.find(b"GCOL\x01")
            while heap >= 0:
                end = heap + int.from_bytes(content[heap + 8 : heap + 16], "little")
                place = heap + HEAP_HEADER
                while place + HEAP_HEADER <= min(end, len(content)):
                    index = int.from_bytes(content[place : place + 2], "little")
                    size = int.from_bytes(content[place + 8 : place + 16], "little")
                    step = -(-size // 8) * 8 + HEAP_HEADER if index else size
                    if step < HEAP_HEADER or place + step > end:
                        raise ValueError(f"{path} is damaged at byte {place}; copy or download it again")
                    place += step
                heap = content.find(b"GCOL\x01", heap + 4)


def holds(file: Any, name: str) -> bool:
    """Whether there is `name` ("group/name") in an open h5py file, seen without following a link out of it."""
    return _place(file, name) is not None


def _place(file: Any, name: str) -> Any:
    """What is at `name`, or None. Raises ValueError for a link to elsewhere on the way, which is not followed."""
    import h5py

    place = file
    for part in name.split("/"):
        link = place.get(part, getlink=True) if isinstance(place, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise ValueError(
                f"{file.filename}: {part} of {name} is a link to elsewhere ({type(link).__name__}), which is never "
                "followed"
            )
        place = place[part]
    return place


def _dataset(file: Any, name: str) -> Any:
    """The flat data set `name`.

    Raises KeyError if there is none; ValueError if it would be read from elsewhere (external links, external storage,
    virtual data sets: the file could then hand on any other file of the reader) or is not a flat data set.
    """
    import h5py

    place = _place(file, name)
    if place is None:
        raise KeyError(f"no {name}")
    if not isinstance(place, h5py.Dataset) or place.ndim != 1:
        raise ValueError(f"{file.filename}: {name} is no flat array")
    if place.external or place.is_virtual:
        raise ValueError(
            f"{file.filename}: {name} keeps its values in other files, which are never read; save one whole file"
        )
    size = Path(file.filename).stat().st_size
    check_room(f"{name} of {file.filename}", place.size * place.dtype.itemsize, size)
    return place


def flat(file: Any, name: str, kinds: str) -> np.ndarray:
    """A flat data set of numbers (dtype kinds such as "iu"). Raises KeyError, ValueError."""
    values = _dataset(file, name)
    if values.dtype.kind not in kinds:
        raise ValueError(f"{file.filename}: {name} has dtype {values.dtype}; it must be {_WHAT[kinds]}")
    return np.asarray(values[:])


def ragged(file: Any, name: str, kinds: str) -> list[np.ndarray]:
    """The rows of a flat data set of arrays of numbers. Raises KeyError, ValueError."""
    import h5py

    rows = _dataset(file, name)
    base = h5py.check_vlen_dtype(rows.dtype)
    if base is None or np.dtype(base).kind not in kinds:
        raise ValueError(f"{file.filename}: {name} has dtype {base or rows.dtype}; it must hold rows of {_WHAT[kinds]}")
    path = Path(file.filename)
    total = sum(int(part["length"].sum(dtype=np.int64)) for part in _references(path, rows)) * np.dtype(base).itemsize
    check_room(f"{name} of {path}", total, path.stat().st_size)
    return [np.asarray(row, base) for row in rows[:]]


def _references(path: Path, rows: Any) -> Iterator[np.ndarray]:
    """What is stored for ragged rows, in pieces: how long each is and where. The HDF5 library reserves what it says."""
    import h5py

    settings = rows.id.get_create_plist()
    filters = [settings.get_filter(k)[0] for k in range(settings.get_nfilters())]
    places: list[tuple[int, int, int]] = []  # byte, size, filters that were left out
    if settings.get_layout() == h5py.h5d.CHUNKED:
        stored = (rows.id.get_chunk_info(k) for k in range(rows.id.get_num_chunks()))
        places = [(chunk.byte_offset, chunk.size, chunk.filter_mask) for chunk in stored]
    elif settings.get_layout() == h5py.h5d.CONTIGUOUS:
        places = [(rows.id.get_offset(), len(rows) * REFERENCE.itemsize, 0)] if rows.id.get_offset() is not None else []
    else:
        raise ValueError(f"{path}: {rows.name} is stored compactly; save it as an ordinary data set")
    size = (rows.chunks[0] if rows.chunks else len(rows)) * REFERENCE.itemsize
    with path.open("rb") as file:
        for place, stored_size, left_out in places:
            file.seek(place)
            content = file.read(stored_size)
            for k in reversed(range(len(filters))):  # undone in the opposite order
                if not left_out >> k & 1:
                    content = _undo(path, filters[k], content, size)
            if len(content) != size:
                raise ValueError(f"{path}: {rows.name} is damaged or cut short; copy or download it again")
            yield np.frombuffer(content, REFERENCE)


def _undo(path: Path, code: int, content: bytes, size: int) -> bytes:
    import h5py

    if code == h5py.h5z.FILTER_DEFLATE:
        try:
            return zlib.decompressobj().decompress(content, size + 1)
        except zlib.error as error:
            raise ValueError(f"{path} is damaged or cut short ({error}); copy or download it again") from error
    if code == h5py.h5z.FILTER_SHUFFLE:
        if len(content) % REFERENCE.itemsize:
            raise ValueError(f"{path} is damaged or cut short; copy or download it again")
        return np.frombuffer(content, np.uint8).reshape(REFERENCE.itemsize, -1).T.tobytes()
    raise ValueError(f"{path} is compressed by the filter {code}; save ragged rows plainly or with gzip")


def texts(file: Any, name: str) -> tuple[str, ...]:
    """A flat data set of strings. Raises KeyError, ValueError."""
    import h5py

    values = _dataset(file, name)
    if h5py.check_string_dtype(values.dtype) is None:
        raise ValueError(f"{file.filename}: {name} has dtype {values.dtype}; it must hold strings")
    return tuple(values.asstr(errors="replace")[:].tolist())


_WHAT = {"iu": "integers", "fiu": "numbers"}

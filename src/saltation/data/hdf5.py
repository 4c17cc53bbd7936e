"""Reading HDF5 files that anyone may have written: nothing outside of the file, with bounded memory."""

import mmap
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from saltation.check import cut
from saltation.data.arrays import check_room

REFERENCE = np.dtype([("length", "<u4"), ("heap", "<u8"), ("index", "<u4")])  # of a ragged row
HEAP_HEADER = 16  # bytes before the first object of a heap, and of an object before its content


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
    return _rows(Path(file.filename), rows, np.dtype(base))


def texts(file: Any, name: str) -> tuple[str, ...]:
    """A flat data set of strings. Raises KeyError, ValueError."""
    import h5py

    values = _dataset(file, name)
    kind = h5py.check_string_dtype(values.dtype)
    if kind is None:
        raise ValueError(f"{file.filename}: {name} has dtype {values.dtype}; it must hold strings")
    if kind.length is None:
        found = [row.tobytes() for row in _rows(Path(file.filename), values, np.dtype(np.uint8))]
    else:
        found = values[:].tolist()
    return tuple(text.rstrip(b"\0").decode(errors="replace") for text in found)


def _rows(path: Path, rows: Any, base: np.dtype) -> list[np.ndarray]:
    """Ragged rows, read here: the HDF5 library reserves what a row says, and damaged heaps hang or crash it.

    A row is a length and a place: an object of a heap. A heap is "GCOL", version 1, its size, and objects: index, size,
    content padded to 8 bytes; object 0 is what is free (HDF5 File Format Specification 3.0, III.E).
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        sizes = content[13:15] if content[8:9] in (b"\0", b"\1") else content[9:11]
        if content[:8] != b"\x89HDF\r\n\x1a\n" or sizes != b"\x08\x08":
            raise ValueError(f"{path} is damaged or no plain HDF5 file; download it again")
        references = _references(path, rows, content)
        total = int(references["length"].sum(dtype=np.int64)) * base.itemsize
        check_room(f"{rows.name[1:]} of {path}", total, len(content))
        heaps: dict[int, dict[int, tuple[int, int]]] = {}
        walked = 0
        found: list[np.ndarray] = []
        for length, heap, index in references.tolist():
            if length and heap not in heaps:
                walked += int.from_bytes(content[heap + 8 : heap + 16], "little")
                if walked > len(content):  # heaps do not overlap
                    raise ValueError(f"{path} is damaged at byte {heap}; copy or download it again")
                heaps[heap] = _objects(path, content, heap)
            place, size = heaps[heap].get(index, (0, -1)) if length else (0, 0)
            if length * base.itemsize > size:
                raise ValueError(
                    f"{path}: {rows.name[1:]}[{len(found)}] is longer than what is stored; copy or download it again"
                )
            found.append(np.frombuffer(content[place : place + length * base.itemsize], base))
        return found


def _objects(path: Path, content: mmap.mmap, heap: int) -> dict[int, tuple[int, int]]:
    """Place and size of the content of every object of a heap."""
    end = heap + int.from_bytes(content[heap + 8 : heap + 16], "little")
    if content[heap : heap + 5] != b"GCOL\x01" or end > len(content):
        raise ValueError(f"{path} is damaged at byte {heap}; copy or download it again")
    objects = {}
    place = heap + HEAP_HEADER
    while place + HEAP_HEADER <= end:
        index = int.from_bytes(content[place : place + 2], "little")
        size = int.from_bytes(content[place + 8 : place + 16], "little")
        step = -(-size // 8) * 8 + HEAP_HEADER if index else size  # the size of what is free counts its header
        if step < HEAP_HEADER or place + step > end:
            raise ValueError(f"{path} is damaged at byte {place}; copy or download it again")
        objects[index] = (place + HEAP_HEADER, size)
        place += step
    objects.pop(0, None)
    return objects


def _references(path: Path, rows: Any, content: mmap.mmap) -> np.ndarray:
    """What is stored for ragged rows: how long each is and where. Chunks that were never written hold empty rows."""
    import h5py

    settings = rows.id.get_create_plist()
    filters = [settings.get_filter(k)[0] for k in range(settings.get_nfilters())]
    places: list[tuple[int, int, int, int]] = []  # first row, byte, size, filters that were left out
    if settings.get_layout() == h5py.h5d.CHUNKED:
        chunks = (rows.id.get_chunk_info(k) for k in range(rows.id.get_num_chunks()))
        places = [(chunk.chunk_offset[0], chunk.byte_offset, chunk.size, chunk.filter_mask) for chunk in chunks]
    elif settings.get_layout() == h5py.h5d.CONTIGUOUS:
        offset = rows.id.get_offset()
        places = [(0, offset, len(rows) * REFERENCE.itemsize, 0)] if offset is not None else []
    else:
        raise ValueError(f"{path}: {rows.name} is stored compactly; save it as an ordinary data set")
    size = (rows.chunks[0] if rows.chunks else len(rows)) * REFERENCE.itemsize
    found = np.zeros(len(rows), REFERENCE)
    for first, place, stored, left_out in places:
        piece = content[place : place + stored]
        for k in reversed(range(len(filters))):  # undone in the opposite order
            if not left_out >> k & 1:
                piece = _undo(path, filters[k], piece, size)
        if len(piece) != size:
            raise ValueError(f"{path}: {rows.name} is damaged or cut short; copy or download it again")
        part = np.frombuffer(piece, REFERENCE)[: len(found) - first]
        found[first : first + len(part)] = part
    return found


def _undo(path: Path, code: int, content: bytes, size: int) -> bytes:
    import h5py

    if code == h5py.h5z.FILTER_DEFLATE:
        try:
            return zlib.decompressobj().decompress(content, size + 1)
        except zlib.error as error:
            raise ValueError(
                f"{path} is damaged or cut short ({cut(str(error))}); copy or download it again"
            ) from error
    if code == h5py.h5z.FILTER_SHUFFLE:
        if len(content) % REFERENCE.itemsize:
            raise ValueError(f"{path} is damaged or cut short; copy or download it again")
        return np.frombuffer(content, np.uint8).reshape(REFERENCE.itemsize, -1).T.tobytes()
    raise ValueError(f"{path} is compressed by the filter {code}; save ragged rows plainly or with gzip")


_WHAT = {"iu": "integers", "fiu": "numbers"}

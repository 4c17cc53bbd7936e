"""Reading HDF5 files that anyone may have written: nothing outside of the file, with bounded memory."""

from pathlib import Path
from typing import Any

import numpy as np

from saltation.data.arrays import check_room

ROWS = 16  # ragged rows read at once


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
    size = Path(file.filename).stat().st_size
    found: list[np.ndarray] = []
    total = 0
    for start in range(0, len(rows), ROWS):  # rows may share their place in the file, so the sum is known only now
        found.extend(np.asarray(row, base) for row in rows[start : start + ROWS])
        total += sum(row.nbytes for row in found[start:])
        check_room(f"{name} of {file.filename}", total, size)
    return found


def texts(file: Any, name: str) -> tuple[str, ...]:
    """A flat data set of strings. Raises KeyError, ValueError."""
    import h5py

    values = _dataset(file, name)
    if h5py.check_string_dtype(values.dtype) is None:
        raise ValueError(f"{file.filename}: {name} has dtype {values.dtype}; it must hold strings")
    return tuple(values.asstr(errors="replace")[:].tolist())


_WHAT = {"iu": "integers", "fiu": "numbers"}

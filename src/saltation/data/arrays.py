"""Arrays in files (.npy, .npz), read with bounded memory: nothing is reserved before the file is known to hold it.

Pickles are never loaded, since they could run code. A compressed file may hold at most 256 MiB and 100 times its own
size: recordings are far below, and what is above is a file made to fill the memory.
"""

import math
import sys
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from saltation.check import cut

KINDS = "biufcSU"  # plain values
ROOM, RATIO = 1 << 28, 100


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz, read-only, each one read to its end, so that damage shows here.

    Raises ValueError, naming the file and the array, for whatever is not a plain, whole .npz of plain arrays.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(6)
        if begin[:4] != b"PK\3\4" and begin[:4] != b"PK\5\6":
            if begin == b"\x93NUMPY":
                raise ValueError(f"{path} holds a single array; save the arrays together with numpy.savez")
            if not begin:
                raise ValueError(f"{path} is damaged or cut short (it is empty); copy or download it again")
            raise ValueError(f"{path} is not an .npz file; save plain arrays with numpy.savez, see docs/data.md")
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            check_room(path, sum(member.file_size for member in members), path.stat().st_size)
            arrays = {}
            for member in members:
                with archive.open(member) as stream:
                    key = member.filename.removesuffix(".npy")
                    arrays[key] = read_array(f"array '{key}' of {path}", stream, member.file_size)
            return arrays
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError) as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise
        raise ValueError(f"{path} is damaged or cut short ({cut(str(error))}); copy or download it again") from error


def check_room(what: object, announced: int, size: int) -> None:
    """Raise ValueError if so many bytes out of a file of `size` bytes are beyond all measure."""
    if announced > ROOM + RATIO * size:
        raise ValueError(
            f"{what} has {size} bytes and announces {announced / 2**30:.3g} GiB of content: this would only fill the "
            "memory; if it is right, save it without compression (numpy.savez)"
        )


def read_array(name: str, stream: IO[bytes], size: int) -> np.ndarray:
    """The array of an .npy stream of `size` bytes, read-only. Raises ValueError, naming it."""
    dtype, shape, fortran = read_header(name, stream, size)
    content = stream.read(math.prod(shape) * dtype.itemsize + 1)
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} is cut short: {len(content)} bytes for shape {shape}; copy or download it again")
    if dtype.kind == "U" and np.frombuffer(content, f"{dtype.byteorder}u4").max(initial=0) > sys.maxunicode:
        raise ValueError(f"{name} is damaged: it holds text in which a character is none; copy or download it again")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def map_array(path: Path) -> np.ndarray:
    """The array of an .npy file as a read-only memory map. Raises FileNotFoundError, ValueError."""
    with path.open("rb") as file:
        dtype, shape, fortran = read_header(str(path), file, path.stat().st_size)
        if not math.prod(shape):
            return np.empty(shape, dtype)
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")


def read_header(name: str, stream: IO[bytes], size: int) -> tuple[np.dtype, tuple[int, ...], bool]:
    """dtype, shape and order that an .npy stream announces, checked against its `size` in bytes."""
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):  # plain arrays have this one; headers of the others may announce 4 GiB
            raise ValueError(f"version {version} of the format")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        shape = tuple(int(n) for n in shape)
        legal = len(shape) <= 32 and min(shape, default=0) >= 0 and math.prod([max(n, 1) for n in shape]) < 1 << 48
    except Exception as error:  # NumPy raises many kinds for a garbled header, TokenError and MemoryError among them
        raise ValueError(f"{name} is damaged: its header is no array's ({cut(str(error))}); write it again") from error
    if dtype.hasobject:
        raise ValueError(
            f"{name} holds Python objects (a pickle), which could run code and is never loaded; save plain numbers, "
            "for example values.astype(float)"
        )
    if not legal or dtype.kind not in KINDS or (dtype.itemsize == 0 and 0 not in shape):
        raise ValueError(
            f"{name} is announced as dtype {dtype} of shape {shape}; save a plain array of numbers or text"
        )
    room = size - stream.tell()
    needed = math.prod(shape) * dtype.itemsize
    if needed != room:
        raise ValueError(
            f"{name} is damaged or cut short: shape {shape} of {dtype} takes {needed} bytes, but there are {room}; "
            "copy or write it again"
        )
    return dtype, shape, bool(fortran)

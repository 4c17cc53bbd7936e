"""Files that survive a crash: every write is whole and on disk, or did not happen."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from filelock import FileLock

UNFINISHED = re.compile(r".+\.[0-9a-f]{8}\.partial")  # the names of `replacing`


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: under another name, to the disk, then in its place. Raises OSError."""
    with replacing(path) as partial:
        _write(partial, content, os.O_CREAT | os.O_EXCL)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8. Raises OSError."""
    write_bytes(path, text.encode("utf-8"))


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, which is made if it is missing. If that fails the file stays as it was. Raises OSError.

    A crash may leave an unfinished last line, one without its line feed; `whole_lines` leaves it out.
    """
    size = path.stat().st_size if os.path.exists(path) else None
    try:
        _write(path, (line + "\n").encode("utf-8"), os.O_CREAT | os.O_APPEND)
        sync(path)
    except BaseException:
        if size is not None:
            with suppress(OSError):
                os.truncate(path, size)
        raise
    if size is None:
        sync(path.parent)


def whole_lines(path: Path) -> list[str]:
    """The finished lines of a file; none if it is missing. Raises ValueError if it is not UTF-8."""
    if not os.path.exists(path):
        return []
    try:
        head, newline, _ = path.read_bytes().rpartition(b"\n")
        return head.decode("utf-8").split("\n") if newline else []
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new place beside `path` for a file or folder, which takes its name when the block ends, whole and on disk.

    It has a name of its own, so that several may write at once, and is removed if the block ends with an error; what a
    killed process leaves, by `remove_unfinished`.
    """
    partial = path.with_name(f"{path.name}.{uuid4().hex[:8]}.partial")
    try:
        yield partial
        for item in (*(partial.iterdir() if os.path.isdir(partial) else ()), partial):
            sync(item)
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):  # where the disk is full it would stay so
            _remove(partial)
        raise
    sync(path.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes were writing in a folder, when no other one writes there. Raises OSError."""
    for path in folder.glob("*.partial"):
        if UNFINISHED.fullmatch(path.name):
            _remove(path)


def hold(folder: Path) -> "FileLock":
    """Keep other processes out of a folder until `release` or the end of this one, however it ends.

    What others that were killed left unfinished is removed. Raises ValueError if another one is in it.
    """
    lock = try_lock(folder / ".lock")
    if lock is None:
        raise ValueError(f"another process is at work in {folder}; let it end, or choose another folder (--out)")
    remove_unfinished(folder)
    return lock


def try_lock(path: Path) -> "FileLock | None":
    """A lock that is held, as by `hold`; None if another one holds it."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing. Raises OSError."""
    if os.path.isdir(path):
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """See to it that a file, or the names in a folder, are on disk, where the file system can."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with _named(path):
            os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if os.path.isdir(path) else path.unlink()


def _write(path: Path, content: bytes, flags: int) -> None:
    handle = os.open(path, os.O_WRONLY | flags, 0o666)
    try:
        with _named(path):
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(handle, rest) :]
    finally:
        os.close(handle)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of a handle do not say which file it is."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error

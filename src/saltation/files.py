"""Files that survive a crash: every write is whole and on disk, or did not happen."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: under another name, to the disk, then in its place. Raises OSError."""
    partial = path.with_name(path.name + ".partial")
    try:
        _write(partial, content, os.O_CREAT | os.O_TRUNC)
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)  # where the disk is full it would stay so
        raise
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8. Raises OSError."""
    write_bytes(path, text.encode("utf-8"))


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, which is made if it is missing. If that fails the file stays as it was. Raises OSError.

    A crash may leave an unfinished last line, one without its line feed; `whole_lines` leaves it out.
    """
    size = path.stat().st_size if path.exists() else None
    try:
        _write(path, (line + "\n").encode("utf-8"), os.O_CREAT | os.O_APPEND)
    except BaseException:
        if size is not None:
            with suppress(OSError):
                os.truncate(path, size)
        raise
    if size is None:
        sync_folder(path.parent)


def whole_lines(path: Path) -> list[str]:
    """The finished lines of a file; none if it is missing. Raises ValueError if it is not UTF-8."""
    if not path.exists():
        return []
    try:
        head, newline, _ = path.read_bytes().rpartition(b"\n")
        return head.decode("utf-8").split("\n") if newline else []
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing. Raises OSError."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """See to it that the names in a folder are on disk, too, where the file system can."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with _named(path):
            os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _write(path: Path, content: bytes, flags: int) -> None:
    handle = os.open(path, os.O_WRONLY | flags, 0o666)
    try:
        with _named(path):
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of a handle do not say which file it is."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error

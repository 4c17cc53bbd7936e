"""What an input must not do, watched while it is read: limits of time and memory, and Python's audit events."""

import os
import resource
import signal
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MEMORY = 1 << 30  # bytes of address space beyond what the process had before
_PROGRAMS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "subprocess.Popen", "ctypes.dlopen")
_WRITERS = {  # audit event: which of its arguments are paths that are written
    "os.remove": (0,), "os.rmdir": (0,), "os.mkdir": (0,), "os.rename": (0, 1), "os.link": (1,), "os.symlink": (1,),
    "os.truncate": (0,), "os.chmod": (0,), "shutil.rmtree": (0,), "shutil.copyfile": (1,), "shutil.move": (0, 1),
}  # fmt: skip


class Hang(BaseException):
    """The input took longer than it may. No handler of errors catches it."""


class Breach(AssertionError):
    """The input did what no input may do."""


class Watch:
    """Collects breaches while `folder` is set."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.breaches: list[str] = []
        self.installed = False

    def install(self) -> None:
        """Listen to audit events; they can not be left again, so this happens once."""
        if not self.installed:
            sys.addaudithook(self._hear)
            self.installed = True

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event == "open":
            path, mode, flags = arguments
            if isinstance(path, str | bytes) and (flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
                self._written(event, path)
        elif event in _WRITERS:
            for position in _WRITERS[event]:
                self._written(event, arguments[position])
        elif event in _PROGRAMS or event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request"):
            self.breaches.append(f"{event} {arguments!r:.200}")
        elif event == "pickle.find_class":
            self.breaches.append(f"a pickle is loaded: {arguments!r:.200}")

    def _written(self, event: str, path: Any) -> None:
        place = os.path.realpath(os.fsdecode(path))
        if not place.startswith((str(self.folder) + "/", "/dev/null")) and not _cache(place):
            self.breaches.append(f"{event} writes {place}")


def _cache(place: str) -> bool:
    """Compiled code, of Python or Numba, and fonts of Matplotlib: written by whoever imports first, not by an input."""
    return "__pycache__" in place or place.endswith((".nbi", ".nbc", ".nbi.lock")) or "matplotlib" in place


watch = Watch()


def witness(*arguments: Any) -> None:
    """What the payloads in pickles and YAML tags call."""
    watch.breaches.append(f"code of the input ran: witness{arguments!r:.200}")


class Payload:
    """An object whose pickle calls `witness`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return witness, ("pickle",)


def address_space() -> int:
    """Bytes the process has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


@contextmanager
def memory_limit(extra: int = MEMORY) -> Iterator[None]:
    """At most `extra` bytes more than now; MemoryError beyond. (Linux; elsewhere without a limit.)"""
    if not sys.platform.startswith("linux"):
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + extra, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def watched(folder: Path, seconds: float) -> Iterator[None]:
    """Run with a limit of processor time; afterwards raise Breach for what was done outside of `folder`."""
    watch.install()
    watch.breaches.clear()
    watch.folder = os.path.realpath(folder)
    previous = signal.signal(signal.SIGPROF, _late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
        watch.folder = None
        if watch.breaches:
            raise Breach("; ".join(watch.breaches[:3]))


def _late(number: int, frame: types.FrameType | None) -> None:
    raise Hang("more processor time than an input may take")

"""The one decorator of all kernels, and the cache that can never be stale, nor damaged.

Numba keys a cached function by its own file only, so an edit in `flow.py` would leave machine code of `advance.py`
that has the old flow inlined. Our kernels are therefore cached in a folder named by a hash over all kernel files. Its
files carry a checksum: what a full disk or a lost computer left of them is compiled anew.
"""

import functools
import hashlib
import os
import pickle
import secrets
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core import config as numba_config
from numba.core.caching import IndexDataCacheFile
from numba.extending import overload


def _cache_dir() -> Path:
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.name.startswith("reference"):
            continue  # the twins in plain Python
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "saltation" / digest.hexdigest()[:16]


CACHE_DIR = _cache_dir()
# Of an index that is never negative, where single numbers are read in inner loops: of any other Numba asks at every
# access whether it counts from the end, in four instructions, and loops do not vectorise.
upwards = np.uint64
DIGEST_SIZE = hashlib.sha256().digest_size


class CheckedFile(IndexDataCacheFile):
    """Numba's index and data files, each behind its SHA-256. A damaged one counts as missing, and is written again.

    Names are drawn: Numba counts, so that of two processes that compile a function for different types at the same time
    both would call their data 1, and the index of one could name those of the other.
    """

    def _read(self, path: Any) -> Any:
        content = Path(path).read_bytes() if os.path.exists(path) else b""
        digest, content = content[:DIGEST_SIZE], content[DIGEST_SIZE:]
        return pickle.loads(content) if hashlib.sha256(content).digest() == digest else None

    def _write(self, path: Any, what: Any) -> None:
        content = self._dump(what)
        with self._open_for_write(path) as file:
            file.write(hashlib.sha256(content).digest() + content)

    def _load_index(self) -> Any:
        version, stamp, index = self._read(self._index_path) or (None, None, None)
        return index if (version, stamp) == (self._version, self._source_stamp) else {}

    def _save_index(self, overloads: Any) -> None:
        self._write(self._index_path, (self._version, self._source_stamp, overloads))

    def _data_name(self, number: int) -> str:
        return super()._data_name(secrets.randbits(64))

    def _load_data(self, name: str) -> Any:
        return self._read(self._data_path(name))  # None: as if it had never been compiled

    def _save_data(self, name: str, data: Any) -> None:
        self._write(self._data_path(name), data)


@functools.cache
def announce_compilation():
    """Say, at the first call, on standard error why the first run on a machine takes longer, where it does."""
    if not any(CACHE_DIR.rglob("*.nbi")):  # of compiled functions
        print("saltation: compiling kernels, once; `saltation warmup` compiles all of them ...", file=sys.stderr)


def kernel(function, fastmath=False, forceinline=False, **options):
    """Compile `function` lazily: no Python objects, the GIL released, IEEE arithmetic (no fastmath), cached on disk.

    What is not said here Numba takes from the function that happens to be the first caller.
    """
    config: Any = numba_config  # its settings are made at run time
    users_choice = config.CACHE_DIR
    config.CACHE_DIR = str(CACHE_DIR)  # read when the dispatcher is made, so the user's own functions are not affected
    options |= {"fastmath": fastmath, "forceinline": forceinline}
    try:
        dispatcher = numba.njit(function, nogil=True, cache=True, error_model="numpy", **options)
    finally:
        config.CACHE_DIR = users_choice
    if not config.DISABLE_JIT:
        dispatcher._cache._cache_file.__class__ = CheckedFile  # the same paths and stamps, other contents
    return dispatcher


def sum_kernel(function):
    """As `borrowing`, but sums may be taken in another order, which is always the same, so that they vectorise."""
    return kernel(function, fastmath={"reassoc"}, _nrt=False)


def inlined(function):
    """As `kernel`, for a few lines that are to stand in each of their callers: a call takes longer than they do."""
    return kernel(function, inline="always")


def borrowing(function):
    """As `kernel`, for a function that only borrows arrays: it makes none and returns none.

    Otherwise a call counts the references to each of its arrays, atomically, which takes longer than the work of a
    small function. A kernel of which it is the first caller is compiled likewise, so it calls none that makes or
    returns arrays. Numba does not check the rule; tests/kernels/test_borrowing.py does.
    """
    return kernel(function, _nrt=False)


def embedded(function):
    """As `borrowing`, for the short way through a function whose state takes longer to hand over than to work on: it
    becomes part of each of its callers, where the state stays in registers. The long way belongs elsewhere. NamedTuples
    are handed over number by number, seven for each array of one axis: a call with thirty arrays takes 100 ns.
    """
    return kernel(function, _nrt=False, forceinline=True)


_implementations: dict[Any, dict[type, Any]] = {}


def generic(interface, **options):
    """Turn `interface`, of which only the docstring counts, into a function that does what was registered by
    `implements` for the type of its first argument, a NamedTuple; compiled callers make the choice when compiled.
    """
    choices = _implementations[interface] = {}

    @functools.wraps(interface)
    def call(*arguments):
        return choices[type(arguments[0])](*arguments)

    def choose(*arguments):
        implementation = choices[arguments[0].instance_class]
        return lambda *arguments: implementation(*arguments)

    overload(call, jit_options={"error_model": "numpy", "forceinline": True, **options})(choose)
    return call


def generic_borrowing(interface):
    """As `generic`, for implementations that are `borrowing` or `embedded` functions."""
    return generic(interface, _nrt=False)


def implements(function, kind):
    """Register a kernel as what the generic `function` does where its first argument is of type `kind`."""

    def register(implementation):
        _implementations[function.__wrapped__][kind] = implementation
        return implementation

    return register

"""The one decorator of all kernels, and the cache that can never be stale.

Numba keys a cached function by its own file only, so an edit in `flow.py` would leave machine code of `forward.py`
that has the old flow inlined. Our kernels are therefore cached in a folder named by a hash over all kernel files.
"""

import functools
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import numba
from numba.core import config as numba_config


def _cache_dir() -> Path:
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "saltation" / digest.hexdigest()[:16]


CACHE_DIR = _cache_dir()


@functools.cache
def announce_compilation():
    """Say, at the first call, on standard error why the first run on a machine takes longer, where it does."""
    if not any(CACHE_DIR.rglob("*.nbi")):  # of compiled functions
        print("saltation: compiling kernels, once; `saltation warmup` compiles all of them ...", file=sys.stderr)


def kernel(function, fastmath=False):
    """Compile `function` lazily: no Python objects, the GIL released, IEEE arithmetic (no fastmath), cached on disk."""
    config: Any = numba_config  # its settings are made at run time
    users_choice = config.CACHE_DIR
    config.CACHE_DIR = str(CACHE_DIR)  # read when the dispatcher is made, so the user's own functions are not affected
    try:
        return numba.njit(function, nogil=True, cache=True, error_model="numpy", fastmath=fastmath)
    finally:
        config.CACHE_DIR = users_choice


def sum_kernel(function):
    """As `kernel`, but sums may be taken in another order, so that they vectorise; it is still always the same one."""
    return kernel(function, fastmath={"reassoc"})

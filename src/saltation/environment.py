"""On what a run was trained: versions, machine, threads."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

import torch

from . import __version__

PACKAGES = ("torch", "numba", "numpy", "safetensors", "omegaconf", "matplotlib", "scikit-learn")


def environment() -> dict[str, str]:
    """What is here, by name, in words."""
    return {
        "saltation": __version__,
        "python": f"{platform.python_version()} on {platform.platform()}",
        "processor": platform.processor() or platform.machine(),
        "threads": f"{torch.get_num_threads()} of {os.cpu_count()}",
        **{name: package_version(name) for name in PACKAGES},
    }


def leave(code: int) -> NoReturn:
    """End this process with an exit code.

    One of several skips what the interpreter does at its end: C++ threads of torch.distributed then abort it now and
    again, and torchrun takes training that has ended well for failed.
    """
    if started()[1] > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def started() -> tuple[int, int]:
    """Which of how many processes this is of those that torchrun, or what sets the same variables, has started."""
    variables = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    there = all(name in os.environ for name in variables)
    return (int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])) if there else (0, 1)


def package_version(package: str) -> str:
    """Of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"

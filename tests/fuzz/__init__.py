"""A fuzzer of everything that takes in what a user wrote: files, arrays, configurations, checkpoints, command lines.

    python -m tests.fuzz                          1,000,000 inputs, about two hours of one core
    python -m tests.fuzz --inputs 20000 spikes npz    some targets only
    python -m tests.fuzz --only npz:0:1234        one input again: target, seed, index

A target makes one mutated, nearly valid input out of a random source and hands it to a public function. The function
must return, or raise one of the errors that it documents with a message of at most 2,000 characters; within a limit of
processor time and memory; and without writing outside of its folder, opening the network, starting a program or running
code from the input. Whatever else happens is a failure, and (target, seed, index) makes it again.

The engine is a plain seeded loop and not Hypothesis or atheris. The inputs are structures of which we know where they
are weak (sizes, dtypes, links, tags), so mutations of a valid one reach further than bytes guided by coverage, most of
which lies in NumPy, HDF5 and PyTorch; one input costs microseconds of its own, where Hypothesis takes milliseconds for
a memory of examples and for shrinking that small inputs do not need; and every input can be made again from its number.
"""

from typing import Any


def load_targets() -> dict[str, Any]:
    """All targets by name."""
    from . import targets_data, targets_spikes, targets_train  # noqa: F401  (they register themselves)
    from .engine import TARGETS

    return TARGETS

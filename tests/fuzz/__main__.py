"""python -m tests.fuzz [--inputs N] [--seed S] [--processes P] [--only TARGET:SEED:INDEX] [TARGET ...]"""

import argparse
import os
import sys
import tempfile
from collections import deque
from pathlib import Path

from . import load_targets
from .driver import CHUNK, Driver
from .engine import TARGETS, run_range, shares


def main(arguments: list[str] | None = None) -> int:
    """Returns 0 if all inputs ended as they must."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Feed mutated inputs to all borders.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of all targets together (default: 1,000,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--only", metavar="TARGET:SEED:INDEX", help="this input alone, with its traceback")
    parser.add_argument("--folder", type=Path, help="where files are put (default: /dev/shm, or the temporary folder)")
    options = parser.parse_args(arguments)
    targets = load_targets()
    unknown = [name for name in options.targets if name not in targets]
    if unknown:
        parser.error(f"no target {unknown[0]}; there are {', '.join(targets)}")
    base = options.folder or (Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix="saltation-fuzz-", dir=base) as folder:
        if options.only:
            return one(options.only, Path(folder))
        work = []
        for target, count in shares(options.inputs, options.targets or list(targets)):
            work += [(start / count, target.name, start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
        ranges = deque(part[1:] for part in sorted(work))  # all targets advance together
        return Driver(ranges, options.seed, Path(folder)).run(min(options.processes, len(work)))


def one(text: str, folder: Path) -> int:
    """Run one input and show how it fails."""
    name, seed, index = text.rsplit(":", 2)
    outcome = run_range(TARGETS[name], int(seed), range(int(index), int(index) + 1), folder)
    for failure in outcome.failures:
        print(f"{failure}\n{failure.trace}")
    if not outcome.failures:
        print("accepted" if outcome.accepted else f"refused by {next(iter(outcome.errors))}")
    return int(bool(outcome.failures))


if __name__ == "__main__":
    sys.exit(main())

"""Does constraints.txt name exactly what `make test` installs? `make test` asks, in its own environment.

What is installed is followed from saltation's requirements, so a tool that somebody adds to .venv does no harm.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"
CUDA = re.compile("nvidia-|cuda-|triton$")  # PyTorch picks its own where it has them
NEST = {"nest-simulator", "cython"}  # not there on every platform


def follow(requirement: Requirement, found: dict[str, str], seen: set[tuple[str, str]]) -> None:
    """Add to `found` name and version of the installed distributions that a requirement asks for, directly or not."""
    name = canonicalize_name(requirement.name)
    try:
        package = distribution(name)
    except PackageNotFoundError:
        if name in NEST:
            return
        raise SystemExit(f"{requirement} is not installed; `make clean test` makes a new .venv") from None
    found[name] = Version(package.version).public  # 2.13.0 of 2.13.0+cpu
    for extra in requirement.extras | {""}:
        if (name, extra) not in seen:
            seen.add((name, extra))
            for wanted in map(Requirement, package.requires or ()):
                if not CUDA.match(wanted.name) and (not wanted.marker or wanted.marker.evaluate({"extra": extra})):
                    follow(wanted, found, seen)


def main() -> int:
    """Print every difference; the exit code is 1 if there is one."""
    installed: dict[str, str] = {}
    follow(Requirement("saltation[test,docs,nest]"), installed, set())
    del installed["saltation"]
    lines = [line.strip() for line in CONSTRAINTS.read_text().splitlines() if not line.startswith("#")]
    named = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    absent = NEST if "nest-simulator" not in installed else set()
    wrong = []
    for name in sorted((named.keys() | installed.keys()) - absent):
        if named.get(name) != installed.get(name):
            wrong.append(f"  {name}: named {named.get(name, 'not at all')}, needed {installed.get(name, 'not at all')}")
    if wrong:
        print("constraints.txt does not name what is installed:", *wrong, sep="\n")
        print("Correct it and run `make clean test`.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

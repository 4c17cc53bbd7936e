"""Break the library in one small way after the other, and see that the tests notice each.

    python tests/mutants/run.py                    all, one after the other
    python tests/mutants/run.py --jobs 2           two at a time
    python tests/mutants/run.py kernels/qif early  those whose file or name holds one of these texts
    python tests/mutants/run.py --list             what there is

A mutant is a row of a .toml file in this folder: a name, a text that occurs exactly once in a source file, the text
that takes its place, and the tests that should fail then. The sources and tests are copied to a temporary folder, so
that nothing here changes. There every test first has to pass on the unchanged code. Kernels are mutated with
NUMBA_DISABLE_JIT=1, so that nothing is compiled anew for each of them.

The exit code is 0 if every mutant was noticed, 1 if one survived, 2 if a row or a test is broken.
"""

import argparse
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
SOURCE = Path("src") / "saltation"
COPIED = ("src", "tests", "pyproject.toml")
LONGEST = 600.0  # seconds for the tests of one mutant
LONGEST_BASELINE = 1800.0
TESTS_FAILED = 1  # the exit code of pytest


@dataclass(frozen=True)
class Mutant:
    """`old`, which occurs once in `file`, becomes `new`; `tests` (arguments of pytest) should fail then."""

    name: str
    file: str  # below src/saltation
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def compiled(self) -> bool:
        """Whether kernels are compiled for the tests."""
        return not self.file.startswith("kernels/")


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: noticed (by which test), survived, or broken (why)."""

    mutant: Mutant
    state: str
    detail: str
    seconds: float


def load_mutants() -> list[Mutant]:
    """All rows of all tables. A group holds what its rows share; a fourth entry of a row names other tests."""
    mutants = []
    for table in sorted(FOLDER.glob("*.toml")):
        for group in tomllib.loads(table.read_text(encoding="utf-8"))["group"]:
            for name, old, new, *tests in group["mutants"]:
                mutants.append(Mutant(name, group["file"], old, new, tuple(tests[0] if tests else group["tests"])))
    return mutants


def broken_rows(mutants: list[Mutant], root: Path = ROOT) -> list[str]:
    """What is wrong with rows: a text that does not occur exactly once, a missing test, a name given twice."""
    problems = []
    names = [mutant.name for mutant in mutants]
    for mutant in mutants:
        file = root / SOURCE / mutant.file
        found = file.read_text(encoding="utf-8").count(mutant.old) if file.is_file() else 0
        if found != 1:
            problems.append(f"{mutant.name}: its text occurs {found} times in {mutant.file}, not once")
        if mutant.old == mutant.new:
            problems.append(f"{mutant.name}: it changes nothing")
        if names.count(mutant.name) > 1:
            problems.append(f"{mutant.name}: the name is given twice")
        for test in mutant.tests:
            path, _, function = test.partition("::")
            function = function.partition("[")[0]
            missing = not (root / path).is_file() or f"def {function}" not in (root / path).read_text(encoding="utf-8")
            if missing:
                problems.append(f"{mutant.name}: there is no test {test}")
    return problems


def run_tests(tree: Path, tests: list[str], compiled: bool, first: bool, longest: float) -> tuple[int, str]:
    """Exit code and output of pytest in a copy; first: stop at the first failure."""
    environment = os.environ | {"PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"NUMBA_CACHE_DIR": str(tree / "cache"), "OMP_NUM_THREADS": "1"}
    environment.pop("NUMBA_DISABLE_JIT", None)
    if not compiled:
        environment["NUMBA_DISABLE_JIT"] = "1"
    command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "-rfE", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *(["-x"] if first else []), *tests],
        cwd=tree, env=environment, capture_output=True, text=True, timeout=longest, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def check_mutant(mutant: Mutant, tree: Path) -> Outcome:
    """Change the copy, run the tests, and change it back."""
    start = time.monotonic()
    file = tree / SOURCE / mutant.file
    original, stamp = file.read_text(encoding="utf-8"), file.stat()
    try:
        file.write_text(original.replace(mutant.old, mutant.new), encoding="utf-8")
        code, output = run_tests(tree, list(mutant.tests), mutant.compiled, True, LONGEST)
    except subprocess.TimeoutExpired:
        return Outcome(mutant, "BROKEN", f"no end within {LONGEST:g} s", time.monotonic() - start)
    finally:
        file.write_text(original, encoding="utf-8")
        os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # by which Numba knows what it has compiled
    seconds = time.monotonic() - start
    if code == 0:
        return Outcome(mutant, "SURVIVED", " ".join(mutant.tests), seconds)
    if code < 0:
        return Outcome(mutant, "noticed", f"signal {-code} ends the tests", seconds)
    failed = re.search(r"^FAILED (\S+)", output, re.MULTILINE)
    if code == TESTS_FAILED and failed:
        return Outcome(mutant, "noticed", failed[1], seconds)
    return Outcome(mutant, "BROKEN", " ".join(output.split())[-200:], seconds)


def check_baseline(mutants: list[Mutant], tree: Path, compiled: bool) -> None:
    """Raise SystemExit if one of the tests fails on the unchanged code."""
    tests = sorted({test for mutant in mutants if mutant.compiled is compiled for test in mutant.tests})
    if tests:
        code, output = run_tests(tree, tests, compiled, False, LONGEST_BASELINE)
        if code:
            raise SystemExit(f"tests fail on the unchanged code:\n{output[-2000:]}")


def run_all(mutants: list[Mutant], jobs: int, folder: Path) -> list[Outcome]:
    """All mutants, `jobs` at a time, each job in a copy of its own."""
    trees: queue.Queue[Path] = queue.Queue()
    for job in range(jobs):
        tree = folder / str(job)
        tree.mkdir()
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(ROOT / name, tree / name)
        trees.put(tree)

    def job(mutant: Mutant) -> Outcome:
        tree = trees.get()
        try:
            outcome = check_mutant(mutant, tree)
        finally:
            trees.put(tree)
        print(f"{outcome.state:9}{outcome.seconds:5.0f} s  {mutant.file}: {mutant.name}", flush=True)
        return outcome

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda compiled: check_baseline(mutants, folder / str(compiled % jobs), compiled), (False, True)))
        return list(pool.map(job, mutants))


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="only mutants whose file or name holds one of these")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time (default: 1)")
    parser.add_argument("--list", action="store_true", help="show the mutants and end")
    options = parser.parse_args()
    mutants = load_mutants()
    problems = broken_rows(mutants)
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return 2
    if options.texts:
        mutants = [m for m in mutants if any(text in f"{m.file}: {m.name}" for text in options.texts)]
    if options.list:
        print("\n".join(f"{mutant.file}: {mutant.name}" for mutant in mutants))
        return 0
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        outcomes = run_all(mutants, max(options.jobs, 1), Path(folder))
    print("\nwhat noticed each mutant")
    for outcome in outcomes:
        print(f"{outcome.state:9} {outcome.mutant.file}: {outcome.mutant.name}\n{'':10}{outcome.detail}")
    states = [outcome.state for outcome in outcomes]
    noticed, survived, broken = (states.count(state) for state in ("noticed", "SURVIVED", "BROKEN"))
    minutes = (time.monotonic() - start) / 60
    print(f"{len(states)} mutants: {noticed} noticed, {survived} survived, {broken} broken; {minutes:.0f} min")
    return 2 if broken else int(survived > 0)


if __name__ == "__main__":
    sys.exit(main())

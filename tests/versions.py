"""Try saltation with the lowest and the newest versions of its dependencies that pyproject.toml allows.

    python tests/versions.py                          both
    python tests/versions.py lowest --pin torch==2.13.0 --pip "--extra-index-url URL"
    python tests/versions.py newest --install         no tests

For each set: build the source archive and from that the wheel, look into both, install the wheel without extras in a
fresh environment, run the loop of the README there, add the extra `cli` and train a recipe, ask at both times for what
an extra is missing for, install the extra `test`, and run the quick tests. `--install` stops before that. "lowest"
takes exactly the lower bound of every dependency, so two bounds that exclude each other fail, and the newest of what
these in turn ask for; it needs Python 3.11 or 3.12, later ones came after these bounds. Ruff and mypy are installed
but not run: they judge the source beside the newest versions (`make lint`). A table says what ran with which versions;
the exit code is 1 if anything failed.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
QUICK_START = ["train", "yin_yang", "--train.epochs", "2", "--out", "run"]
WITHOUT_ANY = {  # what needs an extra, by the extra that its error must name
    "cli": ["train", "yin_yang"],
    "data": ["data", "info", "shd", "--root", "data"],
    "digits": ["data", "info", "digits"],
    "plots": ["data", "plot", "yin_yang"],
}
WITH_CLI = {
    "nir": ["export", "run", "--to", "nir"],
    "plots": ["report", "run"],
    "tensorboard": ["train", "yin_yang", "--tensorboard"],
    "tune": ["tune", "yin_yang", "--search", "train.lr.weight=log:1e-3:3e-2", "--trials", "1"],
}
SHOWN = ("torch", "numba", "numpy", "scipy", "matplotlib", "scikit-learn", "h5py", "nir", "optuna", "pytest")


class Failure(Exception):
    """A step that failed, and why."""


def lower_bounds() -> list[str]:
    """Every dependency of saltation and of the extras that its tests need, at its lower bound."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed, bounds = ["test"], []
    for extra in needed:  # which grows
        for requirement in extras[extra]:
            if requirement.startswith("saltation["):
                needed += [name for name in requirement[:-1].split("[")[1].split(",") if name not in needed]
    requirements = project["dependencies"] + [requirement for extra in needed for requirement in extras[extra]]
    for requirement in dict.fromkeys(requirements):
        if requirement.startswith("saltation["):
            continue
        match = re.fullmatch(r"([\w.-]+)>=([\d.]+)", requirement)
        if match is None:
            raise SystemExit(f"pyproject.toml: {requirement!r} should be NAME>=VERSION, the lowest that is tried")
        bounds.append(f"{match[1]}=={match[2]}")
    return bounds


def constraints(which: str, pins: list[str]) -> list[str]:
    """The versions of one set; a pin replaces what the set says of a package."""
    pinned = {pin.split("==")[0] for pin in pins}
    bounds = lower_bounds() if which == "lowest" else []
    return pins + [bound for bound in bounds if bound.split("==")[0] not in pinned]


class Trial:
    """One set of versions in an environment of its own, below `folder`."""

    def __init__(self, folder: Path, which: str, pins: list[str], pip_flags: list[str]):
        self.folder = folder
        self.bin = folder / "venv" / "bin"
        self.pip_flags = pip_flags
        self.constraints = folder / "constraints.txt"
        self.constraints.write_text("".join(f"{line}\n" for line in constraints(which, pins)))
        cache = {"XDG_CACHE_HOME": str(folder / "cache"), "MPLCONFIGDIR": str(folder / "matplotlib")}
        self.environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "NUMBA_CACHE_DIR")} | cache

    def call(self, *command: str | Path, cwd: Path | None = None) -> str:
        """The output of a command; Failure if it ends in an error."""
        done = self._run(command, cwd)
        if done.returncode:
            raise Failure(f"{shlex.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-3000:]}")
        return done.stdout

    def _run(self, command: tuple[str | Path, ...], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=cwd or self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )

    def pip(self, *arguments: str) -> str:
        """Run the environment's pip."""
        return self.call(self.bin / "python", "-m", "pip", *arguments)

    def build(self) -> str:
        """A source archive of the working tree, and from it a wheel that holds the recipes and the mark of types."""
        self.call(sys.executable, "-m", "venv", "builder")
        self.call("builder/bin/pip", "install", "build")
        self.call("builder/bin/python", "-m", "build", "--outdir", str(self.folder), str(ROOT))
        with tarfile.open(next(self.folder.glob("saltation-*.tar.gz"))) as archive:
            kept = {name.split("/", 1)[-1] for name in archive.getnames()}
        if (
            lost := {"pyproject.toml", "README.md", "LICENSE", "Makefile", "constraints.txt", "tests/versions.py"}
            - kept
        ):
            raise Failure(f"the source archive lacks {sorted(lost)}")
        self.wheel = next(self.folder.glob("saltation-*.whl"))
        packed = set(zipfile.ZipFile(self.wheel).namelist())
        source = ROOT / "src"
        wanted = {str(path.relative_to(source)) for path in (source / "saltation/recipes").glob("*.yaml")}
        missing = (wanted | {"saltation/py.typed", "saltation/__main__.py", "saltation_start/__init__.py"}) - packed
        if missing or not wanted:
            raise Failure(f"the wheel lacks {sorted(missing) or 'recipes'}")
        return f"{len(kept)} files, {len(packed)} in the wheel"

    def install(self) -> str:
        """The wheel alone, without extras."""
        self.call(sys.executable, "-m", "venv", "venv")
        return self._install(str(self.wheel))

    def own_loop(self) -> str:
        """The loop of the README, away from the source; and what the extras are missing for."""
        loop = self.call(self.bin / "python", ROOT / "examples" / "own_loop.py").strip().splitlines()[-1]
        (self.folder / "data" / "shd").mkdir(parents=True)
        for part in ("train", "test"):
            (self.folder / "data" / "shd" / f"shd_{part}.h5").touch()
        return f"{' '.join(loop.split())}; {self._named(WITHOUT_ANY)}"

    def install_cli(self) -> str:
        """The wheel with the extra `cli`."""
        return self._install(f"{self.wheel}[cli]")

    def quick_start(self) -> str:
        """The first command of the README; and what the other extras are missing for."""
        last = self.call(self.bin / "python", "-m", "saltation", *QUICK_START).split("test accuracy")
        if len(last) != 2:
            raise Failure(f"saltation {shlex.join(QUICK_START)} did not print a test accuracy")
        return f"test accuracy {last[1].split('%')[0].strip()} %; {self._named(WITH_CLI)}"

    def _named(self, commands: dict[str, list[str]]) -> str:
        """What needs an extra that is not installed names that extra, without a traceback."""
        for extra, command in commands.items():
            done = self._run((self.bin / "saltation", *command))
            if not done.returncode or f"saltation[{extra}]" not in done.stdout or "Traceback" in done.stdout:
                raise Failure(f"without {extra}, `saltation {shlex.join(command)}` says\n{done.stdout[-3000:]}")
        return f"{', '.join(commands)} named by their errors"

    def install_test(self) -> str:
        """The wheel with the extra `test`."""
        return self._install(f"{self.wheel}[test]")

    def quick_tests(self) -> str:
        """All tests but those marked slow, of the installed package."""
        options = ("-q", "-m", "not slow", "-p", "no:cacheprovider")
        return self.call(self.bin / "python", "-m", "pytest", *options, cwd=ROOT).strip().splitlines()[-1]

    def _install(self, what: str) -> str:
        self.pip("install", *self.pip_flags, "-c", str(self.constraints), what)
        return self.pip("check").strip().splitlines()[-1]

    def versions(self) -> str:
        """What is installed of the packages that matter most."""
        if not (self.bin / "python").exists():
            return ""
        installed = {p["name"].lower(): p["version"] for p in json.loads(self.pip("list", "--format=json"))}
        return ", ".join(f"{name} {installed[name]}" for name in SHOWN if name in installed)

    def steps(self, tests: bool) -> Iterator[tuple[str, bool, str]]:
        """Name, success and result of each step, up to the first that fails."""
        steps = [self.build, self.install, self.own_loop, self.install_cli, self.quick_start]
        for step in [*steps, self.install_test, self.quick_tests] if tests else steps:
            started = time.monotonic()
            try:
                passed, result = True, step()
            except Failure as failure:
                passed, result = False, str(failure)
            yield step.__name__.replace("_", " "), passed, f"{time.monotonic() - started:5.0f} s  {result}"
            if not passed:
                return


def main() -> int:
    """Try the sets that the command line names, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help="lowest or newest (default: both)")
    parser.add_argument("--pin", action="append", default=[], metavar="NAME==VERSION", help="instead of the set's")
    parser.add_argument("--pip", default="", metavar="FLAGS", help="passed to pip install")
    parser.add_argument("--install", action="store_true", help="build, install and train, but run no tests")
    options = parser.parse_args()
    if unknown := set(options.sets) - {"lowest", "newest"}:
        parser.error(f"unknown set {', '.join(sorted(unknown))}; it is lowest or newest")
    failed = False
    for which in options.sets or ["lowest", "newest"]:
        pins = f", pinned: {' '.join(options.pin)}" if options.pin else ""
        print(f"{which}, Python {sys.version.split()[0]}{pins}", flush=True)
        with tempfile.TemporaryDirectory(prefix="saltation-") as folder:
            trial = Trial(Path(folder), which, options.pin, shlex.split(options.pip))
            for name, passed, result in trial.steps(not options.install):
                failed |= not passed
                print(f"  {name:13s} {'passed' if passed else 'FAILED'} {result}", flush=True)
            print(f"  with {trial.versions() or 'no environment'}\n", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

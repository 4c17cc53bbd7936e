"""A fault at every step in which a run, a run with starts or a search touches its files, and SIGKILL at any moment.

    PYTHONPATH=src python tests/train/faults.py --all         every step, every fault, and 50 kills of each scenario
    PYTHONPATH=src python tests/train/faults.py --steps 10    ten steps of each scenario

After each fault the user's next command must succeed without any work by hand, and what is in the folder must then
equal, bit for bit but for clocks, what an undisturbed process leaves. Every case runs in a process of its own.
"""

import argparse
import builtins
import errno
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from saltation.experiments.tasks import YIN_YANG_NETWORK
from saltation.files import write_bytes
from saltation.plot import figures
from saltation.train import load_config, train
from saltation.train.checkpoint import read_checkpoint
from saltation.train.tune import tune

FAULTS = ("kill", "half", "full", "read-only")  # half: SIGKILL when a write is half done
PICTURES = ("learning_figure", "sample_figure", "parameter_figure", "confusion_figure", "save")
TINY = {
    "threads": 1,
    "data.options": {"sizes": [30, 12, 12], "publication": False},
    "train.batch_size": 15,
    "train.epochs": 2,
    "model.layers.0.size": 3,
}


class Scenario:
    """What is done in a folder: the first command, and the one after a fault."""

    def __init__(self, name: str, overrides: dict, search: tuple[str, ...] = ()) -> None:
        self.name = name
        self.overrides = {**TINY, **overrides}
        self.search = search

    def first(self, folder: Path) -> None:
        if self.search:
            tune(YIN_YANG_NETWORK, self.search, 2, folder, self.overrides, quiet=True)
        else:
            train(load_config(YIN_YANG_NETWORK, self.overrides), folder, quiet=True)

    def again(self, folder: Path) -> None:
        """As a user would: resume; if there is nothing to resume, the first command again."""
        try:
            if not self.search:
                train(resume=folder, quiet=True)
                return
        except FileNotFoundError as error:
            assert "it has no config.yaml" in str(error), error
        self.first(folder)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("run", {"train.average": 0.9}),
        Scenario("starts", {"train.starts": 2, "train.start_epochs": 1}),
        Scenario("tune", {"train.epochs": 1}, ("train.lr.weight=log:1e-3:1e-1", "train.schedule=cosine,constant")),
    )
}


class Disk:
    """Stands between a process and the files below `folder`: counts the steps, and lets one of them fail."""

    WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def __init__(self, folder: Path, step: int | None = None, fault: str = "") -> None:
        self.folder = str(folder)
        self.step, self.fault = step, fault
        self.steps: list[str] = []
        self.handles: set[int] = set()
        self.begun: set[int] = set()  # those that have been written to
        self.broken = False
        self.written: set[str] = set()  # paths that were seen being opened to write, or changed
        self.audited: set[str] = set()  # the same, as the interpreter saw it

    def install(self) -> None:
        for name in ("open", "write", "fsync", "close", "replace", "rename", "mkdir", "unlink", "rmdir", "truncate"):
            setattr(os, name, partial(getattr(self, f"_{name}", partial(self._path_call, name)), getattr(os, name)))
        io.open = builtins.open = partial(self._read, io.open)
        sys.addaudithook(self._audit)

    def _mine(self, path: object, dir_fd: int | None = None) -> bool:
        if isinstance(path, int):
            return path in self.handles
        return dir_fd in self.handles if dir_fd is not None else os.fspath(path).startswith(self.folder)

    def _at(self, name: str, writing: bool) -> bool:
        """Count a step; True if it has to fail now. Kills the process if that is the fault."""
        self.steps.append(name)
        now = self.step == len(self.steps) - 1
        if now and (self.fault == "kill" or (self.fault == "half" and name != "write")):
            os.kill(os.getpid(), signal.SIGKILL)
        self.broken = self.broken or now
        return self.broken and writing  # a disk that is full or read-only stays so

    def _fail(self, *path: object) -> None:
        code = errno.EROFS if self.fault == "read-only" else errno.ENOSPC
        raise OSError(code, os.strerror(code), *map(str, path))  # the system names the path, but not that of a handle

    def _open(self, call: Callable, path, flags, mode=0o777, *, dir_fd=None):
        if not self._mine(path, dir_fd):
            return call(path, flags, mode, dir_fd=dir_fd)
        writing = bool(flags & self.WRITING)
        if writing:
            self.written.add(str(path))
        if self._at("open", writing) and (self.fault == "read-only" or flags & os.O_CREAT and not os.path.exists(path)):
            self._fail(path)
        handle = call(path, flags, mode, dir_fd=dir_fd)
        self.handles.add(handle)
        return handle

    def _write(self, call: Callable, handle, content):
        if handle not in self.handles:
            return call(handle, content)
        if self._at("write", True):
            call(handle, bytes(content)[: len(content) // 2])
            if self.fault == "half":
                os.kill(os.getpid(), signal.SIGKILL)
            self._fail()
        short = handle not in self.begun  # a short write is legal at any time
        self.begun.add(handle)
        return call(handle, bytes(content)[: max(len(content) // 2, 1)] if short else content)

    def _fsync(self, call: Callable, handle):
        if handle in self.handles and self._at("fsync", True):
            self._fail()
        return call(handle)

    def _close(self, call: Callable, handle):
        self.handles.discard(handle)
        self.begun.discard(handle)
        return call(handle)

    def _path_call(self, name: str, call: Callable, path, *arguments, **options):
        if self._mine(path, options.get("dir_fd")):
            self.written.add(str(path))
            if self._at(name, name in ("replace", "rename", "mkdir") or self.fault == "read-only"):
                self._fail(path)
        return call(path, *arguments, **options)

    def _read(self, call: Callable, path, mode="r", *arguments, **options):
        if isinstance(path, str | os.PathLike) and self._mine(path):
            if mode.strip("bt") != "r":
                self.written.add(str(path))
            self._at(f"open {mode}", False)
        return call(path, mode, *arguments, **options)

    def _audit(self, event: str, arguments: tuple) -> None:
        path = arguments[0] if arguments else None
        if not isinstance(path, str | os.PathLike) or not str(path).startswith(self.folder):
            return
        changes = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink")
        if event in changes or (event == "open" and arguments[2] & self.WRITING):
            self.audited.add(str(path))


def in_a_process(work: Callable[[], object], seconds: float | None = None) -> tuple[int, str]:
    """(exit status, what it reported) of `work` in a fork of this process, killed after `seconds`."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 0
        try:
            report = json.dumps(work())
        except OSError as error:
            code, report = 3, str(error)
        except BaseException:
            code, report = 4, traceback.format_exc()
        with os.fdopen(writing, "w") as pipe:
            pipe.write(report)
        os._exit(code)
    os.close(writing)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading) as pipe:
        report = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), report


def snapshot(folder: Path) -> dict[str, object]:
    """All that a folder holds, by path, without clocks."""
    content: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix == ".safetensors":
            tensors, record = read_checkpoint(path)
            record.pop("seconds", None)
            content[name] = {key: value.numpy().tobytes() for key, value in tensors.items()}, record
        elif path.suffix == ".jsonl":
            content[name] = [
                {**json.loads(line), "seconds": 0, "cpu_seconds": 0} for line in path.read_text().splitlines()
            ]
        elif path.name == "result.json":
            content[name] = {**json.loads(path.read_text()), "seconds": 0, "run": ""}
        else:
            content[name] = path.read_text() if path.suffix == ".yaml" else None
    return content


class Bench:
    """A scenario, what it leaves when nothing happens, and the steps it takes."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.scenario = scenario
        self.folder = folder / scenario.name
        self.counts: Counter[str] = Counter()
        disk = Disk(self.folder)
        with tempfile.TemporaryDirectory() as place:
            scenario.first(Path(place) / "warm")  # what is compiled and imported here is so in all forks

        def undisturbed() -> object:
            disk.install()
            scenario.first(self.folder)
            return disk.steps, sorted(disk.audited - disk.written)

        code, report = in_a_process(undisturbed)
        assert code == 0, report
        self.steps, unseen = json.loads(report)
        assert not unseen, f"written past the steps that are counted: {unseen}"
        self.expected = snapshot(self.folder)

    def cases(self) -> list[tuple[int, str]]:
        """All (step, fault)."""
        return [
            (step, fault)
            for step, name in enumerate(self.steps)
            for fault in FAULTS
            if fault != "half" or name == "write"
        ]

    def case(self, step: int, fault: str) -> None:
        """Let that fault happen at that step, go on, and compare."""
        shutil.rmtree(self.folder, ignore_errors=True)

        def disturbed() -> None:
            Disk(self.folder, step, fault).install()
            self.scenario.first(self.folder)

        code, report = in_a_process(disturbed)
        what = f"{self.scenario.name}, step {step} of {len(self.steps)} ({self.steps[step]}), {fault}"
        if fault in ("kill", "half"):
            assert code == -signal.SIGKILL, (what, code, report)
        elif code == 3:
            assert str(self.folder) in report, (what, report)  # the message names the file or folder
        else:
            assert code == 0, (what, report)  # a read, or the disk was needed no more
        self.counts[f"{fault}: {'killed' if code < 0 else 'error' if code else 'unharmed'}"] += 1
        self.go_on(what)

    def kills(self, number: int, chance: random.Random) -> None:
        """Kill it `number` times at random moments, several times in a row; then let it end, and compare."""
        done = 0
        while done < number:
            shutil.rmtree(self.folder, ignore_errors=True)
            row = min(chance.randint(1, 8), number - done)
            for _ in range(row):
                code, report = in_a_process(partial(self.scenario.again, self.folder), chance.uniform(0.0, 1.0))
                assert code in (0, -signal.SIGKILL), report
                self.counts["random kill" if code else "random kill: too late"] += 1
                done += code != 0
            self.go_on(f"{self.scenario.name}, {row} kills")

    def go_on(self, what: str) -> None:
        """The next command of the user succeeds, and nothing is lost."""
        code, report = in_a_process(partial(self.scenario.again, self.folder))
        assert code == 0, (what, report)
        found = snapshot(self.folder)
        assert found.keys() == self.expected.keys(), (what, found.keys() ^ self.expected.keys())
        for name, content in self.expected.items():
            assert found[name] == content, (what, name)


def picture(*arguments: object, **_: object) -> None:
    """Stands for drawing, which takes most of the time of a tiny run: the same write of another picture."""
    for path in arguments:
        if isinstance(path, Path):
            write_bytes(path, b"picture")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="every step and every fault")
    parser.add_argument("--steps", type=int, default=10, help="without --all: so many steps of each scenario")
    parser.add_argument("--kills", type=int, default=50, help="at random moments, of each scenario")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenario", nargs="*", choices=list(SCENARIOS), default=list(SCENARIOS))
    options = parser.parse_args()
    chance = random.Random(options.seed)
    torch.set_num_threads(1)
    for name in PICTURES:
        setattr(figures, name, picture)
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in options.scenario:
            bench = Bench(SCENARIOS[name], Path(folder))
            cases = bench.cases() if options.all else chance.sample(bench.cases(), options.steps)
            print(f"{name}: {len(bench.steps)} steps, {len(cases)} faults", flush=True)
            for work in [*(partial(bench.case, *case) for case in cases), partial(bench.kills, options.kills, chance)]:
                try:
                    work()
                except AssertionError as error:
                    failures += 1
                    print(f"FAILED {error}", flush=True)
            print(f"{name}: {dict(sorted(bench.counts.items()))}", flush=True)
    print(f"{failures} failures")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()

"""Targets, and how one input and a range of inputs are run."""

import hashlib
import shutil
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import saltation.data.encode
import saltation.data.series
import saltation.spikes

from . import guard

LONGEST_MESSAGE = 2000
WARM_UP = 5  # inputs whose outcome does not count


@dataclass(frozen=True)
class Target:
    """`make(rng, folder)` returns the call that is tried; `errors` are those that it documents."""

    name: str
    make: Callable[[Random, Path], Callable[[], Any]]
    errors: tuple[type[BaseException], ...]
    share: int  # of 1,000,000 inputs
    seconds: float  # of processor time for one input


TARGETS: dict[str, Target] = {}


def target(share: int, *errors: type[BaseException], seconds: float = 2.0) -> Callable[[Any], Any]:
    """Register a function as the target of its name."""

    def register(make: Callable[[Random, Path], Callable[[], Any]]) -> Any:
        TARGETS[make.__name__] = Target(make.__name__, make, errors, share, seconds)
        return make

    return register


@dataclass
class Failure:
    """An input that did not end as it must; `kind` is the same for inputs that fail at one place in one way."""

    target: str
    seed: int
    index: int
    kind: str
    text: str
    trace: str = ""

    def __str__(self) -> str:
        return f"{self.target}:{self.seed}:{self.index}  {self.kind}\n    {self.text}"


@dataclass
class Outcome:
    """Of a range of inputs of one target."""

    target: str
    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def inputs(self) -> int:
        return self.accepted + self.refused + len(self.failures)

    def add(self, other: "Outcome") -> None:
        """Sum up."""
        self.accepted += other.accepted
        self.refused += other.refused
        self.seconds += other.seconds
        self.slowest = max(self.slowest, other.slowest)
        self.failures += other.failures
        self.errors += other.errors


def source(name: str, seed: int, index: int) -> Random:
    """The random source of one input."""
    return Random(int.from_bytes(hashlib.blake2b(f"{name}:{seed}:{index}".encode(), digest_size=8).digest(), "big"))


@contextmanager
def small_rooms() -> Iterator[None]:
    """Limits of what is made of numbers by request are a thousand times lower, so that reaching them costs little."""
    with (
        patch.object(saltation.spikes, "LARGEST_RASTER", 1 << 24),
        patch.object(saltation.spikes, "MOST_EVENTS", 1 << 18),
        patch.object(saltation.data.encode, "MOST_EVENTS", 1 << 18),
        patch.object(saltation.data.series, "MOST_EVENTS", 1 << 18),
    ):
        yield


def run_one(what: Target, seed: int, index: int, folder: Path) -> tuple[str, Failure | None]:
    """("accepted" or the name of the documented error, None), or ("", the failure)."""
    try:
        call = what.make(source(what.name, seed, index), folder)
    except Exception as error:
        failure = _failure(what, seed, index, error)
        return "", Failure(what.name, seed, index, f"the target itself: {failure.kind}", failure.text)
    try:
        with guard.watched(folder, what.seconds):
            call()
    except what.errors as error:
        if isinstance(error, guard.Breach):
            return "", _failure(what, seed, index, error)
        text = str(error)
        if not text.strip() or len(text) > LONGEST_MESSAGE:
            return "", Failure(what.name, seed, index, f"message of {len(text)} characters", text[:300])
        return type(error).__name__, None
    except (Exception, guard.Hang, SystemExit) as error:
        return "", _failure(what, seed, index, error)
    return "accepted", None


def _failure(what: Target, seed: int, index: int, error: BaseException) -> Failure:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f"{Path(f.filename).name}:{f.lineno}" for f in frames if "/saltation/" in f.filename]
    where = ours[-1] if ours else f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
    return Failure(
        what.name,
        seed,
        index,
        f"{type(error).__name__} at {where}",
        " ".join(str(error).split())[:300],
        "".join(traceback.format_exception(error)),
    )


def run_range(
    what: Target, seed: int, indices: range, folder: Path, tell: Callable[[int], None] | None = None
) -> Outcome:
    """These inputs, in a folder of the target's own that is empty at the start and removed at the end."""
    place = folder / what.name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    with warnings.catch_warnings(), guard.memory_limit(2 * guard.MEMORY), small_rooms():
        warnings.simplefilter("ignore")
        for number in range(WARM_UP):  # what is compiled or cached once is no cost of an input
            run_one(what, seed, -1 - number, place)
    outcome = Outcome(what.name)
    begin = time.perf_counter()
    with warnings.catch_warnings(), guard.memory_limit(), small_rooms():
        warnings.simplefilter("ignore")
        for index in indices:
            if tell is not None:
                tell(index)
            start = time.process_time()
            how, failure = run_one(what, seed, index, place)
            outcome.slowest = max(outcome.slowest, time.process_time() - start)
            if failure is not None:
                outcome.failures.append(failure)
            elif how == "accepted":
                outcome.accepted += 1
            else:
                outcome.refused += 1
                outcome.errors[how] += 1
    outcome.seconds = time.perf_counter() - begin
    shutil.rmtree(place, ignore_errors=True)
    return outcome


def shares(total: int, names: list[str]) -> Iterator[tuple[Target, int]]:
    """How many of `total` inputs each target gets; at least one."""
    whole = sum(TARGETS[name].share for name in names)
    for name in names:
        yield TARGETS[name], max(round(total * TARGETS[name].share / whole), 1)

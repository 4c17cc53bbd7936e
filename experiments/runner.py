"""What experiments share: a recipe trained with changes and seeds, one thread a run, several runs side by side."""

import json
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

RESULTS = Path(__file__).parent / "results"


class Run(NamedTuple):
    """One training run: of which recipe, with what changes, and where it goes under runs/."""

    recipe: str
    seed: int
    changes: dict[str, Any]
    place: str
    test: bool = True  # False: the test samples are left alone


def train_one(run: Run) -> dict[str, Any]:
    """The result of a run, see `saltation.train.train`; what was in its place is removed."""
    from saltation.train import load_config, train

    out = Path("runs") / run.place
    shutil.rmtree(out, ignore_errors=True)
    config = load_config(run.recipe, {**run.changes, "seed": run.seed, "threads": 1})
    result = train(config, out=out, quiet=True, test=run.test)
    accuracy = result["test_accuracy" if run.test else "validation_accuracy"]
    print(f"{run.place}: {100 * accuracy:.2f} % in {result['seconds']:.0f} s", flush=True)
    return result


def train_all(runs: Sequence[Run], jobs: int) -> Iterator[dict[str, Any]]:
    """The results of all runs in their order, as they are there; so many run side by side."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(train_one, runs)


def per_cent(results: Sequence[dict[str, Any]], key: str) -> dict[str, float | None]:
    """Mean and standard deviation (None of one run) of an accuracy."""
    values = np.array([100 * result[key] for result in results])
    spread = round(float(values.std(ddof=1)), 2) if len(values) > 1 else None
    return {"mean": round(float(values.mean()), 2), "std": spread}


def words(found: dict[str, float | None], digits: int) -> str:
    """What `per_cent` returns, with so many digits."""
    spread = "" if found["std"] is None else f" +- {found['std']:.{digits}f}"
    return f"{found['mean']:.{digits}f}{spread}"


def write(name: str, summary: dict[str, Any]) -> None:
    """Write experiments/results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, one thread a run, runs side by side"
    (RESULTS / f"{name}.json").write_text(json.dumps({**summary, "machine": machine}, indent=2) + "\n")

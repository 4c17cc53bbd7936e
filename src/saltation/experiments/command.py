"""Run experiments, or go on with them, and make their tables and pictures."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from fnmatch import fnmatchcase
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch

from saltation import SpikeBudgetError
from saltation.check import shown
from saltation.experiments.case import Case, Size
from saltation.experiments.pages import write_page, write_pages
from saltation.experiments.registry import find
from saltation.experiments.store import Store
from saltation.files import make_folder

RESULTS, DOCS = Path("experiments/results"), Path("docs")
QUICK = Path("runs/experiments-quick")


def experiment(
    names: Sequence[str],
    size: Size = "full",
    out: Path | None = None,
    only: Sequence[str] = ("*",),
    jobs: int = 1,
    run: bool = True,
) -> list[Path]:
    """Run what is missing of these experiments, then make their tables and pictures; returns the files of these.

    size  "full", "quick" or "tiny"
    out   where results go, and are looked for: OUT/NAME/CASE-SEED.json. Full results in the usual place,
          experiments/results, go into docs/results.md and the pages beside it, if there are any here; all others into
          a page OUT/NAME.md
    only  which cases to run: names, with * and ?; an experiment that has none of them is left alone where it has no
          results; tables and pictures show all results that are there
    jobs  so many processes side by side, each with one thread
    run   False: tables and pictures only

    Raises ValueError for unknown names, patterns that no case fits, and results of other settings; and, when all
    experiments are done, for cases that failed and experiments without results.
    """
    found = {name: find(name) for name in names}
    cases = {name: module.cases(size) for name, module in found.items()}
    wanted = {name: _chosen(some, only) for name, some in cases.items()}
    if not any(wanted.values()):
        some = next((case.name for each in cases.values() for case in each), "")
        raise ValueError(f"no case of {', '.join(names)} fits {shown(', '.join(only))}; cases are named like {some}")
    folder = out or (RESULTS if size == "full" else QUICK)
    written, wrong = [], []
    for name, module in found.items():
        store = Store(folder / name)
        missing = [item for item in wanted[name] if store.read(*item) is None]
        failures = _run_all(name, missing, store, jobs) if run else []
        if failures:
            wrong.append(f"{name}: {len(failures)} of {len(missing)} runs failed; {failures[0]}")
        rows = store.rows(cases[name])
        if rows:
            make_folder(folder)
            in_documents = folder == RESULTS and size == "full" and (DOCS / "results.md").exists()
            written += (
                write_pages(name, module, rows, DOCS) if in_documents else [write_page(name, module, rows, folder)]
            )
        elif wanted[name] and not failures:
            wrong.append(f"there are no results of {name} in {store.folder}; run it first")
    if wrong:
        raise ValueError("; ".join(wrong))
    return written


def _chosen(cases: Sequence[Case], only: Sequence[str]) -> list[tuple[Case, int]]:
    """Cases and seeds of these names."""
    return [item for item in in_order(cases) if any(fnmatchcase(item[0].name, pattern) for pattern in only)]


def in_order(cases: Sequence[Case]) -> list[tuple[Case, int]]:
    """Seed after seed, so that what was stopped half-way can be compared."""
    seeds = max((case.seeds for case in cases), default=0)
    return [(case, seed) for seed in range(seeds) for case in cases if seed < case.seeds]


def run_one(name: str, case: Case, seed: int, store: Store) -> str:
    """Run a case and keep its result; returns what to say of it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    begun = time.process_time()
    try:
        result = find(name).run(case.settings, seed)
    finally:
        torch.set_num_threads(threads)
    taken = time.process_time() - begun
    store.write(case, seed, result, taken)
    return f"{name} {case.name}, seed {seed}: {taken:.1f} s CPU"


def _run_all(name: str, missing: Sequence[tuple[Case, int]], store: Store, jobs: int) -> list[str]:
    """Run these; returns what is to be said of those that failed."""
    failures: list[str] = []

    def tell(case: Case, seed: int, done: Callable[[], str]) -> None:
        try:
            print(done(), flush=True)
        except (ValueError, SpikeBudgetError) as error:  # activity that runs away is of the case, too
            failures.append(f"{case.name}, seed {seed}: {error}")
            print(f"{name} {failures[-1]}", flush=True)

    if jobs == 1:
        for case, seed in missing:
            tell(case, seed, partial(run_one, name, case, seed, store))
        return failures
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(run_one, name, case, seed, store): (case, seed) for case, seed in missing}
        try:
            for future in as_completed(futures):
                tell(*futures[future], future.result)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # else all that wait would be run before it is told
            raise
    return failures

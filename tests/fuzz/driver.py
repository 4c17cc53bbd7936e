"""Processes that run ranges of inputs, and what becomes of them if one dies or gets stuck."""

import faulthandler
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections import Counter, deque
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from .engine import Failure, Outcome, run_range

CHUNK = 2000  # inputs in a range
POLL = 5.0  # seconds between two looks at a process
SILENCE = 300.0  # seconds in which it is looked at and has no new input, after which it is taken for stuck


class Driver:
    """Hands ranges of inputs to processes, and starts another one where a process died or got stuck."""

    def __init__(self, work: deque[tuple[str, int, int]], seed: int, folder: Path) -> None:
        self.work, self.seed, self.folder = work, seed, folder
        self.outcomes: dict[str, Any] = {}
        self.peak = 0
        self.started = 0
        self.context = multiprocessing.get_context("spawn")

    def run(self, processes: int) -> int:
        """Until no work is left; prints the table and returns the exit code."""
        begin = time.perf_counter()
        workers = [self._start() for _ in range(processes)]
        while workers:
            start = time.monotonic()
            wait([worker["pipe"] for worker in workers], timeout=POLL)
            passed = min(time.monotonic() - start, POLL)  # a machine that slept is no sign of a process that is stuck
            for worker in list(workers):
                self._attend(worker, workers, passed)
        return self._report(time.perf_counter() - begin)

    def _start(self) -> dict[str, Any]:
        self.started += 1
        here, there = self.context.Pipe()
        index = self.context.Value("q", -1)
        folder = self.folder / str(self.started)
        arguments = there, index, self.seed, folder
        process = self.context.Process(target=work, args=arguments, daemon=True)
        process.start()
        there.close()
        return {
            "process": process,
            "stack": folder.with_suffix(".stack"),
            "pipe": here,
            "index": index,
            "job": None,
            "seen": -2,
            "silent": 0.0,
        }

    def _attend(self, worker: dict[str, Any], workers: list[dict[str, Any]], passed: float) -> None:
        try:
            if worker["pipe"].poll():
                outcome, peak = worker["pipe"].recv()
                self.peak = max(self.peak, peak)
                if outcome is not None:
                    self._add(outcome)
                if self.work:
                    worker["job"] = self.work.popleft()
                    worker["pipe"].send(worker["job"])
                else:
                    worker["pipe"].send(None)
                    worker["process"].join()
                    workers.remove(worker)
                worker["seen"], worker["silent"] = -2, 0.0
                return
        except (EOFError, ConnectionError, OSError):
            worker["process"].join()
            self._lost(worker, f"the process ended with code {worker['process'].exitcode}", workers)
            return
        if worker["index"].value != worker["seen"]:
            worker["seen"], worker["silent"] = worker["index"].value, 0.0
            return
        worker["silent"] += passed
        if worker["silent"] > SILENCE:
            os.kill(worker["process"].pid, signal.SIGUSR1)  # it writes down where it is
            time.sleep(1.0)
            worker["process"].kill()
            worker["process"].join()
            self._lost(worker, "stuck in compiled code", workers)

    def _lost(self, worker: dict[str, Any], why: str, workers: list[dict[str, Any]]) -> None:
        workers.remove(worker)
        if worker["job"] is None or worker["index"].value < 0:
            raise RuntimeError(f"a process failed before its first input: {why}")
        name, start, stop = worker["job"]
        index = worker["index"].value
        self._add(Outcome(name, failures=[Failure(name, self.seed, index, why, _innermost(worker["stack"]))]))
        self.work.extend(part for part in ((name, start, index), (name, index + 1, stop)) if part[1] < part[2])
        workers.append(self._start())

    def _add(self, outcome: Any) -> None:
        if outcome.target in self.outcomes:
            self.outcomes[outcome.target].add(outcome)
        else:
            self.outcomes[outcome.target] = outcome
        for failure in outcome.failures:
            print(f"FAILURE {failure}", flush=True)
        total = sum(o.inputs for o in self.outcomes.values())
        print(f"{total:>9,} inputs   {outcome.target}", file=sys.stderr, flush=True)

    def _report(self, seconds: float) -> int:
        print(
            f"{'target':<14} {'inputs':>9} {'accepted':>9} {'refused':>9} {'failures':>8} {'seconds':>8} {'slowest':>8}"
        )
        for o in self.outcomes.values():
            counts = f"{o.inputs:>9,} {o.accepted:>9,} {o.refused:>9,} {len(o.failures):>8}"
            print(f"{o.target:<14} {counts} {o.seconds:>8.0f} {o.slowest:>7.2f}s  {dict(o.errors)}")
        failures = [failure for o in self.outcomes.values() for failure in o.failures]
        kinds = Counter((failure.target, failure.kind) for failure in failures)
        for (target, kind), count in kinds.most_common():
            first = next(f for f in failures if (f.target, f.kind) == (target, kind))
            print(f"{count:>6} x {target}: {kind}   python -m tests.fuzz --only {target}:{first.seed}:{first.index}")
            print(f"         {first.text}")
        total = sum(o.inputs for o in self.outcomes.values())
        print(
            f"{total:,} inputs with seed {self.seed}, {len(failures)} failures of {len(kinds)} kinds, {seconds:.0f} s, "
            f"{self.peak / 2**20:.0f} MiB at most in a process"
        )
        return int(bool(failures))


def _innermost(stack: Path) -> str:
    """Where a process was that is no more, as far as it could tell."""
    text = stack.read_text() if stack.exists() else ""
    return " < ".join(line.strip() for line in text.splitlines()[:8]) or "(no trace of it)"


def work(pipe: Any, index: Any, seed: int, folder: Path) -> None:
    """A process: receives ranges, sends outcomes."""
    import torch

    from . import load_targets

    targets = load_targets()
    torch.set_num_threads(1)
    stack = folder.with_suffix(".stack").open("w")
    faulthandler.enable(stack)
    faulthandler.register(signal.SIGUSR1, stack)
    outcome = None

    def tell(number: int) -> None:
        index.value = number

    while True:
        pipe.send((outcome, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
        job = pipe.recv()
        if job is None:
            return
        name, start, stop = job
        outcome = run_range(targets[name], seed, range(start, stop), folder, tell)

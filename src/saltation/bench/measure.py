"""Time, interleaved so that a noisy machine troubles all alike; and memory, each figure in a process of its own."""

import ctypes
import gc
import importlib.util
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from saltation.bench.peers import DELAY_PEERS, PEERS
from saltation.bench.workloads import WORKLOADS, Ours, Workload
from saltation.extras import missing


def installed(package: str) -> bool:
    """Whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


def contestants(workload: Workload, peers: bool) -> list[Callable[[], Any]]:
    """What makes saltation, the installed peers and a grid of ours for a workload, one after the other."""
    makers: list[Callable[[], Any]] = [partial(Ours, workload)]
    for package, peer in (DELAY_PEERS if workload.delay else PEERS).items():
        if peers and installed(package):
            makers += [partial(peer, workload, steps) for steps in workload.steps]
    if peers and not workload.delay and not missing("experiments"):
        from saltation.bench.fused import FusedGrid

        makers += [partial(FusedGrid, workload, steps) for steps in workload.steps]
    return makers


def interleaved(steps: Mapping[str, Callable[[], Any]], repeats: int, limit: float) -> dict[str, list[float]]:
    """Seconds of every step, `repeats` times in turns, after one warm-up each.

    What takes longer than `limit` seconds is measured once, without a warm-up.
    """
    seconds: dict[str, list[float]] = {}
    for name, step in steps.items():
        seconds[name] = [_seconds(step)]
        if seconds[name][0] <= limit:
            seconds[name] = []
    for _ in range(repeats):
        for name, step in steps.items():
            if not seconds[name] or seconds[name][0] <= limit:
                seconds[name].append(_seconds(step))
    return seconds


def _seconds(step: Callable[[], Any]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def bytes_for_backward(ours: Ours) -> tuple[int, int]:
    """Bytes that the hidden layer keeps for its backward pass besides its arguments, and the number of its spikes."""
    times = ours.hidden(ours.spikes).times
    rows, counts, peaks, bounds, order = times.grad_fn.kept
    return sum(array.nbytes for array in (rows, counts, *peaks, bounds, order)), times.numel()


def added_megabytes(name: str, package: str, steps: int, scale: float) -> float:
    """What one batch of a workload adds to the peak memory of a process, forward and backward."""
    command = [sys.executable, "-m", "saltation.bench.measure", json.dumps([name, package, steps, scale])]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def peak_megabytes() -> float:
    """The highest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux ru_maxrss also counts the process that started this one
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # bytes on macOS


def reset_peak() -> None:
    """From now on `peak_megabytes` counts anew, where the system can do that (Linux with glibc)."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # else what was freed stays, and is used again
        if trim is not None:
            trim(0)
        clear.write_text("5")


def _added(name: str, package: str, steps: int, scale: float) -> float:
    torch.set_num_threads(1)
    workload = WORKLOADS[name]
    small = Workload("small", 5, 5, 2, 2, 0.05, 100.0, 1.0, workload.readout, (50,), workload.delay)

    def make(which: Workload, steps: int) -> Any:
        return Ours(which, scale) if package == "saltation" else PEERS[package](which, steps, scale)

    make(small, 50).step()  # libraries and kernels are loaded
    contestant = make(workload, steps)
    before = peak_megabytes()
    contestant.step()
    return peak_megabytes() - before


if __name__ == "__main__":
    print(_added(*json.loads(sys.argv[1])))

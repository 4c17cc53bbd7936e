"""Run the workloads, print the table, write JSON and pictures."""

import json
import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch

from saltation.bench import growth
from saltation.bench.measure import (
    added_megabytes,
    bytes_for_backward,
    contestants,
    installed,
    interleaved,
)
from saltation.bench.peers import DELAY_PEERS, PEERS
from saltation.bench.workloads import QUICK, WORKLOADS, Ours, Workload

NAMES = (*WORKLOADS, "W5")
SLOW = 20.0  # seconds; what takes longer is measured once


def run(
    names: Sequence[str], threads: int, repeats: int, out: Path, peers: bool, quick: bool, limit: float
) -> dict[str, Any]:
    """Measure the workloads `names` (all if empty) and write bench-<threads>.json and growth.png to `out`.

    quick: sizes that only show that everything works. limit: seconds that one point of W5 may take.
    Raises ValueError for a name that is not a workload.
    """
    for name in names:
        if name not in NAMES:
            raise ValueError(f"there is no workload {name!r}; there are {', '.join(NAMES)}")
    missing = [package for package in (*PEERS, *DELAY_PEERS) if not installed(package)] if peers else []
    if missing:
        print(f"not installed: {', '.join(missing)}; get them with pip install 'saltation[bench]'")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    result: dict[str, Any] = {"machine": machine(threads, missing), "workloads": {}}
    try:
        for name in names or NAMES:
            if name == "W5":
                result["growth"] = measure_growth(quick, limit)
            elif not quick or name in QUICK:
                workload = (QUICK if quick else WORKLOADS)[name]
                result["workloads"][name] = measure_workload(workload, repeats, peers)
    finally:
        torch.set_num_threads(before)
    result["machine"]["load_after"] = os.getloadavg()
    write(result, threads, out)
    return result


def machine(threads: int, missing: list[str]) -> dict[str, Any]:
    """What a reader needs to judge the figures."""
    packages = ["torch", "numba", *(package for package in (*PEERS, *DELAY_PEERS) if package not in missing)]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_before": os.getloadavg(),
        "versions": {package: version(package) for package in packages if installed(package)},
    }


def measure_workload(workload: Workload, repeats: int, peers: bool) -> dict[str, Any]:
    """Times of all packages, and for W2 the silent forward pass and the memory."""
    print(f"\n{workload.name}: {workload}", flush=True)
    everyone = [make() for make in contestants(workload, peers)]
    everyone[0].step()  # compiles what is not in the cache yet, before anything is timed
    seconds = interleaved({each.name: each.step for each in everyone}, repeats, SLOW)
    ours = median(seconds["saltation"])
    result: dict[str, Any] = {}
    print(f"{'':24} {'ms':>10} {'ratio':>8} {'spikes/neuron':>14}")
    for each in everyone:
        taken = median(seconds[each.name])
        count = each.spikes_per_neuron()
        result[each.name] = {
            "ms": 1e3 * taken,
            "ratio": taken / ours,
            "spikes_per_neuron": count,
            "all_ms": [1e3 * value for value in seconds[each.name]],
        }
        print(f"{each.name:24} {1e3 * taken:10.2f} {taken / ours:8.2f} {count:14.2f}", flush=True)
    if workload.name == "W2":
        result["extra"] = measure_extra(everyone)
    return result


def measure_extra(everyone: list[Any]) -> dict[str, Any]:
    """Silent forward pass, bytes kept for the backward pass, memory that a batch adds (snnTorch: finest step)."""
    ours: Ours = everyone[0]
    kept, spikes = bytes_for_backward(ours)
    memory = added_megabytes("W2", "saltation", 0, ours.scale)
    extra: dict[str, Any] = {"bytes_kept": kept, "spikes": spikes, "saltation_mb": memory}
    for peer in [each for each in everyone if isinstance(each, PEERS["snntorch"])][:1]:
        extra["snntorch_mb"] = added_megabytes("W2", "snntorch", peer.raster.shape[0], peer.scale)
    synaptic_events = ours.silence()
    silent = interleaved({"silent": ours.forward}, 7, SLOW)["silent"]
    extra["silent_ns_per_synaptic_event"] = 1e9 * median(silent) / synaptic_events
    for key, value in extra.items():
        print(f"  {key:28} {value:12.3f}", flush=True)
    return extra


def measure_growth(quick: bool, limit: float) -> dict[str, Any]:
    """All points of W5."""
    curves: dict[str, Any] = {}
    print("\nW5: growth, forward and backward of one hidden layer", flush=True)
    for name, curve in (growth.QUICK if quick else growth.CURVES).items():
        curves[name] = [growth.measure_point(setting, limit) for setting in growth.points(curve)]
        for point in curves[name]:
            taken = "beyond the limit" if point["seconds"] is None else f"{1e3 * point['seconds']:.2f} ms"
            print(f"  {name:28} {[point[key] for key in growth.BASE]} {taken}", flush=True)
    return curves


def write(result: dict[str, Any], threads: int, out: Path) -> None:
    """JSON, and the growth plot where W5 was measured. Workloads that were not measured now keep their figures."""
    from saltation.bench.picture import growth_picture

    out.mkdir(parents=True, exist_ok=True)
    path = out / f"bench-{threads}.json"
    old = json.loads(path.read_text()) if path.is_file() else {"workloads": {}}
    merged = {**old, **result, "workloads": {**old["workloads"], **result["workloads"]}}
    path.write_text(json.dumps(merged, indent=1) + "\n")
    print(f"\nwritten: {path}")
    if "growth" in result:
        growth_picture(result["growth"], out / "growth.png")
        print(f"written: {out / 'growth.png'}")

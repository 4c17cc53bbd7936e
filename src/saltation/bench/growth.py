"""W5: how time and memory of one hidden layer grow, forward and backward. Every point runs in a process of its own."""

import json
import subprocess
import sys
import time
from typing import Any

import numpy as np
import torch

from saltation import LIF, Layer, Linear, Spikes, init
from saltation.bench.measure import peak_megabytes
from saltation.bench.workloads import TAU_MEM, TAU_SYN

INPUTS = 200
BASE = {"neurons": 256, "events": 2000, "batch": 8, "delay": "none", "threads": 1}
CURVES: dict[str, dict[str, list[Any]]] = {
    "neurons": {"neurons": [64, 128, 256, 512, 1024, 2048, 4096, 8192]},
    "neurons, synaptic delays": {"neurons": [64, 256, 1024, 4096, 8192], "delay": ["synaptic"]},
    "events": {"events": [100, 300, 1000, 3000, 10_000, 30_000, 100_000]},
    "events, synaptic delays": {"events": [100, 1000, 10_000, 100_000], "delay": ["synaptic"]},
    "batch": {"batch": [1, 4, 16, 64, 256]},
    "delay": {"delay": ["none", "axonal", "dendritic", "synaptic"]},
    "threads": {"threads": [1, 2, 4], "batch": [32]},
}
QUICK = {"neurons": {"neurons": [8, 16], "events": [50], "batch": [2]}}


def points(curve: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """The settings along a curve: BASE with one list of values, and single other values."""
    single = {key: values[0] for key, values in curve.items() if len(values) == 1}
    ((axis, values),) = ((key, values) for key, values in curve.items() if len(values) > 1)
    return [{**BASE, **single, axis: value} for value in values]


def measure_point(setting: dict[str, Any], limit: float) -> dict[str, Any]:
    """Setting, seconds (median of 3), added memory in MB, spikes per neuron; seconds None beyond `limit` seconds."""
    command = [sys.executable, "-m", "saltation.bench.growth", json.dumps(setting)]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {**setting, "seconds": None, "megabytes": None, "spikes_per_neuron": None}
    return {**setting, **json.loads(done.stdout.splitlines()[-1])}


def slope(x: list[float], y: list[float]) -> float:
    """Exponent of a power law through the upper half of the points."""
    half = len(x) // 2
    return float(np.polyfit(np.log(x[half:]), np.log(y[half:]), 1)[0]) if len(x) - half > 1 else float("nan")


def _layer_and_input(neurons: int, events: int, batch: int, delay: str) -> tuple[Layer, Spikes]:
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    times = torch.from_numpy(np.sort(rng.uniform(0, 1, (batch, events)), axis=1).ravel())
    units = torch.from_numpy(rng.integers(0, INPUTS, batch * events))
    spikes = Spikes(times, units, torch.arange(batch + 1) * events, INPUTS, 1.0)
    kind: dict[str, Any] = {} if delay == "none" else {"delay": delay, "max_delay": 0.1}
    layer = Layer(Linear(INPUTS, neurons, **kind), LIF(neurons, tau_mem=TAU_MEM, tau_syn=TAU_SYN, train=()))
    if kind:
        init.uniform_delays_(layer, 0.0, 0.1, generator)
    # a mean drive just above the threshold, whatever the rate of events
    mean = 1.1 / (events * TAU_SYN)
    init.normal_(layer, mean, mean, generator)
    return layer, spikes


def _run(neurons: int, events: int, batch: int, delay: str, threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    layer, spikes = _layer_and_input(4, 200, 2, delay)
    layer(spikes).times.sum().backward()  # kernels are loaded
    layer, spikes = _layer_and_input(neurons, events, batch, delay)
    before, seconds = peak_megabytes(), []
    for _ in range(4):
        start = time.perf_counter()
        times = layer(spikes).times
        times.sum().backward()
        seconds.append(time.perf_counter() - start)
    return {
        "seconds": float(np.median(seconds[1:])),
        "megabytes": peak_megabytes() - before,
        "spikes_per_neuron": times.numel() / (batch * neurons),
    }


if __name__ == "__main__":
    print(json.dumps(_run(**json.loads(sys.argv[1]))))

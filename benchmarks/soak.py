"""Hours of training in one process: does memory grow, do steps become slower, are handles left open?

    python benchmarks/soak.py [--hours 2] [--minutes-per-row 1] [--folder DIR] [--out benchmarks/results/soak.json]

Four small networks are trained again and again as `saltation train` does it, with evaluation, checkpoints and pictures:
recurrent with terminals, adaptation and all augmentation, from data in memory; synaptic delays and penalties, from a
store; a convolution with a readout; quadratic neurons with several starts. Every round repeats the same work, so its
results must be equal bit for bit, and its CPU time is comparable with that of any other. Every minute a row is
noted: resident memory, CPU time of a step, open files, threads. At the end: the slope of memory after the first
quarter, and the CPU time of the rounds in the last quarter against the first.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from saltation.data import EventDataset, save_npz, save_store
from saltation.train import load_config, train
from saltation.train.config import Config

SAMPLES, CHANNELS, CLASSES = 320, 196, 4  # the channels are an image of 14 x 14
HIDDEN = {"tau_mem": 0.02, "tau_syn": 0.01, "refractory": 0.002}
READOUT = {"neuron": "li", "tau_mem": 0.1, "tau_syn": 0.005, "weights": {"mean": 0.0, "std": 0.1}}
NETWORKS: dict[str, dict[str, Any]] = {
    "recurrent": {
        "data": {"path": "events.npz"},
        "model": {
            "layers": [
                {
                    **HIDDEN, "size": 128, "terminals": 3, "delay": "axonal", "max_delay": 0.1, "tau_adapt": 0.2,
                    "jump": 0.2, "train": ["threshold", "jump"], "weights": {"drive": 2.0, "std": 8.0},
                    "recurrent": {"delay": "axonal", "max_delay": 0.1, "std": 0.05},
                },
                READOUT,
            ]
        },
        "loss": {"name": "readout", "scale": 100.0},
        "train": {
            "epochs": 3, "batch_size": 32, "jitter": 0.003, "drop": 0.1, "shift": 2, "stretch": 0.1,
            "hidden_drop": 0.1, "blend": 0.2, "bump": {"amount": 0.003},
        },
    },
    "synaptic": {
        "data": {"path": "store"},
        "model": {
            "layers": [
                {**HIDDEN, "size": 48, "delay": "synaptic", "max_delay": 0.1, "weights": {"std": 4.0}},
                {**HIDDEN, "delay": "dendritic", "max_delay": 0.1, "train": ["threshold", "tau_mem"]},
            ]
        },
        "loss": {"name": "first_spike_cross_entropy", "tau": 0.05},
        "train": {
            "epochs": 2, "batch_size": 32, "optimizer": "adamw", "lr": {"tau": 1e-5}, "peak_hinge": 0.1,
            "counts": {"weight": 0.01, "tau": 0.1},
        },
    },
    "convolution": {
        "data": {"path": "store"},
        "model": {
            "image": [1, 14, 14],
            "layers": [{**HIDDEN, "conv": {"channels": 8, "kernel_size": 5, "stride": 2}, "delay": "axonal",
                        "max_delay": 0.05, "train": ["threshold"]}, READOUT],
        },
        "loss": {"name": "readout", "scale": 100.0},
        "train": {"epochs": 2, "batch_size": 32},
    },
}  # fmt: skip
STARTS = {"train.epochs": 3, "train.starts": 2, "train.start_epochs": 1, "data.options": {"sizes": [600, 100, 100]}}


def write_data(folder: Path) -> None:
    """Class c is busy on one quarter of the channels; once in memory, once as a store."""
    rng = np.random.default_rng(0)
    labels = np.arange(SAMPLES) % CLASSES
    busy = rng.random((SAMPLES, 300)) < 0.3
    own = labels[:, None] * (CHANNELS // CLASSES) + rng.integers(0, CHANNELS // CLASSES, busy.shape)
    channels = np.where(busy, own, rng.integers(0, CHANNELS, busy.shape))
    times = np.sort(rng.random(busy.shape), axis=1)
    split = np.where(np.arange(SAMPLES) < SAMPLES * 3 // 4, 0, 2)
    offsets = np.arange(SAMPLES + 1) * busy.shape[1]
    dataset = EventDataset(times.ravel(), channels.ravel(), offsets, labels, split, CHANNELS, CLASSES, 1.0)
    save_npz(folder / "events.npz", dataset)
    save_store(folder / "store", dataset)


def configurations(folder: Path) -> dict[str, Config]:
    """The networks, reading the data of `folder`."""
    configs = {"starts": load_config("yin_yang_qif", {**STARTS, "threads": 0})}
    for name, recipe in NETWORKS.items():
        path = folder / f"{name}.yaml"
        data = {"name": "events", "path": str(folder / recipe["data"]["path"])}
        path.write_text(json.dumps({**recipe, "data": data}), encoding="utf-8")
        configs[name] = load_config(path)
    return configs


def usage() -> dict[str, float]:
    """Resident memory (MiB), open files and threads of this process (Linux)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    return {
        "resident_mib": int(status["VmRSS"].split()[0]) / 1024,
        "own_mib": int(status["RssAnon"].split()[0]) / 1024,
        "files": len(os.listdir("/proc/self/fd")),
        "threads": int(status["Threads"]),
    }


class Log:
    """Rows of usage and CPU times of rounds; written to a file with every row."""

    def __init__(self, path: Path, row_seconds: float) -> None:
        self.path = path
        self.row_seconds = row_seconds
        self.begun = self.noted = time.monotonic()
        self.cpu = time.process_time()
        self.steps = 0  # since the last row
        self.rows: list[dict[str, float]] = []
        self.rounds: list[dict[str, float]] = []  # CPU seconds of every network

    def step(self, *_: Any) -> None:
        """Count a step of an optimizer, and note a row if it is time."""
        self.steps += 1
        now = time.monotonic()
        if now - self.noted < self.row_seconds:
            return
        cpu = time.process_time()
        row = {"minutes": (now - self.begun) / 60, "rounds": len(self.rounds), **usage(), "steps": self.steps}
        row["step_cpu_ms"] = 1000 * (cpu - self.cpu) / self.steps
        self.rows.append(row)
        self.noted, self.cpu, self.steps = now, cpu, 0
        print(" ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
        self.write({})

    def write(self, drift: dict[str, Any]) -> None:
        """All so far."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = {"torch": torch.__version__, "drift": drift, "rows": self.rows, "rounds": self.rounds}
        self.path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def drift(self) -> dict[str, Any]:
        """What changed from the beginning to the end. The first round compiles and is left out."""
        late = self.rows[len(self.rows) // 4 :]
        rounds = self.rounds[1:]
        if len(late) < 2 or len(rounds) < 4:
            return {"error": f"{len(self.rows)} rows and {len(self.rounds)} rounds are too few; give more --hours"}
        hours = np.array([row["minutes"] / 60 for row in late])
        quarter = max(len(rounds) // 4, 1)
        first, last = (
            {name: statistics.median(line[name] for line in part) for name in rounds[0]}
            for part in (rounds[:quarter], rounds[-quarter:])
        )
        return {
            "hours": self.rows[-1]["minutes"] / 60,
            "rounds": len(self.rounds),
            **{
                f"{kind}_mib_per_hour": float(np.polyfit(hours, [row[f"{kind}_mib"] for row in late], 1)[0])
                for kind in ("resident", "own")
            },
            "resident_mib": [late[0]["resident_mib"], late[-1]["resident_mib"]],
            "files": [late[0]["files"], max(row["files"] for row in late)],
            "threads": [late[0]["threads"], max(row["threads"] for row in late)],
            "round_cpu_seconds": [sum(first.values()), sum(last.values())],
            "last_quarter_over_first": {name: last[name] / first[name] for name in first},
        }


def soak(hours: float, folder: Path, log: Log) -> None:
    """Rounds until `hours` are over. Raises RuntimeError if a round ends with other numbers than the first."""
    write_data(folder)
    configs = configurations(folder)
    reached: dict[str, dict[str, Any]] = {}
    while time.monotonic() - log.begun < 3600 * hours:
        seconds = {}
        for name, config in configs.items():
            cpu = time.process_time()
            result = train(config, folder / "run", quiet=True)
            seconds[name] = time.process_time() - cpu
            shutil.rmtree(folder / "run")
            result["seconds"] = 0.0
            if reached.setdefault(name, result) != result:
                raise RuntimeError(f"{name}, round {len(log.rounds) + 1}: {result}, but the first time {reached[name]}")
        log.rounds.append(seconds)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--minutes-per-row", type=float, default=1.0)
    parser.add_argument("--folder", default=None, help="where the data and run folders lie for that time")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/soak.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    log = Log(arguments.out, 60 * arguments.minutes_per_row)
    register_optimizer_step_post_hook(log.step)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        soak(arguments.hours, Path(folder), log)
    drift = log.drift()
    log.write(drift)
    print(json.dumps(drift, indent=1))


if __name__ == "__main__":
    main()

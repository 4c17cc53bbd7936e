"""How fast a store of many samples is read in random order, and how much memory that takes.

    python benchmarks/streaming.py [--samples 100000] [--events 1000] [--folder DIR]

Writes the store (random events, 700 channels, float32 times) piece by piece, reads all of it once in random batches of
64, and prints samples and events per second and what the process grew by. The files stay in the cache of the operating
system if there is room; that is not counted as memory of the process.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from saltation.data import EventDataset, StoreWriter, load_store

PIECE, BATCH = 2000, 64


def own_bytes() -> int:
    """Memory of this process that no file backs (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")))


def write(folder: Path, samples: int, events: int) -> None:
    """Write the store."""
    rng = np.random.default_rng(0)
    with StoreWriter(folder, 700, 20, 1.0, times="float32") as writer:
        for start in range(0, samples, PIECE):
            count = min(PIECE, samples - start)
            times = np.sort(rng.random((count, events)), axis=1).ravel()
            channels = rng.integers(0, 700, count * events)
            labels = rng.integers(0, 20, count)
            offsets = np.arange(count + 1) * events
            writer.add(EventDataset(times, channels, offsets, labels, np.zeros(count, np.int64), 700, 20, 1.0))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--folder", default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        start = time.perf_counter()
        write(Path(place) / "store", arguments.samples, arguments.events)
        print(f"written in {time.perf_counter() - start:.0f} s")
        before = own_bytes()
        store = load_store(Path(place) / "store")
        start, grown, total = time.perf_counter(), 0, 0
        for spikes, _ in store.batches(BATCH, torch.Generator().manual_seed(0)):
            total += len(spikes.times)
            grown = max(grown, own_bytes() - before)
        seconds = time.perf_counter() - start
        print(f"{len(store) / seconds:.0f} samples/s, {total / seconds / 1e6:.1f} million events/s, one thread")
        print(f"memory of its own: at most {grown / 2**20:.0f} MiB more than before")


if __name__ == "__main__":
    main()

"""What time constants cost: W2 of `saltation bench` with shared ones, own ones and trained ones, taking turns.

python benchmarks/time_constants.py --repeats 9
"""

import argparse
import time
from statistics import median

import torch

from saltation import LIF, Layer, losses
from saltation.bench.workloads import TAU_MEM, TAU_SYN, WORKLOADS, Ours

TRAINED = ("tau_mem", "tau_syn")
KINDS = {  # whether each neuron has its own, and what is trained
    "shared": (False, ()),
    "shared, trained": (False, TRAINED),
    "own": (True, ()),
    "own, trained": (True, TRAINED),
}


def make(scale: float, own: bool, train: tuple[str, ...]) -> Ours:
    """W2 with these time constants: own ones lie up to a quarter off."""
    ours, size = Ours(WORKLOADS["W2"], scale), WORKLOADS["W2"].hidden
    generator = torch.Generator().manual_seed(3)
    spread = 0.75 + 0.5 * torch.rand(2, size, generator=generator, dtype=torch.float64) if own else torch.ones(2, 1)
    taus = [tau * factor if own else tau for tau, factor in zip((TAU_MEM, TAU_SYN), spread, strict=True)]
    ours.hidden = Layer(ours.hidden.connection, LIF(size, *taus, train=train))
    return ours


def step(ours: Ours) -> tuple[float, float]:
    """CPU seconds of the hidden layer's forward pass, and of all the rest of a batch."""
    start = time.process_time()
    spikes = ours.hidden(ours.spikes)
    middle = time.process_time()
    for layer in (ours.hidden, ours.readout):
        layer.zero_grad()
    losses.readout_cross_entropy(ours.readout(spikes).integral(), ours.labels).backward()
    return middle - start, time.process_time() - middle


def main() -> None:
    """Print the medians and the ratios to shared time constants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    scale = Ours(WORKLOADS["W2"]).scale
    contestants = {name: make(scale, *kind) for name, kind in KINDS.items()}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for turn in range(repeats + 1):
        for name, ours in contestants.items():
            taken = step(ours)
            if turn > 0:  # the first one compiles
                seconds[name].append(taken)
    print(f"{'':16} {'forward':>8} {'rest':>8} {'all':>8} {'ratio':>6}   CPU ms")
    totals = {name: median(map(sum, values)) for name, values in seconds.items()}
    for name, values in seconds.items():
        parts = [1e3 * median(part) for part in zip(*values, strict=True)]
        ratio = totals[name] / totals["shared"]
        print(f"{name:16} {parts[0]:8.1f} {parts[1]:8.1f} {1e3 * totals[name]:8.1f} {ratio:6.2f}")


if __name__ == "__main__":
    main()

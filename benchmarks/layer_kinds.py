"""What kinds of hidden layers cost: W2 of `saltation bench` with one kind after the other, taking turns.

python benchmarks/layer_kinds.py taus --repeats 9         time constants: shared, own, trained
python benchmarks/layer_kinds.py recurrence --repeats 5   recurrent, with delays of each kind
"""

import argparse
import time
from statistics import median
from typing import Any

import torch

from saltation import LIF, Layer, Linear, init, losses
from saltation.bench.workloads import TAU_MEM, TAU_SYN, WORKLOADS, Ours

TRAINED = ("tau_mem", "tau_syn")
TAUS = {  # whether each neuron has its own, and what is trained
    "shared": (False, ()),
    "shared, trained": (False, TRAINED),
    "own": (True, ()),
    "own, trained": (True, TRAINED),
}
DELAYS = ("axonal", "dendritic", "synaptic")
LONGEST = 0.1  # s


def with_taus(ours: Ours, own: bool, train: tuple[str, ...]) -> Layer:
    """The hidden layer of W2 with these time constants: own ones lie up to a quarter off."""
    generator, size = torch.Generator().manual_seed(3), ours.workload.hidden
    spread = 0.75 + 0.5 * torch.rand(2, size, generator=generator, dtype=torch.float64) if own else torch.ones(2, 1)
    taus = [tau * factor if own else tau for tau, factor in zip((TAU_MEM, TAU_SYN), spread, strict=True)]
    return Layer(ours.hidden.connection, LIF(size, *taus, train=train))


def recurrent(ours: Ours, delay: str) -> Layer:
    """The hidden layer of W2 with recurrent weights of mean zero and trained delays, at every connection, of this kind:
    it spikes about as often as without them.
    """
    generator, size = torch.Generator().manual_seed(3), ours.workload.hidden
    delays: dict[str, Any] = {"delay": delay, "max_delay": LONGEST}
    layer = Layer(
        Linear(ours.workload.inputs, size, **delays),
        LIF(size, TAU_MEM, TAU_SYN, train=()),
        Linear(size, size, **delays),
    )
    init.uniform_delays_(layer, 0.0, LONGEST, generator)
    assert layer.recurrent is not None
    with torch.no_grad():
        layer.connection.weight.copy_(ours.hidden.connection.weight)
        layer.recurrent.weight.copy_(ours.scale * torch.randn(size, size, generator=generator))
    return layer


def make(what: str, scale: float) -> dict[str, Ours]:
    """The contestants, the first of which the others are held against."""
    found = {}
    for name in TAUS if what == "taus" else DELAYS:
        ours = found[name] = Ours(WORKLOADS["W2"], scale)
        ours.hidden = with_taus(ours, *TAUS[name]) if what == "taus" else recurrent(ours, name)
    return found


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
    """Print the medians and the ratios to the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("taus", "recurrence"))
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    contestants = make(arguments.what, Ours(WORKLOADS["W2"]).scale)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for turn in range(arguments.repeats + 1):
        for name, ours in contestants.items():
            taken = step(ours)
            if turn > 0:  # the first one compiles
                seconds[name].append(taken)
    print(f"{'':16} {'spikes':>7} {'forward':>8} {'rest':>8} {'all':>8} {'ratio':>6}   CPU ms")
    totals = {name: median(map(sum, values)) for name, values in seconds.items()}
    first = next(iter(totals.values()))
    for name, values in seconds.items():
        parts = [1e3 * median(part) for part in zip(*values, strict=True)]
        spikes = contestants[name].spikes_per_neuron()
        print(
            f"{name:16} {spikes:7.1f} {parts[0]:8.1f} {parts[1]:8.1f} {1e3 * totals[name]:8.1f}"
            f" {totals[name] / first:6.2f}"
        )


if __name__ == "__main__":
    main()

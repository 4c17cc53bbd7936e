"""Seconds per epoch and memory of a network of the size used for spoken digits (SHD), on generated data of that shape.

    python benchmarks/shd_shape.py [--threads N]

700 channels, 8,000 spikes a sample in 1 s, two hidden layers of 256 LIF neurons with trained synaptic delays of up to
100 ms at 10 spikes a neuron, 20 leaky integrators; an epoch is 8,156 samples, in batches of 32. A few batches are
timed, forward and backward; processor time, so that a busy machine does not count.
"""

import argparse
import resource
import time

import torch

import saltation as sal
from saltation.bench.workloads import TAU_MEM, TAU_SYN, calibrate

CHANNELS, SPIKES, HIDDEN, CLASSES, DURATION, MAX_DELAY = 700, 8000, 256, 20, 1.0, 0.1
BATCH, EPOCH, RATE = 32, 8156, 10.0


def batch(generator: torch.Generator) -> sal.Spikes:
    """One batch of input."""
    times = (torch.rand(BATCH, SPIKES, generator=generator, dtype=torch.float64) * DURATION).sort(1).values
    units = torch.randint(0, CHANNELS, (BATCH, SPIKES), generator=generator)
    return sal.Spikes(times.flatten(), units.flatten(), torch.arange(BATCH + 1) * SPIKES, CHANNELS, DURATION)


def layer(inputs: int, spikes: sal.Spikes, generator: torch.Generator) -> sal.Layer:
    """A hidden layer whose neurons spike RATE times a second."""
    connection = sal.Linear(inputs, HIDDEN, delay="synaptic", max_delay=MAX_DELAY)
    made = sal.Layer(connection, sal.LIF(HIDDEN, tau_mem=TAU_MEM, tau_syn=TAU_SYN, train=("threshold",)))
    sal.init.uniform_delays_(made, 0.0, MAX_DELAY, generator)
    sal.init.normal_(made, 1.0, 1.0, generator)
    unscaled = connection.weight.detach().clone()

    def set_scale(scale: float) -> None:
        with torch.no_grad():
            connection.weight.copy_(scale * unscaled)

    def rate() -> float:
        with torch.no_grad():
            return made(spikes).times.numel() / (spikes.num_samples * HIDDEN * DURATION)

    set_scale(calibrate(set_scale, rate, RATE))
    return made


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    generator = torch.Generator().manual_seed(0)
    spikes = batch(generator)
    first = layer(CHANNELS, spikes.sample(0), generator)
    second = layer(HIDDEN, first(spikes.sample(0)).detach(), generator)
    readout = sal.Layer(sal.Linear(HIDDEN, CLASSES), sal.LI(CLASSES, tau_mem=TAU_MEM, tau_syn=TAU_SYN))
    network = sal.Sequential(first, second, readout)
    labels = torch.randint(0, CLASSES, (BATCH,), generator=generator)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    processor, wall = [], []
    for _ in range(arguments.batches + 1):
        start = time.process_time(), time.perf_counter()
        sal.losses.readout_cross_entropy(network(spikes).integral(), labels).backward()
        processor.append(time.process_time() - start[0])
        wall.append(time.perf_counter() - start[1])
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    batches = EPOCH / BATCH
    print(f"{arguments.threads} threads; a batch of {BATCH}: {min(processor[1:]):.2f} s of processor time,")
    print(
        f"{min(wall[1:]):.2f} s on the clock; {EPOCH} samples: {batches * min(processor[1:]):.0f} s of processor time,"
    )
    print(f"{batches * min(wall[1:]):.0f} s on the clock; memory added by a batch {added:.0f} MB")


if __name__ == "__main__":
    main()

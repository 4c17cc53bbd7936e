"""A convolution whose places share their neurons against one with a neuron of its own for every output, side by side.

    python benchmarks/convolution.py [--repeats 5]

Two layers as for latency-coded MNIST (28 x 28, 125 random events a sample, batch of 128, one spike per neuron), forward
and backward pass on one thread. Both give the same spikes; the runs take turns, and the ratio is that of medians.
"""

import argparse
import math
import statistics
import time

import torch

import saltation as sal

SAMPLES, EVENTS = 128, 125


def images(generator: torch.Generator) -> sal.Spikes:
    """Random pixels at random times."""
    times = 2.0 * torch.rand(SAMPLES, EVENTS, generator=generator, dtype=torch.float64).sort(1).values
    units = torch.randint(0, 784, (SAMPLES * EVENTS,), generator=generator)
    return sal.Spikes(times.flatten(), units, EVENTS * torch.arange(SAMPLES + 1), 784, 6.0)


def network(channels: tuple[int, int], shared: bool, spikes: sal.Spikes) -> sal.Sequential:
    """Two convolutions that fire from the start; the same weights whichever neurons they have."""
    generator, layers, shape = torch.Generator().manual_seed(1), [], (1, 28, 28)
    for count, kernel, stride in zip(channels, (5, 3), (3, 2), strict=True):
        connection = sal.Conv2d(shape, count, kernel, stride)
        size = count if shared else connection.out_size
        layer = sal.Layer(connection, sal.LIF(size, tau_mem=2.0, tau_syn=1.0, refractory=math.inf))
        sal.init.drive_(layer, spikes, generator, drive=2.0, std=4.0)
        with torch.no_grad():
            spikes = layer(spikes)
        layers.append(layer)
        shape = connection.out_shape
    return sal.Sequential(*layers)


def seconds(model: sal.Sequential, spikes: sal.Spikes) -> tuple[float, int]:
    """Of a forward and backward pass; and the number of output spikes."""
    start = time.perf_counter()
    times = model(spikes).times
    times.sum().backward()
    return time.perf_counter() - start, times.numel()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    spikes = images(torch.Generator().manual_seed(0))
    for channels in ((12, 24), (32, 64)):
        models = [network(channels, shared, spikes) for shared in (True, False)]
        counts = {seconds(model, spikes)[1] for model in models}  # compiles, too
        if len(counts) > 1:
            raise RuntimeError(f"the two give {counts} spikes: they must be the same")
        taken = [[seconds(model, spikes)[0] for model in models] for _ in range(repeats)]
        shared, own = (1e3 * statistics.median(column) for column in zip(*taken, strict=True))
        print(f"{channels} channels: shared {shared:.0f} ms, own {own:.0f} ms, {own / shared:.1f} x, {counts} spikes")


if __name__ == "__main__":
    main()

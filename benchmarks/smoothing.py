"""What the smoothed gradient costs: training steps of a recipe with and without it, in turn.

    python benchmarks/smoothing.py [braille] [--epochs 2] [--smoothings 0.1 0.2] [--rounds 4]

Trains for so many epochs first. Then prints CPU time of a step without smoothing, and for each smoothing near misses a
spike, and the time forward, backward and of a step over those without: of each batch the shortest of so many rounds.
Needs the recipe's data (a data root in SALTATION_DATA).
"""

import argparse
import time
from functools import partial
from typing import Any

import numpy as np
import torch

from saltation.train import load_config
from saltation.train.batch import own_samples, sent_on
from saltation.train.loop import forward, train_epoch
from saltation.train.processes import ALONE
from saltation.train.progress import Progress
from saltation.train.run import Origin, load_data
from saltation.train.training import Training

BATCHES = 6


def step(training: Training, model: Any, batch: tuple[Any, Any]) -> tuple[list[float], float]:
    """Seconds forward, backward and of both; near misses a spike."""
    settings, generator = training.config.train, torch.Generator().manual_seed(0)
    between = partial(sent_on, settings=settings, generator=generator, processes=ALONE)
    model.zero_grad()
    start = time.process_time()
    total, _, _, results = forward(model, training.objective, *batch, between, 1.0)
    middle = time.process_time()
    total.backward()
    end = time.process_time()
    spikes = results[0].spikes
    ghosts = 0 if spikes.ghosts is None else spikes.ghosts.times.numel()
    return [middle - start, end - middle, end - start], ghosts / spikes.times.numel()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="braille")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--smoothings", type=float, nargs="*", default=[0.1, 0.2])
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = load_config(arguments.recipe)
    dataset = load_data(config.data, False)
    training = Training(config, dataset, Origin.of(config, dataset), ALONE, True)
    state, data = training.begun(), training.samples
    with Progress(arguments.epochs, 0, len(data), True, True) as progress:
        for _ in range(arguments.epochs):
            train_epoch(config, training.objective, data, state, progress)
            state.epoch += 1
    generator = torch.Generator().manual_seed(0)
    orders = data.orders(config.train.batch_size, generator)
    batches = [own_samples(data, next(orders), config, generator, ALONE) for _ in range(BATCHES)]
    smoothings, layer = [0.0, *arguments.smoothings], state.model[0]
    seconds = np.empty((1 + arguments.rounds, BATCHES, len(smoothings), 3))
    misses = np.empty((BATCHES, len(smoothings)))
    for r, i in np.ndindex(seconds.shape[:2]):
        for k in range(len(smoothings))[:: 1 if (r + i) % 2 else -1]:
            layer.smoothing = smoothings[k]
            seconds[r, i, k], misses[i, k] = step(training, state.model, batches[i])
    shortest = seconds[1:].min(0).mean(0)  # of the first round the kernels may be new
    print("without: forward {:.1f}, backward {:.1f}, step {:.1f} ms".format(*(1e3 * shortest[0])))
    for k in range(1, len(smoothings)):
        times = "forward {:.2f}, backward {:.2f}, step {:.2f}".format(*(shortest[k] / shortest[0]))
        print(f"smoothing {smoothings[k]:g}, {misses[:, k].mean():.1f} near misses a spike: times {times}")


if __name__ == "__main__":
    main()

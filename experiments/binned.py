"""A yardstick for recipes on events: convolutions over time on binned events, no spikes.

    python experiments/binned.py spoken_digits --dt 0.02 --convolutions 2 --epochs 40

The same samples, split and random changes as the recipe; every convolution has 128 filters over 9 bins with stride 2,
batch normalisation and dropout, and the last one's mean over time is read out. Prints the validation accuracy; the test
samples are left alone. Data root: SALTATION_DATA.
"""

import argparse
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from saltation.data.samples import Samples
from saltation.train import load_config
from saltation.train.batch import augmented
from saltation.train.config import Config
from saltation.train.run import load_data

FILTERS, BINS, BATCH = 128, 9, 64


def network(channels: int, classes: int, convolutions: int) -> nn.Module:
    """Logits (B, classes) of counts (B, channels, T)."""
    layers: list[nn.Module] = []
    for _ in range(convolutions):
        layers += [nn.Conv1d(channels, FILTERS, BINS, stride=2, padding=BINS // 2), nn.BatchNorm1d(FILTERS), nn.ReLU()]
        channels = FILTERS
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(FILTERS, classes))


def batches(
    data: Samples, config: Config, dt: float, generator: torch.Generator | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Counts (B, channels, T) and labels; with a generator in random order and changed at random."""
    for spikes, labels in data.batches(BATCH, generator):
        if generator is not None:
            spikes = augmented(spikes, labels, config.train, config.model.image, generator)
        yield spikes.to_dense(dt, time_first=False).transpose(1, 2), labels


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--dt", type=float, default=0.02, help="of a bin")
    parser.add_argument("--convolutions", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    config = load_config(arguments.recipe)
    dataset = load_data(config.data)
    train, validation = dataset.subset("train"), dataset.subset("validation")
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    model = network(dataset.num_channels, dataset.num_classes, arguments.convolutions)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    steps = arguments.epochs * -(-len(train) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for epoch in range(arguments.epochs):
        model.train()
        for counts, labels in batches(train, config, arguments.dt, generator):
            loss = nn.functional.cross_entropy(model(counts), labels, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.no_grad():
            found = torch.cat([model(counts).argmax(1) for counts, _ in batches(validation, config, arguments.dt)])
        accuracy = (found.numpy() == validation.labels).mean()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}, validation {100 * accuracy:.1f} %", flush=True)


if __name__ == "__main__":
    main()

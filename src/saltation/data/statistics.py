"""What a data set looks like in numbers."""

import numpy as np

from saltation.data.samples import Samples
from saltation.data.validate import SPLIT_NAMES

CHUNK = 1024  # samples read at once


def statistics(dataset: Samples) -> list[str]:
    """Lines of text: sizes, events per sample, rates per channel, times, classes."""
    counts = np.empty(len(dataset), np.int64)
    per_channel = np.zeros(dataset.num_channels, np.int64)
    first, last = np.inf, 0.0
    for start in range(0, len(dataset), CHUNK):
        spikes, _ = dataset.batch(np.arange(start, min(start + CHUNK, len(dataset))))
        counts[start : start + CHUNK] = spikes.offsets.diff().numpy()
        per_channel += np.bincount(spikes.units.numpy(), minlength=dataset.num_channels)
        first = min(first, spikes.times.numpy().min(initial=np.inf))
        last = max(last, spikes.times.numpy().max(initial=0.0))
    rates = per_channel / max(len(dataset) * dataset.duration, 1e-300)
    labels = np.bincount(dataset.labels, minlength=dataset.num_classes)
    splits = ", ".join(f"{np.sum(dataset.split == code)} {name}" for code, name in enumerate(SPLIT_NAMES))
    fewest, most = (int(counts.min()), int(counts.max())) if len(counts) else (0, 0)
    mean = counts.mean() if len(counts) else 0.0
    return [
        f"source             {dataset.source}",
        f"samples            {len(dataset)}: {splits}",
        f"events             {counts.sum()}",
        f"events per sample  mean {mean:.1f}, {fewest} to {most}; {np.sum(counts == 0)} empty",
        f"channels           {dataset.num_channels}; {(per_channel == 0).sum()} never fire",
        f"rate per channel   mean {rates.mean():.4g}, largest {rates.max():.4g} (channel {rates.argmax()}); per time",
        f"times              from {min(first, last):g} to {last:g}; a sample is simulated for {dataset.duration:g}",
        f"classes            {dataset.num_classes}; {labels.min()} to {labels.max()} samples each",
    ]

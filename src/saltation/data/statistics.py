"""What a data set looks like in numbers."""

import numpy as np

from saltation.data.events import EventDataset
from saltation.data.validate import SPLIT_NAMES


def statistics(dataset: EventDataset) -> list[str]:
    """Lines of text: sizes, events per sample, rates per channel, times, classes."""
    counts = np.diff(dataset.offsets)
    per_channel = np.bincount(dataset.channels, minlength=dataset.num_channels)
    rates = per_channel / max(len(dataset) * dataset.duration, 1e-300)
    labels = np.bincount(dataset.labels, minlength=dataset.num_classes)
    splits = ", ".join(f"{np.sum(dataset.split == code)} {name}" for code, name in enumerate(SPLIT_NAMES))
    first, last = (float(edge) for edge in (dataset.times.min(initial=0.0), dataset.times.max(initial=0.0)))
    return [
        f"source             {dataset.source}",
        f"samples            {len(dataset)}: {splits}",
        f"events             {len(dataset.times)}",
        f"events per sample  mean {counts.mean():.1f}, {counts.min()} to {counts.max()}; {(counts == 0).sum()} empty",
        f"channels           {dataset.num_channels}; {(per_channel == 0).sum()} never fire",
        f"rate per channel   mean {rates.mean():.4g}, largest {rates.max():.4g} (channel {rates.argmax()}); per time",
        f"times              from {first:g} to {last:g}; a sample is simulated for {dataset.duration:g}",
        f"classes            {dataset.num_classes}; {labels.min()} to {labels.max()} samples each",
    ]

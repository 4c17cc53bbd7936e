"""Time constants and delays from the durations of recordings and the intervals between their events."""

import math
from dataclasses import dataclass

import numpy as np

from saltation.data.samples import Samples

LOOKED_AT = 512  # samples
# What worked for the recipes of Braille, spoken digits, N-MNIST and Japanese vowels, as multiples of what is measured.
INTERVALS = 1.5  # tau_mem in intervals between events of one channel,
SHORTEST, LONGEST = 1 / 30, 1 / 4  # but no less and no more than these fractions of a recording


@dataclass(frozen=True)
class Scales:
    """Of training samples. span: how long nine of ten go on at most; interval: median between events of one channel of
    a sample; events: a sample, on average; channels: how many of them have events. The rest follows from these.
    """

    span: float
    interval: float
    events: float
    channels: int

    @property
    def tau_mem(self) -> float:
        """Of hidden neurons."""
        return rounded(min(max(INTERVALS * self.interval, SHORTEST * self.span), LONGEST * self.span))

    @property
    def tau_syn(self) -> float:
        """Of hidden neurons."""
        return rounded(0.4 * self.tau_mem)

    @property
    def max_delay(self) -> float:
        """The largest axonal delay."""
        return rounded(0.4 * self.span)

    @property
    def readout(self) -> float:
        """tau_mem of the readout."""
        return rounded(0.1 * self.span)


def measure(samples: Samples) -> Scales:
    """From training samples spread evenly over all there are. Raises ValueError if they have no events at all."""
    chosen = np.flatnonzero(samples.split == 0)
    chosen = chosen[np.unique(np.linspace(0, len(chosen) - 1, min(LOOKED_AT, len(chosen))).astype(int))]
    spikes, _ = samples.batch(chosen)
    times, units = spikes.times.numpy(), spikes.units.numpy()
    counts = np.diff(spikes.offsets.numpy())
    if not len(times) or not times.max() > 0:
        raise ValueError(
            f"{samples.source} has training samples without events after time 0; there is nothing to learn"
        )
    ends = spikes.offsets.numpy()[1:][counts > 0] - 1
    span = float(np.quantile(times[ends], 0.9)) or float(times.max())
    lane = np.repeat(np.arange(len(counts)), counts) * samples.num_channels + units
    order = np.lexsort((times, lane))
    gaps = np.diff(times[order])[np.diff(lane[order]) == 0]
    gaps = gaps[gaps > 0]
    interval = float(np.median(gaps)) if len(gaps) else span
    return Scales(span, interval, float(counts.mean()), len(np.unique(units)))


def rounded(value: float) -> float:
    """To two digits."""
    return 0.0 if value == 0.0 else round(value, 1 - math.floor(math.log10(abs(value))))

"""Which spike stands for which: spikes of one train paired with those of another."""

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from saltation.spikes import Spikes


class Match(NamedTuple):
    """errors: found minus wanted time of every pair; wanted, found: how many spikes there were to pair."""

    errors: np.ndarray
    wanted: int
    found: int

    def summary(self) -> dict[str, Any]:
        """Numbers for a table. matched: share of the wanted spikes that have a partner; surplus: spikes without one,
        over those wanted; rms, median, largest: of the sizes of the errors, None without a pair.
        """
        sizes, wanted = np.abs(self.errors), max(self.wanted, 1)
        paired = len(sizes) > 0
        return {
            "wanted": self.wanted,
            "found": self.found,
            "matched": len(sizes) / wanted,
            "surplus": (self.found - len(sizes)) / wanted,
            "rms": float(np.sqrt(np.mean(sizes**2))) if paired else None,
            "median": float(np.median(sizes)) if paired else None,
            "largest": float(sizes.max()) if paired else None,
        }


def errors(found: np.ndarray, wanted: np.ndarray, window: float) -> np.ndarray:
    """Found minus wanted time of the pairs of two trains: each spike in at most one pair, those of a pair less than
    `window` apart, and the sum of min(|error|, window) over the wanted spikes as small as it can be.
    """
    if not len(found) or not len(wanted):
        return np.empty(0)
    difference = found[None, :] - wanted[:, None]
    rows, columns = linear_sum_assignment(np.minimum(np.abs(difference), window))
    chosen = difference[rows, columns]
    return chosen[np.abs(chosen) < window]


def match(found: Spikes, wanted: Spikes, window: float) -> Match:
    """All trains of a batch, each with its own."""
    ours, theirs = _trains(found), _trains(wanted)
    pairs = [errors(one, other, window) for one, other in zip(ours, theirs, strict=True)]
    return Match(np.concatenate(pairs), wanted.times.numel(), found.times.numel())


def _trains(spikes: Spikes) -> list[np.ndarray]:
    """The times of each unit in each sample."""
    index, times = spikes.train_index().numpy(), spikes.times.detach().numpy()
    order = np.argsort(index, kind="stable")
    bounds = np.searchsorted(index[order], np.arange(1, spikes.num_samples * spikes.num_units))
    return np.split(times[order], bounds)

"""saltation.experiments.matching: pairs of spikes, against all pairings there are."""

from itertools import permutations

import numpy as np
import pytest
import torch

import saltation as sal
from saltation.experiments.matching import errors, match


def cheapest(found, wanted, window):
    """Least sum of min(|error|, window) over the wanted spikes, all ways tried."""
    slots = [*range(len(found)), *[None] * len(wanted)]
    return min(
        sum(window if slot is None else min(abs(found[slot] - w), window) for slot, w in zip(way, wanted, strict=True))
        for way in permutations(slots, len(wanted))
    )


@pytest.mark.parametrize("seed", range(12))
def test_pairs_are_the_cheapest(seed):
    rng = np.random.default_rng(seed)
    found, wanted = (np.sort(4 * rng.random(n)) for n in rng.integers(1, 5, 2))
    made = errors(found, wanted, 0.7)
    assert (np.abs(made) < 0.7).all()
    total = np.abs(made).sum() + 0.7 * (len(wanted) - len(made))
    assert total == pytest.approx(cheapest(found, wanted, 0.7))


def test_trains_are_paired_each_with_its_own():
    wanted = sal.Spikes.from_lists([[(1.0, 0), (3.0, 0), (2.0, 1)], [(5.0, 1)]], 2, 9.0)
    found = sal.Spikes.from_lists([[(1.5, 0), (2.0, 0)], [(5.0, 0), (4.75, 1), (4.0, 1)]], 2, 9.0)
    summary = match(found, wanted, 0.9).summary()
    assert (summary["wanted"], summary["found"]) == (4, 5)
    assert summary["matched"] == 2 / 4 and summary["surplus"] == 3 / 4  # 1.5 for 1, 4.75 for 5
    assert summary["rms"] == pytest.approx(((0.5**2 + 0.25**2) / 2) ** 0.5)
    assert summary["median"] == 0.375 and summary["largest"] == 0.5


def test_nothing_to_pair():
    silent = sal.Spikes.silent(2, 3, 1.0)
    summary = match(silent, silent, 0.1).summary()
    assert summary["rms"] is None and summary["matched"] == 0.0 and summary["surplus"] == 0.0
    one = sal.Spikes(torch.tensor([0.5]).double(), torch.tensor([1]), torch.tensor([0, 1, 1]), 3, 1.0)
    assert match(one, silent, 0.1).summary()["surplus"] == 1.0

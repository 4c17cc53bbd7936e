"""What each place of a convolution sees (README.md, section 4): the events of its patch, by kernel element."""

from typing import NamedTuple

import numpy as np

from .jit import kernel


class Reach(NamedTuple):
    """Where an event of input i is seen: as element[k] of the patch of place[k], start[i] <= k < start[i + 1]."""

    start: np.ndarray
    place: np.ndarray
    element: np.ndarray


@kernel
def count_seen(events, reach, places, counts):
    """Add to counts (B places,) how many events each place of each sample sees."""
    for b in range(events.offsets.size - 1):
        for e in range(events.offsets[b], events.offsets[b + 1]):
            i = events.units[e]
            for k in range(reach.start[i], reach.start[i + 1]):
                counts[b * places + reach.place[k]] += 1


@kernel
def list_seen(events, reach, places, position, event, element):
    """Fill event and element: for each place of each sample what it sees, in the order of time.

    position (B places,): where the entries of each begin; moved to their ends.
    """
    for b in range(events.offsets.size - 1):
        for e in range(events.offsets[b], events.offsets[b + 1]):
            i = events.units[e]
            for k in range(reach.start[i], reach.start[i + 1]):
                cell = b * places + reach.place[k]
                m = position[cell]
                event[m], element[m] = e, reach.element[k]
                position[cell] = m + 1

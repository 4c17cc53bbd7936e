"""Arrivals that are still to come, the next one always at hand: a binary heap."""

from math import inf
from typing import NamedTuple

import numpy as np

from .jit import borrowing, kernel


class Heap(NamedTuple):
    """time, source (room,): arrival k is not later than 2k + 1 and 2k + 2; size (1,): how many there are.

    Of equal times the smaller source comes first.
    """

    time: np.ndarray
    source: np.ndarray
    size: np.ndarray


@kernel
def new_heap(room):
    """None yet."""
    return Heap(np.empty(room), np.empty(room, np.int64), np.zeros(1, np.int64))


@borrowing
def next_time(heap):
    """When the next one comes; inf if none does."""
    return heap.time[0] if heap.size[0] > 0 else inf


@borrowing
def add(time, source, heap):
    """One more; there must be room."""
    times, sources, k = heap.time, heap.source, heap.size[0]
    heap.size[0] += 1
    while k > 0:
        up = (k - 1) // 2
        if times[up] < time or (times[up] == time and sources[up] <= source):
            break
        times[k], sources[k] = times[up], sources[up]
        k = up
    times[k], sources[k] = time, source


@borrowing
def take(heap):
    """Remove the next one, which there must be; returns its source."""
    times, sources, k = heap.time, heap.source, 0
    found, size = sources[0], heap.size[0] - 1
    heap.size[0] = size
    time, source = times[size], sources[size]
    while 2 * k + 1 < size:
        down = 2 * k + 1
        right = down + 1
        if right < size and (
            times[right] < times[down] or (times[right] == times[down] and sources[right] < sources[down])
        ):
            down = right
        if time < times[down] or (time == times[down] and source <= sources[down]):
            break
        times[k], sources[k] = times[down], sources[down]
        k = down
    times[k], sources[k] = time, source
    return found

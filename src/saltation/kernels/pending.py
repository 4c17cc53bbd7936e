"""Queues of arrivals that are still to come."""

from typing import NamedTuple

import numpy as np

from .jit import kernel

FIRST_QUEUE = 64


class Queue(NamedTuple):
    """Sorted arrivals, one row a neuron, or one for all where their order is the same.

    time, source (rows, room); in row r those from head[r] to tail[r] - 1 are still to come.
    """

    time: np.ndarray
    source: np.ndarray
    head: np.ndarray
    tail: np.ndarray


@kernel
def new_queue(rows, room):
    """An empty queue."""
    head, tail = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    return Queue(np.empty((rows, room)), np.empty((rows, room), np.int64), head, tail)


@kernel
def larger(queue):
    """The same queue with twice the room."""
    rows, room = queue.time.shape
    copy = new_queue(rows, 2 * room)
    copy.time[:, :room], copy.source[:, :room] = queue.time, queue.source
    copy.head[:], copy.tail[:] = queue.head, queue.tail
    return copy


@kernel
def push(queue, r, time, source):
    """Insert an arrival into row r, behind those of the same time; there must be room, if need be at the front."""
    head, tail = queue.head[r], queue.tail[r]
    times, sources = queue.time[r], queue.source[r]
    if tail == times.size:
        for k in range(head, tail):
            times[k - head], sources[k - head] = times[k], sources[k]
        head, tail = 0, tail - head
    k = tail
    while k > head and times[k - 1] > time:
        times[k], sources[k] = times[k - 1], sources[k - 1]
        k -= 1
    times[k], sources[k] = time, source
    queue.head[r], queue.tail[r] = head, tail + 1


@kernel
def consume(queue, t):
    """Drop what arrived before t."""
    for r in range(queue.head.size):
        while queue.head[r] < queue.tail[r] and queue.time[r, queue.head[r]] < t:
            queue.head[r] += 1

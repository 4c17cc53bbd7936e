"""Queues of arrivals that are still to come."""

from typing import NamedTuple

import numpy as np

from .arrivals import collect, sort_arrivals
from .jit import borrowing, kernel

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


@borrowing
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


@borrowing
def consume(queue, t):
    """Drop what arrived before t."""
    for r in range(queue.head.size):
        while queue.head[r] < queue.tail[r] and queue.time[r, queue.head[r]] < t:
            queue.head[r] += 1


@kernel
def send(T, j, feedback, duration, queue):
    """Queue all arrivals of a spike of neuron j at T; returns the queue, which may be a larger one."""
    stride = 1 if feedback.delay.size > 1 else 0
    for k in range(feedback.start[j], feedback.start[j + 1]):
        n, s = feedback.target[k], feedback.synapse[k]
        time = T + feedback.delay[s * stride]
        if time < duration:
            if queue.tail[n] - queue.head[n] == queue.time.shape[1]:
                queue = larger(queue)
            push(queue, n, time, s)
    return queue


class Collected(NamedTuple):
    """Scratch for sorting: events by input (start, event), the cause of each arrival, copies, bins."""

    start: np.ndarray
    event: np.ndarray
    cause: np.ndarray
    time_copy: np.ndarray
    source_copy: np.ndarray
    bins: np.ndarray


@kernel
def new_collected(inputs, longest):
    """Room for `longest` events of so many inputs."""
    start, event = np.empty(inputs + 1, np.int64), np.empty(longest, np.int64)
    cause, source_copy = np.empty(longest, np.int64), np.empty(longest, np.int64)
    return Collected(start, event, cause, np.empty(longest), source_copy, np.empty(longest + 1, np.int64))


@borrowing
def fill_inputs(r, n, events, b, projection, duration, inputs, collected):
    """Row r: all arrivals of the input spikes of sample b at neuron n, in order, by synapse. Returns how many."""
    time, source = inputs.time[r], inputs.source[r]
    count = collect(
        projection.wiring, n, events, b, projection, duration, collected.start, collected.event, time, source,
        collected.cause,
    )  # fmt: skip
    sort_arrivals(count, time, source, collected.time_copy, collected.source_copy, collected.bins)
    inputs.head[r], inputs.tail[r] = 0, count
    return count

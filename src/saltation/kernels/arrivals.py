"""The order of events: of arrivals at a neuron, and of the spikes that leave a layer (README.md, section 4)."""

import numpy as np

from .jit import borrowing, embedded, generic, generic_borrowing, implements, kernel
from .layout import NUM_COLUMNS, TIME, Full, Wiring

# Above this many arrivals in one time bin insertion sort would be slow; a merge sort takes over.
CROWDED = 64
# Up to this many arrivals insertion sort alone is fastest.
FEW = 12


@kernel
def longest_sample(events, first, last):
    """The largest number of events in one of the samples first..last - 1."""
    longest = 0
    for b in range(first, last):
        longest = max(longest, events.offsets[b + 1] - events.offsets[b])
    return longest


@kernel
def group_by(number, keys, start, order):
    """Counting sort: order[start[c]:start[c + 1]] are the positions m < number with keys[m] = c, rising.

    start (number of keys + 1,), order (number,): filled.
    """
    start[:] = 0
    for m in range(number):
        start[keys[m] + 1] += 1
    for c in range(start.size - 1):
        start[c + 1] += start[c]
    for m in range(number):
        order[start[keys[m]]] = m
        start[keys[m]] += 1
    for c in range(start.size - 1, 0, -1):
        start[c] = start[c - 1]
    start[0] = 0


@kernel
def events_by_input(events, b, start, event):
    """event[start[i]:start[i + 1]] are the events of input i in sample b, in order; start (M + 1,), event: filled."""
    begin, end = events.offsets[b], events.offsets[b + 1]
    group_by(end - begin, events.units[begin:end], start, event)
    event[: end - begin] += begin


@generic
def group_inputs(wiring, events, b, start, event):
    """What `collect` needs to know of sample b: fills start (inputs + 1,) and event."""


@generic_borrowing
def collect(wiring, n, events, b, projection, duration, start, event, arrival, synapse, cause):
    """Fill arrival, synapse and cause (the event) with what reaches neuron n in sample b before the end, in any order;
    returns how many.
    """


@implements(group_inputs, Full)
@borrowing
def _group_nothing(wiring, events, b, start, event):
    """All events reach all neurons."""


@implements(collect, Full)
@borrowing
def _collect_all(wiring, n, events, b, projection, duration, start, event, arrival, synapse, cause):
    count, stride = 0, 1 if projection.delay.size > 1 else 0
    for k in range(events.offsets[b], events.offsets[b + 1]):
        s = n * wiring.inputs + events.units[k]
        t = events.times[k] + projection.delay[s * stride]
        if t < duration:
            arrival[count], synapse[count], cause[count] = t, s, k
            count += 1
    return count


@implements(group_inputs, Wiring)
@kernel
def _group_by_input(wiring, events, b, start, event):
    events_by_input(events, b, start, event)


@implements(collect, Wiring)
@borrowing
def _collect_wired(wiring, n, events, b, projection, duration, start, event, arrival, synapse, cause):
    count, stride = 0, 1 if projection.delay.size > 1 else 0
    for s in range(wiring.start[n], wiring.start[n + 1]):
        i = wiring.source[s]
        for p in range(start[i], start[i + 1]):
            t = events.times[event[p]] + projection.delay[s * stride]
            if t < duration:
                arrival[count], synapse[count], cause[count] = t, s, event[p]
                count += 1
    return count


@kernel
def arrival_times(times, units, start, stop, delay_row, duration, arrival, source):
    """Fill arrival and source with the input spikes start..stop that arrive before the end; returns how many."""
    count = 0
    stride = 1 if delay_row.size > 1 else 0
    for k in range(start, stop):
        t = times[k] + delay_row[units[k] * stride]
        if t < duration:
            arrival[count] = t
            source[count] = k
            count += 1
    return count


@borrowing
def insertion_sort(count, arrival, source):
    """Sort in place; equal times keep their order."""
    for k in range(1, count):
        t, index = arrival[k], source[k]
        i = k - 1
        while i >= 0 and arrival[i] > t:
            arrival[i + 1] = arrival[i]
            source[i + 1] = source[i]
            i -= 1
        arrival[i + 1] = t
        source[i + 1] = index


@borrowing
def merge_sort(count, arrival, source, arrival_copy, source_copy):
    """Sort in place, whatever the order; equal times keep theirs."""
    width = 1
    while width < count:
        for start in range(0, count, 2 * width):
            middle, stop = min(start + width, count), min(start + 2 * width, count)
            left, right = start, middle
            for k in range(start, stop):
                if right == stop or (left < middle and arrival[left] <= arrival[right]):
                    arrival_copy[k], source_copy[k] = arrival[left], source[left]
                    left += 1
                else:
                    arrival_copy[k], source_copy[k] = arrival[right], source[right]
                    right += 1
        for k in range(count):
            arrival[k], source[k] = arrival_copy[k], source_copy[k]
        width *= 2


@borrowing
def sort_arrivals(count, arrival, source, arrival_copy, source_copy, bins):
    """Sort the first `count` arrivals in place by time; equal times keep their order."""
    for k in range(1, count):
        if arrival[k] < arrival[k - 1]:
            break
    else:
        return
    if count <= FEW:
        insertion_sort(count, arrival, source)
        return
    low, high = arrival[0], arrival[0]
    for k in range(count):
        arrival_copy[k] = arrival[k]
        source_copy[k] = source[k]
        low = min(low, arrival[k])
        high = max(high, arrival[k])
    # Counting sort into as many bins as there are arrivals, then insertion sort, which moves each by a few places.
    scale = (count - 1) / (high - low)
    bins[: count + 1] = 0
    crowded = not scale < np.inf
    for k in range(0 if crowded else count):
        b = int((arrival_copy[k] - low) * scale)
        bins[b + 1] += 1
        crowded |= bins[b + 1] > CROWDED
    if crowded:
        merge_sort(count, arrival, source, arrival_copy, source_copy)
        return
    for b in range(count):
        bins[b + 1] += bins[b]
    for k in range(count):
        b = int((arrival_copy[k] - low) * scale)
        arrival[bins[b]] = arrival_copy[k]
        source[bins[b]] = source_copy[k]
        bins[b] += 1
    insertion_sort(count, arrival, source)


@kernel
def ordered_arrivals(events, b, delay_row, duration, arrival, source, arrival_copy, source_copy, bins):
    """Fill arrival and source with what reaches a neuron of sample b before the end, in order; returns how many."""
    start, stop = events.offsets[b], events.offsets[b + 1]
    count = arrival_times(events.times, events.units, start, stop, delay_row, duration, arrival, source)
    if delay_row.size > 1:  # one delay for all leaves them in order
        sort_arrivals(count, arrival, source, arrival_copy, source_copy, bins)
    return count


@kernel
def store_spikes(b, length, log, author, spikes, start, buffer, filled):
    """Put the spikes of sample b, logged as they came, into the buffer neuron by neuron; there must be room.

    log (length or more, columns), author: whose each row is, spikes (N,): how many, start (N + 1,): scratch.
    Returns how many rows of the buffer are filled then.
    """
    order = np.empty(length, np.int64)
    group_by(length, author, start, order)
    for m in range(length):
        for column in range(NUM_COLUMNS):
            buffer.rows[filled + m, column] = log[order[m], column]
    buffer.counts[b] = spikes
    return filled + length


@kernel
def index_arrivals(count, arrival, duration, index):
    """For `locate`: index[b] = the first arrival in time bin b or later, of `count` bins and one more. It has room for
    one more.
    """
    scale = count / duration
    index[: count + 2] = 0
    for k in range(count):
        index[min(int(arrival[k] * scale), count) + 1] += 1
    for b in range(count):
        index[b + 1] += index[b]


@embedded
def locate(time, count, arrival, duration, index):
    """How many of the sorted arrivals come before `time`; as numpy.searchsorted, but by the bin of the time."""
    k = index[min(int(time * (count / duration)), count)]
    while k < count and arrival[k] < time:
        k += 1
    return k


@kernel
def merge_spikes(counts, rows, shift, times, units, order):
    """Put the spikes of each sample, stored neuron by neuron, in the order of time.

    counts (B, N), rows (S, columns), shift (N,) what the clock of each neuron is late by -> times (S,), units (S,),
    order (S,): the row that each spike came from. Equal times are ordered by neuron.
    """
    B, N = counts.shape
    longest = 0
    for b in range(B):
        longest = max(longest, counts[b].sum())
    copy, order_copy, bins = np.empty(longest), np.empty(longest, np.int64), np.empty(longest + 1, np.int64)
    owner = np.empty(longest, np.int64)
    start = 0
    for b in range(B):
        row = start
        for j in range(N):
            for _ in range(counts[b, j]):
                times[row], order[row], owner[row - start] = rows[row, TIME] + shift[j], row, j
                row += 1
        sort_arrivals(row - start, times[start:row], order[start:row], copy, order_copy, bins)
        for k in range(start, row):
            units[k] = owner[order[k] - start]
        start = row

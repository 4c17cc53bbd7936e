"""The forward pass with recurrent connections, window by window (README.md, section 4).

Within a window no spike of the layer has an effect yet, so that its neurons are independent. A window is as long as the
smallest recurrent delay; or longer, up to that delay after the first spike, which a trial run of all neurons finds.
"""

from math import inf
from typing import NamedTuple

import numpy as np

from .arrivals import longest_sample, ordered_arrivals, store_spikes
from .crossing import largest_phi
from .forward import walk
from .jit import kernel
from .layout import (
    BUDGET_EXCEEDED,
    BUFFER_FULL,
    DONE,
    FINISHED,
    FIRED,
    NUM_COLUMNS,
    TAU_MEM,
    TAU_SYN,
    THRESHOLD,
    TIME,
)

# Columns of the state of the neurons at the start of a window
V_NOW, I_NOW, A_NOW, RELEASE, PEAK, PEAK_TIME, PEAK_SLOPE = range(7)
NUM_STATE = 7
FIRST_ROOM = 16  # spikes of a neuron in a sample for which there is room at first, on average
FIRST_QUEUE = 64
FIRST_WINDOWS = 16  # how many windows a sample would have if nothing happened
SHORTEST_WINDOW = 1e-9  # of the sample
NO_BUDGET = 2**62


class Queue(NamedTuple):
    """Sorted arrivals still to come, one row a neuron, or one for all where their order is the same.

    time, source (rows, room); in row r those from head[r] to tail[r] - 1.
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
def fill_inputs(events, b, synapses, duration, inputs, scratch):
    """All arrivals of the input spikes of sample b; source: the input."""
    for r in range(inputs.head.size):
        row = synapses.delay[r if synapses.delay.shape[0] > 1 else 0]
        inputs.head[r] = 0
        inputs.tail[r] = ordered_arrivals(events, b, row, duration, inputs.time[r], inputs.source[r], *scratch)
        for k in range(inputs.tail[r]):
            inputs.source[r, k] = events.units[inputs.source[r, k]]


@kernel
def gather(n, t, bound, inputs, weight, queue, recurrent_weight, arrival, current):
    """What reaches neuron n from t to before `bound`, in order; returns how many."""
    r, q = min(n, inputs.head.size - 1), min(n, queue.head.size - 1)
    k, m, count = inputs.head[r], queue.head[q], 0
    while True:
        t_in = inputs.time[r, k] if k < inputs.tail[r] else inf
        t_own = queue.time[q, m] if m < queue.tail[q] else inf
        if min(t_in, t_own) >= bound:
            return count
        if t_in <= t_own:
            arrival[count], current[count] = t_in, weight[n, inputs.source[r, k]]
            k += 1
        else:
            arrival[count], current[count] = max(t_own, t), recurrent_weight[n, queue.source[q, m]]
            m += 1
        count += 1


@kernel
def consume(queue, t):
    """Drop what arrived before t."""
    for r in range(queue.head.size):
        while queue.head[r] < queue.tail[r] and queue.time[r, queue.head[r]] < t:
            queue.head[r] += 1


@kernel
def run_neuron(
    n, t, t_end, inputs, weight, queue, recurrent_weight, neurons, phi_max, want_peak, until_spike, own, log, last_row,
    next_row, spikes, budget, arrival, current, after,
):  # fmt: skip
    """Neuron n from its state own (NUM_STATE,) at t to t_end, or to its first spike; fills after (NUM_STATE,).

    Returns (status, spikes).
    """
    count = gather(n, t, t_end, inputs, weight, queue, recurrent_weight, arrival, current)
    status, V, I, a, release, peak, peak_time, peak_slope, spikes = walk(
        t, t_end, own[V_NOW], own[I_NOW], own[A_NOW], own[RELEASE], own[PEAK], own[PEAK_TIME], own[PEAK_SLOPE], count,
        arrival, current, neurons.parameters[n], phi_max[n], neurons.subtract, neurons.spiking, want_peak, until_spike,
        log, last_row, next_row, spikes, budget,
    )  # fmt: skip
    after[V_NOW], after[I_NOW], after[A_NOW], after[RELEASE] = V, I, a, inf if status == FINISHED else release
    after[PEAK], after[PEAK_TIME], after[PEAK_SLOPE] = peak, peak_time, peak_slope
    return status, spikes


@kernel
def recurrent_sample(
    inputs, synapses, recurrent, neurons, phi_max, want_peak, own, trial, spikes, log, author, budget,
):  # fmt: skip
    """All neurons through one sample; returns (status, neuron, number of spikes).

    own, trial (N, NUM_STATE) and spikes (N,) are filled, and the rows of spikes in log, author says whose they are.
    The last N rows of the log are scratch. With BUFFER_FULL there was not enough room: call again with more.
    """
    N, duration = spikes.size, neurons.duration
    room, length, least_delay = log.shape[0] - N, 0, recurrent.delay.min()
    queue = new_queue(recurrent.delay.shape[0], FIRST_QUEUE)
    longest = inputs.time.shape[1]
    arrival, current = np.empty(longest + FIRST_QUEUE), np.empty(longest + FIRST_QUEUE)
    last_row, reached = np.zeros(N, np.int64), np.empty(N)
    own[:], spikes[:] = 0.0, 0
    own[:, PEAK] = -neurons.parameters[:, THRESHOLD]
    log[room:, TIME] = -inf
    t, stride = 0.0, duration / FIRST_WINDOWS
    while t < duration:
        bound = min(duration, t + max(least_delay, stride))
        on_trial = bound > t + least_delay
        for n in range(N if on_trial else 0):
            if own[n, RELEASE] == inf and not want_peak:
                reached[n] = duration  # spent
                continue
            status, _ = run_neuron(
                n, t, bound, inputs, synapses.weight, queue, recurrent.weight, neurons, phi_max, want_peak, True,
                own[n], log, last_row[n], room + n, spikes[n], NO_BUDGET, arrival, current, trial[n],
            )  # fmt: skip
            reached[n] = bound
            if status in (FIRED, FINISHED):
                reached[n] = log[room + n, TIME]
                bound = min(bound, reached[n] + least_delay)
        first_new = length
        for n in range(N):
            if own[n, RELEASE] == inf and not want_peak:
                continue
            fires = on_trial and reached[n] == bound and log[room + n, TIME] == bound
            if on_trial and reached[n] == bound and not fires:
                own[n] = trial[n]
                continue
            if length == room:
                return BUFFER_FULL, n, length
            number = spikes[n] + 1
            if not fires:
                status, number = run_neuron(
                    n, t, bound, inputs, synapses.weight, queue, recurrent.weight, neurons, phi_max, want_peak, False,
                    own[n], log[:room], last_row[n], length, spikes[n], budget, arrival, current, own[n],
                )  # fmt: skip
                if status in (BUFFER_FULL, BUDGET_EXCEEDED):
                    return status, n, length
            elif number > budget:
                return BUDGET_EXCEEDED, n, length
            else:
                own[n], log[length] = trial[n], log[room + n]
            for _ in range(number - spikes[n]):
                author[length], last_row[n] = n, length
                length += 1
            spikes[n] = number
        log[room:, TIME] = -inf
        consume(inputs, bound)
        consume(queue, bound)
        for m in range(first_new, length):
            for q in range(queue.head.size):
                time = log[m, TIME] + recurrent.delay[q, min(author[m], recurrent.delay.shape[1] - 1)]
                if time >= duration:
                    continue
                if queue.tail[q] - queue.head[q] == queue.time.shape[1]:
                    queue = larger(queue)
                    arrival, current = np.empty(longest + queue.time.shape[1]), np.empty(longest + queue.time.shape[1])
                push(queue, q, time, author[m])
        if on_trial:
            stride = max(2.0 * (bound - t), SHORTEST_WINDOW * duration)
        t = bound
    return DONE, 0, length


@kernel
def recurrent_forward(events, synapses, recurrent, neurons, cursor, last, buffer, filled, peaks, budget):
    """As forward.lif_forward, for a layer whose spikes also reach its own neurons, through the synapses `recurrent`.

    `cursor` always stands at the start of a sample.
    """
    N = neurons.parameters.shape[0]
    want_peak = peaks.value.size > 0
    longest = longest_sample(events, cursor // N, last)
    scratch = np.empty(longest), np.empty(longest, np.int64), np.empty(longest + 1, np.int64)
    inputs = new_queue(synapses.delay.shape[0], longest)
    own, trial, spikes = np.empty((N, NUM_STATE)), np.empty((N, NUM_STATE)), np.empty(N, np.int64)
    phi_max, start = np.empty(N), np.empty(N + 1, np.int64)
    for n in range(N):
        phi_max[n] = largest_phi(neurons.parameters[n, TAU_MEM], neurons.parameters[n, TAU_SYN])
    room = N * FIRST_ROOM
    log, author = np.empty((room + N, NUM_COLUMNS)), np.empty(room, np.int64)
    for b in range(cursor // N, last):
        while True:
            fill_inputs(events, b, synapses, neurons.duration, inputs, scratch)
            status, n, length = recurrent_sample(
                inputs, synapses, recurrent, neurons, phi_max, want_peak, own, trial, spikes, log, author, budget
            )
            if status != BUFFER_FULL:
                break
            room *= 4
            log, author = np.empty((room + N, NUM_COLUMNS)), np.empty(room, np.int64)
        if status == BUDGET_EXCEEDED:
            return status, b * N + n, filled
        if filled + length > buffer.rows.shape[0]:
            return BUFFER_FULL, b * N, filled
        filled = store_spikes(b, length, log, author, spikes, start, buffer, filled)
        if want_peak:
            peaks.value[b], peaks.time[b], peaks.slope[b] = own[:, PEAK], own[:, PEAK_TIME], own[:, PEAK_SLOPE]
    return DONE, last * N, filled

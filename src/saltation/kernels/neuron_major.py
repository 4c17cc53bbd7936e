"""The forward pass neuron by neuron, for any model, wiring and delays, recurrent or not (README.md, section 4).

Until a spike of the layer has an effect its neurons are independent, so each goes alone through a window of time.
Without recurrent connections the whole sample is one window. With them a window is as long as the smallest recurrent
delay; or longer, up to that delay after the first spike, which a trial run of all neurons finds.
"""

from math import inf
from typing import NamedTuple

import numpy as np

from . import lif, qif  # noqa: F401  the models that there are
from .arrivals import collect, group_inputs, longest_sample, sort_arrivals, store_spikes
from .jit import borrowing, kernel
from .layout import BUDGET_EXCEEDED, BUFFER_FULL, DONE, FINISHED, FIRED, NO_BUDGET, NUM_COLUMNS, TIME
from .models import NUM_STATE, Tally, advance, peak, receive, restore, single, start, store
from .pending import FIRST_QUEUE, Queue, consume, larger, new_queue, push

FIRST_ROOM = 64  # spikes of a neuron in a sample for which there is room at first, on average
FIRST_WINDOWS = 16  # how many windows a recurrent sample would have if nothing happened
SHORTEST_WINDOW = 1e-9  # of the sample


class Scratch(NamedTuple):
    """Of a sample: inputs, what comes from outside, sorted, of each neuron in a row of its own, or of one neuron at a
    time; own, trial (N, NUM_STATE): states at the start of a window, and what a trial run found; reached (N,): how far
    that came, and status (N,) how it ended; over, spikes, last_row (N,): who never spikes again, how often each has
    spiked, and where the row of its last spike is.
    """

    inputs: Queue
    own: np.ndarray
    trial: np.ndarray
    reached: np.ndarray
    status: np.ndarray
    over: np.ndarray
    spikes: np.ndarray
    last_row: np.ndarray


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
    """Row r: all arrivals of the input spikes of sample b at neuron n, in order; source: the synapse."""
    time, source = inputs.time[r], inputs.source[r]
    count = collect(
        projection.wiring, n, events, b, projection, duration, collected.start, collected.event, time, source,
        collected.cause,
    )  # fmt: skip
    sort_arrivals(count, time, source, collected.time_copy, collected.source_copy, collected.bins)
    inputs.head[r], inputs.tail[r] = 0, count


@borrowing
def gather(r, n, t, bound, inputs, weight, queue, feedback_weight, arrival, current):
    """What reaches neuron n from t to before `bound`, in order, and its weights; returns how many."""
    k, m, count = inputs.head[r], queue.head[n], 0
    while True:
        t_in = inputs.time[r, k] if k < inputs.tail[r] else inf
        t_own = queue.time[n, m] if m < queue.tail[n] else inf
        if min(t_in, t_own) >= bound:
            return count
        if t_in <= t_own:
            arrival[count], current[count] = t_in, weight[inputs.source[r, k]]
            k += 1
        else:
            arrival[count], current[count] = max(t_own, t), feedback_weight[queue.source[n, m]]
            m += 1
        count += 1


@borrowing
def walk(state, t, t_end, count, arrival, current, neuron, rows, tally, until_spike):
    """One neuron from its state at t through `count` arrivals to that just before t_end.

    arrival (count,): sorted times in [t, t_end]; current (count,): the weights that arrive then. Returns what
    models.advance does.
    """
    status = DONE
    for k in range(count + 1):
        t_next = arrival[k] if k < count else t_end
        status, state, tally = advance(state, t, t_next, neuron, rows, tally, until_spike)
        if status != DONE:
            break
        t = t_next
        if k < count:
            state = receive(state, current[k], neuron)
    return status, state, tally


@borrowing
def run_neuron(
    r, n, t, bound, projection, feedback, population, want_peak, queue, arrival, current, rows, next_row, budget,
    until_spike, scratch, after,
):  # fmt: skip
    """Neuron n from its state at t to `bound`, or to its first spike; its state then goes to row n of `after`.

    Returns (status, spikes).
    """
    neuron = single(population, n, want_peak)
    state = restore(neuron, scratch.own[n])
    count = gather(
        r, n, t, bound, scratch.inputs, projection.weight, queue, feedback.weight, arrival, current
    )  # fmt: skip
    tally = Tally(scratch.last_row[n], next_row, scratch.spikes[n], budget)
    status, state, tally = walk(state, t, bound, count, arrival, current, neuron, rows, tally, until_spike)
    store(state, after[n])
    return status, tally.spikes


@borrowing
def try_all(t, bound, delay, projection, feedback, population, want_peak, queue, arrival, current, log, scratch):
    """Trial runs of all neurons from t to `bound`, or to their first spikes; returns where the window has to end."""
    N = scratch.spikes.size
    room = log.shape[0] - N
    for n in range(N):
        scratch.reached[n], log[room + n, TIME] = bound, -inf
        if scratch.over[n]:
            continue
        status, _ = run_neuron(
            n, n, t, bound, projection, feedback, population, want_peak, queue, arrival, current, log, room + n,
            NO_BUDGET, True, scratch, scratch.trial,
        )  # fmt: skip
        scratch.status[n] = status
        if status in (FIRED, FINISHED):
            scratch.reached[n] = log[room + n, TIME]
            bound = min(bound, scratch.reached[n] + delay)
    return bound


@kernel
def simulate_sample(
    b, events, projection, feedback, population, want_peak, log, author, budget, scratch, collected
):  # fmt: skip
    """All neurons through sample b; returns (status, neuron, number of spikes).

    scratch.own and scratch.spikes are filled, and the rows of spikes in log; author says whose they are. The last N
    rows of the log are scratch. With BUFFER_FULL there was not enough room: call again with more.
    """
    N, duration, recurrent = scratch.spikes.size, population.duration, feedback.weight.size > 0
    room, length, least_delay = log.shape[0] - N, 0, feedback.delay.min() if recurrent else inf
    queue, longest = new_queue(N, FIRST_QUEUE if recurrent else 1), scratch.inputs.time.shape[1]
    arrival, current = np.empty(longest + queue.time.shape[1]), np.empty(longest + queue.time.shape[1])
    scratch.spikes[:], scratch.last_row[:], scratch.over[:] = 0, 0, False
    for n in range(N):
        store(start(single(population, n, want_peak)), scratch.own[n])
        if recurrent:
            fill_inputs(n, n, events, b, projection, duration, scratch.inputs, collected)
    t, stride = 0.0, duration / FIRST_WINDOWS
    while t < duration:
        bound = min(duration, t + max(least_delay, stride))
        on_trial = bound > t + least_delay
        if on_trial:
            bound = try_all(
                t, bound, least_delay, projection, feedback, population, want_peak, queue, arrival, current, log,
                scratch,
            )  # fmt: skip
        first_new = length
        for n in range(N):
            if scratch.over[n]:
                continue
            fires = on_trial and scratch.reached[n] == bound and log[room + n, TIME] == bound
            if on_trial and scratch.reached[n] == bound and not fires:
                scratch.own[n] = scratch.trial[n]
                continue
            if length == room:
                return BUFFER_FULL, n, length
            if fires:
                status, number = scratch.status[n], scratch.spikes[n] + 1
                if number > budget:
                    return BUDGET_EXCEEDED, n, length
                scratch.own[n], log[length] = scratch.trial[n], log[room + n]
            else:
                if not recurrent:
                    fill_inputs(0, n, events, b, projection, duration, scratch.inputs, collected)
                status, number = run_neuron(
                    n if recurrent else 0, n, t, bound, projection, feedback, population, want_peak, queue, arrival,
                    current, log[:room], length, budget, False, scratch, scratch.own,
                )  # fmt: skip
                if status in (BUFFER_FULL, BUDGET_EXCEEDED):
                    return status, n, length
            scratch.over[n] = status == FINISHED
            for _ in range(number - scratch.spikes[n]):
                author[length], scratch.last_row[n] = n, length
                length += 1
            scratch.spikes[n] = number
        if recurrent:
            consume(scratch.inputs, bound)
            consume(queue, bound)
            for m in range(first_new, length):
                queue = send(log[m, TIME], author[m], feedback, duration, queue)
            if longest + queue.time.shape[1] > arrival.size:
                arrival, current = np.empty(longest + queue.time.shape[1]), np.empty(longest + queue.time.shape[1])
        if on_trial:
            stride = max(2.0 * (bound - t), SHORTEST_WINDOW * duration)
        t = bound
    return DONE, 0, length


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


@kernel
def neuron_major_forward(events, projection, feedback, population, cursor, last, buffer, filled, peaks, budget):
    """All neurons of the samples before `last`, from sample cursor / N on.

    projection, feedback: where inputs and own spikes lead, population: the neurons, buffer, peaks: see layout.py.
    `filled` rows of the buffer are taken; `budget` is the largest number of spikes of one neuron in one sample. Returns
    (status, cursor, filled): with BUFFER_FULL the caller makes the buffer larger and calls again with what was
    returned; nothing is lost.
    """
    N, want_peak = buffer.counts.shape[1], peaks.value.size > 0
    longest = longest_sample(events, cursor // N, last)
    collected = new_collected(projection.wiring.inputs, longest)
    states, integers = np.empty((2, N, NUM_STATE)), np.empty((3, N), np.int64)
    scratch = Scratch(
        new_queue(N if feedback.weight.size > 0 else 1, longest), states[0], states[1], np.empty(N), integers[0],
        np.empty(N, np.bool_), integers[1], integers[2],
    )  # fmt: skip
    room, starts = N * FIRST_ROOM, np.empty(N + 1, np.int64)
    log, author = np.empty((room + N, NUM_COLUMNS)), np.empty(room, np.int64)
    for b in range(cursor // N, last):
        group_inputs(projection.wiring, events, b, collected.start, collected.event)
        while True:
            status, n, length = simulate_sample(
                b, events, projection, feedback, population, want_peak, log, author, budget, scratch, collected
            )
            if status != BUFFER_FULL:
                break
            room *= 4
            log, author = np.empty((room + N, NUM_COLUMNS)), np.empty(room, np.int64)
        if status == BUDGET_EXCEEDED:
            return status, b * N + n, filled
        if filled + length > buffer.rows.shape[0]:
            return BUFFER_FULL, b * N, filled
        filled = store_spikes(b, length, log, author, scratch.spikes, starts, buffer, filled)
        for n in range(N if want_peak else 0):
            state = restore(single(population, n, True), scratch.own[n])
            peaks.value[b, n], peaks.time[b, n], peaks.slope[b, n] = peak(state)
    return DONE, last * N, filled

"""The forward pass neuron by neuron of a recurrent layer, in windows (README.md, section 4).

Until a spike of the layer has an effect its neurons are independent, so each goes alone through a window of time. It is
as long as the smallest recurrent delay; or longer, up to that delay after the first spike, which a trial run of all
neurons finds.
"""

from math import inf
from typing import NamedTuple

import numpy as np

from .arrivals import group_inputs, longest_sample, store_spikes
from .jit import borrowing, kernel
from .layout import BUDGET_EXCEEDED, BUFFER_FULL, DONE, FINISHED, FIRED, NO_BUDGET, TIME
from .models import NUM_STATE, Tally, restore, single, start, store
from .pending import FIRST_QUEUE, Queue, consume, fill_inputs, new_collected, new_queue, send
from .tile import FIRST_ROOM, new_log
from .walk import keep_peak, walk

FIRST_WINDOWS = 16  # how many windows a sample would have if nothing happened
SHORTEST_WINDOW = 1e-9  # of the sample


class Scratch(NamedTuple):
    """Of a sample: inputs, what comes from outside, sorted, of each neuron in a row of its own; own, trial
    (N, NUM_STATE): states at the start of a window, and what a trial run found; reached (N,): how far that came, and
    status (N,) how it ended; over, spikes, last_row (N,): who never spikes again, how often each has spiked, and where
    the row of its last spike is.
    """

    inputs: Queue
    own: np.ndarray
    trial: np.ndarray
    reached: np.ndarray
    status: np.ndarray
    over: np.ndarray
    spikes: np.ndarray
    last_row: np.ndarray


class Arrivals(NamedTuple):
    """Of one neuron in one window: their times, and the weights that arrive then."""

    time: np.ndarray
    current: np.ndarray


@kernel
def new_scratch(N, longest):
    """For N neurons and samples of up to `longest` events."""
    states, integers = np.empty((2, N, NUM_STATE)), np.empty((3, N), np.int64)
    return Scratch(
        new_queue(N, longest), states[0], states[1], np.empty(N), integers[0], np.empty(N, np.bool_), integers[1],
        integers[2],
    )  # fmt: skip


@kernel
def new_arrivals(inputs, queue):
    """Room for all that may come from both."""
    room = inputs.time.shape[1] + queue.time.shape[1]
    return Arrivals(np.empty(room), np.empty(room))


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
def run_neuron(n, t, bound, problem, queue, arrivals, rows, next_row, budget, until_spike, scratch, after):
    """Neuron n from its state at t to `bound`, or to its first spike; its state then goes to row n of `after`.

    Returns (status, spikes).
    """
    count = gather(
        n, n, t, bound, scratch.inputs, problem.projection.weight, queue, problem.feedback.weight, arrivals.time,
        arrivals.current,
    )  # fmt: skip
    neuron = single(problem.population, n, problem.want_peak)
    state, tally = restore(neuron, scratch.own[n]), Tally(scratch.last_row[n], next_row, scratch.spikes[n], budget)
    status, state, tally = walk(
        state, t, bound, count, arrivals.time, arrivals.current, neuron, rows, tally, until_spike
    )  # fmt: skip
    store(state, after[n])
    return status, tally.spikes


@borrowing
def try_all(t, bound, delay, problem, queue, arrivals, log, scratch):
    """Trial runs of all neurons from t to `bound`, or to their first spikes; returns where the window has to end."""
    room = log.author.size
    for n in range(scratch.spikes.size):
        scratch.reached[n], log.rows[room + n, TIME] = bound, -inf
        if scratch.over[n]:
            continue
        scratch.status[n], _ = run_neuron(
            n, t, bound, problem, queue, arrivals, log.rows, room + n, NO_BUDGET, True, scratch, scratch.trial
        )  # fmt: skip
        if scratch.status[n] in (FIRED, FINISHED):
            scratch.reached[n] = log.rows[room + n, TIME]
            bound = min(bound, scratch.reached[n] + delay)
    return bound


@borrowing
def copy_row(source, target):
    """Without the copy that Numba makes in case they overlap."""
    for k in range(source.size):
        target[k] = source[k]


@borrowing
def run_all(t, bound, on_trial, length, problem, queue, arrivals, log, scratch):
    """All neurons from t to `bound`; on_trial: not again those that `try_all` took there. `length` rows of the log are
    taken. Returns (status, neuron, how many are taken then).
    """
    room = log.author.size
    for n in range(scratch.spikes.size):
        if scratch.over[n]:
            continue
        there = on_trial and scratch.reached[n] == bound
        fires = there and log.rows[room + n, TIME] == bound
        if there:
            copy_row(scratch.trial[n], scratch.own[n])
            if not fires:
                continue
        if length == room:
            return BUFFER_FULL, n, length
        status, number = scratch.status[n], scratch.spikes[n] + 1
        if not fires:
            status, number = run_neuron(
                n, t, bound, problem, queue, arrivals, log.rows[:room], length, problem.budget, False, scratch,
                scratch.own,
            )  # fmt: skip
        elif number > problem.budget:
            status = BUDGET_EXCEEDED
        else:
            copy_row(log.rows[room + n], log.rows[length])
        if status in (BUFFER_FULL, BUDGET_EXCEEDED):
            return status, n, length
        scratch.over[n] = status == FINISHED
        for _ in range(number - scratch.spikes[n]):
            log.author[length], scratch.last_row[n] = n, length
            length += 1
        scratch.spikes[n] = number
    return DONE, 0, length


@borrowing
def begin_sample(b, problem, scratch, collected):
    """All neurons at the start of sample b, and what reaches them from outside."""
    for n in range(scratch.spikes.size):
        scratch.spikes[n], scratch.last_row[n], scratch.over[n] = 0, 0, False
        store(start(single(problem.population, n, problem.want_peak)), scratch.own[n])
        fill_inputs(
            n, n, problem.events, b, problem.projection, problem.population.duration, scratch.inputs, collected
        )  # fmt: skip


@kernel
def simulate_sample(b, problem, log, scratch, collected):
    """All neurons through sample b; returns (status, neuron, number of spikes).

    scratch.own and scratch.spikes are filled, and the log, whose last N rows are those of trial runs. With BUFFER_FULL
    there was not enough room in it: call again with more.
    """
    duration, feedback = problem.population.duration, problem.feedback
    delay, queue = feedback.delay.min(), new_queue(scratch.spikes.size, FIRST_QUEUE)
    arrivals = new_arrivals(scratch.inputs, queue)
    begin_sample(b, problem, scratch, collected)
    t, stride, length = 0.0, duration / FIRST_WINDOWS, 0
    while t < duration:
        bound = min(duration, t + max(delay, stride))
        on_trial = bound > t + delay
        if on_trial:
            bound = try_all(t, bound, delay, problem, queue, arrivals, log, scratch)
            stride = max(2.0 * (bound - t), SHORTEST_WINDOW * duration)
        first_new = length
        status, n, length = run_all(t, bound, on_trial, length, problem, queue, arrivals, log, scratch)
        if status != DONE:
            return status, n, length
        consume(scratch.inputs, bound)
        consume(queue, bound)
        for m in range(first_new, length):
            queue = send(log.rows[m, TIME], log.author[m], feedback, duration, queue)
        if scratch.inputs.time.shape[1] + queue.time.shape[1] > arrivals.time.size:
            arrivals = new_arrivals(scratch.inputs, queue)
        t = bound
    return DONE, 0, length


@kernel
def forward_in_windows(problem, cursor, last, buffer, filled, peaks):
    """As neuron_major.neuron_major_forward, of a recurrent layer; the cursor is at the first neuron of a sample."""
    N, wiring = buffer.counts.shape[1], problem.projection.wiring
    longest = longest_sample(problem.events, cursor // N, last)
    collected, scratch = new_collected(wiring.inputs, longest), new_scratch(N, longest)
    log, starts = new_log(N * FIRST_ROOM, N), np.empty(N + 1, np.int64)
    for b in range(cursor // N, last):
        group_inputs(wiring, problem.events, b, collected.start, collected.event)
        status, n, length = simulate_sample(b, problem, log, scratch, collected)
        while status == BUFFER_FULL:
            log = new_log(4 * log.author.size, N)
            status, n, length = simulate_sample(b, problem, log, scratch, collected)
        if status == BUDGET_EXCEEDED:
            return status, b * N + n, filled
        if filled + length > buffer.rows.shape[0]:
            return BUFFER_FULL, b * N, filled
        filled = store_spikes(b, length, log.rows, log.author, scratch.spikes, starts, buffer, filled)
        for n in range(N if problem.want_peak else 0):
            keep_peak(restore(single(problem.population, n, True), scratch.own[n]), b, n, peaks)
    return DONE, last * N, filled

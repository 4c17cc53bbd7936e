"""Integrate-and-fire neurons without leak (README.md, section 7); any number of spikes, all in closed form.

    tau dV/dt = I,     tau dI/dt = -I

V + I changes only where something arrives, so V(s) = V + I (1 - e^{-s/tau}), which is monotone.
"""

from math import exp, expm1, inf, log1p
from typing import NamedTuple

import numpy as np

from . import models
from .chain import place_rows
from .jit import borrowing, implements, kernel
from .layout import (
    ADAPTATION,
    BUDGET_EXCEEDED,
    BUFFER_FULL,
    CURRENT,
    DONE,
    FINISHED,
    FIRED,
    MARGIN,
    RELEASE_CURRENT,
    TIME,
)

# Columns of the (N, 4) array of parameters
TAU, THRESHOLD, V_RESET, REFRACTORY = range(4)
EPS = 2.0**-52


@borrowing
def spike_after(V, I, tau, threshold):
    """How long until V = threshold from below, if nothing arrives; inf: never."""
    if I <= 0.0 or threshold - V >= I:
        return inf
    return max(-tau * log1p((V - threshold) / I), 0.0)


class Population(NamedTuple):
    """parameters (N, 4), with the columns above; spiking: False where the threshold is only a level for the peak."""

    parameters: np.ndarray
    spiking: bool
    duration: float


class Neuron(NamedTuple):
    """One of them."""

    tau: float
    threshold: float
    v_reset: float
    refractory: float
    spiking: bool
    want_peak: bool


class State(NamedTuple):
    """V and I; V is held until `release`; the highest V - threshold since the last spike, its time and slope."""

    V: float
    I: float
    release: float
    peak: float
    peak_time: float
    peak_slope: float


@implements(models.single, Population)
@borrowing
def single(population, n, want_peak):
    """See models.py."""
    p = population.parameters
    return Neuron(p[n, TAU], p[n, THRESHOLD], p[n, V_RESET], p[n, REFRACTORY], population.spiking, want_peak)


@implements(models.start, Neuron)
@borrowing
def start(neuron):
    """See models.py."""
    return State(0.0, 0.0, 0.0, -neuron.threshold, 0.0, 0.0)


@implements(models.receive, State)
@borrowing
def receive(x, w, neuron):
    """See models.py."""
    return State(x.V, x.I + w, x.release, x.peak, x.peak_time, x.peak_slope)


@implements(models.advance, State)
@borrowing
def advance(x, t, t_next, neuron, rows, tally, until_spike):
    """See models.py."""
    V, I, release, peak, peak_time, peak_slope = x.V, x.I, x.release, x.peak, x.peak_time, x.peak_slope
    tau, last_row, next_row, spikes, status = neuron.tau, tally.last_row, tally.next_row, tally.spikes, DONE
    while True:
        if t < release:
            I *= exp(-(min(release, t_next) - t) / tau)
            if release > t_next:
                break
            t = release
            rows[last_row, RELEASE_CURRENT] = I
        s = spike_after(V, I, tau, neuron.threshold) if neuron.spiking else inf
        V_next, I_next = V - I * expm1(-(t_next - t) / tau), I * exp(-(t_next - t) / tau)
        # rounding may put the spike just behind the event
        if t + s > t_next and (s == inf or V_next < neuron.threshold):
            V, I = V_next, I_next
            if V - neuron.threshold > peak:
                peak, peak_time, peak_slope = V - neuron.threshold, t_next, I / tau
            break
        if spikes == tally.budget:
            status = BUDGET_EXCEEDED
            break
        if next_row == rows.shape[0]:
            status = BUFFER_FULL
            break
        T = min(t + s, t_next)
        I *= exp(-(T - t) / tau)
        row = rows[next_row]
        row[TIME], row[CURRENT], row[ADAPTATION], row[RELEASE_CURRENT], row[MARGIN] = T, I, 0.0, I, 0.0
        last_row, next_row, spikes = next_row, next_row + 1, spikes + 1
        if neuron.refractory == inf and not neuron.want_peak:
            status = FINISHED
            break
        t, V, release = T, neuron.v_reset, T + neuron.refractory
        peak, peak_time, peak_slope = V - neuron.threshold, T, 0.0
        if until_spike:
            status = FIRED
            break
    after = State(V, I, release, peak, peak_time, peak_slope)
    return status, after, models.Tally(last_row, next_row, spikes, tally.budget)


@implements(models.store, State)
@borrowing
def store(x, row):
    """See models.py."""
    row[0], row[1], row[2], row[3], row[4], row[5] = x.V, x.I, x.release, x.peak, x.peak_time, x.peak_slope


@implements(models.restore, Neuron)
@borrowing
def restore(neuron, row):
    """See models.py."""
    return State(row[0], row[1], row[2], row[3], row[4], row[5])


@implements(models.peak, State)
@borrowing
def peak(x):
    """See models.py; the slope is 0 where the peak is v_reset, which moves with no event."""
    return x.peak, x.peak_time, x.peak_slope


@implements(models.fill_slopes, Population)
@borrowing
def fill_slopes(population, counts, rows, slopes):
    """See models.py: tau dV/dt / threshold = I/threshold, small where I is spent when V reaches the threshold."""
    m = 0
    for b in range(counts.shape[0]):
        for n in range(counts.shape[1]):
            for _ in range(counts[b, n]):
                slopes[m] = rows[m, CURRENT] / population.parameters[n, THRESHOLD]
                m += 1


# Columns of the segments of a neuron, each between two of its spikes or after the last: where the segment ends, the
# adjoint there, and P_I where V is released at its start.
END, P_V, P_I, P_I_RELEASE = range(4)


class Chain(NamedTuple):
    """The neurons of a sample on their way from their last spikes to their first.

    begin: row of the first spike; start (N + 1,): those of each neuron; owner: whose each row is; left (N,): how many
    spikes are still to come; kink (N,): what an arrival at the time of the peak adds to its own dL/dt; segments: those
    of all neurons, one after the other.
    """

    begin: np.ndarray
    start: np.ndarray
    owner: np.ndarray
    left: np.ndarray
    kink: np.ndarray
    segments: np.ndarray


@implements(models.new_chain, Population)
@kernel
def new_chain(population, most, arrivals):
    """See models.py."""
    N = population.parameters.shape[0]
    return Chain(
        np.empty(1, np.int64), np.empty(N + 1, np.int64), np.empty(most, np.int64), np.empty(N, np.int64), np.empty(N),
        np.empty((most + N, 4)),
    )  # fmt: skip


@implements(models.lacks_arrivals, Population)
@borrowing
def lacks_arrivals(population):
    """See models.py: the equation is linear."""
    return False


@implements(models.open_group, Chain)
@borrowing
def open_group(chain, first, last, b, row, buffer):
    """See models.py."""
    place_rows(first, last, b, row, buffer, chain)


@borrowing
def segment_of(chain, n, k):
    """Where segment k of neuron n is, the one before its spike k."""
    return chain.start[n] - chain.begin[0] + n + k


@borrowing
def open_segment(chain, n, k, end, p_V, p_I, population, buffer, gradients):
    """Segment k of neuron n ends at `end` with the adjoint p; adds the gradients of what it begins with."""
    segment = chain.segments[segment_of(chain, n, k)]
    segment[END], segment[P_V], segment[P_I], segment[P_I_RELEASE] = end, p_V, p_I, 0.0
    if k == 0 or (p_V == 0.0 and p_I == 0.0):  # which may end before V is released
        return
    tau, row = population.parameters[n, TAU], buffer.rows[chain.start[n] + k - 1]
    s = end - (row[TIME] + population.parameters[n, REFRACTORY])
    change = (p_I - p_V) * exp(-s / tau)
    gradients.parameters[n, TAU] += row[RELEASE_CURRENT] * change * s / (tau * tau)
    gradients.parameters[n, V_RESET] += p_V
    segment[P_I_RELEASE] = p_V + change


@implements(models.open_neuron, Chain)
@borrowing
def open_neuron(chain, n, b, count, arrival, weight, population, buffer, sent, gradients):
    """See models.py. The last segment ends at the peak, if that has a gradient, else where it begins."""
    spikes, begin, chain.kink[n] = chain.left[n], 0.0, 0.0
    if spikes > 0:
        begin = buffer.rows[chain.start[n + 1] - 1, TIME]
    G = sent.grad_peak[b, n] if sent.grad_peak.size > 0 else 0.0
    gradients.parameters[n, THRESHOLD] -= G
    if G != 0.0 and sent.peaks.time[b, n] > begin:
        chain.kink[n] = G * sent.peaks.slope[b, n]
        open_segment(chain, n, spikes, sent.peaks.time[b, n], G, 0.0, population, buffer, gradients)
        return True
    open_segment(chain, n, spikes, begin, 0.0, 0.0, population, buffer, gradients)
    if spikes > 0:
        gradients.parameters[n, V_RESET] += G  # V was never higher than right after the spike
    return False


@implements(models.cross, Chain)
@borrowing
def cross(chain, j, G, population, buffer, sent, gradients):
    """See models.py. Through the refractory period after the spike, and the spike."""
    parameters, grad, k = population.parameters[j], gradients.parameters, chain.left[j]
    tau, refractory, threshold = parameters[TAU], parameters[REFRACTORY], parameters[THRESHOLD]
    row, segment = buffer.rows[chain.start[j] + k - 1], chain.segments[segment_of(chain, j, k)]
    G_release, p_I = -segment[P_V] * row[RELEASE_CURRENT] / tau, segment[P_I_RELEASE]  # V' changes from 0 to I/tau
    if p_I != 0.0:
        e = exp(-refractory / tau)
        grad[j, TAU] += p_I * row[CURRENT] * e * refractory / (tau * tau)
        p_I *= e
    c = -(G + G_release) / max(row[CURRENT] / tau, sent.min_slope, EPS * threshold / tau)
    grad[j, THRESHOLD] -= c
    grad[j, REFRACTORY] += G_release
    chain.left[j] = k - 1
    open_segment(chain, j, k - 1, row[TIME], c, p_I, population, buffer, gradients)


@implements(models.arrival_gradient, Chain)
@borrowing
def arrival_gradient(chain, n, t, w, population, buffer, sent, gradients):
    """See models.py."""
    tau, low, high = population.parameters[n, TAU], chain.start[n], chain.start[n + 1]
    while low < high:  # the first row later than t
        middle = (low + high) // 2
        if buffer.rows[middle, TIME] <= t:
            low = middle + 1
        else:
            high = middle
    segment, release = chain.segments[segment_of(chain, n, low - chain.start[n])], 0.0
    p_V, p_I = segment[P_V], segment[P_I]
    if low > chain.start[n]:
        release = buffer.rows[low - 1, TIME] + population.parameters[n, REFRACTORY]
    if t >= segment[END]:
        kink = chain.kink[n] if t == segment[END] else 0.0
        chain.kink[n] -= kink  # of equal arrivals one moves the peak
        return 0.0, kink
    if t < release:
        s = release - t
        p_I = segment[P_I_RELEASE] * exp(-s / tau)
        gradients.parameters[n, TAU] += w * p_I * s / (tau * tau)
        return p_I, w * p_I / tau
    s = segment[END] - t
    change = (p_I - p_V) * exp(-s / tau)
    gradients.parameters[n, TAU] += w * change * s / (tau * tau)
    return p_V + change, w * change / tau


@implements(models.close_neuron, Chain)
@borrowing
def close_neuron(chain, n, population, gradients):
    """See models.py: nothing is left."""

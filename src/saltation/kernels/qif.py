"""The quadratic integrate-and-fire neuron: flow, spike times, both passes (README.md, section 6).

    tau dV/dt = V (V - 1) + I,    I decays with tau/2

A spike is V reaching infinity; V goes on from minus infinity. With V = p/q this is linear, tau dp/dt = -p + I q,
tau dq/dt = -p, and smooth through a spike, where q passes 0: the adjoint has no jump there and no slope to divide by.
"""

from math import atan2, atanh, cos, cosh, exp, expm1, inf, log1p, sin, sinh, sqrt

import numpy as np

from .arrivals import events_by_input, longest_sample, sort_arrivals
from .jit import kernel
from .layout import (
    ADAPTATION,
    BUDGET_EXCEEDED,
    BUFFER_FULL,
    CURRENT,
    DONE,
    PSEUDO_DRIVE,
    PSEUDO_TIME,
    RELEASE_CURRENT,
    TAU_MEM,
    THRESHOLD,
    TIME,
)
from .sparse import collect_arrivals

# Below this |I m^2| the series of df/dx is used, whose first term left out is below 1e-18.
SERIES_LIMIT = 0.5
SERIES_TERMS = 10
# cosh and sinh of more are divided by exp of it: the scale of (p, q) means nothing.
LARGE = 30.0
PSEUDO = -1  # in place of a synapse: the pseudo drive


@kernel
def rotation(m, I):
    """C = cos(m sqrt(I)), S = sin(m sqrt(I))/sqrt(I) (cosh and sinh for I < 0), and dC/dI, dS/dI; of a common scale."""
    D = m * sqrt(abs(I))
    if I > 0.0:
        C, S = cos(D), sin(D) / sqrt(I)
    elif D > LARGE:
        C, S = 0.5, 0.5 / sqrt(-I)
    elif I < 0.0:
        C, S = cosh(D), sinh(D) / sqrt(-I)
    else:
        C, S = 1.0, m
    x = I * m * m
    if abs(x) > SERIES_LIMIT:
        return C, S, -0.5 * m * S, 0.5 * (m * C - S) / I
    term, total = 1.0, 0.0  # d/dx sin(sqrt x)/sqrt x = sum_k (-1)^k k x^(k - 1) / (2 k + 1)!
    for k in range(1, SERIES_TERMS):
        term /= -2.0 * k * (2.0 * k + 1.0)
        total += k * term
        term *= x
    return C, S, -0.5 * m * S, m * m * m * total


@kernel
def spike_after(p, q, I, tau):
    """How long until q = 0 from (p, q), q >= 0 (q = 0 > p: right after a spike), if nothing arrives; inf: never.

    cot(m sqrt(I)) = p / (q sqrt(I)) with m = 1 - e^{-s/tau}.
    """
    root = sqrt(abs(I))
    m = inf
    if I > 0.0:
        m = atan2(root * q, p) / root
    elif p > root * q:
        m = q / p if I == 0.0 else atanh(root * q / p) / root
    return -tau * log1p(-m) if m < 1.0 else inf


@kernel
def flow(s, p, q, I, tau):
    """(p, q, I) a time s later."""
    C, S, _, _ = rotation(-expm1(-s / tau), I)
    c = exp(-s / tau)
    return c * (C * p + I * S * q), C * q - S * p, I * c * c


@kernel
def flow_adjoint(s, p, q, I, P_p, P_q, P_I, tau):
    """The adjoint at the start (p, q, I) of an interval from that at its end, and dL/dtau with both ends held."""
    C, S, C_I, S_I = rotation(-expm1(-s / tau), I)
    c = exp(-s / tau)
    p_end, q_end, I_end = c * (C * p + I * S * q), C * q - S * p, I * c * c
    # scaling all times by tau: dL/dtau = -(s/tau) dL/ds
    along = P_p * (I_end * q_end - p_end) - P_q * p_end - 2.0 * P_I * I_end
    by_I = P_p * c * (C_I * p + (S + I * S_I) * q) + P_q * (C_I * q - S_I * p)
    return (
        P_p * c * C - P_q * S,
        P_p * c * I * S + P_q * C,
        c * c * P_I + by_I,
        -s / (tau * tau) * along,
    )


@kernel
def arrivals_of(events, j, wiring, synapses, neurons, start, event, arrival, order, synapse, cause, scratch):
    """All that reaches neuron j, the pseudo drive among it; returns how many.

    arrival: their times, sorted; the synapse and the input event of number k are synapse[order[k]], cause[order[k]].
    """
    count = collect_arrivals(events, j, wiring, synapses, neurons.duration, start, event, arrival, synapse, cause)
    if neurons.parameters[j, PSEUDO_TIME] < neurons.duration:
        arrival[count], synapse[count] = neurons.parameters[j, PSEUDO_TIME], PSEUDO
        count += 1
    for k in range(count):
        order[k] = k
    sort_arrivals(count, arrival, order, *scratch)
    return count


@kernel
def room(longest):
    """Room for the arrivals of a sample: arrival, order, synapse, cause, and what sorting them takes."""
    scratch = np.empty(longest), np.empty(longest, np.int64), np.empty(longest + 1, np.int64)
    order, synapse, cause = np.empty((3, longest), np.int64)
    return np.empty(longest), order, synapse, cause, scratch


@kernel
def strength(synapse, synapses, neuron):
    """What an arrival adds to I, where V = 1 is the point of no return: the weight over the threshold."""
    if synapse == PSEUDO:
        return neuron[PSEUDO_DRIVE]
    return synapses.weight[synapse] / neuron[THRESHOLD]


@kernel
def qif_forward(events, synapses, wiring, neurons, cursor, last, buffer, filled, peaks, budget):
    """As sparse.sparse_forward, of neurons whose columns are those of layout.py; `peaks` is not used."""
    N = neurons.parameters.shape[0]
    longest = longest_sample(events, cursor // N, last) + 1
    arrival, order, synapse, cause, scratch = room(longest)
    start, event = np.empty(wiring.inputs + 1, np.int64), np.empty(longest, np.int64)
    grouped = -1
    for position in range(cursor, last * N):
        b, j = position // N, position % N
        if grouped != b:
            events_by_input(events, b, start, event)
            grouped = b
        count = arrivals_of(
            events, j, wiring, synapses, neurons, start, event, arrival, order, synapse, cause, scratch
        )  # fmt: skip
        neuron = neurons.parameters[j]
        tau = neuron[TAU_MEM]
        t, p, q, I, spikes = 0.0, 0.0, 1.0, 0.0, 0
        for k in range(count + 1):
            t_next = arrival[k] if k < count else neurons.duration
            while True:
                T = t + spike_after(p, q, I, tau)
                if t_next < T:
                    after = flow(t_next - t, p, q, I, tau)
                    if after[1] > 0.0 or after[0] < 0.0:  # right after a spike q = 0 > p
                        t, (p, q, I) = t_next, after
                        break
                    T = t_next  # rounding put the spike just behind the event
                if spikes == budget:
                    return BUDGET_EXCEEDED, position, filled
                if filled + spikes == buffer.rows.shape[0]:
                    return BUFFER_FULL, position, filled
                I *= exp(-2.0 * (T - t) / tau)
                row = buffer.rows[filled + spikes]
                row[TIME], row[CURRENT], row[ADAPTATION], row[RELEASE_CURRENT] = T, inf, 0.0, 0.0
                t, p, q, spikes = T, -1.0, 0.0, spikes + 1
            scale = abs(p) + q
            p, q = p / scale, q / scale
            if k < count:
                I += strength(synapse[order[k]], synapses, neuron)
        buffer.counts[b, j] = spikes
        filled += spikes
    return DONE, last * N, filled


@kernel
def merge_points(count, arrival, rows, t_end, time, which):
    """Own spikes (which = -1) and arrivals (their number) before t_end in one order, as the forward pass met them."""
    k, n, points = 0, 0, 0
    while n < rows.shape[0] or (k < count and arrival[k] < t_end):
        if n < rows.shape[0] and (k == count or rows[n, TIME] <= arrival[k]):
            time[points], which[points] = rows[n, TIME], -1
            n += 1
        else:
            time[points], which[points] = arrival[k], k
            k += 1
        points += 1
    return points


@kernel
def qif_backward(
    events, synapses, wiring, neurons, first, last, buffer, row_offset, grad_rows, gradients,
):  # fmt: skip
    """Gradients of the samples first..last - 1, as sparse.sparse_backward. Simulates once more for the states."""
    longest = longest_sample(events, first, last) + 1
    arrival, order, synapse, cause, scratch = room(longest)
    start, event = np.empty(wiring.inputs + 1, np.int64), np.empty(longest, np.int64)
    most = longest + max(0, buffer.counts[first:last].max()) if last > first else 0
    time, which, states = np.empty(most), np.empty(most, np.int64), np.empty((most + 1, 3))
    stride = 1 if synapses.delay.size > 1 else 0
    row = row_offset
    for b in range(first, last):
        events_by_input(events, b, start, event)
        for j in range(neurons.parameters.shape[0]):
            spikes = buffer.counts[b, j]
            rows, g_rows = buffer.rows[row : row + spikes], grad_rows[row : row + spikes]
            row += spikes
            if spikes == 0:
                continue
            neuron, grad = neurons.parameters[j], gradients.parameters[j]
            tau = neuron[TAU_MEM]
            count = arrivals_of(
                events, j, wiring, synapses, neurons, start, event, arrival, order, synapse, cause, scratch
            )  # fmt: skip
            points = merge_points(count, arrival, rows, rows[-1, TIME], time, which)
            t, p, q, I = 0.0, 0.0, 1.0, 0.0
            for m in range(points):
                states[m] = p, q, I  # right after the event before
                p, q, I = flow(time[m] - t, p, q, I, tau)
                t = time[m]
                if which[m] < 0:
                    p, q = -1.0, 0.0
                else:
                    scale = abs(p) + q
                    p, q = p / scale, q / scale
                    I += strength(synapse[order[which[m]]], synapses, neuron)
            P_p, P_q, P_I, n = 0.0, 0.0, 0.0, spikes
            for m in range(points - 1, -1, -1):
                t = time[m - 1] if m > 0 else 0.0
                p, q, I = states[m]
                p_end, q_end, I_end = flow(time[m] - t, p, q, I, tau)
                if which[m] < 0:
                    # after it (p, q) = (-1, 0): turned and scaled by p; dT = tau dq/p
                    n -= 1
                    P_p, P_q = P_p / -p_end, P_q / -p_end + g_rows[n] * tau / p_end
                else:
                    scale = abs(p_end) + q_end
                    P_p, P_q = P_p / scale, P_q / scale
                    arrived = order[which[m]]
                    s = synapse[arrived]
                    w = strength(s, synapses, neuron)
                    grad_t = w * (2.0 * P_I - q_end * P_p) / tau
                    if s == PSEUDO:
                        grad[PSEUDO_DRIVE] += P_I
                        grad[PSEUDO_TIME] += grad_t
                    else:
                        grad[THRESHOLD] -= P_I * w / neuron[THRESHOLD]
                        gradients.weight[s] += P_I / neuron[THRESHOLD]
                        gradients.delay[s * stride] += grad_t
                        gradients.times[cause[arrived]] += grad_t
                P_p, P_q, P_I, by_tau = flow_adjoint(time[m] - t, p, q, I, P_p, P_q, P_I, tau)
                grad[TAU_MEM] += by_tau

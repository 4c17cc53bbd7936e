"""Plain-Python twin of qif.py: V itself with complex functions, and derivatives of spike times by complex steps.

tau dV/dt = V (V - 1) + I is a Riccati equation with V(s) = c (V C + I S)/(C - V S), see README.md section 6. With
complex square roots one formula serves all signs of I, and the imaginary part of a spike time after a parameter has
moved by i h is its derivative times h, exact to rounding. Shares no code with the kernels.
"""

import cmath
import math

import numpy as np

from .layout import BUDGET_EXCEEDED, BUFFER_FULL, CURRENT, DONE, TIME, Full
from .qif import TAU, THRESHOLD

STEP = 1e-30


def flow(s, V, I, tau):
    """V and I a time s later; V = None stands for minus infinity."""
    if s == 0:
        return V, I
    c, root = cmath.exp(-s / tau), cmath.sqrt(I)
    angle = (1 - c) * root
    C, S = cmath.cos(angle), cmath.sin(angle) / root if root else 1 - c
    return (-c * C / S if V is None else c * (V * C + I * S) / (C - V * S)), I * c * c


def spike_after(V, I, tau):
    """How long until V is infinite, or None."""
    root = cmath.sqrt(I)
    if V is None:
        m = math.pi / root if I.real > 0 else None
    elif I.real > 0:
        m = (math.pi / 2 - cmath.atan(V / root)) / root
    elif V.real > abs(root):
        m = cmath.atan(root / V) / root if root else 1 / V
    else:
        m = None
    return -tau * cmath.log(1 - m) if m is not None and m.real < 1 else None


def spike_times(arrivals, tau, duration, most=10**9):
    """Complex spike times (a list) of a neuron with arrivals [(time, strength)], up to `most` + 1."""
    V, I, t, spikes = 0j, 0j, 0j, []
    for t_next, strength in [*sorted(arrivals, key=lambda arrival: arrival[0].real), (duration, 0)]:
        while len(spikes) <= most:
            s = spike_after(V, I, tau)
            if s is None or (t + s).real > complex(t_next).real:
                break
            V, I, t = None, I * cmath.exp(-2 * s / tau), t + s
            spikes.append(t)
        V, I = flow(t_next - t, V, I, tau)
        t, I = t_next, I + strength
    return spikes


def synapses_of(wiring, j):
    """[(synapse, input)] of neuron j."""
    if isinstance(wiring, Full):
        return [(j * wiring.inputs + i, i) for i in range(wiring.inputs)]
    return [(s, wiring.source[s]) for s in range(wiring.start[j], wiring.start[j + 1])]


def arrivals_of(events, b, j, projection, neuron, step=None):
    """[(time, strength)] of neuron j; step (what, index) moves one event time, weight, delay or parameter by i h."""

    def moved(array, name, index):
        return array[index] + (1j * STEP if step == (name, index) else 0)

    threshold = moved(neuron, "neuron", THRESHOLD)
    arrivals = []
    for k in range(events.offsets[b], events.offsets[b + 1]):
        for s, source in synapses_of(projection.wiring, j):
            if source == events.units[k]:
                d = s if projection.delay.size > 1 else 0
                t = moved(events.times, "time", k) + moved(projection.delay, "delay", d)
                arrivals.append((t, moved(projection.weight, "weight", s) / threshold))
    return arrivals


def qif_forward(events, projection, feedback, neurons, cursor, last, buffer, filled, peaks, budget):
    """As neuron_major.neuron_major_forward, without recurrent connections."""
    N = neurons.parameters.shape[0]
    for position in range(cursor, last * N):
        b, j = divmod(position, N)
        neuron = neurons.parameters[j]
        arrivals = arrivals_of(events, b, j, projection, neuron)
        arrivals = [arrival for arrival in arrivals if arrival[0] < neurons.duration]
        times = spike_times(arrivals, neuron[TAU], neurons.duration, budget)
        if len(times) > budget:
            return BUDGET_EXCEEDED, position, filled
        if filled + len(times) > buffer.rows.shape[0]:
            return BUFFER_FULL, position, filled
        for T in times:
            buffer.rows[filled] = 0.0
            buffer.rows[filled, TIME], buffer.rows[filled, CURRENT] = T.real, np.inf
            filled += 1
        buffer.counts[b, j] = len(times)
    return DONE, last * N, filled


def qif_backward(events, projection, feedback, neurons, span, buffer, order, sent, gradients, feedback_gradients):
    """As neuron_major_backward.neuron_major_backward: one forward pass for every parameter."""
    row = span.row
    for b in range(span.first, span.last):
        for j in range(neurons.parameters.shape[0]):
            G = sent.grad_rows[row : row + buffer.counts[b, j]]
            row += len(G)
            targets = {
                "time": (gradients.times, range(events.offsets[b], events.offsets[b + 1])),
                "weight": (gradients.weight, [s for s, _ in synapses_of(projection.wiring, j)]),
                "delay": (gradients.delay, range(gradients.delay.size)),
                "neuron": (gradients.parameters[j], (TAU, THRESHOLD)),
            }
            for name, (total, indices) in targets.items():
                for index in indices:
                    neuron = neurons.parameters[j]
                    arrivals = arrivals_of(events, b, j, projection, neuron, (name, index))
                    arrivals = [arrival for arrival in arrivals if complex(arrival[0]).real < neurons.duration]
                    tau = neuron[TAU] + (1j * STEP if (name, index) == ("neuron", TAU) else 0)
                    times = spike_times(arrivals, tau, neurons.duration)
                    total[index] += sum(g * T.imag / STEP for g, T in zip(G, times, strict=True))

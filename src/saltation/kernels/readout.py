"""Linear functionals of a leaky integrator's membrane potential, in closed form (README.md, section 5).

V is linear in its arrivals, so each functional is a sum over arrivals of weight x kernel(arrival time). mode VALUE: V
at a given time q; mode WINDOW: int_0^duration e^{-t/q} V dt (q = inf: the plain time integral).

The responses to a chunk of events are computed together, several in one register: once for all neurons where they share
delays and time constants, else for one neuron after the other.
"""

from math import inf

import numpy as np

from .decay import decay
from .jit import borrowing, inlined, kernel, sum_kernel
from .layout import TAU_MEM, TAU_SYN

VALUE, WINDOW = 0, 1
CHUNK = 64  # events
PARTS = 4  # of a response: its value, d_t, d_mem, d_syn


@inlined
def k_series(d):
    """k(d) = sum_j d^j / (j! (j + 2)) for |d| < 1: the first term left out is below 1e-17."""
    d_2 = d * d
    d_4 = d_2 * d_2
    a = (1 / 2 + 1 / 3 * d) + d_2 * (1 / 8 + 1 / 30 * d)
    b = (1 / 144 + 1 / 840 * d) + d_2 * (1 / 5760 + 1 / 45360 * d)
    c = (1 / 403200 + 1 / 3991680 * d) + d_2 * (1 / 43545600 + 1 / 518918400 * d)
    e = (1 / 6706022400 + 1 / 93405312000 * d) + d_2 * (1 / 1394852659200 + 1 / 22230464256000 * d)
    return a + d_4 * (b + d_4 * (c + d_4 * (e + d_4 * (1 / 376610217984000 + 1 / 6758061133824000 * d))))


@inlined
def response(mode, t, q, duration, tau_mem, tau_syn, with_taus):
    """The functional of one unit arrival at t, and its derivatives with respect to t, tau_mem and tau_syn.

    The last two are 0 unless with_taus. phi and its derivatives are those of flow.py, without branches.
    """
    m = 1.0 / tau_mem
    n = 1.0 / tau_syn
    s = q - t if mode == VALUE else duration - t
    there = s > 0.0
    s = s if there else 0.0
    x = s * m
    y = s * n
    d = abs(x - y)
    slow, slow_1 = decay(min(x, y))
    gap, gap_1 = decay(d)
    phi = x * slow * (-gap_1 / d if d > 0.0 else 1.0)
    fast, fast_1 = slow * gap, slow * gap_1 + slow_1  # no difference of close numbers
    e_mem, e_syn, e_syn_1 = (fast, slow, slow_1) if y < x else (slow, fast, fast_1)
    phi_mem = phi_syn = 0.0
    if with_taus:
        h = phi * tau_mem
        K_n = s * s * e_mem * k_series(x - y) if d < 1.0 else (s * e_syn - h) / (m - n)
        phi_mem, phi_syn = -m * m * (h - m * (s * h - K_n)), n * n * m * K_n
    if mode == VALUE:
        return phi, ((phi - e_syn) * m if there else 0.0), phi_mem, phi_syn
    # tau_mem V' = I - V times e^{-x/q}, integrated over [0, s]:  (1 + tau_mem/q) W = J - tau_mem e^{-s/q} phi(s),
    # J = int e^{-x/q} I dx = (1 - e^{-s r})/r,  r = 1/q + 1/tau_syn
    if q == inf:
        W = -e_syn_1 * tau_syn - tau_mem * phi
        d_mem, d_syn = -(phi + tau_mem * phi_mem), -e_syn_1 - y * e_syn - tau_mem * phi_syn
        return W, -phi, d_mem if with_taus else 0.0, d_syn if with_taus else 0.0
    rate = 1.0 / q
    r = rate + n
    norm = 1.0 / (1.0 + tau_mem * rate)
    e, e_1 = decay(s * rate)
    start = decay(t * rate)[0]
    e_r_1 = e * e_syn_1 + e_1  # e^{-s r} - 1
    J = -e_r_1 * (1.0 / r)
    W = (J - tau_mem * e * phi) * norm
    d_mem = -start * norm * (e * (phi + tau_mem * phi_mem) + W * rate)
    d_syn = start * norm * ((J - s * e * e_syn) * (n * n / r) - tau_mem * e * phi_syn)
    return start * W, -start * (W * rate + e * phi), d_mem if with_taus else 0.0, d_syn if with_taus else 0.0


@inlined
def fill(mode, times, q, duration, tau_mem, tau_syn, with_taus, out):
    """`response` to arrivals at all the times, one after the other in `out`; PARTS numbers each, or the first two."""
    for lane in range(times.size):
        value, d_t, d_mem, d_syn = response(mode, times[lane], q, duration, tau_mem, tau_syn, with_taus)
        out[PARTS * lane] = value
        out[PARTS * lane + 1] = d_t
        if with_taus:
            out[PARTS * lane + 2] = d_mem
            out[PARTS * lane + 3] = d_syn


@borrowing
def responses(mode, times, q, duration, tau_mem, tau_syn, with_taus, out):
    """`fill`, compiled for every case on its own: a loop that asked in the middle would compute all of them."""
    if mode == VALUE and with_taus:
        fill(VALUE, times, q, duration, tau_mem, tau_syn, True, out)
    elif mode == VALUE:
        fill(VALUE, times, q, duration, tau_mem, tau_syn, False, out)
    elif q == inf and with_taus:
        fill(WINDOW, times, inf, duration, tau_mem, tau_syn, True, out)
    elif q == inf:
        fill(WINDOW, times, inf, duration, tau_mem, tau_syn, False, out)
    elif with_taus:
        fill(WINDOW, times, q, duration, tau_mem, tau_syn, True, out)
    else:
        fill(WINDOW, times, q, duration, tau_mem, tau_syn, False, out)


@kernel
def one_response(synapses, neurons):
    """Whether one arrival has the same effect on all neurons: they share delays and time constants."""
    taus = neurons.parameters[:, : TAU_SYN + 1]
    return synapses.delay.shape[0] == 1 and (taus == taus[0]).all()


@borrowing
def arrive(events, delay, neuron, k, times):
    """When the events k, k + 1, ... arrive at a neuron."""
    row = neuron if delay.shape[0] > 1 else 0
    for lane in range(times.size):
        source = events.units[k + lane] if delay.shape[1] > 1 else 0
        times[lane] = events.times[k + lane] + delay[row, source]


@borrowing
def add_values(units, weights, found, begin, end, out):
    """out (N,) += weight x value of the response to events of these units, for the neurons begin ... end - 1."""
    for lane in range(units.size):
        i, value = units[lane], found[PARTS * lane]
        for j in range(begin, end):
            out[j] += weights[i, j] * value


@kernel
def readout_forward(mode, events, synapses, weights, neurons, first, last, points, out):
    """out (B, Q, N) += the functionals `points` (Q,) of the samples first..last - 1; weights (M, N), by input."""
    N, parameters = weights.shape[1], neurons.parameters
    step = N if one_response(synapses, neurons) else 1
    arrivals, found = np.empty(CHUNK), np.empty(PARTS * CHUNK)
    for b in range(first, last):
        stop = events.offsets[b + 1]
        for k in range(events.offsets[b], stop, CHUNK):
            times, units = arrivals[: min(CHUNK, stop - k)], events.units[k : min(k + CHUNK, stop)]
            for j in range(0, N, step):
                tau_mem, tau_syn = parameters[j, TAU_MEM], parameters[j, TAU_SYN]
                arrive(events, synapses.delay, j, k, times)
                for q in range(points.size):
                    responses(mode, times, points[q], neurons.duration, tau_mem, tau_syn, False, found)
                    add_values(units, weights, found, j, j + step, out[b, q])


@sum_kernel
def add_and_dot(grad_w, w, G, value):
    """grad_w += G value; returns the dot product of w and G."""
    total = 0.0
    for j in range(w.size):
        grad_w[j] += G[j] * value
        total += G[j] * w[j]
    return total


@kernel
def readout_backward(mode, events, synapses, weights, neurons, first, last, points, grad_out, with_taus, gradients):
    """Given grad_out = dL/dout (B, Q, N), add the gradients of the samples first..last - 1 to `gradients`.

    weights and gradients.weight (M, N), by input; with_taus: whether those of the time constants are wanted.
    """
    N, parameters = weights.shape[1], neurons.parameters
    step = N if one_response(synapses, neurons) else 1
    arrivals, found = np.empty(CHUNK), np.empty(PARTS * CHUNK)
    for b in range(first, last):
        stop = events.offsets[b + 1]
        for k in range(events.offsets[b], stop, CHUNK):
            times, units = arrivals[: min(CHUNK, stop - k)], events.units[k : min(k + CHUNK, stop)]
            for j in range(0, N, step):
                tau_mem, tau_syn = parameters[j, TAU_MEM], parameters[j, TAU_SYN]
                arrive(events, synapses.delay, j, k, times)
                for q in range(points.size):
                    responses(mode, times, points[q], neurons.duration, tau_mem, tau_syn, with_taus, found)
                    G = grad_out[b, q]
                    add_gradients(units, weights, found, j, j + step, G, gradients, gradients.times[k:stop])
                    if with_taus:
                        add_tau_gradients(units, weights, found, j, j + step, G, gradients.parameters)


@kernel
def readout_strengths(mode, ghosts, synapses, weights, neurons, first, last, points, grad_out, strengths):
    """Add dL/dstrength of the ghosts of the samples first..last - 1: the responses to them, times their weights."""
    N, parameters = weights.shape[1], neurons.parameters
    step = N if one_response(synapses, neurons) else 1
    arrivals, found = np.empty(CHUNK), np.empty(PARTS * CHUNK)
    for b in range(first, last):
        stop = ghosts.offsets[b + 1]
        for k in range(ghosts.offsets[b], stop, CHUNK):
            times, units = arrivals[: min(CHUNK, stop - k)], ghosts.units[k : min(k + CHUNK, stop)]
            for j in range(0, N, step):
                tau_mem, tau_syn = parameters[j, TAU_MEM], parameters[j, TAU_SYN]
                arrive(ghosts, synapses.delay, j, k, times)
                for q in range(points.size):
                    responses(mode, times, points[q], neurons.duration, tau_mem, tau_syn, False, found)
                    for lane in range(units.size):
                        for n in range(j, j + step):
                            strengths[k + lane] += grad_out[b, q, n] * weights[units[lane], n] * found[PARTS * lane]


@borrowing
def add_gradients(units, weights, found, begin, end, G, gradients, grad_times):
    """What events of these units bring to the gradients of their weights, delays and times."""
    delay = gradients.delay
    row = begin if delay.shape[0] > 1 else 0
    for lane in range(units.size):
        i = units[lane]
        w, grad_w, value = weights[i, begin:end], gradients.weight[i, begin:end], found[PARTS * lane]
        grad_t = found[PARTS * lane + 1] * add_and_dot(grad_w, w, G[begin:end], value)
        grad_times[lane] += grad_t
        delay[row, i if delay.shape[1] > 1 else 0] += grad_t


@borrowing
def add_tau_gradients(units, weights, found, begin, end, G, parameters):
    """What events of these units bring to the gradients of tau_mem and tau_syn of the neurons begin ... end - 1."""
    for lane in range(units.size):
        d_mem, d_syn = found[PARTS * lane + 2], found[PARTS * lane + 3]
        for j in range(begin, end):
            share = G[j] * weights[units[lane], j]
            parameters[j, TAU_MEM] += share * d_mem
            parameters[j, TAU_SYN] += share * d_syn

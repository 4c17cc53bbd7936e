"""Plain-Python twins of the kernels: the same results by the most direct way, for the tests and for reading.

The forward twin looks for crossings with SciPy on a fine grid of sub-intervals; the backward twin walks through *all*
events in reverse, one saltation at a time, exactly as README.md section 3 is written. Neither shares code with the
kernels.
"""

import math
from typing import NamedTuple

import numpy as np
from mpmath import mp
from scipy.optimize import brentq, minimize_scalar
from scipy.special import exprel

from .layout import (
    ADAPTATION,
    BUDGET_EXCEEDED,
    BUFFER_FULL,
    CURRENT,
    DONE,
    JUMP,
    REFRACTORY,
    RELEASE_CURRENT,
    TAU_ADAPT,
    TAU_MEM,
    TAU_SYN,
    THRESHOLD,
    TIME,
    V_RESET,
)


def phi(s, tau_mem, tau_syn):
    """V(s) that a unit current causes; s may be an array."""
    d = -abs(s / tau_mem - s / tau_syn)
    return s / tau_mem * np.exp(-s / max(tau_mem, tau_syn)) * exprel(d)


def state(s, V, I, a, neuron):
    """(V, I, a) after the free flow over s."""
    tau_mem, tau_syn, tau_adapt = neuron[TAU_MEM], neuron[TAU_SYN], neuron[TAU_ADAPT]
    V_s = V * np.exp(-s / tau_mem) + I * phi(s, tau_mem, tau_syn)
    return V_s, I * np.exp(-s / tau_syn), a * np.exp(-s / tau_adapt)


def above(s, V, I, a, neuron):
    """g = V - a - threshold after the free flow over s."""
    V_s, _, a_s = state(s, V, I, a, neuron)
    return V_s - a_s - neuron[THRESHOLD]


GRID = 2000
NEAR = 1e-3  # how close to 0 or to the best a grid maximum must be to be polished, relative to the state


def first_crossing(s, V, I, a, tau_mem, tau_syn, tau_adapt, threshold):
    """As crossing.first_crossing, by a grid, its local maxima polished, and Brent's method."""
    neuron = np.array([tau_mem, tau_syn, tau_adapt, threshold, 0.0, 0.0, 0.0])
    x, g = polished_grid(s, V, I, a, neuron)
    if g[0] > 0:
        return 0.0
    over = np.nonzero(g[1:] > 0)[0]
    if s == 0 or over.size == 0:
        return -1.0
    k = over[0]
    if g[k] >= 0.0:
        return x[k]
    return brentq(above, x[k], x[k + 1], args=(V, I, a, neuron), xtol=1e-300, rtol=4 * np.finfo(float).eps)


def highest(s, V, I, a, tau_mem, tau_syn, tau_adapt, threshold):
    """As crossing.highest, by the same grid."""
    neuron = np.array([tau_mem, tau_syn, tau_adapt, threshold, 0.0, 0.0, 0.0])
    x, g = polished_grid(s, V, I, a, neuron)
    k = int(np.argmax(g))
    V_x, I_x, a_x = state(x[k], V, I, a, neuron)
    slope = (I_x - V_x) / tau_mem + a_x / tau_adapt
    return x[k], g[k], slope if x[k] in (0.0, s) else 0.0


def polished_grid(s, V, I, a, neuron):
    """A grid over [0, s], uniform and logarithmic, with every local maximum of g added to 1e-12."""
    x = np.unique(np.concatenate([np.linspace(0.0, s, GRID), s * np.logspace(-9, 0, GRID)]))
    g = above(x, V, I, a, neuron)
    tops = []
    near = NEAR * (abs(V) + abs(I) + abs(a))
    for k in range(1, x.size - 1):
        if g[k] >= g[k - 1] and g[k] >= g[k + 1] and (abs(g[k]) < near or g[k] > g.max() - near):
            found = minimize_scalar(
                lambda y: -above(y, V, I, a, neuron),
                bounds=(x[k - 1], x[k + 1]),
                method="bounded",
                options={"xatol": 1e-12 * s},
            )
            tops.append(found.x)
    x = np.unique(np.concatenate([x, tops]))
    return x, above(x, V, I, a, neuron)


class Moment(NamedTuple):
    """One discontinuity of a neuron's trajectory: arrival k, own spike n, or the release of V after a spike."""

    kind: str
    number: int
    t: float
    before: tuple
    after: tuple
    held_before: bool
    held_after: bool
    forced: bool


def trajectory(arrivals, neuron, neurons, budget):
    """All moments of one neuron, given sorted arrivals [(t, weight, k)], and (peak, peak_time, peak_slope)."""
    refractory, threshold = neuron[REFRACTORY], neuron[THRESHOLD]
    t, x, held = 0.0, (0.0, 0.0, 0.0), False
    release, spikes, moments = math.inf, 0, []
    peak = (-threshold, 0.0, 0.0)
    queue = list(arrivals)
    while t < neurons.duration:
        stop = min(queue[0][0] if queue else math.inf, release if held else math.inf, neurons.duration)
        just_released = bool(moments) and moments[-1].kind == "release" and moments[-1].t == t
        dt = -1.0
        forced = False
        if not held and neurons.spiking:
            if above(0.0, *x, neuron) > 0:
                dt, forced = 0.0, just_released
            else:
                dt = first_crossing(stop - t, *x, *neuron[:4])
        if dt < 0:
            peak = max(peak, best_between(t, stop, x, held, neuron), key=lambda candidate: candidate[0])
            x = flow(stop - t, x, held, neuron)
            t = stop
            if t == neurons.duration:
                break
            if held and t == release:
                moments.append(Moment("release", spikes - 1, t, x, x, True, False, False))
                held = False
                continue
            _, w, k = queue.pop(0)
            after = (x[0], x[1] + w, x[2])
            moments.append(Moment("arrival", k, t, x, after, held, held, False))
            x = after
            continue
        if spikes == budget:
            return None, peak
        x = flow(dt, x, False, neuron)
        t += dt
        V_plus = x[0] - neuron[THRESHOLD] if neurons.subtract else neuron[V_RESET]
        after = (V_plus, x[1], x[2] + neuron[JUMP])
        held = refractory > 0
        moments.append(Moment("spike", spikes, t, x, after, False, held, forced))
        release = t + refractory
        spikes += 1
        x = after
        peak = best_between(t, t, x, held, neuron)
    return moments, peak


def flow(s, x, held, neuron):
    """The state after s, with V held or free."""
    V, I, a = state(s, *x, neuron)
    return (x[0] if held else V, I, a)


def best_between(t, stop, x, held, neuron):
    """(g, time, slope of g just before) at the maximum of g between two moments."""
    if held or stop == t:
        options = []
        for s in (0.0, stop - t):
            V, I, a = flow(s, x, held, neuron)
            slope = a / neuron[TAU_ADAPT] + (0.0 if held else (I - V) / neuron[TAU_MEM])
            options.append((V - a - neuron[THRESHOLD], t + s if s == 0.0 else stop, slope))
        return max(options, key=lambda candidate: candidate[0])
    where, g, slope = highest(stop - t, *x, *neuron[:4])
    return g, t + where, slope


def arrivals_of(b, j, events, synapses, duration):
    """Sorted [(t, weight, k)] of neuron j in sample b."""
    N, M = synapses.weight.shape
    delay = np.broadcast_to(synapses.delay, (N, M))
    span = range(events.offsets[b], events.offsets[b + 1])
    found = [(events.times[k] + delay[j, events.units[k]], synapses.weight[j, events.units[k]], k) for k in span]
    return sorted((arrival for arrival in found if arrival[0] < duration), key=lambda arrival: arrival[0])


def lif_forward(events, synapses, neurons, cursor, last, buffer, filled, peaks, budget):
    """As forward.lif_forward."""
    N = synapses.weight.shape[0]
    for position in range(cursor, last * N):
        b, j = divmod(position, N)
        arrivals = arrivals_of(b, j, events, synapses, neurons.duration)
        moments, peak = trajectory(arrivals, neurons.parameters[j], neurons, budget)
        if moments is None:
            return BUDGET_EXCEEDED, position, filled
        spikes = [moment for moment in moments if moment.kind == "spike"]
        if filled + len(spikes) > buffer.rows.shape[0]:
            return BUFFER_FULL, position, filled
        released = {moment.number: moment.before[1] for moment in moments if moment.kind == "release"}
        for spike in spikes:
            row = buffer.rows[filled]
            row[TIME], row[CURRENT], row[ADAPTATION] = spike.t, spike.before[1], spike.before[2]
            row[RELEASE_CURRENT] = released.get(spike.number, spike.before[1])
            filled += 1
        buffer.counts[b, j] = len(spikes)
        if peaks.value.size:
            peaks.value[b, j], peaks.time[b, j], peaks.slope[b, j] = peak
    return DONE, last * N, filled


def lif_backward(
    events,
    synapses,
    neurons,
    first,
    last,
    buffer,
    row_offset,
    grad_rows,
    peaks,
    grad_peak,
    min_slope,
    with_taus,
    gradients,
):
    """As backward.lif_backward: in reverse through every moment of every neuron (README.md, section 3)."""
    N, M = synapses.weight.shape
    row = row_offset
    for b in range(first, last):
        for j in range(N):
            neuron = neurons.parameters[j]
            arrivals = arrivals_of(b, j, events, synapses, neurons.duration)
            moments, peak = trajectory(arrivals, neuron, neurons, 10**9)
            spikes = sum(moment.kind == "spike" for moment in moments)
            G_rows = grad_rows[row : row + spikes]
            row += spikes
            G_peak = grad_peak[b, j] if grad_peak.size else 0.0
            grad_w, grad_t = sweep(moments, peak, neuron, neurons, G_rows, G_peak, min_slope, gradients.parameters[j])
            for k in grad_w:
                i = events.units[k]
                where = (j if synapses.delay.shape[0] > 1 else 0, i if synapses.delay.shape[1] > 1 else 0)
                gradients.weight[j, i] += grad_w[k]
                gradients.delay[where] += grad_t[k]
                gradients.times[k] += grad_t[k]


def sweep(moments, peak, neuron, neurons, G_rows, G_peak, min_slope, grad):
    """Backwards through one neuron. Returns {k: dL/dw} and {k: dL/dt}; adds to grad (7,)."""
    grad_w, grad_t = {}, {}
    p = np.zeros(3)
    G_moved = dict.fromkeys(range(len(G_rows)), 0.0)  # dL/dT_n through the release that follows spike n
    _, peak_time, peak_slope = peak
    pending = G_peak != 0.0
    end = peak_time if pending else (moments[-1].t if moments else 0.0)
    if pending:
        p = np.array([G_peak, 0.0, -G_peak])
        grad[THRESHOLD] -= G_peak
    visible = [moment for moment in moments if moment.t <= end]
    for position in range(len(visible) - 1, -1, -1):
        moment = visible[position]
        p = back(end - moment.t, p, moment.after, moment.held_after, neuron, grad)
        end = moment.t
        V, I, a = moment.before
        # A peak that is a kink at this very moment moves with it; what it is the peak *of* is the state before an
        # arrival or a release, the state after a spike.
        moves = pending and moment.t == peak_time
        if moves and moment.kind == "arrival":
            grad_w[moment.number], grad_t[moment.number] = 0.0, G_peak * peak_slope
            pending = False
        elif moves and moment.kind == "release":
            G_moved[moment.number] += G_peak * peak_slope
            pending = False
        elif moment.kind == "arrival":
            w = moment.after[1] - moment.before[1]
            flow_V = 0.0 if moment.held_before else w / neuron[TAU_MEM]
            grad_w[moment.number] = p[1]
            grad_t[moment.number] = w * p[1] / neuron[TAU_SYN] - flow_V * p[0]
        elif moment.kind == "release":
            following = visible[position + 1] if position + 1 < len(visible) else None
            if not (following is not None and following.kind == "spike" and following.forced):
                G = -p[0] * (I - V) / neuron[TAU_MEM]
                G_moved[moment.number] += G
                grad[REFRACTORY] += G
        elif moment.kind == "spike":
            G = G_rows[moment.number] + G_moved[moment.number] + (G_peak * peak_slope if moves else 0.0)
            pending = False
            grad[JUMP] += p[2]
            grad[THRESHOLD if neurons.subtract else V_RESET] += -p[0] if neurons.subtract else p[0]
            DR = np.diag([1.0 if neurons.subtract else 0.0, 1.0, 1.0])
            f_before = field(moment.before, False, neuron)
            f_after = field(moment.after, moment.held_after, neuron)
            if moment.forced:
                f_before[0] = 0.0
                G_moved[moment.number - 1] += G + p @ (DR @ f_before - f_after)
                grad[REFRACTORY] += G + p @ (DR @ f_before - f_after)
                p = DR.T @ p
                continue
            grad_g = np.array([1.0, 0.0, -1.0])
            slope = max(grad_g @ f_before, min_slope)
            S = DR + np.outer(f_after - DR @ f_before, grad_g) / slope
            c = (p @ (f_after - DR @ f_before) - G) / slope
            grad[THRESHOLD] -= c
            p = S.T @ p - G * grad_g / slope
    return grad_w, grad_t


def field(x, held, neuron):
    """f: the right-hand sides of the equations of motion."""
    V, I, a = x
    return np.array(
        [0.0 if held else (I - V) / neuron[TAU_MEM], -I / neuron[TAU_SYN], -a / neuron[TAU_ADAPT]],
    )


NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(24)


def back(s, p, x, held, neuron, grad):
    """p at the start of an interval of length s that begins in state x; adds the integrals for dL/dtau to grad."""
    tau_mem, tau_syn, tau_adapt = neuron[TAU_MEM], neuron[TAU_SYN], neuron[TAU_ADAPT]
    for node, node_weight in zip(0.5 * s * (NODES + 1.0), 0.5 * s * NODE_WEIGHTS, strict=True):
        V, I, a = flow(node, x, held, neuron)
        q = adjoint_flow(s - node, p, held, neuron)
        if not held:
            grad[TAU_MEM] += node_weight * q[0] * (V - I) / tau_mem**2
        grad[TAU_SYN] += node_weight * q[1] * I / tau_syn**2
        grad[TAU_ADAPT] += node_weight * q[2] * a / tau_adapt**2
    return adjoint_flow(s, p, held, neuron)


def adjoint_flow(s, p, held, neuron):
    """p a time s earlier."""
    tau_mem, tau_syn, tau_adapt = neuron[TAU_MEM], neuron[TAU_SYN], neuron[TAU_ADAPT]
    q_V = p[0] if held else p[0] * np.exp(-s / tau_mem)
    q_I = p[1] * np.exp(-s / tau_syn) + (0.0 if held else p[0] * phi(s, tau_mem, tau_syn))
    return np.array([q_V, q_I, p[2] * np.exp(-s / tau_adapt)])


def response(mode, t, q, duration, tau_mem, tau_syn):
    """As readout.response, by quadrature and numerical differentiation with 40 digits."""
    mp.dps = 40

    def potential(s, tau_m, tau_s):
        d = s / tau_m - s / tau_s
        return s / tau_m * mp.exp(-s / tau_m) * (mp.expm1(d) / d if d else 1)

    def functional(t, tau_m, tau_s):
        if mode == 0:
            return potential(q - t, tau_m, tau_s) if q > t else mp.mpf(0)
        if t >= duration:
            return mp.mpf(0)
        return mp.quad(lambda x: mp.exp(-x / q) * potential(x - t, tau_m, tau_s), mp.linspace(t, duration, 9))

    at = (mp.mpf(t), mp.mpf(tau_mem), mp.mpf(tau_syn))
    derivatives = [mp.diff(functional, at, order) for order in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
    return float(functional(*at)), *(float(value) for value in derivatives)

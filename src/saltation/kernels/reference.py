"""Plain-Python twin of LIF neurons: the same results by the most direct way, for the tests and for reading.

The forward twin looks for crossings with SciPy on a fine grid of sub-intervals; the backward twin walks through *all*
events in reverse, one saltation at a time, exactly as README.md section 3 is written. Neither shares code with the
kernels.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import exprel
from scipy.stats import norm

from .layout import (
    ADAPTATION,
    BUDGET_EXCEEDED,
    BUFFER_FULL,
    CURRENT,
    DONE,
    GHOST_REACH,
    JUMP,
    MARGIN,
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


def slope_of(x, neuron):
    """dg/dt in the state x, with V free."""
    V, I, a = x
    return (I - V) / neuron[TAU_MEM] + a / neuron[TAU_ADAPT]


def top_between(s, x, neuron):
    """Where g has its one maximum inside an interval of length s that begins in the state x; inf if nowhere."""
    times = np.unique(np.concatenate([np.linspace(0.0, s, GRID), s * np.logspace(-9, 0, GRID)]))
    slopes = slope_of(state(times, *x, neuron), neuron)
    falls = np.nonzero((slopes[:-1] > 0) & (slopes[1:] <= 0))[0]
    if falls.size == 0:
        return math.inf
    k = falls[0]
    if slopes[k + 1] == 0.0:
        return times[k + 1] if k + 2 < times.size else math.inf
    return brentq(lambda y: slope_of(state(y, *x, neuron), neuron), times[k], times[k + 1], xtol=1e-300, rtol=1e-15)


class Moment(NamedTuple):
    """One event of a neuron's trajectory: arrival k, own spike n, ghost -1 - n, or the release of V."""

    kind: str
    number: int
    t: float
    before: tuple
    after: tuple
    held_before: bool
    held_after: bool
    forced: bool


class Walk:
    """One neuron on its way through its moments: `plan` says when the next one is, `step` takes it.

    arrivals: sorted [(t, weight, k)]; more may be added as long as they are later than the last step.
    """

    def __init__(self, arrivals, neuron, neurons):
        self.queue, self.neuron, self.neurons = list(arrivals), neuron, neurons
        self.t, self.x, self.held, self.release = 0.0, (0.0, 0.0, 0.0), False, math.inf
        self.spikes, self.moments = 0, []
        self.peak = (-neuron[THRESHOLD], 0.0, 0.0)
        self.planned = None

    def add(self, t, weight, k):
        """One more arrival, behind those of the same time."""
        place = sum(arrival[0] <= t for arrival in self.queue)
        self.queue.insert(place, (t, weight, k))
        self.planned = None

    def plan(self):
        """(time of the next moment, whether it is a spike, whether that is forced); at the end: inf."""
        if self.planned is None and self.t >= self.neurons.duration:
            self.planned = math.inf, False, False
        if self.planned is None:
            stop = min(
                self.queue[0][0] if self.queue else math.inf,
                self.release if self.held else math.inf,
                self.neurons.duration,
            )
            just_released = bool(self.moments) and self.moments[-1].kind == "release" and self.moments[-1].t == self.t
            dt, forced = -1.0, False
            if not self.held and self.neurons.spiking:
                if above(0.0, *self.x, self.neuron) > 0:
                    dt, forced = 0.0, just_released
                else:
                    dt = first_crossing(stop - self.t, *self.x, *self.neuron[:4])
            self.planned = (stop, False, False) if dt < 0 else (self.t + dt, True, forced)
        return self.planned

    def step(self):
        """Go to the next moment and through it; returns whether that was a spike."""
        time, is_spike, forced = self.plan()
        self.planned = None
        neuron, start = self.neuron, self.t
        if not is_spike:
            best = best_between(start, time, self.x, self.held, neuron)
            self.peak = max(self.peak, best, key=lambda candidate: candidate[0])
        x = flow(time - start, self.x, self.held, neuron)
        self.t, self.x = time, x
        if is_spike:
            V_plus = x[0] - neuron[THRESHOLD] if self.neurons.subtract else neuron[V_RESET]
            self.x, self.held = (V_plus, x[1], x[2] + neuron[JUMP]), neuron[REFRACTORY] > 0
            self.moments.append(Moment("spike", self.spikes, time, x, self.x, False, self.held, forced))
            self.release, self.spikes = time + neuron[REFRACTORY], self.spikes + 1
            self.peak = best_between(time, time, self.x, self.held, neuron)
        elif time == self.neurons.duration:
            pass
        elif self.held and time == self.release:
            self.moments.append(Moment("release", self.spikes - 1, time, x, x, True, False, False))
            self.held = False
        else:
            _, w, k = self.queue.pop(0)
            self.x = (x[0], x[1] + w, x[2])
            self.moments.append(Moment("arrival", k, time, x, self.x, self.held, self.held, False))
        return is_spike


def ghosts_of(walk):
    """The ghosts of a neuron that has come to the end: the highest maximum of every visit of g near 0 from below that
    ends without a spike.
    """
    neuron, neurons = walk.neuron, walk.neurons
    lowest = -GHOST_REACH * neurons.smoothing * abs(neuron[THRESHOLD])
    found, best, rising = [], (0.0, None), None
    t, x, held = 0.0, (0.0, 0.0, 0.0), False
    for moment in [*walk.moments, None]:
        stop = neurons.duration if moment is None else moment.t
        if not held and stop > t:
            top = top_between(stop - t, x, neuron)
            maxima = [(t, rising)] if rising is not None and slope_of(x, neuron) <= 0.0 else []
            maxima += [(t + top, state(top, *x, neuron))] if top < math.inf else []
            for time, y in maxima:
                g = above(0.0, *y, neuron)
                if lowest < g < 0.0 and (best[1] is None or g > best[0]):
                    best = g, Moment("ghost", -1 - len(found), time, y, y, False, False, False)
            before = state(stop - t, *x, neuron)
            g = above(0.0, *before, neuron)
            rising = before if slope_of(before, neuron) > 0.0 and lowest < g < 0.0 else None
            is_spike = moment is not None and moment.kind == "spike"
            if best[1] is not None and not is_spike and (g <= lowest or stop == neurons.duration):
                found.append(best[1])
                best = 0.0, None
        if moment is not None:
            t, x, held = moment.t, moment.after, moment.held_after
            if moment.kind == "spike":
                best, rising = (0.0, None), None
    return found


def trajectory(arrivals, neuron, neurons, budget):
    """All moments of one neuron, given sorted arrivals [(t, weight, k)], and (peak, peak_time, peak_slope)."""
    walk = Walk(arrivals, neuron, neurons)
    while walk.plan()[0] < math.inf:
        if walk.plan()[1] and walk.spikes == budget:
            return None, walk.peak
        walk.step()
    return walk.moments, walk.peak


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
    """Of all-to-all LIF neurons, with the arguments of sweep.sweep_forward but for its tiles."""
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
            row[MARGIN] = 0.0
            filled += 1
        buffer.counts[b, j] = len(spikes)
        if peaks.value.size:
            peaks.value[b, j], peaks.time[b, j], peaks.slope[b, j] = peak
    return DONE, last * N, filled


def lif_backward(events, synapses, neurons, span, buffer, sent, gradients):
    """Its counterpart: in reverse through every moment of every neuron (README.md, section 3)."""
    N, row = synapses.weight.shape[0], span.row
    for b in range(span.first, span.last):
        for j in range(N):
            neuron = neurons.parameters[j]
            arrivals = arrivals_of(b, j, events, synapses, neurons.duration)
            moments, peak = trajectory(arrivals, neuron, neurons, 10**9)
            spikes = sum(moment.kind == "spike" for moment in moments)
            G_rows = sent.grad_rows[row : row + spikes]
            row += spikes
            G_peak = sent.grad_peak[b, j] if sent.grad_peak.size else 0.0
            grad_w, grad_t = sweep(
                moments, peak, neuron, neurons, G_rows, G_peak, sent.min_slope, gradients.parameters[j]
            )
            for k in grad_w:
                i = events.units[k]
                where = (j if synapses.delay.shape[0] > 1 else 0, i if synapses.delay.shape[1] > 1 else 0)
                gradients.weight[j, i] += grad_w[k]
                gradients.delay[where] += grad_t[k]
                gradients.times[k] += grad_t[k]


def sweep(moments, peak, neuron, neurons, G_rows, G_peak, min_slope, grad):
    """Backwards through one neuron. Returns {k: dL/dw} and {k: dL/dt}; adds to grad (7,)."""
    back = Back(moments, peak, neuron, neurons, G_peak, min_slope, grad)
    grad_w, grad_t = {}, {}
    for moment in reversed(back.visible):
        gradients = back.step(G_rows[moment.number] if moment.kind == "spike" else 0.0)
        if moment.kind == "arrival":
            grad_w[moment.number], grad_t[moment.number] = gradients
    return grad_w, grad_t


class Back:
    """The adjoint of one neuron on its way back through its moments, as far as anything depends on them.

    exact: the adjoint as it would be without what ghosts add to it; then: its value just before the own spike or ghost
    that came last, at next_own.
    """

    def __init__(self, moments, peak, neuron, neurons, G_peak, min_slope, grad):
        self.neuron, self.neurons, self.min_slope, self.grad = neuron, neurons, min_slope, grad
        self.G_peak, (_, self.peak_time, self.peak_slope) = G_peak, peak
        self.G_moved = {}  # dL/dT_n through the release that follows spike n, and spikes that move along
        self.exact_moved = {}
        self.pending = G_peak != 0.0  # the peak has not found the moment that it moves with, if it is a kink
        self.end = self.peak_time if self.pending else (moments[-1].t if moments else 0.0)
        self.p = np.array([G_peak, 0.0, -G_peak])
        self.next_own, self.exact, self.then = self.end, self.p, self.p
        grad[THRESHOLD] -= G_peak
        self.visible = [moment for moment in moments if moment.t <= self.end]
        self.position = len(self.visible)

    def move(self, number, G, G_exact=None):
        """Add to dL/dT of an earlier spike, or to dL/dstrength of a ghost."""
        self.G_moved[number] = self.G_moved.get(number, 0.0) + G
        self.exact_moved[number] = self.exact_moved.get(number, 0.0) + (G if G_exact is None else G_exact)

    def step(self, G_own=0.0):
        """Through the moment before; (dL/dw, dL/dt) if it is an arrival. G_own: dL/dT if it is a spike, dL/dstrength if
        it is a ghost: then returns (number, dL/dt) of the arrival that it moves with, if it is a kink.
        """
        self.position -= 1
        moment = self.visible[self.position]
        neuron, grad = self.neuron, self.grad
        self.exact = adjoint_flow(self.end - moment.t, self.exact, moment.held_after, neuron)
        self.p = p = back(self.end - moment.t, self.p, moment.after, moment.held_after, neuron, grad)
        self.end = moment.t
        V, I, _ = moment.before
        # A peak that is a kink at this very moment moves with it; what it is the peak *of* is the state before an
        # arrival or a release, the state after a spike.
        moves = self.pending and moment.t == self.peak_time
        G_kink = self.G_peak * self.peak_slope if moves else 0.0
        self.pending &= not moves and moment.kind != "spike"
        if moment.kind == "ghost":
            return self.through_ghost(moment, G_own + self.G_moved.get(moment.number, 0.0))
        if moment.kind == "spike":
            G_exact = self.exact_moved.get(moment.number, 0.0)
            self.through_spike(moment, G_own + self.G_moved.get(moment.number, 0.0) + G_kink, G_own + G_exact)
        elif moment.kind == "arrival" and moves:
            return 0.0, G_kink
        elif moment.kind == "arrival":
            w = moment.after[1] - moment.before[1]
            flow_V = 0.0 if moment.held_before else w / neuron[TAU_MEM]
            return p[1], w * p[1] / neuron[TAU_SYN] - flow_V * p[0]
        elif moves:
            self.move(moment.number, G_kink)
        else:
            rest = self.visible[self.position + 1 : self.position + 2]
            if not (rest and rest[0].kind == "spike" and rest[0].forced):
                slope = (I - V) / neuron[TAU_MEM]
                self.move(moment.number, -p[0] * slope, -self.exact[0] * slope)
                grad[REFRACTORY] -= p[0] * slope
        return None

    def through_ghost(self, moment, G):
        """What a spike at a maximum below threshold would change, times the density of the noise that lets it be."""
        neuron, (V, I, _) = self.neuron, moment.before
        held = min(neuron[REFRACTORY], self.next_own - moment.t)
        V_free = state(held, V, I, 0.0, neuron)[0]
        V_held = V - neuron[THRESHOLD] if self.neurons.subtract else neuron[V_RESET]
        p_V = adjoint_flow(self.next_own - moment.t - held, self.then, False, neuron)[0]
        effect = G + p_V * (V_held - V_free) + neuron[JUMP] * self.exact[2]
        sigma = self.neurons.smoothing * abs(neuron[THRESHOLD])
        grad_margin = effect * norm.pdf(above(0.0, *moment.before, neuron), scale=sigma)
        self.grad[THRESHOLD] -= grad_margin
        self.p = self.p + grad_margin * np.array([1.0, 0.0, -1.0])
        self.next_own, self.then = moment.t, self.exact
        for other in self.visible[self.position + 1 :]:
            if other.t == moment.t and other.kind == "arrival" and other.before != other.after:
                return other.number, grad_margin * slope_of(moment.before, neuron)
        return None

    def through_spike(self, moment, G, G_exact):
        """Over an own spike."""
        p, grad, subtract = self.p, self.grad, self.neurons.subtract
        grad[JUMP] += p[2]
        grad[THRESHOLD if subtract else V_RESET] += -p[0] if subtract else p[0]
        self.p, c, G_before = self.saltation(moment, p, G)
        self.exact, _, exact_before = self.saltation(moment, self.exact, G_exact)
        self.next_own, self.then = moment.t, self.exact
        grad[THRESHOLD] -= c
        if moment.forced:
            self.move(moment.number - 1, G_before, exact_before)
            grad[REFRACTORY] += G_before

    def saltation(self, moment, p, G):
        """p just before an own spike with dL/dT = G, by how much dL/dthreshold falls, and dL/dT of the spike before,
        with which a forced one moves.
        """
        DR = np.diag([1.0 if self.neurons.subtract else 0.0, 1.0, 1.0])
        f_before = field(moment.before, False, self.neuron)
        f_after = field(moment.after, moment.held_after, self.neuron)
        if moment.forced:
            f_before[0] = 0.0
            return DR.T @ p, 0.0, G + p @ (DR @ f_before - f_after)
        grad_g = np.array([1.0, 0.0, -1.0])
        slope = max(grad_g @ f_before, self.min_slope)
        S = DR + np.outer(f_after - DR @ f_before, grad_g) / slope
        return S.T @ p - G * grad_g / slope, (p @ (f_after - DR @ f_before) - G) / slope, 0.0


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

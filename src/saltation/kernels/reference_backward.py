"""Plain-Python twin of LIF neurons, backwards: through *all* events in reverse, one saltation at a time, exactly as
README.md section 3 is written. Shares no code with the kernels.
"""

import numpy as np
from scipy.stats import norm

from .layout import JUMP, REFRACTORY, TAU_ADAPT, TAU_MEM, TAU_SYN, THRESHOLD, V_RESET
from .reference import arrivals_of, flow, trajectory
from .reference_crossing import above, phi, slope_of, state


def lif_backward(events, synapses, neurons, span, buffer, sent, gradients):
    """The counterpart of `reference.lif_forward`: in reverse through every moment of every neuron."""
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

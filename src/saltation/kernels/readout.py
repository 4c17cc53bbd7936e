"""Linear functionals of a leaky integrator's membrane potential, in closed form (README.md, section 5).

V is linear in its arrivals, so each functional is a sum over arrivals of weight x kernel(arrival time). mode VALUE: V
at a given time q; mode WINDOW: int_0^duration e^{-t/q} V dt (q = inf: the plain time integral).
"""

from math import exp, expm1

from .flow import phi_gradient
from .jit import kernel
from .layout import TAU_MEM, TAU_SYN

VALUE, WINDOW = 0, 1


@kernel
def response(mode, t, q, duration, tau_mem, tau_syn):
    """The functional of one unit arrival at t, and its derivatives with respect to t, tau_mem and tau_syn."""
    if mode == VALUE:
        s = q - t
        if s <= 0.0:
            return 0.0, 0.0, 0.0, 0.0
        value, d_mem, d_syn = phi_gradient(s, tau_mem, tau_syn)
        return value, (value - exp(-s / tau_syn)) / tau_mem, d_mem, d_syn
    s = duration - t
    if s <= 0.0:
        return 0.0, 0.0, 0.0, 0.0
    # tau_mem V' = I - V times e^{-x/q}, integrated over [0, s]:  (1 + tau_mem/q) W = J - tau_mem e^{-s/q} phi(s),
    # J = int e^{-x/q} I dx = (1 - e^{-s r})/r,  r = 1/q + 1/tau_syn
    value, d_mem, d_syn = phi_gradient(s, tau_mem, tau_syn)
    r = 1.0 / q + 1.0 / tau_syn
    e = exp(-s / q)
    J = -expm1(-s * r) / r
    norm = 1.0 + tau_mem / q
    W = (J - tau_mem * e * value) / norm
    J_syn = (J - s * exp(-s * r)) / (r * tau_syn * tau_syn)
    W_syn = (J_syn - tau_mem * e * d_syn) / norm
    W_mem = -(e * (value + tau_mem * d_mem) + W / q) / norm
    start = exp(-t / q)
    return start * W, -start * (W / q + e * value), start * W_mem, start * W_syn


@kernel
def readout_forward(mode, events, synapses, neurons, first, last, points, out):
    """out (B, N, Q) += the functionals `points` (Q,) of the samples first..last - 1."""
    source_stride = 1 if synapses.delay.shape[1] > 1 else 0
    shared = synapses.delay.shape[0] == 1
    N, Q = synapses.weight.shape[0], points.size
    tau_mem, tau_syn = neurons.parameters[:, TAU_MEM], neurons.parameters[:, TAU_SYN]
    for b in range(first, last):
        for k in range(events.offsets[b], events.offsets[b + 1]):
            i = events.units[k]
            for q in range(Q):
                value = 0.0
                for j in range(N):
                    # one kernel value serves all neurons with the same arrival time and time constants
                    if j == 0 or not shared or tau_mem[j] != tau_mem[j - 1] or tau_syn[j] != tau_syn[j - 1]:
                        t = events.times[k] + synapses.delay[0 if shared else j, i * source_stride]
                        value = response(mode, t, points[q], neurons.duration, tau_mem[j], tau_syn[j])[0]
                    out[b, j, q] += synapses.weight[j, i] * value


@kernel
def readout_backward(mode, events, synapses, neurons, first, last, points, grad_out, gradients):
    """Given grad_out = dL/dout (B, N, Q), add the gradients of the samples first..last - 1 to `gradients`."""
    source_stride = 1 if synapses.delay.shape[1] > 1 else 0
    shared = synapses.delay.shape[0] == 1
    N, Q = synapses.weight.shape[0], points.size
    tau_mem, tau_syn = neurons.parameters[:, TAU_MEM], neurons.parameters[:, TAU_SYN]
    for b in range(first, last):
        for k in range(events.offsets[b], events.offsets[b + 1]):
            i = events.units[k]
            for q in range(Q):
                value, d_t, d_mem, d_syn = 0.0, 0.0, 0.0, 0.0
                for j in range(N):
                    j_delay = 0 if shared else j
                    if j == 0 or not shared or tau_mem[j] != tau_mem[j - 1] or tau_syn[j] != tau_syn[j - 1]:
                        t = events.times[k] + synapses.delay[j_delay, i * source_stride]
                        value, d_t, d_mem, d_syn = response(
                            mode, t, points[q], neurons.duration, tau_mem[j], tau_syn[j]
                        )
                    G = grad_out[b, j, q]
                    w = synapses.weight[j, i]
                    gradients.weight[j, i] += G * value
                    gradients.parameters[j, TAU_MEM] += G * w * d_mem
                    gradients.parameters[j, TAU_SYN] += G * w * d_syn
                    gradients.delay[j_delay, i * source_stride] += G * w * d_t
                    gradients.times[k] += G * w * d_t

"""Linear functionals of a leaky integrator's membrane potential, in closed form (README.md, section 5).

V is linear in its arrivals, so each functional is a sum over arrivals of weight x kernel(arrival time). mode VALUE: V
at a given time q; mode WINDOW: int_0^duration e^{-t/q} V dt (q = inf: the plain time integral).
"""

from math import exp, expm1

from .flow import phi, phi_gradient
from .jit import kernel, sum_kernel
from .layout import TAU_MEM, TAU_SYN

VALUE, WINDOW = 0, 1


@kernel
def response(mode, t, q, duration, tau_mem, tau_syn, with_taus):
    """The functional of one unit arrival at t, and its derivatives with respect to t, tau_mem and tau_syn.

    The last two are 0 unless with_taus.
    """
    s = q - t if mode == VALUE else duration - t
    if s <= 0.0:
        return 0.0, 0.0, 0.0, 0.0
    if with_taus:
        value, d_mem, d_syn = phi_gradient(s, tau_mem, tau_syn)
    else:
        value, d_mem, d_syn = phi(s, tau_mem, tau_syn), 0.0, 0.0
    if mode == VALUE:
        return value, (value - exp(-s / tau_syn)) / tau_mem, d_mem, d_syn
    # tau_mem V' = I - V times e^{-x/q}, integrated over [0, s]:  (1 + tau_mem/q) W = J - tau_mem e^{-s/q} phi(s),
    # J = int e^{-x/q} I dx = (1 - e^{-s r})/r,  r = 1/q + 1/tau_syn
    r = 1.0 / q + 1.0 / tau_syn
    e = exp(-s / q)
    m = expm1(-s * r)
    J = -m / r
    norm = 1.0 + tau_mem / q
    W = (J - tau_mem * e * value) / norm
    start = exp(-t / q)
    d_t = -start * (W / q + e * value)
    if with_taus:
        d_mem = -start * (e * (value + tau_mem * d_mem) + W / q) / norm
        J_syn = (J - s * (1.0 + m)) / (r * tau_syn * tau_syn)
        d_syn = start * (J_syn - tau_mem * e * d_syn) / norm
    return start * W, d_t, d_mem, d_syn


@kernel
def one_response(synapses, neurons):
    """Whether one arrival has the same effect on all neurons: they share delays and time constants."""
    taus = neurons.parameters[:, : TAU_SYN + 1]
    return synapses.delay.shape[0] == 1 and (taus == taus[0]).all()


@kernel
def readout_forward(mode, events, synapses, weights, neurons, first, last, points, out):
    """out (B, Q, N) += the functionals `points` (Q,) of the samples first..last - 1; weights (M, N), by input."""
    source_stride = 1 if synapses.delay.shape[1] > 1 else 0
    N, shared = weights.shape[1], one_response(synapses, neurons)
    tau_mem, tau_syn = neurons.parameters[:, TAU_MEM], neurons.parameters[:, TAU_SYN]
    for b in range(first, last):
        for k in range(events.offsets[b], events.offsets[b + 1]):
            i = events.units[k]
            w = weights[i]
            for q in range(points.size):
                total = out[b, q]
                if shared:
                    t = events.times[k] + synapses.delay[0, i * source_stride]
                    value = response(mode, t, points[q], neurons.duration, tau_mem[0], tau_syn[0], False)[0]
                    for j in range(N):
                        total[j] += w[j] * value
                    continue
                for j in range(N):
                    t = events.times[k] + synapses.delay[j % synapses.delay.shape[0], i * source_stride]
                    value = response(mode, t, points[q], neurons.duration, tau_mem[j], tau_syn[j], False)[0]
                    total[j] += w[j] * value


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
    source_stride = 1 if synapses.delay.shape[1] > 1 else 0
    N, shared = weights.shape[1], one_response(synapses, neurons)
    tau_mem, tau_syn = neurons.parameters[:, TAU_MEM], neurons.parameters[:, TAU_SYN]
    for b in range(first, last):
        for k in range(events.offsets[b], events.offsets[b + 1]):
            i = events.units[k]
            w = weights[i]
            for q in range(points.size):
                G = grad_out[b, q]
                if shared:
                    t = events.times[k] + synapses.delay[0, i * source_stride]
                    value, d_t, d_mem, d_syn = response(
                        mode, t, points[q], neurons.duration, tau_mem[0], tau_syn[0], with_taus
                    )
                    grad_t = d_t * add_and_dot(gradients.weight[i], w, G, value)
                    gradients.delay[0, i * source_stride] += grad_t
                    gradients.times[k] += grad_t
                    for j in range(N if with_taus else 0):
                        gradients.parameters[j, TAU_MEM] += G[j] * w[j] * d_mem
                        gradients.parameters[j, TAU_SYN] += G[j] * w[j] * d_syn
                    continue
                for j in range(N):
                    j_delay = j % synapses.delay.shape[0]
                    t = events.times[k] + synapses.delay[j_delay, i * source_stride]
                    value, d_t, d_mem, d_syn = response(
                        mode, t, points[q], neurons.duration, tau_mem[j], tau_syn[j], with_taus
                    )
                    gradients.weight[i, j] += G[j] * value
                    gradients.delay[j_delay, i * source_stride] += G[j] * w[j] * d_t
                    gradients.times[k] += G[j] * w[j] * d_t
                    gradients.parameters[j, TAU_MEM] += G[j] * w[j] * d_mem
                    gradients.parameters[j, TAU_SYN] += G[j] * w[j] * d_syn

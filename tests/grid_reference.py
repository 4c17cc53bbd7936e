"""A network on a time grid in plain torch, step by step: what `saltation.experiments.grid` is checked with."""

import math

import torch

from saltation import LI, Layer
from saltation.wired import Parallel


class Spike(torch.autograd.Function):
    """1 where x >= 0; backwards 1 / (1 + slope |x|)^2."""

    @staticmethod
    def forward(ctx, x, slope):
        ctx.save_for_backward(x)
        ctx.slope = slope
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient / (1 + ctx.slope * x.abs()) ** 2, None


def arrive(inputs, times, amplitudes, weight):
    """inputs[k, n] += early part, [k + 1, n] += late part, of amplitude * weight (N,) at times (N,) in steps."""
    T = inputs.shape[0]
    step = times.detach().floor().long()
    late = times - step
    for shift, part in ((0, 1 - late), (1, late)):
        there = (step + shift < T) & (step < T)
        n = torch.arange(inputs.shape[1])[there]
        inputs = inputs.index_put(((step + shift)[there], n), (amplitudes * part * weight)[there], accumulate=True)
    return inputs


def synapses(connection, dt):
    """Weights (M, N), delays (M, N) in steps."""
    weight, delay = connection.dense()
    return weight.T, (delay.expand(weight.shape) / dt).T


def one_layer(layer, sent, dt, T, slope):
    """sent: [(time in steps, row, amplitude)]. Returns outputs S (T + 1, N), of steps 0 ... T, or for LI the input."""
    weight, delay = synapses(layer.connection, dt)
    copies = len(layer.connection.connections) if isinstance(layer.connection, Parallel) else 1
    N = layer.out_size
    inputs = torch.zeros(T, N, dtype=torch.float64)
    for time, row, amplitude in sent:
        for q in range(copies):
            r = row + q * layer.connection.in_size
            inputs = arrive(inputs, time + delay[r], amplitude, weight[r])
    neuron = layer.neuron
    if isinstance(neuron, LI):
        return inputs
    tau_mem, tau_syn, tau_adapt = (float(x.min()) for x in (neuron.tau_mem, neuron.tau_syn, neuron.tau_adapt))
    phi = (math.exp(-dt / tau_syn) - math.exp(-dt / tau_mem)) / (1 - tau_mem / tau_syn)
    each = N // neuron.size  # places of a convolution
    threshold, jump, v_reset = (
        x.expand(neuron.size).repeat_interleave(each) for x in (neuron.threshold, neuron.jump, neuron.v_reset)
    )
    V, current, a = (torch.zeros(N, dtype=torch.float64) for _ in range(3))
    refractory = float(neuron.refractory.min())
    hold = refractory if math.isinf(refractory) else round(refractory / dt)
    left = torch.zeros(N)
    outputs = [torch.zeros(N, dtype=torch.float64)]
    for t in range(1, T + 1):
        current = math.exp(-dt / tau_syn) * current + inputs[t - 1]
        v = torch.where(left > 0, V, math.exp(-dt / tau_mem) * V + phi * current)
        a = math.exp(-dt / tau_adapt) * a
        S = torch.where(left > 0, torch.zeros_like(v), Spike.apply(v - threshold - a, slope))
        left = torch.where(S > 0, torch.full_like(left, hold), left - 1)
        if neuron.reset == "subtract":
            V = v - S.detach() * threshold
        else:
            V = (1 - S.detach()) * v + S.detach() * v_reset
        a = a + S * jump
        outputs.append(S)
        if layer.recurrent is not None:
            feedback, back = synapses(layer.recurrent, dt)
            for n in range(N):
                inputs = arrive(inputs, t + back[n], S[n], feedback[n])
    return torch.stack(outputs)


def first_times(S):
    """The first step with a spike, T if there is none: sum_t t S_t prod_(u < t) (1 - S_u), and T where all are 0."""
    T = S.shape[0] - 1
    total, none = torch.zeros(S.shape[1], dtype=S.dtype), torch.ones(S.shape[1], dtype=S.dtype)
    for t in range(1, T + 1):
        total = total + t * S[t] * none
        none = none * (1 - S[t])
    return total + T * none


def network(model, spikes, dt, slope=10.0, window=None, maximum=False):
    """(B, C): sum over slots of window[t] input[t], the largest V, or first steps; S (T + 1, N) by sample and layer."""
    T = int(math.floor(spikes.duration / dt * (1 + 1e-12)))
    values, outputs = [], []
    for sample in spikes.to_lists():
        sent = [[(time / dt, unit, torch.ones((), dtype=torch.float64)) for time, unit in sample]]
        sizes, made = [model.layers[0].in_size], []
        for k, module in enumerate(model.layers):
            if not isinstance(module, Layer):
                sent.append([(t, int(module.unit[i]), a) for t, i, a in sent[k]])
                sizes.append(module.out_size)
                continue
            inputs, shift = [], 0
            for i in (k, *model.beside.get(k, ())):
                inputs += [(t, n + shift, a) for t, n, a in sent[i]]
                shift += sizes[i]
            S = one_layer(module, inputs, dt, T, slope)
            made.append(S)
            sent.append([(t, n, S[t, n]) for t in range(1, len(S)) for n in range(S.shape[1])])
            sizes.append(module.out_size)
        outputs.append(made)
        if window is not None:
            values.append((torch.as_tensor(window)[:T, None] * made[-1]).sum(0))
        elif maximum:
            values.append(largest(model.layers[-1].neuron, made[-1], dt))
        else:
            values.append(first_times(made[-1]))
    return torch.stack(values), outputs


def largest(neuron, inputs, dt):
    """The largest V of leaky integrators, at least 0."""
    tau_mem, tau_syn = float(neuron.tau_mem.min()), float(neuron.tau_syn.min())
    phi = (math.exp(-dt / tau_syn) - math.exp(-dt / tau_mem)) / (1 - tau_mem / tau_syn)
    V = current = torch.zeros(inputs.shape[1], dtype=torch.float64)
    best = V
    for row in inputs:
        current = math.exp(-dt / tau_syn) * current + row
        V = math.exp(-dt / tau_mem) * V + phi * current
        best = torch.maximum(best, V)
    return best

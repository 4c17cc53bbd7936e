"""Random layers and inputs for the tests, every draw seeded; and the comparison with central differences."""

import math

import torch

import saltation as sal

DELAYS = (None, "axonal", "dendritic", "synaptic")
EPS = 1e-6
TOLERANCE = 1e-6  # relative to the largest entry of each gradient


def compare(make_loss, parameters, signature):
    """Every gradient of make_loss() against central differences, wherever the events keep their number and order.

    Returns how many entries were compared.
    """
    loss = make_loss()
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    compared = 0
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        exact = torch.zeros_like(parameter) if gradient is None else gradient
        numeric = torch.full_like(parameter, torch.nan)
        flat, data = numeric.view(-1), parameter.data.view(-1)
        for k in range(flat.numel()):
            value = data[k].item()
            losses, signatures = [], []
            for step in (-2 * EPS, -EPS, EPS, 2 * EPS):
                data[k] = value + step
                losses.append(make_loss().item())
                signatures.append(signature())
            data[k] = value
            if all(s == signatures[0] for s in signatures):
                flat[k] = (losses[0] - 8 * losses[1] + 8 * losses[2] - losses[3]) / (12 * EPS)
        stable = ~numeric.isnan()
        assert stable.any(), f"{name}: no stable entry to compare"
        compared += int(stable.sum())
        error = (exact - numeric)[stable].abs().max() / exact.abs().max().clamp(min=1e-2)
        assert error <= TOLERANCE, f"{name}: relative error {error:.2e}"
    return compared


def trained(*modules):
    return {f"{k}.{name}": p for k, module in enumerate(modules) for name, p in module.named_parameters()}


def spike_loss(spikes, coefficients):
    """A random smooth function of all spike times, so that every spike counts in its own way."""
    weight = coefficients[: spikes.times.numel()]
    return (weight * torch.sin(spikes.times + weight)).sum()


def random_spikes(generator, samples=3, units=4, events=8, span=4.0, duration=10.0):
    """Events at uniform times in [0, span]; the last sample is silent."""
    times, unit, counts = [], [], [0]
    for b in range(samples):
        n = 0 if b == samples - 1 else events
        times.append(torch.sort(torch.rand(n, generator=generator, dtype=torch.float64) * span).values)
        unit.append(torch.randint(0, units, (n,), generator=generator))
        counts.append(n)
    offsets = torch.tensor(counts).cumsum(0)
    return sal.Spikes(torch.cat(times), torch.cat(unit), offsets, units, duration)


def random_layer(
    generator, inputs, size, delay=None, reset="constant", refractory=0.0, jump=0.3, train=None, scale=1.0, tau=None
):
    """A layer of neurons that all differ, in float64, that spikes several times for `random_spikes`."""

    def draw(low, high):
        return low + (high - low) * torch.rand(size, generator=generator, dtype=torch.float64)

    tau_mem, tau_syn = (draw(1.5, 2.5), draw(0.5, 3.0)) if tau is None else tau
    neuron = sal.LIF(
        size,
        tau_mem=tau_mem,
        tau_syn=tau_syn,
        tau_adapt=draw(1.0, 4.0),
        threshold=draw(0.4, 0.7),
        jump=jump * draw(0.5, 1.0) if jump else 0.0,
        v_reset=draw(-0.3, 0.1),
        refractory=refractory,
        reset=reset,
        train=sal.neuron.TRAINABLE if train is None else train,
    )
    options = {} if delay is None else {"delay": delay, "max_delay": 1.5, "min_delay": 0.1}
    connection = sal.Linear(inputs, size, **options).double()
    with torch.no_grad():
        weight = torch.randn(size, inputs, generator=generator, dtype=torch.float64) * 1.2 + 1.6
        connection.weight.copy_(scale * weight)
        if delay is not None:
            raw = connection.raw_delay
            raw.copy_(torch.rand(raw.shape, generator=generator, dtype=torch.float64) * 0.8 + 0.1)
    return sal.Layer(connection, neuron)


def compare_layer(layer, spikes, coefficients, parameters, least=0):
    """`compare` for a random function of the layer's spikes, of which there must be more than `least`."""
    seen = {}

    def loss():
        output = layer(spikes)
        seen["units"] = output.units.tolist()
        return spike_loss(output, coefficients)

    loss()
    assert len(seen["units"]) > least
    compare(loss, parameters, lambda: seen["units"])


def closed_form_first_spike(weight, tau_syn, threshold, equal):
    """First spike for one input at t = 0: (time, dt/dweight, dt/dthreshold), for tau_mem = tau_syn or 2 tau_syn."""
    if equal:
        # V = w x e^{-x}, x = t/tau: x = -W_0(-threshold/w)
        from scipy.special import lambertw

        x = -lambertw(-threshold / weight).real
        slope = weight * (1 - x) * math.exp(-x) / tau_syn
        return x * tau_syn, -x * math.exp(-x) / slope, 1 / slope
    # tau_mem = 2 tau_syn: V = w (y - y^2) with y = e^{-t/(2 tau_syn)}: the larger root of y^2 - y + threshold/w
    y = 0.5 * (1 + math.sqrt(1 - 4 * threshold / weight))
    tau_mem = 2 * tau_syn
    slope = weight * (1 - 2 * y) * (-y / tau_mem)
    return -tau_mem * math.log(y), -(y - y * y) / slope, 1 / slope

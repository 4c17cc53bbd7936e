"""Spike times with an adaptive threshold against SciPy's `solve_ivp` with event detection."""

import math

import numpy as np
import pytest
import torch
from problems import DELAYS, random_layer, random_spikes
from scipy.integrate import solve_ivp

import saltation as sal

TOLERANCE = 1e-8  # what solve_ivp reaches with rtol = 1e-11 over several resets


def integrate(arrivals, neuron, subtract, duration):
    """Own spike times of one neuron by numerical integration between arrivals."""
    tau_mem, tau_syn, tau_adapt, threshold, jump, v_reset, refractory = neuron

    def flow(held):
        return lambda t, x: [0.0 if held else (x[1] - x[0]) / tau_mem, -x[1] / tau_syn, -x[2] / tau_adapt]

    def crossing(t, x):
        return x[0] - x[2] - threshold

    crossing.terminal, crossing.direction = True, 1
    options = {"rtol": 1e-11, "atol": 1e-13, "method": "DOP853", "max_step": 0.05}
    t, x, release, spikes = 0.0, np.zeros(3), 0.0, []
    queue = [*sorted(arrivals), (math.inf, 0.0)]
    while t < duration and len(spikes) < 200:
        held = t < release
        stop = min(queue[0][0], release if held else math.inf, duration)
        if not held and crossing(t, x) > 0:
            raise AssertionError("this integrator knows no spikes forced at the end of a refractory period")
        if stop > t:
            run = solve_ivp(flow(held), (t, stop), x, events=None if held else crossing, **options)
            t, x = run.t[-1], run.y[:, -1]
            if not held and run.t_events[0].size:
                t, x = run.t_events[0][0], run.y_events[0][0]
                spikes.append(t)
                if math.isinf(refractory):
                    break
                x = np.array([x[2] if subtract else v_reset, x[1], x[2] + jump])
                release = t + refractory
                continue
        if t == queue[0][0]:
            x = x + np.array([0.0, queue.pop(0)[1], 0.0])
    return spikes


@pytest.mark.parametrize("reset", ["constant", "subtract"])
# facilitation without a refractory period runs away, as it should: not compared here
@pytest.mark.parametrize("refractory,jump", [(0.0, 0.5), (0.3, 0.5), (math.inf, 0.5), (0.3, -0.02), (math.inf, -0.02)])
def test_adaptive_threshold(reset, refractory, jump):
    generator = torch.Generator().manual_seed(17)
    layer = random_layer(generator, 4, 3, "synaptic", reset, refractory, jump, scale=1.3)
    spikes = random_spikes(generator, samples=2, events=10)
    with torch.no_grad():
        own = layer(spikes).to_lists()[0]
        delay = layer.connection.delays().numpy()
        weight = layer.connection.weight.numpy()
        neurons = layer.neuron.packed().numpy()
    for j in range(3):
        arrivals = [(t + delay[j, i], weight[j, i]) for t, i in spikes.to_lists()[0]]
        expected = integrate(arrivals, neurons[j], reset == "subtract", spikes.duration)
        found = [t for t, unit in own if unit == j]
        assert len(found) == len(expected)
        np.testing.assert_allclose(found, expected, rtol=TOLERANCE)
    assert len(own) >= (3 if math.isinf(refractory) else 8)


@pytest.mark.parametrize("wiring", ["all", "sparse", "recurrent", "recurrent windows"])
@pytest.mark.parametrize("delay", DELAYS)
def test_spikes_after_a_threshold_that_fell_below_the_held_potential(delay, wiring):
    """While V is held the peak of V - theta may be above 0; the spike after the release is one all the same."""
    above = 0
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        layer = random_layer(generator, 4, 5, delay, refractory=0.5, jump=-0.4, scale=1.5, train=())
        if wiring == "sparse":
            mask = torch.ones(5, 4)
            options = {} if delay is None else {"delay": delay, "max_delay": 1.5}
            layer = sal.Layer(sal.Sparse.from_mask(mask, **options).double(), layer.neuron)
            torch.nn.init.uniform_(layer.connection.weight, 0.5, 4.0, generator=generator)
        elif wiring != "all":
            options = {"delay": "synaptic", "max_delay": 1.5} if wiring == "recurrent windows" else {}
            recurrent = sal.Linear(5, 5, generator=generator, **options).double()
            layer = sal.Layer(layer.connection, layer.neuron, recurrent=recurrent)
        spikes = random_spikes(generator, events=30, span=9.0)
        with torch.no_grad():
            alone, asked = layer.run(spikes), layer.run(spikes, peak=True)
        assert torch.equal(alone.spikes.units, asked.spikes.units)
        torch.testing.assert_close(alone.spikes.times, asked.spikes.times, rtol=1e-12, atol=0.0)
        above += int((asked.peak > 0).sum())
    assert above > 0


def test_trace_follows_the_equations():
    generator = torch.Generator().manual_seed(4)
    layer = random_layer(generator, 4, 3, "synaptic", "subtract", 0.2, 0.4)
    spikes = random_spikes(generator)
    own = [t for t, unit in layer(spikes).to_lists()[0] if unit == 1]
    assert len(own) >= 2
    V, theta = layer.trace(spikes, 0, 1, np.array(own))
    np.testing.assert_allclose(V, theta, rtol=1e-10)  # at its own spikes V meets theta
    V, theta = layer.trace(spikes, 0, 1, np.linspace(0.0, 10.0, 5001))
    assert (theta + 1e-9 >= V).all()

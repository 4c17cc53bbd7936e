"""experiments/grid: gradients against autograd of a plain model, and convergence to exact spike times."""

import math

import grid_reference
import numpy as np
import pytest
import torch
from grid.network import Twin
from grid.pack import Settings
from grid.readouts import Functional

import saltation as sal

DT, DURATION = 0.05, 2.0
ADAPTIVE = dict(tau_mem=0.4, tau_syn=0.15, tau_adapt=0.8, jump=0.3, v_reset=-0.1, refractory=0.1)


def spikes(samples=3, units=5, events=14, seed=0):
    generator = torch.Generator().manual_seed(seed)
    times = 0.8 * DURATION * torch.rand(samples, events, generator=generator, dtype=torch.float64)
    unit = torch.randint(units, (samples, events), generator=generator)
    pairs = [list(zip(t.tolist(), u.tolist(), strict=True)) for t, u in zip(times, unit, strict=True)]
    return sal.Spikes.from_lists(pairs, units, DURATION)


def linear(n, m, kind=None, high=0.3, std=1.5, mean=1.8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    delays = {} if kind is None else {"delay": kind, "max_delay": high}
    connection = sal.Linear(n, m, **delays).double()
    with torch.no_grad():
        connection.weight.copy_(mean + std * torch.randn(m, n, generator=generator, dtype=torch.float64))
        if kind is not None:
            connection.raw_delay.copy_(torch.rand(connection.raw_delay.shape, generator=generator) * 0.9 + 0.03)
    return connection


def lif(size, train=("threshold", "jump", "v_reset"), **changes):
    return sal.LIF(size, **{**ADAPTIVE, **changes}, train=train).double()


def li(size):
    return sal.LI(size, tau_mem=0.5, tau_syn=0.2).double()


KINDS = (None, "axonal", "dendritic", "synaptic")
NETWORKS = {
    **{
        f"input {kind}": lambda kind=kind: sal.Sequential(
            sal.Layer(linear(5, 6, kind), lif(6)), sal.Layer(linear(6, 3), li(3))
        )
        for kind in KINDS
    },
    **{
        f"recurrent {kind}": lambda kind=kind: sal.Sequential(
            sal.Layer(linear(5, 6, "axonal"), lif(6), recurrent=linear(6, 6, kind, mean=0.0, seed=4)),
            sal.Layer(linear(6, 3), li(3)),
        )
        for kind in KINDS
    },
    **{
        f"two layers {kind}": lambda kind=kind: sal.Sequential(
            sal.Layer(linear(5, 6, "synaptic"), lif(6)),
            sal.Layer(linear(6, 4, kind, mean=1.5, seed=2), lif(4, refractory=0.0)),
            sal.Layer(linear(4, 3, "axonal", seed=3), li(3)),
        )
        for kind in KINDS
    },
    "terminals": lambda: sal.Sequential(
        sal.Layer(sal.Parallel(*(linear(5, 6, "axonal", seed=k) for k in range(3))), lif(6)),
        sal.Layer(sal.Parallel(*(linear(6, 4, "axonal", seed=k, mean=0.8) for k in range(2))), lif(4)),
        sal.Layer(linear(4, 3, seed=3), li(3)),
    ),
    "beside": lambda: sal.Sequential(
        sal.Layer(linear(5, 6), lif(6)),
        sal.Layer(sal.Beside(linear(6, 4, "synaptic"), linear(5, 4, "axonal")), lif(4)),
        sal.Layer(sal.Beside(linear(4, 3), linear(6, 3)), li(3)),
        beside={1: (0,), 2: (1,)},
    ),
    "subtract": lambda: sal.Sequential(
        sal.Layer(linear(5, 6, "axonal"), lif(6, reset="subtract", train=("threshold", "jump"))),
        sal.Layer(linear(6, 3), li(3)),
    ),
    "plain": lambda: sal.Sequential(
        sal.Layer(linear(5, 6, "axonal"), sal.LIF(6, 0.4, 0.15, train=()).double()), sal.Layer(linear(6, 3), li(3))
    ),
}


def compare(model, inputs, detach, functional, draw=0):
    """Values and all gradients of the twin against those of the plain model."""
    twin = Twin(model, DURATION, Settings(DT, 10.0, detach, np.float64), functional)
    outcome = twin.run(inputs)
    options = {}
    if functional is not None and functional.name == "maximum":
        options["maximum"] = True
    elif functional is not None:
        options["window"] = twin.plan.window
    value, outputs = grid_reference.network(model, inputs, DT, detach=detach, **options)
    if functional is None:
        value = DT * value
    hidden = [S for made in outputs for S, layer in zip(made, model, strict=True) if layer.neuron.spiking]
    assert sum(int(S.detach().sum()) for S in hidden) == sum(s.times.numel() for s in outcome.spikes) > 20
    torch.testing.assert_close(outcome.value, value, rtol=1e-9, atol=1e-12)
    factors = torch.rand(value.shape, generator=torch.Generator().manual_seed(draw), dtype=torch.float64)
    parameters = dict(model.named_parameters())
    found = torch.autograd.grad((factors * outcome.value).sum(), parameters.values(), allow_unused=True)
    wanted = torch.autograd.grad((factors * value).sum(), parameters.values(), allow_unused=True)
    for name, ours, theirs in zip(parameters, found, wanted, strict=True):
        assert theirs is not None and float(theirs.abs().max()) > 0, name
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9 * float(theirs.abs().max()), msg=name)


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_autograd(name, detach):
    compare(NETWORKS[name](), spikes(), detach, Functional("weighted", 1.0))


@pytest.mark.parametrize("name", ["integral", "maximum"])
def test_other_readouts(name):
    compare(NETWORKS["two layers None"](), spikes(), True, Functional(name))

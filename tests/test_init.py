"""Initialisation: reproducible, and networks that fire from the start."""

import pytest
import torch
from problems import random_layer, random_spikes

import saltation as sal
from saltation import init


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def lif(delay=None, dtype=torch.float32, size=200, **parameters):
    options = {} if delay is None else {"delay": delay, "max_delay": 1.5, "min_delay": 0.1}
    neuron = sal.LIF(size, **({"tau_mem": 2.0, "tau_syn": 1.0, "threshold": 0.7} | parameters))
    return sal.Layer(sal.Linear(20, size, generator=generator(), **options).to(dtype), neuron)


def typical(samples=8):
    return random_spikes(generator(1), samples=samples, units=20, events=30)


DRAWS = {
    "normal": lambda layer, g: init.normal_(layer, 0.3, 0.5, g),
    "uniform delays": lambda layer, g: init.uniform_delays_(layer, 0.2, 1.5, g),
    "drive": lambda layer, g: init.drive_(layer, typical(), g),
}


@pytest.mark.parametrize("name", DRAWS)
def test_same_seed_same_values_and_the_global_generator_untouched(name):
    def values(seed):
        layer = lif("synaptic")
        before = torch.random.get_rng_state()
        DRAWS[name](layer, generator(seed))
        assert torch.equal(torch.random.get_rng_state(), before)
        return torch.cat([p.detach().flatten() for p in layer.connection.parameters()])

    assert torch.equal(values(7), values(7))
    assert not torch.equal(values(7), values(8))


def test_normal():
    layer = lif()
    init.normal_(layer, 0.3, 0.5, generator())
    weight = layer.connection.weight
    assert weight.mean().item() == pytest.approx(0.3, abs=0.03)
    assert weight.std().item() == pytest.approx(0.5, rel=0.05)
    assert weight.requires_grad and weight.is_leaf
    init.normal_(layer, 0.3, 0.0, generator())
    assert (weight == torch.tensor(0.3)).all()


@pytest.mark.parametrize("delay", ["axonal", "dendritic", "synaptic"])
@pytest.mark.parametrize(("low", "high"), [(0.1, 1.5), (0.2, 0.4), (1.5, 1.5)])
def test_uniform_delays(delay, low, high):
    layer = lif(delay)
    init.uniform_delays_(layer, low, high, generator())
    delays = layer.connection.delays()
    assert delays.min() >= low - 1e-6 and delays.max() <= high + 1e-6
    if delay == "synaptic":
        assert delays.mean().item() == pytest.approx((low + high) / 2, abs=0.02)


@pytest.mark.parametrize("drive", [0.5, 1.5, 3.0])
@pytest.mark.parametrize("std", [0.0, 1.0])
@pytest.mark.parametrize("delay", [None, "synaptic"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_drive_hits_its_target(drive, std, delay, dtype):
    layer = lif(delay, dtype)
    init.drive_(layer, typical(), generator(), drive=drive, std=std)
    peak = layer.free_peak(typical()).clamp(min=0.0).mean().item()
    assert peak == pytest.approx(0.7 * drive, rel=1e-5)
    assert layer.connection.weight.dtype == dtype


def test_drive_makes_most_neurons_fire():
    layer = lif()
    init.drive_(layer, typical(), generator())
    counts = layer(typical()).counts()[:-1]  # the last sample is silent
    assert (counts > 0).double().mean() > 0.6


def test_drive_for_leaky_integrators_aims_at_one():
    layer = sal.Layer(sal.Linear(20, 10), sal.LI(10, 2.0, 1.0))
    init.drive_(layer, typical(), generator(), drive=1.2)
    assert layer(typical()).maximum().mean().item() == pytest.approx(1.2, rel=1e-5)


def test_free_peak_ignores_spikes_and_leaves_the_layer_alone():
    layer = random_layer(generator(2), 20, 5)
    before = [p.detach().clone() for p in layer.parameters()]
    free = layer.free_peak(typical())
    readout = sal.Layer(layer.connection, sal.LI(5, layer.neuron.tau_mem.detach(), layer.neuron.tau_syn.detach()))
    torch.testing.assert_close(free, readout(typical()).maximum())
    assert all(torch.equal(p, q) for p, q in zip(layer.parameters(), before, strict=True))


@pytest.mark.parametrize("samples", [0, 2])
def test_drive_needs_spikes(samples):
    silent = sal.Spikes.from_lists([[]] * samples, 20, 1.0)
    with pytest.raises(ValueError, match=f"{samples} samples.*cannot drive.*typical"):
        init.drive_(lif(), silent, generator())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init.normal_(lif(), 0.0, -1.0, generator()), "std = -1.0: must be >= 0"),
        (lambda: init.normal_(lif(), float("nan"), 1.0, generator()), "mean = nan: must be finite"),
        (lambda: init.uniform_delays_(lif("axonal"), 0.5, 0.2, generator()), "delays from 0.5 to 0.2"),
        (lambda: init.uniform_delays_(lif("axonal"), 0.0, 0.2, generator()), r"must be within \[0.1, 1.5\]"),
        (lambda: init.uniform_delays_(lif(), 0.0, 0.2, generator()), "has no delay: create it with delay="),
        (lambda: init.drive_(lif(), typical(), generator(), drive=0.0), "drive = 0.0: must be > 0"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Deviations of devices: their sizes, what stays the same, and when they are drawn."""

import math

import pytest
import torch
from problems import random_spikes

import saltation as sal
from saltation.chips import Mismatch, disturbed, draw_device

NEURONS = 4000


@pytest.fixture
def network():
    generator = torch.Generator().manual_seed(0)
    neuron = sal.LIF(NEURONS, tau_mem=2.0, tau_syn=1.0, tau_adapt=3.0, jump=0.1, threshold=0.8, v_reset=0.3)
    return sal.Layer(sal.Linear(3, NEURONS, generator=generator), neuron)


def test_sizes_are_as_said(network):
    """Standard deviations over many neurons; the error of such an estimate is 1/sqrt(2 n)."""
    device = draw_device(network, torch.Generator().manual_seed(1))
    found = disturbed(network, Mismatch(threshold=0.2, tau=0.1, weight=0.05), device)
    logs = {
        "neuron.threshold": (found["neuron.threshold"] - 0.3) / 0.5,
        "neuron.tau_mem": found["neuron.tau_mem"] / 2.0,
        "neuron.tau_syn": found["neuron.tau_syn"] / 1.0,
        "neuron.tau_adapt": found["neuron.tau_adapt"] / 3.0,
    }
    for name, ratio in logs.items():
        sigma = 0.2 if name == "neuron.threshold" else 0.1
        assert float(ratio.detach().log().std()) == pytest.approx(sigma, rel=4 / math.sqrt(2 * NEURONS)), name
        assert abs(float(ratio.detach().log().mean())) < 4 * sigma / math.sqrt(NEURONS), name
    weight = network.connection.weight
    noise = (found["connection.weight"] - weight).detach() / weight.abs().max()
    assert float(noise.std()) == pytest.approx(0.05, rel=4 / math.sqrt(2 * noise.numel()))
    assert set(found) == {*logs, "connection.weight"}  # neither jump nor v_reset
    pairs = torch.stack([ratio.log().detach() for ratio in logs.values()])
    assert float((torch.corrcoef(pairs) - torch.eye(4)).abs().max()) < 4 / math.sqrt(NEURONS)  # each has its own


def test_no_synapse_stays_none(network):
    with torch.no_grad():
        network.connection.weight[:, 1] = 0.0
    found = disturbed(network, Mismatch(weight=0.5), draw_device(network, torch.Generator().manual_seed(1)))
    assert found["connection.weight"][:, 1].eq(0.0).all()
    assert found["connection.weight"][:, 0].ne(network.connection.weight[:, 0]).all()


def test_gradients_are_exact(network):
    """d(threshold on the device)/d(threshold) is the factor of the neuron."""
    device = draw_device(network, torch.Generator().manual_seed(1))
    found = disturbed(network, Mismatch(threshold=0.2, weight=0.1), device)
    (found["neuron.threshold"].sum() + found["connection.weight"].sum()).backward()
    factor = (0.2 * device["neuron.threshold"]).exp()
    assert torch.allclose(network.neuron.threshold.grad.double(), factor, rtol=1e-6)
    assert network.connection.weight.grad.eq(1.0).all()


def small():
    generator = torch.Generator().manual_seed(5)
    first = sal.Layer(sal.Linear(4, 8, generator=generator), sal.LIF(8, tau_mem=2.0, tau_syn=1.0))
    last = sal.Layer(sal.Linear(8, 3, generator=generator), sal.LI(3, tau_mem=2.0, tau_syn=1.0))
    with torch.no_grad():
        first.connection.weight.add_(1.0)
    return sal.Sequential(first, last), random_spikes(generator)


def read(model, spikes):
    return model(spikes).integral().detach()


def test_a_device_stays_and_a_trial_does_not():
    network, spikes = small()
    mismatch = Mismatch(0.1, 0.1, 0.05)
    device = sal.OnChip(network, mismatch=mismatch, generator=torch.Generator().manual_seed(1))
    first = read(device, spikes)
    assert read(device, spikes).equal(first)
    again = sal.OnChip(network, mismatch=mismatch, generator=torch.Generator().manual_seed(1))
    assert read(again, spikes).equal(first)
    other = sal.OnChip(network, mismatch=mismatch, generator=torch.Generator().manual_seed(2))
    assert not read(other, spikes).equal(first)
    trial = sal.OnChip(network, mismatch=mismatch, per="trial", generator=torch.Generator().manual_seed(1))
    assert read(trial, spikes).equal(first)  # the first draw of the same generator
    assert not read(trial, spikes).equal(first)
    assert not read(network, spikes).equal(first)


def test_one_device_at_several_strengths():
    """The same deviations, twice as large in the logarithm."""
    network, _ = small()
    device = draw_device(network, torch.Generator().manual_seed(3))
    once, twice = (disturbed(network, Mismatch(tau=s), device)["layers.0.neuron.tau_mem"] for s in (0.1, 0.2))
    assert torch.allclose(2 * (once / 2.0).log(), (twice / 2.0).log())


def test_quantised_values_deviate():
    network, _ = small()
    chip, mismatch = sal.Chip(weight_bits=3), Mismatch(weight=0.02)
    on_chip = sal.OnChip(network, chip, mismatch, generator=torch.Generator().manual_seed(1))
    values, plain = on_chip.values(), sal.quantise(network, chip)
    for name, value in plain.items():
        off = (values[name] - value).detach().double() / float(value.detach().abs().max())
        assert torch.allclose(off, 0.02 * on_chip.device[name] * value.ne(0), atol=1e-6), name


def test_errors():
    network, spikes = small()
    with pytest.raises(ValueError, match="tau = -0.1: must be >= 0"):
        Mismatch(tau=-0.1)
    with pytest.raises(ValueError, match="per = 'batch': must be one of"):
        sal.OnChip(network, per="batch")
    with pytest.raises(ValueError, match="the device has no deviation of layers.0.neuron.tau_mem: draw it for this"):
        disturbed(network, Mismatch(tau=0.1), {})

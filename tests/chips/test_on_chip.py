"""A network on a chip runs, is kept, exported and trained like the network itself."""

import io

import pytest
import torch
from problems import random_spikes

import saltation as sal

LIF = {"tau_mem": 2.0, "tau_syn": 1.0}
CHIP = sal.Chip(weight_bits=4, delay_step=0.1, max_delay=0.5, threshold_bits=5, fan_in=6)


def networks():
    generator = torch.Generator().manual_seed(5)
    terminals = sal.Parallel(*(sal.Linear(4, 8, delay="axonal", max_delay=0.7, generator=generator) for _ in range(2)))
    plain = sal.Layer(terminals, sal.LIF(8, **LIF, threshold=torch.rand(8, generator=generator) + 0.5))
    feedback = sal.Linear(8, 8, delay="synaptic", max_delay=0.6, generator=generator)
    recurrent = sal.Layer(sal.Linear(8, 8, generator=generator), sal.LIF(8, **LIF), recurrent=feedback)
    sparse = sal.Layer(sal.Sparse.random(8, 3, 4, generator, delay="dendritic", max_delay=0.4), sal.LIF(3, **LIF))
    with torch.no_grad():
        for layer in (plain, recurrent, sparse):
            for part in layer.connection.parts():
                part.weight.add_(0.8)
                if part.delay is not None:
                    part.raw_delay.uniform_(0.0, 1.0, generator=generator)
    return sal.Sequential(plain, recurrent, sparse), random_spikes(generator)


def test_runs_and_copies_are_the_same():
    network, spikes = networks()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    on_chip = sal.OnChip(network, CHIP)
    kept = on_chip.as_network()
    ours, theirs = on_chip(spikes), kept(spikes)
    assert ours.times.numel() > 5
    assert ours.times.equal(theirs.times) and ours.units.equal(theirs.units)
    assert not ours.times.equal(network(spikes).times)
    results = on_chip.run(spikes, True, lambda sent: sent)
    assert torch.allclose(results[-1].spikes.times, ours.times, rtol=1e-12) and results[0].peak is not None
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
    assert [name for name, _ in kept.named_parameters()] == [name for name, _ in network.named_parameters()]


def test_the_exported_graph_is_the_network_on_the_chip():
    nir = pytest.importorskip("nir")
    network, spikes = networks()
    on_chip = sal.OnChip(network, CHIP)
    file = io.BytesIO()
    nir.write(file, sal.to_nir(on_chip.as_network()))
    back = sal.from_nir(nir.read(file))
    ours, theirs = on_chip(spikes), back(spikes)
    assert ours.counts().equal(theirs.counts())
    assert torch.allclose(ours.times, theirs.times, rtol=0.0, atol=1e-9)


def test_training_moves_the_parameters_behind_the_rounding():
    network, spikes = networks()
    on_chip = sal.OnChip(network, CHIP, sal.Mismatch(0.05, 0.05, 0.02), "trial", torch.Generator().manual_seed(1))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    labels = torch.tensor([0, 1, 2])
    before = [parameter.clone() for parameter in network.parameters()]
    for _ in range(3):
        loss = sal.losses.first_spike_cross_entropy(on_chip(spikes), labels, tau=0.5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        network.constrain_()
    assert all(not old.equal(new) for old, new in zip(before, network.parameters(), strict=True))


def test_a_single_layer_and_a_readout():
    generator = torch.Generator().manual_seed(5)
    layer = sal.Layer(sal.Linear(4, 3, generator=generator), sal.LI(3, **LIF))
    spikes = random_spikes(generator)
    on_chip = sal.OnChip(layer, sal.Chip(weight_bits=3))
    assert on_chip(spikes).integral().equal(on_chip.as_network()(spikes).integral())  # evaluated after the call
    spiking = sal.OnChip(sal.Layer(sal.Linear(4, 3, generator=generator), sal.LIF(3, **LIF)), sal.Chip(weight_bits=3))
    assert spiking.run(spikes).spikes.times.equal(spiking(spikes).times)

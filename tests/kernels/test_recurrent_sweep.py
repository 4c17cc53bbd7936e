"""Recurrent layers in chunks of events: several tiles, and spikes with an effect within the chunk they happen in."""

import math

import numpy as np
import pytest
import torch

import saltation as sal
from saltation.kernels import heap


def crowded_layer(seed, alike, strength, delay, reset, refractory, jump):
    """40 neurons, three tiles, with many arrivals in a time constant, and a copy that is simulated in windows."""
    generator = torch.Generator().manual_seed(seed)
    N, M = 40, 12

    def draw(low, high):
        return low + (high - low) * torch.rand(N, generator=generator, dtype=torch.float64)

    taus = (2.0, 1.0, 3.0) if alike else (draw(1.5, 2.5), draw(0.8, 1.3), draw(2.0, 4.0))
    neuron = sal.LIF(
        N, taus[0], taus[1], draw(0.8, 1.2), jump, taus[2], refractory=refractory, reset=reset,
        train=("tau_mem", "tau_syn", "threshold"),
    ).double()  # fmt: skip
    connection = sal.Linear(M, N).double()
    weight = strength * torch.randn(N, N, generator=generator, dtype=torch.float64).fill_diagonal_(0.0)
    with torch.no_grad():
        connection.weight.copy_(0.05 + 0.1 * torch.randn(N, M, generator=generator, dtype=torch.float64))
    layers = []
    for kind in ("axonal", "synaptic"):
        recurrent = sal.Linear(N, N, delay=kind, min_delay=1e-9, max_delay=1.0).double()
        with torch.no_grad():
            recurrent.weight.copy_(weight)
        recurrent.set_delays(delay)
        layers.append(sal.Layer(connection, neuron, recurrent=recurrent))
    times = 6.0 * torch.rand(2, 150, generator=generator, dtype=torch.float64).sort().values
    units = torch.randint(M, (300,), generator=generator)
    return layers, sal.Spikes(times.ravel(), units, torch.tensor([0, 150, 300]), M, 7.0), generator


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("delay", [0.004, 0.3])
@pytest.mark.parametrize(
    ("reset", "refractory", "jump"), [("constant", 0.0, 0.0), ("subtract", 0.2, 0.3), ("constant", math.inf, 0.0)]
)
@pytest.mark.parametrize("peak", [False, True])
def test_chunks_equal_windows(reset, refractory, jump, delay, alike, peak):
    layers, spikes, generator = crowded_layer(0, alike, 0.03, delay, reset, refractory, jump)
    results, gradients = [], []
    for layer in layers:
        times = spikes.times.clone().requires_grad_()
        result = layer.run(spikes.with_times(times), peak=peak)
        parameters = [times, layer.connection.weight, *layer.neuron.parameters(), layer.recurrent.weight]
        value = (result.spikes.times * torch.linspace(0.5, 1.5, result.spikes.times.numel())).sum()
        if peak:
            value = value + (result.peak * torch.linspace(-1.0, 1.0, result.peak.numel()).view_as(result.peak)).sum()
        results.append(result)
        gradients.append(torch.autograd.grad(value, parameters))
    ours, theirs = results
    assert ours.spikes.times.numel() > 40 and torch.equal(ours.spikes.units, theirs.spikes.units)
    torch.testing.assert_close(ours.spikes.times, theirs.spikes.times, rtol=0, atol=1e-10)
    if peak:
        torch.testing.assert_close(ours.peak, theirs.peak, rtol=0, atol=1e-10)
    for left, right in zip(*gradients, strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-7 * float(right.abs().max()))


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("jump", [0.0, 0.2])
def test_an_avalanche(alike, jump):
    """So many spikes have an effect within a chunk that it is cut, also within an interval without arrivals."""
    layers, spikes, _ = crowded_layer(1, alike, 0.25, 0.001, "constant", 0.5, jump)
    with torch.no_grad():
        for layer in layers:
            layer.recurrent.weight.abs_()
    only = spikes.times < 2.0  # activity goes on without input
    offsets = torch.tensor([0, int(only[:150].sum()), int(only.sum())])
    few = sal.Spikes(spikes.times[only], spikes.units[only], offsets, spikes.num_units, spikes.duration)
    ours, theirs = (layer(few) for layer in layers)
    assert ours.times.numel() > 200 and float(ours.times.max()) > 4.0
    assert torch.equal(ours.units, theirs.units)
    torch.testing.assert_close(ours.times, theirs.times, rtol=0, atol=1e-11)


@pytest.mark.nojit
def test_heap():
    rng = np.random.default_rng(0)
    times, pending, rest = rng.integers(0, 30, 200).astype(float), heap.new_heap(200), []
    assert heap.next_time(pending) == math.inf
    for source, time in enumerate(times):
        heap.add(time, source, pending)
        rest.append((time, source))
        if rng.random() < 0.4:
            first = min(rest)
            assert (heap.next_time(pending), heap.take(pending)) == first
            rest.remove(first)
    for first in sorted(rest):
        assert (heap.next_time(pending), heap.take(pending)) == first
    assert heap.next_time(pending) == math.inf

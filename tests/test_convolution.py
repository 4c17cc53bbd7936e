"""Convolutions whose places share their neurons: against the same layer with a neuron of its own for every output."""

import math

import pytest
import torch
from problems import random_layer, random_spikes, spike_loss
from test_wired import convolution, randomised

import saltation as sal

GEOMETRIES = [
    {"kernel_size": 3},
    {"kernel_size": (2, 3), "stride": 2},
    {"kernel_size": 3, "stride": (1, 2), "padding": 1},
    {"kernel_size": (6, 5)},  # a single place
]
DELAYS = (None, "axonal", "channel", "kernel")


def own_neurons(shared, connection):
    """The same neurons, one for every output; parameters that are trained are leaves of their own."""
    places = connection.out_size // shared.size
    values = {name: getattr(shared, name).detach() for name in sal.neuron.PARAMETERS}
    wide = {
        name: value.expand(shared.size).repeat_interleave(places) if value.numel() > 1 else value
        for name, value in values.items()
    }
    return sal.LIF(connection.out_size, **wide, reset=shared.reset, train=shared.train_names)


def outcome(layer, spikes, coefficients, peak=True):
    times = spikes.times.clone().requires_grad_()
    result = layer.run(spikes.with_times(times), peak=peak)
    loss = spike_loss(result.spikes, coefficients)
    if peak:
        loss = loss + result.peak.flatten() @ coefficients[: result.peak.numel()]
    connections = [layer.connection, *([layer.recurrent] if layer.recurrent is not None else [])]
    parameters = [p for connection in connections for p in connection.parameters()]
    neuron = [p for p in layer.neuron.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, [times, *parameters, *neuron])
    cut = 1 + len(parameters)
    return result, gradients[:cut], gradients[cut:]


def assert_equal_outcomes(ours, theirs, channels):
    assert ours[0].spikes.times.numel() >= 8
    assert torch.equal(ours[0].spikes.units, theirs[0].spikes.units)
    assert torch.equal(ours[0].spikes.offsets, theirs[0].spikes.offsets)
    torch.testing.assert_close(ours[0].spikes.times, theirs[0].spikes.times, rtol=0, atol=1e-11)
    torch.testing.assert_close(ours[0].slopes, theirs[0].slopes, rtol=1e-7, atol=1e-7)
    if ours[0].peak is not None:
        torch.testing.assert_close(ours[0].peak, theirs[0].peak, rtol=0, atol=1e-11)
    summed = [gradient.reshape(channels, -1).sum(1) for gradient in theirs[2]]
    for left, right in zip((*ours[1], *ours[2]), (*theirs[1], *summed), strict=True):
        scale = right.abs().max() + 1e-3
        torch.testing.assert_close(left / scale, right / scale, rtol=0, atol=1e-9)


@pytest.mark.parametrize("refractory", [0.0, math.inf])
@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("which", range(len(GEOMETRIES)))
def test_shared_neurons_equal_neurons_of_their_own(which, delay, refractory):
    generator = torch.Generator().manual_seed(which)
    connection = convolution(GEOMETRIES[which], delay, generator)
    neuron = random_layer(generator, 2, 4, refractory=refractory).neuron
    spikes = random_spikes(generator, units=connection.in_size, events=3 * connection.in_size)
    coefficients = torch.randn(100_000, generator=generator, dtype=torch.float64)
    ours = sal.Layer(connection, neuron)
    assert ours.out_size == connection.out_size
    theirs = sal.Layer(connection, own_neurons(neuron, connection))
    assert_equal_outcomes(outcome(ours, spikes, coefficients), outcome(theirs, spikes, coefficients), 4)
    torch.testing.assert_close(ours.free_peak(spikes), theirs.free_peak(spikes), rtol=0, atol=1e-11)


@pytest.mark.parametrize("delay", ["axonal", "kernel"])
def test_parallel_convolutions(delay):
    generator = torch.Generator().manual_seed(5)
    connection = sal.Parallel(*(convolution(GEOMETRIES[1], delay, generator) for _ in range(3)))
    neuron = random_layer(generator, 2, 4).neuron
    spikes = random_spikes(generator, units=connection.in_size, events=80)
    coefficients = torch.randn(100_000, generator=generator, dtype=torch.float64)
    layers = (sal.Layer(connection, neuron), sal.Layer(connection, own_neurons(neuron, connection)))
    assert_equal_outcomes(*(outcome(layer, spikes, coefficients) for layer in layers), 4)
    t, j = layers[0](spikes).to_lists()[0][-1]
    for ours, theirs in zip(*(layer.trace(spikes, 0, j, [0.7, t - 1e-6]) for layer in layers), strict=True):
        assert ours.tolist() == pytest.approx(theirs.tolist(), abs=1e-9)


def test_different_convolutions_in_parallel_have_no_patches():
    parts = [sal.Conv2d((1, 5, 5), 2, 3), sal.Conv2d((1, 5, 5), 2, 3, padding=1, stride=2)]
    assert sal.Parallel(*parts).patches() is None and parts[0].patches() != parts[1].patches()
    with pytest.raises(ValueError, match="expected 18"):
        sal.Layer(sal.Parallel(*parts), sal.LIF(2, tau_mem=2.0, tau_syn=1.0))


def test_recurrence_goes_from_channel_to_channel_within_a_place():
    generator = torch.Generator().manual_seed(6)
    connection = convolution(GEOMETRIES[1], None, generator)
    neuron = random_layer(generator, 2, 4).neuron
    lateral = randomised(sal.Linear(4, 4, delay="axonal", max_delay=1.5, min_delay=0.1), generator)
    torch.nn.init.normal_(lateral.weight, 0.0, 0.3, generator)
    places = connection.out_size // 4
    wide = sal.Linear(4 * places, 4 * places, delay="axonal", max_delay=1.5, min_delay=0.1).double()
    with torch.no_grad():
        wide.weight.copy_(torch.kron(lateral.weight, torch.eye(places)))
        wide.raw_delay.copy_(lateral.raw_delay.repeat_interleave(places, 1))
    spikes = random_spikes(generator, units=connection.in_size, events=80)
    ours = sal.Layer(connection, neuron, recurrent=lateral)(spikes)
    theirs = sal.Layer(connection, own_neurons(neuron, connection), recurrent=wide)(spikes)
    without = sal.Layer(connection, neuron)(spikes)
    assert ours.times.numel() > 20 and ours.times.numel() != without.times.numel()
    assert torch.equal(ours.units, theirs.units)
    torch.testing.assert_close(ours.times, theirs.times, rtol=0, atol=1e-11)


def test_quadratic_neurons_are_shared_too():
    generator = torch.Generator().manual_seed(7)
    connection = convolution(GEOMETRIES[0], "kernel", generator)
    spikes = random_spikes(generator, units=connection.in_size, events=60)
    ours, theirs = (sal.Layer(connection, sal.QIF(size, tau_mem=2.0))(spikes) for size in (4, connection.out_size))
    assert ours.times.numel() > 8 and torch.equal(ours.units, theirs.units)
    torch.testing.assert_close(ours.times, theirs.times, rtol=0, atol=1e-11)


def test_a_neuron_that_runs_away_is_named_as_the_user_counts():
    connection = sal.Conv2d((1, 1, 3), 2, 1)
    torch.nn.init.constant_(connection.weight, 0.0)
    with torch.no_grad():
        connection.weight[1] = 1000.0
    layer = sal.Layer(connection, sal.LIF(2, tau_mem=2.0, tau_syn=1.0), max_spikes=5)
    spikes = sal.Spikes.from_lists([[], [(0.5, 2)]], num_units=3, duration=5.0)
    with pytest.raises(
        sal.SpikeBudgetError, match=r"neuron 5 spiked more than 5 times in sample 1.*simulated event-major"
    ):
        layer(spikes)


def test_samples_without_events():
    layer = sal.Layer(sal.Conv2d((1, 4, 4), 2, 3), sal.LIF(2, tau_mem=2.0, tau_syn=1.0))
    for samples in ([], [[], []]):
        output = layer(sal.Spikes.from_lists(samples, num_units=16, duration=5.0))
        assert output.num_samples == len(samples) and output.num_units == 8 and output.times.numel() == 0


def test_another_number_of_neurons_is_refused():
    with pytest.raises(ValueError, match=r"\(or 2, shared by its 4 places\): got 3 units, expected 8"):
        sal.Layer(sal.Conv2d((1, 4, 4), 2, 3), sal.LIF(3, tau_mem=2.0, tau_syn=1.0))


def test_readouts_need_a_neuron_for_every_output():
    with pytest.raises(ValueError, match="expected 8"):
        sal.Layer(sal.Conv2d((1, 4, 4), 2, 3), sal.LI(2, tau_mem=2.0, tau_syn=1.0))


@pytest.mark.parametrize("options", GEOMETRIES)
def test_what_a_place_sees_is_what_torch_unfolds(options):
    connection = sal.Conv2d((2, 6, 5), out_channels=3, **options)
    spikes = random_spikes(torch.Generator().manual_seed(0), units=60, events=200)
    image = spikes.counts().double().reshape(3, 2, 6, 5)
    expected = torch.nn.functional.unfold(image, **options)  # (B, elements, places)
    patches = connection.patches()
    seen = patches.unfold(spikes)
    assert seen.num_samples == 3 * patches.places
    torch.testing.assert_close(seen.counts().double().reshape(3, patches.places, -1), expected.transpose(1, 2))
    for b, events in enumerate(seen.to_lists()):
        assert events == sorted(events, key=lambda event: event[0])
        assert {t for t, _ in events} <= {t for t, _ in spikes.to_lists()[b // patches.places]}

"""Remedies for silent neurons."""

import pytest
import torch
from problems import random_layer, random_spikes

import saltation as sal
from saltation import regularizers


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(repeats=1):
    """Unit 0 fires always, unit 1 in half of the samples, unit 2 never."""
    return sal.Spikes.from_lists([[(0.1, 0), (0.2, 1)], [(0.3, 0)]] * repeats, num_units=3, duration=1.0)


def layer():
    return sal.Layer(sal.Linear(2, 3), sal.LIF(3, 2.0, 1.0))


def test_peak_hinge_by_hand():
    peak = torch.tensor([[-0.5, 0.2], [-1.0, -0.1]], requires_grad=True)
    counts = torch.tensor([[0, 0], [2, 0]])
    loss = regularizers.peak_hinge(peak, counts, margin=0.1)
    assert loss.item() == pytest.approx((0.6 + 0.0 + 0.2) / 4)  # 0.2 is over the margin, and one neuron fires
    loss.backward()
    assert peak.grad.tolist() == [[-0.25, 0.0], [0.0, -0.25]]


def test_peak_hinge_does_not_depend_on_the_batch_size():
    peak, counts = torch.randn(5, 3, generator=generator()), torch.zeros(5, 3)
    once = regularizers.peak_hinge(peak, counts)
    twice = regularizers.peak_hinge(peak.repeat(2, 1), counts.repeat(2, 1))
    assert once.item() == pytest.approx(twice.item())


def test_peak_hinge_of_an_empty_batch():
    model = layer()
    result = model.run(sal.Spikes.from_lists([], 2, 1.0), peak=True)
    loss = regularizers.peak_hinge(result.peak, result.spikes.counts())
    loss.backward()
    assert loss == 0.0


def test_peak_hinge_makes_silent_neurons_fire():
    draw = generator(3)
    spikes = random_spikes(draw, samples=4)
    model = random_layer(draw, 4, 6, delay="synaptic", scale=0.04)
    assert model(spikes).counts()[:3].sum() == 0
    optimiser = torch.optim.Adam([model.connection.weight], lr=0.05)
    for _ in range(60):
        result = model.run(spikes, peak=True)
        optimiser.zero_grad()
        regularizers.peak_hinge(result.peak, result.spikes.counts(), margin=0.05).backward()
        optimiser.step()
    assert (model(spikes).counts()[:3] > 0).all()


@pytest.mark.parametrize(("max_silent", "bumped"), [(0.0, [1, 2]), (0.4, [1, 2]), (0.5, [2]), (0.9, [2]), (1.0, [])])
@pytest.mark.parametrize("repeats", [1, 50])
def test_bump_hits_silent_neurons_whatever_the_batch_size(max_silent, bumped, repeats):
    model = layer()
    before = model.connection.weight.detach().clone()
    assert regularizers.bump_silent_(model, batch(repeats), max_silent, 0.25) == len(bumped)
    change = model.connection.weight.detach() - before
    expected = torch.zeros(3, 2)
    expected[bumped] = 0.25
    torch.testing.assert_close(change, expected)


def test_bump_leaves_autograd_and_empty_batches_alone():
    model = layer()
    before = model.connection.weight.detach().clone()
    assert regularizers.bump_silent_(model, sal.Spikes.from_lists([], 3, 1.0), 0.1, 1.0) == 0
    assert torch.equal(model.connection.weight, before)
    regularizers.bump_silent_(model, batch(), 0.1, 1.0)
    assert model.connection.weight.is_leaf and model.connection.weight.requires_grad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"amount": 0.0}, "amount = 0.0: must be > 0"),
        ({"amount": float("nan")}, "amount = nan"),
        ({"max_silent": 1.5}, "max_silent = 1.5: must be within"),
        ({"max_silent": float("nan")}, "max_silent = nan"),
        ({"spikes": sal.Spikes.from_lists([[]], 2, 1.0)}, "got 2 units, expected 3"),
    ],
)
def test_bump_checks_its_arguments(change, message):
    arguments = {"spikes": batch(), "max_silent": 0.3, "amount": 0.1} | change
    with pytest.raises(ValueError, match=message):
        regularizers.bump_silent_(layer(), **arguments)


def test_peak_hinge_checks_its_arguments():
    with pytest.raises(TypeError, match="peak=True"):
        regularizers.peak_hinge(layer().run(sal.Spikes.from_lists([[]], 2, 1.0)).peak, torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"peak \(2, 3\) and counts \(3, 2\)"):
        regularizers.peak_hinge(torch.zeros(2, 3), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="margin = nan"):
        regularizers.peak_hinge(torch.zeros(2, 3), torch.zeros(2, 3), float("nan"))


def test_count_target_does_not_depend_on_the_size_of_the_batch():
    events = [[(0.1, 0), (0.2, 0), (0.3, 1)], [(0.5, 0)]]
    one, many = (sal.Spikes.from_lists(lists, 2, 1.0) for lists in (events, events * 5))
    value = sal.regularizers.count_target(one, 2.0, tau=1e-3)
    assert value.item() == pytest.approx(((1.5 - 2) ** 2 + (0.5 - 2) ** 2) / 2)
    assert sal.regularizers.count_target(many, 2.0, tau=1e-3).item() == pytest.approx(value.item())
    assert sal.regularizers.count_target(one, torch.tensor([1.5, 0.5]), tau=1e-3).item() == pytest.approx(0.0)
    with pytest.raises(ValueError, match=r"target has shape \(3,\)"):
        sal.regularizers.count_target(one, torch.zeros(3), tau=0.1)
    with pytest.raises(ValueError, match="target"):
        sal.regularizers.count_target(one, -1.0, tau=0.1)


def test_mean_delay_shortens_delays():
    connection = sal.Linear(3, 2, delay="synaptic", max_delay=2.0)
    connection.set_delays(0.5)
    penalty = sal.regularizers.mean_delay(connection)
    assert penalty.item() == pytest.approx(0.25)
    penalty.backward()
    assert bool((connection.raw_delay.grad > 0).all())
    with pytest.raises(ValueError, match="no delays"):
        sal.regularizers.mean_delay(sal.Linear(3, 2))

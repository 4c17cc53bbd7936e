"""The experiments about times: their tasks, losses and references."""

import grid_reference
import numpy as np
import pytest
import torch

import saltation as sal
from saltation.experiments import grid_error, lag, targets
from saltation.experiments.case import Row
from saltation.experiments.grid.network import Twin
from saltation.experiments.grid.pack import Settings
from saltation.experiments.grid.readouts import Functional


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


def neuron():
    """One that fires a few times for the input that comes with it, in float64."""
    generator = drawn(2)
    inputs = grid_error.poisson(1, targets.INPUTS, targets.RATE, targets.DURATION, generator)
    return targets.start(inputs, generator, {}).double(), inputs


def test_poisson_trains():
    spikes = grid_error.poisson(20, 50, 0.01, 300.0, drawn())
    sal.Spikes(spikes.times, spikes.units, spikes.offsets, 50, 300.0)  # legal
    counts = spikes.counts().double()
    assert counts.mean() == pytest.approx(3.0, abs=4 * (3.0 / 1000) ** 0.5)
    assert counts.var() == pytest.approx(3.0, rel=0.15)
    assert spikes.times.mean() == pytest.approx(150.0, abs=6.0)


def test_exact_spikes_are_roots_and_grids_are_not():
    inputs = grid_error.poisson(1, grid_error.INPUTS, grid_error.RATE, 50.0, drawn())
    network = grid_error.firing_network(1, inputs, drawn(1))
    spikes = network(inputs).detach()
    assert grid_error.exact_error(network[0], inputs, spikes)["largest"] < 1e-12
    late = spikes.with_times((spikes.times + 1e-6).clamp(max=50.0))
    assert grid_error.exact_error(network[0], inputs, late)["rms"] == pytest.approx(1e-6, rel=0.05)


def test_errors_of_a_grid_shrink_with_its_step():
    found = [
        grid_error.run({"dt": dt, "layers": 1, "samples": 2, "duration": 50.0}, 0)["layers"][0]
        for dt in (1.0, 0.1, 0.01)
    ]
    medians = [layer["median"] for layer in found]
    assert medians[0] > 5 * medians[1] > 25 * medians[2]
    assert medians[2] < 0.03 and found[2]["matched"] > 0.99


def test_raster_and_its_gradient():
    """The functional `spikes`: the raster of the last layer, and the gradients of any function of it."""
    network, inputs = neuron()
    twin = Twin(network, targets.DURATION, Settings(1.0, dtype=np.float64), Functional("spikes"))
    outcome = twin.run(inputs)
    _, [[S]] = grid_reference.network(network, inputs, 1.0)
    assert outcome.value.shape == (1, 500, 1) and float(outcome.value.detach().sum()) > 3
    torch.testing.assert_close(outcome.value[0], S[1:])
    factors = torch.rand(500, 1, generator=drawn(2), dtype=torch.float64)
    parameters = list(network.parameters())[:2]  # weights and delays
    ours = torch.autograd.grad((factors * outcome.value[0]).sum(), parameters)
    theirs = torch.autograd.grad((factors * S[1:]).sum(), parameters)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9 * float(other.abs().max()))


def test_a_network_needs_a_functional_of_its_last_layer():
    network, _ = neuron()
    with pytest.raises(ValueError, match="needs a functional of them, any other none"):
        Twin(network, 10.0, Settings(1.0), Functional("integral"))


def test_distance_of_a_raster_is_the_van_rossum_distance():
    raster = (torch.rand(1, 80, 1, generator=drawn(), dtype=torch.float64) < 0.1).double().requires_grad_()
    wanted = torch.tensor([3.3, 20.05, 31.7], dtype=torch.float64)
    steps = 0.5 * torch.arange(1, 81, dtype=torch.float64)
    times = steps[raster.detach()[0, :, 0] > 0]
    train = [sal.Spikes.from_lists([[(t, 0) for t in each.tolist()]], 1, 40.0) for each in (times, wanted)]
    value = targets.raster_distance(raster, 0.5, wanted, 2.0)
    assert value.item() == pytest.approx(sal.losses.van_rossum(*train, 2.0).item())
    K = (-(steps[:, None] - steps[None, :]).abs() / 2.0).exp()
    k = (-(steps[:, None] - wanted[None, :]).abs() / 2.0).exp().sum(1)
    S = raster.detach()[0, :, 0].clone().requires_grad_()
    (0.5 * S @ K @ S - k @ S).backward()
    value.backward()
    torch.testing.assert_close(raster.grad[0, :, 0], S.grad)


def test_targets_keep_their_distances():
    anywhere = targets.targets(50, None, drawn()).times
    assert len(anywhere) == 50 and anywhere.diff().min() >= 3.0 and anywhere.min() >= 50 and anywhere.max() <= 490
    burst = targets.targets(5, 0.3, drawn()).times
    torch.testing.assert_close(burst.diff(), torch.full((4,), 0.3, dtype=torch.float64))


def test_learning_brings_spikes_to_their_targets():
    settings = {"targets": 1, "steps": 80, "lr": 0.03, "arm": "exact"}
    before, after = (targets.run({**settings, "steps": steps}, 0)["distance"] for steps in (1, 80))
    assert after < before - 0.3


def test_clicks_differ_in_their_lag_alone():
    data, other = (lag.clicks(each, (300, 50, 50), 3) for each in (0.5, 2.0))
    assert np.array_equal(data.labels, other.labels) and 100 < data.labels.sum() < 300
    for each, wanted in ((data, 0.5), (other, 2.0)):
        right = each.channels >= lag.FIBRES
        owner = np.repeat(np.arange(400), 60)
        sums = [np.bincount(owner, each.times * side, 400) / 30 for side in (right, ~right)]
        difference = sums[0] - sums[1]
        means = [difference[each.labels == label].mean() for label in (0, 1)]
        assert means[1] - means[0] == pytest.approx(wanted, abs=0.02)


def test_best_observer():
    """The share of samples whose class the difference of the mean times tells."""
    lags = 0.1
    data = lag.clicks(lags, (20000, 2, 2), 0)
    owner = np.repeat(np.arange(len(data.labels)), 60)
    right = data.channels >= lag.FIBRES
    difference = np.bincount(owner, data.times * (2.0 * right - 1.0), len(data.labels))
    assert ((difference > 0) == data.labels).mean() == pytest.approx(lag.best(lags), abs=0.004)


def test_binned_events_lie_at_the_start_of_their_step():
    data = lag.clicks(0.5, (20, 5, 5), 1)
    made = lag.binned(data, 2.0)
    moved = np.sort(data.times.reshape(30, -1), 1) - np.sort(made.times.reshape(30, -1), 1)
    assert np.array_equal(made.times % 2.0, np.zeros(1800)) and (moved >= 0).all() and (moved < 2.0).all()
    assert np.array_equal(np.bincount(made.channels), np.bincount(data.channels))


@pytest.mark.parametrize("experiment", [grid_error, lag, targets])
def test_tables_and_pictures_stand_trials_alone(experiment):
    """Experiments are looked at while they run."""
    found = {"validation_loss": 0.5, "distance": 0.3}
    layer = {"rms": 0.1, "median": 0.1, "matched": 1.0, "surplus": 0.0}
    found |= {"layers": [layer], "exact": {"rms": 1e-15}}
    case = experiment.cases("full")[0]
    rows = [Row(case.name, 0, case.settings, found)]
    for make in experiment.TABLES.values():
        table = make(rows)
        assert all(len(line) == len(table.header) for line in table.lines)
    for picture in experiment.PICTURES.values():
        picture.figure(rows)

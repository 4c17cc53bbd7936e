"""The experiments on disturbed input and devices: what is changed, and by how much."""

import math

import numpy as np
import pytest
import torch

import saltation as sal
from saltation.data import load
from saltation.experiments import noisy_chip, robustness
from saltation.experiments.disturb import KINDS, Losing, disturbed_data, disturbed_network


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


def points():
    return load("yin_yang", publication=False, sizes=(400, 10, 10), duration=6.0).subset("train")


def network():
    layers = [
        sal.Layer(sal.Linear(n, m, "synaptic", 1.0, generator=drawn(n)), sal.LIF(m, 2.0, 1.0, refractory=math.inf))
        for n, m in ((4, 30), (30, 3))
    ]
    for layer in layers:
        sal.init.normal_(layer, 2.0, 2.0, drawn())
        sal.init.uniform_delays_(layer, 0.3, 0.7, drawn(1))
    return sal.Sequential(*layers)


def test_events_change_as_they_should():
    data = points()
    after = {kind: disturbed_data(kind, 0.5, data, 0.1, drawn()) for kind in KINDS}
    assert all(np.array_equal(each.labels, data.labels) for each in after.values())
    moved = np.sort(after["jitter"].times) - np.sort(data.times)
    assert after["jitter"].num_events == 1600 and 0 < np.abs(moved).max() < 0.3
    spread = after["jitter"].batch(np.arange(400))[0].first() - data.batch(np.arange(400))[0].first()
    assert float(spread.std()) == pytest.approx(0.05, rel=0.1)  # 0.5 ms, of which 0.1 is one
    assert after["loss"].num_events == pytest.approx(800, abs=80)
    assert after["insertion"].num_events == pytest.approx(2400, abs=120)
    assert all(after[kind] is data for kind in ("hidden_loss", "threshold", "tau", "weight", "weight_bits"))


def test_parameters_change_as_they_should():
    model = network()
    weight, delay = (values.detach() for values in model[0].connection.dense())
    after = {kind: disturbed_network(kind, 0.2 if "bits" not in kind else 3, model, drawn()) for kind in KINDS}
    assert all(after[kind] is model for kind in ("jitter", "loss", "insertion", "hidden_loss"))
    few = after["weight_bits"][0].connection.dense()[0].detach()
    assert len(few.unique()) <= 7 and float((few - weight).abs().max()) <= float(weight.abs().max()) / 6 + 1e-6
    steps = after["delay_bits"][0].connection.dense()[1].detach() * 7
    torch.testing.assert_close(steps, steps.round())
    assert float((steps / 7 - delay).abs().max()) <= 1 / 14 + 1e-6
    noise = after["weight"][0].connection.dense()[0].detach() - weight
    assert float(noise.std()) == pytest.approx(0.2 * float(weight.abs().max()), rel=0.2)
    assert float(after["tau"][0].neuron.tau_mem.detach().log().std()) == pytest.approx(0.2, rel=0.35)
    assert float(after["threshold"][0].neuron.threshold.detach().log().std()) == pytest.approx(0.2, rel=0.35)


def test_hidden_spikes_are_lost_and_those_of_the_output_are_not():
    model, data = network(), points()
    spikes, _ = data.batch(np.arange(400))
    whole = model.run(spikes)
    none = Losing(model, 0.0, drawn()).run(spikes)
    assert torch.equal(none[-1].spikes.times, whole[-1].spikes.times)
    half = Losing(model, 0.9, drawn()).run(spikes)
    assert torch.equal(half[0].spikes.times, whole[0].spikes.times)
    assert half[1].spikes.times.numel() < 0.7 * whole[1].spikes.times.numel()


def test_areas_are_those_of_trapezoids():
    result = {
        "clean": {"continuous": 1.0, "grid": None},
        "loss": {"strengths": [0.1, 0.3], "continuous": [0.8, 0.4], "grid": [None, None]},
        "weight_bits": {"strengths": [8, 6, 2], "continuous": [0.9, 0.9, 0.5], "grid": [None] * 3},
    }
    assert robustness.area(result, "loss", "continuous") == pytest.approx((0.1 * 0.9 + 0.2 * 0.6) / 0.3)
    assert robustness.area(result, "weight_bits", "continuous") == pytest.approx((2 * 0.9 + 4 * 0.7) / 6)
    assert robustness.area(result, "loss", "grid") is None


def test_draws_are_those_of_the_seed_and_of_nothing_else():
    """So all arms meet the same noise and devices."""
    first, same, other = (
        torch.rand(3, generator=robustness._generator(*of)) for of in ((1, 2, 3), (1, 2, 3), (1, 2, 4))
    )
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_the_noisy_chip_is_the_published_one():
    settings = {"trained": "axonal", "smoothing": 0.0}
    model = noisy_chip.make(settings, drawn())
    data = noisy_chip.points([20, 5, 5])
    counts = data.batch(np.arange(30))[0].counts()
    assert counts.shape == (30, 20) and bool((counts == 1).all())
    delays = model[0].connection.delays().detach()
    assert delays.shape == (1, 20) and len(delays.unique()) == 4
    assert torch.equal(delays[0, :4].repeat(5), delays[0]) and 2.0 < float(delays.min()) < float(delays.max()) < 3.5
    assert sum(p.numel() for p in model.parameters()) == 20 * 30 + 30 * 3 + 4 + 30
    with torch.no_grad():
        model[0].connection.weight.mul_(5.0)
    chip = noisy_chip.Noisy(model, noisy_chip.CHIP, noisy_chip.DEVICE, generator=drawn(1))
    first, second = chip.values(), chip.values()
    levels = first["layers.0.connection.weight"].detach() * 30
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
    assert float(levels.abs().max()) == pytest.approx(63.0)
    fixed, trial = (0.08, 0.04)
    one, two = (values["layers.0.neuron.threshold"].detach() for values in (first, second))
    assert float(one.std()) == pytest.approx(math.hypot(fixed, trial), rel=0.4)
    assert float((one - two).std()) == pytest.approx(trial * 2**0.5, rel=0.4)
    assert float(one.mean()) == pytest.approx(2.73, abs=0.06)

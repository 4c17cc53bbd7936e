"""Numbers are taken from Python, NumPy and torch alike; what is none, or out of range, is refused in words."""

import math

import numpy as np
import pytest
import torch

import saltation as sal
from saltation import Spikes, losses
from saltation.data import augment

PAIRS = [[0.3, 2], [0.1, 0]]


def one_spike(units=1, duration=10.0):
    return Spikes.from_lists([[(0.0, 0)]], units, duration)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8, torch.tensor])
def test_whole_numbers(kind):
    two, three, four = kind(2), kind(3), kind(4)
    torch.manual_seed(1)
    expected = sal.Linear(200, 3).weight
    torch.manual_seed(1)
    assert torch.equal(sal.Linear(kind(200), three).weight, expected)
    assert sal.Sparse.random(four, three, two).weight.shape == (6,)
    wide = sal.Sparse(kind(200), three, torch.tensor([0, 199]), torch.tensor([2, 0]))
    assert wide.source.tolist() == [199, 0] and wide.out_size == 3
    image = sal.Conv2d((two, four, four), four, three, stride=kind(1), padding=kind(1), groups=two)
    assert image.out_shape == (4, 4, 4) and image.weight.shape == (4, 1, 3, 3)
    assert sal.Conv2d(np.array([2, 4, 4]), 4, np.array([3, 2])).out_shape == (4, 2, 3)
    assert sal.SumPool2d((two, four, four), two).out_shape == (2, 2, 2)
    assert sal.LIF(three, 2.0, 1.0).size == sal.QIF(three, 2.0).size == sal.LI(three, 2.0, 1.0).size == 3
    model = sal.Layer(sal.Linear(two, three), sal.LIF(three, 2.0, 1.0), max_spikes=kind(7))
    assert type(model.max_spikes) is type(model.in_size) is type(model.out_size) is int
    assert model(one_spike(two)).num_units == 3 and len(one_spike(2).sample(kind(0))) == 1
    assert augment.shift_channels(one_spike(3), kind(0)).units.tolist() == [0]


@pytest.mark.parametrize("kind", [np.float64, np.float32, torch.tensor, int])
def test_numbers(kind):
    one, two = kind(1), kind(2)
    options = {"threshold": one, "jump": one, "tau_adapt": two, "refractory": one, "v_reset": kind(0), "min_slope": one}
    neuron = sal.LIF(2, two, one, **options)
    assert neuron.packed().tolist() == [[2.0, 1.0, 2.0, 1.0, 1.0, 0.0, 1.0]] * 2 and type(neuron.min_slope) is float
    linear = sal.Linear(1, 2, delay="axonal", min_delay=one, max_delay=two)
    linear.set_delays(two)
    assert linear.delays().tolist() == [[2.0]] and type(linear.max_delay) is float
    spikes = sal.Layer(linear, neuron)(one_spike(duration=kind(10)))
    assert type(spikes.duration) is float
    for loss in (losses.van_rossum, losses.victor_purpura):
        assert loss(spikes, spikes, one).tolist() == [[0.0, 0.0]]
    assert losses.soft_counts(spikes, one).shape == (1, 2)
    losses.shift_invariant(spikes, torch.tensor([0]), one)
    losses.first_spike_cross_entropy(spikes, torch.tensor([0]), one, one)
    assert spikes.to_dense(one, time_first=True).shape == (10, 1, 2)


@pytest.mark.parametrize(
    "sample",
    [
        np.array(PAIRS),
        torch.tensor(PAIRS, dtype=torch.float64),
        map(np.array, PAIRS),
        (tuple(pair) for pair in PAIRS),
        np.array([(0.3, 2), (0.1, 0)], dtype=[("t", np.float64), ("x", np.int16)]),
    ],
)
def test_events(sample):
    assert Spikes.from_lists([sample, []], np.int64(3), np.float32(1.0)).to_lists() == [[(0.1, 0), (0.3, 2)], []]


REFUSED = [
    (lambda: sal.Linear(10**30, 2), "in_size = 1000000.*at most"),
    (lambda: sal.Linear("3", 2), "in_size = '3': must be a whole number >= 1"),
    (lambda: sal.Linear(3, 2, delay="axonal", max_delay="1.0"), "max_delay = '1.0': must be a number"),
    (lambda: sal.Conv2d((1, 8, 8), 4, 2.5), "kernel_size = 2.5: must be a whole number >= 1"),
    (lambda: sal.Conv2d((1, 8, 8), 4, (3, 3, 3)), r"kernel_size = \(3, 3, 3\).* or two"),
    (lambda: sal.Conv2d((1, 8, 8), 4, "33"), "kernel_size = '33': must be a whole number"),
    (lambda: sal.Conv2d((1, 8, 8), 4, 3, padding=-1), "padding = -1: must be a whole number >= 0"),
    (lambda: sal.Conv2d(64, 4, 3), r"in_shape = 64: must be \(channels, height, width\)"),
    (lambda: sal.Conv2d((1, 8), 4, 3), r"in_shape = \(1, 8\): must be \(channels, height, width\)"),
    (lambda: sal.SumPool2d(64, 2), r"in_shape = 64: must be \(channels, height, width\)"),
    (lambda: sal.LIF(3, 2.0, 1.0, threshold=10**400), "threshold = 1000000.*number"),
    (lambda: sal.LIF(3, 2.0, 1.0, threshold=1j), "threshold = 1j.*number"),
    (lambda: sal.init.normal_(sal.Linear(3, 2), "0", 1.0), "mean = '0': must be a number"),
    (lambda: sal.init.uniform_delays_(sal.Linear(3, 2), math.nan, 1.0), "low = nan: must be finite"),
    (lambda: one_spike(duration="1.0"), "duration = '1.0': must be a number"),
    (lambda: one_spike(duration=10**400), "duration = 1000000.*must be a number"),
    (lambda: one_spike(duration=torch.ones(2)), "duration = tensor.*must be a number"),
    (lambda: one_spike().to_dense("1", time_first=True), "dt = '1': must be a number"),
    (lambda: one_spike().to_dense(5e-324, time_first=True), "dt = 4.94066e-324: a raster of inf steps"),
    (lambda: Spikes.from_dense(torch.full((1, 2, 2), 1e12), 1.0, time_first=True), r"holds 4e\+12 spikes.*counts"),
    (lambda: Spikes.from_lists(5, 1, 1.0), r"samples is 5: pass one list of \(time, unit\) pairs per sample"),
    (lambda: Spikes.from_lists([0.1, 0.2], 1, 1.0), "pass one list of"),
    (lambda: Spikes.from_lists([[("0.1", 0)]], 1, 1.0), r"\('0.1', 0\): must be two numbers"),
    (lambda: Spikes.from_lists([[(0.1, "0")]], 1, 1.0), r"\(0.1, '0'\): must be two numbers"),
    (lambda: augment.jitter(one_spike(), -0.1), "std = -0.1: must be >= 0"),
    (lambda: augment.drop(one_spike(), 1.1), r"fraction = 1.1: must be within \[0, 1\)"),
    (lambda: augment.stretch(one_spike(), 1.5), r"largest = 1.5: must be within \[0, 1\)"),
    (lambda: augment.shift_channels(one_spike(), -1), "largest = -1: must be a whole number >= 0"),
    (lambda: augment.shift_image(one_spike(), (1, 1, 1), 0.5), "largest = 0.5: must be a whole number >= 0"),
    (lambda: augment.blend(one_spike(), torch.tensor([0]), math.nan), "fraction = nan: must be finite"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_what_is_no_number_or_out_of_range(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


DRAWS = {
    "linear": lambda g: sal.Linear(5, 4, generator=g).weight,
    "convolution": lambda g: sal.Conv2d((1, 4, 4), 2, 3, generator=g).weight,
    "sparse": lambda g: sal.Sparse.from_mask(torch.ones(4, 5), generator=g).weight,
    "wiring": lambda g: sal.Sparse.random(50, 4, 5, g).source,
    "normal": lambda g: after(lambda where: sal.init.normal_(where, 0.0, 1.0, g)),
    "uniform delays": lambda g: after(lambda where: sal.init.uniform_delays_(where, 0.0, 0.5, g)),
    "drive": lambda g: after(lambda where: sal.init.drive_(where, one_spike(2), g)),
    "jitter": lambda g: augment.jitter(many(), 0.1, g).times,
    "drop": lambda g: augment.drop(many(), 0.5, g).times,
    "shift of channels": lambda g: augment.shift_channels(many(), 40, g).units,
    "shift of images": lambda g: augment.shift_image(many(), (1, 10, 10), 4, g).units,
    "stretch": lambda g: augment.stretch(many(), 0.5, g).times,
    "blend": lambda g: augment.blend(many(), torch.tensor([0, 0, 0, 0]), 1.0, g).times,
}


def after(change):
    """The parameters of a layer changed in place."""
    linear = sal.Linear(2, 5, delay="synaptic", max_delay=0.5, generator=torch.Generator().manual_seed(0))
    change(sal.Layer(linear, sal.LIF(5, 2.0, 1.0)))
    return torch.cat([linear.weight.detach().flatten(), linear.raw_delay.detach().flatten()])


def many():
    times = torch.linspace(0.1, 0.9, 40, dtype=torch.float64).repeat(4)
    return Spikes(times, torch.arange(160) % 100, torch.arange(5) * 40, 100, 1.0)


@pytest.mark.parametrize("name", DRAWS)
def test_every_draw_takes_a_generator_or_that_of_torch(name):
    draw = DRAWS[name]
    torch.manual_seed(3)
    first, second = draw(None), draw(None)
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    assert torch.equal(draw(None), first) and torch.equal(draw(None), second)
    before = torch.random.get_rng_state()
    assert torch.equal(draw(torch.Generator().manual_seed(3)), first)  # the same numbers, and the global one stays
    assert torch.equal(torch.random.get_rng_state(), before)
    with pytest.raises(TypeError, match=r"generator = 3: pass one, for example torch.Generator\(\)"):
        draw(3)

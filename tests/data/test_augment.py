"""Random changes of events: what they may and may not change."""

import math

import pytest
import torch

import saltation as sal
from saltation.data import augment, blend, drop, insert, jitter, shift_channels, shift_image, stretch


@pytest.fixture
def spikes():
    generator = torch.Generator().manual_seed(0)
    times = torch.rand(6, 200, generator=generator, dtype=torch.float64).sort(1).values * 0.9
    units = torch.randint(40, 60, (1200,), generator=generator)
    return sal.Spikes(times.flatten(), units, torch.arange(0, 1201, 200), 100, 1.0)


def checked(spikes):
    """As a user would make it: all rules of Spikes hold."""
    return sal.Spikes(spikes.times, spikes.units, spikes.offsets, spikes.num_units, spikes.duration)


LABELS = torch.tensor([0, 0, 0, 1, 1, 2])


@pytest.mark.parametrize(
    "change",
    [
        lambda s, g: jitter(s, 0.2, g),
        lambda s, g: drop(s, 0.5, g),
        lambda s, g: shift_channels(s, 60, g),
        lambda s, g: shift_image(s, (4, 5, 5), 2, g),
        lambda s, g: stretch(s, 0.4, g),
        lambda s, g: blend(s, LABELS, 0.9, g),
    ],
)
def test_results_are_legal_and_repeatable(spikes, change):
    first, same, other = (change(spikes, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    checked(first)
    assert torch.equal(first.times, same.times) and torch.equal(first.units, same.units)
    assert not (torch.equal(first.times, other.times) and torch.equal(first.units, other.units))


def test_shift_of_images(spikes):
    moved = shift_image(spikes, (1, 10, 10), 2, torch.Generator().manual_seed(0))
    before, after = spikes.counts().reshape(6, 10, 10), moved.counts().reshape(6, 10, 10)
    shifts = torch.randint(-2, 3, (2, 6), generator=torch.Generator().manual_seed(0)).tolist()
    for old, new, down, right in zip(before, after, *shifts, strict=True):
        padded = torch.nn.functional.pad(old, (2, 2, 2, 2))
        assert torch.equal(new, padded[2 - down : 12 - down, 2 - right : 12 - right])
    assert any(down for down in shifts[0]) and any(right for right in shifts[1])
    with pytest.raises(ValueError, match=r"image = \[1, 10, 9\].* of 100 pixels in all"):
        shift_image(spikes, (1, 10, 9), 2, torch.Generator())


def test_shift_of_images_that_are_not_square():
    """The pixel (y, x) of a 3 x 5 image goes to (y + down, x + right), and is lost outside."""
    image = (2, 3, 5)
    events = [[(0.01 * unit, unit) for unit in range(30)]] * 20
    spikes = sal.Spikes.from_lists(events, 30, 1.0)
    moved = shift_image(spikes, image, 2, torch.Generator().manual_seed(3)).counts().reshape(20, *image)
    shifts = torch.randint(-2, 3, (2, 20), generator=torch.Generator().manual_seed(3)).T.tolist()
    for counts, (down, right) in zip(moved, shifts, strict=True):
        expected = torch.zeros(image, dtype=torch.int64)
        expected[:, max(down, 0) : 3 + min(down, 0), max(right, 0) : 5 + min(right, 0)] = 1
        assert torch.equal(counts, expected)


def test_jitter_is_reflected_at_0_and_cut_at_the_end(spikes):
    """Each time t becomes |t + noise|, and the duration where that is later; then all are sorted within a sample."""
    jittered = jitter(spikes, 0.3, torch.Generator().manual_seed(1))
    noise = torch.randn(1200, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    moved = spikes.times + 0.3 * noise
    assert (moved < -0.1).sum() > 10 and (moved > 1.1).sum() > 10
    expected = torch.where(moved < 0, -moved, moved)
    expected = torch.where(expected > 1.0, torch.ones(()).double(), expected)
    assert torch.equal(jittered.times, expected.reshape(6, 200).sort(1).values.flatten())


def test_shift(spikes):
    moved = shift_channels(spikes, 30, torch.Generator().manual_seed(0))
    assert torch.equal(moved.times, spikes.times)  # 40 to 59 stay within 0 to 99
    shifts = (moved.units - spikes.units).reshape(6, 200)
    assert (shifts == shifts[:, :1]).all() and len(shifts[:, 0].unique()) > 3 and shifts.abs().max() <= 30
    lost = shift_channels(spikes, 99, torch.Generator().manual_seed(0))
    assert 0 < len(lost.units) < 1200


def test_stretch(spikes):
    longer = stretch(spikes, 0.1, torch.Generator().manual_seed(0))
    factors = (longer.times / spikes.times).reshape(6, 200)  # up to 0.99: nothing is lost
    assert torch.allclose(factors, factors[:, :1]) and factors.min() >= 0.9 and factors.max() <= 1.1
    assert len(factors[:, 0].unique()) == 6
    assert len(stretch(spikes, 0.9, torch.Generator().manual_seed(0)).times) < 1200


def test_blend(spikes):
    mixed = blend(spikes, LABELS, 1.0, torch.Generator().manual_seed(0))
    sizes = mixed.offsets.diff()
    assert sizes[5] == 200  # alone in its class
    assert ((sizes[:5] > 150) & (sizes[:5] < 250)).all()
    unchanged = blend(spikes, LABELS, 0.0, torch.Generator().manual_seed(0))
    assert torch.equal(unchanged.times, spikes.times) and torch.equal(unchanged.units, spikes.units)
    # events of the partner, and no one else's, with the mean moved to that of the sample
    separate = sal.Spikes.from_lists([[(0.1, 0), (0.3, 0)], [(0.5, 6), (0.7, 8)], [(0.2, 9)]], 10, 1.0)
    seen = set()
    for seed in range(50):
        out = blend(separate, torch.tensor([0, 0, 1]), 1.0, torch.Generator().manual_seed(seed)).to_lists()
        seen |= {(b, round(t, 9), unit) for b in range(3) for t, unit in out[b]}
    own = {(0, 0.1, 0), (0, 0.3, 0), (1, 0.5, 6), (1, 0.7, 8), (2, 0.2, 9)}
    # mean unit 0 against 7: units 6 and 8 become -1 (lost) and 1
    assert seen == own | {(0, 0.3, 1), (1, 0.5, 7), (1, 0.7, 7)}


def test_jitter_is_reflected_at_the_start_and_cut_at_the_end():
    events = [(0.0, 0)] * 200 + [(0.5, 1)] * 200 + [(1.0, 2)] * 200
    spikes = sal.Spikes.from_lists([events], 3, 1.0)
    noise = torch.randn(600, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    moved = augment.jitter(spikes, 0.1, torch.Generator().manual_seed(5))
    first, middle, last = (moved.times[moved.units == unit].sort().values for unit in range(3))
    torch.testing.assert_close(first, (0.1 * noise[:200]).abs().sort().values)
    torch.testing.assert_close(middle, (0.5 + 0.1 * noise[200:400]).sort().values)
    torch.testing.assert_close(last, (1.0 + 0.1 * noise[400:]).clamp(max=1.0).sort().values)
    assert (last == 1.0).sum() > 60 and (first > 0.0).all()


@pytest.mark.parametrize(
    "change",
    [
        lambda s, **g: augment.jitter(s, 0.1, **g),
        lambda s, **g: augment.drop(s, 0.5, **g),
        lambda s, **g: augment.shift_channels(s, 2, **g),
        lambda s, **g: augment.shift_image(s, [1, 2, 3], 1, **g),
        lambda s, **g: augment.stretch(s, 0.5, **g),
        lambda s, **g: augment.blend(s, torch.zeros(s.num_samples).long(), 1.0, **g),
    ],
)
def test_without_a_generator_torchs_global_one_draws(change):
    spikes = sal.Spikes.from_lists([[(0.1 * k, k % 6) for k in range(10)] for _ in range(8)], 6, 1.0)

    def events():
        return change(spikes).to_lists()

    torch.manual_seed(1)
    first, second = events(), events()
    torch.manual_seed(1)
    assert first != second and events() == first and events() == second
    before = torch.random.get_rng_state()
    change(spikes, generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("change,message", [
    (lambda s: jitter(s, -1.0), r"std = -1.0: must be >= 0"),
    (lambda s: jitter(s, math.nan), r"std = nan: must be finite"),
    (lambda s: drop(s, 1.0), r"fraction = 1.0: must be within \[0, 1\)"),
    (lambda s: drop(s, math.nan), r"fraction = nan"),
    (lambda s: shift_channels(s, -3), r"largest = -3: must be a whole number >= 0"),
    (lambda s: shift_channels(s, 1.5), r"largest = 1.5: must be a whole number >= 0"),
    (lambda s: shift_image(s, (10, 10), 1), r"image = \[10, 10\]: must be three sizes"),
    (lambda s: shift_image(s, (1, 10, 10), -1), r"largest = -1"),
    (lambda s: stretch(s, 1.0), r"largest = 1.0: must be within \[0, 1\)"),
    (lambda s: blend(s, LABELS, 1.5), r"fraction = 1.5: must be within \[0, 1\]"),
    (lambda s: blend(s, LABELS[:3], 0.5), r"labels has shape \(3,\): must be \(6,\)"),
])  # fmt: skip
def test_strengths_out_of_range_are_refused(spikes, change, message):
    with pytest.raises(ValueError, match=message):
        change(spikes)


def test_jitter_keeps_gradients():
    """Of a spike that stays inside the derivative is 1, of one that is reflected at 0 it is -1, of a cut one 0."""
    spikes = sal.Spikes.from_lists([[(0.5, 0), (1.0, 1), (1.5, 0)]] * 200, num_units=2, duration=2.0)
    times = spikes.times.clone().requires_grad_()
    moved = jitter(spikes.with_times(times), 1.0, torch.Generator().manual_seed(1))
    factors = torch.linspace(1.0, 2.0, len(times), dtype=torch.float64)
    (moved.times * factors).sum().backward()
    noise = torch.randn(len(times), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    place = spikes.times + noise
    slope = torch.where(place.abs() > 2.0, 0.0, place.sign())
    order = place.abs().clamp(max=2.0).view(200, 3).argsort(dim=1, stable=True).argsort(dim=1)
    expected = slope * factors.view(200, 3).gather(1, order).flatten()
    assert {-1.0, 0.0, 1.0} == set(slope.tolist())
    assert torch.allclose(times.grad, expected)


def test_insert_is_a_poisson_process():
    """Mean and variance of the number of added spikes are rate x duration x units; times and units are uniform."""
    spikes = sal.Spikes.from_lists([[(0.25, 0), (1.0, 1)]] * 2000, num_units=4, duration=2.0)
    times = spikes.times.clone().requires_grad_()
    full = insert(spikes.with_times(times), 1.5, torch.Generator().manual_seed(1))
    added = full.counts().sum(1).double() - 2
    assert float(added.mean()) == pytest.approx(12.0, abs=4 * math.sqrt(12 / 2000))
    assert float(added.var()) == pytest.approx(12.0, rel=4 * math.sqrt(2 / 2000))
    rates = full.counts().double().mean(0) - torch.tensor([1.0, 1.0, 0.0, 0.0])
    assert torch.allclose(rates, torch.full((4,), 3.0, dtype=torch.float64), atol=4 * math.sqrt(3 / 2000))
    assert float(full.times.detach().min()) >= 0.0 and float(full.times.detach().max()) <= 2.0
    late = float((full.times.detach() > 1.0).double().sum()) / (2000 * 12)
    assert late == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(24000))
    full.times.sum().backward()
    assert times.grad.eq(1.0).all()
    assert insert(spikes, 0.0).times.equal(spikes.times)

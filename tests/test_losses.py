"""Losses against numbers worked out by hand, and defined where outputs are silent."""

import math

import pytest
import torch

import saltation as sal
from saltation import Spikes, losses, regularizers

# 3 units, 3 samples: all fire, one is silent, all are silent
EVENTS = [[(0.2, 0), (0.5, 1), (0.9, 2), (0.95, 0)], [(0.3, 1), (0.6, 0)], []]
LABELS = torch.tensor([0, 2, 1])
FIRST = [[0.2, 0.5, 0.9], [0.6, 0.3, 1.0], [1.0, 1.0, 1.0]]  # silent: the end of the sample


def outputs(events=None, units=3):
    plain = Spikes.from_lists(EVENTS if events is None else events, num_units=units, duration=1.0)
    leaf = plain.times.requires_grad_()
    return Spikes(leaf, plain.units, plain.offsets, units, 1.0)


def gradient(loss, spikes):
    (grad,) = torch.autograd.grad(loss, spikes.times)
    assert grad.isfinite().all()
    return grad.tolist()


def cross_entropy_by_hand(times, label, tau):
    return times[label] / tau + math.log(sum(math.exp(-t / tau) for t in times))


def test_first_times():
    assert losses.first_times(outputs()).tolist() == FIRST


@pytest.mark.parametrize("tau", [0.1, 1.0])
@pytest.mark.parametrize("early", [0.0, 0.3])
def test_first_spike_cross_entropy(tau, early):
    spikes = outputs()
    loss = losses.first_spike_cross_entropy(spikes, LABELS, tau, early)
    by_hand = [cross_entropy_by_hand(t, k, tau) for t, k in zip(FIRST, LABELS.tolist(), strict=True)]
    terms = [early * (math.exp(t[k]) - 1) for t, k in zip(FIRST, LABELS.tolist(), strict=True)]
    assert loss.item() == pytest.approx((sum(by_hand) + sum(terms)) / 3, rel=1e-12)

    def softmax(b, j):
        return math.exp(-FIRST[b][j] / tau) / sum(math.exp(-t / tau) for t in FIRST[b])

    expected = [
        ((1 - softmax(0, 0)) / tau + early * math.exp(0.2)) / 3,
        -softmax(0, 1) / tau / 3,
        -softmax(0, 2) / tau / 3,
        0.0,  # a second spike does not count
        -softmax(1, 1) / tau / 3,
        -softmax(1, 0) / tau / 3,
    ]
    assert gradient(loss, spikes) == pytest.approx(expected, rel=1e-12)


def test_early_is_relative_to_the_duration():
    """The extra term is exp(t_label / duration) - 1: the same in any unit of time."""
    for duration in (1.0, 4.0):
        events = [[(duration * t, unit) for t, unit in sample] for sample in EVENTS]
        spikes = Spikes.from_lists(events, 3, duration)
        with_term, without = (losses.first_spike_cross_entropy(spikes, LABELS, duration, early) for early in (0.3, 0.0))
        expected = 0.3 * sum(math.exp(t[k]) - 1 for t, k in zip(FIRST, LABELS.tolist(), strict=True)) / 3
        assert (with_term - without).item() == pytest.approx(expected, rel=1e-12)


def test_first_spike_cross_entropy_does_not_overflow():
    spikes = outputs()
    loss = losses.first_spike_cross_entropy(spikes, LABELS, 1e-6)
    assert loss.isfinite()
    gradient(loss, spikes)


def test_shift_invariant():
    spikes = outputs()
    loss = losses.shift_invariant(spikes, LABELS, margin=0.2)
    by_hand = (
        0.5 * ((0.5 - 0.2 - 0.2) ** 2 + (0.9 - 0.2 - 0.2) ** 2)
        + 0.5 * ((0.6 - 1.0 - 0.2) ** 2 + (0.3 - 1.0 - 0.2) ** 2)
        + 0.5 * 2 * 0.2**2
    ) / 3
    assert loss.item() == pytest.approx(by_hand, rel=1e-12)
    expected = [-(0.1 + 0.5) / 3, 0.1 / 3, 0.5 / 3, 0.0, 0.0, 0.0]  # sample 1: its label is silent
    assert gradient(loss, spikes) == pytest.approx(expected, rel=1e-12)


def test_shift_invariant_does_not_push_the_partner_of_a_silent_output():
    spikes = outputs([[(0.3, 1), (0.6, 2)], [(0.4, 1), (0.6, 0)]])  # unit 0 is silent in sample 0, unit 2 in sample 1
    silent_label = gradient(losses.shift_invariant(spikes, torch.tensor([0, 0])), spikes)
    assert silent_label[:2] == [0.0, 0.0]  # the others must not run after it to the end of the sample
    difference = 0.4 - 0.6 - 0.2
    assert silent_label[2:] == pytest.approx([difference / 2, -difference / 2])


def test_shift_invariant_is_shift_invariant():
    early = losses.shift_invariant(outputs([[(0.1, 0), (0.2, 1), (0.5, 2)]]), torch.tensor([1]))
    late = losses.shift_invariant(outputs([[(0.5, 0), (0.6, 1), (0.9, 2)]]), torch.tensor([1]))
    assert early.item() == pytest.approx(late.item(), rel=1e-12)


def test_spike_time_mse_matches_in_order():
    spikes = outputs([[(0.1, 0), (0.4, 0), (0.2, 1)], [(0.7, 2)]])
    target = Spikes.from_lists([[(0.2, 0), (0.3, 0), (0.25, 1)], [(0.5, 2)]], 3, 1.0)
    loss = losses.spike_time_mse(spikes, target)
    assert loss.item() == pytest.approx((0.1**2 + 0.1**2 + 0.05**2 + 0.2**2) / 2, rel=1e-12)
    # in order of time: (0.1, 0), (0.2, 1), (0.4, 0) and (0.7, 2)
    assert gradient(loss, spikes) == pytest.approx([-0.1, -0.05, 0.1, 0.2], rel=1e-12)


def test_spike_time_mse_with_missing_and_surplus_spikes():
    spikes = outputs([[(0.1, 0), (0.4, 0)], [], [(0.6, 1)]])
    target = Spikes.from_lists([[(0.2, 0)], [(0.3, 2)], []], 3, 1.0)
    loss = losses.spike_time_mse(spikes, target)
    assert loss.item() == pytest.approx((0.1**2 + 0.6**2 + 0.7**2 + 0.4**2) / 3, rel=1e-12)
    grad = gradient(loss, spikes)
    assert grad == pytest.approx([-0.2 / 3, -1.2 / 3, -0.8 / 3], rel=1e-12)  # surplus spikes are pushed to the end


def test_spike_time_mse_of_equal_trains_is_zero():
    assert losses.spike_time_mse(outputs(), outputs()) == 0.0
    silent = outputs([[], []])
    assert losses.spike_time_mse(silent, silent) == 0.0


def test_readout_cross_entropy():
    values = torch.tensor([[0.0, 1.0], [2.0, 0.0]], dtype=torch.float64)
    loss = losses.readout_cross_entropy(values, torch.tensor([1, 1]))
    assert loss.item() == pytest.approx((math.log(1 + math.exp(-1)) + math.log(1 + math.exp(2))) / 2, rel=1e-12)


def test_prediction():
    assert losses.first_spike_prediction(outputs()).tolist() == [0, 1, -1]
    assert losses.first_spike_prediction(outputs([])).tolist() == []


TERMS = {
    "cross entropy": lambda spikes: losses.first_spike_cross_entropy(spikes, labels_for(spikes), 0.1, 0.5),
    "shift invariant": lambda spikes: losses.shift_invariant(spikes, labels_for(spikes)),
    "times": lambda spikes: losses.spike_time_mse(spikes, spikes.detach()),
}


def labels_for(spikes):
    return torch.zeros(spikes.num_samples, dtype=torch.int64)


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("events", [[], [[]], [[], [], []], [[(0.0, 0)], []], [[(1.0, 2)]], [[(0.5, 0)] * 3]])
def test_silent_and_empty_are_legal(name, events):
    spikes = outputs(events)
    loss = TERMS[name](spikes)
    assert loss.dim() == 0 and loss.isfinite()
    loss.backward()
    assert spikes.times.grad.isfinite().all()
    if not events:
        assert loss == 0.0


def test_losses_are_means_over_the_batch():
    for term in TERMS.values():
        single, double = outputs(EVENTS), outputs(EVENTS + EVENTS)
        assert term(single).item() == pytest.approx(term(double).item(), rel=1e-12)


def test_empty_readout():
    layer = sal.Layer(sal.Linear(3, 2), sal.LI(2, 2.0, 1.0))
    values = layer(outputs([])).integral()
    loss = losses.readout_cross_entropy(values, torch.empty(0, dtype=torch.int64))
    loss.backward()
    assert loss == 0.0 and not layer.connection.weight.grad.any()


def test_spikes_and_readouts_are_told_apart():
    spikes = sal.Spikes.from_lists([[(0.5, 0)]], 2, 1.0)
    readout = sal.Layer(sal.Linear(2, 2), sal.LI(2, 2.0, 1.0))(spikes)
    labels = torch.tensor([0])
    for call in (
        lambda: sal.losses.first_spike_cross_entropy(readout, labels, tau=0.5),
        lambda: sal.losses.shift_invariant(readout, labels),
        lambda: sal.losses.spike_time_mse(readout, spikes),
        lambda: sal.losses.spike_time_mse(spikes, readout),
        lambda: sal.losses.first_spike_prediction(readout),
    ):
        with pytest.raises(TypeError, match="takes Spikes, not Readout"):
            call()
    with pytest.raises(TypeError, match=r"pass readout values \(B, N\)"):
        sal.losses.readout_cross_entropy(readout, labels)


def random_trains(seed, units=2, samples=3, most=6):
    generator = torch.Generator().manual_seed(seed)
    lists = []
    for _ in range(samples):
        n = int(torch.randint(0, most, (), generator=generator))
        lists.append([(float(torch.rand((), generator=generator)), k % units) for k in range(n)])
    return outputs(lists, units)


def test_soft_counts():
    spikes = outputs()
    counts = losses.soft_counts(spikes, 0.2)

    def worth(t):
        return 1.0 - math.exp((t - 1.0) / 0.2)

    expected = [[worth(0.2) + worth(0.95), worth(0.5), worth(0.9)], [worth(0.6), worth(0.3), 0.0], [0.0, 0.0, 0.0]]
    for row, expected_row in zip(counts.tolist(), expected, strict=True):
        assert row == pytest.approx(expected_row, rel=1e-12)
    assert gradient(counts.sum(), spikes)[0] == pytest.approx(-math.exp(-0.8 / 0.2) / 0.2, rel=1e-12)
    assert losses.soft_counts(spikes, 1e-4).round().tolist() == spikes.counts().tolist()


@pytest.mark.nojit
@pytest.mark.parametrize("seed", range(5))
def test_van_rossum_is_the_integral(seed):
    from scipy.integrate import quad

    ours, theirs = random_trains(seed), random_trains(seed + 100).detach()
    distance = losses.van_rossum(ours, theirs, tau=0.3)
    for b in range(3):
        for n in range(2):
            trains = [[t for t, unit in train.to_lists()[b] if unit == n] for train in (ours, theirs)]

            def difference(t, trains=trains):
                f, g = (sum(math.exp(-(t - s) / 0.3) for s in train if s <= t) for train in trains)
                return (f - g) ** 2 / 0.3

            points = sorted(set(trains[0] + trains[1]))
            value, start = 0.0, 0.0
            for stop in [*points, 20.0]:
                value += quad(difference, start, stop, epsabs=1e-12, limit=200)[0]
                start = stop
            assert distance[b, n].item() == pytest.approx(value, abs=1e-8)


def test_van_rossum_of_equal_trains_and_of_one_spike():
    ours = outputs()
    assert losses.van_rossum(ours, ours.detach(), 0.1).abs().max() < 1e-15
    silent = outputs([[], [], []])
    assert losses.van_rossum(outputs([[(0.3, 0)], [], []]), silent, 0.1)[0].tolist() == [0.5, 0.0, 0.0]


def edit_cost(a, b, q):
    """Victor-Purpura by trying every way."""
    if not a or not b:
        return len(a) + len(b)
    return min(
        edit_cost(a[1:], b, q) + 1, edit_cost(a, b[1:], q) + 1, edit_cost(a[1:], b[1:], q) + q * abs(a[0] - b[0])
    )


@pytest.mark.nojit
@pytest.mark.parametrize("q", [0.0, 1.0, 7.0])
@pytest.mark.parametrize("seed", range(5))
def test_victor_purpura_is_the_cheapest_way(seed, q):
    ours, theirs = random_trains(seed, most=9), random_trains(seed + 100, most=9).detach()
    distance = losses.victor_purpura(ours, theirs, q)
    for b in range(3):
        for n in range(2):
            trains = [[t for t, unit in train.to_lists()[b] if unit == n] for train in (ours, theirs)]
            assert distance[b, n].item() == pytest.approx(edit_cost(*trains, q), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    "loss",
    [
        lambda ours, theirs: losses.van_rossum(ours, theirs, 0.3).mean(),
        lambda ours, theirs: losses.victor_purpura(ours, theirs, 3.0).mean(),
        lambda ours, theirs: losses.soft_counts(ours, 0.3).square().mean(),
        lambda ours, theirs: regularizers.count_target(ours, 2.5, 0.3),
    ],
)
def test_gradients_of_distances(loss):
    ours, theirs = random_trains(2, most=9), random_trains(102, most=9).detach()
    exact = gradient(loss(ours, theirs), ours)
    assert any(exact)
    for k, expected in enumerate(exact):
        shifted = []
        for step in (-1e-6, 1e-6):
            times = ours.times.detach().clone()
            times[k] += step
            shifted.append(loss(ours.with_times(times), theirs).item())
        assert (shifted[1] - shifted[0]) / 2e-6 == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("measure", [losses.van_rossum, losses.victor_purpura])
def test_distances_refuse_what_does_not_belong_together(measure):
    with pytest.raises(ValueError, match="num_units differs"):
        measure(outputs(), random_trains(0, units=2), 0.1)
    with pytest.raises(ValueError, match="-1"):
        measure(outputs(), outputs(), -1.0)
    with pytest.raises(TypeError, match="takes Spikes"):
        measure(torch.zeros(3), outputs(), 0.1)


def test_distances_of_long_and_uneven_trains():
    """One train far longer than the others: linear memory, and the closed form of regular trains."""
    K, step, tau = 20_000, 0.01, 0.3
    regular = [(step * k, 0) for k in range(K)]
    ours = Spikes.from_lists([regular, [(0.5, 1)]], 256, step * K)
    distance = losses.van_rossum(ours, Spikes.from_lists([[], []], 256, step * K), tau)
    r = math.exp(-step / tau)
    expected = K / 2 + r / (1 - r) * (K - (1 - r**K) / (1 - r))
    assert distance[0, 0].item() == pytest.approx(expected, rel=1e-10)
    assert distance[1, 1] == 0.5 and distance.sum().item() == pytest.approx(expected + 0.5)
    train = Spikes.from_lists([[(k / 300, 0) for k in range(300)], [(0.5, 1)]], 256, 1.0)
    moved = train.with_times((train.times + 1e-4).clamp(max=1.0).requires_grad_())
    cost = losses.victor_purpura(moved, train, 5.0)
    assert cost[0, 0].item() == pytest.approx(300 * 5e-4) and cost[1, 1].item() == pytest.approx(5e-4)


@pytest.mark.parametrize("measure", [losses.van_rossum, losses.victor_purpura])
@pytest.mark.parametrize("seed", range(4))
def test_gradients_of_distances_with_respect_to_both(measure, seed):
    ours, theirs = random_trains(seed, most=9), random_trains(seed + 100, most=9)
    trains = [train.detach() for train in (ours, theirs)]

    def distance(a, b):
        return measure(trains[0].with_times(a), trains[1].with_times(b), 0.7)

    times = [train.times.clone().requires_grad_() for train in trains]
    assert torch.autograd.gradcheck(distance, times, eps=1e-7, atol=1e-6)


def test_distance_of_coinciding_spikes_has_no_gradient():
    ours = outputs()
    losses.van_rossum(ours, ours.detach(), 0.1).sum().backward()
    assert not ours.times.grad.any()


def test_early_answers_count_in_parts_of_the_sample():
    spikes = Spikes.from_lists([[(1.0, 0), (3.0, 1)]], 2, 4.0)
    labels = torch.tensor([1])
    with_term, without = (losses.first_spike_cross_entropy(spikes, labels, 1.0, early=e) for e in (2.0, 0.0))
    assert (with_term - without).item() == pytest.approx(2.0 * math.expm1(3.0 / 4.0))


def test_a_silent_sample_has_no_class():
    spikes = Spikes.from_lists([[], [(0.5, 0)], [(0.5, 1), (0.4, 0)], [(0.2, 1)]], 2, 1.0)
    assert losses.first_spike_prediction(spikes).tolist() == [-1, 0, 0, 1]


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (
            torch.eye(2),
            ValueError,
            r"labels has shape \(2, 2\).*of one-hot labels take .*argmax",
        ),
        (torch.eye(2).long(), ValueError, "one-hot"),
        (torch.zeros(2), TypeError, "labels has dtype torch.float32.*labels.long"),
        (torch.zeros(2, dtype=torch.bool), TypeError, "dtype torch.bool"),
        (torch.tensor([1, 2]), ValueError, "from 1 to 2: must be within 0 ... 1.*classes count from 0: use labels - 1"),
        (torch.tensor([-1, 0]), ValueError, "from -1 to 0"),
        (torch.tensor(0), ValueError, r"labels has shape \(\)"),
        (torch.tensor([0, 1]).to_sparse(), TypeError, "labels is a tensor of layout"),
        ([0, 1], TypeError, "labels is list"),
        (None, TypeError, "labels is NoneType"),
    ],
)
def test_labels_of_another_kind(labels, error, message):
    spikes = Spikes.from_lists([[(0.1, 0)], [(0.2, 1)]], 2, 1.0)
    for call in (
        lambda: losses.first_spike_cross_entropy(spikes, labels, 0.1),
        lambda: losses.shift_invariant(spikes, labels),
        lambda: losses.readout_cross_entropy(torch.zeros(2, 2), labels),
    ):
        with pytest.raises(error, match=message):
            call()


def test_readout_values_of_another_kind():
    with pytest.raises(TypeError, match="values has dtype torch.int64"):
        losses.readout_cross_entropy(torch.zeros(2, 2).long(), torch.tensor([0, 1]))


def test_spike_time_mse_of_uneven_trains_takes_memory_for_the_spikes_alone():
    n, units = 200_000, 10_000  # a table of all trains would take 512 GB
    offsets = torch.tensor([0] + [n] * 32)
    ours = Spikes(torch.linspace(0.0, 0.5, n, dtype=torch.float64), torch.full((n,), 3), offsets, units, 1.0)
    theirs = ours.with_times(ours.times + 0.25)
    assert losses.spike_time_mse(ours, theirs).item() == pytest.approx(n * 0.0625 / 32)


def test_spike_time_mse_by_hand_with_every_kind_of_difference():
    ours = outputs([[(0.1, 0), (0.4, 0), (0.3, 1)], [(0.7, 2)]])
    target = Spikes.from_lists([[(0.2, 0), (0.5, 2)], [(0.6, 2), (0.8, 2)]], 3, 1.0)
    loss = losses.spike_time_mse(ours, target)
    # moved 0.1, surplus 0.4 and 0.3, missing 0.5; moved 0.1, missing 0.8
    assert loss.item() == pytest.approx((0.01 + 0.36 + 0.49 + 0.25 + 0.01 + 0.04) / 2)
    # times in order: unit 0 at 0.1, unit 1 at 0.3, unit 0 at 0.4; unit 2 at 0.7
    assert gradient(loss, ours) == pytest.approx([-0.1, -0.7, -0.6, 0.1])


def test_victor_purpura_of_too_long_trains_is_refused_at_once():
    n = 20_000
    train = Spikes(
        torch.linspace(0.0, 1.0, n, dtype=torch.float64), torch.zeros(n).long(), torch.tensor([0, n]), 1, 1.0
    )
    with pytest.raises(ValueError, match=r"400000000 pairs of spikes: must be at most 2\^28"):
        losses.victor_purpura(train, train, 5.0)

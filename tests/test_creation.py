"""What losses of spikes see of near misses: each loss against its own value with the near miss as one more spike."""

import pytest
import torch

import saltation as sal

B, N, T = 4, 3, 5.0
LABELS = torch.tensor([0, 2, 1, 1])
TARGET = sal.Spikes.from_lists([[(1.0, 0), (2.5, 1)], [(0.5, 2)], [], [(1.5, 0), (1.6, 0), (4.0, 2)]], N, T)
LOSSES = {
    "first_spike_cross_entropy": lambda spikes: sal.losses.first_spike_cross_entropy(spikes, LABELS, 0.7, early=0.4),
    "shift_invariant": lambda spikes: sal.losses.shift_invariant(spikes, LABELS, 0.3),
    "spike_time_mse": lambda spikes: sal.losses.spike_time_mse(spikes, TARGET),
    "van_rossum": lambda spikes: sal.losses.van_rossum(spikes, TARGET, 0.8).square().sum(),
    "victor_purpura": lambda spikes: sal.losses.victor_purpura(spikes, TARGET, 0.9).mean(),
    "soft_counts": lambda spikes: sal.losses.soft_counts(spikes, 1.5)[1:].sum(),
    "count_target": lambda spikes: sal.regularizers.count_target(spikes, 2.0, 1.5),
}
# squares of a sum over trains change, to first order in the strength, by less or more than by the whole spike
CURVED = {"van_rossum", "count_target"}


def events(seed, per_sample):
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(B, per_sample, 2, generator=generator, dtype=torch.float64)
    return [[(T * t, int(N * u)) for t, u in sample if u < 0.9] for sample in draw.tolist()]


def with_ghosts(spikes, ghosts, scale=1.0):
    ghosts = sal.Spikes.from_lists(ghosts, N, T)
    ghosts.times.requires_grad_()
    return sal.Spikes.from_lists(spikes, N, T).haunted(ghosts), ghosts


@pytest.mark.parametrize("name", LOSSES)
def test_a_ghost_is_worth_what_the_loss_would_change(name):
    spikes, ghosts = events(1, 5), events(2, 6)
    spikes[2] = []  # a silent sample
    haunted, near = with_ghosts(spikes, ghosts)
    loss = LOSSES[name](haunted)
    plain = LOSSES[name](sal.Spikes.from_lists(spikes, N, T))
    assert loss.item() == pytest.approx(plain.item(), rel=1e-14)
    loss.backward()
    given = iter(near.times.grad.tolist())
    seen = 0
    for b, sample in enumerate(near.to_lists()):
        for ghost in sample:
            more = [*spikes[:b], [*spikes[b], ghost], *spikes[b + 1 :]]
            if name in CURVED:
                expected = derivative(name, spikes, more)
            else:
                expected = (LOSSES[name](sal.Spikes.from_lists(more, N, T)) - plain).item()
            assert next(given) == pytest.approx(expected, rel=1e-9, abs=1e-12)
            seen += abs(expected) > 1e-3
    assert seen > 5


def derivative(name, spikes, more):
    """Of a square, by hand: twice the root times the change of what is squared."""
    old, new = (sal.Spikes.from_lists(each, N, T) for each in (spikes, more))
    if name == "van_rossum":
        a, b = (sal.losses.van_rossum(each, TARGET, 0.8) for each in (old, new))
        return (2.0 * a * (b - a)).sum().item()
    a, b = (sal.losses.soft_counts(each, 1.5).mean(0) for each in (old, new))
    return (2.0 * (a - 2.0) * (b - a)).mean().item()


def test_a_later_ghost_is_no_first_spike():
    haunted, near = with_ghosts([[(1.0, 0)], [], [], []], [[(2.0, 0), (0.5, 0)], [], [], []])
    sal.losses.first_spike_cross_entropy(haunted, LABELS, 1.0).backward()
    assert near.times.grad[0] < -1e-3 and near.times.grad[1] == 0.0  # sorted: 0.5 and 2.0


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_silent_outputs_learn_to_spike_at_given_times(smoothing):
    """Every output nearly spikes after each of three inputs; near misses at its target are worth one, others not."""
    spikes = sal.Spikes.from_lists([[(0.5, 0), (4.5, 1), (8.5, 2)]], N, 12.0)
    layer = sal.Layer(sal.Linear(N, N), sal.LIF(N, 1.0, 0.5), smoothing=smoothing)
    torch.nn.init.constant_(layer.connection.weight, 3.4)  # 0.85 at the highest
    target = sal.Spikes.from_lists([[(0.9, 0), (4.9, 1), (8.9, 2)]], N, 12.0)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.03)
    assert layer(spikes).times.numel() == 0
    for _ in range(100):
        loss = sal.losses.van_rossum(layer(spikes), target, tau=0.5).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    output = layer(spikes).to_lists()[0]
    assert [unit for _, unit in output] == ([0, 1, 2] if smoothing else [])
    assert all(abs(time - (0.9 + 4.0 * unit)) < 0.2 for time, unit in output)

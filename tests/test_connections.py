"""Linear: shapes, and delays that are always legal and never stuck."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import saltation as sal

SHAPES = {"axonal": (1, 3), "dendritic": (2, 1), "synaptic": (2, 3)}
DTYPES = (torch.float32, torch.float64)


def connection(delay="synaptic", low=0.1, high=1.5, dtype=torch.float32):
    return sal.Linear(3, 2, delay=delay, min_delay=low, max_delay=high).to(dtype)


def test_weights_are_drawn_from_the_generator():
    def draw(seed):
        return sal.Linear(50, 40, generator=torch.Generator().manual_seed(seed)).weight

    before = torch.random.get_rng_state()
    assert torch.equal(draw(3), draw(3)) and not torch.equal(draw(3), draw(4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert draw(0).shape == (40, 50)
    assert draw(0).std().item() == pytest.approx(50**-0.5, rel=0.05)


@pytest.mark.parametrize("delay", SHAPES)
def test_shapes(delay):
    linear = connection(delay)
    assert linear.delays().shape == linear.raw_delay.shape == SHAPES[delay]
    assert linear.delays().expand(2, 3).shape == linear.weight.shape
    assert f"delay={delay} in [0.1, 1.5]" in repr(linear)


def test_without_delay():
    linear = sal.Linear(3, 2)
    assert not linear.delays().any() and linear.delays().shape == (1, 1)
    assert [name for name, _ in linear.named_parameters()] == ["weight"]


@pytest.mark.parametrize("dtype", DTYPES)
@given(
    raw=st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=6, max_size=6),
    bounds=st.tuples(st.floats(0.0, 1e3), st.floats(0.0, 1e3)).filter(lambda pair: pair[0] < pair[1]),
)
def test_any_raw_value_gives_a_legal_delay_and_a_gradient(dtype, raw, bounds):
    low, high = bounds
    linear = connection("synaptic", low, high, dtype)
    with torch.no_grad():
        linear.raw_delay.copy_(torch.tensor(raw, dtype=dtype).view(2, 3))
    delays = linear.delays()
    assert all(low <= value <= high for value in delays.flatten().tolist())
    (slope,) = torch.autograd.grad(delays.sum(), linear.raw_delay)
    assert slope.dtype == dtype
    assert torch.allclose(slope.abs().double(), torch.tensor(high - low, dtype=torch.float64), rtol=1e-6)


@pytest.mark.parametrize("scale", [-1e30, -1e9, 1e9, 1e30, 1e300])
def test_huge_raw_values(scale):
    linear = connection(dtype=torch.float64)
    with torch.no_grad():
        linear.raw_delay.fill_(scale)
    assert all(0.1 <= value <= 1.5 for value in linear.delays().flatten().tolist())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("low", "high"), [(0.1, 1.5), (0.0, 0.1), (0.3, 0.7), (1e-3, 1e3), (0.0, 1e-12)])
def test_set_delays_is_exact_at_both_bounds(low, high, dtype):
    linear = connection("synaptic", low, high, dtype)
    for value in (low, high):
        linear.set_delays(value)
        assert linear.delays().flatten().tolist() == [value] * 6
        (slope,) = torch.autograd.grad(linear.delays().sum(), linear.raw_delay)
        # at a bound the gradient points inwards, so that a step along it leaves the bound
        assert (slope * (1 if value == low else -1) > 0).all()


@given(st.floats(0.1, 1.5))
def test_set_delays_round_trip(value):
    linear = connection(dtype=torch.float64)
    linear.set_delays(value)
    assert linear.delays()[0, 0].item() == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize(
    ("delay", "values"),
    [
        ("synaptic", torch.tensor([[0.2, 0.3, 0.4], [0.5, 0.6, 0.7]])),
        ("synaptic", torch.tensor([0.2, 0.3, 0.4])),
        ("dendritic", torch.tensor([[0.2], [0.3]])),
        ("axonal", torch.tensor([0.2, 0.3, 0.4])),
        ("axonal", 1),
    ],
)
def test_set_delays_broadcasts(delay, values):
    linear = connection(delay)
    linear.set_delays(values)
    torch.testing.assert_close(linear.delays().float(), torch.as_tensor(values).float().expand(SHAPES[delay]))


@pytest.mark.parametrize(("start", "beyond", "back"), [(1.4, 3.0, 0.6), (0.2, -2.0, 1.1)])
def test_training_can_push_at_a_bound_and_come_back(start, beyond, back):
    linear = connection(dtype=torch.float64)
    linear.set_delays(start)
    optimiser = torch.optim.Adam(linear.parameters(), lr=0.01)

    def pull(target, steps):
        for _ in range(steps):
            optimiser.zero_grad()
            (linear.delays() - target).square().sum().backward()
            optimiser.step()
            delays = linear.delays()
            assert (delays >= 0.1).all() and (delays <= 1.5).all()
        return linear.delays()

    bound = 1.5 if beyond > 1.5 else 0.1
    assert (pull(beyond, 200) - bound).abs().max() < 0.1  # stays near the bound that it is pushed against
    torch.testing.assert_close(pull(back, 600), torch.full((2, 3), back, dtype=torch.float64), atol=1e-3, rtol=0)


@pytest.mark.parametrize("delay", ["axonal", "dendritic"])
def test_shared_delays_are_synaptic_ones_that_are_equal(delay):
    spikes = sal.Spikes.from_lists([[(0.0, 0), (0.4, 1), (0.2, 2)], [(1.0, 1)]], 3, 8.0)
    own, shared = connection("synaptic", dtype=torch.float64), connection(delay, dtype=torch.float64)
    values = torch.tensor([[0.1, 0.5, 1.5]]) if delay == "axonal" else torch.tensor([[0.3], [1.2]])
    found = []
    for part in (own, shared):
        torch.nn.init.constant_(part.weight, 6.0)
        part.set_delays(values)
        found.append(sal.Layer(part, sal.LIF(2, tau_mem=2.0, tau_syn=1.0))(spikes))
    assert found[0].times.numel() > 10 and torch.equal(found[0].units, found[1].units)
    torch.testing.assert_close(found[0].times, found[1].times, rtol=1e-12, atol=1e-12)


def test_delay_shifts_the_arrival():
    """A delay of d does what an input spike later by d does."""
    layer = sal.Layer(connection(dtype=torch.float64), sal.LIF(2, tau_mem=2.0, tau_syn=1.0))
    with torch.no_grad():
        layer.connection.weight.fill_(6.0)
    layer.connection.set_delays(torch.tensor([[0.1, 0.5, 1.5], [1.0, 0.2, 0.3]]))

    def run(j, shifts):
        layer_j = sal.Layer(sal.Linear(3, 1).double(), sal.LIF(1, tau_mem=2.0, tau_syn=1.0))
        with torch.no_grad():
            layer_j.connection.weight.fill_(6.0)
        events = [(t + shifts[i], i) for i, t in enumerate((0.0, 0.4, 0.2))]
        return layer_j(sal.Spikes.from_lists([events], 3, 5.0)).times

    out = layer(sal.Spikes.from_lists([[(0.0, 0), (0.4, 1), (0.2, 2)]], 3, 5.0))
    assert out.times.numel() > 4
    for j in range(2):
        expected = run(j, layer.connection.delays()[j].tolist())
        torch.testing.assert_close(out.times[out.units == j], expected, rtol=1e-12, atol=1e-12)

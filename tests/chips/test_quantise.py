"""The parameters that a chip can hold, against values worked out by hand, and the gradient that passes through."""

import math

import numpy as np
import pytest
import torch
from problems import random_spikes

import saltation as sal
from saltation.chips import Chip, changes, quantise

LIF = {"tau_mem": 2.0, "tau_syn": 1.0}


def layer(weight, recurrent=None, delays=None, max_delay=1.0, min_delay=0.0, **neuron):
    weight = torch.tensor(weight)
    options = {} if delays is None else {"delay": "synaptic", "max_delay": max_delay, "min_delay": min_delay}
    connection = sal.Linear(weight.shape[1], weight.shape[0], **options)
    feedback = None if recurrent is None else sal.Linear(weight.shape[0], weight.shape[0])
    with torch.no_grad():
        connection.weight.copy_(weight)
        if feedback is not None:
            feedback.weight.copy_(torch.tensor(recurrent))
    if delays is not None:
        connection.set_delays(torch.tensor(delays, dtype=torch.float64))
    return sal.Layer(connection, sal.LIF(weight.shape[0], **{**LIF, **neuron}), recurrent=feedback)


def delays_with(network, values):
    """What the connection makes of raw delays."""
    found = torch.func.functional_call(_Delays(network), {f"network.{k}": v for k, v in values.items()}, ())
    return found.detach()


class _Delays(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self):
        return self.network.connection.delays()


def test_weights_of_three_bits_by_hand():
    """Seven levels, of a third of the largest weight each."""
    network = layer([[0.9, -0.44, 0.46, 0.1], [-0.9, 0.16, 0.0, 0.74]])
    found = quantise(network, Chip(weight_bits=3))["connection.weight"]
    assert torch.allclose(found, torch.tensor([[0.9, -0.3, 0.6, 0.0], [-0.9, 0.3, 0.0, 0.6]]))
    assert found.dtype == torch.float32


def test_a_range_clips_and_sets_the_step():
    network = layer([[2.0, -0.3, 0.24, -5.0]])
    found = quantise(network, Chip(weight_bits=2, weight_range=0.5))["connection.weight"]
    assert found.tolist() == [[0.5, -0.5, 0.0, -0.5]]
    assert quantise(network, Chip(weight_range=0.5))["connection.weight"][0, 1] == network.connection.weight[0, 1]


def test_every_connection_has_a_scale_of_its_own():
    network = layer([[1.0, 0.4]], recurrent=[[0.01]])
    found = quantise(network, Chip(weight_bits=2))
    assert found["connection.weight"].tolist() == [[1.0, 0.0]]
    assert found["recurrent.weight"].tolist() == np.float32([[0.01]]).tolist()


def test_levels_are_those_of_numpy():
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(40, 30, generator=generator)
    for bits in (2, 4, 8, 12):
        found = quantise(layer(weight.tolist()), Chip(weight_bits=bits))["connection.weight"].detach().numpy()
        grid = np.abs(weight.numpy()).max() * np.arange(1 - 2 ** (bits - 1), 2 ** (bits - 1)) / (2 ** (bits - 1) - 1)
        nearest = grid[np.abs(weight.numpy()[..., None].astype(np.float64) - grid).argmin(-1)]
        assert np.allclose(found, nearest, rtol=1e-6, atol=1e-7)


def test_delays_are_multiples_of_the_step_that_are_legal():
    delays = [[0.0, 0.26, 0.34, 0.9, 1.0]]
    network = layer([[1.0] * 5], delays=delays)
    found = delays_with(network, quantise(network, Chip(delay_step=0.2, max_delay=0.75)))
    assert torch.allclose(found, torch.tensor([[0.0, 0.2, 0.4, 0.6, 0.6]], dtype=torch.float64), rtol=1e-12)
    found = delays_with(network, quantise(network, Chip(max_delay=0.75)))
    clipped = network.connection.delays().detach().clamp(max=0.75)
    assert torch.allclose(found, clipped, rtol=0.0, atol=1e-15)
    network = layer([[1.0, 1.0]], delays=[[0.31, 0.45]], min_delay=0.3)
    found = delays_with(network, quantise(network, Chip(delay_step=0.2)))
    assert torch.allclose(found, torch.tensor([[0.4, 0.4]], dtype=torch.float64), rtol=1e-12)


def test_a_bound_that_is_a_multiple_of_the_step_is_reached():
    """0.3 is below 3 * 0.1 in floating point, and belongs to the steps all the same."""
    network = layer([[1.0, 1.0]], delays=[[0.29, 0.3]], max_delay=0.3)
    found = delays_with(network, quantise(network, Chip(delay_step=0.1)))
    assert torch.allclose(found, torch.full((1, 2), 0.3, dtype=torch.float64), rtol=1e-12)


def test_thresholds_jumps_and_resets_share_a_step():
    network = layer(
        [[1.0], [1.0], [1.0]], threshold=torch.tensor([1.5, 0.6, 0.1]), jump=0.3, tau_adapt=1.0, v_reset=-0.6
    )
    found = quantise(network, Chip(threshold_bits=2))
    assert found["neuron.threshold"].tolist() == [1.5, 0.5, 0.5]  # at least one step
    assert (float(found["neuron.jump"]), float(found["neuron.v_reset"])) == (0.5, -0.5)
    network = layer([[1.0], [1.0]], threshold=torch.tensor([3.0, 1.1]), v_reset=0.9)
    assert quantise(network, Chip(threshold_bits=2))["neuron.threshold"].tolist() == [3.0, 2.0]  # above the reset, 1


def test_fan_in_keeps_the_largest_and_counts_feedback():
    network = layer([[0.1, -0.5, 0.3], [0.2, 0.0, 0.0]], recurrent=[[0.4, 0.05], [0.0, -0.6]])
    found = quantise(network, Chip(fan_in=2))
    assert found["connection.weight"].tolist() == np.float32([[0.0, -0.5, 0.0], [0.2, 0.0, 0.0]]).tolist()
    assert found["recurrent.weight"].tolist() == np.float32([[0.4, 0.0], [0.0, -0.6]]).tolist()
    assert quantise(network, Chip(fan_in=5)) == {}


def test_fan_in_of_equal_weights_keeps_no_more_than_allowed():
    found = quantise(layer([[1.0] * 6, [-1.0] * 6]), Chip(fan_in=4))["connection.weight"]
    assert found.ne(0).sum(1).tolist() == [4, 4]


def test_fan_in_of_sparse_and_shared_connections():
    generator = torch.Generator().manual_seed(1)
    sparse = sal.Sparse.random(8, 5, 4, generator)
    found = quantise(sal.Layer(sparse, sal.LIF(5, **LIF)), Chip(fan_in=3))["connection.weight"]
    for n in range(5):
        mine = sparse.weight[sparse.target == n].abs()
        assert found[sparse.target == n].ne(0).equal(mine > mine.min())
    image = sal.Conv2d((2, 4, 4), 3, 2, generator=generator)
    found = quantise(sal.Layer(image, sal.LIF(3, **LIF)), Chip(fan_in=5))["connection.weight"]
    assert found.flatten(1).ne(0).sum(1).tolist() == [5, 5, 5]
    mixed = sal.Layer(sal.Beside(image, sal.Linear(2, 27)), sal.LIF(27, **LIF))
    with pytest.raises(ValueError, match="fan_in = 5: the synapses of a convolution beside another"):
        quantise(mixed, Chip(fan_in=5))


def test_gradients_pass_straight_through():
    """The gradient of each parameter is that of the value on the chip, times d(delay)/d(raw delay) for a delay."""
    network = layer(
        [[0.9, -0.44, 2.0], [0.3, 0.2, 0.1]],
        delays=[[0.0, 0.26, 0.98], [0.5, 1.0, 0.7]],
        threshold=torch.tensor([1.5, 0.6]),
    )
    with torch.no_grad():
        network.connection.raw_delay[1] = torch.tensor(
            [1.5, 1.02, 3.3]
        )  # on the falling side of the wave: 0.5, 0.98, 0.7
    chip = Chip(weight_bits=3, weight_range=1.0, delay_step=0.25, threshold_bits=2)
    values = quantise(network, chip)
    factors = {
        name: torch.randn(value.shape, generator=torch.Generator().manual_seed(7)) for name, value in values.items()
    }
    total = sum((factors[name] * value).sum() for name, value in values.items() if not name.endswith("raw_delay"))
    delays = torch.func.functional_call(_Delays(network), {f"network.{k}": v for k, v in values.items()}, ())
    total = total + (factors["connection.raw_delay"] * delays).sum()
    total.backward()
    assert network.connection.weight.grad.equal(factors["connection.weight"])  # clipped ones too
    assert torch.allclose(network.neuron.threshold.grad, factors["neuron.threshold"])
    rising = torch.tensor([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]])
    assert torch.allclose(network.connection.raw_delay.grad, rising * factors["connection.raw_delay"])


def test_the_gradient_of_a_layer_is_that_of_the_values_on_the_chip():
    """Against a layer that has these values as its own parameters."""
    generator = torch.Generator().manual_seed(2)
    network = sal.Layer(sal.Linear(4, 6, delay="synaptic", max_delay=0.8, generator=generator), sal.LIF(6, **LIF))
    with torch.no_grad():
        network.connection.weight.add_(1.0)
        network.connection.raw_delay.uniform_(0.05, 0.95, generator=generator)
    spikes = random_spikes(generator)
    chip = sal.OnChip(network, Chip(weight_bits=4, delay_step=0.1, threshold_bits=6))
    plain = chip.as_network()
    for model in (chip, plain):
        out = model(spikes)
        assert out.times.numel() > 10
        torch.sin(out.times).sum().backward()
    ours, theirs = dict(network.named_parameters()), dict(plain.named_parameters())
    for name, parameter in ours.items():
        assert torch.allclose(parameter.grad.double(), theirs[name].grad.double(), rtol=1e-5, atol=1e-7), name


def test_to_quantise_again_changes_nothing():
    generator = torch.Generator().manual_seed(4)
    network = sal.Layer(
        sal.Parallel(*(sal.Linear(5, 6, delay="axonal", max_delay=0.7, generator=generator) for _ in range(3))),
        sal.LIF(6, **LIF, threshold=torch.rand(6, generator=generator) + 0.1),
        recurrent=sal.Linear(6, 6, generator=generator),
    )
    chip = Chip(weight_bits=5, delay_step=0.05, max_delay=0.4, threshold_bits=4, fan_in=9)
    once = sal.OnChip(network, chip).as_network()
    for name, value in quantise(once, chip).items():
        assert torch.allclose(value, once.state_dict()[name], rtol=0.0, atol=1e-15), name


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"weight_bits": 1}, "weight_bits = 1: must be a whole number >= 2"),
        ({"threshold_bits": 33}, "threshold_bits = 33: must be at most 32"),
        ({"weight_range": 0.0}, "weight_range = 0.0: must be > 0"),
        ({"delay_step": math.inf}, "delay_step = inf: must be finite"),
        ({"max_delay": -1.0}, "max_delay = -1.0: must be >= 0"),
        ({"fan_in": 0}, "fan_in = 0: must be a whole number >= 1"),
    ],
)
def test_limits_that_no_chip_has(limits, message):
    with pytest.raises(ValueError, match=message):
        Chip(**limits)


def test_what_can_not_be_quantised_is_said():
    network = layer([[1.0]], delays=[[0.5]], min_delay=0.4)
    with pytest.raises(ValueError, match=r"connection has delays from 0.4 to 1, of which the chip has none"):
        quantise(network, Chip(max_delay=0.3))
    with pytest.raises(ValueError, match="has no Layer"):
        quantise(torch.nn.Linear(2, 2), Chip(weight_bits=4))
    torch.nn.utils.parametrizations.weight_norm(network.connection, "weight")
    with pytest.raises(ValueError, match="the weight of this .*Linear is computed"):
        quantise(network, Chip(weight_bits=4))


def test_changes_are_told():
    network = layer(
        [[0.9, -0.44, 0.46, 0.1], [0.9, 0.0, 0.3, 0.2]],
        recurrent=[[0.0, 0.0], [0.0, 0.0]],
        delays=[[0.1, 0.5, 0.9, 1.0]] * 2,
    )
    weights, delays, feedback, thresholds = changes(
        network, Chip(weight_bits=3, delay_step=0.2, max_delay=0.8, threshold_bits=3)
    )
    assert weights.startswith("layer 0, input weights: rounded to multiples of 0.3, off by ")
    assert weights.endswith("(root mean square), 1 of 8 to 0")
    assert delays == (
        "layer 0, input delays: 4 of 8 clipped to [0, 0.8], the others rounded to multiples of 0.2, by at most 0.1"
    )
    assert feedback == "layer 0, recurrent weights: as they are"
    assert thresholds == "layer 0 thresholds: 2 rounded, by at most 0.00%"
    assert changes(network, Chip(fan_in=2))[0] == "layer 0, input weights: 3 synapses of 8 left out (fan-in)"


def test_jumps_and_reset_potentials_are_told_too():
    """One number for all neurons, the step is 1/7: a jump of 0.05 is nearer to none, 0.3 is rounded to 2/7."""
    network = layer([[1.0], [1.0]], jump=0.05, tau_adapt=5.0, v_reset=0.3)
    thresholds, jumps, resets = changes(network, Chip(threshold_bits=3))
    assert thresholds == "layer 0 thresholds: 2 rounded, by at most 0.00%"
    assert jumps == "layer 0 jumps: 1 rounded, by at most 0.05, 1 to 0"
    assert resets == "layer 0 reset potentials: 1 rounded, by at most 0.0143, 0 to 0"

"""Groups with their own learning rates, and smooth bounds."""

import math

import pytest
import torch
from problems import compare_layer, random_layer, random_spikes, trained

import saltation as sal


def network():
    hidden = sal.LIF(5, tau_mem=0.02, tau_syn=0.005, jump=0.1, tau_adapt=0.1, train=("threshold", "tau_mem", "jump"))
    return sal.Sequential(
        sal.Layer(sal.Linear(4, 5, delay="axonal", max_delay=0.1), hidden, recurrent=sal.Linear(5, 5)),
        sal.Layer(sal.Linear(5, 3), sal.LI(3, tau_mem=0.02, tau_syn=0.005)),
    )


def test_groups():
    model = network()
    groups = sal.parameter_groups(model, 0.01, {"readout": 2.0})
    rates = {(group["kind"], round(group["lr"], 9)) for group in groups}
    expected = {("weight", 0.01), ("readout", 0.02), ("delay", 0.005), ("threshold", 0.005), ("threshold", 0.0005)}
    assert rates == expected | {("tau", 0.0001)}
    listed = [id(p) for group in groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in model.parameters())
    weights = next(group["params"] for group in groups if group["kind"] == "weight")
    assert len(weights) == 2  # the recurrent ones among them
    torch.optim.Adam(groups).step()


def test_the_recurrent_weights_of_a_last_layer_are_no_readout():
    model = sal.Sequential(
        sal.Layer(sal.Linear(4, 3), sal.LIF(3, tau_mem=2.0, tau_syn=1.0), recurrent=sal.Linear(3, 3))
    )
    kinds = {group["kind"]: len(group["params"]) for group in sal.parameter_groups(model, 0.01)}
    assert kinds == {"readout": 1, "weight": 1, "threshold": 1}


def test_parallel_connections_are_weights_of_their_layer():
    parts = [sal.Linear(4, 5, delay="axonal", max_delay=0.1) for _ in range(2)]
    model = sal.Sequential(
        sal.Layer(sal.Parallel(*parts), sal.LIF(5, tau_mem=2.0, tau_syn=1.0, train=())),
        sal.Layer(sal.Linear(5, 3), sal.LI(3, tau_mem=2.0, tau_syn=1.0)),
    )
    kinds = {group["kind"]: len(group["params"]) for group in sal.parameter_groups(model, 0.01)}
    assert kinds == {"weight": 2, "delay": 2, "readout": 1}


def test_frozen_parameters_are_left_out():
    model = network()
    model[0].connection.raw_delay.requires_grad_(False)
    assert "delay" not in {group["kind"] for group in sal.parameter_groups(model, 0.01)}


@pytest.mark.parametrize("bad", [{"ratios": {"delays": 1.0}}, {"ratios": {"delay": -1.0}}, {"lr": 0.0}])
def test_bad_groups(bad):
    with pytest.raises(ValueError, match="delays|delay|lr"):
        sal.parameter_groups(network(), **{"lr": 0.01, **bad})


def test_bounds_hold_and_keep_the_values():
    neuron = network()[0].neuron
    before = neuron.tau_mem.detach().clone(), neuron.jump.detach().clone()
    sal.bound_(neuron, tau_mem=(0.005, 0.1), jump=(-0.1, 0.5))
    torch.testing.assert_close(neuron.tau_mem, before[0])
    torch.testing.assert_close(neuron.jump, before[1])
    for push in (-100.0, 100.0):
        with torch.no_grad():
            for name in ("tau_mem", "jump"):
                neuron.parametrizations[name].original.fill_(push)
        low, high = neuron.tau_mem.detach().min().item(), neuron.tau_mem.detach().max().item()
        assert low * (1 + 1e-6) >= 0.005 and high <= 0.1 * (1 + 1e-6)
        assert neuron.jump.min().item() >= -0.1 - 1e-6 and neuron.jump.max().item() <= 0.5 + 1e-6
    neuron.constrain_()
    neuron.packed()


@pytest.mark.parametrize(("low", "high", "value"), [(0.0, 2.0, 0.5), (-1.0, 1.0, -0.5)])
def test_bounds_that_are_no_factors(low, high, value):
    """From 0 or below on: low + (high - low) / (1 + e^{-x}), whose derivative is (high - low) s (1 - s)."""
    neuron = sal.LIF(1, tau_mem=2.0, tau_syn=1.0, threshold=3.0, jump=value, tau_adapt=3.0, train=("jump",))
    sal.bound_(neuron, jump=(low, high))
    raw = neuron.parametrizations.jump.original
    assert raw.item() == pytest.approx(math.log(1 / 3)) and neuron.jump.item() == pytest.approx(value)
    (gradient,) = torch.autograd.grad(neuron.jump.sum(), raw)
    assert gradient.item() == pytest.approx((high - low) * 0.25 * 0.75)


def test_the_learning_rate_of_a_bounded_parameter_has_no_unit():
    """What is trained behind bounds is dimensionless: its rate does not depend on the size of the value."""
    rates = []
    for bounded in (False, True):
        layer = sal.Layer(sal.Linear(2, 3), sal.LIF(3, tau_mem=0.02, tau_syn=0.005, train=("tau_mem",)))
        if bounded:
            sal.bound_(layer.neuron, tau_mem=(0.005, 0.1))
        groups = sal.parameter_groups(layer, lr=0.01)
        rates.append({group["kind"]: group["lr"] for group in groups}["tau"])
    assert rates == pytest.approx([0.01 * 0.5 * 0.02, 0.01 * 0.5])


def test_gradients_through_bounds():
    generator = torch.Generator().manual_seed(3)
    layer, spikes = random_layer(generator, 4, 5, "synaptic", refractory=0.2), random_spikes(generator)
    sal.bound_(layer.neuron, tau_mem=(0.5, 10.0), tau_syn=(0.1, 10.0), threshold=(0.1, 2.0), v_reset=(-1.0, 0.3))
    coefficients = torch.randn(5000, generator=generator, dtype=torch.float64)
    parameters = trained(layer)
    assert "0.neuron.parametrizations.tau_mem.original" in parameters
    compare_layer(layer, spikes, coefficients, parameters, least=15)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"tau_syn": (0.001, 0.1)}, "'tau_syn' is not trained"),
        ({"tau_mem": (0.03, 0.1)}, "must lie between the bounds"),
        ({"tau_mem": (0.0, 0.1)}, "a time constant must be > 0"),
        ({"tau_mem": (0.1, 0.001)}, "high bound of tau_mem"),
        ({"tau_mem": (0.1,)}, r"must be \(low, high\)"),
        ({"speed": (0.1, 1.0)}, "'speed' is not trained"),
    ],
)
def test_bad_bounds(bounds, message):
    with pytest.raises(ValueError, match=message):
        sal.bound_(network()[0].neuron, **bounds)

"""Bad input is met by an error that quotes the value and says what to do; legal edge cases by the right answer."""

import math
import pickle
import re

import pytest
import torch
from problems import DELAYS, random_layer, random_spikes

import saltation as sal
from saltation import Spikes, losses

F64, I64 = torch.float64, torch.int64


def fields(**changes):
    """Two samples of three units, one argument changed."""
    fine = {
        "times": torch.tensor([0.1, 0.5, 0.2], dtype=F64),
        "units": torch.tensor([0, 2, 1]),
        "offsets": torch.tensor([0, 2, 3]),
        "num_units": 3,
        "duration": 1.0,
    }
    return fine | changes


def times(*values):
    return {"times": torch.tensor(values, dtype=F64)}


BAD_SPIKES = [
    (times(0.5, 0.1, 0.2), ValueError, "times[1] = 0.1 comes after times[0] = 0.5 in sample 0", "from_lists sorts"),
    (times(0.1, -0.5, 0.2), ValueError, "times[1] = -0.5 (sample 0)", "shift the times"),
    (times(0.1, 0.5, math.nan), ValueError, "times[2] = nan (sample 1)", "must be finite"),
    (times(0.1, math.inf, 0.2), ValueError, "times[1] = inf (sample 0)", "must be finite"),
    (times(0.1, 0.5, 1.25), ValueError, "times[2] = 1.25 (sample 1)", "make the duration longer"),
    (times(0.1, 0.5), ValueError, "times has 2 events but units has 3", "as long"),
    ({"times": torch.zeros(3)}, TypeError, "torch.float32", "times.double()"),
    ({"times": torch.zeros(3, dtype=torch.float16)}, TypeError, "torch.float16", "times.double()"),
    ({"times": torch.zeros(3, 1, dtype=F64)}, ValueError, "(3, 1)", "one dimension"),
    ({"times": [0.1, 0.5, 0.2]}, TypeError, "times is list", "torch.tensor(times)"),
    ({"units": torch.tensor([0, 3, 1])}, ValueError, "units[1] = 3 (sample 0)", "0 ... 2"),
    ({"units": torch.tensor([0, 2, -1])}, ValueError, "units[2] = -1 (sample 1)", "0 ... 2"),
    ({"units": torch.tensor([0.0, 2.0, 1.0])}, TypeError, "torch.float32", "units.long()"),
    ({"units": torch.tensor([0, 2, 1]).int()}, TypeError, "torch.int32", "units.long()"),
    ({"offsets": torch.tensor([0, 2, 3]).int()}, TypeError, "torch.int32", "offsets.long()"),
    ({"offsets": torch.tensor([0, 2])}, ValueError, "[0, 2]", "rise from 0 to 3"),
    ({"offsets": torch.tensor([1, 3])}, ValueError, "[1, 3]", "rise from 0 to 3"),
    ({"offsets": torch.tensor([0, 4, 3])}, ValueError, "[0, 4, 3]", "rise from 0 to 3"),
    ({"offsets": torch.empty(0, dtype=I64)}, ValueError, "offsets is empty", "starts with 0"),
    ({"num_units": 0}, ValueError, "num_units = 0", "whole number >= 1"),
    ({"num_units": 2.5}, ValueError, "num_units = 2.5", "whole number >= 1"),
    ({"num_units": True}, ValueError, "num_units = True", "whole number >= 1"),
    ({"duration": 0.0}, ValueError, "duration = 0.0", "must be > 0"),
    ({"duration": -1.0}, ValueError, "duration = -1.0", "must be > 0"),
    ({"duration": math.nan}, ValueError, "duration = nan", "finite"),
    ({"duration": math.inf}, ValueError, "duration = inf", "finite"),
    ({"duration": "long"}, ValueError, "duration = 'long'", "must be a number"),
]


def quotes(call, error, *texts):
    with pytest.raises(error) as caught:
        call()
    for text in texts:
        assert text in str(caught.value), f"{text!r} not in {caught.value}"


def test_the_unchanged_fields_are_legal():
    assert Spikes(**fields()).num_samples == 2


@pytest.mark.parametrize(("change", "error", "value", "remedy"), BAD_SPIKES)
def test_bad_spikes(change, error, value, remedy):
    quotes(lambda: Spikes(**fields(**change)), error, value, remedy)


@pytest.mark.parametrize(
    ("events", "texts"),
    [
        ([[(0.1, 0), (1.5, 1)]], ("1.5", "[0, 1]")),
        ([[(0.1, 3)]], ("units[0] = 3", "0 ... 2")),
        ([[], [(0.1, 1.5)]], ("sample 1 holds (0.1, 1.5)", "(time, unit)")),
        ([[(1, 0.1)]], ("sample 0 holds (1, 0.1)", "(time, unit)")),
        ([[0.1, 0.2]], ("sample 0 holds 0.1", "pair (time, unit)")),
        ([[(0.1, 0, 1)]], ("sample 0 holds (0.1, 0, 1)", "pair (time, unit)")),
        ([[(math.nan, 0), (0.2, 1)]], ("nan", "finite")),
    ],
)
def test_bad_lists(events, texts):
    quotes(lambda: Spikes.from_lists(events, num_units=3, duration=1.0), ValueError, *texts)


@pytest.mark.parametrize(
    ("raster", "dt", "error", "texts"),
    [
        (torch.zeros(3, 2), 1.0, ValueError, ("(3, 2)", "(T, B, N) or (B, T, N)")),
        (torch.full((1, 2, 2), -1), 1.0, ValueError, ("-1", "whole numbers >= 0")),
        (torch.full((1, 2, 2), 0.5), 1.0, ValueError, ("0.5", "whole numbers >= 0")),
        (torch.full((1, 2, 2), math.nan), 1.0, ValueError, ("nan", "whole numbers >= 0")),
        (torch.full((1, 2, 2), math.inf), 1.0, ValueError, ("inf", "whole numbers >= 0")),
        (torch.zeros(1, 2, 2), 0.0, ValueError, ("dt = 0.0", "> 0")),
        (torch.zeros(1, 0, 2), 1.0, ValueError, ("duration = 0.0", "> 0")),
        ([[[0, 1]]], 1.0, TypeError, ("raster is list", "torch.tensor(raster)")),
    ],
)
def test_bad_rasters(raster, dt, error, texts):
    quotes(lambda: Spikes.from_dense(raster, dt, time_first=False), error, *texts)


def test_bad_use_of_spikes():
    spikes = Spikes(**fields())
    quotes(lambda: spikes.to_dense(-1.0, time_first=True), ValueError, "dt = -1.0", "> 0")
    quotes(lambda: spikes.sample(2), ValueError, "sample 2", "has 2")
    quotes(lambda: spikes.sample(-3), ValueError, "sample -3", "has 2")
    quotes(lambda: spikes.with_times(torch.zeros(2, dtype=F64)), ValueError, "2", "3")
    quotes(lambda: spikes.with_times(torch.full((3,), -1.0, dtype=F64)), ValueError, "-1.0", "shift the times")
    quotes(lambda: Spikes.cat([]), ValueError, "at least one")
    quotes(lambda: Spikes.cat([spikes, Spikes(**fields(duration=2.0))]), ValueError, "duration differs", "[1.0, 2.0]")
    quotes(lambda: Spikes.cat([spikes, Spikes(**fields(num_units=4))]), ValueError, "num_units differs", "[3, 4]")


BAD_NEURONS = [
    ({"size": 0}, ValueError, "size = 0", "whole number >= 1"),
    ({"tau_mem": 0.0}, ValueError, "tau_mem = 0", "must be > 0"),
    ({"tau_mem": -1.0}, ValueError, "tau_mem = -1", "must be > 0"),
    ({"tau_syn": math.nan}, ValueError, "tau_syn = nan", "must be > 0 and finite"),
    ({"tau_syn": math.inf}, ValueError, "tau_syn = inf", "must be > 0 and finite"),
    ({"tau_mem": torch.tensor([1.0, 2.0, -3.0])}, ValueError, "tau_mem[2] = -3", "must be > 0"),
    ({"tau_adapt": 0.0, "jump": 0.1}, ValueError, "tau_adapt = 0", "must be > 0"),
    ({"jump": 0.1}, ValueError, "tau_adapt is missing", "needs it"),
    ({"train": ("jump",)}, ValueError, "tau_adapt is missing", "needs it"),
    ({"jump": math.nan, "tau_adapt": 1.0}, ValueError, "jump = nan", "finite"),
    ({"refractory": -0.1}, ValueError, "refractory = -0.1", "must be >= 0"),
    ({"refractory": math.nan}, ValueError, "refractory = nan", "must be >= 0"),
    ({"threshold": 0.0}, ValueError, "threshold[0] = 0", "> 0"),
    ({"threshold": math.nan}, ValueError, "threshold[0] = nan", "finite"),
    ({"threshold": 0.5, "v_reset": 0.5}, ValueError, "threshold[0] = 0.5", "above v_reset = 0.5"),
    ({"threshold": torch.tensor([1.0, 0.2, 1.0]), "v_reset": 0.5}, ValueError, "threshold[1] = 0.2", "v_reset = 0.5"),
    ({"v_reset": torch.tensor([0.0, 2.0, 0.0])}, ValueError, "above v_reset = <3 values from 0 to 2>", "spike"),
    ({"v_reset": -math.inf}, ValueError, "v_reset = -inf", "finite"),
    ({"tau_mem": torch.ones(2)}, ValueError, "tau_mem has shape (2,)", "shape (3,)"),
    ({"tau_mem": torch.ones(3, 1)}, ValueError, "tau_mem has shape (3, 1)", "shape (3,)"),
    ({"tau_mem": "slow"}, TypeError, "tau_mem = 'slow'", "must be a number"),
    ({"threshold": torch.ones(3).half()}, TypeError, "threshold has dtype torch.float16", "threshold.double()"),
    ({"threshold": torch.ones(3).bfloat16()}, TypeError, "threshold has dtype torch.bfloat16", "float32 or float64"),
    ({"reset": "soft"}, ValueError, "reset = 'soft'", "subtract"),
    ({"train": "threshold"}, TypeError, "train = 'threshold'", "('threshold',)"),
    ({"train": ("refractory",)}, ValueError, "'refractory'", "tau_mem"),
    ({"min_slope": -1.0}, ValueError, "min_slope = -1.0", ">= 0"),
]


@pytest.mark.parametrize(("change", "error", "value", "remedy"), BAD_NEURONS)
def test_bad_neurons(change, error, value, remedy):
    quotes(lambda: sal.LIF(**({"size": 3, "tau_mem": 2.0, "tau_syn": 1.0} | change)), error, value, remedy)


def test_bad_readout_neurons():
    quotes(lambda: sal.LI(3, -2.0, 1.0), ValueError, "tau_mem = -2", "> 0")
    quotes(lambda: sal.LI(3, 2.0, 1.0, train=("threshold",)), ValueError, "'threshold'", "tau_mem")


BAD_CONNECTIONS = [
    ({"in_size": 0}, ValueError, "in_size = 0", "whole number >= 1"),
    ({"out_size": -1}, ValueError, "out_size = -1", "whole number >= 1"),
    ({"delay": "random", "max_delay": 1.0}, ValueError, "delay = 'random'", "synaptic"),
    ({"delay": "axonal"}, ValueError, "delay = 'axonal'", "max_delay"),
    ({"max_delay": 1.0}, ValueError, "max_delay = 1.0", "delay="),
    ({"delay": "axonal", "max_delay": 1.0, "min_delay": 2.0}, ValueError, "max_delay = 1.0", "must be > 2"),
    ({"delay": "axonal", "max_delay": 1.0, "min_delay": 1.0}, ValueError, "max_delay = 1.0", "must be > 1"),
    ({"delay": "axonal", "max_delay": 1.0, "min_delay": -0.1}, ValueError, "min_delay = -0.1", "must be >= 0"),
    ({"delay": "axonal", "max_delay": math.inf}, ValueError, "max_delay = inf", "finite"),
    ({"delay": "axonal", "max_delay": math.nan}, ValueError, "max_delay = nan", "finite"),
]


@pytest.mark.parametrize(("change", "error", "value", "remedy"), BAD_CONNECTIONS)
def test_bad_connections(change, error, value, remedy):
    quotes(lambda: sal.Linear(**({"in_size": 3, "out_size": 2} | change)), error, value, remedy)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (-0.1, ("delay -0.1", "[0, 1]")),
        (1.5, ("delay 1.5", "max_delay")),
        (math.nan, ("delay nan", "[0, 1]")),
        (torch.tensor([0.5, 0.5, 2.0]), ("delay 2", "[0, 1]")),
        (torch.zeros(4), ("(4,)", "(2, 3)")),
        (torch.zeros(1, 2, 3), ("(1, 2, 3)", "(2, 3)")),
    ],
)
def test_bad_delays(values, texts):
    linear = sal.Linear(3, 2, delay="synaptic", max_delay=1.0)
    before = linear.raw_delay.detach().clone()
    quotes(lambda: linear.set_delays(values), ValueError, *texts)
    assert torch.equal(linear.raw_delay, before)
    quotes(lambda: sal.Linear(3, 2).set_delays(0.5), ValueError, "no delay", "delay='synaptic'")


def layer(weight=3.0, inputs=1, size=1, **parameters):
    neuron = sal.LIF(size, **({"tau_mem": 2.0, "tau_syn": 1.0} | parameters))
    result = sal.Layer(sal.Linear(inputs, size).double(), neuron)
    with torch.no_grad():
        result.connection.weight.fill_(weight)
    return result


def one_spike(units=1, time=0.0, duration=10.0):
    return Spikes.from_lists([[(time, 0)]], units, duration)


def test_widths_must_match():
    quotes(lambda: sal.Layer(sal.Linear(3, 2), sal.LIF(4, 2.0, 1.0)), ValueError, "got 4", "expected 2")
    quotes(lambda: layer(inputs=2)(one_spike()), ValueError, "got 1 units", "expected 2")
    quotes(lambda: sal.Sequential(layer(size=3), layer(inputs=2)), ValueError, "layer 1", "got 2", "expected 3")
    network = sal.Sequential(layer(size=2), layer(inputs=2))
    quotes(lambda: network(one_spike(5)), ValueError, "layer 0", "got 5", "expected 1")


def test_bad_composition():
    integrators = sal.Layer(sal.Linear(1, 1), sal.LI(1, 2.0, 1.0))
    quotes(lambda: sal.Sequential(integrators, layer()), ValueError, "layer 0", "must come last")
    quotes(lambda: sal.Sequential(), ValueError, "at least one")
    quotes(
        lambda: sal.Layer(sal.Linear(1, 1), sal.LIF(1, 2.0, 1.0), max_spikes=0), ValueError, "max_spikes = 0", ">= 1"
    )
    quotes(lambda: layer()(torch.zeros(3)), TypeError, "Tensor", "from_dense")
    quotes(lambda: integrators.run(one_spike()), TypeError, "call the layer")


def set_weight(model, value):
    with torch.no_grad():
        model.connection.weight[1, 2] = value


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e200])
def test_weights_must_be_finite(value):
    model = layer(inputs=3, size=2)
    set_weight(model, value)
    quotes(lambda: model(one_spike(3)), ValueError, f"weight[1, 2] = {value:g}", "must be finite")


def test_delays_must_be_finite():
    linear = sal.Linear(1, 1, delay="axonal", max_delay=1.0)
    with torch.no_grad():
        linear.raw_delay.fill_(math.nan)
    quotes(lambda: sal.Layer(linear, sal.LIF(1, 2.0, 1.0))(one_spike()), ValueError, "delay = nan", "finite")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused(dtype):
    quotes(lambda: layer().to(dtype)(one_spike()), TypeError, str(dtype), "use float32 or float64")
    model = layer()
    model.neuron.to(dtype)
    quotes(lambda: model(one_spike()), TypeError, str(dtype), "use float32 or float64")
    quotes(lambda: sal.Sequential(layer(), layer().to(dtype))(one_spike()), TypeError, "layer 1", str(dtype))


def test_a_parameter_that_training_moved_out_of_range():
    model = layer(train=("threshold", "tau_mem"))
    with torch.no_grad():
        model.neuron.tau_mem.fill_(-1.0)
    quotes(lambda: model(one_spike()), ValueError, "tau_mem = -1", "constrain_()")
    model.constrain_()
    model(one_spike())
    with torch.no_grad():
        model.neuron.threshold.fill_(-5.0)
    quotes(lambda: model(one_spike()), ValueError, "threshold = -5", "constrain_()")
    model.constrain_()
    model(one_spike())


@pytest.mark.parametrize("train", [("threshold", "v_reset"), ("threshold",), ("v_reset",)])
def test_constrain_keeps_the_threshold_above_the_reset(train):
    model = layer(size=2, v_reset=0.2, train=train)
    with torch.no_grad():
        for name in train:
            getattr(model.neuron, name).copy_(torch.tensor([0.1, 5.0] if name == "threshold" else [3.0, -1.0]))
    model.constrain_()
    assert model(one_spike()).counts().shape == (1, 2)


@pytest.mark.parametrize(("start", "moved", "kept"), [(-0.2, -0.3, -0.3), (0.2, -0.1, 0.0), (0.2, 0.3, 0.3)])
def test_constrain_keeps_the_sign_of_the_jump(start, moved, kept):
    """Facilitation (a negative jump) is legal and stays; adaptation does not become facilitation."""
    model = layer(jump=start, tau_adapt=3.0, train=("jump",))
    with torch.no_grad():
        model.neuron.jump.fill_(moved)
    model.constrain_()
    assert model.neuron.jump.tolist() == pytest.approx([kept] * model.neuron.size)


LOSSES = {
    "cross entropy": lambda spikes, labels: losses.first_spike_cross_entropy(spikes, labels, 0.1),
    "shift invariant": lambda spikes, labels: losses.shift_invariant(spikes, labels),
    "readout": lambda spikes, labels: losses.readout_cross_entropy(spikes.counts().double(), labels),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("labels", "error", "value", "remedy"),
    [
        (torch.tensor([0, 3]), ValueError, "from 0 to 3", "0 ... 2"),
        (torch.tensor([-1, 0]), ValueError, "from -1 to 0", "0 ... 2"),
        (torch.tensor([0]), ValueError, "(1,)", "(2,)"),
        (torch.tensor([[0], [1]]), ValueError, "(2, 1)", "use labels.flatten()"),
        (torch.tensor([0, 1]).int(), TypeError, "torch.int32", "labels.long()"),
        (torch.tensor([0.0, 1.0]), TypeError, "torch.float32", "labels.long()"),
        ([0, 1], TypeError, "list", "torch.tensor(labels)"),
    ],
)
def test_bad_labels(name, labels, error, value, remedy):
    quotes(lambda: LOSSES[name](Spikes(**fields()), labels), error, value, remedy)


def test_bad_loss_settings():
    spikes, labels = Spikes(**fields()), torch.tensor([0, 1])
    quotes(lambda: losses.first_spike_cross_entropy(spikes, labels, 0.0), ValueError, "tau = 0.0", "> 0")
    quotes(lambda: losses.first_spike_cross_entropy(spikes, labels, 1.0, -1.0), ValueError, "early = -1.0", ">= 0")
    quotes(lambda: losses.shift_invariant(spikes, labels, math.nan), ValueError, "margin = nan")
    quotes(lambda: losses.spike_time_mse(spikes, spikes.sample(0)), ValueError, "num_samples differs", "2", "1")
    quotes(lambda: losses.readout_cross_entropy(torch.zeros(3), labels), ValueError, "(3,)", "(samples, classes)")


def test_bad_readout_arguments():
    readout = sal.Layer(sal.Linear(1, 1), sal.LI(1, 2.0, 1.0))(one_spike())
    quotes(lambda: readout.at([0.5, 11.0]), ValueError, "time 11", "[0, 10]")
    quotes(lambda: readout.at([math.nan]), ValueError, "time nan", "[0, 10]")
    quotes(lambda: readout.at(torch.zeros(2, 2)), ValueError, "(2, 2)", "one dimension")
    quotes(lambda: readout.weighted(0.0), ValueError, "tau = 0.0", "> 0")


# -- the spike budget ----------------------------------------------------------------------------------------------


def test_a_runaway_neuron_is_named():
    """Neuron 1 of layer 1 runs away in sample 2: facilitation drives its threshold below the reset."""
    first = layer(weight=6.0)
    second = layer(8.0, inputs=1, size=2, jump=torch.tensor([0.0, -1.5]), tau_adapt=50.0)
    second.max_spikes = 1000
    network = sal.Sequential(first, second)
    spikes = Spikes.from_lists([[], [], [(0.1, 0)], []], 1, 10.0)
    with pytest.raises(
        sal.SpikeBudgetError, match="layer 1: neuron 1 spiked more than 1000 times in sample 2"
    ) as caught:
        network(spikes)
    error = caught.value
    assert (error.layer, error.neuron, error.sample, error.budget) == (1, 1, 2, 1000)
    assert error.plan == "event-major" and str(error).endswith("(simulated event-major)")
    assert "max_spikes" in str(error) and "Lower the weights" in str(error)
    with pytest.raises(sal.SpikeBudgetError, match=re.compile("^neuron 1 .* sample 2")):
        second(first(spikes))
    with pytest.raises(sal.SpikeBudgetError, match="layer 1: neuron 1"):
        network.run(spikes, peak=True)
    again = pickle.loads(pickle.dumps(error))  # as between processes
    assert str(again) == str(error) and again.neuron == 1


def test_the_budget_is_exact():
    model = layer(weight=40.0)
    count = model(one_spike()).times.numel()
    assert count > 10
    model.max_spikes = count
    assert model(one_spike()).times.numel() == count
    model.max_spikes = count - 1
    quotes(lambda: model(one_spike()), sal.SpikeBudgetError, f"more than {count - 1} times")


# -- legal edge cases ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("samples", [0, 2])
def test_batches_without_events(delay, samples):
    """No sample, or silent samples only, through every kind of layer, forward and backward."""
    generator = torch.Generator().manual_seed(0)
    network = sal.Sequential(random_layer(generator, 4, 5, delay), random_layer(generator, 5, 3, delay))
    leaf = torch.empty(0, dtype=F64, requires_grad=True)
    spikes = Spikes(leaf, torch.empty(0, dtype=I64), torch.zeros(samples + 1, dtype=I64), 4, 10.0)
    results = network.run(spikes, peak=True)
    labels = torch.zeros(samples, dtype=I64)
    loss = losses.first_spike_cross_entropy(network(spikes), labels, 1.0) + losses.shift_invariant(
        results[-1].spikes, labels
    )
    (loss + sum(result.peak.sum() for result in results)).backward()
    for name, parameter in network.named_parameters():
        # the peak of a silent neuron is -threshold, whatever else
        expected = -float(samples) if name.endswith("threshold") else 0.0
        assert (parameter.grad == expected).all(), name
    assert leaf.grad.shape == (0,)
    assert network(spikes).counts().shape == (samples, 3)

    readout = sal.Layer(sal.Linear(4, 2), sal.LI(2, 2.0, 1.0, train=("tau_mem",)))
    out = readout(spikes)
    values = [out.integral(), out.weighted(1.0), out.maximum(), out.at([0.0, 10.0])[..., 1], out.at([])]
    assert [tuple(value.shape) for value in values] == [(samples, 2)] * 4 + [(samples, 2, 0)]
    sum(value.sum() for value in values).backward()
    assert not any(parameter.grad.any() for parameter in readout.parameters())


def test_a_silent_sample_between_others_changes_nothing():
    generator = torch.Generator().manual_seed(1)
    model = random_layer(generator, 4, 5, "synaptic")
    spikes = random_spikes(generator)
    silent = Spikes.from_lists([[]], 4, 10.0)
    mixed = model(Spikes.cat([spikes.sample(0), silent, spikes.sample(1)]))
    assert mixed.sample(0).to_lists() == model(spikes.sample(0)).to_lists()
    assert mixed.sample(1).to_lists() == [[]]
    assert mixed.sample(2).to_lists() == model(spikes.sample(1)).to_lists()


def test_spikes_at_time_zero_and_at_the_end():
    model = layer(weight=6.0)
    assert model(one_spike(time=0.0)).counts().item() > 0
    leaf = torch.tensor([0.0, 10.0], dtype=F64, requires_grad=True)
    spikes = Spikes(leaf, torch.tensor([0, 0]), torch.tensor([0, 2]), 1, 10.0)
    result = model.run(spikes, peak=True)
    assert torch.equal(result.spikes.times, model(one_spike()).times)  # a spike at the end has no time to act
    (result.spikes.times.sum() + result.peak.sum()).backward()
    assert leaf.grad[0] != 0 and leaf.grad[1] == 0
    out = sal.Layer(model.connection, sal.LI(1, 2.0, 1.0))(spikes)
    reference = sal.Layer(model.connection, sal.LI(1, 2.0, 1.0))(one_spike())
    for name in ("integral", "maximum"):
        assert torch.equal(getattr(out, name)(), getattr(reference, name)())


def test_an_arrival_delayed_beyond_the_end_does_nothing():
    linear = sal.Linear(1, 1, delay="axonal", max_delay=20.0)
    linear.set_delays(10.0)
    assert sal.Layer(linear, sal.LIF(1, 2.0, 1.0))(one_spike()).times.numel() == 0


@pytest.mark.parametrize("weight", [1e6, 1e30, 1e99])
def test_a_huge_weight(weight):
    """V = weight t / tau_mem to first order: the spike comes at tau_mem threshold / weight."""
    model = layer(weight=weight, refractory=math.inf)
    result = model.run(one_spike(), peak=True)
    assert result.spikes.times.tolist() == [pytest.approx(2.0 / weight, rel=1e-5)]
    result.spikes.times.sum().backward()
    assert model.connection.weight.grad.item() == pytest.approx(-2.0 / weight**2, rel=1e-5)
    assert model.neuron.threshold.grad.item() == pytest.approx(2.0 / weight, rel=1e-5)


def test_a_huge_negative_weight_is_silent():
    result = layer(weight=-1e99).run(one_spike(), peak=True)
    assert result.spikes.times.numel() == 0 and result.peak.item() == -1.0


@pytest.mark.parametrize("reset", ["constant", "subtract"])
@pytest.mark.parametrize("refractory", [0.0, 0.5, math.inf])
@pytest.mark.parametrize("jump", [0.0, 0.3])
def test_duration_of_a_million_time_constants(reset, refractory, jump):
    """Two bursts 5e5 time constants apart: nothing overflows, and the second is the first again."""
    model = layer(weight=40.0, reset=reset, refractory=refractory, jump=jump, tau_adapt=1.5, train=sal.neuron.TRAINABLE)

    def run(*starts):
        leaf = torch.tensor(starts, dtype=F64, requires_grad=True)
        spikes = Spikes(leaf, torch.zeros(len(starts), dtype=I64), torch.tensor([0, len(starts)]), 1, 1e6)
        result = model.run(spikes, peak=True)
        parameters = [leaf, *model.parameters()]
        loss = result.spikes.times.sum() + result.peak.sum()
        return result.spikes.times.detach(), torch.autograd.grad(loss, parameters)

    single, _ = run(0.0)
    double, gradients = run(0.0, 5e5)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert single.numel() >= (1 if math.isinf(refractory) else 3)
    if math.isinf(refractory):
        assert torch.equal(double, single)
    else:
        expected = torch.cat([single, single + 5e5])
        torch.testing.assert_close(double, expected, rtol=0, atol=1e-9)
        assert gradients[0].tolist() == pytest.approx([single.numel()] * 2, rel=1e-9)  # a shift in time

    out = sal.Layer(model.connection, sal.LI(1, 2.0, 1.0, train=("tau_mem", "tau_syn")))
    readout = out(Spikes.from_lists([[(0.0, 0), (5e5, 0)]], 1, 1e6))
    values = torch.cat([readout.integral(), readout.weighted(1.0), readout.maximum(), readout.at([0.0, 1e6])[0]], 1)
    assert values.isfinite().all()
    assert readout.integral().item() == pytest.approx(2 * 40.0 * 1.0, rel=1e-12)  # weight tau_syn each
    values.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in out.parameters())


@pytest.mark.parametrize("ratio", [1e-3, 1e-2, 0.3, 1.0, 1.0 + 1e-9, 3.0, 1e2, 1e3])
@pytest.mark.parametrize("adapt", [1e-3, 1.0, 1e3])
def test_ratios_of_time_constants(ratio, adapt):
    """Times and gradients for tau_mem / tau_syn and tau_adapt / tau_syn over six decades, against differences."""
    tau = torch.tensor([ratio, 1.0, adapt], dtype=F64)
    weight = 6.0 * max(1.0, ratio)

    def run(tau):
        model = layer(weight, **dict(zip(("tau_mem", "tau_syn", "tau_adapt"), tau.detach(), strict=True)), jump=0.2)
        model.neuron.refractory.fill_(0.05)
        for name, value in zip(("tau_mem", "tau_syn", "tau_adapt"), tau, strict=True):
            delattr(model.neuron, name)
            setattr(model.neuron, name, value)
        return model(Spikes.from_lists([[(0.0, 0), (0.9, 0)]], 1, 4.0)).times

    leaf = tau.clone().requires_grad_()
    out = run(leaf)
    assert 2 <= out.numel() < 200 and out.isfinite().all()
    (gradient,) = torch.autograd.grad(out[:2].sum(), leaf)
    for k in range(3):
        eps = 1e-6 * tau[k]
        ends = []
        for sign in (1, -1):
            shifted = tau.clone()
            shifted[k] += sign * eps
            ends.append(run(shifted)[:2].sum())
        numeric = (ends[0] - ends[1]) / (2 * eps)
        scale = max(1.0, abs(numeric.item() * tau[k].item())) / tau[k].item()
        assert abs(gradient[k].item() - numeric.item()) < 1e-6 * scale


def test_weights_of_any_layout():
    generator = torch.Generator().manual_seed(4)
    model = random_layer(generator, 4, 5, "synaptic")
    spikes = random_spikes(generator)

    def run(transform):
        for parameter in model.connection.parameters():
            parameter.data = transform(parameter.data)
        out = model(spikes)
        gradients = torch.autograd.grad(out.times.sum(), list(model.connection.parameters()))
        return out.times, *gradients

    plain = run(lambda tensor: tensor.contiguous())
    for transform in (lambda tensor: tensor.t().contiguous().t(), lambda tensor: tensor.repeat(2, 2)[:5, :4]):
        strided = run(transform)
        assert not model.connection.weight.is_contiguous()
        assert all(torch.equal(a, b) for a, b in zip(plain, strided, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("delay", DELAYS)
def test_gradients_come_back_in_the_dtype_of_the_parameter(dtype, delay):
    generator = torch.Generator().manual_seed(5)
    model = random_layer(generator, 4, 5, delay).to(dtype)
    spikes = random_spikes(generator)
    result = model.run(spikes, peak=True)
    assert result.spikes.times.dtype == result.peak.dtype == F64
    (result.spikes.times.sum() + result.peak.sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.dtype == parameter.grad.dtype == dtype, name
        assert parameter.grad.isfinite().all() and parameter.grad.any(), name
    if dtype == torch.float32:
        # the same numbers in float64 give the same, up to the rounding of the gradient
        gradients = [parameter.grad.clone() for parameter in model.parameters()]
        model.double().zero_grad()
        model.run(spikes).spikes.times.sum().backward()
        assert torch.equal(model(spikes).times, result.spikes.times)
        assert len(gradients) == len(list(model.parameters()))


def test_readout_at_takes_times_in_full_precision():
    readout = sal.Layer(sal.Linear(1, 1), sal.LI(1, 2.0, 1.0))(one_spike(duration=0.1))
    assert torch.equal(readout.at([0.05, 0.1]), readout.at(torch.tensor([0.05, 0.1], dtype=F64)))

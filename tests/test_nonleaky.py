"""IF neurons: against their plain-Python twin, a published formula, central differences, LIF neurons without leak."""

import math

import numpy as np
import pytest
import torch
from problems import compare, random_spikes, spike_loss, trained
from test_recurrent import unrolled

import saltation as sal
from saltation.kernels import reference_nonleaky as twin

DELAYS = (None, "axonal", "dendritic", "synaptic")
REFRACTORY = (0.0, 0.6, math.inf)
NAMES = ("tau_syn", "threshold", "v_reset", "refractory")


def if_layer(seed, delay=None, refractory=0.0, inputs=4, size=3, mean=1.0, connection=None, recurrent=None):
    """Neurons that all differ, and weights of both signs that make them spike several times."""
    generator = torch.Generator().manual_seed(seed)
    tau_syn, threshold, v_reset = torch.rand(3, size, generator=generator, dtype=torch.float64)
    own = refractory * (0.8 + 0.4 * torch.rand(size, generator=generator, dtype=torch.float64))
    neuron = sal.IF(size, 0.7 + tau_syn, 0.6 + threshold, 0.5 * v_reset - 0.3, own, train=NAMES[:3])
    options = {} if delay is None else {"delay": delay, "max_delay": 1.5, "min_delay": 0.1}
    connection = (connection or sal.Linear(inputs, size, **options)).double()
    with torch.no_grad():
        weight = connection.weight
        weight.copy_(torch.randn(weight.shape, generator=generator, dtype=torch.float64) + mean)
        if connection.delay is not None:
            raw = connection.raw_delay
            raw.copy_(torch.rand(raw.shape, generator=generator, dtype=torch.float64) * 0.8 + 0.1)
    return sal.Layer(connection, neuron, recurrent), random_spikes(generator, units=inputs, events=8)


def compare_with_peak(layer, spikes, least=0):
    """All gradients of a loss of spikes and peaks, the input's times among them, against central differences."""
    times = torch.nn.Parameter(spikes.times)
    generator = torch.Generator().manual_seed(0)
    coefficients = torch.randn(500, generator=generator, dtype=torch.float64)
    of_peak = torch.randn(3, layer.out_size, generator=generator, dtype=torch.float64)
    seen = {}

    def loss():
        result = layer.run(spikes.with_times(times), peak=True)
        seen["units"] = result.spikes.units.tolist()
        return spike_loss(result.spikes, coefficients) + (of_peak * torch.sin(result.peak)).sum()

    loss()
    assert len(seen["units"]) > least
    compare(loss, {**trained(layer), "times": times}, lambda: seen["units"])


def as_twin(layer, spikes):
    """The arguments of the twin, by name, as complex arrays."""
    weight, delay = layer.connection.dense()
    neurons = torch.stack([getattr(layer.neuron, name) for name in NAMES], 1)
    arrays = {"times": spikes.times, "weight": weight, "delay": delay.expand(weight.shape), "neurons": neurons}
    return {name: array.detach().numpy().astype(complex) for name, array in arrays.items()}


def run_twin(arrays, spikes):
    """Its spikes [sample][neuron] and peaks."""
    bounds = spikes.offsets.tolist()
    events = [
        list(zip(arrays["times"][a:b], spikes.units[a:b].tolist(), strict=True))
        for a, b in zip(bounds[:-1], bounds[1:], strict=True)
    ]
    return twin.layer(events, arrays["weight"], arrays["delay"], arrays["neurons"], spikes.duration)


@pytest.mark.nojit
@pytest.mark.parametrize("refractory", REFRACTORY)
@pytest.mark.parametrize("seed", range(8))
def test_twins(seed, refractory):
    """Spikes, peaks and every gradient, that of the refractory period too."""
    layer, spikes = if_layer(seed, "synaptic", refractory)
    neuron, connection = layer.neuron, layer.connection
    refractory = torch.nn.Parameter(neuron.refractory)
    del neuron.refractory
    neuron.refractory = refractory
    times = torch.nn.Parameter(spikes.times)
    result = layer.run(spikes.with_times(times), peak=True)
    arrays = as_twin(layer, spikes)
    expected, peaks = run_twin(arrays, spikes)
    ours = [[[t for t, j in sample if j == n] for n in range(3)] for sample in result.spikes.to_lists()]
    assert [[len(x) for x in sample] for sample in ours] == [[len(x) for x in sample] for sample in expected]
    flat = [[x for sample in trains for train in sample for x in train] for trains in (ours, expected)]
    assert len(flat[0]) > 2
    np.testing.assert_allclose(*np.real(flat), rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.peak.detach().numpy(), peaks.real, rtol=0, atol=1e-12)

    def loss_of(trains, peaks):
        return (
            sum(spike_cost(train, b, j) for b, sample in enumerate(trains) for j, train in enumerate(sample))
            + (peaks * np.arange(1, 10).reshape(3, 3)).sum()
        )

    parts = result.spikes.times, result.spikes.units, result.spikes.sample_index()
    loss = (
        sum(spike_cost(parts[0][(parts[1] == j) & (parts[2] == b)], b, j) for b in range(3) for j in range(3))
        + (result.peak * torch.arange(1.0, 10.0).view(3, 3)).sum()
    )
    leaves = times, connection.weight, connection.raw_delay, *(getattr(neuron, name) for name in NAMES)
    of_times, of_weight, of_delay, *of_neurons = torch.autograd.grad(loss, leaves)
    found = {
        "times": of_times, "weight": of_weight, "delay": of_delay / (connection.max_delay - connection.min_delay),
        "neurons": torch.stack(of_neurons, 1),
    }  # fmt: skip
    for name, gradient in found.items():
        exact = np.zeros(gradient.shape)
        for index in np.argwhere(np.isfinite(arrays[name])):
            moved = {key: array.copy() for key, array in arrays.items()}
            moved[name][tuple(index)] += 1j * twin.STEP
            exact[tuple(index)] = loss_of(*run_twin(moved, spikes)).imag / twin.STEP
        assert np.abs(exact).max() > 0
        np.testing.assert_allclose(gradient.numpy(), exact, rtol=0, atol=1e-10 * np.abs(exact).max(), err_msg=name)


def spike_cost(train, b, j):
    """What the spikes of neuron j in sample b add to a loss."""
    return sum((b + 2 * j + 3 * k + 1) * T for k, T in enumerate(train))


@pytest.mark.parametrize("refractory", REFRACTORY)
@pytest.mark.parametrize("delay", DELAYS)
def test_every_parameter(delay, refractory):
    layer, spikes = if_layer(3, delay, refractory)
    compare_with_peak(layer, spikes, least=2)


@pytest.mark.parametrize("kind", ["sparse", "conv", "shared"])
def test_any_connection(kind):
    generator = torch.Generator().manual_seed(1)
    if kind == "sparse":
        connection = sal.Sparse.random(8, 3, fan_in=4, generator=generator, delay="synaptic", max_delay=1.0)
    else:
        connection = sal.Conv2d((1, 4, 3), out_channels=2, kernel_size=2, delay="kernel", max_delay=1.0)
    size = 2 if kind == "shared" else connection.out_size
    layer, spikes = if_layer(2, inputs=connection.in_size, size=size, connection=connection)
    weight, delay = connection.dense()
    linear = sal.Linear(connection.in_size, connection.out_size, delay="synaptic", max_delay=2.0).double()
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.set_delays(delay.expand(weight.shape).detach())
    own = {name: getattr(layer.neuron, name).detach().repeat_interleave(connection.out_size // size) for name in NAMES}
    result = layer.run(spikes, peak=True)
    expected = sal.Layer(linear, sal.IF(connection.out_size, **own)).run(spikes, peak=True)
    assert torch.equal(result.spikes.units, expected.spikes.units) and expected.spikes.units.numel() > 3
    torch.testing.assert_close(result.spikes.times, expected.spikes.times, rtol=0, atol=1e-11)
    torch.testing.assert_close(result.peak, expected.peak, rtol=0, atol=1e-11)
    compare_with_peak(layer, spikes)


@pytest.mark.parametrize("refractory", REFRACTORY)
@pytest.mark.parametrize("kind", ["none", "axonal", "synaptic", "sparse"])
def test_recurrent(kind, refractory):
    """Equal to unrolled feed-forward copies, and every gradient to central differences."""
    generator = torch.Generator().manual_seed(7)
    options = {} if kind == "none" else {"delay": "axonal" if kind == "axonal" else "synaptic", "max_delay": 2.0}
    if kind == "sparse":
        recurrent = sal.Sparse.random(3, 3, fan_in=2, generator=generator, **options).double()
    else:
        recurrent = sal.Linear(3, 3, generator=generator, **options).double()
    with torch.no_grad():
        recurrent.weight.copy_(torch.randn(recurrent.weight.shape, generator=generator) * 0.5)
        if kind == "none":
            recurrent.weight.fill_diagonal_(0.0)
        else:
            recurrent.raw_delay.copy_(torch.rand(recurrent.raw_delay.shape, generator=generator) * 0.8 + 0.1)
    layer, spikes = if_layer(4, "synaptic", refractory, recurrent=recurrent)
    ours = layer(spikes)
    _, theirs = unrolled(layer, spikes, int(ours.counts().sum(1).max()) + 2)
    assert torch.equal(ours.units, theirs.units) and ours.times.numel() > (2 if refractory == math.inf else 8)
    torch.testing.assert_close(ours.times, theirs.times, rtol=0, atol=1e-10)
    compare_with_peak(layer, spikes)


@pytest.mark.nojit
@pytest.mark.parametrize("seed", range(5))
def test_the_first_spike_of_mostafa(seed):
    """For tau = 1 and threshold 1: z_out = sum w z / (sum w - 1) over the causal inputs, z = e^t (his equation 5)."""
    generator = torch.Generator().manual_seed(seed)
    layer = sal.Layer(sal.Linear(6, 20, generator=generator).double(), sal.IF(20, tau_syn=1.0, refractory=math.inf))
    torch.nn.init.normal_(layer.connection.weight, 0.4, 0.6, generator=generator)
    times = torch.rand(6, generator=generator, dtype=torch.float64) * 3.0
    spikes = sal.Spikes.from_lists([list(zip(times.tolist(), range(6), strict=True))], 6, 50.0)
    z = times.sort().values.exp()
    expected = []
    for w in layer.connection.weight.detach()[:, times.argsort()]:
        first = math.inf
        for k in range(1, 7):
            out = (w[:k] * z[:k]).sum() / (w[:k].sum() - 1.0)
            if w[:k].sum() > 1.0 and out >= z[k - 1] and (k == 6 or out <= z[k]):
                first = min(first, math.log(out))
        expected.append(first)
    expected = torch.tensor(expected, dtype=torch.float64)
    assert 3 < expected.isfinite().sum() < 20
    torch.testing.assert_close(layer(spikes).first()[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("refractory", REFRACTORY)
@pytest.mark.parametrize("reset", ["constant", "subtract"])
def test_lif_without_leak(reset, refractory):
    """tau_mem -> infinity, with weights that grow with it; a reset by subtraction is one to 0."""
    layer, spikes = if_layer(5, "synaptic", refractory)
    own = {name: getattr(layer.neuron, name).detach() for name in NAMES}
    if reset == "subtract":
        own["v_reset"] = torch.zeros(3, dtype=torch.float64)
        layer.neuron.v_reset.data.zero_()
    ratio = 1e9
    lif = sal.LIF(3, tau_mem=ratio * own["tau_syn"], reset=reset, **own)
    theirs = sal.Layer(sal.Linear(4, 3, delay="synaptic", max_delay=1.5, min_delay=0.1).double(), lif)
    theirs.connection.load_state_dict(layer.connection.state_dict())
    theirs.connection.weight.data.mul_(ratio)
    ours, theirs = layer.run(spikes, peak=True), theirs.run(spikes, peak=True)
    assert torch.equal(ours.spikes.units, theirs.spikes.units) and ours.spikes.units.numel() > 2
    torch.testing.assert_close(ours.spikes.times, theirs.spikes.times, rtol=0, atol=1e-6)
    torch.testing.assert_close(ours.peak, theirs.peak, rtol=0, atol=1e-6)
    torch.testing.assert_close(ours.slopes, theirs.slopes / ratio, rtol=1e-6, atol=1e-6)


def one_neuron(weight, **options):
    layer = sal.Layer(sal.Linear(1, 1).double(), sal.IF(1, tau_syn=2.0, **options))
    torch.nn.init.constant_(layer.connection.weight, weight)
    return layer, sal.Spikes.from_lists([[(0.5, 0)]], 1, 100.0)


@pytest.mark.nojit
def test_input_that_hardly_suffices():
    """V tends to the weight: at the threshold it never gets there, above it does, ever later and with less slope."""
    layer, spikes = one_neuron(1.0)
    assert layer(spikes).times.numel() == 0
    for excess in (1e-2, 1e-6, 1e-10):
        layer, spikes = one_neuron(1.0 + excess)
        result = layer.run(spikes)
        assert result.spikes.times.item() == pytest.approx(0.5 + 2.0 * math.log((1 + excess) / excess), rel=1e-6)
        assert result.slopes.item() == pytest.approx(excess, rel=1e-5) and result.grazing == (excess < 5e-3)


@pytest.mark.nojit
def test_min_slope_bounds_the_gradient():
    gradients = []
    for min_slope in (0.0, 0.01):  # the slope is 1e-4 / 2
        layer, spikes = one_neuron(1.0 + 1e-4, min_slope=min_slope)
        gradients.append(torch.autograd.grad(layer(spikes).times.sum(), layer.connection.weight)[0].item())
    assert gradients[0] < 0 and gradients[1] / gradients[0] == pytest.approx(1e-4 / 2 / 0.01, rel=1e-6)


@pytest.mark.nojit
def test_an_arrival_at_the_very_time_of_a_spike_comes_after_it():
    layer = sal.Layer(sal.Linear(2, 1).double(), sal.IF(1, tau_syn=1.0))
    layer.connection.weight.data[:] = torch.tensor([2.0, -5.0])
    (time,) = layer(sal.Spikes.from_lists([[(0.0, 0)]], 2, 3.0)).times.tolist()[:1]
    assert time == pytest.approx(math.log(2.0))
    for shift, count in ((0.0, 1), (-1e-9, 0)):
        assert layer(sal.Spikes.from_lists([[(0.0, 0), (time + shift, 1)]], 2, 3.0)).times.numel() == count


def test_drive_and_free_peak():
    """The highest V without spikes; `drive_` makes it a multiple of the threshold."""
    layer, spikes = if_layer(3, "axonal", math.inf)
    silent, _ = if_layer(3, "axonal", math.inf)
    silent.neuron.threshold.data.fill_(1e9)
    peak = silent.run(spikes, peak=True).peak + 1e9
    torch.testing.assert_close(layer.free_peak(spikes), peak.clamp(min=0.0).detach(), rtol=0, atol=1e-6)
    sal.init.drive_(layer, spikes, torch.Generator().manual_seed(0), drive=2.0)
    mean = layer.free_peak(spikes).mean() / layer.neuron.threshold.mean()
    assert mean.item() == pytest.approx(2.0) and (layer(spikes).counts()[:2] > 0).float().mean() > 0.5


def test_trace():
    layer, spikes = if_layer(3, "synaptic", 0.3)
    own = [t for t, j in layer(spikes).to_lists()[0] if j == 1]
    V, theta = layer.trace(spikes, 0, 1, np.array([0.0, *own, *(T + 1e-6 for T in own)]))
    threshold, v_reset = (getattr(layer.neuron, name)[1].item() for name in NAMES[1:3])
    assert len(own) > 1 and V[0] == 0.0 and (theta == threshold).all()
    np.testing.assert_allclose(V[1:], np.repeat([threshold, v_reset], len(own)), rtol=0, atol=1e-12)


def test_trained_parameters_stay_legal():
    neuron = sal.IF(2, tau_syn=1.0, train=NAMES[:3])
    with torch.no_grad():
        neuron.tau_syn[0], neuron.threshold[1], neuron.v_reset[0] = -1.0, -0.5, 2.0
    neuron.constrain_()
    neuron.validate()
    assert neuron.tau_syn[1] == 1.0 and neuron.v_reset.tolist() == [2.0, 0.0]


def test_settings_are_compared():
    with pytest.raises(RuntimeError, match="min_slope"):
        sal.IF(2, tau_syn=1.0).load_state_dict(sal.IF(2, tau_syn=1.0, min_slope=0.1).state_dict())


def test_units_of_time_are_compared():
    layer, spikes = one_neuron(1.0)
    layer.neuron.tau_syn.fill_(1e-3)
    with pytest.warns(UserWarning, match="same unit of time"):
        layer(spikes)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: sal.IF(2, tau_syn=0.0), "tau_syn"),
        (lambda: sal.IF(2, tau_syn=1.0, threshold=-1.0), "threshold"),
        (lambda: sal.IF(2, tau_syn=1.0, v_reset=1.0), "above v_reset"),
        (lambda: sal.IF(2, tau_syn=1.0, refractory=-1.0), "refractory"),
        (lambda: sal.IF(2, tau_syn=1.0, min_slope=-1.0), "min_slope"),
        (lambda: sal.IF(2, tau_syn=1.0, train=("refractory",)), "refractory"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_budget_names_the_neuron():
    layer, spikes = if_layer(0, mean=50.0)
    layer.max_spikes = 2
    with pytest.raises(sal.SpikeBudgetError, match="more than 2 times"):
        layer(spikes)

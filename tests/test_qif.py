"""QIF neurons: against their plain-Python twin, an independent integrator, and central differences."""

import math

import numpy as np
import pytest
import torch
from neuron_major import no_ghosts
from problems import compare, compare_layer, random_spikes, spike_loss, trained
from scipy.integrate import solve_ivp
from test_recurrent import unrolled

import saltation as sal
from saltation.kernels import layout as L
from saltation.kernels import plans, reference_qif
from saltation.kernels.neuron_major import neuron_major_forward
from saltation.kernels.neuron_major_backward import neuron_major_backward

DELAYS = (None, "axonal", "dendritic", "synaptic")


def qif_layer(seed, delay=None, inputs=4, size=3, mean=6.0, pseudo_time=math.inf, connection=None):
    """Neurons that all differ, and weights of both signs that make them spike several times."""
    generator = torch.Generator().manual_seed(seed)
    tau_mem, threshold, pseudo = torch.rand(3, size, generator=generator, dtype=torch.float64)
    train = ("tau_mem", "threshold")
    neuron = sal.QIF(size, 1.5 + tau_mem, 0.6 + threshold, pseudo_time + pseudo, 12.0 + 10 * pseudo, train=train)
    options = {} if delay is None else {"delay": delay, "max_delay": 1.5, "min_delay": 0.1}
    connection = connection or sal.Linear(inputs, size, **options)
    connection = connection.double()
    with torch.no_grad():
        weight = connection.weight
        weight.copy_(torch.randn(weight.shape, generator=generator, dtype=torch.float64) * 5.0 + mean)
        if connection.delay is not None:
            raw = connection.raw_delay
            raw.copy_(torch.rand(raw.shape, generator=generator, dtype=torch.float64) * 0.8 + 0.1)
    return sal.Layer(connection, neuron), random_spikes(generator, units=inputs, events=8)


def arguments(seed, pseudo_time):
    layer, spikes = qif_layer(seed, "synaptic", pseudo_time=pseudo_time)
    plan = plans.NeuronMajor(sal.ops.make_task(*layer._prepared(spikes), True))
    return plan.task.events, plan.projection, plan.feedback, plan.task.population


def simulate(kernel, *problem, capacity=500, budget=100):
    B, N = problem[0].offsets.size - 1, 3
    buffer = L.SpikeBuffer(np.zeros((capacity, L.NUM_COLUMNS)), np.zeros((B, N), np.int64))
    peaks = L.Peaks(*(np.zeros((0, 0)) for _ in range(3)))
    return kernel(*problem, 0, B, buffer, 0, peaks, budget), buffer


@pytest.mark.parametrize("pseudo_time", [math.inf, 5.0])
@pytest.mark.parametrize("seed", range(12))
def test_twins(seed, pseudo_time):
    problem = arguments(seed, pseudo_time)
    status, buffer = simulate(neuron_major_forward, *problem)
    status_twin, buffer_twin = simulate(reference_qif.qif_forward, *problem)
    assert status == status_twin
    S = status[2]
    assert S > 3
    np.testing.assert_array_equal(buffer.counts, buffer_twin.counts)
    np.testing.assert_allclose(buffer.rows[:S, L.TIME], buffer_twin.rows[:S, L.TIME], rtol=1e-12, atol=1e-12)
    events, projection, feedback, neurons = problem
    none = np.zeros((0, 0))
    grad_rows = np.random.default_rng(seed).normal(size=S)
    sent, span = L.Sent(grad_rows, L.Peaks(none, none, none), none, 0.0, True, True), L.Span(0, 3, 0)
    totals = []
    for kernel in (neuron_major_backward, reference_qif.qif_backward):
        shapes = (events.times, projection.weight, projection.delay, neurons.parameters)
        totals.append(L.Gradients(*(np.zeros_like(array) for array in shapes), np.empty(0)))
        of_feedback = L.Synapses(np.empty(0), np.empty(0))
        ghosts = [no_ghosts(events)] if kernel is neuron_major_backward else []
        kernel(events, *ghosts, *problem[1:], span, buffer, np.arange(S), sent, totals[-1], of_feedback)
    for ours, twin in zip(*(total[:-1] for total in totals), strict=True):
        assert np.abs(twin).max() > 0
        np.testing.assert_allclose(ours, twin, rtol=0, atol=1e-9 * np.abs(twin).max())


@pytest.mark.parametrize("seed", range(6))
def test_against_an_integrator(seed):
    """V = tan(x) turns spikes into x = pi/2 + n pi, which any integrator can pass."""
    layer, spikes = qif_layer(seed, pseudo_time=5.0)
    names = "tau_mem", "pseudo_time", "threshold", "pseudo_drive"
    tau, pseudo_time, threshold, pseudo_drive = (getattr(layer.neuron, name).detach().numpy() for name in names)
    ours = layer(spikes).to_lists()
    found = 0
    for b, j in np.ndindex(2, 3):
        weights = layer.connection.weight[j].tolist()
        changes = [(t, weights[i] / threshold[j]) for t, i in spikes.to_lists()[b]]
        changes = sorted([*changes, (pseudo_time[j], pseudo_drive[j]), (spikes.duration, 0.0)])
        t, state, times = 0.0, np.zeros(2), []
        for t_next, w in changes:

            def slope(_, state, tau=tau[j]):
                x, I = state
                sin, cos = math.sin(x), math.cos(x)
                return (sin * sin - sin * cos + I * cos * cos) / tau, -2 * I / tau

            def spike(_, state):
                return math.cos(state[0])

            run = solve_ivp(slope, (t, t_next), state, "DOP853", rtol=1e-12, atol=1e-13, events=spike)
            times += run.t_events[0].tolist()
            t, state = t_next, run.y[:, -1] + [0.0, w]
        mine = [time for time, unit in ours[b] if unit == j]
        np.testing.assert_allclose(mine, times, rtol=0, atol=1e-8)
        found += len(mine)
    assert found > 6


@pytest.mark.parametrize("pseudo_time", [math.inf, 5.0])
@pytest.mark.parametrize("delay", DELAYS)
def test_every_parameter(delay, pseudo_time):
    layer, spikes = qif_layer(3, delay, pseudo_time=pseudo_time)
    generator = torch.Generator().manual_seed(0)
    times = torch.nn.Parameter(spikes.times)
    coefficients = torch.randn(500, generator=generator, dtype=torch.float64)
    seen = {}

    def loss():
        output = layer(spikes.with_times(times))
        seen["units"] = output.units.tolist()
        return spike_loss(output, coefficients)

    compare(loss, {**trained(layer), "times": times}, lambda: seen["units"])
    assert len(seen["units"]) > 5


def test_pseudo_parameters_have_gradients():
    layer, spikes = qif_layer(5, pseudo_time=5.0)
    for name in ("pseudo_time", "pseudo_drive"):
        value = torch.nn.Parameter(getattr(layer.neuron, name))
        delattr(layer.neuron, name)
        setattr(layer.neuron, name, value)
    compare_layer(layer, spikes, torch.ones(500).double(), {n: p for n, p in trained(layer).items() if "pseudo" in n})


@pytest.mark.parametrize("kind", ["sparse", "conv"])
def test_any_connection(kind):
    generator = torch.Generator().manual_seed(1)
    if kind == "sparse":
        connection = sal.Sparse.random(8, 3, fan_in=4, generator=generator, delay="synaptic", max_delay=1.0)
    else:
        connection = sal.Conv2d((1, 4, 3), out_channels=2, kernel_size=2, delay="kernel", max_delay=1.0)
    layer, spikes = qif_layer(2, inputs=connection.in_size, size=connection.out_size, connection=connection)
    weight, delay = connection.dense()
    linear = sal.Linear(connection.in_size, connection.out_size, delay="synaptic", max_delay=2.0).double()
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.set_delays(delay.expand(weight.shape).detach())
    expected = sal.Layer(linear, layer.neuron)(spikes)
    assert torch.equal(layer(spikes).units, expected.units) and expected.units.numel() > 3
    torch.testing.assert_close(layer(spikes).times, expected.times, rtol=0, atol=1e-11)
    compare_layer(layer, spikes, torch.linspace(-1, 1, 500).double(), trained(layer))


@pytest.mark.parametrize("pseudo_time", [math.inf, 5.0])
@pytest.mark.parametrize("kind", ["none", "axonal", "synaptic", "sparse"])
def test_recurrent(kind, pseudo_time):
    """Equal to unrolled feed-forward copies, and every gradient to central differences."""
    generator = torch.Generator().manual_seed(7)
    options = {} if kind == "none" else {"delay": "axonal" if kind == "axonal" else "synaptic", "max_delay": 2.0}
    layer, spikes = qif_layer(4, "synaptic", pseudo_time=pseudo_time)
    if kind == "sparse":
        recurrent = sal.Sparse.random(3, 3, fan_in=2, generator=generator, **options).double()
    else:
        recurrent = sal.Linear(3, 3, generator=generator, **options).double()
    with torch.no_grad():
        recurrent.weight.copy_(torch.randn(recurrent.weight.shape, generator=generator) * 3.0)
        if kind == "none":
            recurrent.weight.fill_diagonal_(0.0)
        else:
            recurrent.raw_delay.copy_(torch.rand(recurrent.raw_delay.shape, generator=generator) * 0.8 + 0.1)
    layer = sal.Layer(layer.connection, layer.neuron, recurrent=recurrent)
    ours = layer(spikes)
    _, theirs = unrolled(layer, spikes, int(ours.counts().sum(1).max()) + 2)
    assert torch.equal(ours.units, theirs.units) and ours.times.numel() > 8
    torch.testing.assert_close(ours.times, theirs.times, rtol=0, atol=1e-10)
    compare_layer(layer, spikes, torch.linspace(-1, 1, 500).double(), trained(layer))


def test_the_drive_of_wired_neurons():
    layer, spikes = qif_layer(2, inputs=4, pseudo_time=5.0)
    wired = sal.Layer(sal.Sparse.from_mask(torch.ones(3, 4)).double(), layer.neuron)
    wired.connection.weight.data.copy_(layer.connection.weight.flatten())
    assert torch.equal(layer(spikes).units, wired(spikes).units)
    torch.testing.assert_close(layer(spikes).times, wired(spikes).times, rtol=0, atol=1e-11)


def test_two_layers_that_are_silent_but_for_pseudospikes():
    """Every weight has a gradient although no neuron spikes by itself."""
    first, spikes = qif_layer(0, mean=0.0, pseudo_time=5.0)
    second, _ = qif_layer(1, inputs=3, mean=0.0, pseudo_time=7.0)
    with torch.no_grad():
        first.connection.weight.mul_(0.02)
        second.connection.weight.mul_(0.02)
    model = sal.Sequential(first, second)
    hidden, output = (result.spikes for result in model.run(spikes))
    assert (hidden.counts() == 1).all() and (output.counts() == 1).all()
    assert hidden.first().min() > 5 and output.first().min() > hidden.first().max()
    coefficients = torch.randn(100, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    parameters = {name: p for name, p in trained(model).items() if "weight" in name}
    compare(lambda: spike_loss(model(spikes), coefficients), parameters, lambda: 0)
    loss = spike_loss(model(spikes), coefficients)
    for gradient in torch.autograd.grad(loss, list(parameters.values())):
        assert (gradient != 0).all()


def test_spikes_leave_at_the_end():
    """As one weight falls, first spikes move continuously: LIF's jump by a large part of the trial, QIF's do not."""
    spikes = sal.Spikes.from_lists([[(0.0, 0), (1.0, 1)]], num_units=2, duration=10.0)

    def largest_step(neuron, low, high):
        layer = sal.Layer(sal.Linear(2, 1).double(), neuron)
        first = []
        for weight in np.linspace(low, high, 20001):
            with torch.no_grad():
                layer.connection.weight[:] = torch.tensor([weight, 0.5])
            first.append(min(layer(spikes).first().item(), 10.0))
        assert min(first) < 3 and max(first) == 10.0
        return np.abs(np.diff(first)).max()

    assert largest_step(sal.LIF(1, tau_mem=2.0, tau_syn=1.0), 2.0, 6.0) > 5
    assert largest_step(sal.QIF(1, tau_mem=2.0), 2.0, 20.0) < 0.35


def test_strong_inhibition_and_drive():
    """Hyperbolic functions of 1000 do not overflow, and many spikes in a row are found."""
    layer = sal.Layer(sal.Linear(1, 2).double(), sal.QIF(2, tau_mem=1.0))
    with torch.no_grad():
        layer.connection.weight[:] = torch.tensor([[-1e6], [1e6]])
    times = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    output = layer(sal.Spikes(times, torch.tensor([0]), torch.tensor([0, 1]), 1, 8.0))
    counts = output.counts()[0].tolist()
    # from V = 0 to the first spike half a turn, then whole ones: sqrt(I) / pi in all
    assert counts == [0, math.floor(1000 / math.pi + 0.5)]
    (gradient,) = torch.autograd.grad(output.times.sum(), times)
    assert gradient.item() == pytest.approx(counts[1])  # all move with the input


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: sal.QIF(2, tau_mem=0.0), "tau_mem"),
        (lambda: sal.QIF(2, tau_mem=1.0, threshold=-1.0), "threshold"),
        (lambda: sal.QIF(2, tau_mem=1.0, pseudo_time=-1.0), "pseudo_time"),
        (lambda: sal.QIF(2, tau_mem=1.0, pseudo_drive=math.nan), "pseudo_drive"),
        (lambda: sal.QIF(2, tau_mem=1.0, train=("jump",)), "jump"),
        (lambda: sal.Layer(sal.Linear(4, 2), sal.QIF(2, 1.0)).run(random_spikes(torch.Generator()), peak=True), "peak"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_budget_names_the_neuron():
    layer, spikes = qif_layer(0, mean=50.0)
    layer.max_spikes = 2
    with pytest.raises(sal.SpikeBudgetError, match="more than 2 times"):
        layer(spikes)


@pytest.mark.parametrize("pseudo_time", [0.0, 5.0, math.inf])
def test_slopes_are_infinite(pseudo_time):
    """V passes infinity, no gradient is divided by a slope, and nothing of it comes from the columns of LIF neurons."""
    layer, spikes = qif_layer(3)
    layer.neuron.pseudo_time.fill_(pseudo_time)
    result = layer.run(spikes)
    assert result.slopes.shape == result.spikes.times.shape and result.slopes.numel() > 5
    assert result.slopes.isposinf().all() and result.grazing == 0


def test_trace():
    layer, spikes = qif_layer(3, pseudo_time=5.0)
    threshold = layer.neuron.threshold[1].item()
    own = [t for t, j in layer(spikes).to_lists()[0] if j == 1]
    times = np.array([0.0, *(T - 1e-4 for T in own), *(T + 1e-4 for T in own)])
    V, theta = layer.trace(spikes, 0, 1, times)
    assert V[0] == 0.0 and (theta == threshold).all()
    np.testing.assert_allclose(V[1:], np.repeat([3.0, -3.0], len(own)) * threshold)

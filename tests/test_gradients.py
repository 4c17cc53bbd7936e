"""Exact gradients against central differences, for every kind of parameter."""

import itertools
import math

import numpy as np
import pytest
import torch
from problems import (
    DELAYS,
    closed_form_first_spike,
    compare,
    compare_layer,
    random_layer,
    random_spikes,
    spike_loss,
    trained,
)

import saltation as sal


def two_layers(delay, reset, refractory):
    """The first random network that spikes often enough, and in which no spike grazes the threshold: there central
    differences themselves are off by more than the tolerance.
    """
    enough = 4 if math.isinf(refractory) else 10
    for seed in range(50):
        generator = torch.Generator().manual_seed(seed)
        spikes = random_spikes(generator)
        hidden = random_layer(generator, 4, 5, delay, reset, refractory)
        output = random_layer(generator, 5, 3, delay, reset, refractory)
        first = hidden.run(spikes)
        second = output.run(first.spikes)
        slopes = torch.cat([first.slopes, second.slopes])
        if second.spikes.times.numel() >= enough and slopes.min() > 0.1:
            return spikes, hidden, output, generator
    raise AssertionError("no well-posed problem among 50")


@pytest.mark.parametrize("refractory", [0.0, 0.3, math.inf])
@pytest.mark.parametrize("delay,reset", list(itertools.product(DELAYS, ["constant", "subtract"])))
def test_two_layers_every_parameter(delay, reset, refractory):
    spikes, hidden, output, generator = two_layers(delay, reset, refractory)
    coefficients = torch.randn(5000, generator=generator, dtype=torch.float64)
    times = spikes.times.clone().requires_grad_()
    seen = {}

    def loss():
        first = hidden.run(sal.Spikes(times, spikes.units, spikes.offsets, 4, spikes.duration))
        second = output.run(first.spikes)
        seen["signature"] = (first.spikes.units.tolist(), second.spikes.units.tolist())
        return spike_loss(second.spikes, coefficients)

    compare(loss, {"times": times, **trained(hidden, output)}, lambda: seen["signature"])


@pytest.mark.parametrize("delay", DELAYS)
def test_trained_time_constants_that_start_equal(delay):
    generator = torch.Generator().manual_seed(5)
    spikes = random_spikes(generator)
    tau = torch.full((5,), 2.0).double(), torch.full((5,), 1.3).double()
    layer = random_layer(generator, 4, 5, delay, refractory=0.2, tau=tau)
    coefficients = torch.randn(5000, generator=generator, dtype=torch.float64)
    compare_layer(layer, spikes, coefficients, trained(layer), least=15)


@pytest.mark.parametrize("jump", [-0.05, 0.0, 0.4])
def test_adaptation_of_either_sign(jump):
    generator = torch.Generator().manual_seed(3)
    spikes = random_spikes(generator)
    layer = random_layer(generator, 4, 5, "synaptic", "subtract", 0.2, jump, scale=1.5)
    coefficients = torch.randn(5000, generator=generator, dtype=torch.float64)
    compare_layer(layer, spikes, coefficients, trained(layer), least=15)


def facilitated(reset, threshold=0.5, jump=-2.0):
    """One neuron that is over its threshold whenever its potential is released, for a while or for ever."""
    neuron = sal.LIF(
        1,
        tau_mem=2.0,
        tau_syn=1.0,
        threshold=torch.tensor([threshold], dtype=torch.float64),
        jump=torch.tensor([jump], dtype=torch.float64),
        tau_adapt=torch.tensor([3.0], dtype=torch.float64),
        refractory=0.7,
        reset=reset,
        train=("threshold", "jump", "tau_adapt"),
    )
    layer = sal.Layer(sal.Linear(1, 1).double(), neuron)
    torch.nn.init.constant_(layer.connection.weight, 3.0)
    return layer, sal.Spikes.from_lists([[(0.2, 0), (1.0, 0)]], 1, 6.0)


@pytest.mark.parametrize("reset", ["constant", "subtract"])
def test_spikes_forced_at_the_end_of_the_refractory_period(reset):
    layer, spikes = facilitated(reset)
    result = layer.run(spikes)
    gaps = result.spikes.times.detach().diff()
    forced = result.slopes[1:].isinf()
    assert forced[:4].all() and result.slopes[0] > 0 and result.grazing == 0
    torch.testing.assert_close(gaps[forced], torch.full_like(gaps[forced], 0.7), rtol=0, atol=1e-12)
    assert (gaps[~forced] > 0.7).all()
    seen = {}

    def loss():
        output = layer(spikes)
        seen["n"] = output.times.numel()
        return (output.times**2).sum()

    compare(loss, trained(layer), lambda: seen["n"])


def test_a_forced_spike_subtracts_the_threshold_from_v():
    """By hand: a row of forced spikes takes the threshold off V each time, until V is below theta at the release."""
    layer, spikes = facilitated("subtract", threshold=0.5, jump=-0.8)
    times = layer(spikes).times.detach()
    slopes = layer.run(spikes).slopes
    V, a, forced = 0.0, 0.0, []
    for n, T in enumerate(times.tolist()):
        a *= math.exp(-(T - times[max(n - 1, 0)].item()) / 3.0)
        forced.append(n > 0 and T - times[n - 1].item() < 0.7 + 1e-9 and V - a > 0.5)
        V = V - 0.5 if forced[-1] else a
        after, theta = layer.trace(spikes, 0, 0, np.array([T + 0.3]))
        assert after[0] == pytest.approx(V, abs=1e-12)  # held
        a += -0.8
        assert theta[0] == pytest.approx(0.5 + a * math.exp(-0.1), rel=1e-12)
    assert forced == slopes.isinf().tolist()
    assert sum(forced) >= 2 and not all(forced[1:])  # a row that ends


@pytest.mark.parametrize("delay", [*DELAYS, "sparse", "recurrent"])
@pytest.mark.parametrize("alike", [False, True])
def test_a_peak_above_the_threshold_hides_no_spike(delay, alike):
    """V may be held above theta, fall below it before the release, and cross it again under the height of that peak."""
    generator = torch.Generator().manual_seed(0)
    spikes = random_spikes(generator, samples=30, units=4)
    tau = (torch.full((6,), 2.0).double(), torch.full((6,), 1.3).double()) if alike else None
    kind = None if delay in ("sparse", "recurrent") else delay
    layer = random_layer(generator, 4, 6, kind, refractory=0.4, jump=-1.2, tau=tau)
    if delay == "sparse":
        layer = sal.Layer(sal.Sparse.from_mask(torch.ones(6, 4)).double(), layer.neuron)
        torch.nn.init.constant_(layer.connection.weight, 1.6)
    if delay == "recurrent":
        layer = sal.Layer(layer.connection, layer.neuron, recurrent=sal.Linear(6, 6).double())
        torch.nn.init.zeros_(layer.recurrent.weight)
    plain, peaked = layer(spikes), layer.run(spikes, peak=True)
    assert (peaked.peak > 0).any()
    assert torch.equal(plain.units, peaked.spikes.units)
    # with recurrent connections more neurons go alone, which rounds otherwise
    rounding = 1e-13 if delay == "recurrent" else 0.0
    torch.testing.assert_close(plain.times, peaked.spikes.times, rtol=0, atol=rounding)


@pytest.mark.parametrize("delay,refractory", list(itertools.product(DELAYS, [0.0, 0.4, math.inf])))
def test_peak(delay, refractory):
    generator = torch.Generator().manual_seed(7)
    spikes = random_spikes(generator, samples=4)
    layer = random_layer(generator, 4, 6, delay, "constant", refractory, scale=0.6)
    coefficients = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    seen = {}

    def loss():
        result = layer.run(spikes, peak=True)
        seen["units"] = result.spikes.units.tolist()
        return (coefficients * result.peak.sin()).sum()

    loss()
    counts = layer(spikes).counts()
    assert (counts == 0).any() and (counts > 0).any()
    compare(loss, trained(layer), lambda: seen["units"])


@pytest.mark.parametrize("kind", ["no delay", "synaptic", "sparse"])
def test_simultaneous_arrivals_move_a_peak_once(kind):
    """V rises until two inhibitory inputs arrive at the same time: a peak that is a kink, and moves with them."""
    if kind == "sparse":
        connection = sal.Sparse.from_mask(torch.ones(2, 3)).double()
    else:
        connection = sal.Linear(
            3, 2, **({"delay": "synaptic", "max_delay": 1.0} if kind == "synaptic" else {})
        ).double()
    layer = sal.Layer(connection, sal.LIF(2, tau_mem=2.0, tau_syn=1.0))
    with torch.no_grad():
        connection.weight.copy_(torch.tensor([[2.0, -4.0, -5.0]] * 2).view_as(connection.weight))
    times = torch.tensor([0.5, 1.0, 1.0], dtype=torch.float64, requires_grad=True)
    spikes = sal.Spikes(times, torch.arange(3), torch.tensor([0, 3]), 3, 5.0)
    peak = layer.run(spikes, peak=True).peak
    V = 2.0 * (math.exp(-0.5) - math.exp(-0.25)) / (1 - 2)
    assert peak[0].tolist() == pytest.approx([V - 1.0] * 2, rel=1e-12)
    (gradient,) = torch.autograd.grad(peak[0, 1], times)
    slope = (2.0 * math.exp(-0.5) - V) / 2.0
    assert gradient[0].item() == pytest.approx(-slope, rel=1e-12)  # as the input comes later
    assert gradient[1:].sum().item() == pytest.approx(slope, rel=1e-12)  # as both arrivals come later


@pytest.mark.parametrize("kind", ["no delay", "synaptic", "sparse"])
def test_an_arrival_at_the_very_end_does_not_move_a_peak_there(kind):
    """V still rises at the end of the sample, where its peak is: an input that arrives then comes too late."""
    connection = sal.Linear(2, 2)
    if kind == "sparse":
        connection = sal.Sparse.from_mask(torch.ones(2, 2))
    elif kind == "synaptic":
        connection = sal.Linear(2, 2, delay="synaptic", max_delay=1.0)
    layer = sal.Layer(connection.double(), sal.LIF(2, tau_mem=2.0, tau_syn=1.0))
    torch.nn.init.constant_(connection.weight, 1.0)
    times = torch.tensor([3.5, 4.0], dtype=torch.float64, requires_grad=True)
    spikes = sal.Spikes(times, torch.arange(2), torch.tensor([0, 2]), 2, 4.0)
    peak = layer.run(spikes, peak=True).peak
    gradients = torch.autograd.grad(peak[0, 1], [times, connection.weight])
    V = (math.exp(-0.5) - math.exp(-0.25)) / (1 - 2)
    assert peak[0].tolist() == pytest.approx([V - 1.0] * 2, rel=1e-12)
    assert gradients[0].tolist() == pytest.approx([-(math.exp(-0.5) - V) / 2.0, 0.0], rel=1e-12)
    assert gradients[1].flatten().tolist() == pytest.approx([0.0, 0.0, V, 0.0], rel=1e-12)


def test_a_peak_right_after_a_spike_does_not_move_with_it():
    """Facilitation is strongest right after a spike: there V - theta = v_reset - jump - threshold, at any time."""
    values = {"threshold": 1.0, "jump": -0.5, "v_reset": 0.1}
    values = {name: torch.tensor([value], dtype=torch.float64) for name, value in values.items()}
    neuron = sal.LIF(1, tau_mem=2.0, tau_syn=0.5, tau_adapt=0.1, train=tuple(values), **values)
    layer = sal.Layer(sal.Linear(1, 1).double(), neuron)
    torch.nn.init.constant_(layer.connection.weight, 7.0)
    times = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    result = layer.run(sal.Spikes(times, torch.tensor([0]), torch.tensor([0, 1]), 1, 6.0), peak=True)
    assert result.spikes.times.numel() == 1 and result.peak.item() == pytest.approx(0.1 + 0.5 - 1.0, rel=1e-12)
    parameters = [times, layer.connection.weight, neuron.threshold, neuron.jump, neuron.v_reset]
    gradients = [gradient.item() for gradient in torch.autograd.grad(result.peak.sum(), parameters)]
    assert gradients == pytest.approx([0.0, 0.0, -1.0, -1.0, 1.0], abs=1e-12)


def test_slopes_by_hand():
    """tau_mem d(V - theta)/dt / threshold, which is (I - V) / threshold without adaptation, with V = threshold."""
    layer = sal.Layer(sal.Linear(1, 2).double(), sal.LIF(2, tau_mem=2.0, tau_syn=0.5, threshold=0.7, train=()))
    with torch.no_grad():
        layer.connection.weight.copy_(torch.tensor([[5.0], [9.0]]))
    result = layer.run(sal.Spikes.from_lists([[(0.3, 0)]], 1, 5.0))
    assert result.spikes.first().isfinite().all()
    first = [result.spikes.units.tolist().index(j) for j in range(2)]
    times, weight = result.spikes.times[first].detach(), torch.tensor([5.0, 9.0], dtype=torch.float64)
    expected = (weight * torch.exp((0.3 - times) / 0.5) - 0.7) / 0.7
    torch.testing.assert_close(result.slopes[first], expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("train", [("threshold",), ("tau_mem", "tau_syn")])
@pytest.mark.parametrize("peak", [False, True])
def test_many_arrivals_equal_wiring(alike, train, peak):
    """Synaptic delays and so many arrivals that bins may be used: as the same synapses one by one."""
    generator = torch.Generator().manual_seed(0)
    inputs = 20
    spikes = random_spikes(generator, samples=3, units=inputs, events=300, span=28.0, duration=30.0)
    tau = (torch.full((4,), 2.0).double(), torch.full((4,), 0.8).double()) if alike else None
    layer = random_layer(generator, inputs, 4, "synaptic", train=train, scale=0.15, tau=tau)
    if alike:
        layer.neuron.tau_adapt.fill_(1.5)
    wired = sal.Sparse.from_mask(torch.ones(4, inputs), delay="synaptic", max_delay=1.5, min_delay=0.1).double()
    with torch.no_grad():
        wired.weight.copy_(layer.connection.weight.flatten())
        wired.set_delays(layer.connection.delays().flatten())
    found = []
    for connection in (layer.connection, wired):
        times = spikes.times.clone().requires_grad_()
        result = sal.Layer(connection, layer.neuron).run(spikes.with_times(times), peak=peak)
        loss = torch.sin(result.spikes.times).sum() + (result.peak.sin().sum() if peak else 0.0)
        parameters = [times, connection.weight, connection.raw_delay, *layer.neuron.parameters()]
        gradients = torch.autograd.grad(loss, parameters)
        found.append((result.spikes.times, result.peak if peak else loss, *(g.flatten() for g in gradients)))
    assert found[0][0].numel() > 40
    for ours, theirs in zip(*found, strict=True):
        largest = theirs.detach().abs().max().item()
        assert largest > 0
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8 * largest)


def test_readouts_that_share_time_constants():
    """One response for all neurons, weighted: dL/dt of an input sums over the neurons, each with its own weight."""
    layer = sal.Layer(sal.Linear(1, 2).double(), sal.LI(2, tau_mem=2.0, tau_syn=1.0))
    with torch.no_grad():
        layer.connection.weight.copy_(torch.tensor([[1.5], [-0.4]], dtype=torch.float64))
    times = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    V = layer(sal.Spikes(times, torch.tensor([0]), torch.tensor([0, 1]), 1, 5.0)).at([2.0])[0, :, 0]
    (gradient,) = torch.autograd.grad(V @ torch.tensor([3.0, 7.0], dtype=torch.float64), times)
    # V = w (e^{-s/tau_mem} - e^{-s/tau_syn}) with s = 1.5, and d/dt = -d/ds
    slope = 0.5 * math.exp(-0.75) - math.exp(-1.5)
    assert gradient.item() == pytest.approx((3.0 * 1.5 - 7.0 * 0.4) * slope, rel=1e-12)


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("what", ["integral", "weighted", "maximum", "at"])
def test_readout(what, delay):
    generator = torch.Generator().manual_seed(11)
    spikes = random_spikes(generator)
    options = {} if delay is None else {"delay": delay, "max_delay": 2.0}
    connection = sal.Linear(4, 3, **options, generator=generator).double()
    if delay is not None:
        connection.set_delays(0.3 + torch.rand(connection.raw_delay.shape, generator=generator))
    tau_mem, tau_syn = (torch.tensor(v, dtype=torch.float64) for v in ([2.0, 2.0, 1.1], [0.5, 2.0, 3.0]))
    layer = sal.Layer(connection, sal.LI(3, tau_mem, tau_syn, train=("tau_mem", "tau_syn")))
    times = spikes.times.clone().requires_grad_()
    arguments = {"integral": (), "weighted": (3.0,), "maximum": (), "at": ([0.5, 3.0, 9.0],)}[what]

    def loss():
        inputs = sal.Spikes(times, spikes.units, spikes.offsets, 4, spikes.duration)
        value = getattr(layer(inputs), what)(*arguments)
        return (value * torch.arange(1, 1 + value.numel(), dtype=torch.float64).view_as(value)).sin().sum()

    compare(loss, {"times": times, **trained(layer)}, lambda: 0)


@pytest.mark.parametrize("equal", [True, False])
def test_closed_forms(equal):
    weight, threshold, tau_syn = 7.3, 0.9, 0.8
    neuron = sal.LIF(
        1,
        tau_mem=tau_syn if equal else 2 * tau_syn,
        tau_syn=tau_syn,
        threshold=torch.tensor([threshold], dtype=torch.float64),
        refractory=math.inf,
    )
    layer = sal.Layer(sal.Linear(1, 1).double(), neuron)
    torch.nn.init.constant_(layer.connection.weight, weight)
    times = torch.tensor([1.5], dtype=torch.float64, requires_grad=True)
    inputs = sal.Spikes(times, torch.tensor([0]), torch.tensor([0, 1]), 1, 10.0)
    output = layer(inputs).times
    exact = closed_form_first_spike(weight, tau_syn, threshold, equal)
    gradients = torch.autograd.grad(output, [times, layer.connection.weight, neuron.threshold])
    assert output.item() == pytest.approx(1.5 + exact[0], rel=1e-12)
    assert [g.item() for g in gradients] == pytest.approx([1.0, exact[1], exact[2]], rel=1e-12)


def test_gradcheck_of_torch():
    generator = torch.Generator().manual_seed(5)
    spikes = random_spikes(generator)
    layer = random_layer(generator, 4, 3, "synaptic", scale=2.0, train=())

    def function(weight, raw):
        state = {"connection.weight": weight, "connection.raw_delay": raw}
        return torch.func.functional_call(layer, state, (spikes,)).times

    inputs = (layer.connection.weight.detach().requires_grad_(), layer.connection.raw_delay.detach().requires_grad_())
    assert torch.autograd.gradcheck(function, inputs, eps=1e-7, atol=1e-5)


def test_min_slope_bounds_weight_and_upstream_gradient_alike():
    # The input barely reaches the threshold: the exact gradient is huge, the bounded one is limited.
    def gradients(min_slope):
        neuron = sal.LIF(1, tau_mem=2.0, tau_syn=1.0, threshold=1.0, train=(), min_slope=min_slope)
        layer = sal.Layer(sal.Linear(1, 1).double(), neuron)
        torch.nn.init.constant_(layer.connection.weight, 4.0 * (1 + 1e-9))
        times = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
        inputs = sal.Spikes(times, torch.tensor([0]), torch.tensor([0, 1]), 1, 10.0)
        result = layer.run(inputs)
        assert result.grazing == 1
        return [g.item() for g in torch.autograd.grad(result.spikes.times.sum(), [times, layer.connection.weight])]

    exact_time, exact_weight = gradients(0.0)
    bounded_time, bounded_weight = gradients(0.1)
    assert exact_time == pytest.approx(1.0, rel=1e-3) and abs(exact_weight) > 1e3
    assert abs(bounded_weight) < 10.0
    assert bounded_time / exact_time == pytest.approx(bounded_weight / exact_weight, rel=1e-3)


@pytest.mark.parametrize("reset, refractory, jump", [("constant", 0.0, 0.0), ("subtract", 0.3, 0.2)])
def test_min_slope_bounds_delays_alike_in_every_order_of_work(reset, refractory, jump):
    # dendritic delays shift a neuron's clock, event-major; synaptic ones are sums over arrivals
    def gradient(delay):
        generator = torch.Generator().manual_seed(2)
        spikes = random_spikes(generator)
        options = {"jump": jump, "tau_adapt": 3.0, "refractory": refractory, "reset": reset, "train": ()}
        layer = sal.Layer(
            sal.Linear(4, 3, delay=delay, max_delay=2.0, generator=generator).double(),
            sal.LIF(3, 2.0, 1.0, **options, min_slope=0.4),
        )
        layer.connection.weight.data = 2.5 * torch.rand(3, 4, generator=generator).double()
        layer.connection.set_delays(torch.tensor([[0.2], [0.7], [1.1]]))
        result = layer.run(spikes)
        assert result.slopes.min() < 0.4 * 2.0 < result.slopes.max()  # some are bounded, some are not
        result.spikes.times.cos().sum().backward()
        return layer.connection.raw_delay.grad.sum(1)

    torch.testing.assert_close(gradient("dendritic"), gradient("synaptic"), rtol=1e-10, atol=1e-10)


def test_silent_neuron_has_exactly_zero_gradient_and_the_peak_hinge_revives_it():
    generator = torch.Generator().manual_seed(1)
    spikes = random_spikes(generator)
    layer = random_layer(generator, 4, 5, "synaptic", scale=0.05, train=("threshold",))
    assert layer(spikes).times.numel() == 0
    torch.autograd.backward(layer(spikes).times.sum())
    assert layer.connection.weight.grad.abs().max() == 0.0
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        result = layer.run(spikes, peak=True)
        sal.regularizers.peak_hinge(result.peak, result.spikes.counts(), margin=0.1).backward()
        optimizer.step()
        layer.constrain_()
    counts = layer(spikes).counts()
    assert (counts[:2].sum(0) > 0).all()


@pytest.mark.parametrize("inputs", [1, 4])
@pytest.mark.parametrize("refractory", [0.0, 0.3, math.inf])
@pytest.mark.parametrize("delay", [None, "axonal"])
def test_shared_time_constants(delay, refractory, inputs):
    """The event-major kernels, of which the backward one runs only where no time constant is trained."""
    for seed in range(50):
        generator = torch.Generator().manual_seed(seed)
        spikes = random_spikes(generator, units=inputs)
        layer = random_layer(
            generator, inputs, 5, delay, refractory=refractory, train=("threshold", "jump", "v_reset"), tau=(2.0, 1.0)
        )
        layer.neuron.tau_adapt.fill_(1.5)
        first = layer.run(spikes)
        if first.spikes.times.numel() >= 4 and first.slopes.min() > 0.1:
            break
    else:
        raise AssertionError("no well-posed problem among 50")
    coefficients = torch.randn(5000, generator=generator, dtype=torch.float64)
    times = spikes.times.clone().requires_grad_()
    seen = {}

    def make_loss():
        result = layer.run(spikes.with_times(times), peak=True)
        seen["units"] = result.spikes.units.tolist(), result.spikes.offsets.tolist()
        return spike_loss(result.spikes, coefficients) + torch.sin(3 * result.peak).sum()

    assert compare(make_loss, {"times": times, **trained(layer)}, lambda: seen["units"]) > 20


def test_the_maximum_of_a_readout_is_that_of_its_own_duration():
    # on the clock of a neuron with a dendritic delay the sample ends earlier than for others
    generator = torch.Generator().manual_seed(3)
    times = torch.rand(40, generator=generator, dtype=torch.float64).sort().values * 10.0
    spikes = sal.Spikes(times, torch.zeros(40).long(), torch.tensor([0, 40]), 1, 10.0)
    layer = sal.Layer(sal.Linear(1, 3, delay="dendritic", max_delay=4.0).double(), sal.LI(3, 3.0, 4.0))
    layer.connection.weight.data.fill_(0.7)
    layer.connection.set_delays(torch.tensor([[0.0], [1.1], [3.5]]))
    readout = layer(spikes)
    sampled = readout.at(torch.linspace(0.0, 10.0, 20_001, dtype=torch.float64)).amax(2)
    torch.testing.assert_close(readout.maximum(), sampled, rtol=1e-6, atol=0.0)


def test_delays_get_their_gradient_whether_or_not_the_times_want_one():
    generator = torch.Generator().manual_seed(4)
    spikes = random_spikes(generator)
    layer = random_layer(generator, 4, 3, "axonal", train=())

    def gradient(inputs):
        return torch.autograd.grad(layer(inputs).times.cos().sum(), layer.connection.raw_delay)[0]

    alone = gradient(spikes)
    assert alone.abs().min() > 1e-6
    torch.testing.assert_close(alone, gradient(spikes.with_times(spikes.times.clone().requires_grad_())))


@pytest.mark.parametrize("apart", [1e-9, 1e-6, 1e-3])
def test_nearly_equal_time_constants_of_single_neurons(apart):
    # event-major with a table for each neuron, and neuron-major, where derivatives are sums over single arrivals
    def gradient(delay):
        generator = torch.Generator().manual_seed(6)
        tau_mem = 2.0 + torch.rand(3, generator=generator).double()
        spikes = random_spikes(generator)
        layer = sal.Layer(
            sal.Linear(4, 3, delay=delay, max_delay=2.0).double(),
            sal.LIF(3, tau_mem, tau_mem * (1.0 + apart), train=("tau_mem", "tau_syn")),
        )
        layer.connection.weight.data = 2.5 * torch.rand(3, 4, generator=generator).double()
        layer.connection.set_delays(0.5)
        output = layer(spikes)
        assert output.times.numel() > 6
        neuron = layer.neuron
        return torch.cat(torch.autograd.grad(output.times.cos().sum(), [neuron.tau_mem, neuron.tau_syn]))

    torch.testing.assert_close(gradient("axonal"), gradient("synaptic"), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("delay", [None, "synaptic"])
def test_a_maximum_that_is_cut_off_by_an_arrival_moves_with_it(delay):
    # for many times, as t + (t_next - t) is not always t_next
    generator = torch.Generator().manual_seed(8)
    first, second = torch.rand(2, 100_000, generator=generator, dtype=torch.float64)
    second = 0.5 + second
    rounded = first + (second - first) != second
    first, second = first[rounded & (first < second)][:300], second[rounded & (first < second)][:300]
    times = torch.stack([first, second], 1).flatten().requires_grad_()
    spikes = sal.Spikes(times, torch.tensor([0, 1] * 300), torch.arange(301) * 2, 2, 3.0)
    layer = sal.Layer(
        sal.Linear(2, 2, delay=delay, max_delay=1.0 if delay else None).double(), sal.LI(2, tau_mem=2.0, tau_syn=1.5)
    )
    layer.connection.weight.data = torch.tensor([[1.0, -9.0], [2.0, -9.0]]).double()
    if delay:
        layer.connection.set_delays(0.0)
    maximum = layer(spikes).maximum()[:, 0]
    slope = (torch.exp((first - second) / 1.5) - maximum.detach()) / 2.0  # tau_mem V' = I - V
    gradient = torch.autograd.grad(maximum.sum(), times)[0].view(300, 2)
    torch.testing.assert_close(gradient[:, 1], slope, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradient[:, 0], -slope, rtol=1e-10, atol=1e-12)

"""Recurrent layers: against unrolled feed-forward copies, central differences and NEST."""

import itertools
import math

import numpy as np
import pytest
import torch
from problems import DELAYS, compare, random_layer, random_spikes, spike_loss, trained

import saltation as sal


def recurrent_layer(seed, delay, recurrent_delay, refractory=0.0, reset="constant", least=0.0, jump=0.3, alike=False):
    """A random layer of five neurons and what it is driven by; no neuron reaches itself without delay."""
    generator = torch.Generator().manual_seed(seed)
    tau = (torch.full((5,), 2.0).double(), torch.full((5,), 1.3).double()) if alike else None
    layer = random_layer(generator, 4, 5, delay, reset=reset, refractory=refractory, jump=jump, tau=tau)
    options = {"delay": recurrent_delay, "max_delay": 1.5, "min_delay": least} if recurrent_delay else {}
    recurrent = sal.Linear(5, 5, **options).double()
    with torch.no_grad():
        recurrent.weight.copy_(0.5 * torch.randn(5, 5, generator=generator, dtype=torch.float64))
        if recurrent_delay:
            shape = recurrent.raw_delay.shape
            recurrent.raw_delay.copy_(torch.rand(shape, generator=generator, dtype=torch.float64) * 0.9 + 0.05)
        else:
            recurrent.weight.fill_diagonal_(0.0)
    return sal.Layer(layer.connection, layer.neuron, recurrent=recurrent), random_spikes(generator), generator


def union(a, b):
    """The spikes of both, those of b as further units."""
    times, units, offsets = [], [], [0]
    for k in range(a.num_samples):
        in_a, in_b = slice(a.offsets[k], a.offsets[k + 1]), slice(b.offsets[k], b.offsets[k + 1])
        t = torch.cat([a.times[in_a], b.times[in_b]])
        order = torch.argsort(t.detach(), stable=True)
        times.append(t[order])
        units.append(torch.cat([a.units[in_a], b.units[in_b] + a.num_units])[order])
        offsets.append(offsets[-1] + t.numel())
    return sal.Spikes(torch.cat(times), torch.cat(units), torch.tensor(offsets), a.num_units + b.num_units, a.duration)


def unrolled(layer, spikes, copies):
    """The output of the last of many feed-forward copies of the layer, each fed by the input and the copy before."""
    N, M, recurrent = layer.neuron.size, layer.connection.in_size, layer.recurrent
    flat = sal.Layer(sal.Linear(M + N, N, delay="synaptic", max_delay=2.0).double(), layer.neuron)
    with torch.no_grad():
        (weight, delay), (feedback, later) = layer.connection.dense(), recurrent.dense()
        flat.connection.weight.copy_(torch.cat([weight, feedback], 1))
        delays = [delay.expand(N, M), later.expand(N, N)]
        flat.connection.set_delays(torch.cat(delays, 1))
    silent = torch.empty(0, dtype=torch.float64), torch.empty(0, dtype=torch.int64)
    output = sal.Spikes(*silent, torch.zeros(spikes.num_samples + 1, dtype=torch.int64), N, spikes.duration)
    for _ in range(copies):
        output = flat(union(spikes, output))
    return flat, output


CASES = list(
    itertools.product(
        [None, "axonal", "synaptic"], DELAYS, [(0.0, "constant"), (0.4, "subtract"), (math.inf, "constant")]
    )
)


@pytest.mark.parametrize("least", [0.0, 0.1])
@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize(("delay", "recurrent_delay", "kind"), CASES)
def test_equals_unrolled_copies(delay, recurrent_delay, kind, alike, least):
    # of the random networks the first one that neither chatters nor amplifies rounding over dozens of spikes
    for seed in range(30):
        layer, spikes, generator = recurrent_layer(seed, delay, recurrent_delay, *kind, least=least, alike=alike)
        result = layer.run(spikes)
        ours = result.spikes
        if 8 <= ours.times.numel() <= 60 and result.slopes.min() > 0.1:
            break
    copies = int(ours.counts().sum(1).max()) + 2
    flat, theirs = unrolled(layer, spikes, copies)
    assert torch.equal(ours.units, theirs.units) and torch.equal(ours.offsets, theirs.offsets)
    torch.testing.assert_close(ours.times, theirs.times, rtol=0, atol=1e-11)
    coefficients = torch.randn(ours.times.shape, generator=generator, dtype=torch.float64)
    neuron = list(layer.neuron.parameters())
    mine = torch.autograd.grad(
        coefficients @ ours.times, [layer.connection.weight, layer.recurrent.weight, *neuron], allow_unused=True
    )
    copied = torch.autograd.grad(coefficients @ theirs.times, [flat.connection.weight, *neuron], allow_unused=True)
    pairs = [(torch.cat(mine[:2], 1), copied[0]), *zip(mine[2:], copied[1:], strict=True)]
    for left, right in pairs:
        scale = right.abs().max() + 1e-3
        torch.testing.assert_close(left / scale, right / scale, rtol=0, atol=1e-8)


@pytest.mark.parametrize("peak", [False, True])
@pytest.mark.parametrize("refractory", [0.0, 0.3, math.inf])
@pytest.mark.parametrize(("delay", "recurrent_delay"), list(itertools.product([None, "synaptic"], DELAYS)))
def test_every_parameter(delay, recurrent_delay, refractory, peak):
    for seed in range(50):
        layer, spikes, generator = recurrent_layer(seed, delay, recurrent_delay, refractory)
        result = layer.run(spikes)
        if result.spikes.times.numel() >= 6 and result.slopes.min() > 0.2:
            break
    times = spikes.times.clone().requires_grad_()
    coefficients = torch.randn(5000, generator=generator, dtype=torch.float64)
    seen = {}

    def loss():
        result = layer.run(spikes.with_times(times), peak=peak)
        seen["signature"] = result.spikes.units.tolist()
        value = spike_loss(result.spikes, coefficients)
        return value + (result.peak * coefficients[:5]).sum() if peak else value

    parameters = {"times": times, **trained(layer)}
    assert "0.recurrent.weight" in parameters
    assert ("0.recurrent.raw_delay" in parameters) == (recurrent_delay is not None)
    compare(loss, parameters, lambda: seen["signature"])


def test_arrivals_on_the_edges_of_windows_count_once():
    """Inputs at multiples of the smallest recurrent delay, where windows end; the recurrent weights are 0."""
    generator = torch.Generator().manual_seed(0)
    layer = random_layer(generator, 1, 4, None)
    recurrent = sal.Linear(4, 4, delay="synaptic", min_delay=1.0, max_delay=2.0).double()
    torch.nn.init.zeros_(recurrent.weight)
    recurrent.set_delays(1.0)
    spikes = sal.Spikes.from_lists([[(float(t), 0) for t in range(8)]], 1, 8.0)
    expected = layer(spikes)
    found = sal.Layer(layer.connection, layer.neuron, recurrent=recurrent)(spikes)
    assert expected.times.numel() > 20 and torch.equal(found.units, expected.units)
    torch.testing.assert_close(found.times, expected.times, rtol=1e-12, atol=0)


@pytest.mark.parametrize("delay", ["axonal", "synaptic"])
def test_a_neuron_that_drives_another_is_a_layer_before_it(delay):
    """More spikes than fit a queue at first, of which many wait at the same time."""
    generator = torch.Generator().manual_seed(0)
    threshold = torch.tensor([0.05, 0.4], dtype=torch.float64)
    both = sal.LIF(2, tau_mem=2.0, tau_syn=1.0, threshold=threshold, refractory=0.01, train=())
    recurrent = sal.Linear(2, 2, delay=delay, max_delay=3.0).double()
    first, second = sal.Linear(3, 1).double(), sal.Linear(1, 1, delay="axonal", max_delay=3.0).double()
    inputs = sal.Linear(3, 2).double()
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[2.0, 3.0, -0.5]]))
        inputs.weight.copy_(torch.cat([first.weight, torch.zeros(1, 3)]))
        recurrent.weight.copy_(torch.tensor([[0.0, 0.0], [0.2, 0.0]], dtype=torch.float64))
        second.weight.fill_(0.2)
        recurrent.set_delays(1.7)
        second.set_delays(1.7)
    layers = [sal.LIF(1, 2.0, 1.0, threshold=value, refractory=0.01, train=()) for value in (0.05, 0.4)]
    chain = sal.Sequential(sal.Layer(first, layers[0]), sal.Layer(second, layers[1]))
    spikes = random_spikes(generator, samples=2, units=3, events=60, span=18.0, duration=20.0)
    found = sal.Layer(inputs, both, recurrent=recurrent)(spikes)
    expected = [result.spikes for result in chain.run(spikes)]
    assert expected[0].times.numel() > 400 and expected[1].times.numel() > 40
    for j, theirs in enumerate(expected):
        torch.testing.assert_close(found.times[found.units == j], theirs.times, rtol=0, atol=1e-9)


@pytest.mark.parametrize("delay", ["axonal", "synaptic"])
def test_forced_spikes(delay):
    """Facilitated neurons fire whenever V is released, as spikes that move with the one before; others feel them."""
    neuron = sal.LIF(
        2, tau_mem=2.0, tau_syn=1.0, threshold=torch.tensor([0.5, 0.6], dtype=torch.float64), tau_adapt=3.0,
        jump=torch.tensor([-2.0, 0.1], dtype=torch.float64), refractory=0.7, train=("threshold", "jump"),
    )  # fmt: skip
    recurrent = sal.Linear(2, 2, delay=delay, max_delay=1.0).double()
    with torch.no_grad():
        recurrent.weight.copy_(torch.tensor([[0.0, 0.3], [1.2, 0.0]]))
    recurrent.set_delays(0.4)
    layer = sal.Layer(sal.Linear(1, 2).double(), neuron, recurrent=recurrent)
    with torch.no_grad():
        layer.connection.weight.copy_(torch.tensor([[3.0], [0.1]]))
    spikes = sal.Spikes.from_lists([[(0.2, 0), (1.0, 0)]], 1, 6.0)
    seen = {}

    def loss():
        output = layer(spikes)
        seen["units"] = output.units.tolist()
        return (output.times**2).sum()

    loss()
    gaps = layer(spikes).times[layer(spikes).units == 0].detach().diff()
    torch.testing.assert_close(gaps, torch.full_like(gaps, 0.7), rtol=0, atol=1e-12)
    assert seen["units"].count(0) > 4 and seen["units"].count(1) > 1
    compare(loss, trained(layer), lambda: seen["units"])


@pytest.mark.parametrize("reset", ["constant", "subtract"])
def test_trace_with_a_refractory_period(reset):
    """At every spike that is not forced V is theta; while V is held it is where the reset has put it."""
    generator = torch.Generator().manual_seed(1)
    layer = random_layer(generator, 4, 3, "synaptic", reset, refractory=0.4)
    spikes = random_spikes(generator, events=12)
    output = layer(spikes).to_lists()[0]
    own = {j: [t for t, unit in output if unit == j] for j in range(3)}
    assert min(len(times) for times in own.values()) > 1
    for j, times in own.items():
        V, theta = layer.trace(spikes, 0, j, np.array(times))
        np.testing.assert_allclose(V, theta, rtol=1e-9)
        held, _ = layer.trace(spikes, 0, j, np.array(times)[:, None].ravel() + 0.3)
        start, _ = layer.trace(spikes, 0, j, np.array(times) + 1e-9)
        np.testing.assert_allclose(held, start, rtol=1e-12)
        if reset == "constant":
            np.testing.assert_allclose(held, layer.neuron.v_reset[j].item(), rtol=1e-12)


@pytest.mark.parametrize("kind", ["mixed", "heterogeneous"])
def test_spike_times_of_nest(kind):
    """Excitation and inhibition, autapses included; times in ms, as NEST has them."""
    nest = pytest.importorskip("nest", reason="NEST is not installed: pip install saltation[nest]")
    generator = torch.Generator().manual_seed(5)
    N, M, duration, refractory = 6, 4, 80.0, 0.2
    weight = torch.randn(N, M, generator=generator, dtype=torch.float64) * 2.0 + 2.5
    recurrent_weight = torch.randn(N, N, generator=generator, dtype=torch.float64) * 2.0
    # NEST has delays of whole steps only; 1 ms is that of the input
    steps = torch.randint(1, 30, (N, N), generator=generator) if kind == "heterogeneous" else torch.full((N, N), 10)
    tau_mem, tau_syn = torch.linspace(8.0, 20.0, N).double(), torch.linspace(2.0, 7.0, N).double()
    neuron = sal.LIF(N, tau_mem, tau_syn, refractory=refractory, train=())
    layer = sal.Layer(
        sal.Linear(M, N, delay="axonal", max_delay=2.0).double(),
        neuron,
        recurrent=sal.Linear(N, N, delay="synaptic", max_delay=3.0).double(),
    )
    with torch.no_grad():
        layer.connection.weight.copy_(weight)
        layer.connection.set_delays(1.0)
        layer.recurrent.weight.copy_(recurrent_weight)
        layer.recurrent.set_delays(steps * 0.1)
    spikes = random_spikes(generator, samples=2, units=M, events=80, span=75.0, duration=duration).sample(0)
    ours = layer(spikes).to_lists()[0]

    nest.ResetKernel()
    nest.set_verbosity("M_ERROR")
    nest.resolution = 0.1
    neurons = nest.Create("iaf_psc_exp_ps", N)
    recorder = nest.Create("spike_recorder")
    for j in range(N):
        neurons[j].set(
            {"C_m": tau_mem[j].item(), "tau_m": tau_mem[j].item(), "tau_syn_ex": tau_syn[j].item(),
             "tau_syn_in": tau_syn[j].item(), "E_L": 0.0, "V_m": 0.0, "V_reset": 0.0, "V_th": 1.0,
             "t_ref": refractory, "V_min": -1e9}
        )  # fmt: skip
    for i in range(M):
        times = [t for t, unit in spikes.to_lists()[0] if unit == i]
        source = nest.Create("spike_generator", params={"precise_times": True, "spike_times": times})
        for j in range(N):
            nest.Connect(source, neurons[j], syn_spec={"weight": weight[j, i].item(), "delay": 1.0})
    for i, j in itertools.product(range(N), range(N)):
        synapse = {"weight": recurrent_weight[j, i].item(), "delay": steps[j, i].item() * 0.1}
        nest.Connect(neurons[i], neurons[j], syn_spec=synapse)
    nest.Connect(neurons, recorder, syn_spec={"delay": 1.0})
    nest.Simulate(duration + 2.0)
    found = recorder.get("events")
    theirs = sorted(zip(found["times"], found["senders"] - neurons[0].global_id, strict=True))
    theirs = [(t, j) for t, j in theirs if t <= duration - 1.0]
    ours = [(t, j) for t, j in ours if t <= duration - 1.0]
    assert len(ours) >= 50
    assert [j for _, j in ours] == [j for _, j in theirs]
    # The regula falsi of NEST leaves up to 1e-8 of some spikes; there V - theta tells that ours are right.
    exact, other = np.array([t for t, _ in ours]), np.array([t for t, _ in theirs])
    np.testing.assert_allclose(exact, other, rtol=1e-8)
    off = np.nonzero(np.abs(exact - other) > 1e-9 * other)[0]
    assert off.size <= 0.05 * exact.size
    for k in off:
        V, theta = layer.trace(spikes, 0, ours[k][1], exact[k : k + 1])
        np.testing.assert_allclose(V, theta, rtol=1e-13)


def test_results_do_not_depend_on_threads_or_on_asking_for_the_peak():
    layer, spikes, _ = recurrent_layer(0, "axonal", "synaptic")
    many = sal.Spikes.cat([spikes] * 40)
    results = []
    for threads in (1, 2, 4):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        layer.zero_grad()
        output = layer(many)
        output.times.square().sum().backward()
        results.append((output.times.detach(), layer.recurrent.weight.grad, layer.recurrent.raw_delay.grad))
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))
    assert torch.equal(layer.run(many, peak=True).spikes.times, results[0][0])


def test_a_runaway_says_who_and_what_to_do():
    layer, spikes, _ = recurrent_layer(0, None, None)
    assert layer.max_spikes == 10_000
    torch.nn.init.constant_(layer.recurrent.weight, 5.0)
    layer.max_spikes = 300
    with pytest.raises(
        sal.SpikeBudgetError, match=r"neuron \d spiked more than 300 times in sample 0: .* Lower the"
    ) as caught:
        layer(spikes)
    assert caught.value.plan == "recurrent event-major"


def test_bad_recurrent_parts():
    linear, lif = sal.Linear(4, 3), sal.LIF(3, tau_mem=2.0, tau_syn=1.0)
    with pytest.raises(ValueError, match="inputs of its recurrent part"):
        sal.Layer(linear, lif, recurrent=sal.Linear(4, 3))
    with pytest.raises(ValueError, match="outputs of its recurrent part"):
        sal.Layer(linear, lif, recurrent=sal.Linear(3, 4))
    with pytest.raises(ValueError, match="never spike"):
        sal.Layer(linear, sal.LI(3, tau_mem=2.0, tau_syn=1.0), recurrent=sal.Linear(3, 3))
    layer = sal.Layer(linear, lif, recurrent=sal.Linear(3, 3))
    torch.nn.init.constant_(layer.recurrent.weight, math.nan)
    with pytest.raises(ValueError, match="recurrent weight"):
        layer(sal.Spikes.from_lists([[(0.1, 0)]], 4, 1.0))


def test_trace_shows_the_recurrence():
    layer, spikes, _ = recurrent_layer(2, None, "synaptic", least=0.1)
    output = layer(spikes)
    t, j = output.to_lists()[0][-1]  # by then others have had their effect
    V, theta = layer.trace(spikes, 0, j, np.array([t]))
    np.testing.assert_allclose(V, theta, rtol=1e-9)


def test_a_neuron_that_spikes_once_is_spent_after_a_long_pause_too():
    """In an interval of hundreds of time constants, through which all neurons go one by one."""
    layer = sal.Layer(sal.Linear(1, 2), sal.LIF(2, 2.0, 1.0, refractory=math.inf), recurrent=sal.Linear(2, 2)).double()
    with torch.no_grad():
        layer.connection.weight.copy_(torch.tensor([[9.0], [3.0]])), layer.recurrent.weight.zero_()
    times = [0.5, 1.0, 2000.0, 2000.5, 2001.0, 5000.0, 5000.1]
    spikes = layer(sal.Spikes.from_lists([[(t, 0) for t in times]], 1, 6000.0))
    assert spikes.counts().tolist() == [[1, 1]]
    assert spikes.times.detach().max() < 3.0

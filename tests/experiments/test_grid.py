"""saltation.experiments.grid: gradients against autograd of a plain model, and convergence to exact spike times."""

import math

import grid_reference
import numpy as np
import pytest
import torch

import saltation as sal
from saltation.experiments.grid.network import Twin
from saltation.experiments.grid.pack import Settings
from saltation.experiments.grid.readouts import Functional
from saltation.experiments.grid.train import cross_entropy_of

DT, DURATION = 0.05, 2.0
ADAPTIVE = {"tau_mem": 0.4, "tau_syn": 0.15, "tau_adapt": 0.8, "jump": 0.3, "v_reset": -0.1, "refractory": 0.1}


def spikes(samples=3, units=5, events=14, seed=0):
    generator = torch.Generator().manual_seed(seed)
    times = 0.8 * DURATION * torch.rand(samples, events, generator=generator, dtype=torch.float64)
    unit = torch.randint(units, (samples, events), generator=generator)
    pairs = [list(zip(t.tolist(), u.tolist(), strict=True)) for t, u in zip(times, unit, strict=True)]
    return sal.Spikes.from_lists(pairs, units, DURATION)


def linear(n, m, kind=None, high=0.3, std=1.5, mean=1.8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    delays = {} if kind is None else {"delay": kind, "max_delay": high}
    connection = sal.Linear(n, m, **delays).double()
    with torch.no_grad():
        connection.weight.copy_(mean + std * torch.randn(m, n, generator=generator, dtype=torch.float64))
        if kind is not None:
            connection.raw_delay.copy_(torch.rand(connection.raw_delay.shape, generator=generator) * 0.9 + 0.03)
    return connection


def lif(size, train=("threshold", "jump", "v_reset"), **changes):
    return sal.LIF(size, **{**ADAPTIVE, **changes}, train=train).double()


def li(size):
    return sal.LI(size, tau_mem=0.5, tau_syn=0.2).double()


KINDS = (None, "axonal", "dendritic", "synaptic")
NETWORKS = {
    **{
        f"input {kind}": lambda kind=kind: sal.Sequential(
            sal.Layer(linear(5, 6, kind), lif(6)), sal.Layer(linear(6, 3), li(3))
        )
        for kind in KINDS
    },
    **{
        f"recurrent {kind}": lambda kind=kind: sal.Sequential(
            sal.Layer(linear(5, 6, "axonal"), lif(6), recurrent=linear(6, 6, kind, mean=0.0, seed=4)),
            sal.Layer(linear(6, 3), li(3)),
        )
        for kind in KINDS
    },
    **{
        f"two layers {kind}": lambda kind=kind: sal.Sequential(
            sal.Layer(linear(5, 6, "synaptic"), lif(6)),
            sal.Layer(linear(6, 4, kind, mean=1.5, seed=2), lif(4, refractory=0.0)),
            sal.Layer(linear(4, 3, "axonal", seed=3), li(3)),
        )
        for kind in KINDS
    },
    "terminals": lambda: sal.Sequential(
        sal.Layer(sal.Parallel(*(linear(5, 6, "axonal", seed=k) for k in range(3))), lif(6)),
        sal.Layer(sal.Parallel(*(linear(6, 4, "axonal", seed=k, mean=0.8) for k in range(2))), lif(4)),
        sal.Layer(linear(4, 3, seed=3), li(3)),
    ),
    "beside": lambda: sal.Sequential(
        sal.Layer(linear(5, 6), lif(6)),
        sal.Layer(sal.Beside(linear(6, 4, "synaptic"), linear(5, 4, "axonal")), lif(4)),
        sal.Layer(sal.Beside(linear(4, 3), linear(6, 3)), li(3)),
        beside={1: (0,), 2: (1,)},
    ),
    "subtract": lambda: sal.Sequential(
        sal.Layer(linear(5, 6, "axonal"), lif(6, reset="subtract", train=("threshold", "jump"))),
        sal.Layer(linear(6, 3), li(3)),
    ),
    "plain": lambda: sal.Sequential(
        sal.Layer(linear(5, 6, "axonal"), sal.LIF(6, 0.4, 0.15, train=()).double()), sal.Layer(linear(6, 3), li(3))
    ),
}


def compare(model, inputs, functional, draw=0):
    """Values and all gradients of the twin against those of the plain model."""
    twin = Twin(model, DURATION, Settings(DT, dtype=np.float64), functional)
    outcome = twin.run(inputs)
    options = {}
    if functional is not None and functional.name == "maximum":
        options["maximum"] = True
    elif functional is not None:
        options["window"] = twin.plan.window
    value, outputs = grid_reference.network(model, inputs, DT, **options)
    if functional is None:
        value = DT * value
    layers = [layer for layer in model.layers if isinstance(layer, sal.Layer)]
    hidden = [S for made in outputs for S, layer in zip(made, layers, strict=True) if layer.neuron.spiking]
    assert sum(int(S.detach().sum()) for S in hidden) == sum(s.times.numel() for s in outcome.spikes) > 20
    torch.testing.assert_close(outcome.value, value, rtol=1e-9, atol=1e-12)
    factors = torch.rand(value.shape, generator=torch.Generator().manual_seed(draw), dtype=torch.float64)
    parameters = dict(model.named_parameters())
    found = torch.autograd.grad((factors * outcome.value).sum(), parameters.values(), allow_unused=True)
    wanted = torch.autograd.grad((factors * value).sum(), parameters.values(), allow_unused=True)
    for name, ours, theirs in zip(parameters, found, wanted, strict=True):
        assert theirs is not None and float(theirs.abs().max()) > 0, name
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9 * float(theirs.abs().max()), msg=name)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_autograd(name):
    compare(NETWORKS[name](), spikes(), Functional("weighted", 1.0))


@pytest.mark.parametrize("name", ["integral", "maximum"])
def test_other_readouts(name):
    compare(NETWORKS["two layers None"](), spikes(), Functional(name))


@pytest.mark.parametrize("refractory", [math.inf, 0.2])
def test_first_spike_times_and_their_gradient(refractory):
    outputs = lif(3, ("threshold",), refractory=refractory)
    model = sal.Sequential(
        sal.Layer(linear(5, 6, "axonal"), lif(6)), sal.Layer(linear(6, 3, "synaptic", seed=2), outputs)
    )
    compare(model, spikes(), None)


def recurrent_network():
    return sal.Sequential(
        sal.Layer(linear(5, 6, "axonal"), lif(6), recurrent=linear(6, 6, "synaptic", mean=0.0, seed=4)),
        sal.Layer(linear(6, 4, "dendritic", mean=1.5, seed=2), lif(4, refractory=0.07)),
    )


def test_spike_times_converge_to_the_exact_ones():
    """At first order: a tenth of the step, a tenth of the error."""
    model, inputs = recurrent_network(), spikes()
    exact = [result.spikes for result in model.run(inputs)]
    errors = []
    for dt in (1e-3, 1e-4, 1e-5):
        found = Twin(model, DURATION, Settings(dt, dtype=np.float64)).run(inputs).spikes
        for ours, theirs in zip(found, exact, strict=True):
            assert torch.equal(ours.counts(), theirs.counts())
        in_trains = [(sal.losses._trains(a)[0], sal.losses._trains(b)[0]) for a, b in zip(found, exact, strict=True)]
        errors.append(max(float((a - b).detach().abs().max()) for a, b in in_trains))
    assert sum(s.times.numel() for s in exact) > 50
    assert errors[0] < 0.05 and all(5 < a / b < 20 for a, b in zip(errors[:-1], errors[1:], strict=True)), errors


@pytest.mark.parametrize("name", ["integral", "weighted", "maximum"])
def test_readouts_converge_to_the_exact_ones(name):
    model, inputs = NETWORKS["recurrent axonal"](), spikes()
    readout = model(inputs)
    exact = readout.weighted(0.7) if name == "weighted" else getattr(readout, name)()
    errors = []
    for dt in (1e-3, 1e-4):
        twin = Twin(
            model, DURATION, Settings(dt, dtype=np.float64), Functional(name, 0.7 if name == "weighted" else math.inf)
        )
        errors.append(float((twin.run(inputs).value - exact).abs().max() / exact.abs().max()))
    assert errors[0] < 0.02 and 5 < errors[0] / errors[1] < 20, errors


def test_nothing_depends_on_threads_or_groups(monkeypatch):
    model, inputs = NETWORKS["two layers axonal"](), spikes(samples=11)
    twin = Twin(model, DURATION, Settings(DT, dtype=np.float64), Functional("integral"))
    results = []
    for threads, cells in ((1, 1 << 18), (2, 1 << 18), (1, 1)):
        monkeypatch.setattr("saltation.experiments.grid.network.GROUP_CELLS", cells)
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        model.zero_grad()
        value = twin.run(inputs).value
        value.square().sum().backward()
        torch.set_num_threads(before)
        results.append([value.detach(), *(p.grad for p in model.parameters())])
    for a, b, c in zip(*results, strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a, c, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["recurrent axonal", "terminals", "beside"])
def test_descending_is_running_and_going_back(name):
    model, inputs = NETWORKS[name](), spikes(samples=9)
    labels = np.arange(9) % 3
    twin = Twin(model, DURATION, Settings(DT, dtype=np.float64), Functional("weighted", 1.0))
    results = []
    for fused in (False, True):
        model.zero_grad()
        generator = torch.Generator().manual_seed(5)
        if fused:
            losses, layers = twin.descend(
                inputs, lambda v, first: cross_entropy_of(2.0, v, labels[first : first + len(v)]), 0.2, generator
            )
            loss = torch.tensor(losses.mean())
        else:
            outcome = twin.run(inputs, 0.2, generator)
            loss, layers = (
                sal.losses.readout_cross_entropy(2.0 * outcome.value, torch.from_numpy(labels)),
                outcome.spikes,
            )
            loss.backward()
        results.append([loss.detach(), *(s.times for s in layers), *(p.grad for p in model.parameters())])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


def test_float32_is_close_to_float64():
    model, inputs = NETWORKS["recurrent axonal"](), spikes()
    results = []
    for dtype in (np.float32, np.float64):
        twin = Twin(model, DURATION, Settings(DT, dtype=dtype), Functional("integral"))
        model.zero_grad()
        value = twin.run(inputs).value
        value.sum().backward()
        results.append([value.detach(), *(p.grad for p in model.parameters())])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max()))


def test_counts_and_their_gradient():
    model, inputs = NETWORKS["two layers None"](), spikes()
    twin = Twin(model, DURATION, Settings(DT, dtype=np.float64), Functional("integral"), count_tau=0.5)
    outcome = twin.run(inputs)
    worth = torch.as_tensor(-np.expm1((DT * np.arange(twin.plan.steps + 1) - DURATION) / 0.5))
    _, outputs = grid_reference.network(model, inputs, DT, window=twin.plan.window)
    wanted = [torch.stack([worth @ made[k] for made in outputs]).mean(0) for k in range(2)]
    for ours, theirs in zip(outcome.counts, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)
    found, right = (
        torch.autograd.grad(sum(c.square().sum() for c in counts), model.layers[0].connection.weight)[0]
        for counts in (outcome.counts, wanted)
    )
    torch.testing.assert_close(found, right, rtol=1e-6, atol=1e-9)


def test_dropped_spikes():
    """Those that go on are drawn; the mean over many draws is what nothing dropped gives, times the share."""
    model, inputs = NETWORKS["input None"](), spikes()
    twin = Twin(model, DURATION, Settings(DT, dtype=np.float64), Functional("integral"))
    generator = torch.Generator().manual_seed(0)
    whole = twin.run(inputs)
    draws, gradients = [], []
    for _ in range(1000):
        outcome = twin.run(inputs, 0.3, generator)
        gradients.append(torch.autograd.grad(outcome.value.sum(), list(model.parameters())))
        draws.append(outcome.value.detach())
        assert torch.equal(outcome.spikes[0].times, whole.spikes[0].times)
    torch.testing.assert_close(torch.stack(draws).mean(0), 0.7 * whole.value.detach(), rtol=0.05, atol=0.02)
    right = torch.autograd.grad(whole.value.sum(), list(model.parameters()))
    for ours, theirs in zip(zip(*gradients, strict=True), right, strict=True):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(torch.stack(ours).mean(0), 0.7 * theirs, rtol=0.0, atol=0.03 * scale)


def test_pools_and_convolutions():
    generator = torch.Generator().manual_seed(1)
    conv = sal.Conv2d((1, 6, 6), 2, 3, delay="kernel", max_delay=0.2, generator=generator).double()
    pool = sal.SumPool2d((2, 4, 4), 2)
    with torch.no_grad():
        conv.weight.add_(1.5)
        conv.raw_delay.copy_(0.1 + 0.8 * torch.rand(conv.raw_delay.shape, generator=generator))
    model = sal.Sequential(
        sal.Layer(conv, lif(2)), pool, sal.Layer(linear(8, 4, "axonal"), lif(4)), sal.Layer(linear(4, 3), li(3))
    )
    compare(model, spikes(samples=2, units=36, events=40), Functional("weighted", 1.0))


def test_what_has_no_twin_is_refused():
    first = sal.Layer(linear(5, 6), sal.QIF(6, tau_mem=0.4))
    with pytest.raises(ValueError, match="QIF neurons have no twin"):
        Twin(sal.Sequential(first), DURATION, Settings(DT))
    trained = sal.Layer(linear(5, 6), sal.LIF(6, 0.4, 0.15, train=("tau_mem",)))
    with pytest.raises(ValueError, match="trained time constants"):
        Twin(sal.Sequential(trained), DURATION, Settings(DT))
    own = sal.Layer(linear(5, 6), sal.LIF(6, torch.linspace(0.3, 0.4, 6), 0.15))
    with pytest.raises(ValueError, match="tau_mem differs"):
        Twin(sal.Sequential(own), DURATION, Settings(DT))
    with pytest.raises(ValueError, match="needs a functional"):
        Twin(NETWORKS["plain"](), DURATION, Settings(DT))

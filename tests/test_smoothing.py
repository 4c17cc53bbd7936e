"""The smoothed gradient: what the loss would change if near misses became spikes."""

import math

import pytest
import torch

import saltation as sal
from saltation.data.augment import drop


def pulse(smoothing, threshold, tau_mem=2.0, tau_syn=1.0, weight=1.0):
    """One input spike, one hidden neuron for each threshold, an integrator for each of these."""
    N = len(threshold)
    hidden = sal.Layer(sal.Linear(1, N), sal.LIF(N, tau_mem, tau_syn, threshold=threshold), smoothing=smoothing)
    output = sal.Layer(sal.Linear(N, N), sal.LI(N, 1.0, 0.5))
    with torch.no_grad():
        hidden.connection.weight.fill_(weight), output.connection.weight.copy_(torch.eye(N))
    return sal.Sequential(hidden, output).double(), sal.Spikes.from_lists([[(0.5, 0)]], 1, 10.0)


def test_noise_of_the_threshold():
    """The derivative of the loss that is averaged over the noise, up to what vanishes with its width: the gradient of
    the times of the spikes that noise lets be.
    """
    phi_max = 0.25  # of tau_mem = 2, tau_syn = 1, at 2 log 2
    errors = []
    for sigma in (0.02, 0.01, 0.005):
        threshold = phi_max / (1.0 - sigma)  # a miss by one width
        model, spikes = pulse(sigma, [threshold])
        value = model(spikes).weighted(3.0)[0, 0]
        value.backward()
        noise = torch.linspace(-8.0, 8.0, 40001, dtype=torch.float64)
        density = torch.exp(-0.5 * noise**2) / math.sqrt(2 * math.pi) * (noise[1] - noise[0])
        averages = []
        for weight in (1.0 - 0.01 * sigma, 1.0 + 0.01 * sigma):
            noisy, _ = pulse(0.0, threshold * (1.0 + sigma * noise[noise < 0].clone()), weight=weight)
            with torch.no_grad():
                hidden = noisy[0](spikes)
                worth = sal.Spikes(hidden.times, torch.zeros_like(hidden.units), hidden.offsets, 1, 10.0)
                each = readout_of_each(worth)
            averages.append((each * density[noise < 0][hidden.units]).sum())
        truth = (averages[1] - averages[0]) / (0.02 * sigma)
        assert hidden.times.numel() > 1000
        errors.append(abs(model[0].connection.weight.grad.item() / truth - 1.0))
    assert errors[2] < 0.03 and errors[2] < 0.65 * errors[1] and errors[1] < 0.65 * errors[0]


def readout_of_each(spikes):
    """(E,): what each spike alone adds to the readout of `pulse`."""
    single = sal.Spikes(
        spikes.times, torch.zeros_like(spikes.units), torch.arange(spikes.times.numel() + 1), 1, spikes.duration
    )
    output = sal.Layer(sal.Linear(1, 1), sal.LI(1, 1.0, 0.5)).double()
    torch.nn.init.ones_(output.connection.weight)
    return output(single).weighted(3.0)[:, 0]


def silent_network(smoothing):
    generator = torch.Generator().manual_seed(0)
    hidden = sal.Layer(
        sal.Linear(6, 20, delay="synaptic", max_delay=1.0, generator=generator),
        sal.LIF(20, 2.0, 1.0, threshold=1.0, train=("threshold",)),
        smoothing=smoothing,
    )
    model = sal.Sequential(hidden, sal.Layer(sal.Linear(20, 2, generator=generator), sal.LI(2, 2.0, 1.0)))
    with torch.no_grad():
        hidden.connection.weight.copy_(0.3 + 0.3 * torch.rand(20, 6, generator=generator))
    events = [[(float(t), i) for i, t in enumerate(torch.rand(6, generator=generator))] for _ in range(16)]
    return model, sal.Spikes.from_lists(events, 6, 8.0)


def test_a_silent_network_learns_from_its_first_step():
    labels = torch.arange(16) % 2
    for smoothing, learns in ((0.0, False), (0.15, True)):
        model, spikes = silent_network(smoothing)
        optimizer, losses = torch.optim.Adam(model.parameters(), lr=0.03), []
        for step in range(60):
            hidden, readout = model.run(spikes)
            assert hidden.spikes.times.numel() == 0 or step > 0
            loss = torch.nn.functional.cross_entropy(readout.integral(), labels)
            optimizer.zero_grad()
            loss.backward()
            gradients = [p.grad for name, p in model.named_parameters() if name.startswith("layers.0.")]
            if step == 0:
                assert all((g is not None and bool(g.any())) == learns for g in gradients)
            optimizer.step()
            losses.append(loss.item())
        assert (min(losses) < 0.95 * losses[0]) == learns  # spikes come and go: its last value hangs on last bits
        assert (model[0](spikes).times.numel() > 0) == learns


def test_spikes_are_the_same_bit_for_bit():
    model, spikes = silent_network(0.2)
    with torch.no_grad():
        model[0].connection.weight.mul_(2.0)
    smoothed = model[0](spikes)
    model[0].smoothing = 0.0
    exact = model[0](spikes)
    assert smoothed.ghosts.times.numel() > 10 and exact.ghosts is None and exact.times.numel() > 10
    for name in ("times", "units", "offsets"):
        assert torch.equal(getattr(smoothed, name), getattr(exact, name))
    model[0].smoothing = 0.2
    with torch.no_grad():
        assert model[0](spikes).ghosts is None


def summits(V, lowest):
    """Where V, on a grid, has the highest inner maximum of every stretch in which it is above `lowest`."""
    near = torch.cat([torch.tensor([False]), lowest < V, torch.tensor([False])])
    edges = near.diff().nonzero()[:, 0].reshape(-1, 2).tolist()
    tops = [begin + int(V[begin:end].argmax()) for begin, end in edges]
    return [k for k in tops if 0 < k < len(V) - 1]


@pytest.mark.parametrize("delay", [None, "synaptic"])
def test_a_ghost_is_the_highest_maximum_of_a_visit(delay):
    """Of V - theta that comes near to 0 and leaves again: as found on a fine grid, at arrivals and between them."""
    generator = torch.Generator().manual_seed(4)
    options = {} if delay is None else {"delay": delay, "max_delay": 2.0, "generator": generator}
    weight = 1.0 + 3.0 * torch.randn(6, 4, generator=generator).double()
    times = 40.0 * torch.rand(160, generator=generator)
    connection = sal.Linear(4, 6, **options).double()
    with torch.no_grad():
        connection.weight.copy_(weight)
        delays = connection.dense()[1].expand(6, 4)
    events = [(float(t), k % 4) for k, t in enumerate(times)]
    grid = torch.linspace(0.0, 50.0, 500_001, dtype=torch.float64)
    V = torch.zeros(6, grid.numel(), dtype=torch.float64)
    for t, unit in events:
        s = (grid - t - delays[:, unit, None]).clamp(min=0.0)
        V += weight[:, unit, None] * (torch.exp(-s / 2.0) - torch.exp(-s))
    threshold = 1.02 * V.max(1).values  # no spikes
    layer = sal.Layer(connection, sal.LIF(6, 2.0, 1.0, threshold=threshold.tolist()), smoothing=0.25)
    result = layer.run(sal.Spikes.from_lists([events], 4, 50.0))
    assert result.spikes.times.numel() == 0
    found, several = result.spikes.ghosts.to_lists()[0], 0
    for n in range(6):
        expected = [float(grid[k]) for k in summits(V[n], 0.25 * threshold[n])]
        assert [t for t, unit in found if unit == n] == pytest.approx(expected, abs=2e-4)
        several += len(expected)
    assert several > 15


@pytest.mark.parametrize("jump", [0.0, 0.2, -0.02])
@pytest.mark.parametrize("drift", [0.0, 0.02])
@pytest.mark.parametrize("smoothing", [0.05, 0.2, 0.5])
def test_chunks_wait_for_a_higher_maximum(smoothing, drift, jump):
    """Many arrivals near the threshold, event by event in chunks and neuron by neuron in bins: the same ghosts."""
    generator = torch.Generator().manual_seed(5)
    weight = drift + 0.15 * torch.randn(20, 30, generator=generator).double()
    times = 60.0 * torch.rand(4, 2000, generator=generator, dtype=torch.float64)
    spikes = sal.Spikes.from_lists([[(float(t), k % 30) for k, t in enumerate(row)] for row in times], 30, 60.0)
    found = []
    for delay in ({}, {"delay": "synaptic", "max_delay": 1.0}):
        connection = sal.Linear(30, 20, **delay).double()
        with torch.no_grad():
            connection.weight.copy_(weight)
        if delay:
            connection.set_delays(0.0)
        layer = sal.Layer(connection, sal.LIF(20, 2.0, 1.0, jump=jump, tau_adapt=9.0), smoothing=smoothing)
        assert layer.plan(spikes).startswith("in bins:" if delay else "event-major:")
        found.append(layer(spikes))
    for ours, theirs in zip((found[0], found[0].ghosts), (found[1], found[1].ghosts), strict=True):
        assert ours.times.numel() > 40
        torch.testing.assert_close(ours.times, theirs.times, rtol=0.0, atol=1e-9)
        assert torch.equal(ours.units, theirs.units)


@pytest.mark.parametrize("delay", [None, "synaptic"])
def test_a_visit_that_the_end_of_the_sample_cuts_short(delay):
    """Its highest maximum is a ghost if V was higher there than at the end: else the next spike would come then."""
    options = {} if delay is None else {"delay": delay, "max_delay": 1.0}
    layer = sal.Layer(sal.Linear(2, 2, **options), sal.LIF(2, 2.0, 1.0, threshold=1.0), smoothing=0.3).double()
    with torch.no_grad():  # a maximum at 1.4, of 0.9; then V of the first neuron rises above it, that of the second not
        layer.connection.weight.copy_(torch.tensor([[3.6, 1.8], [3.6, 0.5]]))
    if delay is not None:
        layer.connection.set_delays(0.0)
    result = layer(sal.Spikes.from_lists([[(0.0, 0), (2.4, 1)]], 2, 3.0))
    assert result.times.numel() == 0
    assert [unit for _, unit in result.ghosts.to_lists()[0]] == [1]


@pytest.mark.parametrize("delay", [None, "synaptic"])
def test_a_fall_from_the_reset_is_no_ghost(delay):
    """V falls from v_reset, close to theta, after it was held there; arrivals make it fall faster: no maximum."""
    options = {} if delay is None else {"delay": delay, "max_delay": 1.0}
    neuron = sal.LIF(2, 2.0, 1.0, threshold=1.0, v_reset=0.9, jump=0.1, tau_adapt=5.0, refractory=0.1)
    layer = sal.Layer(sal.Linear(3, 2, **options), neuron, smoothing=0.2).double()
    with torch.no_grad():
        layer.connection.weight.copy_(torch.tensor([[4.1, -4.0, -0.02], [4.1, -4.0, -0.03]]))
        if delay is not None:
            layer.connection.set_delays(1e-9)
    quiet = sal.Spikes.from_lists([[(0.5, 0)]], 3, 9.0)
    last = layer(quiet).detach()
    assert last.counts().min() >= 1
    stop = float(last.times.max())
    events = [(0.5, 0), (stop + 0.01, 1), *((stop + 0.1 + 0.01 * k, 2) for k in range(1, 30))]
    result = layer.run(sal.Spikes.from_lists([events], 3, 30.0))
    assert torch.equal(result.spikes.counts(), last.counts())
    assert result.spikes.ghosts.times.numel() == 0


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("delay", [None, "synaptic"])
def test_ghosts_do_not_count_as_spikes(delay, recurrent):
    """Neither in counts, nor in the budget, in either order of work."""
    N = 1 if delay is None else 2
    options = {} if delay is None else {"delay": delay, "max_delay": 0.1}
    back = sal.Linear(N, N, **options) if recurrent else None
    layer = sal.Layer(sal.Linear(N, N, **options), sal.LIF(N, 2.0, 1.0), back, max_spikes=1, smoothing=0.3)
    with torch.no_grad():
        layer.connection.weight.fill_(3.6)
        if recurrent:
            layer.recurrent.weight.zero_()
    for misses in (1, 5):  # before the spike, and perhaps one after it
        times = [10.0 * k for k in range(misses)] + [50.0, 52.0]
        result = layer.run(sal.Spikes.from_lists([[(t, 0) for t in times]], N, 70.0))
        assert result.spikes.counts().tolist() == [[1] * N] and result.spikes.ghosts.counts().min() >= misses
        assert result.slopes.numel() == N


def test_spikes_that_come_back_at_once_take_no_ghost_away():
    """A neuron that inhibits itself without delay spikes where it would if it heard of it a little later."""
    generator, found = torch.Generator().manual_seed(2), []
    events = [[(float(t), k % 5) for k, t in enumerate(30.0 * torch.rand(60, generator=generator))] for _ in range(8)]
    spikes = sal.Spikes.from_lists(events, 5, 40.0)
    connection = sal.Linear(5, 5, generator=generator).double()
    for delay in (None, 1e-6):
        back = sal.Linear(5, 5, **({} if delay is None else {"delay": "synaptic", "max_delay": 1.0})).double()
        with torch.no_grad():
            connection.weight.copy_(torch.linspace(1.0, 4.0, 25).reshape(5, 5)), back.weight.copy_(-3.0 * torch.eye(5))
            if delay is not None:
                back.set_delays(delay)
        layer = sal.Layer(connection, sal.LIF(5, 2.0, 1.0).double(), back, smoothing=0.2)
        found.append(layer(spikes).ghosts.counts())
    assert torch.equal(*found) and found[0].sum() > 15


@pytest.mark.parametrize(
    "kind", ["Linear", "delays", "Parallel", "SumPool2d", "Sparse", "drop", "cat", "sample", "beside"]
)
def test_ghosts_go_wherever_spikes_go(kind):
    generator = torch.Generator().manual_seed(1)
    spikes = sal.Spikes.from_lists([[(0.5, 0), (1.0, 3)], [], [(2.0, 1), (2.5, 2)]], 4, 8.0)
    neuron, change = sal.LI(2, 2.0, 1.0), lambda batch: batch
    connection = sal.Linear(4, 2, generator=generator)
    if kind == "delays":
        connection = sal.Linear(4, 2, delay="synaptic", max_delay=1.0, generator=generator)
    elif kind == "Parallel":
        connection = sal.Parallel(*(sal.Linear(4, 2, generator=generator) for _ in range(2)))
    elif kind == "Sparse":
        connection = sal.Sparse.random(4, 2, 2, generator)
    elif kind == "SumPool2d":
        change, connection = sal.SumPool2d((1, 2, 2), (1, 2)), sal.Linear(2, 2, generator=generator)
    elif kind == "drop":
        change = lambda batch: drop(batch, 0.5, torch.Generator().manual_seed(3))  # noqa: E731
    elif kind == "cat":
        change = lambda batch: sal.Spikes.cat([batch, batch, spikes])  # noqa: E731
    elif kind == "sample":
        change = lambda batch: batch.sample(-1)  # noqa: E731
    elif kind == "beside":
        change, connection = (lambda batch: batch.beside(spikes)), sal.Linear(8, 2, generator=generator)
    layer = sal.Layer(connection, neuron).double()
    times = spikes.times.clone().requires_grad_()
    silent = sal.Spikes.silent(3, 4, 8.0)
    ghosts = sal.Spikes(times, spikes.units, spikes.offsets, 4, 8.0)
    seen = change(silent.haunted(ghosts))
    layer(seen).integral().sum().backward()
    # linear in the strengths: what all ghosts together would add as spikes is the sum of their gradients
    with torch.no_grad():
        whole = layer(change(ghosts)).integral().sum() - layer(change(silent)).integral().sum()
    if kind == "drop":
        torch.manual_seed(0)
        kept = seen.ghosts.times.numel()
        assert int((times.grad != 0).sum()) == kept
    else:
        assert times.grad.sum().item() == pytest.approx(whole.item(), rel=1e-12)
        assert (times.grad != 0).sum() >= 1


def test_what_is_refused():
    with pytest.raises(ValueError, match="smoothing is for LIF neurons, not LI"):
        sal.Layer(sal.Linear(2, 2), sal.LI(2, 2.0, 1.0), smoothing=0.1)
    with pytest.raises(ValueError, match="smoothing"):
        sal.Layer(sal.Linear(2, 2), sal.LIF(2, 2.0, 1.0), smoothing=-0.1)
    model, spikes = silent_network(0.2)
    with pytest.raises(ValueError, match="peak and smoothing do not go together"):
        model[0].run(spikes, peak=True)
    qif = sal.Layer(sal.Linear(20, 2), sal.QIF(2, tau_mem=1.0))
    with pytest.raises(ValueError, match="can not go on through QIF"):
        qif(model[0](spikes))

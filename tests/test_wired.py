"""Sparse and Conv2d: against Linear and torch.nn.functional.conv2d, and central differences."""

import itertools
import math

import pytest
import torch
from problems import compare_layer, random_layer, random_spikes, spike_loss, trained

import saltation as sal

CONVOLUTIONS = [
    {"kernel_size": 3},
    {"kernel_size": (2, 3), "stride": 2},
    {"kernel_size": 3, "stride": (1, 2), "padding": 1, "groups": 2},
    {"kernel_size": 5, "padding": (2, 0)},
]


def randomised(connection, generator):
    connection = connection.double()
    with torch.no_grad():
        connection.weight.copy_(torch.randn(connection.weight.shape, generator=generator) * 1.2 + 1.6)
        if connection.delay is not None:
            raw = connection.raw_delay
            raw.copy_(torch.rand(raw.shape, generator=generator) * 0.8 + 0.1)
    return connection


def as_linear(connection):
    """The same connection, all-to-all with zeros."""
    weight, delay = connection.dense()
    linear = sal.Linear(connection.in_size, connection.out_size, delay="synaptic", max_delay=2.0).double()
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.set_delays(delay.expand(weight.shape).detach())
    return linear


def sparse(delay, generator):
    options = {"delay": delay, "max_delay": 1.5, "min_delay": 0.1} if delay else {}
    return randomised(sal.Sparse.random(6, 5, fan_in=3, generator=generator, **options), generator)


def convolution(options, delay, generator):
    if delay:
        options = {**options, "delay": delay, "max_delay": 1.5, "min_delay": 0.1}
    return randomised(sal.Conv2d((2, 6, 5), out_channels=4, **options), generator)


def neurons_of(connection, generator, refractory=0.0):
    return random_layer(generator, 2, connection.out_size, refractory=refractory).neuron


CONNECTIONS = [
    *(lambda g, d=delay: sparse(d, g) for delay in (None, "axonal", "dendritic", "synaptic")),
    *(
        lambda g, o=options, d=delay: convolution(o, d, g)
        for options, delay in itertools.product(CONVOLUTIONS, (None, "kernel", "channel"))
    ),
]


@pytest.mark.parametrize("refractory", [0.0, 0.4, math.inf])
@pytest.mark.parametrize("which", range(len(CONNECTIONS)))
def test_equals_linear(which, refractory):
    generator = torch.Generator().manual_seed(which)
    connection = CONNECTIONS[which](generator)
    linear, neuron = as_linear(connection), neurons_of(connection, generator, refractory)
    spikes = random_spikes(generator, units=connection.in_size, events=5 * connection.in_size // 3)
    times = spikes.times.clone().requires_grad_()
    coefficients = torch.randn(100_000, generator=generator, dtype=torch.float64)
    results = []
    for used in (connection, linear):
        result = sal.Layer(used, neuron).run(spikes.with_times(times), peak=True)
        peaks = result.peak.flatten()
        loss = spike_loss(result.spikes, coefficients) + peaks @ coefficients[: peaks.numel()]
        parameters = [p for p in neuron.parameters() if p.requires_grad]
        dense = used.dense()
        results.append((result, torch.autograd.grad(loss, [times, used.weight, *parameters]), dense))
    ours, theirs = results
    assert ours[0].spikes.times.numel() >= 8
    assert torch.equal(ours[0].spikes.units, theirs[0].spikes.units)
    torch.testing.assert_close(ours[0].spikes.times, theirs[0].spikes.times, rtol=0, atol=1e-11)
    torch.testing.assert_close(ours[0].peak, theirs[0].peak, rtol=0, atol=1e-11)
    # a shared weight has the sum of the gradients of all its places
    weight = torch.autograd.grad(connection.dense()[0], connection.weight, theirs[1][1])[0]
    expected = (theirs[1][0], weight, *theirs[1][2:])
    for left, right in zip(ours[1], expected, strict=True):
        scale = right.abs().max() + 1e-3
        torch.testing.assert_close(left / scale, right / scale, rtol=0, atol=1e-9)


@pytest.mark.parametrize("which", range(len(CONNECTIONS)))
def test_every_parameter(which):
    for seed in range(100):
        generator = torch.Generator().manual_seed(1000 * which + seed)
        connection = CONNECTIONS[which](generator)
        layer = sal.Layer(connection, neurons_of(connection, generator, math.inf))
        spikes = random_spikes(generator, samples=2, units=connection.in_size, events=connection.in_size)
        result = layer.run(spikes)
        if result.spikes.times.numel() >= 3 and result.slopes.min() > 0.2:
            break
    coefficients = torch.randn(5000, generator=generator, dtype=torch.float64)
    names = {"0.connection.weight", *(["0.connection.raw_delay"] if connection.delay else [])}
    parameters = {name: p for name, p in trained(layer).items() if name in names}
    assert parameters.keys() == names
    compare_layer(layer, spikes, coefficients, parameters)


@pytest.mark.parametrize("options", CONVOLUTIONS)
def test_convolution_is_that_of_torch(options):
    generator = torch.Generator().manual_seed(0)
    connection = convolution(options, None, generator)
    image = torch.randn(1, 2, 6, 5, generator=generator, dtype=torch.float64)
    rest = {key: value for key, value in options.items() if key != "kernel_size"}
    expected = torch.nn.functional.conv2d(image, connection.weight, **rest)
    assert connection.out_shape == expected.shape[1:]
    torch.testing.assert_close(connection.dense()[0] @ image.flatten(), expected.flatten())


def test_masks():
    mask = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]])
    for form in (mask, mask.to_sparse_csr(), mask.to_sparse(), mask.bool()):
        connection = sal.Sparse.from_mask(form, delay="synaptic", max_delay=1.0)
        assert connection.source.tolist() == [0, 2, 1] and connection.target.tolist() == [0, 0, 1]
        assert torch.equal(connection.dense()[0] != 0, mask != 0)


def test_readouts_and_recurrence_take_any_connection():
    generator = torch.Generator().manual_seed(0)
    connection = sparse("synaptic", generator)
    spikes = random_spikes(generator, units=6, events=20)
    readout, same = (sal.Layer(c, sal.LI(5, tau_mem=2.0, tau_syn=1.0)) for c in (connection, as_linear(connection)))
    torch.testing.assert_close(readout(spikes).maximum(), same(spikes).maximum())
    recurrent = randomised(sal.Sparse.random(5, 5, fan_in=2, generator=generator), generator)
    with torch.no_grad():
        recurrent.weight.mul_(0.2)
    neuron = neurons_of(connection, generator)
    ours = sal.Layer(connection, neuron, recurrent=recurrent)(spikes)
    theirs = sal.Layer(as_linear(connection), neuron, recurrent=as_linear(recurrent))(spikes)
    assert ours.times.numel() > 20
    torch.testing.assert_close(ours.times, theirs.times, rtol=0, atol=1e-11)


@pytest.mark.parametrize("delay", ["axonal", "dendritic", "synaptic"])
def test_no_synapse_at_all(delay):
    nothing = torch.empty(0, dtype=torch.int64)
    connection = sal.Sparse(4, 3, nothing, nothing, delay=delay, max_delay=1.0).double()
    assert not connection.dense()[0].any() and not connection.dense()[1].any()
    spikes = random_spikes(torch.Generator().manual_seed(0))
    assert not sal.Layer(connection, sal.LI(3, tau_mem=1.0, tau_syn=2.0))(spikes).maximum().any()
    both = sal.Beside(sal.Linear(4, 3, generator=torch.Generator().manual_seed(1)).double(), connection)
    neuron = sal.LIF(3, tau_mem=1.0, tau_syn=2.0, threshold=0.1)
    twice = spikes.beside(spikes)
    # arrivals of weight 0 divide time into other intervals, whose ends are rounded elsewhere
    found, expected = sal.Layer(both, neuron)(twice), sal.Layer(both.connections[0], neuron)(spikes)
    assert torch.equal(found.units, expected.units) and torch.equal(found.offsets, expected.offsets)
    torch.testing.assert_close(found.times, expected.times, rtol=1e-12, atol=0.0)


def test_remedies_and_starts_work_for_all():
    generator = torch.Generator().manual_seed(0)
    for make in (CONNECTIONS[3], CONNECTIONS[5]):
        connection = make(generator)
        layer = sal.Layer(connection, sal.LIF(connection.out_size, tau_mem=2.0, tau_syn=1.0))
        spikes = random_spikes(generator, units=connection.in_size, events=60)
        sal.init.drive_(layer, spikes, generator)
        sal.init.uniform_delays_(connection, 0.2, 0.5, generator)
        assert bool(((connection.delays() >= 0.2) & (connection.delays() <= 0.5)).all())
        assert layer(spikes).times.numel() > 0
        silent = spikes.with_times(spikes.times)
        torch.nn.init.zeros_(connection.weight)
        assert sal.regularizers.bump_silent_(layer, layer(silent), 0.5, 0.25) == connection.out_size
        assert torch.equal(connection.weight, torch.full_like(connection.weight, 0.25))
        t, j = layer(spikes).to_lists()[0][0] if layer(spikes).times.numel() else (1.0, 0)
        V, theta = layer.trace(spikes, 0, j, [t])
        assert V.shape == theta.shape == (1,)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: sal.Sparse(3, 2, torch.tensor([0, 0]), torch.tensor([1, 1])), ValueError, "two synapses from input 0"),
        (lambda: sal.Sparse(3, 2, torch.tensor([3]), torch.tensor([1])), ValueError, "source 3: must be from 0 to 2"),
        (lambda: sal.Sparse(3, 2, torch.tensor([0]), torch.tensor([-1])), ValueError, "target -1: must be from 0 to 1"),
        (lambda: sal.Sparse(3, 2, torch.tensor([0.0]), torch.tensor([1])), TypeError, "source has shape"),
        (lambda: sal.Sparse(3, 2, torch.tensor([0, 1]), torch.tensor([1])), ValueError, "2 sources but 1 targets"),
        (lambda: sal.Sparse(3, 2, torch.tensor([0]), torch.tensor([1]), delay="kernel"), ValueError, "one of"),
        (lambda: sal.Sparse.random(3, 2, 4, torch.Generator()), ValueError, "there are only 3 inputs"),
        (lambda: sal.Conv2d((4, 4), 2, 3), ValueError, "channels, height, width"),
        (lambda: sal.Conv2d((1, 4, 4), 2, 5), ValueError, "larger than the padded input"),
        (lambda: sal.Conv2d((3, 4, 4), 2, 3, groups=2), ValueError, "must divide the 3 input"),
        (lambda: sal.Conv2d((1, 4, 4), 2, 3, stride=0), ValueError, "stride = 0"),
        (lambda: sal.Conv2d((1, 4, 4), 2, (3, 3, 3)), ValueError, "kernel_size"),
        (lambda: sal.Conv2d((1, 4, 4), 2, 3, delay="synaptic", max_delay=1.0), ValueError, "must be one of"),
        (lambda: sal.Conv2d((1, 4, 4), 2, 3, delay="kernel"), ValueError, "needs max_delay"),
    ],
)
def test_bad_connections(make, error, message):
    with pytest.raises(error, match=message):
        make()


def side_by_side(kind, generator):
    linear = {
        "none": lambda: sal.Linear(3, 5),
        "axonal": lambda: sal.Linear(3, 5, delay="axonal", max_delay=1.5),
        "dendritic": lambda: sal.Linear(3, 5, delay="dendritic", max_delay=1.5),
        "wired": lambda: sal.Sparse.random(3, 5, 2, generator, delay="synaptic", max_delay=1.5),
    }
    return sal.Beside(randomised(sal.Linear(4, 5), generator), randomised(linear[kind](), generator))


@pytest.mark.parametrize("kind", ["none", "axonal", "dendritic", "wired"])
def test_connections_side_by_side_equal_linear(kind):
    generator = torch.Generator().manual_seed(0)
    both = side_by_side(kind, generator)
    first, second = (random_spikes(generator, units=units, events=12) for units in (4, 3))
    spikes = first.beside(second)
    assert (
        spikes.num_units == 7 and spikes.counts().tolist() == torch.cat([first.counts(), second.counts()], 1).tolist()
    )
    neuron = neurons_of(both, generator)
    ours, theirs = (sal.Layer(connection, neuron)(spikes) for connection in (both, as_linear(both)))
    assert ours.times.numel() > 20
    torch.testing.assert_close(ours.times, theirs.times, rtol=0, atol=1e-11)
    coefficients = torch.randn(5000, generator=generator, dtype=torch.float64)
    layer = sal.Layer(both, neuron)
    parameters = {name: p for name, p in trained(layer).items() if "connection" in name}
    assert len(parameters) == (2 if kind == "none" else 3)
    compare_layer(layer, spikes, coefficients, parameters)


def test_skip_connections_carry_gradients():
    generator = torch.Generator().manual_seed(1)
    spikes = random_spikes(generator, events=12)
    hidden = random_layer(generator, 4, 5)
    both = side_by_side("axonal", generator)
    output = sal.Layer(sal.Beside(both.connections[0], sal.Linear(5, 5).double()), neurons_of(both, generator))
    times = output(spikes.beside(hidden(spikes))).times
    assert all(bool(grad.any()) for grad in torch.autograd.grad(times.sum(), list(hidden.connection.parameters())))


def test_starts_of_connections_side_by_side():
    generator = torch.Generator().manual_seed(2)
    both = side_by_side("axonal", generator)
    layer = sal.Layer(both, sal.LIF(5, tau_mem=2.0, tau_syn=1.0))
    spikes = random_spikes(generator, units=7, events=40)
    sal.init.uniform_delays_(layer, 0.2, 0.3, generator)
    sal.init.drive_(layer, spikes, generator)
    assert bool((both.connections[1].delays() >= 0.2).all()) and not both.connections[0].delays().any()
    assert layer(spikes).times.numel() > 0
    torch.nn.init.zeros_(both.connections[0].weight)
    assert sal.regularizers.bump_silent_(layer, layer(spikes.sample(2)), 0.5, 0.25) == 5
    assert both.connections[0].weight.unique().tolist() == [0.25]


@pytest.mark.parametrize("quadratic", [False, True])
@pytest.mark.parametrize("kind", ["axonal", "synaptic", "wired"])
def test_parallel_connections_equal_two_that_get_the_same_spikes(kind, quadratic):
    generator = torch.Generator().manual_seed(3)
    parts = [
        sal.Sparse.random(4, 5, 2, generator, delay="synaptic", max_delay=1.5)
        if kind == "wired"
        else sal.Linear(4, 5, delay=kind, max_delay=1.5)
        for _ in range(2)
    ]
    parts = [randomised(part, generator) for part in parts]
    spikes = random_spikes(generator, units=4, events=12)
    neuron = sal.QIF(5, tau_mem=2.0) if quadratic else random_layer(generator, 2, 5).neuron
    parallel = sal.Layer(sal.Parallel(*parts), neuron)
    assert parallel.in_size == 4
    outcomes = []
    for layer, copies in ((parallel, 1), (sal.Layer(sal.Beside(*parts), neuron), 2)):
        leaves = [
            sal.Spikes(spikes.times.clone().requires_grad_(), spikes.units, spikes.offsets, 4, spikes.duration)
            for _ in range(copies)
        ]
        output = layer(leaves[0] if copies == 1 else leaves[0].beside(leaves[1]))
        coefficients = torch.linspace(-1.0, 1.0, output.times.numel(), dtype=torch.float64)
        wanted = [*(p for part in parts for p in part.parameters()), *(leaf.times for leaf in leaves)]
        gradients = torch.autograd.grad((output.times * coefficients).sum(), wanted)
        of_times = sum(gradients[-copies:])
        outcomes.append((output.times, output.units, of_times, *gradients[:-copies]))
    assert outcomes[0][0].numel() > 5 and all(bool(gradient.any()) for gradient in outcomes[0][2:])
    for ours, theirs in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


def test_parallel_connections_are_traced_with_all_their_parts():
    parts = [sal.Linear(1, 1, delay="axonal", max_delay=2.0) for _ in range(2)]
    for part, delay in zip(parts, (0.5, 1.5), strict=True):
        part.set_delays(delay)
        torch.nn.init.constant_(part.weight, 1.0)
    layer = sal.Layer(sal.Parallel(*parts), sal.LIF(1, tau_mem=2.0, tau_syn=1.0))
    spikes = sal.Spikes.from_lists([[(0.0, 0)]], num_units=1, duration=5.0)
    V, _ = layer.trace(spikes, 0, 0, [0.4, 1.0, 2.5])
    response = [sum(math.exp(-s / 2) - math.exp(-s) for s in (t - 0.5, t - 1.5) if s > 0) for t in (0.4, 1.0, 2.5)]
    assert V.tolist() == pytest.approx(response, abs=1e-12)


@pytest.mark.parametrize("wired", [False, True])
def test_three_connections_side_by_side(wired):
    """Each part reads its own inputs: weights (out, in) are those of the parts, one after the other."""
    generator = torch.Generator().manual_seed(0)
    sizes = (2, 3, 4)
    parts = [sal.Linear(size, 3, generator=generator) for size in sizes]
    if wired:
        parts[0] = sal.Sparse.from_mask(torch.ones(3, 2), generator=generator)
    beside = sal.Beside(*parts)
    expected = torch.cat([part.dense()[0] for part in parts], 1)
    assert torch.equal(beside.dense()[0], expected)
    spikes = random_spikes(generator, units=9, events=30)
    plain = sal.Linear(9, 3)
    with torch.no_grad():
        plain.weight.copy_(expected)
    found, wanted = (sal.Layer(c, sal.LIF(3, 2.0, 1.0, threshold=0.2))(spikes) for c in (beside, plain))
    assert wanted.times.numel() > 10 and torch.equal(found.units, wanted.units)
    torch.testing.assert_close(found.times, wanted.times, rtol=1e-6, atol=1e-6)


def test_remedies_reach_all_parts():
    beside = sal.Beside(sal.Linear(2, 3), sal.Linear(4, 3))
    before = [part.weight.detach().clone() for part in beside.parts()]
    silent = sal.Spikes.from_lists([[(0.1, 0), (0.2, 2)]], 3, 1.0)  # neuron 1 is silent
    layer = sal.Layer(beside, sal.LIF(3, 2.0, 1.0))
    assert sal.regularizers.bump_silent_(layer, silent, 0.5, 0.25) == 1
    for part, old in zip(beside.parts(), before, strict=True):
        expected = torch.zeros_like(old)
        expected[1] = 0.25
        torch.testing.assert_close(part.weight.detach() - old, expected)
    # a channel of a convolution is bumped where all its places are silent
    convolution = sal.Conv2d((1, 1, 3), 2, (1, 2))
    old = convolution.weight.detach().clone()
    one = sal.Spikes.from_lists([[(0.1, 0)]], 4, 1.0)  # channel 0 fires at one of its two places
    assert sal.regularizers.bump_silent_(sal.Layer(convolution, sal.LIF(2, 2.0, 1.0)), one, 0.5, 0.25) == 3
    change = convolution.weight.detach() - old
    assert not change[0].any()
    torch.testing.assert_close(change[1], torch.full_like(change[1], 0.25))


def test_pooling():
    pool = sal.SumPool2d((2, 4, 6), (2, 3))
    assert pool.out_shape == (2, 2, 2) and (pool.in_size, pool.out_size) == (48, 8)
    generator = torch.Generator().manual_seed(0)
    spikes = random_spikes(generator, units=48, events=100)
    image = spikes.counts().double().reshape(3, 2, 4, 6)
    expected = 6 * torch.nn.functional.avg_pool2d(image, (2, 3))
    torch.testing.assert_close(pool(spikes).counts().double(), expected.flatten(1))
    network = sal.Sequential(
        sal.Layer(sal.Conv2d((1, 8, 8), 2, 3), sal.LIF(72, tau_mem=2.0, tau_syn=1.0)),
        sal.SumPool2d((2, 6, 6), 3),
        sal.Layer(sal.Linear(8, 3), sal.LI(3, tau_mem=2.0, tau_syn=1.0)),
    )
    torch.nn.init.constant_(network[0].connection.weight, 2.0)
    results = network.run(random_spikes(generator, units=64, events=60), peak=True)
    assert [type(result).__name__ for result in results] == ["Result", "Readout"]
    results[1].integral().sum().backward()
    assert network[0].connection.weight.grad.any()
    network.constrain_()
    with pytest.raises(ValueError, match="layer 1"):
        sal.Sequential(network[0], sal.SumPool2d((2, 3, 3), 3))
    with pytest.raises(ValueError, match="must divide"):
        sal.SumPool2d((2, 6, 6), 4)


def test_bad_neighbours():
    with pytest.raises(ValueError, match="side by side"):
        sal.Beside(sal.Linear(3, 5), sal.Linear(3, 4))
    with pytest.raises(ValueError, match="in parallel"):
        sal.Parallel(sal.Linear(3, 5), sal.Linear(4, 5))
    with pytest.raises(ValueError, match="part of another"):
        sal.Beside(sal.Parallel(sal.Linear(3, 5)), sal.Linear(3, 5))
    with pytest.raises(ValueError, match="feedback"):
        sal.Layer(sal.Linear(3, 5), sal.LIF(5, tau_mem=2.0, tau_syn=1.0), recurrent=sal.Parallel(sal.Linear(5, 5)))
    with pytest.raises(ValueError, match="at least one"):
        sal.Beside()
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="num_samples differs"):
        random_spikes(generator).beside(random_spikes(generator, samples=2))

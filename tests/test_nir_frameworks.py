"""Networks run alike in frameworks that read and write NIR; their packages are for these tests alone."""

import importlib

import numpy as np
import pytest
import torch

import saltation as sal

nir = pytest.importorskip("nir")

DT = 1e-4


def framework(name):
    return pytest.importorskip(name, reason=f"{name} is not installed")


def spikes(units=6, samples=6, events=20, duration=0.03, seed=1):
    """A volley on the grid, at the beginning."""
    generator = torch.Generator().manual_seed(seed)
    step = torch.stack([torch.randperm(75, generator=generator)[:events] for _ in range(samples)])
    unit = torch.randint(0, units, (samples * events,), generator=generator)
    times = step.sort(1).values.flatten().double() * DT
    return sal.Spikes(times, unit, torch.arange(samples + 1) * events, units, duration)


LIF = {"tau_mem": 20e-3, "tau_syn": 10e-3}


def weights_(module, low, high):
    """Uniform."""
    with torch.no_grad():
        module.weight.uniform_(low, high, generator=torch.Generator().manual_seed(module.weight.numel()))
    return module


def network(recurrent=False):
    """Two layers that a volley makes spike several times."""
    hidden = sal.Layer(sal.Linear(6, 8), sal.LIF(8, **LIF), recurrent=sal.Linear(8, 8) if recurrent else None)
    output = sal.Layer(sal.Linear(8, 3), sal.LIF(3, **LIF, threshold=torch.tensor([1.0, 1.25, 1.5])))
    for layer in (hidden, output):
        weights_(layer.connection, 1.0, 2.0)
    if recurrent:
        weights_(hidden.recurrent, -2.0, 1.0)
    return sal.Sequential(hidden, output)


def one_step_per_spike(ours, raster):
    """The k-th spike of a train is at most k steps from theirs, for k up to 3; raster (samples, steps, units).

    A reset at the end of a step takes away what V has gained since it reached the threshold, so that every spike makes
    the next ones later, by half a step if V rises as before.
    """
    compared = 0
    for b, sample in enumerate(ours.to_lists()):
        for n in range(ours.num_units):
            theirs = raster[b, :, n].nonzero().flatten().double()[:3]
            mine = torch.tensor([time for time, unit in sample if unit == n], dtype=torch.float64)[:3]
            assert len(mine) == len(theirs), (b, n)
            apart = ((mine / DT - theirs - 0.5).abs() - 0.5).clamp(min=0.0)
            assert (apart <= torch.arange(1, 1 + len(mine))).all(), (b, n, apart)
            compared += len(mine)
    assert compared >= 18


def by_steps(model, x, stateful=True):
    """The output raster of a model that takes one step at a time."""
    state, out = None, []
    with torch.no_grad():
        for step in x.to_dense(DT, time_first=True):
            result = model(step, state) if stateful else model(step)
            y, state = result if isinstance(result, tuple) else (result, None)
            out.append(y.reshape(len(step), -1))
    return torch.stack(out, 1)


def written(model, convention, tmp_path, **options):
    path = tmp_path / "network.nir"
    nir.write(path, sal.to_nir(model, convention, **options))
    return path


def snntorch(model, x, tmp_path):
    framework("snntorch")
    read = importlib.import_module("snntorch.import_nir")
    return by_steps(read.import_from_nir(nir.read(written(model, "snntorch", tmp_path))), x)


def spikingjelly(model, x, tmp_path):
    framework("spikingjelly")
    read = importlib.import_module("spikingjelly.activation_based.nir_exchange")
    return by_steps(read.import_from_nir(written(model, "spikingjelly", tmp_path)), x)


def norse(model, x, tmp_path):
    read = framework("norse.torch")
    return by_steps(read.from_nir(nir.read(written(model, "norse", tmp_path, dt=DT)), dt=DT), x)


def rockpool(model, x, tmp_path):
    framework("rockpool")
    read = importlib.import_module("rockpool.nn.modules.torch.nir")
    with torch.no_grad():
        return read.from_nir(nir.read(written(model, "rockpool", tmp_path)))(x.to_dense(DT, time_first=False))[0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("run", [snntorch, spikingjelly, norse, rockpool])
def test_they_read_ours(run, recurrent, tmp_path):
    model, x = network(recurrent), spikes()
    raster = run(model, x, tmp_path)
    one_step_per_spike(model(x), raster)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("run", [snntorch, spikingjelly])
def test_they_read_convolutions(run, tmp_path):
    image = weights_(sal.Conv2d((1, 6, 6), 2, 3, stride=1), 2.0, 4.0)
    model = sal.Sequential(
        sal.Layer(image, sal.LIF(2, **LIF)),
        sal.SumPool2d(image.out_shape, 2),
        sal.Layer(weights_(sal.Linear(8, 6), 1.0, 2.0), sal.LIF(6, **LIF)),
    )
    x = spikes(36, samples=1, events=40)  # snnTorch flattens the batch too, so that it must be of one
    one_step_per_spike(model(x), run(model, Image(x), tmp_path))


class Image:
    """Spikes as a raster of images."""

    def __init__(self, x):
        self.x = x

    def to_dense(self, dt, time_first):
        dense = self.x.to_dense(dt, time_first=time_first)
        return dense.reshape(*dense.shape[:2], 1, 6, 6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_ours_reads_snntorch(tmp_path):
    snn = framework("snntorch")
    write = importlib.import_module("snntorch.export_nir")
    linear = [
        weights_(torch.nn.Linear(6, 8, bias=False), 5e-3, 0.01),
        weights_(torch.nn.Linear(8, 3, bias=False), 5e-3, 0.01),
    ]
    decays = [{"alpha": torch.full((n,), 0.99), "beta": torch.full((n,), 0.995)} for n in (8, 3)]
    options = {"reset_mechanism": "zero", "init_hidden": True, "reset_delay": False}
    neurons = [
        snn.Synaptic(**decay, threshold=torch.full((n,), 1.0), **options)
        for decay, n in zip(decays, (8, 3), strict=True)
    ]
    theirs = torch.nn.Sequential(linear[0], neurons[0], linear[1], neurons[1])
    graph = write.export_to_nir(theirs, torch.zeros(1, 6), ignore_dims=[0])
    compare_theirs(graph, "snntorch", theirs, tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_ours_reads_neurons_of_snntorch_without_synapse(tmp_path):
    snn = framework("snntorch")
    write = importlib.import_module("snntorch.export_nir")
    options = {"reset_mechanism": "zero", "init_hidden": True, "reset_delay": False}
    leaky = snn.Leaky(beta=torch.full((8,), 0.98), threshold=torch.full((8,), 1.0), **options)
    theirs = torch.nn.Sequential(weights_(torch.nn.Linear(6, 8, bias=False), 0.3, 0.7), leaky)
    nir.write(tmp_path / "theirs.nir", write.export_to_nir(theirs, torch.zeros(1, 6), ignore_dims=[0]))
    x = spikes()
    ours = sal.from_nir(tmp_path / "theirs.nir", "snntorch", tau_syn=DT / 200)
    one_step_per_spike(ours(x), by_steps(theirs, x, stateful=False))


def compare_theirs(graph, convention, theirs, tmp_path):
    """A graph that a framework wrote, from a file, beside its model that takes steps and keeps its state."""
    nir.write(tmp_path / "theirs.nir", graph)
    x = spikes()
    one_step_per_spike(sal.from_nir(tmp_path / "theirs.nir", convention)(x), by_steps(theirs, x, stateful=False))


def test_ours_reads_spikingjelly(tmp_path):
    framework("spikingjelly")
    base = importlib.import_module("spikingjelly.activation_based")
    write = importlib.import_module("spikingjelly.activation_based.nir_exchange")
    neuron, layer = (importlib.import_module(f"{base.__name__}.{name}") for name in ("neuron", "layer"))
    theirs = torch.nn.Sequential(
        weights_(layer.Linear(6, 8, bias=False), 5e-3, 0.01),
        neuron.CUBALIFNode(c_decay=0.99, v_decay=0.995, v_threshold=1.0),
        weights_(layer.Linear(8, 3, bias=False), 5e-3, 0.01),
        neuron.CUBALIFNode(c_decay=0.99, v_decay=0.995, v_threshold=1.0),
    )
    graph = write.export_to_nir(theirs, torch.zeros(6, 6), dt=DT)
    compare_theirs(graph, "spikingjelly", theirs, tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_ours_reads_rockpool(tmp_path):
    framework("rockpool")
    modules = importlib.import_module("rockpool.nn.modules")
    write = importlib.import_module("rockpool.nn.modules.torch.nir")
    combine = importlib.import_module("rockpool.nn.combinators")
    options = {"tau_mem": 20e-3, "tau_syn": 10e-3, "threshold": 1.0, "dt": DT}
    linear = [modules.LinearTorch(shape, has_bias=False) for shape in ((6, 8), (8, 3))]
    for module in linear:
        weights_(module, 5e-3, 0.01)
    theirs = combine.Sequential(linear[0], modules.LIFTorch(8, **options), linear[1], modules.LIFTorch(3, **options))
    nir.write(tmp_path / "theirs.nir", write.to_nir(theirs))
    x = spikes()
    with torch.no_grad():
        raster = theirs(x.to_dense(DT, time_first=False))[0]
    one_step_per_spike(sal.from_nir(tmp_path / "theirs.nir", "rockpool")(x), raster)


def test_the_braille_network_of_nir():
    """Recurrent, trained with snnTorch for the paper on NIR; Norse brings it along with its own tests."""
    norse = framework("norse")
    path = importlib.import_module("pathlib").Path(norse.__path__[0]) / "torch" / "utils" / "test" / "braille.nir"
    if not path.is_file():
        pytest.skip("this version of Norse has no braille.nir")
    with pytest.raises(ValueError, match=r"node 'fc1' \(Affine\).*it has a bias \(up to 2.7"):
        sal.from_nir(path, "snntorch")
    graph = nir.read(path)
    for node in graph.nodes.values():
        if isinstance(node, nir.Affine):
            node.bias = np.zeros_like(node.bias)
    model = sal.from_nir(graph, "snntorch")
    assert [(layer.in_size, layer.out_size, layer.recurrent is not None) for layer in model] == [
        (12, 38, True),
        (38, 7, False),
    ]
    taus = torch.cat([layer.neuron.columns()[name].reshape(1) for layer in model for name in ("tau_syn", "tau_mem")])
    assert torch.exp(-DT / taus).tolist() == pytest.approx([0.55, 0.9, 0.5, 0.55])
    assert model[1](spikes(38, events=60)).times.numel() > 20

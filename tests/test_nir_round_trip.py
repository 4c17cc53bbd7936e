"""Networks go to a file of NIR and come back with the same spikes."""

import math
import subprocess
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import numpy as np
import pytest
import torch
import torch.nn.utils.prune
from problems import random_spikes

import saltation as sal

nir = pytest.importorskip("nir")

LIF = {"tau_mem": 2.0, "tau_syn": 1.0}
CONVENTIONS = ("nir", "unit", "snntorch", "norse", "rockpool")
DELAYS = (None, "axonal", "dendritic", "synaptic")


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(5)


@pytest.fixture
def spikes(generator):
    return random_spikes(generator, units=4, events=12)


@pytest.fixture
def image(generator):
    return random_spikes(generator, units=72, events=40)


def drawn(connection, generator, mean=1.2, std=0.6):
    """With weights and delays of their own."""
    for part in connection.parts():
        with torch.no_grad():
            part.weight.copy_(mean + std * torch.randn(part.weight.shape, generator=generator))
            if part.delay is not None:
                part.raw_delay.uniform_(0.05, 0.95, generator=generator)
    return connection


def delayed(kind):
    return {} if kind is None else {"delay": kind, "max_delay": 0.7, "min_delay": 0.1}


def through(model, tmp_path, **options):
    """The network that comes back from a file, which `nir.read` reads with all its checks."""
    path = tmp_path / "network.nir"
    nir.write(path, sal.to_nir(model, **options))
    graph = nir.read(path)
    complete(graph)
    return sal.from_nir(path)


def complete(graph):
    """All shapes are there, and the nodes, sorted by name in a file, lie in the order of the edges."""
    order = list(graph.nodes)
    for name, node in graph.nodes.items():
        assert all(shape is not None for shape in (*node.input_type.values(), *node.output_type.values())), name
        if isinstance(node, nir.NIRGraph):
            complete(node)
    if "w_rec" not in order:
        assert all(order.index(source) < order.index(target) for source, target in graph.edges if target != "output")


def same(model, back, spikes, least=10):
    with torch.no_grad():
        ours, theirs = model(spikes), back(spikes)
    assert ours.times.numel() >= least
    assert ours.counts().equal(theirs.counts())
    assert torch.allclose(ours.times, theirs.times, rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("sparse", [False, True])
def test_connections_and_delays(delay, sparse, convention, generator, spikes, tmp_path):
    options = delayed(delay)
    connection = sal.Sparse.random(4, 7, 1, generator, **options) if sparse else sal.Linear(4, 7, **options)
    threshold = 0.4 + 0.2 * torch.rand(7, generator=generator)
    model = sal.Layer(drawn(connection, generator, mean=2.5 if sparse else 1.2), sal.LIF(7, **LIF, threshold=threshold))
    back = through(model, tmp_path, convention=convention, time_unit=1e-3)
    same(model, back, spikes)
    assert type(back[0].connection) is type(connection)
    assert back[0].connection.delay == delay
    if delay is not None:
        assert (back[0].connection.min_delay, back[0].connection.max_delay) == pytest.approx((0.1, 0.7), rel=1e-12)


@pytest.mark.parametrize("convention", ["nir", "snntorch", "rockpool"])
@pytest.mark.parametrize("delay", DELAYS)
def test_recurrence(delay, convention, generator, spikes, tmp_path):
    feedback = drawn(sal.Linear(5, 5, **delayed(delay)), generator, mean=-0.1, std=0.3)
    model = sal.Layer(drawn(sal.Linear(4, 5), generator), sal.LIF(5, **LIF, threshold=0.6), recurrent=feedback)
    same(model, through(model, tmp_path, convention=convention, time_unit=1e-3), spikes)


@pytest.mark.parametrize("convention", ["nir", "snntorch"])
@pytest.mark.parametrize("delay", [None, "kernel", "channel", "axonal"])
@pytest.mark.parametrize("shared", [True, False])
def test_convolution(shared, delay, convention, generator, image, tmp_path):
    options = {} if delay is None else {"delay": delay, "max_delay": 0.7}
    connection = drawn(sal.Conv2d((2, 6, 6), 3, 3, padding=(1, 0), stride=(2, 1), **options), generator)
    size = 3 if shared else connection.out_size
    threshold = 0.4 + 0.2 * torch.rand(size, generator=generator)
    model = sal.Layer(connection, sal.LIF(size, **LIF, threshold=threshold))
    back = through(model, tmp_path, convention=convention, time_unit=1e-3)
    same(model, back, image)
    shared = shared and delay in (None, "channel")
    assert back[0].neuron.size == (3 if shared else connection.out_size)


@pytest.mark.parametrize(
    "geometry", [{"kernel_size": (3, 2)}, {"kernel_size": 3, "groups": 2}, {"kernel_size": 2, "stride": (2, 3)}]
)
def test_convolutions_that_nir_gives_wrong_shapes(geometry, generator, image, tmp_path):
    connection = drawn(sal.Conv2d((2, 6, 6), 4, **geometry), generator)
    model = sal.Layer(connection, sal.LIF(connection.out_size, **LIF, threshold=0.5))
    same(model, through(model, tmp_path), image)


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("kernel", [3, (3, 2)])
def test_feedback_within_places(kernel, delay, generator, image, tmp_path):
    feedback = drawn(sal.Linear(3, 3, **delayed(delay)), generator, mean=-0.2, std=0.2)
    connection = drawn(sal.Conv2d((2, 6, 6), 3, kernel), generator)
    model = sal.Layer(connection, sal.LIF(3, **LIF, threshold=0.5), recurrent=feedback)
    back = through(model, tmp_path)
    same(model, back, image)
    if kernel == 3:
        assert back[0].recurrent.out_size == 3


def test_feedback_between_places(generator, image, tmp_path):
    feedback = drawn(sal.Linear(48, 48), generator, mean=-0.02, std=0.02)
    connection = drawn(sal.Conv2d((2, 6, 6), 3, 3), generator)
    model = sal.Layer(connection, sal.LIF(48, **LIF, threshold=0.5), recurrent=feedback)
    same(model, through(model, tmp_path), image)


def deep(generator):
    """Pools, a convolution, several terminals, connections that skip layers, a reset by subtraction."""
    terminals = (drawn(sal.Linear(12, 6, delay="axonal", max_delay=0.5), generator) for _ in range(2))
    beside = sal.Beside(
        drawn(sal.Linear(6, 4), generator),
        drawn(sal.Sparse.random(72, 4, 9, generator, delay="synaptic", max_delay=0.5), generator),
        drawn(sal.Conv2d((3, 2, 2), 1, 1), generator),
    )
    return sal.Sequential(
        sal.SumPool2d((2, 6, 6), (3, 2)),
        sal.Layer(drawn(sal.Conv2d((2, 2, 3), 3, 2, padding=(0, 0)), generator), sal.LIF(3, **LIF, threshold=0.5)),
        sal.SumPool2d((3, 1, 2), 1),
        sal.Layer(drawn(sal.Linear(6, 12), generator), sal.LIF(12, **LIF, reset="subtract", v_reset=-1.0)),
        sal.Layer(sal.Parallel(*terminals), sal.LIF(6, tau_mem=2.0, tau_syn=torch.rand(6, generator=generator) + 0.5)),
        sal.Layer(beside, sal.LIF(4, **LIF)),
        beside={5: (0, 4)},
    )


def test_many_layers(generator, image, tmp_path):
    model = deep(generator)
    back = through(model, tmp_path)
    same(model, back, image)
    assert back.beside == model.beside
    kinds = [type(module.connection if isinstance(module, sal.Layer) else module).__name__ for module in back]
    assert kinds == ["SumPool2d", "Conv2d", "SumPool2d", "Linear", "Parallel", "Beside"]


def test_parts_of_one_input(generator, spikes, tmp_path):
    parts = drawn(sal.Linear(1, 5, delay="axonal", max_delay=0.5), generator), drawn(sal.Linear(3, 5), generator)
    model = sal.Layer(sal.Beside(*parts), sal.LIF(5, **LIF, threshold=0.5))
    same(model, through(model, tmp_path), spikes)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_readout(convention, generator, spikes, tmp_path):
    model = sal.Layer(drawn(sal.Linear(4, 3), generator), sal.LI(3, tau_mem=2.0, tau_syn=torch.tensor([0.5, 2.0, 3.0])))
    back = through(model, tmp_path, convention=convention, time_unit=1e-3)
    ours, theirs = (network(spikes).at([0.5, 2.0, 9.0]) for network in (model, back))
    assert ours.abs().max() > 0.5
    assert torch.allclose(ours, theirs, rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("convention", ["nir", "unit"])
def test_neurons_without_leak(convention, generator, spikes, tmp_path):
    feedback = drawn(sal.Linear(5, 5), generator, mean=-0.1, std=0.2)
    model = sal.Layer(drawn(sal.Linear(4, 5), generator), sal.IF(5, tau_syn=0.7, v_reset=-0.2), recurrent=feedback)
    back = through(model, tmp_path, convention=convention, time_unit=1e-3)
    same(model, back, spikes)
    assert isinstance(back[0].neuron, sal.IF)


LOST = [
    (sal.LIF, LIF | {"jump": 0.3, "tau_adapt": 3.0}, "an adaptive threshold"),
    (sal.LIF, LIF | {"jump": 0.3, "tau_adapt": 3.0, "reset": "subtract", "refractory": 0.1}, "an adaptive threshold"),
    (sal.LIF, LIF | {"refractory": math.inf}, "a refractory period"),
    (sal.IF, {"tau_syn": 1.0, "refractory": 0.2}, "a refractory period"),
    (sal.QIF, {"tau_mem": 2.0, "pseudo_time": 5.0}, "QIF neurons"),
]


@pytest.mark.parametrize(("neuron", "parameters", "what"), LOST)
def test_what_nir_cannot_say(neuron, parameters, what, generator, spikes, tmp_path):
    model = sal.Layer(
        drawn(sal.Linear(4, 6), generator), neuron(6, **parameters, threshold=torch.linspace(0.4, 0.7, 6))
    )
    with pytest.raises(ValueError, match=f"layer 0: NIR can not express {what}.*lossy=True"):
        sal.to_nir(model)
    for convention in ("nir", "snntorch") if neuron is not sal.IF else ("nir",):
        same(model, through(model, tmp_path, convention=convention, lossy=True, time_unit=1e-3), spikes, least=6)
    graph = sal.to_nir(model, lossy=True)
    (key,) = [name for name, node in graph.nodes.items() if node.metadata.get("saltation", {}).get("model")]
    assert list(graph.nodes[key].metadata) == ["saltation"]
    graph.nodes[key].v_threshold = 2.0 * graph.nodes[key].v_threshold
    with pytest.raises(ValueError, match=f"node '{key}': its v_threshold is no longer the one"):
        sal.from_nir(graph)
    del graph.nodes[key].metadata["saltation"]
    assert not sal.from_nir(graph)[0].neuron.refractory.any()


def test_metadata_names_the_convention(generator):
    model = sal.Layer(sal.Linear(4, 2), sal.LIF(2, **LIF))
    about = sal.to_nir(model, "snntorch", time_unit=1e-3).metadata["saltation"]
    assert about["convention"] == "snntorch" and about["dt"] == 1e-4 and about["time_unit"] == 1e-3
    assert "Euler" in about["discretisation"]
    assert "dt" not in sal.to_nir(model).metadata["saltation"]
    for options, message in (
        ({"convention": "brian"}, "must be one of nir, unit"),
        ({"dt": 1e-3}, "the convention nir is of continuous time"),
        ({"time_unit": 0.0}, "time_unit = 0.0: must be > 0"),
    ):
        with pytest.raises(ValueError, match=message):
            sal.to_nir(model, **options)
    with pytest.raises(ValueError, match="layer 0: v_reset is not 0, which snntorch takes it to be"):
        sal.to_nir(sal.Layer(sal.Linear(4, 2), sal.LIF(2, **LIF, v_reset=-0.5)), "snntorch")
    with pytest.raises(ValueError, match="layer 0: snntorch has no IF neurons"):
        sal.to_nir(sal.Layer(sal.Linear(4, 2), sal.IF(2, tau_syn=1.0)), "snntorch")


def test_parameters_come_back_to_be_trained(generator, tmp_path):
    model = sal.Layer(sal.Linear(4, 3, delay="synaptic", max_delay=0.5), sal.LIF(3, **LIF, train=("tau_mem",)))
    back = through(model, tmp_path)
    assert back[0].connection.weight.dtype == torch.float32
    assert back[0].connection.weight.equal(model.connection.weight)
    assert back[0].connection.raw_delay.dtype == torch.float64
    assert back[0].neuron.tau_syn.numel() == 1
    assert back[0].neuron.train_names == ("threshold",)
    assert sal.from_nir(tmp_path / "network.nir", train=("tau_syn",))[0].neuron.train_names == ("tau_syn",)
    assert sal.from_nir(tmp_path / "network.nir", max_delay=2.0)[0].connection.max_delay == 2.0
    with pytest.raises(ValueError, match="a delay of .* is above max_delay = 1e-05"):
        model.connection.set_delays(0.25)
        sal.from_nir(sal.to_nir(model), max_delay=1e-5)


def test_matrices_that_would_be_too_large():
    model = sal.Layer(sal.Linear(300, 600, delay="synaptic", max_delay=1.0), sal.LIF(600, **LIF))
    with torch.no_grad():
        model.connection.raw_delay.uniform_(0.0, 1.0)
    with pytest.raises(ValueError, match=r"1[78]\d,\d* delays between 300 inputs and 600 neurons.*use axonal"):
        sal.to_nir(model)

    units = torch.arange(20_000)
    wide = sal.Layer(sal.Sparse(20_000, 20_000, units, units), sal.LIF(20_000, **LIF))
    with pytest.raises(ValueError, match="20000 inputs and 20000 neurons: NIR has no sparse matrices"):
        sal.to_nir(wide)


def test_hooks_of_torch_renew_the_weights(spikes):
    model = sal.Layer(sal.Linear(4, 3), sal.LIF(3, **LIF, threshold=0.5))
    torch.nn.init.constant_(model.connection.weight, 2.0)
    torch.nn.utils.prune.random_unstructured(model.connection, "weight", amount=6)
    with torch.no_grad():
        model.connection.weight_orig.mul_(1.5)
    same(model, sal.from_nir(sal.to_nir(model)), spikes)


def test_a_time_step_of_its_own_is_noted(spikes):
    model = sal.Layer(sal.Linear(4, 3), sal.LIF(3, **LIF, threshold=0.5))
    torch.nn.init.constant_(model.connection.weight, 2.0)
    for convention in ("norse", "rockpool"):
        graph = sal.to_nir(model, convention, dt=2e-4, time_unit=1e-3)
        for named in (None, convention):
            same(model, sal.from_nir(graph, named), spikes)


def test_saltation_alone_does_not_import_nir():
    code = "import sys, saltation; sys.exit('nir' in sys.modules or 'h5py' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_message_without_nir(monkeypatch, spikes):
    monkeypatch.setitem(sys.modules, "nir", None)
    for call in (sal.to_nir, sal.from_nir, sal.to_nir_events, sal.from_nir_events):
        with pytest.raises(ImportError, match=r"pip install 'saltation\[nir\]'"):
            call(spikes)
    old = ModuleType("nir")
    old.__version__, old.__spec__ = "1.0.6", ModuleSpec("nir", None)
    monkeypatch.setitem(sys.modules, "nir", old)
    with pytest.raises(ValueError, match=r"version 1.0.6, and must be 1.0.8 or later"):
        sal.to_nir(spikes)


def test_values_are_those_of_the_model():
    model = sal.Layer(sal.Linear(2, 1), sal.LIF(1, tau_mem=20.0, tau_syn=5.0, threshold=0.75, v_reset=-0.1))
    torch.nn.init.constant_(model.connection.weight, 3.0)
    graph = sal.to_nir(model, time_unit=1e-3)
    neuron = graph.nodes["l2_lif_0"]
    assert list(graph.nodes) == ["input", "l1_linear_0", "l2_lif_0", "output"]
    values = {"tau_mem": 20e-3, "tau_syn": 5e-3, "r": 1.0, "v_leak": 0.0, "v_threshold": 0.75, "v_reset": -0.1}
    for name, value in (values | {"w_in": 5e-3}).items():
        assert getattr(neuron, name) == pytest.approx(value, rel=1e-15), name
    assert (graph.nodes["l1_linear_0"].weight == 3.0).all()
    neuron = sal.to_nir(
        sal.Layer(sal.Linear(2, 1), sal.LIF(1, tau_mem=20.0, tau_syn=5.0)), "snntorch", time_unit=1e-3
    ).nodes["l2_lif_0"]
    assert 1 - 1e-4 / neuron.tau_syn == pytest.approx(math.exp(-0.1 / 5.0), rel=1e-12)
    assert neuron.r == pytest.approx(neuron.tau_mem / 1e-4) and neuron.w_in == pytest.approx(neuron.tau_syn / 1e-4)
    assert isinstance(neuron.r, np.ndarray)

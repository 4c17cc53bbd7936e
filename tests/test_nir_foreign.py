"""Graphs that others made: by the letter of NIR, in steps of time, and wrong ones."""

import h5py
import numpy as np
import pytest
import torch

import saltation as sal

nir = pytest.importorskip("nir")

DT = 1e-4


def one(value, size=2):
    return np.full(size, float(value))


def cuba(size=2, **changes):
    values = {"tau_mem": 0.02, "tau_syn": 0.005, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0}
    fields = {name: one(value, size) for name, value in (values | {"w_in": 1.0}).items()}
    return nir.CubaLIF(**(fields | changes))


WEIGHT = np.array([[4.0, 5.0, 0.0], [0.0, 6.0, 3.0]])


def graph(*nodes, shape=(3,), out=(2,), type_check=True):
    """Nodes in a row, called by their position."""
    names = ["input", *(f"n{i}" for i in range(len(nodes))), "output"]
    ends = nir.Input(np.array(shape)), nir.Output(np.array(out))
    made = dict(zip(names, (ends[0], *nodes, ends[1]), strict=True))
    return nir.NIRGraph(made, list(zip(names, names[1:], strict=False)), type_check=type_check)


def spikes(units=3, duration=0.2, events=24, samples=2, seed=3):
    generator = torch.Generator().manual_seed(seed)
    step = torch.randint(0, int(0.8 * duration / DT), (samples, events), generator=generator).sort(1).values
    unit = torch.randint(0, units, (samples * events,), generator=generator)
    return sal.Spikes(step.flatten().double() * DT, unit, torch.arange(samples + 1) * events, units, duration)


def close(one, other, least=6):
    assert one.times.numel() >= least
    assert one.counts().equal(other.counts())
    assert torch.allclose(one.times, other.times, rtol=0.0, atol=1e-9)


def layer(gain=1.0, **parameters):
    made = sal.Layer(sal.Linear(3, 2).double(), sal.LIF(2, **({"tau_mem": 0.02, "tau_syn": 0.005} | parameters)))
    with torch.no_grad():
        made.connection.weight.copy_(gain * torch.from_numpy(WEIGHT))
    return made


def test_the_jump_of_the_current():
    node = cuba(w_in=one(0.004), r=one(2.5))
    x = spikes()
    close(sal.from_nir(graph(nir.Linear(WEIGHT), node))(x), layer(gain=0.004 / 0.005 * 2.5)(x))
    node = cuba(w_in=one(0.4), r=one(2.5))
    close(sal.from_nir(graph(nir.Linear(WEIGHT), node), "unit")(x), layer()(x))


def test_leak_and_single_values():
    values = {"v_leak": -65.0, "v_threshold": -64.0, "v_reset": -65.5}
    node = nir.CubaLIF(
        **{name: one(value, 1) for name, value in (values | {"tau_mem": 0.02, "tau_syn": 0.005, "r": 1.0}).items()}
    )
    x = spikes()
    back = sal.from_nir(graph(nir.Affine(WEIGHT, np.zeros(2)), node, type_check=False), "unit")
    close(back(x), layer(threshold=1.0, v_reset=-0.5)(x))


def test_a_synapse_and_a_membrane():
    x = spikes()
    synapse = nir.LI(one(0.005), one(0.005), one(0.0))
    membrane = nir.LIF(one(0.02), one(1.0), one(0.0), one(1.0), one(0.0))
    close(sal.from_nir(graph(nir.Linear(WEIGHT), synapse, membrane))(x), layer()(x))
    readout = sal.from_nir(graph(nir.Linear(WEIGHT), synapse, nir.LI(one(0.02), one(1.0), one(0.0))))(x)
    wanted = sal.Layer(layer().connection, sal.LI(2, tau_mem=0.02, tau_syn=0.005))(x)
    assert torch.allclose(readout.at([0.05, 0.1]), wanted.at([0.05, 0.1]), atol=1e-12)


def stepped(x, alpha, beta, threshold, subtract=False, decay_first=1.0):
    """Spike steps of I = alpha I + W x, v = beta v + decay_first I, in the order of Norse, snnTorch and the others."""
    raster = x.to_dense(DT, time_first=True).double() @ torch.from_numpy(WEIGHT).T
    current, v, out = torch.zeros(1).double(), torch.zeros(1).double(), []
    for step in raster:
        current = alpha * current + step
        v = beta * v + decay_first * current
        spike = v > threshold
        v = torch.where(spike, v - threshold if subtract else torch.zeros_like(v), v)
        out.append(spike)
    return torch.stack(out, 1)


def in_the_same_step(ours, raster):
    """The first spike of every train. Until then the exact solution is that of the steps at the end of each."""
    theirs = torch.where(raster.any(1), raster.double().argmax(1), -1)
    first = ours.first()
    mine = torch.where(first.isfinite(), (first / DT).floor(), -1.0)
    assert (mine >= 0).sum() >= 12
    assert mine.tolist() == theirs.tolist()


def all_in_the_same_step(ours, raster):
    """Every spike, where V jumps at the beginning of steps alone, so that nothing is lost at a reset."""
    theirs = [[tuple(event) for event in sample.nonzero().tolist()] for sample in raster]
    mine = [[(int(time / DT), unit) for time, unit in sample] for sample in ours.to_lists()]
    assert [sorted(sample) for sample in mine] == theirs
    assert ours.times.numel() > 100


def test_time_steps_of_euler():
    """Short time constants, of which 1 - dt/tau and e^{-dt/tau} differ by much."""
    alpha, beta, threshold = 0.8, 0.95, 20.0
    tau_syn, tau_mem = DT / (1 - alpha), DT / (1 - beta)
    node = cuba(
        tau_syn=one(tau_syn),
        tau_mem=one(tau_mem),
        r=one(tau_mem / DT),
        w_in=one(tau_syn / DT),
        v_threshold=one(threshold),
    )
    network = sal.from_nir(graph(nir.Linear(WEIGHT), node), "snntorch")
    x = spikes(duration=0.05, events=80, samples=8)
    in_the_same_step(network(x), stepped(x, alpha, beta, threshold))
    assert float(network[0].neuron.tau_mem) == pytest.approx(-DT / np.log(beta))


def test_time_steps_of_rockpool():
    tau_syn, tau_mem, threshold = 5e-4, 2e-3, 20.0
    alpha, beta = np.exp(-DT / tau_syn), np.exp(-DT / tau_mem)
    node = cuba(tau_syn=one(tau_syn), tau_mem=one(tau_mem), r=one(tau_mem / DT * beta), v_threshold=one(threshold))
    x = spikes(duration=0.05, events=80, samples=8)
    network = sal.from_nir(graph(nir.Linear(WEIGHT), node), "rockpool")  # dt is found in r
    in_the_same_step(network(x), stepped(x, alpha, beta, threshold, subtract=True, decay_first=alpha))


@pytest.mark.filterwarnings("ignore:the samples are")
def test_neurons_without_synapse():
    """A jump of V at every spike, approximated by short currents; also the reset loses what is above the threshold."""
    beta, threshold = 0.98, 8.37
    node = nir.LIF(one(DT / (1 - beta)), one(1 / (1 - beta)), one(0.0), one(threshold), one(0.0))
    with pytest.raises(ValueError, match="node 'n1': a LIF whose potential jumps at every spike.*tau_syn="):
        sal.from_nir(graph(nir.Linear(WEIGHT), node), "snntorch")
    network = sal.from_nir(graph(nir.Linear(WEIGHT), node), "snntorch", tau_syn=DT / 200)
    x = spikes(duration=0.05, events=80, samples=8)
    all_in_the_same_step(network(x), stepped(x, 0.0, beta, threshold))
    node = nir.IF(one(1 / DT), one(threshold), one(0.0))
    network = sal.from_nir(graph(nir.Linear(WEIGHT), node), "spikingjelly", tau_syn=DT / 200)
    all_in_the_same_step(network(x), stepped(x, 0.0, 1.0, threshold))


def test_chains_of_linear_nodes():
    """Matrices, pools, factors and delays in a row are what they come to."""
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(4, 8)), 9.0 * generator.normal(size=(2, 4))
    chain = (
        nir.AvgPool2d(np.array([2, 1]), np.array([2, 1]), np.array([0, 0])),
        nir.Flatten({"input": np.array([2, 2, 2])}, 0, -1),
        nir.Linear(first),
        nir.Delay(np.array([0.0, 0.001, 0.002, 0.001])),
        nir.Scale(np.array([1.0, 2.0, 3.0, 4.0])),
        nir.Linear(second),
        nir.Delay(np.array([0.0, 0.003])),
    )
    x = spikes(units=16, events=60)
    network = sal.from_nir(graph(*chain, cuba(), shape=(2, 4, 2)), "unit")
    assert len(network[0].connection.parts()) == 3
    pooled = np.kron(np.eye(2), np.kron(np.kron(np.eye(2), [[0.5, 0.5]]), np.eye(2)))
    arrivals = sorted(
        (time + [0.0, 0.001, 0.002, 0.001][k] + [0.0, 0.003][j], j, second[j, k] * (k + 1) * (first @ pooled)[k, unit])
        for time, unit in x.to_lists()[0]
        for k in range(4)
        for j in range(2)
    )
    wanted = sal.Layer(sal.Linear(len(arrivals), 2).double(), sal.LIF(2, tau_mem=0.02, tau_syn=0.005))
    with torch.no_grad():
        wanted.connection.weight.zero_()
        for i, (_, j, weight) in enumerate(arrivals):
            wanted.connection.weight[j, i] = weight
    each = sal.Spikes.from_lists([[(time, i) for i, (time, _, _) in enumerate(arrivals)]], len(arrivals), 0.3)
    short = sal.Spikes(x.sample(0).times, x.sample(0).units, x.sample(0).offsets, 16, 0.3)
    close(network(short), wanted(each))


def recurrent(flat):
    """A population with feedback, in a subgraph or in the graph itself."""
    feedback = nir.Affine(np.array([[0.0, 1.0], [-1.0, 0.5]]), np.zeros(2))
    edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
    inner = {"input": nir.Input(np.array([2])), "lif": cuba(), "w_rec": feedback, "output": nir.Output(np.array([2]))}
    if not flat:
        return graph(nir.Linear(WEIGHT), nir.NIRGraph(inner, edges), cuba())
    nodes = {**inner, "input": nir.Input(np.array([3])), "w": nir.Linear(WEIGHT), "second": cuba()}
    edges = [("input", "w"), ("w", "lif"), *edges[1:3], ("lif", "second"), ("second", "output")]
    return nir.NIRGraph(nodes, edges)


def test_feedback_in_a_subgraph_or_not():
    x = spikes()
    one, other = (sal.from_nir(recurrent(flat), "unit") for flat in (True, False))
    assert one[0].recurrent.weight.tolist() == [[0.0, 1.0], [-1.0, 0.5]]
    assert one[1].connection.dense()[0].tolist() == [[1.0, 0.0], [0.0, 1.0]]  # neurons right after neurons
    close(one(x), other(x), least=0)
    close(one[0](x), other[0](x))


def test_a_layer_that_does_not_listen_to_the_one_before():
    nodes = {"input": nir.Input(np.array([3])), "output": nir.Output(np.array([2]))}
    nodes |= {f"w{i}": nir.Linear(WEIGHT) for i in range(2)} | {f"lif{i}": cuba() for i in range(3)}
    edges = [("input", "w0"), ("input", "w1"), ("w0", "lif0"), ("w1", "lif1"), ("lif0", "lif2"), ("lif1", "lif2")]
    network = sal.from_nir(nir.NIRGraph(nodes, [*edges, ("lif2", "output")]), "unit")
    x = spikes()
    counts = [result.spikes.counts() for result in network.run(x)]
    assert counts[0].equal(counts[1]) and counts[0].sum() > 6


def test_matrices_of_nothing():
    network = sal.from_nir(graph(nir.Linear(np.zeros((2, 3))), nir.Delay(one(0.1)), cuba()))
    assert network(spikes()).times.numel() == 0
    assert isinstance(network[0].connection, sal.Sparse) and network[0].connection.weight.numel() == 0


def wrong(change, type_check=False, **options):
    """A fine graph with a change, and how it is read."""
    made = graph(nir.Linear(WEIGHT), cuba(), type_check=type_check)
    change(made)
    return made


def put(name, node):
    return lambda made: made.nodes.__setitem__(name, node)


def link(*edges):
    return lambda made: made.edges.extend(edges)


def field(node, name, value):
    return lambda made: setattr(made.nodes[node], name, value)


def two_populations(made):
    made.nodes |= {"other": cuba(), "back": nir.Linear(np.eye(2))}
    made.edges += [("n1", "other"), ("other", "back"), ("back", "n1")]
    made.edges[2] = ("other", "output")


def loop(made):
    made.nodes |= {"a": nir.Linear(np.eye(2)), "b": nir.Linear(np.eye(2))}
    made.edges += [("n0", "a"), ("a", "b"), ("b", "a"), ("b", "n1")]


def loose(made):
    made.nodes["other"] = cuba()
    made.edges.append(("n0", "other"))


def potential(made):
    made.nodes["n1"] = nir.CubaLI(one(0.1), one(0.1), one(1.0), one(0.0))
    made.nodes["n2"] = cuba()
    made.edges[2:] = [("n1", "n2"), ("n2", "output")]


def shortcut(made):
    made.nodes["n1"] = nir.Flatten({"input": np.array([2])}, 0, -1)
    made.edges.append(("input", "n1"))


WRONG = [
    (two_populations, "nodes '.*' are a cycle: saltation knows feedback of a population to itself alone"),
    (loop, "node '[ab]' leads back to itself without a neuron on the way"),
    (loose, "the spikes of node 'other' do not lead to the Output"),
    (potential, r"node 'n1' \(CubaLI\) has no spikes: it can lead to the Output alone"),
    (
        put("n0", nir.Threshold(one(1.0))),
        r"node 'n0' \(Threshold\): saltation reads no nodes of this kind, but Affine",
    ),
    (put("other", nir.Linear(np.eye(2))), r"node 'other' \(Linear\) is not reached from the Input"),
    (
        put("n0", nir.Linear(np.eye(2))),
        r"node 'n0' \(Linear\), which gets shape \(3,\) from 'input': its weight \(2, 2\)",
    ),
    (put("n1", cuba(3)), r"node 'n1' \(CubaLIF\), which gets shape \(2,\) from 'n0': its tau_mem has shape \(3,\)"),
    (put("n0", nir.Affine(WEIGHT, one(0.5))), r"node 'n0' \(Affine\).*it has a bias \(up to 0.5\)"),
    (put("n0", nir.Delay(one(0.1, 3))), r"node 'n1' \(CubaLIF\), which gets shape \(3,\) from 'n0'"),
    (put("n0", nir.Linear(np.zeros((2, 2, 3)))), r"node 'n0'.*its weight has shape \(2, 2, 3\): must be \(out, in\)"),
    (put("output", nir.Output(np.array([5]))), r"node 'output' \(Output\) has shape \(5,\), but gets \(2,\)"),
    (put("input", nir.Input(None)), r"node 'input' \(Input\) does not state its shape"),
    (field("n0", "weight", np.full((2, 3), np.nan)), r"node 'n0' \(Linear\): weight holds nan"),
    (field("n0", "weight", "heavy"), r"node 'n0' \(Linear\): weight must be numbers"),
    (field("n1", "tau_mem", np.array([0.1, np.inf])), r"node 'n1' \(CubaLIF\): tau_mem holds inf"),
    (field("n1", "tau_syn", one(0.0)), "node 'n1': tau_syn = 0: must be > 0"),
    (field("n1", "r", one(0.0)), "node 'n1': r and w_in must not be 0"),
    (field("n1", "v_threshold", one(-1.0)), r"node 'n1': threshold"),
    (lambda made: made.nodes.pop("output"), "there is no node 'output'"),
    (lambda made: (made.nodes.pop("output"), made.edges.pop()), "the graph has 0 Output nodes: it must have one"),
    (put("more", nir.Input(np.array([3]))), "the graph has 2 Input nodes 'input' 'more': it must have one"),
    (link(("n0", "n7")), "edge .'n0', 'n7'.: there is no node 'n7'"),
    (link(("n0", "n1")), "edge .*'n0', 'n1'.*is there twice"),
    (link(("n0", "output")), "2 nodes lead to node 'output'"),
    (link(("n1", "input")), "edge .'n1', 'input'. leads into the Input"),
    (shortcut, r"node 'n1' \(Flatten\) gets shape \(.,\) from '.*', but \(.,\) from"),
    (link(("n1",)), "edge .'n1',.: must be a pair of names"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_wrong_graphs(change, message):
    with pytest.raises(ValueError, match=message) as caught:
        sal.from_nir(wrong(change), "unit")
    assert "\n" not in str(caught.value)


def test_other_refusals(tmp_path):
    fine = graph(nir.Linear(WEIGHT), cuba())
    with pytest.raises(ValueError, match="graph is Linear: must be a nir.NIRGraph"):
        sal.from_nir(nir.Linear(WEIGHT))
    with pytest.raises(ValueError, match="node 'n1': a time constant of 0.005 s is not longer than the time step"):
        sal.from_nir(fine, "snntorch", dt=0.01)
    with pytest.raises(ValueError, match="node 'n1': r tells time steps"):
        sal.from_nir(graph(nir.Linear(WEIGHT), cuba(r=np.array([1.0, 200.0]))), "rockpool")
    with pytest.raises(ValueError, match="node 'n1': v_leak must be 0"):
        sal.from_nir(graph(nir.Linear(WEIGHT), cuba(v_leak=one(0.1))), "snntorch")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        sal.from_nir(tmp_path / "nothing.nir")
    (tmp_path / "text.nir").write_text("no HDF5")
    with pytest.raises(ValueError, match="text.nir is not a file of NIR"):
        sal.from_nir(tmp_path / "text.nir")
    with h5py.File(tmp_path / "empty.nir", "w") as file:
        file["version"] = "1"
    with pytest.raises(ValueError, match="empty.nir is not a file of NIR"):
        sal.from_nir(tmp_path / "empty.nir")
    inside = fine
    for _ in range(20):
        inside = nir.NIRGraph(
            {"input": nir.Input(np.array([3])), "sub": inside, "output": nir.Output(np.array([2]))},
            [("input", "sub"), ("sub", "output")],
            type_check=False,
        )
    with pytest.raises(ValueError, match="nested 16 deep"):
        sal.from_nir(inside)
    for noted in ({"convention": "brian"}, {"time_unit": float("nan")}, {"dt": "long", "convention": "snntorch"}):
        fine.metadata = {"saltation": noted}
        with pytest.raises(ValueError, match=r"must be|finite"):
            sal.from_nir(fine)

"""Every connection and loss that a recipe can name: the network that is built, and two steps of training."""

import json

import pytest
import torch

import saltation as sal
from saltation.train import load_config, load_run, train
from saltation.train.loss import LOSSES
from saltation.train.model import make_model
from saltation.train.recipes import to_yaml

LAYER = {"size": 6, "tau_mem": 2.0, "tau_syn": 1.0, "weights": {"drive": 2.0}}
TRAIN = {"epochs": 1, "batch_size": 20, "bump": {"amount": 0.01}, "peak_hinge": 0.1, "hidden_drop": 0.1}
LAST = {"tau_mem": 2.0, "tau_syn": 1.0, "weights": {"drive": 2.0}}


def recipe(folder, layers, **more):
    """A recipe for the points of Yin-Yang: 4 inputs, 3 classes; one epoch of two batches, with all that revives."""
    options = {"publication": False, "sizes": [40, 20, 20]}
    content = {"data": {"options": options}, "model": {"layers": layers}, "train": TRAIN}
    file = folder / "recipe.yaml"
    file.write_text(json.dumps({**content, **more}))
    return file


def sparse(connection, fan_in):
    """Whether every neuron has so many synapses, from different inputs."""
    pairs = set(zip(connection.source.tolist(), connection.target.tolist(), strict=True))
    return len(pairs) == len(connection.source) and (connection.target.bincount() == fan_in).all()


def is_sparse(model):
    return isinstance(model[0].connection, sal.Sparse) and sparse(model[0].connection, 2)


def is_half(model):
    delays = model[1].connection.delays()
    return sparse(model[1].connection, 3) and delays.shape == (6,) and 0.2 <= delays.min() <= delays.max() <= 0.3


def has_sparse_feedback(model):
    feedback = model[0].recurrent
    return sparse(feedback, 1) and feedback.delays().shape == (6,) and model[0].connection.wiring is None


def has_terminals(model):
    parts = model[0].connection.parts()
    return isinstance(model[0].connection, sal.Parallel) and [part.delay for part in parts] == ["axonal"] * 3


def skips(model):
    both = model[2].connection
    first, from_input, from_hidden = both.parts()
    shapes = [tuple(part.weight.shape) for part in (first, from_input)]
    legal = isinstance(both, sal.Beside) and shapes == [(3, 5), (3, 4)] and sparse(from_hidden, 4)
    delays = from_input.delays()
    return (
        legal and model.beside == {2: (0, 1)} and delays.shape == (1, 4) and 0.4 <= delays.min() < delays.max() <= 0.5
    )


def is_pooled(model):
    return isinstance(model[0], sal.SumPool2d) and model[0].out_shape == (1, 1, 1) and model[1].in_size == 1


def pools_a_convolution(model):
    return (model[0].connection.out_shape, model[1].out_shape, model[2].in_size) == ((4, 2, 2), (4, 1, 1), 4)


NETWORKS = {
    "sparse": ([LAYER | {"sparse": {"fan_in": 2}}, LAST], {}, is_sparse),
    "density": (
        [LAYER, LAST | {"sparse": {"density": 0.5}, "delay": "axonal", "delay_init": [0.2, 0.3]}], {}, is_half,
    ),
    "sparse feedback": (
        [LAYER | {"recurrent": {"sparse": {"fan_in": 1}, "delay": "axonal", "max_delay": 0.5}}, LAST], {},
        has_sparse_feedback,
    ),
    "terminals": ([LAYER | {"terminals": 3, "delay": "axonal"}, LAST], {}, has_terminals),
    "beside": (
        [
            LAYER, LAYER | {"size": 5},
            LAST | {"beside": [
                {"source": -1, "delay": "axonal", "delay_init": [0.4, 0.5]}, {"source": 0, "sparse": {"fan_in": 4}}
            ]},
        ], {}, skips,
    ),
    "pooled input": ([LAYER | {"pool": 2}, LAST], {"image": [1, 2, 2]}, is_pooled),
    "pooled convolution": (
        [{"conv": {"channels": 4, "kernel_size": 1}, "weights": {"drive": 2.0}}, LAST | {"pool": 2}],
        {"image": [1, 2, 2]}, pools_a_convolution,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_connections(name, tmp_path):
    layers, more, as_asked = NETWORKS[name]
    file = recipe(tmp_path, layers, model={"layers": layers, **more})
    config = load_config(file)
    train(config, tmp_path / "run", quiet=True)
    begun, trained = (load_run(tmp_path / "run", which)[0] for which in ("initial", "last"))
    assert as_asked(begun)
    for (key, before), after in zip(begun.state_dict().items(), trained.state_dict().values(), strict=True):
        assert not (key.endswith("weight") and torch.equal(before, after)), key
    file.write_text(to_yaml(config))
    assert load_config(file) == config


def test_sparse_terminals_differ(tmp_path):
    """The synapses are drawn from a seed of their own, one terminal after the other."""
    layer = LAYER | {"sparse": {"fan_in": 2, "seed": 7}, "terminals": 2, "delay": "axonal"}

    def wires(**changes):
        parts = make_model(load_config(recipe(tmp_path, [layer, LAST]), changes).model, 4, 3)[0].connection.parts()
        return [part.source.tolist() for part in parts]

    first, second = wires()
    assert first != second and wires(seed=3) == [first, second]
    assert wires(**{"model.layers.0.sparse.seed": 8}) != [first, second]


@pytest.mark.parametrize(
    ("layers", "more", "message"),
    [
        ([LAYER | {"pool": 2}, LAST], {}, "model.layers.0.pool needs an image .* model.image is missing"),
        ([LAYER, LAST | {"pool": 2}], {"image": [1, 2, 2]}, "model.layers.1.pool needs an image .* layer 0 is none"),
        ([LAYER | {"pool": 3}, LAST], {"image": [1, 2, 2]}, r"model.layers.0: kernel_size = \(3, 3\): must divide"),
        ([LAYER | {"sparse": {"fan_in": 9}}, LAST], {}, "model.layers.0: fan_in = 9: there are only 4 inputs"),
        ([LAYER | {"train": ["tau"]}, LAST], {}, "model.layers.0: train = .*: 'tau' is not one of"),
    ],
)
def test_networks_that_cannot_be(tmp_path, layers, more, message):
    with pytest.raises(ValueError, match=message):
        make_model(load_config(recipe(tmp_path, layers, model={"layers": layers, **more})).model, 4, 3)


@pytest.mark.parametrize("name", [name for name, kind in LOSSES.items() if not kind.of_readout])
def test_losses(name, tmp_path):
    file = recipe(tmp_path, [LAYER, LAST], loss={"name": name})
    result = train(load_config(file), tmp_path / "run", quiet=True)
    assert result["epochs"] == 1 and load_config(file).loss == LOSSES[name]()


def test_target_trains(tmp_path):
    """Unit 1 is right and spikes once too late; unit 0 is as it should be; unit 2 lacks one of its spikes."""
    output = sal.Spikes.from_lists([[(0.75, 1), (2.0, 0), (2.5, 0), (2.0, 2)]], 3, 4.0)
    labels = torch.tensor([1])

    def value(**settings):
        wanted = {"right": [0.5], "wrong": [2.5, 2.0]}
        loss = load_config(recipe(tmp_path, [LAYER, LAST], loss={**wanted, **settings})).loss
        mean, answers = loss(output, labels)
        assert answers.tolist() == [1]
        return mean.item()

    assert value(name="victor_purpura", q=2.0) == pytest.approx(0.5 + 1.0)
    assert value(name="spike_time_mse") == pytest.approx(0.25**2 + 1.5**2)
    moved = 1.0 - torch.tensor(-0.25 / 0.5).exp().item()
    assert value(name="van_rossum", tau=0.5) == pytest.approx(moved + 0.5)
    with pytest.raises(ValueError, match=r"loss.right is \[5\.0\] .* samples are only 4 long; choose earlier times"):
        value(name="van_rossum", right=[5.0], wrong=[6.0])

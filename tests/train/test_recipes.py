import math

import pytest

from saltation.train import load_config
from saltation.train.model import make_model
from saltation.train.recipes import parse_overrides, recipe_names, to_yaml


@pytest.mark.parametrize("name", recipe_names())
def test_packaged_recipes_are_valid_and_state_what_they_reach(name):
    config = load_config(name)
    assert config.name == name


def test_overrides():
    arguments = ["--train.lr.weight", "1e-3", "--model.layers.0.size=20", "--data.options.bias", "0.9", "--seed", "3"]
    arguments += ["--model.layers.1.refractory", ".inf", "--model.layers.0.train", "[threshold, jump]"]
    arguments += ["--train.lr.readout", "null", "--model.layers.0.weights.mean", "-0.5", "--name", "mine"]
    config = load_config("yin_yang", parse_overrides(arguments))
    assert config.train.lr.weight == 1e-3 and config.train.lr.readout is None
    assert (config.model.layers[0].size, config.model.layers[1].size) == (20, None)
    assert config.model.layers[0].train == ["threshold", "jump"] and config.model.layers[1].train == ["threshold"]
    assert config.model.layers[0].weights.mean == -0.5 and config.model.layers[1].weights.mean == 2.0
    assert config.data.options["bias"] == 0.9 and math.isinf(config.model.layers[1].refractory)
    assert (config.seed, config.name) == (3, "mine")


@pytest.fixture
def two_convolutions(tmp_path):
    file = tmp_path / "two.yaml"
    file.write_text("""
        model:
          image: [1, 28, 28]
          layers:
            - conv: {channels: 12, kernel_size: 5, stride: 3}
            - conv: {channels: 24, kernel_size: 4, stride: 2}
            - neuron: li
        loss: {name: readout}
    """)
    return file


def test_convolutions(two_convolutions):
    changes = {"model.layers.1.conv.padding": 1, "model.layers.0.train": ["threshold"]}
    layers = make_model(load_config(two_convolutions, changes).model, 784, 10)
    assert [layer.out_size for layer in layers] == [12 * 8 * 8, 24 * 4 * 4, 10]
    assert layers[0].connection.weight.shape == (12, 1, 5, 5)
    assert layers[0].neuron.threshold.shape == (12,)  # shared by all places
    for kind in ("axonal", "kernel"):
        delayed = {"model.layers.0.delay": kind, "model.layers.0.max_delay": 0.5}
        assert make_model(load_config(two_convolutions, delayed).model, 784, 10)[0].connection.delays().max() <= 0.5


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.layers.0.delay", "synaptic", "delay is 'synaptic'; choose one of none, axonal, kernel, channel"),
        ("model.layers.0.size", 10, "goes without size"),
        (
            "model.layers.0.conv.kernel",
            3,
            "model.layers.0.conv.kernel: Key 'kernel' not in 'ConvConfig'. Did you mean: 'kernel_size'",
        ),
        ("model.image", None, "model.layers.0.conv needs an image .* model.image is missing"),
        ("model.image", [1, 20, 20], "400 pixels, but the data have 784 channels"),
        ("model.layers.2.size", 12, "the last layer has size 12 but the data have 10 classes"),
    ],
)
def test_bad_convolutions(two_convolutions, key, value, message):
    with pytest.raises(ValueError, match=message):
        make_model(load_config(two_convolutions, {key: value}).model, 784, 10)


def test_quadratic_neurons():
    layer = make_model(load_config("yin_yang_qif", {"model.layers.0.pseudo_time": 3}).model, 4, 3)[0]
    assert (layer.neuron.tau_mem, layer.neuron.tau_syn, layer.neuron.pseudo_time) == (2.0, 1.0, 3.0)
    assert layer.neuron.train_names == () and layer.connection.raw_delay.shape == (30, 4)


def test_quadratic_neurons_have_limits():
    with pytest.raises(ValueError, match="Key 'tau_syn' not in 'QIFLayer'"):
        load_config("yin_yang_qif", {"model.layers.0.tau_syn": 2.0})


@pytest.mark.parametrize("name", ["yin_yang", "yin_yang_qif"])
def test_a_recurrent_layer(name):
    config = load_config(name, {"model.layers.0.recurrent": {"delay": "axonal", "max_delay": 0.5, "std": 0.2}})
    recurrent = config.model.layers[0].recurrent
    assert (recurrent.delay, recurrent.max_delay, recurrent.std) == ("axonal", 0.5, 0.2)
    assert config.model.layers[1].recurrent is None
    layer = make_model(config.model, 4, 3)[0]
    assert layer.recurrent.weight.shape == (30, 30) and layer.recurrent.raw_delay.shape == (1, 30)
    assert load_config(name).model.layers[0].recurrent is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.layers.0.recurrent", {"delays": "axonal"}, "delays"),
        (
            "model.layers.0.recurrent",
            {"delay": "axon"},
            "model.layers.0.recurrent.delay: Invalid value 'axon', expected one of .'none'",
        ),
        ("model.layers.0.recurrent", {"delay_init": [1]}, "model.layers.0.recurrent.delay_init is .*give two numbers"),
        ("train.epoch", 3, "--train.epoch: Key 'epoch' not in 'TrainConfig'. Did you mean one of: 'epochs'"),
        ("trian.epochs", 3, "trian: Key 'trian' not in 'Config'. Did you mean: 'train'"),
        ("model.layers.0.sizes", 3, "--model.layers.0.sizes: Key 'sizes' not in 'LIFLayer'. Did you mean: 'size'"),
        ("model.layers.7.size", 3, "--model.layers.7.size 3 has no place in yin_yang.yaml: list index out of range"),
        ("model.layers.first.size", 3, "Index 'first' .* is not an int; entries of lists count from 0"),
        ("train.epochs.x", 3, "train.epochs: Value '{'x': 3}' of type"),
        ("train.epochs", "many", "--train.epochs: Value 'many' of type 'str' could not be converted to Integer"),
        ("train.epochs", 2.5, "--train.epochs: Value '2.5'"),
        ("model.layers.0", 3, "--model.layers.0 is 3, but it is a section; set one of its keys: model"),
        ("model.layers", [{}, "lif"], "model.layers.1 is 'lif', but it is a section"),
        (
            "model.layers.0.recurrent",
            True,
            "is True, but it is a section; .*: model.layers.0.recurrent.delay, or min_d",
        ),
        (
            "train.lr",
            1e-3,
            "--train.lr is 0.001, but it is a section; set one of its keys: train.lr.weight, or delay, th",
        ),
        ("data", "events", "--data is 'events', but it is a section; set one of its keys: data.name, or path"),
        (
            "train",
            {"lr": {"wieght": 1}},
            "--train: train.lr.wieght: Key 'wieght' not in 'LearningRates'. Did you mean: 'weight'",
        ),
        ("train.epochs", 0, "train.epochs is 0; it must be >= 1 and <= 1000000"),
        ("train.lr.weight", -1, "train.lr.weight is -1.0; it must be >= 0"),
        ("train.drop", 1, "train.drop is 1.0; it must be >= 0 and < 1"),
        ("train.hidden_drop", 1, "train.hidden_drop is 1.0; it must be >= 0 and < 1"),
        ("model.layers.0.terminals", 0, "model.layers.0.terminals is 0; it must be >= 1"),
        ("model.layers.1", {"terminals": 2, "delay": "none"}, "model.layers.1.terminals is 2 with delay 'none'"),
        ("train.optimizer", "sgd", r"--train.optimizer: Invalid value 'sgd', expected one of \['adam', 'adamw'\]"),
        ("loss.name", "mse", "loss.name is 'mse'; choose one of"),
        (
            "loss.name",
            "readout",
            "loss.margin: Key 'margin' not in 'ReadoutCrossEntropy'; .*: --loss '{name: readout, ",
        ),
        ("loss", {"name": "readout"}, "loss 'readout' goes with an 'li' layer"),
        ("model.layers.0.neuron", "li", "Key 'refractory' not in 'LILayer'; it has .*'{neuron: li, ...}'"),
        ("model.layers.0.neuron", "lief", "--model.layers.0.neuron is 'lief'; choose one of lif, qif, if, li"),
        ("model.layers.0", {"neuron": "li", "size": 3}, "model.layers.0.neuron is 'li', which never spikes"),
        (
            "model.layers.0.delay",
            "all",
            "--model.layers.0.delay: Invalid value 'all', expected one of .'none', 'axonal'",
        ),
        ("model.layers.0.size", None, "model.layers.0.size is missing"),
        ("model.layers.0.delay_init", [0.1], r"delay_init is \[0.1\]; give two numbers"),
        ("model.layers", [], "model.layers is empty"),
        ("model.layers.0.sparse", {}, "model.layers.0.sparse has fan_in None and density None; give one of them"),
        ("model.layers.0.sparse", {"fan_in": 2, "density": 0.5}, "fan_in 2 and density 0.5; give one of them"),
        ("model.layers.0.delay", "kernel", "model.layers.0.delay is 'kernel'; choose one of none, axonal, dendritic"),
        ("model.layers.1.beside", {"source": -1}, "it is a list of sections; write model.layers.1.beside"),
        ("model.layers.1.beside", [{"source": 0}], "model.layers.1.beside.0.source is 0; it must be -1"),
        ("model.layers.1", {"beside": [{}], "terminals": 2}, "model.layers.1.beside goes with neither conv nor termin"),
        (
            "loss",
            {"name": "van_rossum", "margin": 1},
            "Key 'margin' not in 'VanRossum'; it has name, right, wrong, tau",
        ),
        ("loss", {"name": "van_rossum", "right": []}, r"loss.right is \[\] and loss.wrong \[\]; right needs a spike"),
        ("loss", {"name": "van_rossum", "right": [2, 1], "wrong": [1]}, "right needs a spike before all of wrong"),
    ],
)
def test_bad_overrides(key, value, message):
    with pytest.raises(ValueError, match=message):
        load_config("yin_yang", {key: value})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["extra"], "unexpected argument 'extra'"),
        (["--seed"], "--seed needs a value"),
        (["--seed", "--train.epochs", "3"], "--seed needs a value"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        parse_overrides(arguments)


def test_recipe_files(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("model: {layers: [{size: 3}, {}]}\ntrain: {lr: {weight: 1e-2}}\n")
    config = load_config(file)
    assert config.name == "mine" and config.train.lr.weight == 0.01
    file.write_text("model: {layers: [{siz: 3}, {}]}\n")
    with pytest.raises(
        ValueError, match="mine.yaml: model.layers.0.siz: Key 'siz' not in 'LIFLayer'. Did you mean: 'size'"
    ):
        load_config(file)
    file.write_text("train: {epochs: soon}\n")
    with pytest.raises(ValueError, match="mine.yaml: train.epochs: Value 'soon'"):
        load_config(file)
    file.write_text("train: {lr: 1e-3}\n")
    with pytest.raises(ValueError, match="mine.yaml: train.lr is 0.001, but it is a section; .* train.lr.weight, or"):
        load_config(file)
    file.write_text("train: [\n")
    with pytest.raises(ValueError, match="is not valid YAML"):
        load_config(file)
    file.write_text("just text\n")
    with pytest.raises(ValueError, match="must hold keys and values"):
        load_config(file)
    with pytest.raises(FileNotFoundError, match="no recipe named 'yin_yan' and no such file .did you mean yin_yang"):
        load_config("yin_yan")


def test_resolved_configuration_reads_back(tmp_path):
    config = load_config("braille", {"data.path": "a.npz", "train.lr.tau": 1e-5})
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(config))
    assert load_config(file) == config

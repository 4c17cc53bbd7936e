"""The parts of training, one by one, against numbers worked out by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import saltation as sal
from saltation.data import EventDataset
from saltation.train import load_config, load_run, loop, train
from saltation.train.batch import augmented
from saltation.train.checkpoint import read_checkpoint, unprefixed
from saltation.train.config import BumpConfig, Config, DataConfig, LearningRates, ModelConfig, TrainConfig
from saltation.train.evaluate import evaluate
from saltation.train.layers import LIFLayer, RecurrentConfig, WeightConfig
from saltation.train.loss import FirstSpikeCrossEntropy, ReadoutCrossEntropy
from saltation.train.model import build_model, make_model
from saltation.train.objective import Objective
from saltation.train.optim import clip_gradient, make_average, make_optimizer, set_learning_rates
from saltation.train.run import Origin, RunFolder, load_data, new_run
from saltation.train.state import begin, keep_best, new_state


def passing(inputs, outputs, weights):
    """A layer in which input i makes neuron j fire once, soon after, where weights[j][i] is 1."""
    layer = sal.Layer(sal.Linear(inputs, outputs), sal.LIF(outputs, tau_mem=0.02, tau_syn=0.01, refractory=math.inf))
    with torch.no_grad():
        layer.connection.weight.copy_(20.0 * torch.as_tensor(weights, dtype=torch.float32))
    return layer


def rows(*samples, labels, classes=3, channels=3):
    """A data set of samples of channels, each firing at 0.1, 0.2, ... in this order."""
    times = np.concatenate([0.1 + 0.1 * np.arange(len(sample)) for sample in samples])
    counts = [0, *(len(sample) for sample in samples)]
    return EventDataset(
        times, np.concatenate(samples).astype(int), np.cumsum(counts), labels, np.zeros(len(samples), int),
        num_channels=channels, num_classes=classes, duration=1.0,
    )  # fmt: skip


def test_groups_of_parameters():
    layers = [
        sal.Layer(
            sal.Linear(3, 4, delay="axonal", max_delay=1.0), sal.LIF(4, 2.0, 1.0, train=("threshold", "tau_mem"))
        ),
        sal.Layer(sal.Linear(4, 2), sal.LIF(2, 2.0, 1.0, train=())),
    ]
    model = sal.Sequential(*layers)
    rates = LearningRates(weight=0.1, delay=0.2, threshold=0.3, tau=0.4, readout=0.5)
    optimizer = make_optimizer(model, TrainConfig(optimizer="adamw", weight_decay=0.7, lr=rates, betas=[0.5, 0.6]))
    found = {
        id(parameter): (group["lr"], group["weight_decay"], group["betas"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    betas = (0.5, 0.6)
    expected = [
        (layers[0].connection.weight, 0.1, 0.7),
        (layers[0].connection.raw_delay, 0.2, 0.0),
        (layers[0].neuron.threshold, 0.3, 0.0),
        (layers[0].neuron.tau_mem, 0.4, 0.0),
        (layers[1].connection.weight, 0.5, 0.7),
    ]
    assert found == {id(parameter): (rate, decay, betas) for parameter, rate, decay in expected}


def test_schedules():
    parameter = torch.nn.Parameter(torch.zeros(1))

    def rates(steps, **settings):
        """The rates of given steps, 5 steps an epoch, in this order."""
        optimizer = torch.optim.Adam([{"params": [parameter], "lr": 0.3, "base_lr": 0.2}])
        found = []
        for step in steps:
            factor = set_learning_rates(optimizer, TrainConfig(**settings), step, 5)
            assert optimizer.param_groups[0]["lr"] == pytest.approx(0.2 * factor)
            found.append(factor)
        return found

    half = 0.5 * (1 + math.sqrt(0.5))
    assert rates([0, 5, 10, 20], epochs=4, schedule="cosine") == pytest.approx([1.0, half, 0.5, 0.0])
    assert rates([0, 4, 9, 10, 19, 20], epochs=9, schedule="step", gamma=0.5, step_epochs=2) == pytest.approx(
        [1.0, 1.0, 1.0, 0.5, 0.5, 0.25]
    )
    assert rates([0, 7], schedule="constant") == [1.0, 1.0]


def test_learning_rates_of_a_run(tiny, tmp_path, monkeypatch):
    """60 samples in batches of 20: three steps an epoch, numbered through all epochs."""
    asked = []

    def recorded(optimizer, settings, step, steps_per_epoch):
        asked.append((step, steps_per_epoch))
        return set_learning_rates(optimizer, settings, step, steps_per_epoch)

    monkeypatch.setattr(loop, "set_learning_rates", recorded)
    train(tiny(train__epochs=2), out=tmp_path / "run", quiet=True)
    assert asked == [(step, 3) for step in range(6)]


def test_the_gradient_is_clipped():
    model = passing(2, 1, [[0.0, 0.0]])
    for bound, expected in ((2.0, [1.2, 1.6]), (0.0, [3.0, 4.0]), (10.0, [3.0, 4.0])):
        model.connection.weight.grad = torch.tensor([[3.0, 4.0]])
        assert clip_gradient(model, bound, "here") == pytest.approx(5.0)
        assert model.connection.weight.grad[0].tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_steps_do_not_depend_on_the_number_of_threads(name):
    """Of a layer so large that torch shares the work, in odd parts."""
    settings = TrainConfig(optimizer=name, weight_decay=0.01, average=0.9)
    threads, found = torch.get_num_threads(), []
    for count in (1, 2, 3):
        model = sal.Sequential(passing(333, 457, np.random.default_rng(0).normal(size=(457, 333))))
        optimizer, average = make_optimizer(model, settings), make_average(model, settings)
        torch.set_num_threads(count)
        try:
            for step in range(3):
                model[0].connection.weight.grad = torch.linspace(-1.0, 1.0 + step, 457 * 333).view(457, 333)
                clip_gradient(model, 1.0, "here")
                optimizer.step()
                average.update_parameters(model)
        finally:
            torch.set_num_threads(threads)
        found.append(torch.stack([made[0].connection.weight.detach() for made in (model, average.module)]))
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_silent_neurons_are_bumped_by_layer():
    """Neurons silent in 60 % of a batch: hidden ones may be, by their fraction, and outputs may not, or the reverse."""
    model = sal.Sequential(passing(1, 2, [[1.0], [1.0]]), passing(2, 3, np.ones((3, 2))))
    spikes = sal.Spikes.from_lists([[(0.1, 0)]] * 2 + [[]] * 3, 1, 1.0)
    results = model.run(spikes)
    assert [int(result.spikes.counts().sum()) for result in results] == [4, 6]
    before = [layer.connection.weight.detach().clone() for layer in model]
    for hidden, output, bumped in ((0.7, 0.5, [0, 3]), (0.5, 0.7, [2, 0])):
        config = Config(train=TrainConfig(bump=BumpConfig(0.25, hidden, output)))
        with torch.no_grad():
            for layer, weight in zip(model, before, strict=True):
                layer.connection.weight.copy_(weight)
        assert Objective(config).revive(model, results) == sum(bumped)
        for layer, weight, number in zip(model, before, bumped, strict=True):
            change = layer.connection.weight.detach() - weight
            torch.testing.assert_close(change, torch.full_like(change, 0.25 if number else 0.0))


def test_penalties_of_all_layers_are_added():
    model = sal.Sequential(passing(1, 2, [[0.0], [0.0]]), passing(2, 2, np.zeros((2, 2))))
    results = model.run(sal.Spikes.from_lists([[(0.1, 0)]], 1, 1.0), peak=True)
    config = Config(train=TrainConfig(peak_hinge=0.5, peak_margin=0.2))
    # both layers rest, 1 below the threshold and so 1.2 below the margin
    assert Objective(config).penalty(results).item() == pytest.approx(0.5 * (1.2 + 1.2))


def test_the_scale_of_a_readout():
    layer = sal.Layer(sal.Linear(1, 2).double(), sal.LI(2, 2.0, 1.0))
    with torch.no_grad():
        layer.connection.weight.copy_(torch.tensor([[1.0], [-1.0]]))
    readout = layer(sal.Spikes.from_lists([[(0.1, 0)]], 1, 5.0))
    objective = Objective(Config(loss=ReadoutCrossEntropy(readout="integral", scale=3.0)))
    loss, predictions = objective([readout], torch.tensor([1]))
    apart = 3.0 * (readout.integral()[0, 0] - readout.integral()[0, 1]).item()
    assert loss.item() == pytest.approx(math.log(1 + math.exp(apart))) and predictions.tolist() == [0]


def test_evaluation_by_hand():
    """Three outputs of which the first to fire answers; an input of channel 3 makes none fire, one is passed twice."""
    model = sal.Sequential(passing(4, 4, np.eye(4)), passing(4, 3, np.eye(3, 4)))
    data = rows([0], [0], [1, 2], [3], [3], [2], [3], labels=[0, 1, 1, 0, 1, 2, 2], channels=4)
    config = Config(loss=FirstSpikeCrossEntropy(tau=0.5))
    found = evaluate(model, Objective(config), data, batch_size=3)
    assert found["confusion"] == [[1, 0, 0, 1], [1, 1, 0, 1], [0, 0, 1, 1]]
    assert found["accuracy"] == pytest.approx(3 / 7)
    whole = evaluate(model, Objective(config), data, batch_size=7)
    assert found["loss"] == pytest.approx(whole["loss"], rel=1e-12)
    assert found["silent_outputs"] == pytest.approx((7 * 3 - 5) / (7 * 3))  # 5 of 21 fire: channel 3 reaches no output
    assert found["silent_neurons"] == 0.0  # each has fired in one batch or another
    assert found["spikes_by_layer"] == pytest.approx([8 / (4 * 7), 5 / (3 * 7)])
    assert found["spikes_per_neuron"] == pytest.approx(13 / (7 * 7))


def test_a_silent_network_answers_nothing():
    model = sal.Sequential(passing(3, 3, np.zeros((3, 3))))
    data = rows([0], [1], [2], labels=[0, 1, 2])
    found = evaluate(model, Objective(Config()), data, batch_size=2)
    assert found["accuracy"] == 0.0 and found["confusion"] == [[0, 0, 0, 1]] * 3


def test_the_best_epoch(tiny, tmp_path):
    """The highest accuracy; the lower loss among equals; the first of what is equal in both."""
    (run, _), data = new_run(tiny(), tmp_path / "run"), load_data(tiny().data)
    state = new_state(tiny(), data.subset("train"), Origin.of(tiny(), data))
    begin(run, state)
    weight = state.model[0].connection.weight
    best = []
    for epoch, (accuracy, loss) in enumerate([(0.5, 1.0), (0.5, 0.8), (0.5, 0.8), (0.4, 0.1), (0.6, 2.0), (0.6, 2.5)]):
        with torch.no_grad():
            weight.fill_(epoch + 1.0)
        state.epoch = epoch
        keep_best(run, state, {"accuracy": accuracy, "loss": loss})
        kept = read_checkpoint(run.checkpoint("best"))[0]["model.layers.0.connection.weight"]
        best.append((state.best_epoch, kept.unique().tolist()))
    assert best == [(epoch, [epoch]) for epoch in (1, 2, 2, 2, 5, 5)]
    assert (state.best_accuracy, state.best_loss) == (0.6, 2.0)


def test_parameters_are_kept_in_their_range(tiny, tmp_path):
    """A learning rate that would make thresholds negative: they stay legal, and training goes on."""
    train(tiny(train__lr__threshold=5.0, train__clip_norm=0.0), out=tmp_path / "run", quiet=True)
    for layer in load_run(tmp_path / "run", "last")[0]:
        assert (layer.neuron.threshold > 0).all()


def test_one_step_by_hand(tiny):
    """An epoch of two batches of the same samples, with a rate of 0: both gradients are the same, not added up."""
    config = tiny(train__batch_size=30, train__schedule="constant", train__bump__amount=0.0)
    data = load_data(config.data).subset("train").take([0] * 60)
    state = new_state(config, data, Origin.of(config, data))
    for group in state.optimizer.param_groups:
        group["base_lr"] = 0.0
    bar = SimpleNamespace(batch=lambda samples: None)
    metrics = loop.train_epoch(config, Objective(config), data, state, bar)
    assert metrics["gradient_norm"] > 0
    assert metrics["gradient_norm"] == pytest.approx(metrics["gradient_norm_max"], rel=1e-5)


def test_images_are_shifted_as_images():
    spikes = sal.Spikes.from_lists([[(0.5, 4)]] * 200, 9, 1.0)  # the middle of 3 x 3
    settings = TrainConfig(shift=1)
    labels = torch.zeros(200, dtype=torch.int64)
    generator = torch.Generator().manual_seed(0)
    assert set(augmented(spikes, labels, settings, [1, 3, 3], generator).units.tolist()) == set(range(9))
    assert set(augmented(spikes, labels, settings, None, generator).units.tolist()) == {3, 4, 5}


def test_the_seed_of_the_validation_samples(recording):
    """48 training samples, of which a sixth of each class validates: those that the seed says."""

    def taken(seed):
        data = load_data(DataConfig("events", str(recording), validation_fraction=1 / 6, validation_seed=seed))
        return np.flatnonzero(data.split == 1).tolist()

    assert len(taken(0)) == 9 and taken(1) == taken(1) and taken(1) != taken(0)


def test_a_network_as_configured():
    delays = {"delay": "axonal", "min_delay": 0.3, "max_delay": 1.0, "delay_init": [0.8, 0.9]}
    hidden = LIFLayer(
        size=5, delay="synaptic", min_delay=0.1, max_delay=2.0, delay_init=[0.5, 0.6], tau_mem=3.0, tau_syn=0.7,
        weights=WeightConfig(mean=2.0, std=0.0),
        recurrent=RecurrentConfig(**delays, mean=-1.0, std=0.0),
    )  # fmt: skip
    output = LIFLayer(delay="dendritic", max_delay=4.0, weights=WeightConfig(mean=3.0, std=0.0))
    data = rows([0, 1], [2], labels=[0, 1], classes=2)
    model = build_model(ModelConfig(layers=[hidden, output]), data, torch.Generator().manual_seed(0))
    first, second = model
    assert (first.connection.weight == 2.0).all() and (first.recurrent.weight == -1.0).all()
    assert (second.connection.weight == 3.0).all() and second.out_size == 2
    for delays, low, high, shape in (
        (first.connection.delays(), 0.5, 0.6, (5, 3)),
        (first.recurrent.delays(), 0.8, 0.9, (1, 5)),
        (second.connection.delays(), 0.0, 4.0, (2, 1)),
    ):
        assert delays.shape == shape and low <= delays.min() < delays.max() <= high
    assert (first.neuron.tau_mem == 3.0).all() and (first.neuron.tau_syn == 0.7).all()


def test_every_layer_is_driven():
    """Weights are scaled on what a layer really gets: the free potential peaks at `drive` thresholds on average."""
    layers = [
        LIFLayer(size=20, weights=WeightConfig(drive=2.0, std=0.1)),
        LIFLayer(weights=WeightConfig(drive=1.5)),
    ]
    data = rows(*[[0, 1, 2]] * 4, labels=[0, 1, 2, 0])
    config = ModelConfig(layers=layers)
    model = build_model(config, data, torch.Generator().manual_seed(0))
    spikes, _ = data.batch(np.arange(4))
    for layer, drive in zip(model, (2.0, 1.5), strict=True):
        assert layer.free_peak(spikes).clamp(min=0.0).mean().item() == pytest.approx(drive, rel=1e-4)
        spikes = layer(spikes).detach()
    assert len(make_model(config, 3, 3)) == 2


def test_the_best_parameters_of_a_start_are_taken_over(tiny, tmp_path):
    """Several starts and no epoch after them: the run is the start that won, its best parameters included."""
    result = train(tiny(train__epochs=2, train__starts=3, train__start_epochs=2), out=tmp_path / "run", quiet=True)
    winner = tmp_path / "run" / "starts" / str(result["start"])
    for which in ("initial", "best", "last"):
        ours, theirs = (
            unprefixed("model", read_checkpoint(folder / f"{which}.safetensors")[0])
            for folder in (tmp_path / "run", winner)
        )
        assert ours and all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_an_edited_configuration_is_refused(tiny, tmp_path):
    """A run goes on as it began; its settings are part of what a checkpoint comes from."""
    train(tiny(train__epochs=1), out=tmp_path / "run", quiet=True)
    config = tmp_path / "run" / "config.yaml"
    text = config.read_text()
    assert "clip_norm: 1.0" in text
    config.write_text(text.replace("clip_norm: 1.0", "clip_norm: 2.0"))
    with pytest.raises(ValueError, match="was edited: train.clip_norm is 2.0 there, but 1.0 in last.safetensors"):
        train(resume=tmp_path / "run", quiet=True)
    config.write_text(text)
    train(resume=tmp_path / "run", quiet=True)


def test_every_class_keeps_training_samples(recording):
    """Whatever fraction validates: a class moved wholly to validation could not be learned."""
    changes = {"data.name": "events", "data.path": str(recording), "data.options": {}}
    for fraction in (0.001, 0.5, 0.999):
        data = load_data(load_config("braille", {**changes, "data.split_key": None, "data.duration": None,
                                                 "data.validation_fraction": fraction}).data)  # fmt: skip
        for label in range(3):
            train, validation = (int(((data.labels == label) & (data.split == code)).sum()) for code in (0, 1))
            assert train + validation == 16 and 1 <= validation <= 15, (fraction, label)


def test_metrics_of_epochs_that_no_checkpoint_knows_are_forgotten(tmp_path):
    """A crash between the line of an epoch and its checkpoint: the epoch is done again, and its line written once."""
    run = RunFolder(tmp_path)
    for epoch in (1, 2, 3):
        run.append_metrics({"epoch": epoch, "loss": 0.5 * epoch})
    kept = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 1.0}]
    assert run.truncate_metrics(2) == kept and run.read_metrics(2) == kept
    assert len(run.metrics.read_text().splitlines()) == 2

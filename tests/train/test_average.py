"""The moving average of the parameters: what it is, and that it answers for the network."""

import json

import numpy as np
import pytest
import torch

from saltation import plot
from saltation.experiments.tasks import YIN_YANG_NETWORK
from saltation.train import evaluate, evaluate_run, load_run, train
from saltation.train.checkpoint import read_checkpoint, unprefixed, write_checkpoint
from saltation.train.objective import Objective
from saltation.train.state import State
from saltation.train.tune import tune

WEIGHT = "layers.0.connection.weight"


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def parameters(run, which, prefix):
    return unprefixed(prefix, read_checkpoint(run / f"{which}.safetensors")[0])


def test_the_average_by_hand(tiny, tmp_path, monkeypatch):
    """Two epochs of three steps, with neurons that are bumped after a step; a decay that the warm-up reaches."""
    follow, values = State.follow, []

    def recorded(state):
        values.append(state.model.state_dict()[WEIGHT].double().numpy().copy())
        follow(state)

    monkeypatch.setattr(State, "follow", recorded)
    weak = {"model__layers__0__weights__mean": 0.5, "train__bump__amount": 0.5}
    train(tiny(train__average=0.3, **weak), out=tmp_path / "run", quiet=True)
    assert lines(tmp_path / "run")[0]["bumped"] > 0
    expected = values[0]
    for decay, value in zip([2 / 11, 3 / 12, 0.3, 0.3, 0.3], values[1:], strict=True):  # (1 + n) / (10 + n), n = 1 ...
        expected = decay * expected + (1 - decay) * value
    found = parameters(tmp_path / "run", "last", "average.module")[WEIGHT].double().numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert np.abs(expected - values[-1]).max() > 1e-3
    assert int(read_checkpoint(tmp_path / "run" / "last.safetensors")[0]["average.n_averaged"]) == 6


def test_training_goes_on_with_the_parameters_themselves(tiny, tmp_path):
    for name, decay in (("without", 0.0), ("with", 0.9)):
        train(tiny(train__average=decay, train__epochs=3), out=tmp_path / name, quiet=True)
    for name, value in parameters(tmp_path / "without", "last", "model").items():
        assert torch.equal(value, parameters(tmp_path / "with", "last", "model")[name]), name
    without, averaged = (lines(tmp_path / name) for name in ("without", "with"))
    assert [line["loss"] for line in without] == [line["loss"] for line in averaged]
    assert all(a["validation_loss"] != b["validation_loss"] for a, b in zip(without, averaged, strict=True))
    assert not parameters(tmp_path / "without", "last", "average")


def test_the_average_answers(tiny, tmp_path, monkeypatch):
    """It is what is validated, what `best` and `last` are evaluated with, what is tested and shown."""
    shown = []
    monkeypatch.setattr(plot, "run_pictures", lambda folder, model, *_: shown.append(model.state_dict()[WEIGHT]))
    run = tmp_path / "run"
    result = train(tiny(train__average=0.9, train__epochs=3), out=run, quiet=True)
    for which, line in (("last", lines(run)[-1]), ("best", lines(run)[result["best_epoch"] - 1])):
        model, config, data = load_run(run, which)
        assert torch.equal(model.state_dict()[WEIGHT], parameters(run, which, "average.module")[WEIGHT])
        assert not torch.equal(model.state_dict()[WEIGHT], parameters(run, which, "model")[WEIGHT])
        found = evaluate(model, Objective(config), data.subset("validation"), config.train.batch_size)
        assert (found["loss"], found["accuracy"]) == (line["validation_loss"], line["validation_accuracy"])
    assert torch.equal(shown[0], parameters(run, "best", "average.module")[WEIGHT])
    assert evaluate_run(run)["loss"] == result["test_loss"]
    first = parameters(run, "initial", "average.module")
    assert all(torch.equal(value, first[name]) for name, value in parameters(run, "initial", "model").items())


def test_the_average_is_legal(tiny, tmp_path):
    """Thresholds that jump to their bound and far beyond it: what lies between is legal, as are delays and taus."""
    changes = {"train__lr__threshold": 5.0, "train__lr__delay": 5.0, "train__lr__tau": 5.0, "train__clip_norm": 0.0}
    changes["model__layers__0__train"] = ["threshold", "tau_mem", "v_reset"]
    train(tiny(train__average=0.5, train__epochs=3, **changes), out=tmp_path / "run", quiet=True)
    for layer in load_run(tmp_path / "run", "last")[0]:
        layer.neuron.validate()
        assert (layer.neuron.threshold > layer.neuron.v_reset).all() and (layer.neuron.tau_mem > 0).all()
        delays = layer.connection.delays()
        assert delays.min() >= 0.0 and delays.max() <= 1.0


def test_a_search_validates_the_average(tmp_path):
    fast = {"data.options": {"sizes": [60, 30, 30]}, "train.epochs": 2, "train.batch_size": 30}
    tune(YIN_YANG_NETWORK, ["train.average=0.0,0.9"], 3, tmp_path, {**fast, "model.layers.0.size": 5}, quiet=True)
    for trial in (tmp_path / "trials").iterdir():
        model, config, data = load_run(trial)
        found = evaluate(model, Objective(config), data.subset("validation"), 30)
        assert found["accuracy"] == json.loads((trial / "result.json").read_text())["validation_accuracy"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop(f"average.module.{WEIGHT}"), f"module.{WEIGHT} is nothing, needed is float32"),
        (lambda tensors: tensors.pop("average.n_averaged"), "n_averaged is nothing, needed is int64"),
        (lambda tensors: tensors.update({"average.n_averaged": torch.tensor(-10)}), "the average is of -10 steps"),
    ],
)
def test_an_incomplete_average_is_refused(tiny, tmp_path, change, message):
    run = tmp_path / "run"
    train(tiny(train__average=0.9, train__epochs=1), out=run, quiet=True)
    tensors, record = read_checkpoint(run / "last.safetensors")
    change(tensors)
    write_checkpoint(run / "last.safetensors", tensors, record)
    with pytest.raises(ValueError, match=message):
        train(resume=run, quiet=True)

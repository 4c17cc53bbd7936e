"""Several runs as one: probabilities of classes, their average, and what cannot be averaged."""

import json
import math

import numpy as np
import pytest
import torch
from train.conftest import TINY

import saltation as sal
from saltation.cli import main
from saltation.experiments.tasks import YIN_YANG_NETWORK
from saltation.train import ensemble, evaluate_run, evaluate_runs, load_config, load_run, train
from saltation.train.loss import LOSSES, FirstSpikeCrossEntropy, ReadoutCrossEntropy, ShiftInvariant

OUTPUT = sal.Spikes.from_lists([[(0.3, 1), (0.5, 0), (0.6, 1)], [(1.2, 2), (1.3, 0)], []], 3, 4.0)
TIMES = [[0.5, 0.3, 4.0], [1.3, 4.0, 1.2], [4.0, 4.0, 4.0]]  # the first ones, or the end of the sample


@pytest.mark.parametrize(
    ("loss", "scale"), [(FirstSpikeCrossEntropy(tau=0.25), 0.25), (ShiftInvariant(margin=0.4), 0.4)]
)
def test_probabilities_of_first_spikes(loss, scale):
    found = loss.logits(OUTPUT).softmax(dim=1)
    for row, times in zip(found.tolist(), TIMES, strict=True):
        weights = [math.exp(-t / scale) for t in times]
        assert row == pytest.approx([weight / sum(weights) for weight in weights])
    answers = loss(OUTPUT, torch.tensor([0, 0, 0]))[1]
    assert answers.tolist() == [1, 2, -1] and found[:2].argmax(1).tolist() == [1, 2]


@pytest.mark.parametrize("readout", ["integral", "weighted", "maximum"])
def test_the_loss_is_that_of_the_probabilities(readout):
    layer = sal.Layer(sal.Linear(3, 3), sal.LI(3, 2.0, 1.0))
    labels = torch.tensor([2, 0, 1])
    both = (
        (ReadoutCrossEntropy(readout=readout, window=1.5, scale=3.0), layer(OUTPUT)),
        (FirstSpikeCrossEntropy(), OUTPUT),
    )
    for loss, output in both:
        probabilities = loss.logits(output).softmax(dim=1)
        value = -probabilities.gather(1, labels[:, None]).log().mean()
        assert loss(output, labels)[0].item() == pytest.approx(value.item())


def test_losses_of_whole_trains_have_none():
    named = {name for name, kind in LOSSES.items() if kind.has_logits}
    assert named == {"shift_invariant", "first_spike_cross_entropy", "readout"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two networks of different sizes, losses and settings on the same test samples; the second was refitted."""
    folder = tmp_path_factory.mktemp("runs")
    changes = {
        "a": {"seed": 1},
        "b": {"train.refit": True, "train.report": "last", "model.layers.0.size": 9, "train.average": 0.5}
        | {"loss": {"name": "first_spike_cross_entropy", "tau": 0.3}},
        "van": {"loss": {"name": "van_rossum"}},
        "small": {"data.options.sizes": [60, 30, 20]},
    }
    for name, change in changes.items():
        train(load_config(YIN_YANG_NETWORK, {**TINY, "train.epochs": 4, **change}), out=folder / name, quiet=True)
    return folder


def probabilities_of(run):
    """Of the test samples, and the answers."""
    model, config, data = load_run(run)
    spikes, labels = data.subset("test").batch(np.arange(30))
    with torch.no_grad():
        output = model(spikes)
    scale = config.loss.margin if isinstance(config.loss, ShiftInvariant) else config.loss.tau
    weights = torch.exp(-output.first(silent=output.duration) / scale)
    return (weights / weights.sum(1, keepdim=True)).numpy(), output.counts().sum(1).numpy() > 0, labels.numpy()


def test_the_average_of_two_runs(runs, capsys):
    paths = [runs / "a", runs / "b"]
    result = evaluate_runs(paths)
    (first, alive, labels), (second, also, _) = (probabilities_of(path) for path in paths)
    answers = np.where(alive | also, (first + second).argmax(1), -1)
    assert result["accuracy"] == pytest.approx((answers == labels).mean()) and result["samples"] == 30
    p = result["accuracy"]
    assert result["standard_error"] == pytest.approx(math.sqrt(p * (1 - p) / 30))
    for path, run in zip(paths, result["runs"], strict=True):
        alone = evaluate_run(path)
        assert run == {"run": str(path), **{name: alone[name] for name in ("accuracy", "standard_error")}}
    assert main(["eval", *map(str, paths)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"{paths[0]}: test accuracy {100 * result['runs'][0]['accuracy']:.2f} % (standard error ")
    assert (
        told[2].startswith(f"average of 2 networks: test accuracy {100 * p:.2f} % (standard error ") and len(told) == 3
    )
    assert main(["eval", *map(str, paths), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == result


def test_confidence_counts_and_silence_does_not_answer(runs, monkeypatch):
    """Sample by sample: a sure network against an unsure one; both sure; one silent; both silent."""
    labels = evaluate_labels(runs)
    right, wrong = np.eye(3)[labels], np.eye(3)[(labels + 1) % 3]
    kind = np.arange(30) % 4
    sure, unsure = 0.8 * right + 0.2 * wrong, 0.4 * right + 0.6 * wrong
    silent = np.full((30, 3), 1 / 3)
    first = np.select([kind[:, None] == k for k in range(4)], [sure, wrong, silent, silent])
    second = np.select([kind[:, None] == k for k in range(4)], [unsure, sure, sure, silent])
    made = iter(
        (
            torch.from_numpy(table),
            torch.where(torch.from_numpy(table.max(1) < 0.34), -1, torch.from_numpy(table.argmax(1))),
        )
        for table in (first, second)
    )
    monkeypatch.setattr(ensemble, "class_probabilities", lambda *_: next(made))
    result = evaluate_runs([runs / "a", runs / "b"])
    # mean probability of the right class, of the other: .6 .4 | .4 .6 | .57 .27 | no answer
    assert result["accuracy"] == pytest.approx(np.isin(kind, [0, 2]).mean())
    assert [run["accuracy"] for run in result["runs"]] == pytest.approx(
        [(kind == 0).mean(), np.isin(kind, [1, 2]).mean()]
    )


def evaluate_labels(runs):
    return load_run(runs / "a")[2].subset("test").labels


@pytest.mark.parametrize(
    ("names", "split", "message"),
    [
        (("a", "small"), "test", "small has other test samples than .*a .*choose runs on the same data"),
        (("a", "b"), "validation", "has no validation samples; choose another --split"),
        (("b", "a"), "train", "a has other train samples than .*b .*: the averaged networks must answer for the same"),
        (("a", "van"), "test", "van was trained with loss 'van_rossum', which compares spike trains"),
        ((), "test", "no runs to average"),
    ],
)
def test_what_cannot_be_averaged_is_refused(runs, names, split, message):
    with pytest.raises(ValueError, match=message):
        evaluate_runs([runs / name for name in names], split)

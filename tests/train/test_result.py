"""What a finished run reports: of which epoch, and how sure it is."""

import json
import math

import pytest
import torch

from saltation import plot
from saltation.cli import main
from saltation.experiments.tasks import YIN_YANG_NETWORK
from saltation.train import evaluate, evaluate_run, load_run, loop, train
from saltation.train import result as module
from saltation.train.evaluate import standard_error
from saltation.train.run import RunFolder
from saltation.train.tune import tune


def test_the_standard_error():
    assert standard_error(0.5, 100) == pytest.approx(0.05)
    assert standard_error(0.9, 1000) == pytest.approx(math.sqrt(0.09 / 1000))
    assert standard_error(0.0, 7) == standard_error(1.0, 7) == 0.0


@pytest.mark.parametrize(("report", "epoch"), [("best", 1), ("last", 3)])
def test_the_epoch_that_is_reported(tiny, tmp_path, monkeypatch, capsys, report, epoch):
    """The first epoch validates best: its parameters answer for the run, or those of the last one."""
    scores, weights = iter([0.9, 0.1, 0.2]), []

    def judge(model, *arguments):
        weights.append(model[0].connection.weight.detach().clone())
        return {**evaluate(model, *arguments), "accuracy": next(scores)}

    monkeypatch.setattr(loop, "evaluate", judge)
    monkeypatch.setattr(plot, "run_pictures", lambda folder, model, *_: weights.append(model[0].connection.weight))
    result = train(tiny(train__epochs=3, train__report=report), out=tmp_path / "run")
    assert (result["best_epoch"], result["reported_epoch"], result["report"]) == (1, epoch, report)
    assert result["validation_accuracy"] == (0.9 if report == "best" else 0.2)
    assert torch.equal(weights[3], weights[epoch - 1]) and not torch.equal(weights[0], weights[2])
    model, _, _ = load_run(tmp_path / "run")
    assert torch.equal(model[0].connection.weight, weights[epoch - 1])
    found = evaluate_run(tmp_path / "run")
    assert (found["accuracy"], found["loss"]) == (result["test_accuracy"], result["test_loss"])
    p = result["test_accuracy"]
    assert result["test_standard_error"] == pytest.approx(math.sqrt(p * (1 - p) / 30)) and result["test_samples"] == 30
    told = f"test accuracy {100 * p:.2f} % (standard error {100 * result['test_standard_error']:.2f})"
    which = "(best validation accuracy, 90.00 %)" if report == "best" else "(the last; validation accuracy 20.00 %)"
    assert f"{told} at epoch {epoch} {which}; " in capsys.readouterr().out
    assert main(["eval", str(tmp_path / "run")]) == 0
    assert f"{told}, loss {result['test_loss']:.4f}\n" in capsys.readouterr().out


def test_a_run_without_test_samples_says_so(tiny, tmp_path):
    result = train(tiny(), out=tmp_path / "run", quiet=True, test=False)
    assert result["test_accuracy"] is None and module.summary(result).startswith("no test samples at epoch ")


@pytest.mark.parametrize("report", ["best", "last"])
def test_a_search_counts_what_is_reported(tmp_path, monkeypatch, report):
    """Trials that get worse with every epoch."""
    told = []
    scores = {1: 0.8, 2: 0.5, 3: 0.3}

    def trained(config, out, quiet, on_epoch, test):
        for epoch, score in scores.items():
            on_epoch({"epoch": epoch, "validation_accuracy": score})
        return {"validation_accuracy": scores[1] if config.train.report == "best" else scores[3]}

    monkeypatch.setattr("saltation.train.tune.train", trained)
    monkeypatch.setattr("optuna.trial.Trial.report", lambda self, value, step: told.append((step, value)))
    overrides = {"data.options": {"sizes": [60, 30, 30]}, "train.report": report}
    tune(YIN_YANG_NETWORK, ["train.lr.weight=0.01,0.02"], 1, tmp_path, overrides, quiet=True)
    assert told == [(epoch, 0.8 if report == "best" else score) for epoch, score in scores.items()]
    assert json.loads(RunFolder(tmp_path).path.joinpath("journal.log").read_text().splitlines()[-1])["values"] == [
        0.8 if report == "best" else 0.3
    ]

"""Training on training and validation samples together, for a number of epochs that was fixed beforehand."""

import json

import numpy as np
import pytest
from train.faults import snapshot

from saltation import plot
from saltation.cli import main
from saltation.experiments.tasks import YIN_YANG_NETWORK
from saltation.train import evaluate_run, load_config, load_run, loop, train
from saltation.train.config import DataConfig
from saltation.train.run import load_data
from saltation.train.tune import tune

REFIT = {"train__refit": True, "train__report": "last", "train__average": 0.5}


def test_training_and_validation_samples_are_trained_on(tiny, tmp_path, monkeypatch, capsys):
    """60 + 30 of 120 samples, and no others are looked at before the end."""
    seen = []
    epoch = loop.train_epoch

    def watched(config, objective, data, *rest):
        seen.append(np.concatenate([data.labels, data.times]))
        return epoch(config, objective, data, *rest)

    monkeypatch.setattr(loop, "train_epoch", watched)
    monkeypatch.setattr(loop, "evaluate", None)
    run = tmp_path / "run"
    result = train(tiny(**REFIT), out=run)
    whole = load_data(tiny().data)
    taken = whole.take(np.flatnonzero(whole.split < 2))
    assert len(taken) == 90 and len(seen) == 2
    for samples in seen:
        np.testing.assert_array_equal(samples, np.concatenate([taken.labels, taken.times]))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(line["validation_loss"], line["validation_accuracy"]) for line in lines] == [(None, None)] * 2
    assert result["validation_accuracy"] is result["best_epoch"] is None and result["reported_epoch"] == 2
    assert evaluate_run(run)["accuracy"] == result["test_accuracy"]
    out = capsys.readouterr().out
    assert " at epoch 2 (the last; trained on the validation samples too); " in out
    assert [row.split()[3] for row in out.splitlines() if row.startswith("     1 ")] == ["-"]
    assert main(["eval", str(run), "--split", "validation"]) == 2  # nothing that it was not trained on
    assert "has no validation samples" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match="best.safetensors"):
        load_run(run, "best")


def test_it_goes_on_where_it_was_stopped(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(plot, "run_pictures", lambda *_: None)
    config = tiny(train__epochs=3, train__jitter=0.01, **REFIT)
    train(config, out=tmp_path / "whole", quiet=True)

    def stop(line):
        if line["epoch"] == 1:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(config, out=tmp_path / "parts", quiet=True, on_epoch=stop)
    train(resume=tmp_path / "parts", quiet=True)
    assert snapshot(tmp_path / "parts") == snapshot(tmp_path / "whole")


def test_no_validation_samples_are_needed(recording):
    """One sample of each class to train on: none can be taken to validate with."""
    with np.load(recording) as old:
        arrays = {**old, "split": np.where(np.arange(60) < 3, 0, 2)}
    np.savez(recording, **arrays)
    config = DataConfig("events", str(recording))
    with pytest.raises(ValueError, match="has no validation samples"):
        load_data(config)
    assert len(load_data(config, refit=True).subset("train")) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train__report": "best"}, "train.refit trains on the validation samples too, .* set train.report last"),
        ({"train__starts": 2, "train__start_epochs": 1}, "none are left to choose among train.starts 2; set it to 1"),
    ],
)
def test_what_needs_validation_is_refused(tiny, changes, message):
    with pytest.raises(ValueError, match=message):
        tiny(**{**REFIT, **changes})


@pytest.mark.parametrize("search", ["train.lr.weight=0.01,0.02", "train.refit=false,true"])
def test_a_search_is_refused(tmp_path, search):
    overrides = {"train.report": "last", "train.refit": "lr" in search}
    with pytest.raises(ValueError, match="train.refit leaves no validation samples to choose by; search without it"):
        tune(YIN_YANG_NETWORK, [search], 1, tmp_path / "out", overrides)
    assert not (tmp_path / "out").exists()


def test_export_to_a_profile_gives_no_accuracy_on_samples_that_were_trained_on(recording, tmp_path, capsys):
    pytest.importorskip("nir")
    with np.load(recording) as old:
        arrays = {**old, "split": np.where(np.arange(60) < 48, 0, 1)}
    np.savez(recording, **arrays)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"data: {{name: events, path: {recording}, duration: 1.0}}\nloss: {{name: readout}}\ntrain: {{epochs: 1}}\n"
        "model: {layers: [{size: 6, tau_mem: 0.5, tau_syn: 0.2}, {neuron: li, tau_mem: 0.5, tau_syn: 0.2}]}\n"
    )
    refit = {key.replace("__", "."): value for key, value in REFIT.items()}
    for name, settings in (("refitted", refit), ("validated", {})):
        train(load_config(recipe, settings), tmp_path / name, quiet=True)
        capsys.readouterr()
        export = ["export", str(tmp_path / name), "--to", "nir", "--lossy", "--profile", "brainscales_2"]
        assert main(export) == 0
        lines = [line for line in capsys.readouterr().out.splitlines() if "accuracy" in line]
        if name == "refitted":
            assert lines == [f"no accuracy before and after: it was trained on all samples of {recording}"]
        else:
            assert [line.split(":")[0] for line in lines] == [f"validation accuracy {w}" for w in ("before", "after")]
        assert (tmp_path / name / "network.nir").exists()

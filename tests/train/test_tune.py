"""saltation tune: what it finds, how it goes on, and what it refuses."""

import json

import pytest

from saltation.cli import main
from saltation.experiments.tasks import YIN_YANG_NETWORK
from saltation.train import load_config
from saltation.train.tune import tune

TINY = {"data.options": {"sizes": [60, 30, 30]}, "train.epochs": 2, "train.batch_size": 30, "model.layers.0.size": 5}


def test_a_search_goes_on_where_it_was(tmp_path):
    search = ["train.lr.weight=log:1e-3:1e-1", "model.layers.0.size=3:6", "train.schedule=cosine,constant"]
    overrides = {**TINY, "seed": 1}
    tune(YIN_YANG_NETWORK, search, 2, tmp_path, overrides, quiet=True)
    assert sorted(path.name for path in (tmp_path / "trials").iterdir()) == ["0", "1"]
    written = (tmp_path / "trials" / "0" / "result.json").stat().st_mtime_ns
    best = tune(YIN_YANG_NETWORK, search, 3, tmp_path, overrides, quiet=True)
    assert sorted(path.name for path in (tmp_path / "trials").iterdir()) == ["0", "1", "2"]
    assert (tmp_path / "trials" / "0" / "result.json").stat().st_mtime_ns == written  # not done again
    results = [json.loads((tmp_path / "trials" / str(n) / "result.json").read_text()) for n in range(3)]
    assert all(result["test_accuracy"] is None for result in results)
    first = load_config(tmp_path / "trials" / "0" / "config.yaml")
    assert (first.train.lr.weight, first.model.layers[0].size) == (0.02, 5)  # the recipe itself
    chosen = max(results, key=lambda result: result["validation_accuracy"])
    assert chosen["validation_accuracy"] > 0
    config = load_config(tmp_path / "best.yaml")
    assert config.train.lr.weight == best["train.lr.weight"] and config.train.epochs == 2
    assert tune(YIN_YANG_NETWORK, search, 3, tmp_path, overrides, quiet=True) == best  # nothing left to do


def test_a_trial_that_fails_does_not_end_the_search(tmp_path, capsys):
    options = ["--search", "model.layers.0.weights.mean=2.0,1e200", "--trials", "4", "--out", str(tmp_path)]
    settings = ["--data.options", "{sizes: [60, 30, 30]}", "--train.epochs", "1", "--model.layers.0.size", "5"]
    assert main(["tune", YIN_YANG_NETWORK, *options, *settings]) == 0
    out = capsys.readouterr().out
    assert out.count("trial ") >= 4 and "best: validation" in out and str(tmp_path / "best.yaml") in out


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("train.lr.weight", "write KEY=LOW:HIGH"),
        ("train.lr.weight=2:1", "LOW must be below HIGH"),
        ("train.lr.weight=log:0:1", "with log above 0"),
        ("train.lr.wait=1:2", "Key 'wait' not in 'LearningRates'"),
        ("train.drop=0.1:1.0", "train.drop is 1.0"),
    ],
)
def test_bad_searches_leave_nothing_behind(search, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        tune(YIN_YANG_NETWORK, [search], 2, tmp_path / "out")
    assert not (tmp_path / "out").exists()

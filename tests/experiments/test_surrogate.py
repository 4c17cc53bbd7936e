"""Training on a grid: it learns, goes on where it was stopped, and says what it did."""

import json
import math

import numpy as np
import pytest
import surrogate
import torch
from train.faults import snapshot

from saltation import plot
from saltation.experiments.grid import then, train
from saltation.experiments.grid.pack import Settings
from saltation.train import load_config, loop, state
from saltation.train.checkpoint import read_checkpoint, unprefixed
from saltation.train.run import RunFolder

TINY = {
    "data.options.publication": False,
    "data.options.sizes": [60, 30, 30],
    "train.batch_size": 20,
    "train.epochs": 3,
    "model.layers.0.size": 8,
}


def readout_recipe(tmp_path):
    """Yin-Yang read out by leaky integrators."""
    recipe = tmp_path / "readout.yaml"
    recipe.write_text(
        """
name: readout
data: {name: yin_yang, options: {publication: false, sizes: [90, 30, 30]}}
model:
  layers:
    - {size: 8, tau_mem: 2.0, tau_syn: 1.0, delay: synaptic, max_delay: 1.0, train: [threshold]}
    - {neuron: li, size: null, tau_mem: 2.0, tau_syn: 1.0, weights: {mean: 0.0, std: 0.3}}
loss: {name: readout, readout: weighted, window: 4.0, scale: 3.0}
train: {epochs: 3, batch_size: 20, hidden_drop: 0.1, jitter: 0.05, average: 0.9, lr: {weight: 0.02}}
"""
    )
    return str(recipe)


def test_it_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    config = load_config(readout_recipe(tmp_path))
    whole = train.train_twin(config, Settings(0.1), tmp_path / "whole")
    epoch = train.train_epoch

    def stop(*arguments):
        if arguments[-1].epoch == 1:
            raise KeyboardInterrupt
        return epoch(*arguments)

    monkeypatch.setattr(train, "train_epoch", stop)
    with pytest.raises(KeyboardInterrupt):
        train.train_twin(config, Settings(0.1), tmp_path / "stopped")
    monkeypatch.setattr(train, "train_epoch", epoch)
    again = train.train_twin(config, Settings(0.1), tmp_path / "stopped")
    for result in (whole, again):
        result.pop("cpu_seconds_per_epoch")
    assert whole == again
    lines = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "stopped")
    ]
    for name in ("loss", "validation_loss"):
        assert [line[name] for line in lines[0]] == [line[name] for line in lines[1]]
    assert whole["last_validation"]["grid"] == lines[0][-1]["validation_accuracy"]  # both of the average
    assert lines[0][-1]["loss"] < lines[0][0]["loss"]


def test_the_exact_network_goes_on_from_the_grid(tmp_path, monkeypatch):
    """From the parameters that the run on the grid reports; stopped and continued it is the same."""
    monkeypatch.setattr(plot, "run_pictures", lambda *_: None)
    recipe = readout_recipe(tmp_path)
    changes = {"train.epochs": 2, "train.report": "last"}
    train.train_twin(load_config(recipe, changes), Settings(0.1), tmp_path / "grid", test=False)
    further = load_config(recipe, {**changes, "train.epochs": 3, "model.layers.0.smoothing": 0.3})
    start = RunFolder(tmp_path / "grid")
    whole = then.train_on(start, "last", further, tmp_path / "whole", test=False)
    begun = read_checkpoint(tmp_path / "whole" / "initial.safetensors")[0]
    reached = unprefixed("average.module", read_checkpoint(start.checkpoint("last"))[0])
    for prefix in ("model", "average.module"):
        assert all(torch.equal(value, reached[name]) for name, value in unprefixed(prefix, begun).items())
    assert int(begun["average.n_averaged"]) == 0
    lines = RunFolder(tmp_path / "whole").read_metrics(3)
    assert all(line["ghost_share"] > 0 for line in lines) and whole["epochs"] == whole["reported_epoch"] == 3
    assert whole["validation_accuracy"] == lines[2]["validation_accuracy"] and whole["test_accuracy"] is None

    save = state.save_state

    def stop(run, now):
        save(run, now)
        if now.epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_state", stop)
    with pytest.raises(KeyboardInterrupt):
        then.train_on(start, "last", further, tmp_path / "parts", test=False)
    monkeypatch.setattr(loop, "save_state", save)
    again = then.train_on(start, "last", further, tmp_path / "parts", test=False)
    assert {**again, "cpu_seconds_per_epoch": 0} == {**whole, "cpu_seconds_per_epoch": 0}
    assert snapshot(tmp_path / "parts") == snapshot(tmp_path / "whole")
    for change, message in (
        ({"train.epochs": 4, "model.layers.0.smoothing": 0.3}, "train.epochs is 4"),
        ({"model.layers.0.tau_mem": 3.0}, "model.layers.0.tau_mem is 3.0"),
    ):
        place = tmp_path / ("whole" if "train.epochs" in change else "other")
        with pytest.raises(ValueError, match=message):
            then.train_on(start, "last", load_config(recipe, {**changes, **change}), place)


def test_the_command_records_what_comes_after_the_grid(tmp_path, monkeypatch):
    """Two ways to go on from one run on the grid."""
    recipe, results = readout_recipe(tmp_path), {}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(surrogate, "write", results.__setitem__)
    monkeypatch.setattr(surrogate, "ProcessPoolExecutor", Here)
    command = ["surrogate.py", recipe, "--dt", "0.1", "--set", "train.epochs=1", "--then", "2"]
    for further in ([], ["--then-set", "model.layers.0.smoothing=0.3"]):
        monkeypatch.setattr("sys.argv", [*command, *further])
        surrogate.main()
    plain, smooth = results.values()
    assert list(results)[1] == "surrogate_readout_dt0.1_slope10_then2_smoothing0.3"
    assert smooth["then"] == {"model.layers.0.smoothing": 0.3, "train.epochs": 2}
    assert plain["runs"][0]["last_test"] == smooth["runs"][0]["last_test"]
    for result in (plain, smooth):
        after = result["runs"][0]["then"]
        assert after["epochs"] == 2 and result["then_test"]["mean"] == round(100 * after["test_accuracy"], 2)
        assert result["then_validation"]["std"] is None and result["then_cpu_seconds_per_epoch"] > 0
    monkeypatch.setattr("sys.argv", ["surrogate.py", recipe, "--then-set", "seed=3"])
    with pytest.raises(SystemExit, match="give both"):
        surrogate.main()


class Here:
    """A pool that works in this process."""

    def __init__(self, jobs, mp_context=None):
        self.map = map

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def test_first_spikes_are_learnt(tmp_path):
    config = load_config("yin_yang", {**TINY, "data.options.sizes": [400, 30, 30]})
    result = train.train_twin(config, Settings(0.05), tmp_path / "run")
    history = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert history[-1]["loss"] < history[0]["loss"] and history[-1]["accuracy"] > 0.5
    assert result["epochs"] == 3 and 0.0 <= result["best_test"]["continuous"] <= 1.0


def test_what_cannot_be_trained_is_refused(tmp_path):
    for changes, message in (
        ({"loss": {"name": "van_rossum"}}, "van_rossum"),
        ({"train.starts": 2, "train.start_epochs": 1}, "train.starts"),
        ({"train.peak_hinge": 1.0}, "train.peak_hinge"),
        ({"train.refit": True, "train.report": "last"}, "train.refit"),
        ({"train.hidden_jitter": 0.1}, "train.hidden_jitter"),
        ({"train.hardware": {"weight_bits": 4}}, "train.hardware"),
    ):
        with pytest.raises(ValueError, match=message):
            train.train_twin(load_config("yin_yang", {**TINY, **changes}), Settings(0.1), tmp_path / message)


def test_cross_entropy():
    values = np.random.default_rng(0).standard_normal((4, 3))
    labels = np.array([0, 2, 1, 1])
    loss, gradient = train.cross_entropy_of(3.0, values, labels)
    assert math.isclose(loss[1], np.log(np.exp(3 * values[1]).sum()) - 3 * values[1, 2])
    for b, c in ((0, 0), (2, 1), (3, 2)):
        moved = values.copy()
        moved[b, c] += 1e-6
        slope = (train.cross_entropy_of(3.0, moved, labels)[0] - loss)[b] / 1e-6
        assert abs(slope - gradient[b, c]) < 1e-5


def test_summary_of_runs():
    run = {f"{w}_{n}": {"grid": 0.5, "continuous": 0.25} for w in ("best", "last") for n in ("validation", "test")}
    runs = [{**run, "cpu_seconds_per_epoch": 2.0}, {**run, "cpu_seconds_per_epoch": 4.0}]
    table = surrogate.summary(runs, True)
    assert table["best_test_grid"] == {"mean": 50.0, "std": 0.0}
    assert table["cpu_seconds_per_epoch"] == 3.0
    assert "last_test_grid" not in surrogate.summary(runs[:1], False)

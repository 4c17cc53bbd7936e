"""Training on a grid: it learns, says what it did, and the exact network goes on from there."""

import json
import math

import numpy as np
import pytest
import torch

from saltation import plot
from saltation.experiments.grid import train
from saltation.experiments.grid.begin import begin_run
from saltation.experiments.grid.pack import Settings
from saltation.train import load_config
from saltation.train import train as train_exactly
from saltation.train.checkpoint import read_checkpoint, unprefixed
from saltation.train.run import RunFolder, load_data

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


def metrics(run):
    """One mapping an epoch."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_leaky_integrators_are_trained(tmp_path):
    result = train.train_twin(load_config(readout_recipe(tmp_path)), Settings(0.1), tmp_path / "run", test=False)
    lines = metrics(tmp_path / "run")
    assert [line["epoch"] for line in lines] == [1, 2, 3] and lines[-1]["loss"] < lines[0]["loss"]
    assert result["validation_grid"] == lines[-1]["validation_accuracy"]  # both of the average
    assert result["test_grid"] is result["test_continuous"] is None
    tensors, record = read_checkpoint(tmp_path / "run" / "last.safetensors")
    assert record["epoch"] == 3 and int(tensors["average.n_averaged"]) > 0


def test_the_exact_network_goes_on_from_the_grid(tmp_path, monkeypatch):
    """From the parameters that answered for the run on the grid, with an average and an optimiser of its own."""
    monkeypatch.setattr(plot, "run_pictures", lambda *_: None)
    recipe, place = readout_recipe(tmp_path), tmp_path / "exact"
    train.train_twin(load_config(recipe, {"train.epochs": 2}), Settings(0.1), tmp_path / "grid", test=False)
    start = RunFolder(tmp_path / "grid").checkpoint("last")
    further = load_config(recipe, {"train.epochs": 1, "model.layers.0.smoothing": 0.3})
    dataset = load_data(further.data)
    begin_run(further, dataset, place, start)
    begun, reached = read_checkpoint(place / "initial.safetensors")[0], read_checkpoint(start)[0]
    for prefix in ("model", "average.module"):
        parameters = unprefixed("average.module", reached)
        assert all(torch.equal(value, parameters[name]) for name, value in unprefixed(prefix, begun).items())
    assert int(begun["average.n_averaged"]) == 0 < int(reached["average.n_averaged"])
    train_exactly(resume=place, quiet=True, test=False)
    assert RunFolder(place).read_metrics(1)[0]["ghost_share"] > 0
    other = load_config(recipe, {"model.layers.0.tau_mem": 3.0})
    with pytest.raises(ValueError, match=r"model.layers.0.tau_mem is 3.0"):
        begin_run(other, dataset, tmp_path / "other", start)


def test_first_spikes_are_learnt(tmp_path):
    config = load_config("yin_yang", {**TINY, "data.options.sizes": [400, 30, 30]})
    result = train.train_twin(config, Settings(0.05), tmp_path / "run")
    history = metrics(tmp_path / "run")
    assert history[-1]["loss"] < history[0]["loss"] and history[-1]["accuracy"] > 0.5
    assert len(history) == 3 and 0.0 < result["test_continuous"] <= 1.0


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

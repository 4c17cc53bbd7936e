"""Predictions, silent answers, and which fraction of silence counts where."""

import numpy as np
import pytest
import torch

import saltation as sal
from saltation.train import evaluate, load_config
from saltation.train.objective import Objective
from saltation.train.run import load_data


def layer(inputs, size):
    return sal.Layer(sal.Linear(inputs, size), sal.LIF(size, tau_mem=2.0, tau_syn=1.0))


@pytest.fixture
def silent(tiny):
    """A network that never spikes."""
    model = sal.Sequential(layer(2, 3), layer(3, 3))
    with torch.no_grad():
        for part in model:
            part.connection.weight.fill_(1e-6)
    return model


@pytest.fixture
def samples():
    """Three samples, one of each class."""
    times, channels = np.array([0.1, 0.2, 0.3]), np.array([0, 1, 0])
    return sal.data.EventDataset(times, channels, np.arange(4), labels=np.arange(3), split=np.zeros(3, np.int64))


def test_silence_is_no_answer(tiny, silent, samples):
    result = evaluate(silent, Objective(tiny()), samples, 2)
    assert result["accuracy"] == 0.0 and result["silent_outputs"] == 1.0
    assert result["confusion"] == [[0, 0, 0, 1]] * 3  # not class 0


@pytest.mark.parametrize("half", [0, 1])
def test_each_layer_has_its_fraction_of_silence(tiny, half):
    """Half of the samples spike: neurons are bumped where at most a third may be silent, not where two thirds may."""
    fractions = {"train__bump__hidden_fraction": 1 / 3, "train__bump__output_fraction": 2 / 3}
    if half:
        fractions = dict(zip(fractions, reversed(fractions.values()), strict=True))
    objective = Objective(tiny(train__bump__amount=0.5, **fractions))
    model = sal.Sequential(layer(2, 4), layer(4, 3))
    with torch.no_grad():
        for part in model:
            part.connection.weight.fill_(10.0)
    spikes = sal.Spikes.from_lists([[(0.1, 0)], []], num_units=2, duration=6.0)
    before = [part.connection.weight.clone() for part in model]
    results = model.run(spikes)
    assert [result.spikes.counts().bool().float().mean() for result in results] == [0.5, 0.5]
    assert objective.revive(model, results) == (3 if half else 4)
    moved = [not torch.equal(part.connection.weight, old) for part, old in zip(model, before, strict=True)]
    assert moved == ([False, True] if half else [True, False])


def test_every_class_keeps_training_samples(recording):
    """Whatever fraction validates: a class moved wholly to validation could not be learned."""
    changes = {"data.name": "events", "data.path": str(recording), "data.options": {}}
    for fraction in (0.001, 0.5, 0.999):
        data = load_data(load_config("braille", {**changes, "data.split_key": None, "data.duration": None,
                                                 "data.validation_fraction": fraction}).data)  # fmt: skip
        for label in range(3):
            train, validation = (int(((data.labels == label) & (data.split == code)).sum()) for code in (0, 1))
            assert train + validation == 16 and 1 <= validation <= 15, (fraction, label)

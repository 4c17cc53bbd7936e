"""What TensorBoard is given, read back with its own reader."""

import json
import sys

import pytest

from saltation.cli import main
from saltation.parameters import parameters
from saltation.train import load_run, loop, train


@pytest.fixture
def read():
    """The events of a run as TensorBoard accumulates them."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    def load(run):
        events = accumulator.EventAccumulator(str(run / "tensorboard"), size_guidance={"histograms": 0})
        events.Reload()
        return events

    return load


def scalars(events, tag):
    return [(event.step, event.value) for event in events.Scalars(tag)]


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_figures_are_those_of_the_metrics(tiny, tmp_path, read):
    run = tmp_path / "run"
    train(tiny(), out=run, quiet=True, tensorboard=True)
    events, lines = read(run), metrics(run)
    for tag, key in (
        ("loss/training", "loss"), ("accuracy/validation", "validation_accuracy"), ("others/grazing", "grazing"),
    ):  # fmt: skip
        assert scalars(events, tag) == [(k, pytest.approx(line[key], rel=1e-6)) for k, line in enumerate(lines, 1)]
    rates = [(k, pytest.approx(line["spikes_by_layer"][1])) for k, line in enumerate(lines, 1)]
    assert scalars(events, "spikes per neuron/layer 1") == rates
    delays = parameters(load_run(run, "last")[0])["layer 1"].delays.values
    histogram = events.Histograms("delays/layer 1")[-1].histogram_value
    assert histogram.num == delays.size and histogram.sum == pytest.approx(delays.sum())
    assert len(events.Histograms("threshold/layer 0")) == 2


def test_after_a_crash_no_epoch_is_there_twice(tiny, tmp_path, read, monkeypatch):
    run = tmp_path / "run"
    saved = []

    def save(*arguments):
        saved.append(1)
        if len(saved) == 2:
            raise OSError("the disk is full")
        original(*arguments)

    original = loop.save_state
    monkeypatch.setattr(loop, "save_state", save)  # after the epoch was written for TensorBoard
    with pytest.raises(OSError, match="the disk is full"):
        train(tiny(train__epochs=3), out=run, quiet=True, tensorboard=True)
    monkeypatch.undo()
    train(resume=run, quiet=True, tensorboard=True)
    expected = [(k, pytest.approx(line["loss"])) for k, line in enumerate(metrics(run), 1)]
    assert len(expected) == 3 and scalars(read(run), "loss/training") == expected


def test_switched_on_later_it_has_the_epochs_before(tiny, tmp_path, read):
    run = tmp_path / "run"
    train(tiny(), out=run, quiet=True)
    assert not (run / "tensorboard").exists()
    assert main(["train", "--resume", str(run), "--tensorboard", "--quiet"]) == 0
    assert [step for step, _ in scalars(read(run), "loss/training")] == [1, 2]


def test_without_the_package(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert main(["train", "yin_yang", "--tensorboard", "--out", str(tmp_path / "run")]) == 2
    assert "pip install 'saltation[tensorboard]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()

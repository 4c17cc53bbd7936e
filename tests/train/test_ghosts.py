"""The share of the gradient that comes from ghosts: right, shown, and without a trace in what is trained."""

import copy
import json

import numpy as np
import pytest
import torch

import saltation as sal
from saltation.data.augment import drop
from saltation.plot import figures as drawing
from saltation.train import loop, train
from saltation.train.checkpoint import read_checkpoint
from saltation.train.ghosts import ghost_share, smoothed_layers
from saltation.train.progress import GHOSTS

READOUT = {  # whatever arrives counts for it; and neurons that spike again have near misses
    "model__layers__0__refractory": 0.0,
    "model__layers__1": {"neuron": "li"},
    "loss": {"name": "readout", "readout": "integral"},
}
RANDOM = {"train__jitter": 0.05, "train__hidden_drop": 0.3, "train__blend": 0.5, "train__counts__weight": 0.1}


def small_network(smoothing):
    generator = torch.Generator().manual_seed(0)
    layers = [
        sal.Layer(sal.Linear(3, 20), sal.LIF(20, 2.0, 1.0, train=("threshold",)), smoothing=smoothing),
        sal.Layer(sal.Linear(20, 4), sal.LIF(4, 2.0, 1.0), smoothing=smoothing),
        sal.Layer(sal.Linear(4, 2), sal.LI(2, 2.0, 1.0)),
    ]
    for layer, mean in zip(layers, (1.8, 0.4), strict=False):
        sal.init.normal_(layer, mean, mean, generator)
    times = torch.rand(10, 3, generator=generator).tolist()
    return sal.Sequential(*layers), sal.Spikes.from_lists(
        [[(t, k) for k, t in enumerate(row)] for row in times], 3, 8.0
    )


def gradient(model, spikes, seed):
    """Of a loss with random omissions, as one vector; and the state of the generator before it."""
    generator = torch.Generator().manual_seed(seed)
    drawn = generator.get_state()

    def step():
        results = model.run(spikes, between=lambda sent: drop(sent, 0.3, generator))
        return results[-1].integral().square().sum(), "more"

    model.zero_grad()
    step()[0].backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()]), step, generator, drawn


def test_the_share_by_hand():
    model, spikes = small_network(0.3)
    plain, _ = small_network(0.0)
    plain.load_state_dict(model.state_dict())
    smooth, step, generator, drawn = gradient(model, spikes, 5)
    exact, *_ = gradient(plain, spikes, 5)
    now = generator.get_state()
    share = ghost_share(model, step, generator, drawn)
    assert share == pytest.approx(float((smooth - exact).norm() / smooth.norm()), rel=1e-4) and 0.05 < share < 2.0
    assert torch.equal(smooth, torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
    assert torch.equal(generator.get_state(), now) and not torch.equal(now, drawn)
    assert [layer.smoothing for layer in model] == [0.3, 0.3, 0.0] and len(smoothed_layers(model)) == 2


def test_without_ghosts_or_gradient():
    few, spikes = small_network(1e-9)  # no potential comes so near
    _, *rest = gradient(few, spikes, 0)
    assert ghost_share(few, *rest) == 0.0
    for parameter in few.parameters():
        parameter.grad.zero_()
    assert ghost_share(few, *rest) is None


def test_an_error_leaves_no_trace():
    model, spikes = small_network(0.3)
    _, _, generator, drawn = gradient(model, spikes, 0)
    now = generator.get_state()
    with pytest.raises(ZeroDivisionError):
        ghost_share(model, lambda: (1 / 0,), generator, drawn)
    assert [layer.smoothing for layer in model] == [0.3, 0.3, 0.0] and torch.equal(generator.get_state(), now)


def test_training_is_the_same_with_and_without_the_measurement(tiny, tmp_path, monkeypatch):
    """Random changes and omissions, whose draws are repeated and then taken back."""
    config = tiny(model__layers__0__smoothing=0.3, **READOUT, **RANDOM)
    train(config, out=tmp_path / "with", quiet=True)
    monkeypatch.setattr(loop, "ghost_share", lambda *_: None)
    train(config, out=tmp_path / "without", quiet=True)
    files = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("with", "without")]
    lines = [[{**json.loads(line), "seconds": 0, "cpu_seconds": 0} for line in file] for file in files]
    assert all(0.01 < line["ghost_share"] < 2.0 for line in lines[0])
    assert lines[1] == [{**line, "ghost_share": None} for line in lines[0]]
    ends = [read_checkpoint(tmp_path / name / "last.safetensors")[0] for name in ("with", "without")]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_the_first_batch_of_an_epoch_is_measured(tiny, tmp_path, monkeypatch):
    """Against networks with and without smoothing that are given the very batch."""
    measured = []
    share = loop.ghost_share

    def watched(model, step, generator, drawn, processes):
        _, objective, spikes, labels, between, weight = step.args
        assert between is None and weight == processes.count == 1
        norms = []
        for smoothing in (0.3, 0.0):
            twin = copy.deepcopy(model)
            twin.zero_grad()
            twin[0].smoothing = smoothing
            objective(twin.run(spikes), labels)[0].backward()
            norms.append(torch.cat([p.grad.flatten() for p in twin.parameters() if p.grad is not None]))
        measured.append(float((norms[0] - norms[1]).norm() / norms[0].norm()))
        return share(model, step, generator, drawn, processes)

    monkeypatch.setattr(loop, "ghost_share", watched)
    train(tiny(model__layers__0__smoothing=0.3, **READOUT), out=tmp_path / "run", quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["ghost_share"] for line in lines] == pytest.approx(measured, rel=1e-4)


def test_ghosts_are_told_and_drawn(tiny, tmp_path, monkeypatch, capsys):
    figures = []
    monkeypatch.setattr(drawing, "save", lambda figure, path: figures.append((path.name, figure.axes)))
    for smoothing in (0.3, 0.0):
        out = tmp_path / str(smoothing)
        train(tiny(model__layers__0__smoothing=smoothing, **READOUT), out=out)
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        told = capsys.readouterr().out
        assert (GHOSTS in told) == (smoothing > 0)
        axes = next(axes for name, axes in figures if name == "learning_curves.png")
        curves = {axis.get_title(): np.asarray(axis.lines[0].get_ydata()).tolist() for axis in axes if axis.lines}
        figures.clear()
        if smoothing == 0.0:
            assert len(curves) == 6 and all(line["ghost_share"] is None for line in lines)
            continue
        last = f"{lines[1]['ghosts_per_spike']:14.3f}{100 * lines[1]['ghost_share']:15.2f}"
        assert any(row.startswith("     2 ") and row.endswith(last) for row in told.splitlines())
        assert curves["ghosts (near misses)"] == [line["ghosts_per_spike"] for line in lines]
        assert curves["gradient from ghosts"] == [100 * line["ghost_share"] for line in lines]

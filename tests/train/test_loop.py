import json

import pytest
import torch

from saltation import plot
from saltation.train import Interrupted, evaluate_run, load_run, loop, train
from saltation.train.checkpoint import read_checkpoint


def same_checkpoint(a, b):
    (tensors_a, record_a), (tensors_b, record_b) = read_checkpoint(a), read_checkpoint(b)
    assert tensors_a.keys() == tensors_b.keys()
    for name, tensor in tensors_a.items():
        assert torch.equal(tensor, tensors_b[name]), name
    assert {**record_a, "seconds": 0} == {**record_b, "seconds": 0}


def without_clock(run):
    return [
        {**json.loads(line), "seconds": 0, "cpu_seconds": 0}
        for line in (run / "metrics.jsonl").read_text().splitlines()
    ]


def test_a_run_leaves_everything_behind(tiny, tmp_path, capsys):
    result = train(tiny(), out=tmp_path / "run", quiet=True)
    assert capsys.readouterr().out == ""
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        *(".lock", "config.yaml", "environment.json", "metrics.jsonl", "result.json"),
        *("initial.safetensors", "best.safetensors", "last.safetensors"),
        *("learning_curves.png", "sample.png", "parameters.png", "confusion.png"),
    }
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result
    lines = without_clock(tmp_path / "run")
    assert [line["epoch"] for line in lines] == [1, 2]
    for name in ("loss", "accuracy", "validation_accuracy", "spikes_per_neuron", "silent_neurons", "silent_outputs"):
        assert 0 <= lines[0][name] < 10
    assert lines[0]["grazing"] >= 0 and 0 < lines[0]["gradient_norm"] <= lines[0]["gradient_norm_max"]
    assert result["parameters"] == 2 * (4 * 6 + 6 * 3) + 6 + 3
    assert result["validation_accuracy"] == max(line["validation_accuracy"] for line in lines)
    assert evaluate_run(tmp_path / "run")["accuracy"] == result["test_accuracy"]
    with pytest.raises(ValueError, match="holds a run already; continue it with --resume"):
        train(tiny(), out=tmp_path / "run", quiet=True)


def test_every_trained_kind_of_parameter_moves(tiny, tmp_path):
    train(tiny(train__lr__tau=0.01, model__layers__0__train=["threshold", "tau_mem"]), out=tmp_path / "a", quiet=True)
    before, after = (load_run(tmp_path / "a", which)[0].state_dict() for which in ("initial", "last"))
    for name, value in after.items():
        if name.endswith(("weight", "raw_delay", "threshold")) or name == "layers.0.neuron.tau_mem":
            assert not torch.equal(value, before[name]), name
        else:
            assert torch.equal(value, before[name]), name


def test_smoothing(tiny, tmp_path):
    """Near misses are counted while training, and change it; where nothing is trained there are none."""
    # with readouts, which whatever arrives counts for; and neurons that spike once have no near misses afterwards
    loss = {"name": "readout", "readout": "integral"}
    again = {"model__layers__0__refractory": 0.0, "model__layers__1": {"neuron": "li"}, "loss": loss}
    exact = train(tiny(**again), out=tmp_path / "exact", quiet=True)
    smooth = train(tiny(model__layers__0__smoothing=0.3, **again), out=tmp_path / "smooth", quiet=True)
    assert all(line["ghosts_per_spike"] is None for line in without_clock(tmp_path / "exact"))
    assert all(line["ghosts_per_spike"] > 0.01 for line in without_clock(tmp_path / "smooth"))
    assert exact["test_ghosts_per_spike"] is None and smooth["test_ghosts_per_spike"] is None
    ends = [read_checkpoint(tmp_path / name / "last.safetensors")[0] for name in ("exact", "smooth")]
    assert not torch.equal(*(end["model.layers.0.connection.weight"] for end in ends))
    with pytest.raises(ValueError, match=r"train.peak_hinge is 0.1 but model.layers.0 has a smoothing; choose one"):
        train(tiny(model__layers__0__smoothing=0.3, train__peak_hinge=0.1), out=tmp_path / "both", quiet=True)


def test_learning_rate_zero_freezes(tiny, tmp_path):
    train(tiny(train__lr__delay=0.0), out=tmp_path / "a", quiet=True)
    before, after = (load_run(tmp_path / "a", which)[0].state_dict() for which in ("initial", "last"))
    assert torch.equal(before["layers.0.connection.raw_delay"], after["layers.0.connection.raw_delay"])
    assert not torch.equal(before["layers.0.connection.weight"], after["layers.0.connection.weight"])


def test_hidden_spikes_are_left_out_in_training_only(tiny, tmp_path):
    changes = {"model__layers__0__terminals": 3, "train__lr__weight": 0.0, "train__lr__delay": 0.0}
    changes["train__bump__amount"] = 0.0
    for name, fraction in (("a", 0.0), ("b", 0.9)):
        train(tiny(train__hidden_drop=fraction, train__lr__threshold=1e-9, **changes), out=tmp_path / name, quiet=True)
    whole, dropped = (without_clock(tmp_path / name)[0] for name in ("a", "b"))
    assert whole["validation_loss"] == pytest.approx(dropped["validation_loss"], abs=1e-5)
    assert dropped["silent_outputs"] > whole["silent_outputs"] + 0.3


def test_seed_decides_everything(tiny, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(tiny(seed=seed, train__jitter=0.01), out=tmp_path / name, quiet=True)
    same_checkpoint(tmp_path / "a" / "last.safetensors", tmp_path / "b" / "last.safetensors")
    assert without_clock(tmp_path / "a") == without_clock(tmp_path / "b")
    assert without_clock(tmp_path / "a") != without_clock(tmp_path / "c")


@pytest.mark.parametrize("stop", [(0, 1), (1, 0), (2, 2)])
@pytest.mark.parametrize(("schedule", "average"), [("cosine", 0.0), ("step", 0.9)])
def test_interrupted_and_resumed_is_bit_identical(tiny, tmp_path, monkeypatch, stop, schedule, average):
    changes = {"train__schedule": schedule, "train__step_epochs": 1, "train__average": average}
    config = tiny(train__epochs=4, train__jitter=0.01, **changes)
    train(config, out=tmp_path / "whole", quiet=True)

    progress_batch = loop.Progress.batch
    seen = []

    def interrupt(self, samples):
        progress_batch(self, samples)
        seen.append(samples)
        if len(seen) == 3 * stop[0] + stop[1] + 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop.Progress, "batch", interrupt)
    with pytest.raises(Interrupted, match="continue with: saltation train --resume") as caught:
        train(config, out=tmp_path / "parts", quiet=True)
    assert caught.value.run.path == tmp_path / "parts"
    assert read_checkpoint(tmp_path / "parts" / "last.safetensors")[1]["epoch"] == stop[0]
    assert 0 <= evaluate_run(tmp_path / "parts", "validation")["accuracy"] <= 1
    monkeypatch.undo()

    with (tmp_path / "parts" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 99')  # a crash in the middle of a line
    train(resume=tmp_path / "parts", quiet=True)
    for which in ("last", "best"):
        same_checkpoint(tmp_path / "whole" / f"{which}.safetensors", tmp_path / "parts" / f"{which}.safetensors")
    assert without_clock(tmp_path / "whole") == without_clock(tmp_path / "parts")


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_the_best_of_several_starts_goes_on(tiny, tmp_path, monkeypatch, average):
    config = tiny(train__epochs=3, train__starts=3, train__start_epochs=1, train__average=average)
    result = train(config, out=tmp_path / "whole", quiet=True)
    firsts = [without_clock(tmp_path / "whole" / "starts" / str(k))[0] for k in range(3)]
    assert len({line["loss"] for line in firsts}) == 3
    best = max(range(3), key=lambda k: (firsts[k]["validation_accuracy"], -firsts[k]["validation_loss"]))
    lines = without_clock(tmp_path / "whole")
    assert result["start"] == best and lines[0] == firsts[best] and [line["epoch"] for line in lines] == [1, 2, 3]
    single = train(tiny(train__epochs=3, train__average=average), out=tmp_path / "single", quiet=True)
    assert single["start"] == 0 and without_clock(tmp_path / "single")[0] == firsts[0]

    seen = []
    monkeypatch.setattr(loop.Progress, "batch", lambda self, samples: seen.append(1) or 1 / (len(seen) != 5))
    with pytest.raises(ZeroDivisionError):  # in the second start
        train(config, out=tmp_path / "parts", quiet=True)
    monkeypatch.undo()
    train(resume=tmp_path / "parts", quiet=True)
    same_checkpoint(tmp_path / "whole" / "last.safetensors", tmp_path / "parts" / "last.safetensors")
    assert without_clock(tmp_path / "parts") == lines
    with pytest.raises(ValueError, match="train.start_epochs is 4; it must not exceed train.epochs, 3"):
        train(tiny(train__epochs=3, train__starts=2, train__start_epochs=4), out=tmp_path / "bad", quiet=True)


def test_resuming_a_finished_run_repeats_its_result(tiny, tmp_path):
    first = train(tiny(), out=tmp_path / "a", quiet=True)
    assert train(resume=tmp_path / "a", quiet=True) == first


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": {"name": "first_spike_cross_entropy", "early": 0.01}},
        {"train__optimizer": "adamw", "train__weight_decay": 0.01, "train__schedule": "constant"},
        {"train__peak_hinge": 0.1, "train__peak_margin": 0.1},
        {"train__counts__weight": 0.1, "train__counts__tau": 0.5},
        {"model__layers__0__delay": "axonal", "model__layers__1__delay": "dendritic"},
        {"model__layers__0__delay": "none", "train__clip_norm": 0.0},
        {"model__layers__0__jump": 0.1, "model__layers__0__tau_adapt": 1.0, "model__layers__0__refractory": 0.1},
        {"model__layers__0__weights__mean": None, "model__layers__0__weights__drive": 2.0},
    ],
)
def test_settings(tiny, tmp_path, changes):
    result = train(tiny(**changes), out=tmp_path / "run", quiet=True)
    assert 0 <= result["test_accuracy"] <= 1


def test_silent_networks_are_bumped_awake(tiny, tmp_path):
    weak = {"model__layers__0__weights__mean": 0.0, "model__layers__0__weights__std": 0.01}
    last = []
    for amount in (0.0, 0.5):
        out = tmp_path / str(amount)
        train(tiny(**weak, train__bump__amount=amount, train__epochs=4), out=out, quiet=True)
        last.append(without_clock(out))
    assert last[0][-1]["silent_neurons"] == 1 and last[0][-1]["bumped"] == 0
    assert last[1][-1]["silent_neurons"] < 0.5 and last[1][0]["bumped"] > 0


@pytest.mark.parametrize("readout", ["integral", "weighted", "maximum"])
def test_recording_with_readout(tiny, tmp_path, recording, readout):
    config = {"data__name": "events", "data__path": str(recording), "data__duration": 2.0, "data__options": {}}
    layers = [
        {"size": 8, "delay": "synaptic", "max_delay": 0.5, "tau_mem": 0.5, "tau_syn": 0.2, "train": ["threshold"]},
        {"neuron": "li", "tau_mem": 1.0, "tau_syn": 0.1, "weights": {"mean": 0.0, "std": 0.3}},
    ]
    from saltation.train import load_config

    overrides = {key.replace("__", "."): value for key, value in config.items()}
    more = {"loss.name": "readout", "loss.readout": readout, "train.epochs": 2, "train.lr.readout": 0.02}
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps({"model": {"layers": layers}, "loss": {"name": "readout"}}))
    result = train(load_config(file, {**overrides, **more}), out=tmp_path / "run", quiet=True)
    assert result["data"] == str(recording)
    line = without_clock(tmp_path / "run")[0]
    assert line["silent_outputs"] is None and line["validation_accuracy"] * 6 == pytest.approx(
        round(line["validation_accuracy"] * 6)
    )


def test_wrong_output_size(tiny, tmp_path):
    with pytest.raises(ValueError, match="the last layer has size 4 but the data have 3 classes"):
        train(tiny(model__layers__1__size=4), out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_nothing_to_train(tiny, tmp_path):
    frozen = {f"train__lr__{kind}": 0.0 for kind in ("weight", "delay", "threshold")}
    with pytest.raises(ValueError, match="nothing is trained"):
        train(tiny(**frozen), out=tmp_path / "run", quiet=True)


def test_non_finite_numbers_stop_training(tiny, tmp_path, monkeypatch):
    call = loop.Objective.__call__

    def spoiled(factor):
        return lambda self, results, labels: (call(self, results, labels)[0] * factor, call(self, results, labels)[1])

    monkeypatch.setattr(loop.Objective, "__call__", spoiled(float("nan")))
    with pytest.raises(ValueError, match="the loss is nan in epoch 1, batch 1; use a lower learning rate"):
        train(tiny(), out=tmp_path / "a", quiet=True)
    monkeypatch.setattr(loop.Objective, "__call__", call)
    monkeypatch.setattr(
        loop.Objective, "penalty", lambda self, results, weight: Poison.apply(results[-1].spikes.times.sum())
    )
    with pytest.raises(ValueError, match="weight.* is not finite in epoch 1, batch 1: a spike grazes its threshold"):
        train(tiny(), out=tmp_path / "b", quiet=True)


class Poison(torch.autograd.Function):
    """Zero, with an infinite gradient."""

    @staticmethod
    def forward(ctx, value):
        return value * 0

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float("inf")


def test_damaged_runs(tiny, tmp_path):
    with pytest.raises(FileNotFoundError, match="no run at .*nowhere"):
        evaluate_run(tmp_path / "nowhere")
    train(tiny(train__epochs=1), out=tmp_path / "a", quiet=True)
    best = tmp_path / "a" / "best.safetensors"
    best.write_bytes(best.read_bytes()[:-10])
    with pytest.raises(ValueError, match="best.safetensors is damaged or cut short"):
        evaluate_run(tmp_path / "a")
    best.unlink()
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        evaluate_run(tmp_path / "a")


def test_picture_of_a_silent_sample(tiny, tmp_path):
    train(tiny(train__epochs=1), out=tmp_path / "a", quiet=True)
    model, _, data = load_run(tmp_path / "a")
    with torch.no_grad():
        model[0].connection.weight.zero_()
    spikes, _ = data.batch([0])
    plot.save(plot.sample_figure(model, spikes), tmp_path / "silent.png")
    assert (tmp_path / "silent.png").stat().st_size > 1000

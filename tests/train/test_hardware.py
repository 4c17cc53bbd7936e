"""Recipes with `train.hardware`: what is trained, what answers, and what a run keeps."""

import json

import pytest
import torch

from saltation.chips import Chip, Mismatch, OnChip, quantise
from saltation.cli import main
from saltation.train import evaluate, evaluate_run, load_config, load_run, train
from saltation.train.hardware import chip_of, on_hardware
from saltation.train.objective import Objective

CHIP = {"weight_bits": 3, "delay_step": 0.1, "threshold_bits": 4}
NOISE = {"threshold_mismatch": 0.1, "tau_mismatch": 0.1, "weight_noise": 0.05}


def as_keys(hardware):
    return {f"train.hardware.{name}": value for name, value in hardware.items()}


def hardware(tiny, **changes):
    return tiny(**{f"train__hardware__{name}": value for name, value in changes.items()})


def test_the_network_on_the_chip_answers(tiny, tmp_path):
    """Validation, test and evaluation are those of the quantised parameters, which are not those in the checkpoint."""
    result = train(hardware(tiny, **CHIP), tmp_path / "run", quiet=True)
    model, config, data = load_run(tmp_path / "run")
    values = quantise(model, Chip(**CHIP))
    assert len(values) >= 4
    for name, value in values.items():
        assert torch.allclose(value, model.state_dict()[name], rtol=0.0, atol=1e-12), name
    plain = evaluate(model, Objective(config), data.subset("test"), 20)
    assert plain["accuracy"] == result["test_accuracy"] == evaluate_run(tmp_path / "run")["accuracy"]
    config.train.hardware = None
    assert any("raw_delay" in name for name in values)
    weights = {float(w) for w in model[0].connection.weight.detach().flatten()}
    assert len(weights) <= 7


def test_resumed_runs_are_those_of_one_go(tiny, tmp_path):
    """Deviations of trials are drawn from the generator of training, which a checkpoint holds."""

    def stop(line):
        if line["epoch"] == 1:
            raise KeyboardInterrupt

    config = hardware(tiny, **CHIP, **NOISE)
    config.train.hidden_jitter, config.train.hidden_drop = 0.05, 0.1
    whole = train(config, tmp_path / "whole", quiet=True)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "parts", quiet=True, on_epoch=stop)
    assert train(resume=tmp_path / "parts", quiet=True)["test_loss"] == whole["test_loss"]
    last = [(tmp_path / name / "last.safetensors").read_bytes()[-1000:] for name in ("whole", "parts")]
    assert last[0] == last[1]


def test_what_is_drawn_when(tiny):
    config = hardware(tiny, **CHIP, **NOISE).train.hardware
    from saltation.data import load
    from saltation.train.model import build_model

    full = hardware(tiny, **CHIP)
    data = load("yin_yang", publication=False, sizes=[20, 10, 10])
    model = build_model(full.model, data.subset("train"), torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(4)
    training = on_hardware(model, config, generator)
    assert isinstance(training, OnChip) and training.per == "trial" and training.generator is generator
    assert training.mismatch == Mismatch(0.1, 0.1, 0.05) and training.chip == Chip(**CHIP)
    assert on_hardware(model, config).mismatch is None  # noise of trials is not evaluated
    config.per = "device"
    devices = [on_hardware(model, config).device, on_hardware(model, config, generator).device]
    assert all(devices[0][name].equal(devices[1][name]) for name in devices[0])  # the same one in training and after
    config.device = 1
    assert (
        not on_hardware(model, config)
        .device["layers.0.connection.weight"]
        .equal(devices[0]["layers.0.connection.weight"])
    )
    assert on_hardware(model, None) is model


def test_profiles_in_recipes():
    base = load_config("yin_yang", as_keys({"profile": "loihi_2", "time_step": 0.05, "weight_bits": 4}))
    assert chip_of(base.train.hardware) == Chip(weight_bits=4, delay_step=0.05, max_delay=62 * 0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"profile": "loihi"}, "train.hardware.profile is 'loihi'; choose one of brainscales_2, loihi_2, spinnaker_2"),
        ({"profile": "loihi_2"}, "train.hardware: time_step = None: Intel Loihi 2 counts delays in time steps"),
        ({"time_step": 0.1}, "train.hardware.time_step goes with a profile"),
        ({"weight_bits": 1}, "train.hardware.weight_bits is 1; it must be >= 2 and <= 32"),
        ({"tau_mismatch": -0.1}, "train.hardware.tau_mismatch is -0.1; it must be >= 0 and finite"),
        ({"per": "batch"}, "train.hardware.per"),
    ],
)
def test_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        load_config("yin_yang", as_keys(settings))


def test_jitter_of_hidden_spikes_keeps_the_gradient(tiny, tmp_path):
    config = tiny(train__hidden_jitter=0.05)
    train(config, tmp_path / "run", quiet=True)
    before, after = (load_run(tmp_path / "run", which)[0] for which in ("initial", "last"))
    assert not before[0].connection.weight.equal(after[0].connection.weight)


def test_export_to_a_profile(tiny, tmp_path, capsys):
    """What it prints, and that the graph in the file answers as the quantised network does."""
    nir = pytest.importorskip("nir")
    import saltation as sal

    run = tmp_path / "run"
    train(tiny(), run, quiet=True)
    capsys.readouterr()
    arguments = ["export", str(run), "--to", "nir", "--lossy", "--profile"]
    assert main([*arguments, "loihi_2"]) == 2
    assert "counts delays in time steps: say how long one is" in capsys.readouterr().err
    assert main(["export", str(run), "--to", "nir", "--lossy", "--time-step", "0.1"]) == 2
    assert "--time-step is that of the chip of a --profile" in capsys.readouterr().err
    assert main([*arguments, "loihi_2", "--time-step", "0.3"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Intel Loihi 2, loihi_2; not limited, for want of public figures: fan-in")
    assert "layer 0, input weights: rounded to multiples of" in printed
    assert "layer 0, input delays:" in printed
    model, config, data = load_run(run)
    quantised = OnChip(model, Chip(weight_bits=8, delay_step=0.3, max_delay=62 * 0.3)).as_network()
    back = sal.from_nir(nir.read(run / "network.nir"))
    spikes, _ = data.subset("test").batch(list(range(30)))
    ours, theirs = quantised(spikes), back(spikes)
    assert ours.counts().equal(theirs.counts())
    assert torch.allclose(ours.times, theirs.times, rtol=0.0, atol=1e-9)
    before, after = (
        evaluate(net, Objective(config), data.subset("test"), 20)["accuracy"] for net in (model, quantised)
    )
    assert f"test accuracy before: {100 * before:.2f} %" in printed
    assert f"test accuracy after: {100 * after:.2f} %" in printed
    assert json.loads((run / "result.json").read_text())["test_accuracy"] == before

"""What training says when something goes wrong: once, at the right epoch, with a remedy that the recipe knows."""

import pytest
import yaml

from saltation.experiments.tasks import YIN_YANG_NETWORK
from saltation.parameters import parameters
from saltation.train import load_config, load_run, train
from saltation.train.advice import delays_at_bounds, new_remarks, remarks

WELL = {
    "spikes_by_layer": [2.0, 1.0], "silent_by_layer": [0.1, 0.0], "clipped": 0.1, "gradient_norm": 0.5,
    "delays_at_bounds": {"layer 0": [0.02, 0.02], "layer 1": [0.0, 0.0]},
}  # fmt: skip


def history(*changes):
    """One epoch for each."""
    return [{"epoch": epoch, **WELL, **change} for epoch, change in enumerate(changes, 1)]


@pytest.fixture(scope="module")
def config():
    return load_config(YIN_YANG_NETWORK)


def said(lines, config):
    return [(remark.what, remark.epoch) for remark in remarks(lines, config)]


def test_nothing_is_wrong(config):
    assert remarks(history({}, {}, {}, {}), config) == [] == remarks([], config)
    assert new_remarks(history({}), config) == []


def test_metrics_of_earlier_versions(config):
    assert remarks([{"epoch": 1}, {"epoch": 2, "clipped": None}, {"epoch": 3}], config) == []
    odd = {"spikes_by_layer": [None, 0.0], "delays_at_bounds": {"layer 0": [1.0], "layer 9": [1.0, 1.0], "x": 3}}
    assert remarks(history(*[odd] * 4), config) == [] == remarks(history(*[{"delays_at_bounds": None}] * 4), config)


def test_a_silent_layer_is_said_at_once(config):
    lines = history({}, {"spikes_by_layer": [2.0, 0.0]}, {"spikes_by_layer": [2.0, 0.0]}, {})
    assert said(lines, config) == [("silent layer 1", 2)]
    assert new_remarks(lines[:2], config) == [remarks(lines, config)[0].text]
    assert new_remarks(lines[:3], config) == [] == new_remarks(lines, config)
    text = remarks(lines, config)[0].text
    assert "layer 1 sent no spike in epoch 2" in text and "raise train.bump.amount, which is 0.05" in text
    assert "smoothing" not in text  # of a last layer it can also silence more


def test_remedies_that_are_on_are_not_named(config):
    changes = {"train.bump.amount": 0.0, "model.layers.0.smoothing": 0.1}
    lines = history({"spikes_by_layer": [0.0, 0.0]})
    first, second = (remark.text for remark in remarks(lines, load_config(YIN_YANG_NETWORK, changes)))
    assert "or set train.bump.amount" in first and "smoothing" not in first
    changes["model.layers.0.smoothing"] = 0.0
    first, _ = (remark.text for remark in remarks(lines, load_config(YIN_YANG_NETWORK, changes)))
    assert "or set model.layers.0.smoothing 0.1 or set train.bump.amount" in first
    hinge = {**changes, "train.peak_hinge": 0.1}  # which goes with no smoothing
    assert "smoothing" not in remarks(lines, load_config(YIN_YANG_NETWORK, hinge))[0].text


@pytest.mark.parametrize(
    ("change", "what", "text"),
    [
        ({"silent_by_layer": [0.6, 0.0]}, "silent neurons 0", "60 % of the neurons of layer 0 or more never spiked in"),
        ({"clipped": 0.75}, "clipped", "the gradient was clipped in 75 % of the steps or more in epochs 3 to 5"),
        ({"delays_at_bounds": {"layer 1": [0.0, 0.3]}}, "delays layer 1 1", "raise model.layers.1.max_delay, or lower"),
        ({"delays_at_bounds": {"layer 0": [0.3, 0.0]}}, "delays layer 0 0", "30 % of the delays of layer 0 pile up at"),
    ],
)
def test_three_epochs_in_a_row(change, what, text, config):
    bad = [{}, {}, change, change, change, change]
    assert said(history(*bad), config) == [(what, 5)]
    assert text in remarks(history(*bad), config)[0].text
    assert said(history(change, change, {}, change, change), config) == []


def test_the_edges(config):
    """Half of the steps, and a quarter of the delays, are not yet too many; fixed delays may lie where they are."""
    edge = {"clipped": 0.5, "silent_by_layer": [0.5, 0.5], "delays_at_bounds": {"layer 0": [0.25, 0.25]}}
    assert said(history(*[edge] * 4), config) == []
    bound = {"delays_at_bounds": {"layer 0": [0.0, 0.9]}}
    assert said(history(*[bound] * 4), load_config(YIN_YANG_NETWORK, {"train.lr.delay": 0.0})) == []


def test_both_bounds_are_two_faults(config):
    bound = {"delays_at_bounds": {"layer 0": [0.4, 0.4]}}
    assert said(history(*[bound] * 3), config) == [("delays layer 0 0", 3), ("delays layer 0 1", 3)]


def test_clipping_names_a_bound_or_the_rate(config):
    lines = history(*({"clipped": 1.0, "gradient_norm": norm} for norm in (3.0, 3.3, 3.0)))
    assert "its mean norm is 3.1 and train.clip_norm 1; set train.clip_norm 9" in remarks(lines, config)[0].text
    lines = history(*({"clipped": 1.0, "gradient_norm": norm} for norm in (3.0, 5.0, 9.0)))
    assert "lower train.lr.weight, as it grows" in remarks(lines, config)[0].text


def test_spikes_that_run_away():
    config = load_config("spoken_digits")
    rates = [[3.0], [14.0], [16.0], [90.0]]
    lines = history(*({"spikes_by_layer": rate, "silent_by_layer": [0.0]} for rate in rates))
    assert said(lines, config) == [("run away 0", 3)]
    text = remarks(lines, config)[0].text
    assert "16 per neuron and sample in epoch 3, 3 in the first" in text
    for remedy in ("train.counts.target 3,", "model.layers.0.refractory", "model.layers.0.recurrent.std"):
        assert remedy in text
    quiet = history(*({"spikes_by_layer": rate} for rate in ([0.1], [9.0])))  # from next to nothing to a few
    assert said(quiet, config) == []


def test_feedback_has_keys_of_its_own():
    config = load_config("spoken_digits")
    lines = history(*[{"delays_at_bounds": {"layer 0, recurrent": [0.0, 0.5]}}] * 3)
    assert "raise model.layers.0.recurrent.max_delay" in remarks(lines, config)[0].text


def test_remedies_are_legal_settings(config):
    """Every key = value that is named can be set."""
    lines = history({"spikes_by_layer": [0.0, 0.0]}, *[{"clipped": 0.9, "gradient_norm": 2.0}] * 3)
    texts = " ".join(
        remark.text for remark in remarks(lines, load_config(YIN_YANG_NETWORK, {"train.bump.amount": 0.0}))
    )
    weights = texts.partition("weights '")[2].partition("'")[0]
    load_config(YIN_YANG_NETWORK, {"model.layers.0.weights": yaml.safe_load(weights)})
    for key, value in (("train.clip_norm", 6.0), ("model.layers.0.smoothing", 0.1), ("train.bump.amount", 0.01)):
        assert f"{key} {value:g}" in texts
        load_config(YIN_YANG_NETWORK, {key: value})


def test_training_says_it_once(tiny, tmp_path, capsys):
    """A network of weights near zero: both layers are silent, and say so in the first epoch alone, also if resumed."""
    weak = {f"model__layers__{k}__weights__{part}": 0.001 for k in (0, 1) for part in ("mean", "std")}
    config = tiny(**weak, train__bump__amount=0.0, train__epochs=2)
    train(config, out=tmp_path / "run")
    out = capsys.readouterr().out
    assert out.count("note: layer 0 sent no spike in epoch 1") == 1 == out.count("note: layer 1 sent no spike")
    assert out.count("note:") == 2
    (tmp_path / "run" / "result.json").unlink()
    train(resume=tmp_path / "run")
    assert "note:" not in capsys.readouterr().out


def test_what_training_records(tiny, tmp_path, monkeypatch):
    config = tiny(train__epochs=1, train__clip_norm=1e-9)
    seen = []
    train(config, out=tmp_path / "run", quiet=True, on_epoch=seen.append)
    assert seen[0]["clipped"] == 1.0
    model = load_run(tmp_path / "run", "last")[0]
    delays = parameters(model)["layer 0"].delays
    assert seen[0]["delays_at_bounds"] == delays_at_bounds(model)
    assert delays_at_bounds(model)["layer 0"] == [delays.at_low, delays.at_high]
    assert [6 * seen[0]["silent_by_layer"][0], 3 * seen[0]["silent_by_layer"][1]] == [
        pytest.approx(round(6 * seen[0]["silent_by_layer"][0])),
        pytest.approx(round(3 * seen[0]["silent_by_layer"][1])),
    ]
    assert 9 * seen[0]["silent_neurons"] == pytest.approx(
        6 * seen[0]["silent_by_layer"][0] + 3 * seen[0]["silent_by_layer"][1]
    )
    train(tiny(train__epochs=1, train__clip_norm=0.0), out=tmp_path / "free", quiet=True, on_epoch=seen.append)
    assert seen[1]["clipped"] == 0.0

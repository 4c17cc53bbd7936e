"""Pictures: what they show, and that labels keep apart."""

import itertools
import json
import re

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import saltation as sal
from saltation import plot

LINE = {
    "loss": 0.5, "validation_loss": 0.4, "accuracy": 0.25, "validation_accuracy": 0.75, "silent_outputs": 0.1,
    "silent_neurons": 0.2, "gradient_norm": 0.3, "gradient_norm_max": 3.0, "grazing": 7, "spikes_by_layer": [1.5, 0.5],
    "ghosts_per_spike": 0.5, "ghost_share": 0.125,
}  # fmt: skip
HISTORY = [{"epoch": 1, **LINE}, {"epoch": 2, **LINE, "accuracy": 0.5, "spikes_by_layer": [2.5, 0.25]}]
CURVES = ["loss", "accuracy", "silence", "gradient", "grazing", "rate", "ghost", "ghost_share"]


@pytest.fixture
def axes():
    return Figure().subplots()


def drawn(axes):
    """What lines show, by their labels."""
    return {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in axes.get_lines()}


def readouts(inputs=16):
    """A convolution, a pool and a readout."""
    image = sal.Conv2d((1, 4, 4), 2, 1, generator=torch.Generator().manual_seed(0))
    torch.nn.init.constant_(image.weight, 5.0)
    pool = sal.SumPool2d(image.out_shape, 2)
    network = sal.Sequential(
        sal.Layer(image, sal.LIF(2, 2.0, 1.0)), pool, sal.Layer(sal.Linear(pool.out_size, 3), sal.LI(3, 2.0, 1.0))
    )
    return network, sal.Spikes.from_lists([[(0.1 * i, i) for i in range(16)]], inputs, 6.0)


def test_curves_show_the_metrics(axes):
    plot.accuracy_curve(axes, HISTORY)
    assert drawn(axes) == {"training": [25.0, 50.0], "validation": [75.0, 75.0]}
    assert axes.get_ylabel() == "accuracy (%)" and axes.get_xlabel() == "epoch"


def test_rates_by_layer(axes):
    plot.rate_curve(axes, HISTORY)
    assert drawn(axes) == {"layer 0": [1.5, 2.5], "layer 1": [0.5, 0.25]}


def test_the_bound_of_the_gradient_norm(axes):
    plot.gradient_curve(axes, HISTORY, clip_norm=1.25)
    assert drawn(axes)["clipped to this"] == [1.25, 1.25]


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("history", [[], [{"epoch": 1}], [{"epoch": 1, **dict.fromkeys(LINE)}]])
def test_metrics_that_lack_keys(name, history, axes):
    getattr(plot, f"{name}_curve")(axes, history)
    axes.figure.canvas.draw()
    texts = [text.get_text() for text in (*axes.texts, *(axes.get_legend().texts if axes.get_legend() else ()))]
    if history and "loss" not in history[0] and "ghost" not in name:
        assert any("not recorded" in text for text in texts)


def test_a_readout_misses_no_output_spikes(axes):
    plot.silence_curve(axes, [{**line, "silent_outputs": None} for line in HISTORY])
    assert list(drawn(axes)) == ["neurons silent all epoch"]


def test_raster(axes):
    spikes = sal.Spikes.from_lists([[(0.5, 1), (1.5, 0)], [(2.0, 2)]], 3, 4.0)
    plot.raster(axes, spikes, "input")
    (marks,) = axes.collections
    assert [path.vertices[:, 0].mean() for path in marks.get_paths()] == [0.5, 1.5]
    assert [path.vertices[:, 1].mean() for path in marks.get_paths()] == [1.0, 0.0]
    assert axes.get_ylabel() == "input\n(3)"


def test_crowded_rasters_are_thinned(axes):
    times = torch.linspace(0.0, 1.0, 50_000, dtype=torch.float64)
    spikes = sal.Spikes(times, torch.zeros(50_000, dtype=torch.int64), torch.tensor([0, 50_000]), 1, 1.0)
    plot.raster(axes, spikes, "input")
    assert len(axes.collections[0].get_paths()) == 16_667 and axes.get_ylabel() == "input\n(1; 1 in 3 spikes)"


def test_potential_reaches_the_threshold_at_a_spike(axes):
    network, spikes = readouts()
    step = plot.propagate(network, spikes)[0]
    plot.potential(axes, step, 3, 6.0)  # gets one spike, at 0.3
    voltage, threshold = (np.array(axes.get_lines()[k].get_ydata()) for k in (0, 1))
    assert threshold == pytest.approx(1.0) and 0.9 < voltage.max() <= 1.0
    own = step.output.times[step.output.units == 3].tolist()
    assert len(own) == 1 and axes.get_lines()[2].get_xdata() == [own[0], own[0]]


def test_readout_of_the_true_class_stands_out(axes):
    network, spikes = readouts()
    step = plot.propagate(network, spikes)[-1]
    plot.readout(axes, step.name, step.output, 2.0, ["a", "b", "c"], 1)
    assert axes.get_lines()[-1].get_label() == "class b" and len(axes.get_lines()) == 3
    times = np.linspace(0.0, 2.0, 500).tolist()
    assert drawn(axes)["class b"] == pytest.approx(step.output.at(times)[0, 1].tolist())


def test_sample_figure_of_a_network_with_pooling():
    network, spikes = readouts()
    figure = plot.sample_figure(network, spikes, 2, ["a", "b", "c"], "s")
    names = [re.sub(r"[ \n]\(.*", "", axes.get_ylabel()) for axes in figure.axes]
    assert names == ["input", "layer 0", "pool of\nlayer 1", "layer 0, neuron 0\nV, θ", "layer 1, readout\nV"]
    assert figure.axes[-1].get_xlabel() == "time (s)" and figure.get_suptitle() == "one sample of class c"


def test_confusion_in_per_cent_of_the_class(axes):
    plot.confusion(axes, [[3, 1, 0], [0, 2, 2]], ["left", "right"])
    assert [text.get_text() for text in axes.texts] == ["75", "25", "50", "50"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["left", "right", "none"]
    axes.clear()
    plot.confusion(axes, [[3, 1, 0], [0, 4, 0]], [])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1"]  # every sample has an answer


def test_histograms_span_what_is_legal(axes):
    plot.histogram(axes, np.array([0.2, 0.3]), np.array([0.3, 0.4]), "delays", "delay (s)", (0.0, 1.0))
    edges = [patch.get_x() for patch in axes.patches[:30]]
    assert edges == pytest.approx([k / 30 for k in range(30)])
    assert sum(patch.get_height() for patch in axes.patches[:30]) == 2


def figures():
    """Every figure of a run, with long names."""
    network, spikes = readouts()
    names = [f"a class with a long name, number {k}" for k in range(12)]
    history = [{**LINE, "epoch": k, "loss": 1e-6 * k} for k in range(1, 200)]
    initial = {name: value.clone() for name, value in network.state_dict().items()}
    yield plot.learning_figure(history)
    yield plot.learning_figure([{"epoch": 1}])
    yield plot.sample_figure(network, spikes, 0, names, "s")
    yield plot.parameter_figure(network, initial)
    yield plot.confusion_figure((100 * np.eye(12, 13)).astype(int).tolist(), names)


def labels(axes):
    """The texts around Axes that are drawn."""
    ticks = [
        tick.label1
        for axis, (low, high) in ((axes.xaxis, sorted(axes.get_xlim())), (axes.yaxis, sorted(axes.get_ylim())))
        for tick in axis.get_major_ticks()
        if low <= tick.get_loc() <= high
    ]
    texts = [axes.title, axes.xaxis.label, axes.yaxis.label, *ticks]
    return [text for text in texts if text.get_text() and text.get_visible() and axes.axison]


def test_labels_do_not_overlap():
    for figure in figures():
        figure.draw_without_rendering()
        boxes = [(text.get_text(), text.get_window_extent()) for axes in figure.axes for text in labels(axes)]
        assert len(boxes) > 8
        for (one, box), (other, another) in itertools.combinations(boxes, 2):
            assert not box.overlaps(another), (one, other)


def test_pictures_of_a_run(tmp_path):
    network, spikes = readouts()
    initial = {name: value.clone() for name, value in network.state_dict().items()}
    data = sal.data.EventDataset(
        spikes.times.numpy(), spikes.units.numpy(), spikes.offsets.numpy(), np.array([0]), np.array([2]),
        num_channels=16, num_classes=3, duration=6.0,
    )  # fmt: skip
    paths = plot.run_pictures(tmp_path, network, initial, HISTORY, data, [[1, 0, 0, 0], [0] * 4, [0] * 4], "s")
    assert [path.name for path in paths] == ["learning_curves.png", "sample.png", "parameters.png", "confusion.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000 for path in paths)
    assert json.loads(json.dumps(HISTORY)) == HISTORY

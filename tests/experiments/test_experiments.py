"""The experiments: each runs in its smallest form, and the documents say what the results say."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from saltation.experiments import command, gradients, lag, noisy_chip, slopes, targets, tuning
from saltation.experiments.arms import Arm, Task, run_arm
from saltation.experiments.pages import filled, pages
from saltation.experiments.registry import EXPERIMENTS, find
from saltation.experiments.store import Store
from saltation.experiments.tasks import SETUPS
from saltation.train import load_config
from saltation.train.run import Origin, load_data
from saltation.train.state import new_state

ROOT = Path(__file__).parents[2]
TINY = {"data.options.publication": False, "data.options.sizes": [60, 30, 30], "train.batch_size": 20}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_each_runs(name, tmp_path):
    (page,) = command.experiment([name], "tiny", tmp_path)
    experiment = find(name)
    assert all(f"## {table}" in page.read_text() for table in experiment.TABLES)
    assert all((tmp_path / f"{name}_{picture}.png").exists() for picture in experiment.PICTURES)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_documents_say_what_the_results_say(name):
    """Settings are those of today, and the tables on the pages are those that the command makes."""
    experiment = find(name)
    rows = Store(ROOT / "experiments" / "results" / name).rows(experiment.cases("full"))
    tables = {table: make(rows).markdown() for table, make in experiment.TABLES.items()} if rows else {}
    for page in pages(ROOT / "docs"):
        text = page.read_text("utf-8")
        assert filled(text, name, tables) == text


def test_chosen_settings_are_those_that_validated_best():
    rows = Store(ROOT / "experiments" / "results" / "tuning").rows(tuning.cases("full"))
    assert tuning.best(rows) == tuning.CHOSEN


@pytest.mark.parametrize(
    ("experiment", "names", "default", "best"),
    [
        (lag, list(lag.ARMS), 1.0, np.argmin),
        (targets, list(targets.ARMS), targets.RATES[1], np.argmin),
        (noisy_chip, noisy_chip.NAMES, noisy_chip.RATES[1], np.argmax),
    ],
)
def test_chosen_rates_are_those_that_validated_best(experiment, names, default, best):
    folder = ROOT / "experiments" / "results" / experiment.__name__.rpartition(".")[2]
    table = experiment.TABLES["trials"](Store(folder).rows(experiment.cases("full")))
    figures = np.array([line[-len(experiment.RATES) :] for line in table.lines], float)
    found = {name: experiment.RATES[best(line)] for name, line in zip(names, figures, strict=True)}
    assert found == {name: experiment.CHOSEN.get(name, default) for name in names}


@pytest.mark.parametrize("name", SETUPS)
def test_arms_differ_in_the_gradient_alone(name):
    """Recipes, rates and names fit together; all arms have the same configuration, but for epochs and smoothing."""
    setup, found = SETUPS[name], []
    for arm in setup.epochs:
        made = setup.arm(arm)
        config = setup.task(arm, "W").config(made, 3)
        assert (config.train.lr.delay, config.model.layers[0].train, config.seed) == (0.0, [], 3)
        assert made.dt == 0.0 or math.isclose(made.dt / setup.millisecond, float(arm.split("_")[1].removesuffix("ms")))
        assert all(layer.smoothing == made.smoothing for layer in config.model.layers[:-1])
        config.train.epochs = 0
        for layer in config.model.layers[:-1]:
            layer.smoothing = 0.0
        found.append(config)
    assert all(config == found[0] for config in found)


def test_an_arm_is_what_training_by_hand_is(tmp_path):
    """The exact arm ends where `saltation train` ends; each arm begins there; seeds repeat to the last bit."""
    from saltation.train import train

    task = Task("yin_yang", {**TINY, "train.epochs": 2})
    exact = run_arm(task, Arm("exact"), 1)
    config = load_config("yin_yang", {**task.changes, "train.report": "last", "seed": 1, "threads": 1})
    right = train(config, out=tmp_path / "run", quiet=True)
    assert (exact["accuracy"], exact["test_grid"]) == (right["test_accuracy"], None)
    again = run_arm(task, Arm("exact"), 1)
    assert [point["loss"] for point in again["curve"]] == [point["loss"] for point in exact["curve"]]
    then = run_arm(task, Arm("surrogate_exact", dt=0.1, epochs_before=1), 1, test=False)
    assert then["accuracy"] is None and len(then["curve"]) == 2 and then["test_continuous"] is None
    first = run_arm(Task("yin_yang", {**TINY, "train.epochs": 1}), Arm("surrogate", dt=0.1), 1)
    assert then["curve"][0]["loss"] == first["curve"][0]["loss"] and first["accuracy"] == first["test_grid"]
    assert then["curve"][1]["cpu_seconds"] > then["curve"][0]["cpu_seconds"] > 0.0


def test_signal_to_noise():
    """Independent normal numbers of spread 2 around (3, 4): 25 / 8; around 0: 0."""
    noise = 2.0 * torch.randn(20000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert math.isclose(slopes.signal_to_noise(noise + torch.tensor([3.0, 4.0])), 25 / 8, rel_tol=0.05)
    assert abs(slopes.signal_to_noise(noise)) < 0.01
    right = torch.tensor([[0.6, 0.8], [1.0, 0.0]], dtype=torch.float64)
    assert slopes.cosines(list(right)) == [[1.0, 0.6], [0.6, 1.0]]
    assert torch.equal(slopes.unit(torch.zeros(3, 2)), torch.zeros(2))


def test_small_steps_do_what_the_exact_gradient_says():
    config = load_config("yin_yang", TINY)
    dataset = load_data(config.data)
    state = new_state(config, dataset.subset("train"), Origin.of(config, dataset))
    probe = slopes.Probe(config, state, dataset.duration, list(dataset.subset("train").batches(20)))
    state.model.double()  # so that a step may be so small that no spike comes or goes
    exact = probe.gradients(Arm("exact"))
    others = [probe.gradients(arm) for arm in (Arm("smoothed", 0.2), Arm("surrogate", dt=0.1))]
    direction, before = slopes.unit(exact), [p.detach().clone() for p in state.model.parameters()]
    down, up = probe.losses_along(direction, [-1e-6, 1e-6])
    assert math.isclose((up - down) / 2e-6, float(exact.mean(0).norm()), rel_tol=1e-4)
    assert all(torch.equal(a, b) for a, b in zip(before, state.model.parameters(), strict=True))
    assert all(not torch.allclose(exact, other, rtol=1e-3) for other in others)
    assert state.model[0].smoothing == 0.0 and probe.loss(Arm("surrogate", dt=0.1)) != probe.loss()


def test_figures_of_a_result():
    losses = {"loss": 2.0, "down": [1.9, 1.5, 1.8, 2.0, 3.0], "up": [2.1, 2.2, 2.5, 3.0, 3.0]}
    result = {"parameters": 4, "arms": {"exact": {"continuous": losses}}}
    assert math.isclose(gradients.true_slope(result, "exact", 0), 0.2 / (2 * gradients.LENGTHS[0] * 2))
    assert np.allclose(gradients.decrease(result, "exact"), [0.1, 0.5, 0.2, 0.0, -1.0])

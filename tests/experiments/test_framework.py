"""The frame of the experiments: results are kept and found again, pages filled, arms compared seed by seed."""

import json
import math
import time
import types

import numpy as np
import pytest
import torch
from scipy import stats

import saltation as sal
from saltation import cli
from saltation.experiments import command, registry, statistics, tasks, tuning
from saltation.experiments.case import Case, Picture, Row, Table
from saltation.experiments.kept import kept_by, kept_by_graph
from saltation.experiments.pages import filled
from saltation.experiments.store import Store
from saltation.experiments.traffic import words_in_events, words_on_grid
from saltation.experiments.unrolled import unrolled
from saltation.train import recipes

CASES = [Case("a", {"x": 1.5}, 2), Case("b", {"x": 2}, 1)]


def counting(runs, fail=()):
    """An experiment that says what it was asked, and doubles x."""

    def run(settings, seed):
        runs.append((settings["x"], seed))
        if settings["x"] in fail:
            raise ValueError("no such luck")
        return {"twice": 2 * settings["x"] + seed}

    def table(rows):
        return Table(["case", "twice"], [[row.case, str(row.result["twice"])] for row in rows])

    def draw(axes, rows):
        axes[0, 0].plot([row.result["twice"] for row in rows])

    return types.SimpleNamespace(
        cases=lambda size: CASES, run=run, TABLES={"all": table}, PICTURES={"line": Picture(draw)}
    )


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """What an experiment named `toy` was asked for; the working directory is new."""
    asked = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "find", lambda name: counting(asked))
    return asked


def test_seed_after_seed_and_only_what_is_missing(runs, tmp_path):
    (page,) = command.experiment(["toy"], out=tmp_path)
    assert runs == [(1.5, 0), (2, 0), (1.5, 1)]
    assert "| a | 4.0 |" in page.read_text() and (tmp_path / "toy_line.png").stat().st_size > 1000
    kept = json.loads((tmp_path / "toy" / "a-1.json").read_text())
    assert kept["settings"] == {"x": 1.5} and kept["result"] == {"twice": 4.0} and kept["versions"]["torch"]
    (tmp_path / "toy" / "b-0.json").unlink()
    runs.clear()
    command.experiment(["toy"], out=tmp_path, only=["a", "c*"])
    assert runs == []
    command.experiment(["toy"], out=tmp_path)
    assert runs == [(2, 0)]


def test_a_case_that_fails_does_not_stop_the_others(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(command, "find", lambda name: counting(asked, fail=[1.5]))
    with pytest.raises(ValueError, match="2 of 3 runs failed; a, seed 0: no such luck"):
        command.experiment(["toy"], out=tmp_path)
    assert len(asked) == 3 and [path.name for path in (tmp_path / "toy").iterdir()] == ["b-0.json"]


def test_an_experiment_that_fails_does_not_stop_the_next(monkeypatch, tmp_path):
    asked = []
    toys = {"one": counting(asked, fail=[1.5, 2]), "two": counting(asked)}
    monkeypatch.setattr(command, "find", toys.get)
    with pytest.raises(ValueError, match="^one: 3 of 3 runs failed; a, seed 0: no such luck$"):
        command.experiment(["one", "two"], out=tmp_path)
    assert len(asked) == 6 and (tmp_path / "two.md").exists() and not (tmp_path / "one.md").exists()


def test_activity_that_runs_away_is_a_failure_of_its_case(monkeypatch, tmp_path):
    toy = counting([])

    def run(settings, seed):
        if settings["x"] == 2:
            raise sal.SpikeBudgetError(1, 2, 3, "by hand")
        return {"twice": 0}

    toy.run = run
    monkeypatch.setattr(command, "find", lambda name: toy)
    with pytest.raises(ValueError, match="1 of 3 runs failed; b, seed 0: neuron 1 spiked more than 3 times"):
        command.experiment(["toy"], out=tmp_path)
    assert (tmp_path / "toy.md").exists()


def test_patterns(monkeypatch, tmp_path):
    asked = []
    toys = {"one": counting(asked), "two": counting(asked)}
    toys["one"].cases = lambda size: [Case("other", {"x": 3}, 1)]
    monkeypatch.setattr(command, "find", toys.get)
    with pytest.raises(ValueError, match="no case of one, two fits 'z[*]'; cases are named like other"):
        command.experiment(["one", "two"], out=tmp_path, only=["z*"])
    assert list(tmp_path.iterdir()) == []
    assert command.experiment(["one", "two"], out=tmp_path, only=["b"]) == [tmp_path / "two.md"]
    assert asked == [(2, 0)]


def test_what_waits_is_given_up_when_it_is_stopped(runs, monkeypatch, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    def stopped(futures):
        raise KeyboardInterrupt

    def slow(name, case, seed, store):
        time.sleep(0.2)
        runs.append((case.name, seed))
        return ""

    monkeypatch.setattr(command, "ProcessPoolExecutor", lambda jobs, mp_context: ThreadPoolExecutor(1))
    monkeypatch.setattr(command, "as_completed", stopped)
    monkeypatch.setattr(command, "run_one", slow)
    with pytest.raises(KeyboardInterrupt):
        command.experiment(["toy"], out=tmp_path, jobs=2)
    assert runs == [("a", 0)]


def test_all_beside_other_names(monkeypatch):
    asked = []
    monkeypatch.setattr("saltation.experiments.experiment", lambda names, *_: asked.append(names) or [])
    assert cli.main(["experiment", "lag", "all"]) == 0
    assert asked == [list(registry.EXPERIMENTS)]


def test_tables_alone_need_results(runs, tmp_path):
    with pytest.raises(ValueError, match="there are no results of toy"):
        command.experiment(["toy"], out=tmp_path, run=False)
    assert runs == []


def test_full_results_go_into_the_documents(runs, tmp_path):
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "results.md"
    page.write_text("before\n<!-- table toy.all -->\n<!-- end -->\nafter\n")
    written = command.experiment(["toy"])
    text = page.read_text()
    assert text.startswith("before\n<!-- table toy.all -->\n| case | twice |") and text.endswith(
        "<!-- end -->\nafter\n"
    )
    assert [path.as_posix() for path in written] == ["docs/results.md", "docs/images/results_toy_line.png"]
    command.experiment(["toy"], size="quick")
    assert page.read_text() == text and (tmp_path / "runs" / "experiments-quick" / "toy.md").exists()


def test_results_of_other_settings_are_refused(tmp_path):
    store = Store(tmp_path)
    store.write(CASES[0], 0, {"y": 1}, 0.5)
    assert store.read(CASES[0], 0) == Row("a", 0, {"x": 1.5}, {"y": 1})
    with pytest.raises(ValueError, match="other settings; remove it"):
        store.read(Case("a", {"x": 1}), 0)
    store.path(CASES[0], 0).write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        store.read(CASES[0], 0)
    with pytest.raises(ValueError, match="letters, digits"):
        store.path(Case("../a", {}), 0)


def test_tables_of_other_experiments_stay():
    text = "<!-- table a.t -->\nold\n<!-- end -->\n<!-- table b.t -->\nold\n<!-- end -->\n"
    assert filled(text, "a", {"t": "new"}) == text.replace("old", "new", 1)
    with pytest.raises(ValueError, match=r"no table b\.t; b has u"):
        filled(text, "b", {"u": ""})


def test_names_are_checked(capsys):
    with pytest.raises(ValueError, match="no experiment 'speed'; choose one of tuning"):
        registry.find("speed")
    assert cli.main(["experiment", "speed"]) == 2
    assert cli.main(["experiment", "memory", "--jobs", "0"]) == 2
    assert "--jobs is 0" in capsys.readouterr().err


def test_paired_differences():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(1.0, 1.0, 7), rng.normal(0.0, 1.0, 7)
    found, right = statistics.paired(ours, theirs), stats.ttest_rel(ours, theirs)
    spread = stats.t.ppf(0.975, 6) * (ours - theirs).std(ddof=1) / math.sqrt(7)
    assert math.isclose(found.p, right.pvalue) and math.isclose(found.high - found.mean, spread)
    rows = [Row("a", seed, {}, {"y": float(value)}) for seed, value in enumerate(ours)]
    others = [Row("b", seed, {}, {"y": float(value)}) for seed, value in enumerate(theirs)]
    assert statistics.paired_rows(rows, others[::-1][:5], "y").pairs == 5
    assert math.isclose(statistics.paired_rows(rows, others[::-1], "y").mean, found.mean)
    assert statistics.paired([2.0, 2.0], [1.0, 1.0]).words() == "+1.00 [+1.00, +1.00], p < 0.001"
    assert statistics.paired([2.0], [1.0]).words() == "+1.00 (one seed)"


def test_bytes_that_a_graph_keeps():
    x, y = torch.ones(100, requires_grad=True), torch.ones(100, requires_grad=True)
    assert kept_by_graph(lambda: (x * y).sum(), [x]) == 400  # y; x is said to be there anyway
    assert kept_by_graph(lambda: (x * y).sum(), []) == 800
    layer = sal.Layer(sal.Linear(3, 4), sal.LIF(4, tau_mem=2.0, tau_syn=1.0))
    torch.nn.init.constant_(layer.connection.weight, 3.0)
    batch = sal.Spikes.from_lists([[(0.1, 0), (0.2, 1), (0.3, 2)]] * 5, 3, 5.0)
    besides = [*layer.parameters(), batch.times, batch.units, batch.offsets]
    spikes = layer(batch).times.numel()
    assert spikes > 0 and kept_by_graph(lambda: layer(batch).times.sum(), besides) >= 48 * spikes
    array = np.zeros(10)
    assert kept_by({"a": [array[:6], array[4:]], "b": (array,)}) == 80


def test_words_of_the_model():
    """Against a count of every access, as the text has them."""
    neurons, events, spikes, steps, before = 3, 5, 2, 7, 4
    words = 0
    for _ in range(events):
        for _ in range(neurons):
            words += 2 * 2 + 1  # state read and written, weight
            words += 2 * 2 + 1 + 2  # adjoint state, weight, gradient
    words += spikes * (4 + 4)
    assert words_in_events(neurons, events, spikes, 2) == words
    words = 0
    for _ in range(steps):
        for _ in range(neurons):
            words += 2 * 3 + 1  # state, V - theta
            words += 1 + 2 * 3 + 1  # V - theta, adjoint state, gradient of the input
            words += before  # weights
        words += before  # the error
    words += events * neurons * (3 + 3)
    assert words_on_grid(neurons, events, steps, 3, before) == words


def test_the_unrolled_network_converges_to_the_exact_one():
    generator = torch.Generator().manual_seed(0)
    hidden = sal.Layer(sal.Linear(4, 6, generator=generator).double(), sal.LIF(6, tau_mem=0.4, tau_syn=0.15))
    readout = sal.Layer(sal.Linear(6, 2, generator=generator).double(), sal.LI(2, tau_mem=0.4, tau_syn=0.15))
    with torch.no_grad():
        hidden.connection.weight.abs_().add_(1.0)
    rng = np.random.default_rng(0)
    events = [sorted((float(t), int(u)) for t, u in zip(rng.uniform(0, 1.5, 12), rng.integers(0, 4, 12), strict=True))]
    batch = sal.Spikes.from_lists(events, 4, 2.0)
    assert hidden(batch).times.numel() > 6
    right = readout(hidden(batch)).integral().detach() / 2.0
    weights = hidden.connection.weight.detach(), readout.connection.weight.detach()
    errors = [float((unrolled(batch, *weights, (0.4, 0.15), dt) - right).abs().max()) for dt in (4e-3, 4e-4)]
    assert errors[1] < 0.3 * errors[0] and errors[1] < 0.02 * float(right.abs().max())


def test_a_trial_that_diverged_is_not_chosen():
    def row(arm, slope, loss):
        settings = {"setup": "braille", "arm": arm, "trial": {"slope": slope}}
        return Row(f"{arm}-{slope}", 0, settings, {"validation_loss": loss})

    rows = [row("a", 5, math.nan), row("a", 10, 0.5), row("a", 25, 0.75), row("b", 5, 1.0), row("b", 10, math.nan)]
    assert tuning.best(rows) == {"braille": {"a": {"slope": 10}, "b": {"slope": 5}}}


def test_a_changed_recipe_is_other_settings(monkeypatch):
    before = tasks.named("braille", "exact")
    text = recipes._recipe_text("braille")[1]
    monkeypatch.setattr(recipes, "_recipe_text", lambda recipe: ("braille", "# said otherwise\n" + text))
    assert tasks.named("braille", "exact") == before
    assert before["epochs"] != tasks.named("braille", "smoothed")["epochs"]
    monkeypatch.setattr(recipes, "_recipe_text", lambda recipe: ("braille", text.replace("0.05", "0.06", 1)))
    assert tasks.named("braille", "exact") != before

"""What a run may be continued from, and what is refused because something was lost or changed."""

import errno
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from train.faults import snapshot

from saltation import plot
from saltation.cli import main
from saltation.data.yin_yang import PUBLICATION_FILE, SPLITS, yin_yang_points
from saltation.train import Interrupted, evaluate_run, load_config, load_run, loop, train
from saltation.train.checkpoint import read_checkpoint, write_checkpoint

RECIPE = {
    "name": "t",
    "data": {"name": "events"},
    "model": {"layers": [{"tau_mem": 0.2, "tau_syn": 0.1, "train": ["threshold"]}]},
    "loss": {"name": "first_spike_cross_entropy", "tau": 0.1},
    "train": {"epochs": 2, "batch_size": 16},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a small finished run on data of its own."""
    folder = tmp_path_factory.mktemp("finished")
    rng = np.random.default_rng(0)
    times = np.sort(rng.random((60, 4)), axis=1).ravel()
    split = np.where(np.arange(60) < 48, 0, 2)
    arrays = {"channels": rng.integers(0, 3, 240), "offsets": np.arange(61) * 4, "labels": np.arange(60) % 3}
    np.savez(folder / "data.npz", times=times, split=split, **arrays)
    (folder / "recipe.yaml").write_text(json.dumps(RECIPE))
    config = load_config(folder / "recipe.yaml", {"data.path": str(folder / "data.npz")})
    train(config, folder / "run", quiet=True)
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the run, with a copy of its data."""
    shutil.copytree(finished, tmp_path / "copy")
    edit(tmp_path / "copy" / "run", "data.path", str(tmp_path / "copy" / "data.npz"))
    return tmp_path / "copy" / "run"


def edit(run, key, value):
    """Change config.yaml by hand."""
    content = yaml.safe_load((run / "config.yaml").read_text())
    node = content
    *parents, last = key.split(".")
    for part in parents:
        node = node[int(part) if part.isdigit() else part]
    node[last] = value
    (run / "config.yaml").write_text(yaml.safe_dump(content))


def change_data(run, **arrays):
    file = run.parent / "data.npz"
    with np.load(file) as old:
        kept = dict(old)
    np.savez(file, **{**kept, **{name: change(kept[name]) for name, change in arrays.items()}})


def change_checkpoint(run, change, which="last"):
    tensors, record = read_checkpoint(run / f"{which}.safetensors")
    change(tensors, record)
    write_checkpoint(run / f"{which}.safetensors", tensors, record)


def test_data_may_move_and_threads_may_change(run):
    edit(run, "threads", 1)
    before = snapshot(run)
    train(resume=run, quiet=True)
    assert snapshot(run)["last.safetensors"] == before["last.safetensors"]


def test_a_run_stopped_before_its_first_checkpoint_is_begun(finished, tmp_path, monkeypatch):
    config = load_config(finished / "run" / "config.yaml")
    for how in ("resumed", "again"):
        out = tmp_path / how
        with monkeypatch.context() as patch:
            patch.setattr(loop, "begin", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                train(config, out, quiet=True)
        assert {path.name for path in out.iterdir()} == {".lock", "config.yaml", "environment.json"}
        assert main(["eval", str(out)]) == 2  # there is nothing to evaluate yet
        if how == "resumed":
            train(resume=out, quiet=True)
        else:
            train(config, out, quiet=True)
        assert snapshot(out) == snapshot(finished / "run")


def test_two_processes_do_not_share_a_run(run, tiny, tmp_path):
    """The other one is told from its lock, which the system takes away when it is killed."""
    hold = "import sys, pathlib, saltation.files as f\nlock = f.hold(pathlib.Path(sys.argv[1])); print(flush=True)\n"
    hold += "input()"
    other = subprocess.Popen([sys.executable, "-c", hold, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        before = snapshot(run)
        for attempt in (lambda: train(resume=run, quiet=True), lambda: train(tiny(), run, quiet=True)):
            with pytest.raises(ValueError, match=f"another process is at work in {run}; let it end, or choose another"):
                attempt()
        assert main(["tune", "yin_yang", "--trials", "1", "--out", str(run)]) == 2
        assert snapshot(run) == before and main(["eval", str(run)]) == 0
    finally:
        other.kill()
        other.wait()
    train(resume=run, quiet=True)
    assert snapshot(run)["last.safetensors"] == before["last.safetensors"]


def test_runs_of_earlier_versions_are_refused_in_words(run):
    """They wrote the fields of all neurons and losses, whichever was chosen."""
    edit(run, "loss", {"name": "first_spike_cross_entropy", "tau": 0.3, "early": 0.0, "margin": 0.2, "scale": 1.0})
    for attempt in (lambda: train(resume=run, quiet=True), lambda: evaluate_run(run)):
        with pytest.raises(ValueError, match="config.yaml: loss.margin: .* written by another version of saltation"):
            attempt()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.epochs", 3),
        ("train.optimizer", "adamw"),
        ("train.lr.readout", 0.5),
        ("data.validation_seed", 1),
        ("model.layers.0.tau_mem", 0.3),
        ("seed", 1),
        ("loss.tau", 0.2),
    ],
)
def test_another_configuration_is_refused(run, key, value):
    edit(run, key, value)
    with pytest.raises(ValueError, match=f"config.yaml was edited: {key} is {value!r} there, but .* in last.safetens"):
        train(resume=run, quiet=True)
    if key.startswith(("model", "loss")):
        with pytest.raises(ValueError, match=f"config.yaml was edited: {key}"):
            evaluate_run(run)


def test_a_changed_sample_is_refused_and_evaluated_with_a_warning(run, capsys):
    change_data(run, times=lambda times: np.where(np.arange(240) == 100, np.nextafter(times, 0), times))
    with pytest.raises(ValueError, match="is not the data that .*last.safetensors was trained with"):
        train(resume=run, quiet=True)
    with pytest.warns(UserWarning, match="is not the data .* the figures are those of other samples"):
        evaluate_run(run)
    assert main(["eval", str(run)]) == 0
    assert capsys.readouterr().err.startswith("saltation: warning: ")


def test_with_and_without_a_data_root(tmp_path, tiny):
    points = tmp_path / PUBLICATION_FILE
    points.parent.mkdir()
    arrays = {}
    for i, split in enumerate(SPLITS):
        arrays[f"{split}_samples"], arrays[f"{split}_labels"] = yin_yang_points(30, seed=i)
    np.savez(points, **arrays)
    config = tiny(train__epochs=1, data__root=str(tmp_path), data__options__publication=None)
    train(config, tmp_path / "run", quiet=True)
    edit(tmp_path / "run", "data.root", str(tmp_path / "nowhere"))  # the points are generated instead
    with pytest.raises(ValueError, match="is not the data that .* was trained with .*yin_yang_publication.npz"):
        train(resume=tmp_path / "run", quiet=True)


@pytest.mark.parametrize("labels", [lambda labels: labels + 1, lambda labels: labels % 2])
@pytest.mark.filterwarnings("ignore:.*lowest label")
def test_other_classes_are_an_error_in_words(run, labels, capsys):
    change_data(run, labels=labels)
    for command in (["eval", str(run)], ["train", "--resume", str(run)]):
        assert main(command) == 2
        assert "now has num_classes" in capsys.readouterr().err


def test_other_channels_are_an_error_in_words(run):
    change_data(run, channels=lambda channels: channels + 1)
    with pytest.raises(ValueError, match="now has num_channels 4, but .* was trained with 3"):
        evaluate_run(run)


def drop(prefix):
    def change(tensors, record):
        for name in [name for name in tensors if name.startswith(prefix)]:
            del tensors[name]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("optimizer."), "lacks the state of the optimizer or the random generator"),
        (drop("optimizer.1.exp_avg_sq"), "lacks the state of the optimizer or the random generator"),
        (drop("generator"), "lacks the state of the optimizer or the random generator"),
        (lambda t, r: t.update(generator=t["generator"][:5]), "no usable state of the random generator"),
        (lambda t, r: t.update(generator=t["generator"].double()), "no usable state of the random generator"),
        (lambda t, r: t.update({"optimizer.0.momentum": t.pop("optimizer.0.exp_avg")}), "another optimizer"),
        (lambda t, r: t.update({"optimizer.0.exp_avg": torch.zeros(1)}), "another optimizer"),
        (lambda t, r: t.update({"optimizer.9.exp_avg": t.pop("optimizer.0.exp_avg")}), "another optimizer"),
        (drop("model.layers.0.connection.weight"), "weight is nothing, needed is float32"),
        (lambda t, r: t.update({"model.x": torch.zeros(1)}), "x is float32 .1,., needed is nothing"),
        (lambda t, r: t.update({"model.layers.0.connection.weight": torch.zeros(1, 2)}), "weight is float32 .1, 2."),
        (lambda t, r: r.pop("origin"), "does not say what it comes from"),
        (lambda t, r: r.update(origin={"config": 3}), "does not say what it comes from"),
        (lambda t, r: r["origin"].update(config=3), "does not say what it comes from"),
        (lambda t, r: r.pop("epoch"), "says epoch is None"),
        (lambda t, r: r.update(epoch=-1), "says epoch is -1"),
        (lambda t, r: r.update(epoch=1.0), "says epoch is 1.0"),
        (lambda t, r: r.update(epoch=True), "says epoch is True"),
        (lambda t, r: r.update(start="0"), "says start is '0'"),
        (lambda t, r: r.update(best_loss=float("nan")), "says best_loss is nan"),
        (lambda t, r: r.update(best_accuracy=None), "says best_accuracy is None"),
    ],
)
def test_an_incomplete_checkpoint_is_refused(run, change, message):
    change_checkpoint(run, change)
    with pytest.raises(ValueError, match=message):
        train(resume=run, quiet=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:1], "line 2: the metrics of an epoch that last.safetensors has behind it are missing"),
        (lambda lines: [lines[0][:10], lines[1]], "line 1"),
        (lambda lines: [lines[1], lines[0]], "line 1: .*it is of epoch 2"),
        (lambda lines: ["3", lines[1]], "line 1"),
        (lambda lines: ["[" * 10_000, lines[1]], "line 1"),
    ],
)
def test_lost_metrics_are_refused(run, change, message):
    file = run / "metrics.jsonl"
    file.write_text("\n".join(change(file.read_text().splitlines())) + "\n")
    with pytest.raises(ValueError, match=message):
        train(resume=run, quiet=True)


def test_a_lost_state_is_refused(run):
    (run / "last.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="last.safetensors is missing, so .* cannot be continued"):
        train(resume=run, quiet=True)
    with pytest.raises(ValueError, match="holds a run already"):
        train(load_config(run / "config.yaml"), run, quiet=True)
    assert evaluate_run(run)["accuracy"] >= 0  # `best` is still there
    with pytest.raises(ValueError, match="which is 'first'; choose one of best, last, initial"):
        load_run(run, "first")


def test_all_of_the_best_start_is_taken_over(tiny, tmp_path):
    result = train(tiny(train__epochs=1, train__starts=2, train__start_epochs=1), tmp_path, quiet=True)
    content, start = snapshot(tmp_path), f"starts/{result['start']}"
    for name in ("initial.safetensors", "best.safetensors", "last.safetensors", "metrics.jsonl"):
        assert content[name] == content[f"{start}/{name}"], name
    assert content["best.safetensors"] != content["initial.safetensors"]


def test_a_full_disk_says_how_to_go_on(finished, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "last.safetensors")

    monkeypatch.setattr(loop, "save_state", full)
    assert main(["train", str(finished / "run" / "config.yaml"), "--out", str(tmp_path / "run"), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert "No space left on device: 'last.safetensors'; mend that, then continue with: saltation train --res" in error
    monkeypatch.undo()
    train(resume=tmp_path / "run", quiet=True)
    assert snapshot(tmp_path / "run") == snapshot(finished / "run")


def test_ctrl_c_while_the_result_is_written(run, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(plot, "run_pictures", stop)
    with pytest.raises(Interrupted, match="continue with: saltation train --resume"):
        train(resume=run, quiet=True)


def test_no_validation_samples_show_before_training(run, tmp_path):
    config = load_config(run / "config.yaml")
    change_data(run, split=lambda split: np.where(np.arange(60) < 3, 0, 2))
    with pytest.raises(ValueError, match=r"has no validation samples \(split 1\), and none can be taken from the trai"):
        train(config, tmp_path / "new", quiet=True)
    assert not (tmp_path / "new").exists()
    change_data(run, split=lambda split: np.full(60, 2))
    with pytest.raises(ValueError, match=r"has no training samples; give it some of split 0"):
        train(config, tmp_path / "new", quiet=True)


def test_an_empty_split_cannot_be_evaluated(run):
    change_data(run, split=lambda split: np.arange(60) % 2)
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="has no test samples; choose another --split"):
        evaluate_run(run)

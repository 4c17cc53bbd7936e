"""Training by several processes, started by torchrun, against one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from saltation.cli import main
from saltation.train.checkpoint import read_checkpoint
from saltation.train.processes import ALONE, Processes

SCRIPT = Path(__file__).with_name("in_processes.py")
NEURONS = {"tau_mem": 0.2, "tau_syn": 0.1, "train": ["threshold"]}
DATA = {"name": "events"}
PLAIN = {
    "data": DATA,
    "model": {"layers": [{"size": 6, "delay": "synaptic", "max_delay": 0.2, **NEURONS}, NEURONS]},
    "loss": {"name": "first_spike_cross_entropy", "tau": 0.1},
    "train": {"epochs": 3, "batch_size": 17, "clip_norm": 0.05},  # of 48 samples: the last batch has 14
}
EVERYTHING = {
    "data": DATA,
    "model": {
        "layers": [
            {"size": 8, "delay": "axonal", "max_delay": 0.2, "terminals": 2, "smoothing": 0.2, **NEURONS},
            {"neuron": "li", "tau_mem": 0.2, "tau_syn": 0.1},
        ]
    },
    "loss": {"name": "readout"},
    "train": {
        "epochs": 3, "batch_size": 47, "average": 0.9, "starts": 2, "start_epochs": 1, "jitter": 0.01, "drop": 0.1,
        "stretch": 0.1, "shift": 1, "blend": 0.5, "hidden_drop": 0.2, "hidden_jitter": 0.01, "optimizer": "adamw",
        "weight_decay": 0.01, "bump": {"amount": 0.02, "hidden_fraction": 0.3},
        "counts": {"weight": 0.3, "target": 1.0, "tau": 0.1}, "hardware": {"weight_noise": 0.05},
    },
}  # fmt: skip  # a last batch of one sample: one share of it is empty
HINGE = {
    "data": DATA,
    "model": {"layers": [{"size": 6, **NEURONS}, NEURONS]},
    "loss": {"name": "van_rossum", "tau": 0.1, "right": [0.3]},
    "train": {"epochs": 2, "batch_size": 47, "peak_hinge": 0.3, "peak_margin": 0.1},
}
RECIPES = {"plain": PLAIN, "everything": EVERYTHING, "hinge": HINGE}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Recipes and the data that they name."""
    folder = tmp_path_factory.mktemp("processes")
    rng = np.random.default_rng(0)
    times = np.sort(rng.random((60, 8)), axis=1).ravel()
    arrays = {"channels": rng.integers(0, 4, 480), "offsets": np.arange(61) * 8, "labels": np.arange(60) % 3}
    np.savez(folder / "data.npz", times=times, split=np.repeat([0, 1, 2], [48, 7, 5]), **arrays)
    for name, recipe in RECIPES.items():
        recipe = {**recipe, "data": {**recipe["data"], "path": str(folder / "data.npz")}}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(recipe))
    return folder


def torchrun(processes, *arguments, options=(), **environment):
    """Run the script; returns what it printed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", *options]
    done = subprocess.run(
        [*command, str(SCRIPT), *map(str, arguments)],
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    return done.returncode, done.stdout, done.stderr


def command(folder, recipe, out):
    return ["train", folder / f"{recipe}.yaml", "--out", out]


def here(*arguments):
    """What torchrun's processes do, in this one."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert main(list(map(str, arguments))) == 0
    finally:
        torch.set_default_dtype(before)


@pytest.fixture(scope="module")
def alone(folder):
    """The run folder of each recipe by a single process."""
    for recipe in RECIPES:
        here(*command(folder, recipe, folder / recipe))
    return folder


@pytest.fixture(scope="module")
def three(folder):
    """The recipe with everything by three processes: its run folder, and what they printed."""
    code, printed, said = torchrun(3, *command(folder, "everything", folder / "by three"))
    assert code == 0, said
    return folder / "by three", printed


def compare(left, right, **tolerance):
    """Checkpoints, metrics and result of two run folders."""
    for which in ("initial", "best", "last"):
        ours, theirs = (read_checkpoint(run / f"{which}.safetensors")[0] for run in (left, right))
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            torch.testing.assert_close(value, theirs[name], msg=lambda text, name=name: f"{name}: {text}", **tolerance)
    lines = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (left, right)]
    results = [json.loads((run / "result.json").read_text()) for run in (left, right)]
    for ours, theirs in (*zip(*lines, strict=True), results):
        assert ours.keys() == theirs.keys()
        for key in ours.keys() - {"seconds", "cpu_seconds", "run"}:
            if isinstance(ours[key], float):
                assert ours[key] == pytest.approx(theirs[key], rel=tolerance["rtol"]), key
            elif not (isinstance(ours[key], list | dict) and tolerance["rtol"]):
                assert ours[key] == theirs[key], key


@pytest.mark.slow
def test_three_take_the_steps_of_one(alone, three):
    run, printed = three
    assert printed.count("test accuracy") == 1 and printed.count("run folder") == 3  # its own, and one for each start
    compare(run, alone / "everything", rtol=1e-10, atol=1e-13)


@pytest.mark.slow
def test_two_take_the_steps_of_one(alone, tmp_path):
    """In a process group that is there already, and stays for the next training."""
    recipes = ("plain", "hinge")
    plain, hinge = (command(alone, recipe, tmp_path / recipe) for recipe in recipes)
    code, printed, said = torchrun(2, *plain, "and", *hinge)
    assert code == 0, said
    assert printed.count("test accuracy") == printed.count("run folder") == 2
    for recipe in recipes:
        compare(tmp_path / recipe, alone / recipe, rtol=1e-10, atol=1e-13)


@pytest.mark.slow
def test_a_killed_process_goes_on_from_the_last_checkpoint(folder, three, tmp_path):
    whole, _ = three
    run, options = tmp_path / "killed", ["--max-restarts=1"]
    code, _, said = torchrun(3, *command(folder, "everything", run), options=options, DIE="2")
    assert code == 0, said
    assert "Signal 9" in said or "SIGKILL" in said or "exitcode: -9" in said
    compare(run, whole, rtol=0.0, atol=0.0)
    code, _, said = torchrun(1, *command(folder, "plain", run), options=options)
    assert code and said.count(f"{run} holds a run already") == 2  # it is of another torchrun, at both attempts
    compare(run, whole, rtol=0.0, atol=0.0)


@pytest.mark.slow
def test_another_number_of_processes_goes_on_and_says_so(alone, tmp_path, capsys):
    out = tmp_path / "run"
    code, _, _ = torchrun(2, *command(alone, "plain", out), DIE="1")
    assert code
    here("train", "--resume", out)
    assert "was trained by 2 processes and goes on with one process" in capsys.readouterr().err
    compare(out, alone / "plain", rtol=1e-10, atol=1e-13)


@pytest.mark.slow
def test_what_is_refused_is_refused_by_all(folder, tmp_path, monkeypatch, capsys):
    """Each by itself, too: torchrun ends all others when one has failed, so not every one is heard there."""
    code, _, said = torchrun(2, "eval", tmp_path)
    assert code and ": error: saltation eval is one process; torchrun is for saltation train" in said
    with monkeypatch.context() as started:
        for name, value in {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
            started.setenv(name, value)
        for rank in range(2):
            started.setenv("RANK", str(rank))
            assert main(["eval", str(tmp_path)]) == 2
            expected = (
                f"saltation, process {rank}: error: saltation eval is one process; torchrun is for saltation train"
            )
            assert expected in capsys.readouterr().err
    code, _, said = torchrun(1, "train", folder / "plain.yaml", options=["--max-restarts=1"])
    assert code and "torchrun may start this training again (--max-restarts 1); name its folder by --out DIR" in said


def test_shares_and_weights():
    for count in (1, 2, 3, 5):
        for samples in (1, 2, 7, 20):
            several = [Processes(rank, count) for rank in range(count)]
            parts = [np.arange(samples)[each.share(samples)] for each in several]
            assert np.array_equal(np.concatenate(parts), np.arange(samples))
            assert max(map(len, parts)) - min(map(len, parts)) <= 1
            values = np.random.default_rng(0).random(samples)
            means = [
                part.size and values[part].mean() * each.weight(samples)
                for part, each in zip(parts, several, strict=True)
            ]
            assert np.mean(means) == pytest.approx(values.mean(), rel=1e-14)


def test_threads(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(12))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "5")
    for said, threads in (("1", 2), ("", 2), ("3", 3), ("many", 2)):
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        assert Processes(0, 10).threads() == threads
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    assert Processes(0, 20).threads() == 1 and ALONE.threads() == torch.get_num_threads()

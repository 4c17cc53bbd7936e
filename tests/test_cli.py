import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

import saltation as sal
from saltation.cli import main
from saltation.train.run import load_run

TINY = [
    *("--data.options.publication", "false", "--data.options.sizes", "[60,30,30]"),
    *("--train.batch_size", "20", "--train.epochs", "2", "--model.layers.0.size", "6"),
]


def test_help_shows_examples(capsys):
    for arguments in (["--help"], ["train", "--help"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
        assert "saltation train yin_yang --train.epochs 50" in capsys.readouterr().out


def test_train_then_eval(tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", "yin_yang", *TINY, "--out", str(run)]) == 0
    out = capsys.readouterr().out
    assert "spikes/neuron" in out and "test accuracy" in out and str(run) in out
    result = json.loads((run / "result.json").read_text())
    assert main(["eval", str(run)]) == 0
    assert f"test accuracy {100 * result['test_accuracy']:.2f} %" in capsys.readouterr().out
    assert main(["eval", str(run), "--split", "validation", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == result["validation_accuracy"]
    assert main(["train", "--resume", str(run), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    if importlib.util.find_spec("nir"):
        export(run, tmp_path, capsys)
    assert main(["info", str(run)]) == 0
    assert "a batch of 20 training samples\n  layer 0  6 LIF " in capsys.readouterr().out
    assert main(["info", str(run), "--root", "elsewhere"]) == 2
    assert "is a run, which knows its data: leave out --root" in capsys.readouterr().err


def export(run, tmp_path, capsys):
    """The network in a file of NIR is that of the run."""
    import nir

    assert main(["export", str(run), "--to", "nir"]) == 2
    assert "layer 0: NIR can not express a refractory period" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "nowhere"), "--to", "nir"]) == 2
    assert "no run at" in capsys.readouterr().err
    assert main(["export", str(run), "--to", "nir", "--lossy"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{run / 'network.nir'}: 1 Input, 4 Linear, 2 Delay, 2 CubaLIF, 1 Output")
    assert "convention nir; a unit of time is 1 s" in out
    model, _, dataset = load_run(run)
    spikes, _ = dataset.subset("test").batch(range(10))
    assert sal.from_nir(run / "network.nir")(spikes).times.allclose(model(spikes).times, rtol=0.0, atol=1e-9)
    file = tmp_path / "other.nir"
    options = ["--lossy", "--convention", "snntorch", "--time-unit", "0.01", "--which", "initial", "--out", str(file)]
    assert main(["export", str(run), "--to", "nir", *options]) == 0
    assert "convention snntorch, dt 0.0001 s; a unit of time is 0.01 s" in capsys.readouterr().out
    assert nir.read(file).metadata["saltation"]["time_unit"] == 0.01


def test_info(capsys, tmp_path):
    assert main(["info", "--root", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for word in ("torch", "numba", "threads", "kernel cache", str(tmp_path), "braille", "yin_yang_small"):
        assert word in out


def test_info_of_a_recipe(capsys):
    for recipe, plan in (("yin_yang_axonal", "event-major"), ("yin_yang", "neuron-major")):
        assert main(["info", recipe]) == 0
        first, hidden, output = capsys.readouterr().out.splitlines()
        assert first == f"{recipe}: orders of work for a batch of 150 training samples"
        assert hidden.startswith(f"  layer 0  30 LIF       {plan}: ")
        assert output.startswith(f"  layer 1  3 LIF        {plan}: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "give a RECIPE to train"),
        (["train", "yin_yan"], "did you mean yin_yang?"),
        (["train", "yin_yang", "--train.epoch", "3"], "Did you mean one of: 'epochs'"),
        (["train", "yin_yang", "--train.epochs"], "--train.epochs needs a value"),
        (["train", "yin_yang", "--resume", "run"], "leave out RECIPE"),
        (["train", "--resume", "nowhere"], "no run at nowhere"),
        (["train", "braille", "--data.path", "nowhere.npz"], "10.5281/zenodo.7050094"),
        (["train", "digits", "--data.options.size", "3"], "has no option 'size'"),
        (["eval", "nowhere"], "no run at nowhere"),
        (["info", "yin_yan"], "did you mean yin_yang?"),
        (["info", "yin_yang", "--seed", "3"], "unknown argument --seed"),
        (["eval", "nowhere", "--sample", "3"], "unknown argument --sample"),
    ],
)
def test_errors_are_one_clear_line(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith("saltation: error: ") and message in captured.err
    assert list(tmp_path.iterdir()) == []


def test_traceback_on_request():
    with pytest.raises(FileNotFoundError):
        main(["eval", "nowhere", "--traceback"])


@pytest.mark.slow
def test_ctrl_c_leaves_a_checkpoint_to_continue_from(tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "saltation.cli", "train"]
    arguments = ["yin_yang", *TINY, "--train.epochs", "1000000", "--out", str(run)]
    process = subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore SIGINT
    )
    metrics = run / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"continue with: saltation train --resume {run}" in errors and "Traceback" not in errors
    assert main(["eval", str(run)]) == 0


@pytest.mark.slow
def test_ctrl_c_while_the_package_is_imported():
    """As the command `saltation` begins; the import takes a second or more."""
    process = subprocess.Popen(
        [sys.executable, "-v", "-c", "import sys, saltation_start; sys.exit(saltation_start.main())"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for line in process.stderr:
        if "import 'torch._utils'" in line:  # far from the end
            process.send_signal(signal.SIGINT)
            break
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "stopped before anything was done" in errors and "Traceback" not in errors


def file_in_place(tmp_path):
    (tmp_path / "taken").write_text("not a folder")
    return tmp_path / "taken" / "run"


def taken(tmp_path):
    (tmp_path / "taken").write_text("not a folder")
    return tmp_path / "taken"


@pytest.mark.parametrize(
    "out", [file_in_place, taken, lambda tmp_path: "/proc/run", lambda tmp_path: tmp_path / ("x" * 300)]
)
def test_folders_that_cannot_be_made(out, tmp_path, capsys):
    assert main(["train", "yin_yang", *TINY, "--out", str(out(tmp_path)), "--quiet"]) == 2
    assert re.fullmatch(
        "saltation: error: .*(File exists|Not a directory|No such file|File name too long).*\n", capsys.readouterr().err
    )


def test_networks_larger_than_memory_are_an_error(capsys, tmp_path):
    layers = ["--model.layers.0.size", "1000000", "--model.layers.0.recurrent", "{}"]
    assert main(["train", "yin_yang", *TINY, *layers, "--out", str(tmp_path / "run")]) == 2
    assert "allocate memory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KeyboardInterrupt(), 130, "stopped"),
        (MemoryError(), 2, "saltation: error: MemoryError"),
        (TypeError("labels of text"), 2, "saltation: error: labels of text"),
        (ValueError("a\x1b[31mb\nc\ud800"), 2, r"saltation: error: a\x1b[31mb c\ud800"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_exit_codes(error, code, text, monkeypatch, capsys):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr("saltation.train.evaluate_run", fails)
    monkeypatch.setattr("os.dup2", lambda *_: None)
    monkeypatch.setattr("sys.stdout.fileno", lambda: 1, raising=False)
    assert main(["eval", "somewhere"]) == code
    assert text in capsys.readouterr().err


def test_faults_of_our_own_are_not_hidden(monkeypatch):
    monkeypatch.setattr("saltation.train.evaluate_run", lambda *_: {}["x"])
    with pytest.raises(KeyError):
        main(["eval", "somewhere"])


def test_a_reader_that_leaves_is_no_error(tmp_path):
    command = f"{sys.executable} -m saltation.cli info | true; exit ${{PIPESTATUS[0]}}"
    process = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert process.returncode in (0, 141) and process.stderr == ""


@pytest.mark.parametrize("count", [1, 2])
def test_one_of_several_processes_leaves_at_once(count):
    program = (
        "import atexit; from saltation.environment import leave; atexit.register(print, 'end'); print('said'); leave(3)"
    )
    several = {"RANK": "1", "WORLD_SIZE": str(count), "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | several, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "said\n" if count > 1 else "said\nend\n")

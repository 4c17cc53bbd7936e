"""Several processes search in one folder."""

import json
import os
import signal
import subprocess
import sys
import time

import optuna
import pytest

from saltation.experiments.tasks import YIN_YANG_NETWORK
from saltation.train.journal import Journal, next_number
from saltation.train.tune import tune

TINY = {"data.options": {"sizes": [30, 12, 12]}, "train.epochs": 1, "train.batch_size": 15, "model.layers.0.size": 3}
SEARCH = ["train.lr.weight=log:1e-3:1e-1"]
COMMAND = [sys.executable, "-m", "saltation", "tune", YIN_YANG_NETWORK, "--search", SEARCH[0]]
COMMAND += [word for key, value in TINY.items() for word in (f"--{key}", json.dumps(value))]


def studied(folder):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.JournalStorage(Journal(folder / "journal.log"))
    return optuna.load_study(study_name="saltation", storage=storage)


@pytest.mark.slow
def test_two_processes_share_the_trials(tmp_path):
    command = [*COMMAND, "--trials", "6", "--out", str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate(timeout=900)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    trials = studied(tmp_path).trials
    assert sorted(trial.user_attrs["number"] for trial in trials) == list(range(6))
    assert all(trial.state.is_finished() for trial in trials)
    assert sum(text.count("trial ") for text in printed) == 6
    assert len({trial.params["train.lr.weight"] for trial in trials}) == 6
    assert sorted(path.name for path in (tmp_path / "trials").iterdir()) == [str(n) for n in range(6)]
    best = max(trial.value for trial in trials if trial.value is not None)
    assert studied(tmp_path).best_value == best


@pytest.mark.slow
def test_the_trial_of_a_killed_process_is_done_again(tmp_path):
    """And not while that process lives."""
    slow = [*COMMAND, "--trials", "3", "--out", str(tmp_path), "--train.epochs", "1000000", "--threads", "1"]
    other = subprocess.Popen(slow)
    settings = {**TINY, "train.epochs": 1000000}
    try:
        deadline = time.monotonic() + 600
        while not (tmp_path / "trials" / "0" / "metrics.jsonl").exists():
            assert time.monotonic() < deadline and other.poll() is None
            time.sleep(0.1)
        assert tune(YIN_YANG_NETWORK, SEARCH, 1, tmp_path, settings, quiet=True) == {}  # number 0 is being run
        other.send_signal(signal.SIGKILL)
        other.wait()
    finally:
        other.kill()
    study = studied(tmp_path)
    assert [trial.state.name for trial in study.trials] == ["RUNNING"]
    assert next_number(study, tmp_path) == 0
    assert [trial.state.name for trial in study.trials] == ["FAIL"]


def test_two_journals_on_one_file(tmp_path):
    """Each sees what the other writes; half a line of one that died is dropped by the next that writes."""
    left, right = Journal(tmp_path / "a"), Journal(tmp_path / "a")
    left.append_logs([{"op_code": 0, "x": 1}])
    assert list(right.read_logs(0)) == [{"op_code": 0, "x": 1}]
    with (tmp_path / "a").open("a") as file:
        file.write('{"op_code": 4, "wor')
    assert list(left.read_logs(1)) == []
    right.append_logs([{"op_code": 5}, {"op_code": 6}])
    assert list(left.read_logs(1)) == [{"op_code": 5}, {"op_code": 6}]
    assert len(list(right.read_logs(0))) == 3 and left.size == right.size == os.path.getsize(tmp_path / "a")


def test_the_folder_of_a_run_is_refused(tmp_path):
    (tmp_path / "config.yaml").write_text("name: x\n")
    with pytest.raises(ValueError, match="is the folder of a run; choose another folder for the search"):
        tune(YIN_YANG_NETWORK, SEARCH, 1, tmp_path, TINY)

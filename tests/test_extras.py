"""What needs only a part of the packages: each extra is named by the error where its packages are missing."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from saltation import extras
from saltation.cli import main
from saltation.extras import EXTRAS, MissingPackageError, missing, need

ROOT = Path(__file__).resolve().parents[1]
SAID = {  # a command or a call for every extra, and how its error begins
    "cli": ("import saltation.train", "saltation.train needs the packages filelock, omegaconf, rich, pyyaml: "),
    "data": ("from saltation.data import audio_events as f; f([], 1.0, [], [])", "audio_events needs the packages "),
    "digits": ("import saltation as sal; sal.data.load('digits')", "the data set digits needs the package scikit-l"),
    "experiments": (["experiment", "memory"], "saltation experiment needs the packages scipy, threadpoolctl: "),
    "nir": ("import saltation as sal; sal.from_nir('x.nir')", "NIR needs the packages nir, scipy: "),
    "plots": ("import saltation as sal; sal.plot", "saltation.plot needs the package matplotlib: "),
    "tensorboard": (["train", "yin_yang", "--tensorboard"], "--tensorboard needs the package tensorboard: "),
    "tune": (["tune", "yin_yang"], "saltation tune needs the package optuna: "),
}
BLOCK = "import sys; sys.modules.update(dict.fromkeys(sys.argv[1].split(','))); "


def named(requirement):
    return re.match(r"[\w.-]+", requirement)[0]


def test_the_table_is_that_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert sorted(map(named, project["dependencies"])) == ["numba", "numpy", "safetensors", "torch"]
    listed = project["optional-dependencies"]
    for extra, packages in EXTRAS.items():
        assert sorted(packages.values()) == sorted({*map(named, listed[extra])} - {"saltation"}), extra
    assert listed["all"] == [f"saltation[{','.join(sorted(EXTRAS))}]"]  # all that users need


@pytest.mark.parametrize("extra", EXTRAS)
def test_each_is_named_where_it_is_missing(extra, tmp_path):
    what, message = SAID[extra]
    code = what if isinstance(what, str) else f"from saltation.cli import main; sys.exit(main({what}))"
    command = [sys.executable, "-c", BLOCK + code, ",".join(EXTRAS[extra])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode and message in last and f"pip install 'saltation[{extra}]'" in last, done.stderr
    assert ("Traceback" in done.stderr) == isinstance(what, str)
    assert list(tmp_path.iterdir()) == []


def test_saltation_new_says_what_it_needs(tmp_path):
    code = "from saltation.cli import main; sys.exit(main(['new', 'x.npz']))"
    command = [sys.executable, "-c", BLOCK + code, "yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "saltation: error: saltation new needs the package pyyaml: pip install 'saltation[cli]'\n"


def test_the_core_needs_no_extra(tmp_path):
    """Networks, data files and what is drawn from them, with every package of every extra blocked."""
    blocked = ",".join(module for packages in EXTRAS.values() for module in packages)
    code = (
        "import saltation as sal; d = sal.data.yin_yang(sizes=(9, 3, 3), publication=False); "
        "sal.data.save_npz('a.npz', d); sal.data.save_store('b', d); "
        "from saltation.cli import main; sys.exit(main(['data', 'info', 'a.npz']))"
    )
    done = subprocess.run([sys.executable, "-c", BLOCK + code, blocked], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "samples            15" in done.stdout, done.stderr


def test_import_leaves_slow_packages_alone():
    """Numba alone takes as long as all that `import saltation` may take beside PyTorch."""
    slow = [
        "numba",
        "saltation.data",
        "saltation.train",
        *(module for packages in EXTRAS.values() for module in packages),
    ]
    code = "import sys, torch; before = set(sys.modules); import saltation; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {*slow} & {*done.stdout.split()}


def test_a_run_without_matplotlib_says_that_there_are_no_pictures(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    arrays = {"channels": rng.integers(0, 3, 120), "offsets": np.arange(31) * 4, "labels": np.arange(30) % 3}
    np.savez(tmp_path / "a.npz", times=np.sort(rng.random((30, 4)), 1).ravel(), split=np.arange(30) // 25 * 2, **arrays)
    (tmp_path / "a.yaml").write_text("data: {name: events}\nmodel: {layers: [{tau_mem: 0.2, tau_syn: 0.1}]}\n")
    monkeypatch.setattr(extras, "find_spec", lambda module: None if module == "matplotlib" else module)
    run = tmp_path / "run"
    settings = ["--data.path", str(tmp_path / "a.npz"), "--train.epochs", "1", "--out", str(run)]
    assert main(["train", str(tmp_path / "a.yaml"), *settings]) == 0
    said = f"results are in {run}; pictures need matplotlib: pip install 'saltation[plots]'"
    assert said in capsys.readouterr().out and not list(run.glob("*.png"))


def test_python_m_saltation():
    done = subprocess.run([sys.executable, "-m", "saltation", "train"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("saltation: error: give a RECIPE to train")


def test_the_message(monkeypatch):
    need("tune", "nothing that is missing")
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert missing("tune") == ["optuna"]
    with pytest.raises(MissingPackageError, match=r"^it needs the package optuna: pip install 'saltation\[tune\]'; or"):
        need("tune", "it", "; or not")

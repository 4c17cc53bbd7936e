"""saltation data list | info | plot | convert."""

import numpy as np
import pytest

from saltation.cli import main
from saltation.data import load_npz


@pytest.fixture
def recording(tmp_path):
    file = tmp_path / "dense.npz"
    raster = np.random.default_rng(0).integers(0, 2, (6, 10, 3))
    np.savez(file, raster=raster, labels=np.arange(6) % 2, split=np.array([0, 0, 0, 0, 1, 2]))
    return file, raster


def test_convert_info_plot(recording, tmp_path, capsys):
    file, raster = recording
    out = tmp_path / "events.npz"
    assert main(["data", "convert", str(out), "--dense", str(file), "--dt", "0.1"]) == 0
    assert len(load_npz(out).times) == raster.sum()
    assert main(["data", "info", str(out)]) == 0
    text = capsys.readouterr().out
    assert "6: 4 train, 1 validation, 1 test" in text and f"events             {raster.sum()}\n" in text
    folder = tmp_path / "store"
    assert main(["data", "convert", str(folder), "--events", str(out)]) == 0
    assert main(["data", "info", str(folder)]) == 0
    stored = capsys.readouterr().out.split("\n", 1)[1]
    assert stored.split("\n")[1:] == text.split("\n")[2:]  # all but the source
    assert main(["data", "plot", str(out), "--out", str(tmp_path / "raster.png")]) == 0
    assert (tmp_path / "raster.png").read_bytes().startswith(b"\x89PNG")


def test_list(tmp_path, capsys):
    assert main(["data", "list", "--root", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "digits         comes with scikit-learn" in text and f"not found: {tmp_path / 'shd'}" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "shd", "--root", "nowhere"], "published at zenkelab.org/datasets"),
        (["info", "nothing.npz"], "no event file at nothing.npz"),
        (["convert", "out", "--events", "a.npz"], "no event file at a.npz"),
        (["convert", "out.npz", "--dense", "a.npz"], "needs --dt"),
        (["convert", "out.npz", "--tonic", "SHD"], "--root"),
        (["get", "shd"], "published at zenkelab.org/datasets"),
        (["get", "cifar"], "is not a published set; there are braille"),
        (["get", "mnist"], "say where to: --root DIR"),
    ],
)
def test_errors_leave_nothing_behind(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SALTATION_DATA", raising=False)
    assert main(["data", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

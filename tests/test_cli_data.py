"""saltation data list | info | plot | convert."""

import numpy as np
import pytest

from saltation.cli import main
from saltation.data import load, load_npz


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


EVENTS = {
    "times": np.array([0.1, 0.2]),
    "channels": np.array([0, 1]),
    "offsets": np.array([0, 1, 2]),
    "labels": np.array([0, 1]),
    "split": np.array([0, 0]),
}


@pytest.mark.parametrize("name", ["rec.npz", "REC.NPZ", "rec.dat", "digits"])
def test_a_file_is_read_whatever_it_is_called(name, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with open(name, "wb") as file:
        np.savez(file, **EVENTS)
    assert main(["data", "info", name]) == 0
    assert "samples            2: 2 train" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rec.aedat4", b"#!AER-DAT4.0", "rec.aedat4 is not an .npz file; save plain arrays with numpy.savez"),
        ("rec.h5", b"\x89HDF\r\n\x1a\n", "rec.h5 is not an .npz file"),
        ("REC.NPZ", b"", "REC.NPZ is damaged or cut short (it is empty)"),
    ],
)
def test_a_file_of_another_kind(name, content, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    assert main(["data", "info", name]) == 2
    assert message in capsys.readouterr().err


def test_a_recording_without_events(capsys, tmp_path):
    silent = {"times": np.zeros(0), "channels": np.zeros(0, int), "offsets": np.zeros(3, int), "duration": 1.0}
    np.savez(tmp_path / "silent.npz", **{**EVENTS, **silent})
    assert main(["data", "info", str(tmp_path / "silent.npz")]) == 2
    assert "give num_channels" in capsys.readouterr().err
    np.savez(tmp_path / "silent.npz", **{**EVENTS, **silent}, num_channels=3)
    assert main(["data", "info", str(tmp_path / "silent.npz")]) == 0
    text = capsys.readouterr().out
    assert "events             0\n" in text and "channels           3; 3 never fire" in text
    assert main(["data", "plot", str(tmp_path / "silent.npz"), "--out", str(tmp_path / "a.png")]) == 0


def test_stores_are_not_converted_again(capsys, tmp_path):
    np.savez(tmp_path / "a.npz", **EVENTS)
    assert main(["data", "convert", str(tmp_path / "store"), "--events", str(tmp_path / "a.npz")]) == 0
    assert main(["data", "convert", str(tmp_path / "b.npz"), "--events", str(tmp_path / "store")]) == 2
    assert "is a folder; --events takes an .npz file" in capsys.readouterr().err


def test_a_name_that_is_a_file(tmp_path):
    np.savez(tmp_path / "a.npz", **EVENTS)
    with pytest.raises(ValueError, match=r"no data set named .*a\.npz'; there are .*: events, with path .*a\.npz"):
        load(str(tmp_path / "a.npz"))

"""Data sets of Tonic, with stand-ins that have its signatures and forms."""

import sys

import numpy as np
import pytest

from saltation.cli import main
from saltation.data import from_tonic, load_npz

EVENT = [("t", int), ("x", int), ("p", int)]


class Digits:
    sensor_size, classes = (64, 1, 1), np.array([b"zero", b"one"])

    def __init__(self, *samples, **changes):
        self.samples = samples or ((np.array([(5, 1, 1)], EVENT), 0), (np.array([(7, 2, 1)], EVENT), 1))
        vars(self).update(changes)

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        return self.samples[i]


def events(dtype=EVENT, *rows):
    return np.array(list(rows) or [(5, 1, 1)], dtype)


def test_real_times_keep_their_fractions():
    times = np.array([0.25, 1.75, 3.5])
    recording = np.zeros(3, [("t", float), ("x", float), ("p", int)])
    recording["t"], recording["x"] = times, [1.0, 2.0, 3.0]
    data = from_tonic([(0, Digits((recording, 0), (recording, 1)))])
    np.testing.assert_allclose(data.times, np.tile(times * 1e-6, 2), rtol=1e-15)
    assert data.channels.tolist() == [1, 2, 3] * 2 and data.duration == 3.5e-6


def test_names_and_labels():
    samples = [(events(), label) for label in ("one", b"zero", np.int64(1), np.array(0))]
    data = from_tonic([(0, Digits(*samples))])
    assert data.class_names == ("zero", "one") and data.labels.tolist() == [1, 0, 1, 0]
    assert from_tonic([(0, Digits((events(), 0), classes=None))]).class_names == ()


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (
            (events(), "1-2-o"),
            r"sample 0 of split 2 has the label '1-2-o'.* whole number, or one of the classes zero, one",
        ),
        ((events(), {"bbox": None}), "has the label {'bbox': None}"),
        ((events(), 0.5), "has the label 0.5"),
        ((events(), None), "has the label None"),
        ((events(), 2), r"labels\[2\] is 2 but there are 2 classes"),
        ((events(), -1), r"labels\[2\] is -1"),
        ((events(EVENT, (5, 64, 1)), 0), "event 0 has x = 64; it lies outside of the sensor"),
        ((events(EVENT, (5, -1, 1)), 0), "event 0 has x = -1"),
        ((events([("t", int), ("x", float)], (5, 0.5)), 0), "event 0 has x = 0.5; .*between its pixels"),
        ((events([("t", int), ("x", float)], (5, np.nan)), 0), "event 0 has x = nan"),
        ((events([("t", float), ("x", int)], (1.0, 1), (np.nan, 1)), 0), "event 1 has t = nan"),
        ((events(EVENT, (-5, 1, 1)), 0), "event 0 has t = -5; it must be finite and >= 0 microseconds"),
        (
            (events([("t", int), ("p", int)], (5, 1)), 0),
            "has the fields t, p; it must have t, x: .*without a transform",
        ),
        ((np.zeros((3, 64)), 0), "has the fields of no structured array"),
        (([1, 2], 0), "has the fields of no structured array"),
    ],
    ids=str,
)
def test_refused(sample, message):
    with pytest.raises(ValueError, match=f"Digits: .*{message}"):
        from_tonic([(0, Digits()), (2, Digits(sample))])


@pytest.mark.parametrize("size", [None, (64,), (64, 1, 0), (64, 1.5, 1), "641"])
def test_sensors(size):
    with pytest.raises(ValueError, match="sensor_size is .*; it must be .width, height, polarities"):
        from_tonic([(0, Digits(sensor_size=size))])


def test_parts():
    with pytest.raises(ValueError, match="parts is empty"):
        from_tonic([])
    with pytest.raises(ValueError, match="different sensors or classes"):
        from_tonic([(0, Digits()), (2, Digits(classes=["one", "zero"]))])
    with pytest.raises(ValueError, match="different sensors or classes"):
        from_tonic([(0, Digits()), (2, Digits(sensor_size=(32, 1, 1)))])


PACKAGE = """
import numpy as np

class _Set:
    sensor_size, classes = (4, 1, 1), ["a", "b"]
    def __len__(self):
        return 2
    def __getitem__(self, i):
        return np.array([(self.code * 10 + i + 1, i)], [("t", int), ("x", int)]), i

class SHD(_Set):
    def __init__(self, save_to, train=True, transform=None):
        self.code = 1 if train else 3

class SSC(_Set):
    def __init__(self, save_to, split="train", transform=None):
        self.code = {"train": 1, "valid": 2, "test": 3}[split]

class Halves(_Set):
    def __init__(self, save_to, split="train", transform=None):
        assert split in ("train", "test"), "no such split"
        self.code = 1

class Whole(_Set):
    def __init__(self, save_to, transform=None):
        self.code = 1

def download():
    pass
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "package" / "tonic"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("from . import datasets\n")
    (folder / "datasets.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path / "package"))
    yield tmp_path
    for name in ("tonic", "tonic.datasets"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("name", "split"), [("SHD", [0, 0, 2, 2]), ("SSC", [0, 0, 1, 1, 2, 2])])
def test_convert(package, name, split):
    assert main(["data", "convert", str(package / "o.npz"), "--tonic", name, "--root", str(package)]) == 0
    data = load_npz(package / "o.npz")
    assert data.split.tolist() == split and data.num_channels == 4 and data.class_names == ("a", "b")
    np.testing.assert_allclose(
        data.times, [((code + 1) * 10 + i + 1) * 1e-6 for code in sorted(set(split)) for i in (0, 1)]
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Whole", "has neither train= nor split=, so its test samples are not known"),
        ("Halves", "could not be made with {'split': 'train'} and so on (AssertionError: no such split)"),
        ("Nothing", "tonic.datasets has no 'Nothing'"),
        ("download", "tonic.datasets has no 'download'"),
        ("__builtins__", "tonic.datasets has no '__builtins__'"),
        ("../SHD", "tonic.datasets has no '../SHD'"),
    ],
)
def test_convert_refuses(package, capsys, name, message):
    assert main(["data", "convert", str(package / "o.npz"), "--tonic", name, "--root", str(package)]) == 2
    assert message in capsys.readouterr().err and not (package / "o.npz").exists()

import numpy as np
import pytest

from saltation.data import available, data_root, digits, load, yin_yang, yin_yang_points
from saltation.data.yin_yang import yin_yang_class


def dense_times(data):
    """(samples, channels), inf where silent; every channel spikes at most once."""
    result = np.full((len(data), data.num_channels), np.inf)
    result[np.repeat(np.arange(len(data)), np.diff(data.offsets)), data.channels] = data.times
    return result


def test_points_lie_in_the_disc_and_in_their_class_in_equal_numbers():
    features, labels = yin_yang_points(3000, seed=0)
    assert np.all(np.hypot(features[:, 0] - 0.5, features[:, 1] - 0.5) <= 0.5)
    assert np.allclose(features[:, 2:], 1 - features[:, :2])
    assert np.array_equal(yin_yang_class(features[:, :2]), labels)
    assert np.all(np.abs(np.bincount(labels) / 3000 - 1 / 3) < 0.04)
    again, _ = yin_yang_points(3000, seed=0)
    other, _ = yin_yang_points(3000, seed=1)
    assert np.array_equal(features, again) and not np.array_equal(features, other)


def test_known_classes():
    points = np.array([[0.75, 0.5], [0.25, 0.5], [0.5, 0.9], [0.5, 0.1], [0.25, 0.7], [0.75, 0.3], [0.75, 0.7]])
    assert yin_yang_class(points).tolist() == [2, 2, 1, 0, 1, 0, 0]


def test_yin_yang_encoding():
    data = yin_yang(sizes=(50, 20, 30), seeds=(1, 2, 3), t_early=0.5, t_late=1.5, duration=4.0)
    assert np.bincount(data.split).tolist() == [50, 20, 30]
    assert (data.num_channels, data.num_classes, data.duration) == (4, 3, 4.0)
    features, labels = yin_yang_points(20, seed=2)
    part = data.subset("validation")
    assert np.array_equal(dense_times(part), 0.5 + features)
    assert np.array_equal(part.labels, labels)


def test_bias_spike():
    times = dense_times(yin_yang(sizes=(5, 5, 5), bias=0.9))
    assert times.shape == (15, 5) and np.all(times[:, 4] == 0.9)


def test_publication_points(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"github.com/lkriener/yin_yang_data_set"):
        yin_yang(tmp_path, publication=True)
    arrays = {}
    for seed, split in enumerate(("train", "validation", "test")):
        arrays[f"{split}_samples"], arrays[f"{split}_labels"] = yin_yang_points(10, seed)
    (tmp_path / "yin_yang").mkdir()
    file = tmp_path / "yin_yang" / "yin_yang_publication.npz"
    np.savez(file, **arrays)
    data = load("yin_yang", root=tmp_path)
    assert data.source == str(file)
    assert np.allclose(dense_times(data.subset("test")), 0.15 + 1.85 * arrays["test_samples"])
    assert "generated" in load("yin_yang", root=tmp_path, publication=False, sizes=(5, 5, 5)).source
    del arrays["test_labels"]
    np.savez(file, **arrays)
    with pytest.raises(ValueError, match="no array named 'test_labels'"):
        load("yin_yang", root=tmp_path)


@pytest.mark.parametrize("make", [yin_yang, digits])
def test_window_is_checked(make):
    with pytest.raises(ValueError, match="t_early is 3.0, t_late 2.0"):
        make(t_early=3.0)
    with pytest.raises(ValueError, match="duration 1.0"):
        make(duration=1.0)


def test_digits_are_stratified_and_brighter_is_earlier():
    data = digits(t_early=1.0, t_late=2.0)
    assert len(data) == 1797 and data.num_channels == 64
    sizes = np.bincount(data.split) / 1797
    assert np.allclose(sizes, [0.6, 0.2, 0.2], atol=0.01)
    for split in range(3):
        assert np.all(np.abs(np.bincount(data.labels[data.split == split]) / (data.split == split).sum() - 0.1) < 0.01)
    times = dense_times(data)
    assert times.min() == 1.0 and times[np.isfinite(times)].max() < 2.0
    assert np.all(np.isinf(times[:, 0]))  # the corner pixel is always black
    assert not np.array_equal(digits(seed=1).split, data.split)
    with pytest.raises(ValueError, match="their sum below 1"):
        digits(validation=0.6, test=0.5)


def test_load_by_name(tmp_path, monkeypatch):
    monkeypatch.delenv("SALTATION_DATA", raising=False)
    with pytest.raises(ValueError, match="no data set named 'cifar'; there are yin_yang, digits, braille, "):
        load("cifar")
    with pytest.raises(ValueError, match="'digits' has no option 'size'; it has t_early"):
        load("digits", size=3)
    with pytest.raises(ValueError, match="takes no path"):
        load("digits", path="a.npz")
    with pytest.raises(ValueError, match="'events' needs the path of an .npz file .--data.path PATH"):
        load("events")
    with pytest.raises(FileNotFoundError, match=r"doi 10.5281/zenodo.7050094.*--data.path FILE"):
        load("braille")


def test_data_root(tmp_path, monkeypatch):
    monkeypatch.setenv("SALTATION_DATA", str(tmp_path))
    assert data_root() == tmp_path
    assert data_root("/elsewhere").as_posix() == "/elsewhere"
    assert available()["braille"].startswith("not found: " + str(tmp_path))
    file = tmp_path / "braille27_th10" / "braille27_th10.npz"
    file.parent.mkdir()
    np.savez(file, times=[0.1], channels=[0], offsets=[0, 1], labels=[0], split=[0], split_authors=[2])
    assert load("braille", split_key="split_authors").split.tolist() == [2]
    assert available()["braille"] == str(file)
    monkeypatch.delenv("SALTATION_DATA")
    assert data_root() is None and "SALTATION_DATA" in available()["braille"]

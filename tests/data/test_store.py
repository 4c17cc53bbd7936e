"""Stores: the same samples as in memory, bit for bit; damage is told; nothing half-written."""

import json
import os

import numpy as np
import pytest
import torch

from saltation.data import StoreWriter, digits, load, load_store, save_npz, save_store
from saltation.train import load_config, train
from saltation.train.config import DataConfig


@pytest.fixture
def dataset():
    return digits(seed=0).take(np.arange(60))


def test_the_same_samples(dataset, tmp_path):
    save_store(tmp_path / "store", dataset)
    stored = load("events", path=tmp_path / "store")
    assert repr(stored).split(": ", 1)[1] == repr(dataset).split(": ", 1)[1]
    for ours, theirs in ((stored, dataset), (stored.subset("train"), dataset.subset("train"))):
        pairs = zip(
            ours.batches(7, torch.Generator().manual_seed(0)),
            theirs.batches(7, torch.Generator().manual_seed(0)),
            strict=True,
        )
        for (spikes, labels), (expected, expected_labels) in pairs:
            assert torch.equal(spikes.times, expected.times) and torch.equal(spikes.units, expected.units)
            assert torch.equal(spikes.offsets, expected.offsets) and torch.equal(labels, expected_labels)
    plain = dataset.with_split(np.where(dataset.split == 1, 0, dataset.split))
    save_store(tmp_path / "plain", plain)
    again = load_store(tmp_path / "plain").with_validation(0.2, 3)
    assert again.split.tolist() == plain.with_validation(0.2, 3).split.tolist()
    assert isinstance(stored.times, np.memmap)


def test_training_from_a_store(dataset, tmp_path):
    save_store(tmp_path / "store", dataset)
    overrides = {"train.epochs": 1, "train.drop": 0, "train.jitter": 0}
    config = load_config("digits", overrides)
    config.data = DataConfig(name="events", path=str(tmp_path / "store"))
    result = train(config, tmp_path / "run", quiet=True)
    assert result["test_accuracy"] is not None


def test_float32_halves_times(dataset, tmp_path):
    save_store(tmp_path / "store", dataset, times="float32")
    spikes, _ = load_store(tmp_path / "store").batch(np.arange(60))
    np.testing.assert_allclose(spikes.times, dataset.times, rtol=1e-7)
    assert (tmp_path / "store" / "times.npy").stat().st_size == 128 + 4 * len(dataset.times)


def test_a_writer_that_fails_leaves_nothing(dataset, tmp_path):
    message = "has num_channels 64, but .* only 3"
    with pytest.raises(ValueError, match=message), StoreWriter(tmp_path / "store", 3, 10, 6.0) as writer:
        writer.add(dataset)
    assert list(tmp_path.iterdir()) == []
    save_store(tmp_path / "store", dataset)
    with pytest.raises(ValueError, match="exists already"):
        save_store(tmp_path / "store", dataset)


def test_two_writers_at_once(dataset, tmp_path):
    """The first to end has the name; the other is told, and leaves nothing behind."""
    sizes = dataset.num_channels, dataset.num_classes, dataset.duration
    with (
        pytest.raises(ValueError, match="was made by someone else meanwhile"),
        StoreWriter(tmp_path / "store", *sizes) as slow,
    ):
        slow.add(dataset.take([0]))
        with StoreWriter(tmp_path / "store", *sizes) as quick:
            quick.add(dataset)
        slow.add(dataset.take([1]))
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert len(load_store(tmp_path / "store")) == len(dataset)


def test_what_has_its_name_is_on_disk(dataset, tmp_path, monkeypatch):
    steps = []
    monkeypatch.setattr(
        "os.fsync", lambda handle: steps.append(os.path.basename(os.readlink(f"/proc/self/fd/{handle}")))
    )
    rename = os.replace
    monkeypatch.setattr("os.replace", lambda a, b: (steps.append("renamed"), rename(a, b)))
    save_store(tmp_path / "store", dataset)
    begun = steps.index("renamed")
    arrays = {f"{name}.npy" for name in ("times", "channels", "offsets", "labels", "split")}
    assert arrays | {"meta.json"} < set(steps[:begun]) and steps[begun + 1 :] == [tmp_path.name]
    steps.clear()
    save_npz(tmp_path / "a.npz", dataset)
    assert len(steps) == 3 and steps[0].startswith("a.npz.") and steps[1:] == ["renamed", tmp_path.name]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "store"]


def cut(file):
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("times.npy", cut, "times.npy is damaged or cut short"),
        ("labels.npy", lambda file: file.unlink(), "labels.npy is missing"),
        ("meta.json", lambda file: file.write_text("{"), "meta.json is damaged"),
        ("meta.json", lambda file: file.unlink(), "it has no meta.json"),
        ("labels.npy", lambda file: np.save(file, np.full(60, 10)), r"labels\[0\] is 10 but there are 10 classes"),
        ("offsets.npy", lambda file: np.save(file, np.arange(61)), "do not belong together"),
    ],
)
def test_damage(dataset, tmp_path, name, damage, message):
    save_store(tmp_path / "store", dataset)
    damage(tmp_path / "store" / name)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_store(tmp_path / "store")


def test_bad_events_are_found_when_they_are_read(dataset, tmp_path):
    save_store(tmp_path / "store", dataset)
    meta = tmp_path / "store" / "meta.json"
    meta.write_text(json.dumps({**json.loads(meta.read_text()), "num_channels": 20}))
    with pytest.raises(
        ValueError, match=r"store, batch of the samples \[0, 1\] ...: units\[\d+\] = .* within 0 ... 19"
    ):
        load_store(tmp_path / "store").batch(np.arange(2))

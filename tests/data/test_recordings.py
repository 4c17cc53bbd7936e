"""Readers of published recordings, on small files in the published layouts, and damaged ones."""

import gzip
import struct

import h5py
import numpy as np
import pytest

from saltation.data import load
from saltation.data.images import IDX_FILES


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "mnist"
    folder.mkdir()
    arrays = {}
    for key, file in IDX_FILES.items():
        count = 6 if key.startswith("train") else 4
        high, shape = (256, (count, 3, 2)) if key.endswith("images") else (10, (count,))
        arrays[key] = rng.integers(0, high, shape, dtype=np.uint8)
        if key == "test_images":  # one of them compressed
            (folder / f"{file}.gz").write_bytes(gzip.compress(idx(arrays[key])))
        else:
            (folder / file).write_bytes(idx(arrays[key]))
    return folder, arrays


def test_images(images, tmp_path):
    folder, arrays = images
    np.savez(tmp_path / "images.npz", **arrays)
    for data in (load("mnist", root=tmp_path), load("fashion_mnist", path=tmp_path / "images.npz", darkest=100)):
        lowest = 1 if "darkest" not in data.source and data.source == str(folder) else 100
        assert np.bincount(data.split).tolist() == [6, 0, 4] and data.num_channels == 6
        pixels = np.concatenate([arrays["train_images"], arrays["test_images"]]).reshape(10, 6)
        assert np.diff(data.offsets).tolist() == (pixels >= lowest).sum(1).tolist()
        owner = np.repeat(np.arange(10), np.diff(data.offsets))
        np.testing.assert_allclose(data.times, 2.0 - pixels[owner, data.channels] / 255 * 1.85)
        assert data.labels.tolist() == [*arrays["train_labels"], *arrays["test_labels"]]


def test_the_darkest_pixel_spikes(images, tmp_path):
    """Pixels of at least `darkest` spike."""
    arrays = images[1]
    arrays["train_images"][:] = [[0, 99], [100, 101], [255, 100]]
    np.savez(tmp_path / "images.npz", **arrays)
    data = load("mnist", path=tmp_path / "images.npz", darkest=100)
    assert sorted(data.channels[: data.offsets[1]]) == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "35 bytes of data but announces shape"),
        (lambda file: file.write_bytes(b"<html>"), "not an idx file"),
        (lambda file: file.unlink(), "no train-images-idx3-ubyte and no"),
        (lambda file: file.with_name("t10k-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b\x08"), "damaged or cut short"),
        (lambda file: file.write_bytes(idx(np.zeros((5, 3, 2), np.uint8))), "one label for each image"),
    ],
)
def test_damaged_images(images, tmp_path, damage, message):
    damage(images[0] / IDX_FILES["train_images"])
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load("mnist", root=tmp_path)


def bin_file(x, y, polarity, microseconds):
    return b"".join(
        bytes([a, b, p << 7 | t >> 16, t >> 8 & 255, t & 255])
        for a, b, p, t in zip(x, y, polarity, microseconds, strict=True)
    )


def test_event_camera(tmp_path):
    for part in ("Train", "Test"):
        for digit in range(10):
            folder = tmp_path / "nmnist" / part / str(digit)
            folder.mkdir(parents=True)
            # the third event (row 240) only says that the clock went round
            (folder / "1.bin").write_bytes(bin_file([digit, 33, 0, 1], [0, 33, 240, 2], [0, 1, 0, 1], [5, 70000, 1, 9]))
            (folder / "2.bin").write_bytes(bin_file([0], [0], [0], [1]))
    data = load("nmnist", root=tmp_path)
    assert np.bincount(data.split).tolist() == [20, 0, 20] and data.num_channels == 2312
    first = slice(data.offsets[6], data.offsets[7])  # file 1 of digit 3
    assert data.channels[first].tolist() == [3, 1 + 34 * 2 + 1156, 33 + 34 * 33 + 1156]
    np.testing.assert_allclose(data.times[first], [5e-6, (9 + 8192) * 1e-6, 0.07])
    assert len(load("nmnist", root=tmp_path, per_class=1)) == 20
    events = {"address": data.channels, "offsets": data.offsets, "labels": data.labels, "split": data.split}
    gaps = np.diff(np.round(data.times * 1e6).astype(np.int64), prepend=0)
    gaps[data.offsets[:-1]] = np.round(data.times[data.offsets[:-1]] * 1e6)
    np.savez(tmp_path / "small.npz", dt_us=gaps, **events)
    again = load("nmnist", path=tmp_path / "small.npz")
    np.testing.assert_allclose(again.times, data.times, atol=1e-12)
    file = tmp_path / "nmnist" / "Test" / "4" / "1.bin"
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(ValueError, match=r"4/1.bin has 18 bytes, not a multiple of 5"):
        load("nmnist", root=tmp_path)
    file.write_bytes(bin_file([40], [0], [0], [1]))
    with pytest.raises(ValueError, match=r"event 0 is at pixel \(40, 0\)"):
        load("nmnist", root=tmp_path)
    file.unlink()
    file.with_name("2.bin").unlink()
    with pytest.raises(FileNotFoundError, match="Test.zip"):
        load("nmnist", root=tmp_path)


def heidelberg(folder, parts, labels=(0, 1, 1)):
    folder.mkdir(exist_ok=True)
    for seed, part in enumerate(parts):
        rng = np.random.default_rng(seed)
        with h5py.File(folder / f"shd_{part}.h5", "w") as file:
            for name, dtype in (("times", np.float16), ("units", np.uint16)):
                values = file.create_dataset(f"spikes/{name}", (3,), dtype=h5py.vlen_dtype(dtype))
                for i, n in enumerate((4, 0, 3)):
                    drawn = np.sort(rng.uniform(0, 1.3, n)) if name == "times" else rng.integers(0, 700, n)
                    values[i] = drawn.astype(dtype)
            file["labels"] = np.array(labels, np.uint16)
            file["extra/speaker"] = np.array([3, 5, 5])
            file["extra/keys"] = np.array([b"null", b"eins"])


def test_heidelberg(tmp_path):
    heidelberg(tmp_path / "shd", ("train", "test"))
    data = load("shd", root=tmp_path)
    assert np.bincount(data.split).tolist() == [3, 0, 3] and data.class_names == ("null", "eins")
    assert np.diff(data.offsets).tolist() == [4, 0, 3, 4, 0, 3] and data.num_channels == 700
    times = np.sort(np.random.default_rng(0).uniform(0, 1.3, 4)).astype(np.float16)
    assert data.times[:4].tolist() == times.astype(float).tolist()
    held_out = load("shd", root=tmp_path, validation_speaker=5, group=5)
    assert held_out.split.tolist() == [0, 1, 1, 2, 2, 2] and held_out.num_channels == 140
    assert held_out.channels.tolist() == (data.channels // 5).tolist()
    with pytest.raises(ValueError, match=r"no training sample of speaker 9; there are \[3, 5\]"):
        load("shd", root=tmp_path, validation_speaker=9)
    with pytest.raises(ValueError, match="must divide 700"):
        load("shd", root=tmp_path, group=3)
    heidelberg(tmp_path / "shd", ("valid",))
    assert np.bincount(load("shd", root=tmp_path).split).tolist() == [3, 3, 3]


def test_heidelberg_keeps_what_comes_at_the_very_end(tmp_path):
    """A sample is [0, duration], its ends included; spikes may come in any order."""
    (tmp_path / "shd").mkdir()
    for part in ("train", "test"):
        with h5py.File(tmp_path / "shd" / f"shd_{part}.h5", "w") as file:
            for name, row, dtype in (("times", [1.0, 0.25, 1.5, 0.0], np.float32), ("units", [7, 8, 9, 3], np.uint16)):
                values = file.create_dataset(f"spikes/{name}", (1,), dtype=h5py.vlen_dtype(dtype))
                values[0] = np.array(row)
            file["labels"] = np.array([0], np.uint16)
    with pytest.warns(UserWarning, match="1 spikes come after duration = 1"):
        data = load("shd", root=tmp_path, duration=1.0)
    assert data.times.tolist() == [0.0, 0.25, 1.0] * 2 and data.channels.tolist() == [3, 8, 7] * 2


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: heidelberg(folder, ("train",), labels=(0, 1)), "2 labels"),
        (lambda folder: heidelberg(folder, ("train",), labels=(0, 1, 2)), r"labels\[2\] is 2 but there are 2 classes"),
        (lambda folder: (folder / "shd_train.h5").write_bytes(b"nothing"), "shd_train.h5 is damaged"),
        (lambda folder: (folder / "shd_test.h5").unlink(), "unpack shd_test.h5.gz"),
    ],
)
def test_damaged_heidelberg(tmp_path, damage, message):
    heidelberg(tmp_path / "shd", ("train", "test"))
    damage(tmp_path / "shd")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load("shd", root=tmp_path)


def test_missing_recordings_say_where_to_get_them(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"zenkelab.org/datasets; put them at ssc under the data root"):
        load("ssc", root=tmp_path)


def test_split_by_group(tmp_path):
    file = tmp_path / "events.npz"
    events = {"times": np.arange(4.0), "channels": np.arange(4), "offsets": np.arange(5), "labels": np.arange(4) % 2}
    np.savez(file, **events, speaker=np.array([0, 1, 2, 1]), take=np.arange(4))
    data = load("events", path=file, group_key="speaker", test_group=1, validation_group=2)
    assert data.split.tolist() == [0, 2, 1, 2]
    assert load("events", path=file, group_key="speaker", test_group=1).split.tolist() == [0, 2, 0, 2]
    several = load("events", path=file, group_key="take", test_group=[0, 3], validation_group=[2])
    assert several.split.tolist() == [2, 0, 1, 2]
    for options, message in (
        ({"group_key": "person"}, "no array named 'person'"),
        ({"group_key": "speaker", "test_group": 7}, r"no sample has speaker 7; there are \[0, 1, 2\]"),
        ({"group_key": "take", "test_group": [0, 4]}, "no sample has take 4"),
        ({"group_key": "take", "test_group": [0, 1], "validation_group": [1, 2]}, "take 1 can not be tested and"),
        ({"group_key": "speaker", "test_group": 1, "validation_group": 1}, "tested and validate at once"),
    ):
        with pytest.raises(ValueError, match=message):
            load("events", path=file, **options)

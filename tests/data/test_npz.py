import numpy as np
import pytest

from saltation.data import load_npz, save_npz

ARRAYS = {
    "times": np.array([0.1, 0.4, 0.2]),
    "channels": np.array([0, 2, 1], dtype=np.uint8),
    "offsets": np.array([0, 2, 3]),
    "labels": np.array([1, 0], dtype=np.uint8),
    "split": np.array([0, 2], dtype=np.uint8),
}


def write(path, **changes):
    arrays = {key: value for key, value in {**ARRAYS, **changes}.items() if value is not None}
    np.savez_compressed(path, **arrays)
    return path


def test_round_trip(tmp_path):
    file = write(tmp_path / "a.npz", class_names=np.array(["no", "yes"]), duration=1.5, num_channels=4)
    data = load_npz(file)
    assert (data.class_names, data.duration, data.num_channels) == (("no", "yes"), 1.5, 4)
    save_npz(tmp_path / "new" / "b.npz", data)
    again = load_npz(tmp_path / "new" / "b.npz")
    for name in ("times", "channels", "offsets", "labels", "split"):
        assert np.array_equal(getattr(again, name), getattr(data, name))
    assert (again.class_names, again.duration, again.num_channels) == (data.class_names, 1.5, 4)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["b.npz"]


def test_split_key_and_duration(tmp_path):
    file = write(tmp_path / "a.npz", split_authors=np.array([2, 0]))
    data = load_npz(file, split_key="split_authors", duration=3.0)
    assert data.split.tolist() == [2, 0] and data.duration == 3.0


@pytest.mark.parametrize("key", ["times", "channels", "offsets", "labels", "split"])
def test_missing_array(tmp_path, key):
    file = write(tmp_path / "a.npz", **{key: None})
    with pytest.raises(ValueError, match=rf"a.npz: no array named '{key}'; the file has "):
        load_npz(file)


def test_missing_split_key_says_how_to_choose_another(tmp_path):
    with pytest.raises(ValueError, match="no array named 'mine'.*--data.split_key"):
        load_npz(write(tmp_path / "a.npz"), split_key="mine")


def test_bad_record_names_the_file(tmp_path):
    file = write(tmp_path / "a.npz", times=np.array([0.4, 0.1, 0.2]))
    with pytest.raises(ValueError, match=r"a.npz: sample 0 is not sorted"):
        load_npz(file)


def test_pickles_are_refused(tmp_path):
    file = write(tmp_path / "a.npz", labels=np.array([1, "x"], dtype=object))
    with pytest.raises(ValueError, match=r"array 'labels' of .*a.npz holds Python objects"):
        load_npz(file)
    np.save(tmp_path / "b.npy", np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"b.npy holds a single array"):
        load_npz(tmp_path / "b.npy")


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_truncated_file(tmp_path, kept):
    file = write(
        tmp_path / "a.npz", times=np.sort(np.random.default_rng(0).uniform(size=3)), offsets=np.array([0, 3, 3])
    )
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match="is damaged or cut short"):
        load_npz(file)


def test_damaged_array(tmp_path):
    file = write(tmp_path / "a.npz")
    content = bytearray(file.read_bytes())
    content[80:100] = bytes(20)
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz"):
        load_npz(file)


def test_other_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no event file at"):
        load_npz(tmp_path / "none.npz")
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(ValueError, match="holds a single array"):
        load_npz(tmp_path / "a.npy")
    (tmp_path / "text.npz").write_text("times,channels\n")
    with pytest.raises(ValueError, match=r"text\.npz is not an \.npz file"):
        load_npz(tmp_path / "text.npz")
    (tmp_path / "empty.npz").write_bytes(b"")
    with pytest.raises(ValueError, match="is damaged or cut short"):
        load_npz(tmp_path / "empty.npz")
    with pytest.raises(ValueError, match="'duration' has shape"):
        load_npz(write(tmp_path / "d.npz", duration=np.array([1.0, 2.0])))

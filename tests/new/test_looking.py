"""Tables, arrays, splits and scales of recordings, against what is known of them."""

import numpy as np
import pytest

from saltation.data import EventDataset
from saltation.new.numbers import read_array, read_numbers, read_table
from saltation.new.scales import measure, rounded
from saltation.new.split import draw_split


def write(tmp_path, text, name="table.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_tables(tmp_path):
    text = "Species,length,width,split,colour\n b,1.0,2,train,red\na,3,,test,blue\nb,5,6e1,valid,red\na,7,8,train,red\n"
    found, said = read_table(write(tmp_path, text))
    assert found.names == ("a", "b") and found.labels.tolist() == [1, 0, 1, 0]
    assert np.array_equal(found.values, [[1, 2], [3, np.nan], [5, 60], [7, 8]], equal_nan=True)
    assert found.split.tolist() == [0, 2, 1, 0] and found.groups is None
    assert said == ["classes: column species", "column colour is left out: it holds text"]


@pytest.mark.parametrize("mark", [";", "\t", " "])
def test_tables_without_a_header(tmp_path, mark):
    lines = ["0.5 1 0", "1.5 2 1", "2.5 3 0", "3.5 4 1"]
    found, said = read_table(write(tmp_path, "\n".join(line.replace(" ", mark) for line in lines)))
    assert found.values.tolist() == [[0.5, 1], [1.5, 2], [2.5, 3], [3.5, 4]]
    assert found.labels.tolist() == [0, 1, 0, 1] and said == ["classes: column 3"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n1\n", "line 3: a table needs lines of equally many fields"),
        ("a,class\nx,1\ny,2\nx,1\ny,2\n", "has no column of numbers besides the class"),
        ("a,b\n1,2\n", "2 classes|1 samples of 1 classes"),
        ("x\n", "has 1 lines"),
        ("v,y\n" + "\n".join(f"{k},{k}" for k in range(20)), "20 samples of 20 classes"),
        ("v,split,y\n1,train,a\n2,somewhere,b\n3,train,a\n4,train,b\n", "split 'somewhere'; it must be one of train"),
        ("v,y\n1,a\n2,\n3,a\n4,b\n", "sample 2 has no class"),
        ("v,split,y\n1,test,a\n2,test,b\n3,test,a\n4,test,b\n", "has no training samples"),
        ("v,y\ninf,a\n1,b\n2,a\n3,b\n", "holds infinite values"),
    ],
)
def test_tables_that_are_none(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_table(write(tmp_path, text))


def test_arrays(tmp_path):
    x, y = np.arange(24.0).reshape(8, 3), np.array([3, 5] * 4)
    plain = read_numbers(tmp_path, {"X": x, "y": y, "speaker": np.arange(8) // 2})
    assert plain.values.tolist() == x.tolist() and plain.names == ("3", "5") and plain.split is None
    assert plain.groups.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    parts = {"x_train": x[:6], "y_train": y[:6], "x_test": x[6:], "y_test": y[6:, None][:, 0]}
    found = read_numbers(tmp_path, parts)
    assert found.values.tolist() == x.tolist() and found.split.tolist() == [0] * 6 + [2] * 2
    np.save(tmp_path / "signals.npy", x)
    with pytest.raises(ValueError, match="signals.npy has no classes: put them into signals_labels.npy"):
        read_array(tmp_path / "signals.npy")
    np.save(tmp_path / "signals_labels.npy", y)
    assert read_array(tmp_path / "signals.npy").labels.tolist() == [0, 1] * 4
    with pytest.raises(ValueError, match="has a, b; it must hold events"):
        read_numbers(tmp_path, {"a": x, "b": y})


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": np.arange(8.0), "y_train": np.arange(8) % 2}, r"shape \(8,\) .* an array \(samples, ...\)"),
        ({"x_train": np.float64(1.0), "y_train": np.arange(8) % 2}, "holds a single number where an array"),
        ({"x_test": np.ones((8, 3)), "y_test": np.arange(8) % 2}, "has no training samples"),
        ({"x": np.ones((8, 3)), "y": np.array([0.0, 1.0, np.nan, 1.0] * 2)}, "sample 2 has no class"),
        ({"split": np.zeros(5, int)}, r"the split have shape \(5,\); there must be one for each of the 8 samples"),
        ({"split": np.zeros((8, 2), int)}, r"the split have shape \(8, 2\)"),
        ({"speaker": np.zeros(5, int)}, r"the groups have shape \(5,\)"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, arrays, message):
    plain = {"x": np.ones((8, 3)), "y": np.arange(8) % 2} if not any(key[0] == "x" for key in arrays) else {}
    with pytest.raises(ValueError, match=message):
        read_numbers(tmp_path, plain | arrays)


def test_groups_stay_whole():
    labels, groups = np.tile([0, 1, 2], 40), np.repeat(list("abcdefghij"), 12)
    split, how = draw_split(labels, groups)
    parts = [set(groups[split == code].tolist()) for code in range(3)]
    assert parts == [set("abcdefg"), {"h"}, {"i", "j"}]
    assert how == "split by group: i, j tested, h for validation, 10 in all"


def test_splits_at_random_have_every_class_and_stay():
    labels = np.repeat([0, 1, 2], [50, 20, 2])
    for groups in (None, np.arange(72) % 2, labels.astype(str)):  # two groups are too few, one a class leave none
        split, how = draw_split(labels, groups)
        assert [int((split[labels == k] == 2).sum()) for k in range(3)] == [10, 4, 0]
        assert how.startswith("split at random")
    assert np.array_equal(split, draw_split(labels, None)[0])


def test_scales_of_a_regular_recording():
    """Two of four channels fire every 0.05, ten times, shifted by half of that."""
    times = np.sort(np.concatenate([0.05 * np.arange(1, 11), 0.05 * np.arange(1, 11) + 0.025]))
    channels = np.tile([0, 2], 10)
    data = EventDataset(
        times=np.tile(times, 5), channels=np.tile(channels, 5), offsets=20 * np.arange(6), labels=[0, 1, 0, 1, 0],
        split=[0, 0, 0, 0, 2], num_channels=4, duration=1.0,
    )  # fmt: skip
    found = measure(data)
    assert (found.span, found.interval, found.events, found.channels) == pytest.approx((0.525, 0.05, 20.0, 2))
    assert found.tau_mem == pytest.approx(0.075) and found.tau_syn == pytest.approx(0.03)
    assert found.max_delay == pytest.approx(0.21) and found.readout == pytest.approx(0.0525, abs=0.0006)
    empty = EventDataset(
        times=[], channels=[], offsets=[0, 0, 0], labels=[0, 1], split=[0, 0], num_channels=2, duration=1
    )
    with pytest.raises(ValueError, match="there is nothing to learn"):
        measure(empty)


def test_two_digits():
    assert [rounded(v) for v in (0.0123456, 987.0, 1.0, 0.0)] == [0.012, 990.0, 1.0, 0.0]

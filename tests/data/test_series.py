"""Time series of .ts files, as level crossings."""

import numpy as np
import pytest

from saltation.data import load

HEADER = "# a comment\n@problemName toy\n@classLabel true a b\n@data\n"


def write(folder, train, test):
    folder.mkdir(exist_ok=True)
    for part, lines in (("TRAIN", train), ("TEST", test)):
        (folder / f"{folder.name}_{part}.ts").write_text(HEADER + "\n".join(lines) + "\n")


def test_series(tmp_path):
    folder = tmp_path / "JapaneseVowels"
    write(folder, ["1,3:0,0:b", "2,2,2:4,4,4:a"], ["1:0:b"])
    data = load("japanese_vowels", root=tmp_path, delta=0.5, rest=2)
    assert data.labels.tolist() == [1, 0, 1] and data.split.tolist() == [0, 0, 2] and data.class_names == ("a", "b")
    assert data.num_channels == 4 and data.duration == 5.0
    # variable 0 has mean 2 and standard deviation sqrt(0.4): sample 0 goes 0 -> -1.58 -> 1.58
    low = 1 / np.sqrt(0.4)
    first = slice(data.offsets[0], data.offsets[1])
    ours = data.times[first][data.channels[first] < 2]
    down = np.array([0.5, 1.0, 1.5]) / low
    up = 1 + (np.array([-1.0, -0.5, 0.0, 0.5, 1.0, 1.5]) + low) / (2 * low)
    np.testing.assert_allclose(ours, [*down, *up])
    assert data.channels[first][data.channels[first] < 2].tolist() == [1] * 3 + [0] * 6


def test_a_constant_variable(tmp_path):
    """What is constant in training has no standard deviation to be measured in: its unit is its own."""
    folder = tmp_path / "JapaneseVowels"
    write(folder, ["1,3:5,5:b", "2,4:5,5:a"], ["1,2:5,7:b"])
    data = load("japanese_vowels", root=tmp_path, delta=0.5)
    assert data.num_channels == 4
    counts = [data.take([k]).channels for k in range(3)]
    assert all(set(channels.tolist()) <= {0, 1} and len(channels) for channels in counts[:2])
    assert (counts[2] == 2).sum() == 4 and (counts[2] == 3).sum() == 0  # from 5 to 7 in steps of 0.5


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (["1,x:0,0:a"], ["1:0:a"], "JapaneseVowels_TRAIN.ts, line 5: could not convert"),
        (["1,2:0:a"], ["1:0:a"], "line 5: .*every variable needs as many plain numbers"),
        (["1,2:0,0:a", "1,2:a"], ["1:0:a"], "line 6: values must be finite, with as many variables"),
        (["1,2:0,0:a"], ["1:0:c"], "class 'c' of split 2 does not occur"),
        ([], ["1:0:a"], "no samples after @data"),
    ],
)
def test_bad_series(tmp_path, train, test, message):
    write(tmp_path / "JapaneseVowels", train, test)
    with pytest.raises(ValueError, match=message):
        load("japanese_vowels", root=tmp_path)

"""Choosing samples: NumPy's meaning or an error, in memory and in a store alike; and torch's DataLoader."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from saltation import Spikes
from saltation.data import EventDataset, load_store, save_store


@pytest.fixture(params=["memory", "store"])
def dataset(request, tmp_path):
    rng = np.random.default_rng(0)
    lengths = np.array([3, 0, 2, 4, 1])
    data = EventDataset(
        times=np.concatenate([np.sort(rng.random(n)) for n in lengths]),
        channels=rng.integers(0, 6, 10),
        offsets=np.concatenate(([0], lengths.cumsum())),
        labels=np.array([4, 3, 2, 1, 0]),
        split=np.array([0, 0, 0, 0, 0]),
        num_channels=6,
        duration=1.0,
    )
    if request.param == "memory":
        return data
    save_store(tmp_path / "store", data)
    return load_store(tmp_path / "store")


def rows(spikes, labels):
    return [*zip(spikes.to_lists(), labels.tolist(), strict=True)]


CHOICES = [
    [2, 0, 0],
    [-1, -5],
    [True, False, False, True, True],
    np.array([False] * 5),
    np.array([1, 3], np.uint8),
    np.array([-2], np.int8),
    torch.tensor([4, 0]),
    (1,),
    [],
    np.empty(0),
]


@pytest.mark.parametrize("indices", CHOICES, ids=str)
def test_as_in_numpy(dataset, indices):
    every = rows(*dataset.batch(np.arange(5)))
    wanted = np.arange(5)[np.asarray(indices, None if len(indices) else int)]
    expected = [every[i] for i in wanted]
    assert rows(*dataset.batch(indices)) == expected
    taken = dataset.take(indices)
    assert len(taken) == len(wanted) and rows(*taken.batch(np.arange(len(wanted)))) == expected
    assert taken.split.tolist() == dataset.split[wanted].tolist()


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([0, 5], r"indices\[1\] is 5, but there are 5 samples"),
        ([-6], r"indices\[0\] is -6, but there are 5 samples"),
        (np.array([2**64 - 1], np.uint64), "is 18446744073709551615, but"),
        ([0.5], "choose samples by whole numbers or by a mask of bools"),
        ([1.0, 2.0], "choose samples by whole numbers"),
        (["0"], "choose samples by whole numbers"),
        ([True, False], "a mask of 2 entries for 5 samples"),
        (2, r"shape \(\); it must be flat"),
        ([[0], [1]], r"shape \(2, 1\); it must be flat"),
        ([[0], [1, 2]], "cannot be taken as an array"),
        (slice(0, 2), "choose samples by whole numbers|it must be flat"),
    ],
    ids=str,
)
def test_refused(dataset, indices, message):
    for choose in (dataset.batch, dataset.take):
        with pytest.raises(ValueError, match=message):
            choose(indices)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ([0, 1, 2, 3, 0], r"split\[3\] is 3"),
        ([0, 1, 2, -1, 0], r"split\[3\] is -1"),
        ([0, 1, 256, 0, 0], r"split\[2\] is 256"),
        ([0, 1], "2 entries in split for 5 labels"),
        ([0, 1, 0.5, 0, 0], "'split' is an array of dtype float64"),
        ("train", "'split' is an array of dtype <U5"),
    ],
    ids=str,
)
def test_with_split_is_checked(dataset, split, message):
    with pytest.raises(ValueError, match=message):
        dataset.with_split(split)
    assert dataset.with_split([2, 0, 1, 0, 2]).split.tolist() == [2, 0, 1, 0, 2]
    assert dataset.split.tolist() == [0] * 5


def test_one_sample(dataset):
    spikes, label = dataset[-2]
    assert label == 1 and label.shape == ()
    assert rows(spikes, label[None]) == rows(*dataset.batch([3]))
    assert [int(label) for _, label in dataset] == [4, 3, 2, 1, 0]
    for index in (5, -6):
        with pytest.raises(IndexError, match="has 5 samples"):
            dataset[index]
    with pytest.raises(TypeError, match="take"):
        dataset[1:3]


@pytest.mark.parametrize("workers", [0, 1])
def test_data_loader(dataset, workers):
    loader = DataLoader(dataset, batch_size=2, num_workers=workers)
    batches = list(loader)
    assert all(isinstance(spikes, Spikes) and labels.dtype == torch.int64 for spikes, labels in batches)
    for ours, theirs in zip(batches, dataset.batches(2), strict=True):
        assert rows(*ours) == rows(*theirs)


@pytest.mark.parametrize("size", [0, 2.5, "2", None])
def test_batch_size(dataset, size):
    with pytest.raises(ValueError, match="batch_size is"):
        next(dataset.batches(size))

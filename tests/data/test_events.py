import numpy as np
import pytest
import torch

from saltation.data import TEST, TRAIN, VALIDATION, EventDataset, drop, jitter


def make(**changes):
    fields = {
        "times": np.array([0.1, 0.4, 0.2, 0.2, 0.9]),
        "channels": np.array([0, 2, 1, 0, 2], dtype=np.uint8),
        "offsets": np.array([0, 2, 2, 5]),
        "labels": np.array([1, 0, 1], dtype=np.uint8),
        "split": np.array([0, 1, 2], dtype=np.uint8),
    }
    return EventDataset(**{**fields, **changes})


def random_dataset(samples=40, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 6, size=samples)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    times = np.concatenate([np.sort(rng.uniform(0, 1, n)) for n in lengths])
    channels = rng.integers(0, 5, size=len(times))
    return EventDataset(times, channels, offsets, np.arange(samples) % 4, np.where(np.arange(samples) < 30, 0, 2))


def test_defaults_and_dtypes():
    data = make()
    assert (data.num_channels, data.num_classes, data.duration, len(data)) == (3, 2, 0.9, 3)
    assert data.times.dtype == np.float64 and data.channels.dtype == np.int64 and data.split.dtype == np.uint8
    assert repr(data) == (
        "EventDataset(event arrays: 1 train, 1 validation, 1 test; 3 channels, 2 classes, 5 events in [0, 0.9])"
    )


def test_batch_holds_the_samples_in_the_order_asked_for():
    spikes, labels = make(duration=2.0).batch(np.array([2, 1, 0, 2]))
    assert labels.tolist() == [1, 0, 1, 1]
    assert spikes.offsets.tolist() == [0, 3, 3, 5, 8]
    assert spikes.times.tolist() == [0.2, 0.2, 0.9, 0.1, 0.4, 0.2, 0.2, 0.9]
    assert spikes.units.tolist() == [1, 0, 2, 0, 2, 1, 0, 2]
    assert (spikes.num_units, spikes.duration) == (3, 2.0)


def test_batch_equals_a_plain_loop():
    data = random_dataset()
    indices = np.random.default_rng(1).permutation(len(data))[:17]
    spikes, labels = data.batch(indices)
    for row, index in enumerate(indices):
        own = slice(data.offsets[index], data.offsets[index + 1])
        sample = spikes.sample(row)
        assert np.array_equal(sample.times.numpy(), data.times[own])
        assert np.array_equal(sample.units.numpy(), data.channels[own])
        assert labels[row] == data.labels[index]


def test_empty_batch_is_legal():
    spikes, labels = make().batch(np.array([], dtype=int))
    assert spikes.num_samples == 0 and labels.shape == (0,)


@pytest.mark.parametrize("split", [1, "validation"])
def test_subset(split):
    part = make().subset(split)
    assert len(part) == 1 and len(part.times) == 0 and part.labels.tolist() == [0]
    assert (part.num_channels, part.num_classes, part.duration) == (3, 2, 0.9)


def test_unknown_subset():
    with pytest.raises(ValueError, match="split is 'training'; it must be 'train', 'validation' or 'test'"):
        make().subset("training")


def test_batches_visit_every_sample_once_and_depend_on_the_generator_only():
    data = random_dataset()

    def labels(seed):
        return torch.cat([y for _, y in data.batches(7, torch.Generator().manual_seed(seed))])

    assert torch.equal(labels(3), labels(3))
    assert not torch.equal(labels(3), labels(4))
    assert torch.equal(labels(3).sort().values, torch.from_numpy(data.labels).sort().values)
    assert torch.equal(torch.cat([y for _, y in data.batches(7)]), torch.from_numpy(data.labels))
    with pytest.raises(ValueError, match="batch_size is 0"):
        next(data.batches(0))


def test_validation_is_stratified_and_never_taken_from_test():
    data = random_dataset(samples=80)
    carved = data.with_validation(0.2, seed=5)
    assert np.array_equal(carved.split == TEST, data.split == TEST)
    taken = np.flatnonzero(carved.split == VALIDATION)
    assert np.all(data.split[taken] == TRAIN)
    train_counts = np.bincount(data.labels[data.split == TRAIN])
    assert np.array_equal(np.bincount(data.labels[taken]), np.round(0.2 * train_counts))
    assert np.array_equal(carved.split, data.with_validation(0.2, seed=5).split)
    assert not np.array_equal(carved.split, data.with_validation(0.2, seed=6).split)


def test_a_training_sample_of_every_class_stays():
    """However large the fraction, and however small the class; of each class at least one sample validates."""
    data = EventDataset([0.5], [0], [0] * 9 + [1], [0, 0, 0, 1, 1, 2, 2, 2, 0], [0] * 8 + [2])
    carved = data.with_validation(0.99, seed=0)
    assert [np.sum((carved.labels == k) & (carved.split == TRAIN)) for k in range(3)] == [1, 1, 1]
    assert [np.sum((carved.labels == k) & (carved.split == VALIDATION)) for k in range(3)] == [2, 1, 2]
    few = data.with_validation(0.01, seed=0)
    assert [np.sum((few.labels == k) & (few.split == VALIDATION)) for k in range(3)] == [1, 1, 1]


def test_validation_is_drawn_with_the_seed():
    """Every training sample has its chance."""
    data = random_dataset(samples=80)
    taken = [np.flatnonzero(data.with_validation(0.2, seed=seed).split == VALIDATION) for seed in range(60)]
    assert set(np.concatenate(taken)) == set(np.flatnonzero(data.split == TRAIN))


def test_without_test():
    data = random_dataset(samples=80)
    assert (data.split == TEST).sum() > 0
    rest = data.without_test()
    assert (rest.split != TEST).all() and len(rest) == (data.split != TEST).sum()


def test_validation_refusals():
    with pytest.raises(ValueError, match="has validation samples already"):
        make().with_validation(0.1, seed=0)
    with pytest.raises(ValueError, match=r"validation fraction is 1.5; it must lie between 0 and 1"):
        random_dataset().with_validation(1.5, seed=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"times": np.array([0.4, 0.1, 0.2, 0.2, 0.9])},
            r"sample 0 is not sorted in time: times\[1\] = 0.1 comes after",
        ),
        ({"times": np.array([0.1, 0.4, 0.2, 0.9, 0.8])}, r"sample 2 is not sorted in time: times\[4\] = 0.8"),
        ({"times": np.array([-0.1, 0.4, 0.2, 0.2, 0.9])}, r"times\[0\] is -0.1 \(1 such events\)"),
        ({"times": np.array([0.1, np.inf, 0.2, 0.2, 0.9])}, r"times\[1\] is inf"),
        ({"times": np.array([0.1, 0.4, np.nan, 0.2, 0.9])}, r"times\[2\] is nan"),
        ({"times": np.zeros((5, 1))}, r"'times' is an array of dtype float64 and shape \(5, 1\)"),
        ({"times": np.zeros(4)}, "4 times but 5 channels"),
        ({"channels": np.array([0, 2, -1, 0, 2])}, r"channels\[2\] is -1"),
        ({"channels": np.array([0.0, 2, 1, 0, 2])}, "'channels' is an array of dtype float64"),
        ({"num_channels": 2}, r"channels\[1\] is 2 but there are 2 channels"),
        ({"offsets": np.array([0, 3, 2, 5])}, r"offsets\[2\] is 2 after offsets\[1\] = 3; offsets must never decrease"),
        ({"offsets": np.array([0, 2, 2, 4])}, "offsets run from 0 to 4 but there are 5 events"),
        ({"offsets": np.array([0, 2, 5])}, "3 offsets for 3 labels"),
        ({"labels": np.array([1.5, 0, 1])}, r"'labels' is an array of dtype float64.*labels\[0\] = .*1.5"),
        ({"labels": np.array([1, -2, 1])}, r"labels\[1\] is -2"),
        ({"labels": np.array(["a", "b", "a"])}, "it must be a flat array of integers"),
        ({"class_names": ("only",)}, r"labels\[0\] is 1 but there are 1 classes"),
        ({"split": np.array([0, 1, 3])}, r"split\[2\] is 3 \(1 such samples\); use 0 for train"),
        ({"split": np.array([0, 1])}, "2 entries in split for 3 labels"),
        ({"duration": 0.5}, "duration is 0.5 but the last event is at 0.9"),
        ({"duration": np.inf}, "duration is inf"),
        ({"duration": -1.0}, "duration is -1.0"),
        ({"times": np.zeros(5)}, "there is no event after time 0; give the duration"),
    ],
)
def test_bad_data_is_refused_with_the_record(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_drop_leaves_out_a_fraction():
    spikes, _ = random_dataset().batch(np.arange(20))
    left = drop(spikes, 0.4, torch.Generator().manual_seed(0))
    assert 0.3 < 1 - left.times.numel() / spikes.times.numel() < 0.5
    for before, after in zip(spikes.to_lists(), left.to_lists(), strict=True):
        assert set(after) <= set(before) and after == sorted(after)
    assert left.offsets[-1] == left.times.numel() and left.num_samples == spikes.num_samples
    whole = drop(spikes, 0.0, torch.Generator().manual_seed(0))
    assert whole.to_lists() == spikes.to_lists()


def test_jitter_keeps_order_counts_and_bounds():
    spikes, _ = random_dataset().batch(np.arange(20))
    moved = jitter(spikes, 0.3, torch.Generator().manual_seed(0))
    assert torch.equal(moved.counts(), spikes.counts())
    assert moved.times.min() >= 0 and moved.times.max() <= spikes.duration
    assert not torch.equal(moved.times, spikes.times)
    for b in range(20):
        assert torch.all(moved.sample(b).times.diff() >= 0)
    again = jitter(spikes, 0.3, torch.Generator().manual_seed(0))
    assert torch.equal(moved.times, again.times)


def test_every_class_keeps_a_training_sample():
    sizes = [1, 2, 3, 10]
    labels = np.repeat(np.arange(4), sizes)
    data = EventDataset(np.arange(16.0), np.zeros(16, int), np.arange(17), labels, np.zeros(16, int))
    for fraction, expected in ((0.95, [0, 1, 2, 9]), (0.01, [0, 1, 1, 1]), (0.5, [0, 1, 2, 5])):
        split = data.with_validation(fraction, seed=0).split
        assert np.bincount(labels[split == VALIDATION], minlength=4).tolist() == expected
        assert np.bincount(labels[split == TRAIN]).tolist() == [a - b for a, b in zip(sizes, expected, strict=True)]

"""A data set does not change: neither by the caller's arrays nor by its own; and maps stay maps."""

import numpy as np
import pytest

from saltation.data import EventDataset

NAMES = ("times", "channels", "offsets", "labels", "split")


def arrays():
    return {
        "times": np.array([0.1, 0.2]),
        "channels": np.array([0, 1]),
        "offsets": np.array([0, 1, 2]),
        "labels": np.array([0, 1]),
        "split": np.array([0, 0], np.uint8),
    }


@pytest.mark.parametrize("form", ["own", "view", "read-only view"])
def test_arrays_of_the_caller_may_change(form):
    fields = arrays()
    given = {name: values if form == "own" else values[:] for name, values in fields.items()}
    if form == "read-only view":
        for values in given.values():
            values.flags.writeable = False
    data = EventDataset(**given)
    for values in fields.values():
        values[:] = 1
    for name, values in arrays().items():
        assert getattr(data, name).tolist() == values.tolist()
    assert all(values.flags.writeable for values in fields.values())


def test_arrays_of_the_data_set_are_read_only():
    data = EventDataset(**arrays())
    for part in (data, data.take([1, 0]), data.with_split([2, 0]), data.with_validation(0.5, 0)):
        for name in NAMES:
            with pytest.raises(ValueError, match="read-only"):
                getattr(part, name)[:] = 0
    spikes, labels = data.batch([0])
    spikes.times += 1.0  # a batch is the caller's
    labels += 1
    assert data.times.tolist() == [0.1, 0.2] and data.labels.tolist() == [0, 1]


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_map_stays_a_map(tmp_path, mode):
    np.save(tmp_path / "times.npy", np.array([0.1, 0.2]))
    mapped = np.load(tmp_path / "times.npy", mmap_mode=mode)
    data = EventDataset(**{**arrays(), "times": mapped})
    assert np.shares_memory(data.times, mapped) and not data.times.flags.writeable
    assert mapped.flags.writeable == (mode == "r+")


def test_what_nobody_can_write_to_is_not_copied():
    times = np.array([0.1, 0.2])
    times.flags.writeable = False
    assert np.shares_memory(EventDataset(**{**arrays(), "times": times}).times, times)

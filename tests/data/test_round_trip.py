"""Write then read is the identity, for every data set that there can be."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saltation.data import EventDataset, StoreWriter, load_npz, load_store, save_npz, save_store

ARRAYS = ("times", "channels", "offsets", "labels", "split")
META = ("num_channels", "num_classes", "duration", "class_names")
NAME = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@st.composite
def datasets(draw):
    lengths = draw(st.lists(st.integers(0, 4), max_size=6))
    E, S = sum(lengths), len(lengths)
    time = st.floats(0, draw(st.sampled_from([1e-300, 1e-3, 1.0, 1e6, 1e300])))
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    times = np.array(draw(st.lists(time, min_size=E, max_size=E)), np.float64)
    for first, last in zip(offsets[:-1], offsets[1:], strict=True):
        times[first:last].sort()
    channels = np.array(draw(st.lists(st.integers(0, draw(st.sampled_from([3, 300, 70000]))), min_size=E, max_size=E)))
    labels = np.array(draw(st.lists(st.integers(0, 3), min_size=S, max_size=S)))
    last = times.max(initial=0.0)
    longer = draw(st.booleans()) or last == 0
    more = draw(st.integers(0, 2))
    names = draw(st.just(()) | st.lists(NAME, min_size=4, max_size=4).map(tuple))
    return EventDataset(
        times,
        channels.astype(draw(st.sampled_from([np.int32, np.int64, np.uint64]))),
        offsets.astype(draw(st.sampled_from([np.int16, np.int64, np.uint32]))),
        labels.astype(draw(st.sampled_from([np.uint8, np.int64]))),
        np.array(draw(st.lists(st.integers(0, 2), min_size=S, max_size=S))).astype(np.uint8),
        num_channels=int(channels.max(initial=0)) + 1 + more if more or not E else 0,
        num_classes=0 if names or (S and not more) else int(labels.max(initial=0)) + 1 + more,
        duration=float(last * 1.5 + 1e-9) if longer else 0.0,
        class_names=names,
    )


@settings(max_examples=100, deadline=None)
@given(datasets())
def test_identity(data):
    with tempfile.TemporaryDirectory() as folder:
        save_npz(Path(folder) / "a.npz", data)
        again = load_npz(Path(folder) / "a.npz")
        for name in ARRAYS:
            mine, theirs = getattr(again, name), getattr(data, name)
            assert mine.dtype == theirs.dtype and mine.tobytes() == theirs.tobytes(), name
        assert [getattr(again, name) for name in META] == [getattr(data, name) for name in META]
        save_store(Path(folder) / "a", data)
        stored = load_store(Path(folder) / "a")
        assert [getattr(stored, name) for name in META] == [getattr(data, name) for name in META]
        assert stored.fingerprint() == again.fingerprint() == data.fingerprint()
        everything = np.arange(len(data))
        (ours, labels), (theirs, expected) = stored.batch(everything), data.batch(everything)
        assert ours.times.equal(theirs.times) and ours.units.equal(theirs.units) and ours.offsets.equal(theirs.offsets)
        assert labels.equal(expected) and stored.split.tolist() == data.split.tolist()


@settings(max_examples=100, deadline=None)
@given(datasets())
def test_float32_stores_can_be_read(data):
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "a"
        if not 1.4e-45 <= data.duration < 3.4e38:
            with pytest.raises(ValueError, match="beyond what float32 can hold; use times='float64'"):
                save_store(place, data, times="float32")
            assert not list(Path(folder).iterdir())
            return
        save_store(place, data, times="float32")
        spikes, _ = load_store(place).batch(np.arange(len(data)))
        np.testing.assert_allclose(spikes.times, data.times, rtol=2e-7, atol=1e-44)
        assert spikes.duration == data.duration and bool((spikes.times <= data.duration).all())


def test_every_default_duration_in_float32(tmp_path):
    for seed in range(40):
        times = np.sort(np.random.default_rng(seed).random(5))
        zeros = np.zeros(5, int)
        save_store(tmp_path / str(seed), EventDataset(times, zeros, [0, 5], [0], [0]), times="float32")
        spikes, _ = load_store(tmp_path / str(seed)).batch([0])
        assert spikes.times[-1] <= times[-1] and abs(spikes.times[-1] - times[-1]) < 1e-7


def test_a_writer_takes_numbers_of_numpy(tmp_path):
    data = EventDataset([0.1, 0.2], [0, 1], [0, 2], [0], [0])
    sizes = {"num_channels": np.int64(2), "num_classes": np.uint8(1), "duration": np.float32(1.0)}
    with StoreWriter(tmp_path / "store", **sizes, class_names=np.array([b"zero"])) as writer:
        writer.add(data)
    stored = load_store(tmp_path / "store")
    assert (stored.num_channels, stored.num_classes, stored.duration, stored.class_names) == (2, 1, 1.0, ("zero",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_channels": 2.5}, "num_channels is 2.5; it must be a whole number"),
        ({"num_channels": 0}, "give num_channels"),
        ({"num_classes": -1}, "num_classes is -1"),
        ({"duration": 0.0}, "give the duration"),
        ({"duration": float("nan")}, "duration is nan"),
        ({"duration": 10**400}, "it must be a number"),
        ({"class_names": ("a",)}, "class_names has 1 names for 2 classes"),
        ({"class_names": "ab"}, "class_names is 'ab'"),
        ({"times": "float16"}, "must be 'float32' or 'float64'"),
        ({"duration": 1e300, "times": "float32"}, "beyond what float32 can hold"),
    ],
    ids=str,
)
def test_a_writer_refuses_before_it_writes(tmp_path, changes, message):
    settings = {"num_channels": 2, "num_classes": 2, "duration": 1.0, **changes}
    with pytest.raises(ValueError, match=message):
        StoreWriter(tmp_path / "store", **settings)
    assert not list(tmp_path.iterdir())


def test_stores_are_not_written_as_npz(tmp_path):
    data = EventDataset([0.1, 0.2], [0, 1], [0, 2], [0], [0])
    save_store(tmp_path / "store", data)
    with pytest.raises(TypeError, match="StoredDataset; only an EventDataset"):
        save_npz(tmp_path / "a.npz", load_store(tmp_path / "store"))
    with pytest.raises(TypeError, match="piece is StoredDataset"), StoreWriter(tmp_path / "b", 2, 1, 1.0) as writer:
        writer.add(load_store(tmp_path / "store"))
    assert [path.name for path in tmp_path.iterdir()] == ["store"]

"""What readers and encoders would leave out or round is converted exactly, counted in a warning, or refused."""

import warnings

import numpy as np
import pytest

from saltation.data import (
    EventDataset,
    audio_events,
    digits,
    from_dense,
    latency,
    level_crossing,
    load,
    load_npz,
    population,
    yin_yang,
)

h5py = pytest.importorskip("h5py")
ONE = {"channels": [0, 1], "offsets": [0, 1, 2], "labels": [0, 1], "split": [0, 0]}


@pytest.mark.parametrize(
    "times",
    [[1, 2], np.array([1.5, 0.25], np.float16), np.array([0.1, 0.2], np.float32), np.array([2**53, 1]), [0.1, 0.7]],
    ids=str,
)
def test_times_are_converted_exactly(times):
    data = EventDataset(times=times, **ONE)
    assert [float(t) for t in np.asarray(times)] == data.times.tolist() and data.times.dtype == np.float64


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (np.array([1_700_000_000_123_456_789, 0]), r"times\[0\] is 1700000000123456789 .*float64 would round"),
        (np.array([2**53 + 1, 0], np.uint64), r"times\[0\] is 9007199254740993"),
        (np.array([0, np.longdouble(1) / 3]), r"times\[1\] is 0.333.*float64 would round to 0.33333333333333331"),
        (np.ma.masked_array([0.1, 0.2], [False, True]), "'times' has masked entries"),
        (np.array([0.1 + 1j, 0.2]), "dtype complex128"),
        (np.array([1, 2], "m8[s]"), "dtype timedelta64"),
        (["0.1", "0.2"], "dtype <U3"),
        ([[0.1], [0.2, 0.3]], "'times' cannot be taken as an array of numbers"),
    ],
    ids=str,
)
def test_times_that_would_be_rounded(times, message):
    with pytest.raises(ValueError, match=message):
        EventDataset(times=times, **ONE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": np.array([0, 2**63], np.uint64)}, r"channels\[1\] is 9223372036854775808"),
        ({"channels": [0, 3_405_691_582]}, r"channels\[1\] is 3405691582, but at most 16777216 .*return_inverse=True"),
        ({"num_channels": 2**32}, "num_channels is 4294967296, but at most"),
        ({"labels": [0, 2**31]}, r"labels\[1\] is 2147483648, but at most 1048576 classes"),
        ({"num_channels": 2.0}, "num_channels is 2.0; it must be a whole number"),
        ({"num_classes": True}, "num_classes is True"),
        ({"duration": "1"}, "duration is '1'; it must be a number"),
        ({"duration": None}, "duration is None"),
        ({"class_names": "ab"}, "class_names is 'ab'; it must hold one name a class"),
        ({"class_names": (b"\xff", "b")}, r"class_names holds b'\\xff', which is not UTF-8"),
        ({"labels": ["yes", "no"]}, r"names, labels = np.unique\(labels, return_inverse=True\)"),
        ({"labels": np.eye(2, dtype=int)}, r"labels.argmax\(1\) of labels that are one-hot"),
        ({"channels": [[0, 1], [1, 0]]}, r"one per event: number the pixels of a sensor as x \+ width \* y"),
    ],
    ids=str,
)
def test_messages_that_help(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        EventDataset(**{"times": [0.1, 0.2], **ONE, **changes})
    if "argmax" in message or "width" in message:
        assert "astype(np.int64)" not in str(caught.value)  # they are int64


def test_a_set_without_events_or_samples():
    empty = {"times": [], "channels": [], "offsets": [0, 0], "labels": [0], "split": [0], "duration": 1.0}
    with pytest.raises(ValueError, match="there is no event to tell how many channels there are; give num_channels"):
        EventDataset(**empty)
    data = EventDataset(**empty, num_channels=3)
    assert data.batch([0])[0].counts().tolist() == [[0, 0, 0]]
    none = {**empty, "offsets": [0], "labels": [], "split": [], "num_channels": 3}
    with pytest.raises(ValueError, match="there is no sample to tell how many classes there are; give num_classes"):
        EventDataset(**none)
    assert len(EventDataset(**none, num_classes=2)) == 0


def test_names_of_bytes():
    assert EventDataset([0.1, 0.2], **ONE, class_names=np.array([b"zero", b"one"])).class_names == ("zero", "one")


def test_labels_that_count_from_one():
    events = {"times": [0.1, 0.2], "channels": [0, 1], "offsets": [0, 1, 2], "split": [0, 0]}
    with pytest.warns(UserWarning, match=r"the lowest label is 1, but labels count from 0.*use labels - 1"):
        assert EventDataset(**events, labels=[1, 2]).num_classes == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        EventDataset(**events, labels=[1, 2], num_classes=3)
        EventDataset(**events, labels=[0, 2])


def test_classes_without_training_samples():
    events = {"times": [0.1, 0.2], "channels": [0, 1], "offsets": [0, 1, 2], "labels": [0, 1]}
    with pytest.warns(UserWarning, match=r"of the classes \[1\] there are validation or test samples but no training"):
        data = EventDataset(**events, split=[0, 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.subset("test"), data.without_test(), data.take([1, 0]), data.subset("train").batch([0])
        EventDataset(**events, split=[2, 2])


def shd(folder, times, dtype=np.float64, units=None, rows=2):
    folder.mkdir(exist_ok=True)
    for part in ("train", "test"):
        with h5py.File(folder / f"shd_{part}.h5", "w") as file:
            for name, kind, values in (("times", dtype, times), ("units", np.uint16, range(len(times)))):
                dataset = file.create_dataset(f"spikes/{name}", (rows,), dtype=h5py.vlen_dtype(kind))
                for i in range(rows):
                    dataset[i] = np.array(list(values), kind)
            file["labels"] = np.arange(rows)
    return folder


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0.1, 0.7e6, 1.2e6], r"shd_train.h5: spikes/times\[0\]\[1\] is 700000.*in microseconds by 1e6"),
        ([0.1, 700.0], "divide times in milliseconds by 1e3"),
        ([0.1, np.nan, 0.2], r"spikes/times\[0\]\[1\] is nan"),
        ([np.inf], r"spikes/times\[0\]\[0\] is inf"),
        ([-0.5, 0.1], r"times\[0\] is -0.5"),
    ],
    ids=str,
)
def test_cochlea_times_that_are_not_seconds(tmp_path, times, message):
    with pytest.raises(ValueError, match=message):
        load("shd", path=shd(tmp_path / "shd", times))


def test_late_spikes_of_a_cochlea_are_counted(tmp_path):
    """The end counts as within; what comes after is left out, as asked for, and said."""
    folder = shd(tmp_path / "shd", [0.5, 0.75, 1.0, 0.25])
    with pytest.warns(UserWarning, match=r"shd_train\.h5: 4 spikes come after duration = 0.5 and are left out"):
        data = load("shd", path=folder, duration=0.5)
    assert data.times.tolist() == [0.25, 0.5] * 4 and data.channels.tolist() == [3, 0] * 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load("shd", path=folder, duration=1.0).num_events == 16
    with pytest.raises(ValueError, match="duration is -1"):
        load("shd", path=folder, duration=-1)


def test_many_rows_of_a_cochlea(tmp_path):
    """Rows are read in pieces: none is lost at their edges."""
    data = load("shd", path=shd(tmp_path / "shd", [0.5, 0.75], rows=35))
    assert len(data) == 70 and data.num_events == 140 and data.labels.tolist() == [*range(35)] * 2


def test_hidden_files_of_an_event_camera(tmp_path):
    for part in ("Train", "Test"):
        for digit in range(10):
            folder = tmp_path / "nmnist" / part / str(digit)
            folder.mkdir(parents=True)
            (folder / "1.bin").write_bytes(bytes([digit, 0, 0, 0, 5]))
            (folder / "._1.bin").write_bytes(b"\0\5\26\7\0\2\0\0Mac OS X")
    data = load("nmnist", root=tmp_path)
    assert len(data) == 20 and data.channels.tolist() == [*range(10)] * 2
    with pytest.raises(ValueError, match="per_class is -1"):
        load("nmnist", root=tmp_path, per_class=-1)


def test_camera_clock_that_overflows(tmp_path):
    fields = {"address": [5, 6], "offsets": [0, 1, 2], "labels": [0, 1], "split": [0, 0]}
    np.savez(tmp_path / "a.npz", **fields, dt_us=[2**62, 2**62])
    with pytest.raises(ValueError, match="dt_us goes up to 4611686018427387904"):
        load("nmnist", path=tmp_path / "a.npz")


def slow_crossings(series, delta):
    """Variable by variable, step by step, level by level, as the description says."""
    events = []
    for variable, values in enumerate(series / delta):
        told = np.round(values[0])
        for k in range(1, len(values)):
            for direction in (1, -1):
                while (values[k] - told) * direction >= 1:
                    told += direction
                    part = (told - values[k - 1]) / (values[k] - values[k - 1]) if values[k] != values[k - 1] else 0.0
                    events.append((k - 1 + min(max(part, 0.0), 1.0), 2 * variable + (direction < 0)))
    return sorted(events)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("jump", [0.3, 1.0, 20.0])
def test_level_crossings_one_by_one(whole, jump):
    rng = np.random.default_rng(0)
    series = rng.normal(0, jump, (4, 3, 30)).cumsum(axis=2)
    series = np.round(series) if whole else series
    delta = 1.0 if whole else 0.7
    data = level_crossing(series, np.zeros(4, int), np.zeros(4, int), dt=1.0, delta=delta)
    for i, sample in enumerate(series):
        own = slice(data.offsets[i], data.offsets[i + 1])
        found = sorted(zip(data.times[own], data.channels[own], strict=True))
        assert found == slow_crossings(sample, delta)


@pytest.mark.parametrize(
    ("series", "delta", "message"),
    [
        ([2.0**53, 2.0**53 + 8], 1.0, r"series\[0, 0, 1\] is 9007199254741000.0, more than 2\^53 levels"),
        ([0.0, 1e300], 1e-300, "more than 2\\^53 levels of delta = 1e-300; use a larger delta"),
        ([0.0, 1.0], 1e-9, r"there would be 1e\+09 events, more than 2\^28; use a larger delta"),
        ([0.0], 1.0, "the series have 1 steps"),
        ([], 1.0, "the series have 0 steps"),
        (np.array([0.0, 1.0 + 1j]), 1.0, "dtype complex128"),
        (["0", "1"], 1.0, "dtype <U1"),
    ],
    ids=str,
)
def test_level_crossings_beyond_measure(series, delta, message):
    with pytest.raises(ValueError, match=message):
        level_crossing(np.asarray(series)[None, None], [0], [0], dt=1.0, delta=delta)


def test_a_million_levels_in_one_step():
    data = level_crossing(np.array([[[0.0, -1e6]]]), [0], [0], dt=1.0, delta=1.0)
    np.testing.assert_allclose(data.times, np.arange(1, 10**6 + 1) / 1e6, rtol=1e-12)
    assert set(data.channels.tolist()) == {1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bias": np.nan}, "bias is nan; it must be a time in"),
        ({"bias": np.inf}, "bias is inf"),
        ({"bias": -0.1}, "bias is -0.1"),
        ({"sizes": (0, 0, 0)}, r"sizes are \(0, 0, 0\)"),
        ({"sizes": (5, -1, 5)}, r"sizes are \(5, -1, 5\)"),
        ({"sizes": (5, 5)}, r"sizes are \(5, 5\)"),
    ],
    ids=str,
)
def test_yin_yang_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        yin_yang(**settings)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.5, -0.1])
def test_publication_points_are_in_range(tmp_path, value):
    (tmp_path / "yin_yang").mkdir()
    parts = {f"{part}_samples": np.full((3, 4), 0.5) for part in ("train", "validation", "test")}
    labels = {f"{part}_labels": np.arange(3) for part in ("train", "validation", "test")}
    file = tmp_path / "yin_yang" / "yin_yang_publication.npz"
    np.savez(file, **parts, **labels)
    assert yin_yang(tmp_path).num_events == 36
    parts["test_samples"][1, 2] = value
    np.savez(file, **parts, **labels)
    with pytest.raises(ValueError, match=r"test_samples\[1, 2\] is .*; features must be in \[0, 1\]"):
        yin_yang(tmp_path)


def test_waves_of_no_numbers():
    for waves, message in (([], "there are no recordings"), ([np.array(["a"])], "dtype <U1"), ([[1j]], "complex128")):
        with pytest.raises(ValueError, match=message):
            audio_events(waves, 8000.0, [0], [0])


def test_values_of_no_numbers():
    with pytest.raises(ValueError, match="dtype complex128; they must be real numbers"):
        latency(np.array([[0.5 + 1j]]), [0], [0])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("digits", {"duration": "long"}, "option duration is 'long'; it must be a number"),
        ("digits", {"seed": 0.5}, "option seed is 0.5; it must be a whole number"),
        ("digits", {"seed": True}, "option seed is True; it must be a whole number"),
        ("digits", {"sed": 1}, "has no option 'sed'; it has t_early"),
        ("yin_yang", {"sizes": 100}, r"option sizes is 100; it must be a list \(a whole number, a whole number"),
        ("yin_yang", {"sizes": [1, 2]}, r"option sizes is \[1, 2\]"),
        ("yin_yang", {"sizes": [1, 2, "x"]}, r"option sizes is \[1, 2, 'x'\]"),
        ("yin_yang", {"publication": "no"}, "option publication is 'no'; it must be true or false or null"),
        ("yin_yang", {"bias": {}}, r"option bias is {}; it must be a number or null"),
        ("events", {"test_group": 1.5}, r"it must be a whole number or text or a list \(a whole number or text\)"),
        ("events", {"split_key": 3}, "option split_key is 3; it must be text"),
        ("nmnist", {"per_class": 1.5}, "option per_class is 1.5"),
    ],
    ids=str,
)
def test_options_of_another_type(name, options, message):
    with pytest.raises(ValueError, match=message):
        load(name, path=None if name in ("digits", "yin_yang") else "x.npz", **options)


def test_options_of_every_legal_type():
    sizes = {"sizes": [3, 3, 3], "seeds": (1, 2, 3)}
    assert len(load("yin_yang", **sizes, publication=False, bias=1, t_late=2)) == 9
    assert load("digits", duration=7).duration == digits(duration=7.0).duration == 7.0


def test_groups_may_be_words(tmp_path):
    fields = {"times": [0.1, 0.2], **ONE}
    np.savez(tmp_path / "a.npz", **fields, speaker=np.array(["ann", "bob"]), pairs=np.eye(2, dtype=int))
    data = load_npz(tmp_path / "a.npz", group_key="speaker", test_group=["bob"])
    assert data.split.tolist() == [0, 2]
    with pytest.raises(ValueError, match="speaker bob can not be tested and validate at once"):
        load_npz(tmp_path / "a.npz", group_key="speaker", test_group="bob", validation_group="bob")
    with pytest.raises(ValueError, match=r"no sample has speaker 1; there are \['ann', 'bob'\]"):
        load_npz(tmp_path / "a.npz", group_key="speaker", test_group=1)
    with pytest.raises(ValueError, match="'pairs' has shape"):
        load_npz(tmp_path / "a.npz", group_key="pairs")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_channels": 2.5}, "'num_channels' has shape .* it must be one integer"),
        ({"num_classes": "x"}, "'num_classes' has shape"),
        ({"class_names": np.array([1.5, 2.5])}, "'class_names' has shape"),
        ({"duration": "x"}, "'duration' has shape"),
    ],
    ids=str,
)
def test_numbers_of_an_npz(tmp_path, changes, message):
    np.savez(tmp_path / "a.npz", **{"times": [0.1, 0.2], **ONE, **changes})
    with pytest.raises(ValueError, match=message):
        load_npz(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("raster", "message"),
    [
        (np.full((1, 1, 1), np.inf), r"raster\[0, 0, 0\] is inf: it must hold spike counts"),
        (np.full((1, 2, 1), 10**12), r"the raster holds 2e\+12 spikes, up to 1000000000000 in a step"),
        (np.full((1, 1, 1), "1"), "dtype <U1; it must hold numbers of spikes"),
        (np.full((1, 1, 1), 1j), "dtype complex128"),
        (np.full((1, 1, 1), np.nan), r"raster\[0, 0, 0\] is nan"),
    ],
    ids=str,
)
def test_rasters_of_no_counts(raster, message):
    with pytest.raises(ValueError, match=message):
        from_dense(raster, [0], [0], dt=0.1)


def test_images_of_two_sizes(tmp_path):
    images = {"train_images": np.zeros((2, 3, 3), np.uint8), "test_images": np.zeros((2, 3, 4), np.uint8)}
    np.savez(tmp_path / "a.npz", **images, train_labels=np.zeros(2, int), test_labels=np.zeros(2, int))
    with pytest.raises(ValueError, match=r"a\.npz: training and test images differ in size, \(3, 3\) and \(3, 4\)"):
        load("mnist", path=tmp_path / "a.npz")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\xff" + bytes(4 * 255))
    with pytest.raises(ValueError, match="is not an idx file of bytes"):
        load("mnist", path=tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@timestamps true\n@data\n(0,1):a\n", "line 1: '@timestamps true': only values at equal distances"),
        ("@classLabel false\n@data\n1,2:3,4\n", "line 1: '@classLabel false'"),
        ("@data\n1,2:3,4:a\n1,2:b\n", "line 3: values must be finite, with as many variables"),
        ("@data\n1,2:3,4,5:a\n", "line 2: .*every variable needs as many"),
        ("@data\na\n", "line 2"),
        ("@data\n1,?:a\n", "line 2"),
        ("\xff\xfe", "is not a text"),
        ("@data\n1,2,3:a\n", "training samples have 1 variables, test samples another number"),
    ],
    ids=repr,
)
def test_series_of_another_kind(tmp_path, text, message):
    folder = tmp_path / "Set"
    folder.mkdir()
    (folder / "Set_TEST.ts").write_text("@data\n1,2,3:1,2,3:a\n")
    (folder / "Set_TRAIN.ts").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=f"Set.*{message}"):
        load("basic_motions", path=folder)


def test_wishes_beyond_the_memory_are_refused_at_once(tmp_path):
    folder = tmp_path / "Toy"
    folder.mkdir()
    for part in ("TRAIN", "TEST"):
        (folder / f"Toy_{part}.ts").write_text("@data\n1,2:a\n")
    with pytest.raises(ValueError, match="rest = 2147483648 steps of silence, hold .* more than 2\\^28"):
        load("basic_motions", path=folder, rest=2**31)
    with pytest.raises(ValueError, match="1 values seen by 2147483648 neurons each are more than 2\\^28"):
        population([[0.5]], [0], [0], neurons=2**31)
    with pytest.raises(ValueError, match="0 values seen by 2147483648 neurons"):
        population(np.empty((0, 2)), [], [], neurons=2**31)
    with pytest.raises(ValueError, match=r"neurons is 2.5; it must be a whole number"):
        population([[0.5]], [0], [0], neurons=2.5)


def test_a_fraction_that_is_no_number():
    data = EventDataset(times=[0.1, 0.2], channels=[0, 0], offsets=[0, 1, 2], labels=[0, 0], split=[0, 0])
    with pytest.raises(ValueError, match=r"validation fraction is \{\}; it must be a number"):
        data.with_validation({}, 0)

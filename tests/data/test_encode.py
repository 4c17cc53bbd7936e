"""Encoders and converters."""

import numpy as np
import pytest

from saltation.data import from_dense, from_tonic, latency, level_crossing, load_npz, population, save_npz

ONE = (np.array([0]), np.array([0]))


def events_of(data, sample=0):
    part = slice(data.offsets[sample], data.offsets[sample + 1])
    return list(zip(data.times[part].tolist(), data.channels[part].tolist(), strict=True))


def test_latency():
    data = latency(np.array([[0.0, 1.0, 0.5, np.nan]]), *ONE, t_early=1.0, t_late=3.0)
    assert events_of(data) == [(1.0, 1), (2.0, 2)] and data.num_channels == 4
    with pytest.raises(ValueError, match=r"values\[0, 1\] is 1.5; scale"):
        latency(np.array([[0.0, 1.5]]), *ONE)


def test_population():
    data = population(np.array([[0.5, 2.0]]), *ONE, neurons=3, high=np.array([1.0, 2.0]), t_early=1.0, t_late=3.0)
    # in the middle: the centre at once, its neighbours with the response exp(-1.5^2 / 2)
    side = 3.0 - 2.0 * np.exp(-1.125)
    assert events_of(data) == [(1.0, 1), (1.0, 5), (side, 0), (side, 2), (side, 4)] and data.num_channels == 6
    with pytest.raises(ValueError, match="low must be below high"):
        population(np.array([[0.5]]), *ONE, low=1.0)
    with pytest.raises(ValueError, match="neurons is 1"):
        population(np.array([[0.5]]), *ONE, neurons=1)


def test_level_crossings_are_interpolated():
    series = np.array([[[0.0, 2.5, 0.4, 0.4], [0.2, 0.6, 0.2, np.nan]]])
    data = level_crossing(series, *ONE, dt=0.1, delta=1.0)
    expected = [(0.04, 0), (0.08, 0), (0.1 + 0.1 * 1.5 / 2.1, 1)]
    np.testing.assert_allclose(events_of(data), expected)
    assert data.duration == pytest.approx(0.3) and data.num_channels == 4


def test_level_crossings_follow_the_signal():
    rng = np.random.default_rng(0)
    series = rng.normal(size=(5, 3, 50)).cumsum(2)
    data = level_crossing(series, np.arange(5), np.zeros(5, int), dt=1.0, delta=np.array([0.3, 0.5, 1.0]))
    for b, c in np.ndindex(5, 3):
        events = [(t, channel) for t, channel in events_of(data, b) if channel // 2 == c]
        assert len(events) > 10
        delta = (0.3, 0.5, 1.0)[c]
        told = np.round(series[b, c, 0] / delta)
        for t, channel in events:
            told += 1 if channel % 2 == 0 else -1
            assert np.interp(t, np.arange(50), series[b, c]) == pytest.approx(told * delta, abs=1e-9)
        assert abs(series[b, c, -1] / delta - told) < 1


def test_level_crossings_refuse_gaps():
    with pytest.raises(ValueError, match="sample 0, variable 0 has NaN before its end"):
        level_crossing(np.array([[[0.0, np.nan, 1.0]]]), *ONE, dt=1.0, delta=1.0)
    with pytest.raises(ValueError, match=r"value at \[0, 0, 1\] is infinite"):
        level_crossing(np.array([[[0.0, np.inf, 1.0]]]), *ONE, dt=1.0, delta=1.0)


def test_dense(tmp_path):
    raster = np.zeros((2, 4, 3))
    raster[0, 1, 2], raster[1, 3, 0] = 2, 1
    data = from_dense(raster, np.array([0, 1]), np.array([0, 2]), dt=0.5)
    assert events_of(data) == [(0.5, 2), (0.5, 2)] and events_of(data, 1) == [(1.5, 0)]
    assert (data.duration, data.num_channels) == (2.0, 3)
    data = from_dense(raster, np.array([0, 1]), np.array([0, 2]), dt=0.5, offset=0.5)
    assert events_of(data) == [(0.75, 2), (0.75, 2)] and events_of(data, 1) == [(1.75, 0)]
    for offset in (-0.1, 1.0, np.nan):
        with pytest.raises(ValueError, match="dense array: offset = "):
            from_dense(raster, np.array([0, 1]), np.array([0, 2]), dt=0.5, offset=offset)
    raster[0, 0, 1] = -1
    with pytest.raises(ValueError, match=r"raster\[0, 0, 1\] is -1"):
        from_dense(raster, np.array([0, 1]), np.array([0, 2]), dt=0.5)
    with pytest.raises(ValueError, match="shape"):
        from_dense(raster[0], np.array([0]), np.array([0]), dt=0.5)


class Camera:
    """As a data set of Tonic: events in no order, microseconds."""

    sensor_size = (4, 3, 2)
    classes = ("left", "right")

    def __init__(self, x=1):
        dtype = [("x", int), ("y", int), ("t", int), ("p", int)]
        self.samples = [(np.array([(x, 2, 900, 1), (3, 0, 5, 0)], dtype), 1)]

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        return self.samples[i]


class Cochlea(Camera):
    """Without y, and with a polarity that means nothing."""

    sensor_size = (700, 1, 1)
    classes = ()

    def __init__(self):
        self.samples = [(np.array([(7, 10, 1)], [("x", int), ("t", int), ("p", int)]), 3)]


def test_tonic(tmp_path):
    data = from_tonic([(0, Camera()), (2, Camera())])
    np.testing.assert_allclose(events_of(data), [(5e-6, 3), (9e-4, 1 + 4 * (2 + 3))])
    assert data.split.tolist() == [0, 2] and data.class_names == ("left", "right") and data.num_channels == 24
    save_npz(tmp_path / "camera.npz", data)
    assert load_npz(tmp_path / "camera.npz").times.tolist() == data.times.tolist()
    with pytest.raises(ValueError, match="sample 0 of split 0: event 0 has x = 4; it lies outside of the sensor"):
        from_tonic([(0, Camera(x=4))])
    data = from_tonic([(0, Cochlea())])
    np.testing.assert_allclose(events_of(data), [(1e-5, 7)])
    assert data.num_channels == 700 and data.labels.tolist() == [3]

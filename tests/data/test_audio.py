"""Sound as events."""

import numpy as np
import pytest

from saltation.data.audio import audio_events, centres

RATE = 8000.0


def tone(frequency, seconds=0.5, start=0.1, stop=0.4):
    t = np.arange(int(seconds * RATE)) / RATE
    return np.sin(2 * np.pi * frequency * t) * ((t >= start) & (t < stop))


def test_a_tone_is_heard_where_and_when_it_sounds():
    found = centres(20, 100.0, 3000.0)
    waves = [tone(found[4]), tone(found[15], 0.3)]
    data = audio_events(waves, RATE, np.array([0, 1]), np.array([0, 2]), channels=20, highest=3000.0, smoothing=20.0)
    assert data.num_channels == 40 and data.duration == pytest.approx(0.5, abs=0.01)
    for sample, center in ((0, 4), (1, 15)):
        part = slice(data.offsets[sample], data.offsets[sample + 1])
        times, channels = data.times[part], data.channels[part]
        rises = channels % 2 == 0
        assert times.min() > 0.09 and rises.sum() > 5
        # the more levels a channel has risen, the louder it hears the tone
        net = np.bincount(channels[rises] // 2, minlength=20)
        assert net[center] == net.max() and net[(center + 10) % 20] < net[center]
    first = slice(0, data.offsets[1])
    falls = data.times[first][data.channels[first] % 2 == 1]
    assert falls.max() > 0.4  # at the end of the tone


def test_loudness_does_not_matter():
    waves = [tone(500.0), 100 * tone(500.0)]
    data = audio_events(waves, RATE, np.array([0, 0]), np.array([0, 0]))
    half = data.offsets[1]
    np.testing.assert_allclose(data.times[:half], data.times[half:], atol=1e-6)


def test_a_shorter_recording_ends_without_events():
    """Beside a longer one it has the events that it has alone: what follows its end is no silence that is heard."""
    short, long = tone(500.0, seconds=0.3, stop=0.3), tone(500.0, seconds=0.6, stop=0.6)
    alone = audio_events([short], RATE, np.array([0]), np.array([0]))
    both = audio_events([long, short], RATE, np.array([0, 0]), np.array([0, 0]))
    part = slice(both.offsets[1], both.offsets[2])
    np.testing.assert_array_equal(both.times[part], alone.times)
    np.testing.assert_array_equal(both.channels[part], alone.channels)
    assert len(alone.times) > 20 and both.duration > 0.55


def test_a_factor_of_ten_is_20_decibels():
    """A tone that grows tenfold after the first half: its filter rises by 20 dB more, two steps of 10."""
    wave = tone(500.0, seconds=1.0, start=0.0, stop=1.0) * np.where(np.arange(8000) < 4000, 1.0, 10.0)
    options = {"channels": 2, "lowest": 500.0, "highest": 3000.0, "step": 10.0, "dynamic_range": 60.0}
    data = audio_events([wave], RATE, np.array([0]), np.array([0]), **options)
    late = (data.times > 0.45) & (data.times < 0.7) & (data.channels == 0)
    assert late.sum() == 2


def test_centres_are_as_wide_apart_as_auditory_filters():
    """Glasberg & Moore 1990: the equivalent rectangular bandwidth at f is 24.7 (4.37 f / 1000 + 1) Hz."""
    found = centres(200, 100.0, 4000.0)
    assert found[0] == pytest.approx(100.0) and found[-1] == pytest.approx(4000.0)
    middle = (found[1:] + found[:-1]) / 2
    in_bandwidths = np.diff(found) / (24.7 * (4.37e-3 * middle + 1))
    np.testing.assert_allclose(in_bandwidths, in_bandwidths[0], rtol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"highest": 5000.0}, "half of that"),
        ({"channels": 1}, "at least 2 channels"),
        ({"channels": 10**9}, "at most 4096"),
        ({"channels": 2.5}, "channels is 2.5; it must be a whole number"),
        ({"step": 50.0}, "0 < step < dynamic_range"),
        ({"dynamic_range": 1e300}, "dynamic_range <= 1000"),
        ({"waves": [tone(500.0), np.array([])]}, r"recording 1 has shape \(0,\)"),
        ({"waves": [np.array([np.nan])]}, "recording 0"),
    ],
)
def test_bad_sound(change, message):
    options = {"waves": [tone(500.0)], "rate": RATE, "labels": np.array([0]), "split": np.array([0])} | change
    with pytest.raises(ValueError, match=message):
        audio_events(**options)


def test_silence_has_no_events():
    assert len(audio_events([np.zeros(4000)], RATE, np.array([0]), np.array([0])).times) == 0


def test_a_longer_neighbour_changes_nothing():
    """Recordings are padded to one length: what is padded makes no events."""
    rng = np.random.default_rng(0)
    short, long = (rng.normal(size=n) for n in (2000, 6000))
    alone = audio_events([short], 8000.0, [0], [0], channels=6)
    both = audio_events([short, long], 8000.0, [0, 0], [0, 0], channels=6)
    own = slice(0, both.offsets[1])
    assert alone.num_events == both.offsets[1] > 0
    assert np.array_equal(both.times[own], alone.times) and np.array_equal(both.channels[own], alone.channels)

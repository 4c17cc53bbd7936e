"""Fingerprints: equal for equal samples, whatever their form; another one for every change that training would see."""

import hashlib

import numpy as np
import pytest

from saltation.data import EventDataset, load_npz, load_store, samples, save_npz, save_store

FIELDS = {
    "times": np.array([0.1, 0.4, 0.2, 0.2, 0.9]),
    "channels": np.array([0, 2, 1, 0, 2]),
    "offsets": np.array([0, 2, 2, 5]),
    "labels": np.array([1, 0, 1]),
    "split": np.array([0, 1, 2]),
    "num_channels": 4,
    "num_classes": 3,
    "duration": 1.0,
}


def test_what_is_hashed():
    """By hand, from the description: anything else would refuse to continue runs that are fine."""
    content = b'[4, 3, "0x1.0000000000000p+0"]'
    for values, dtype in (([2, 0, 3], "<i8"), ([1, 0, 1], "<i8"), ([0, 1, 2], "u1")):
        content += np.array(values, dtype).tobytes()
    content += FIELDS["times"].astype("<f8").tobytes() + FIELDS["channels"].astype("<i8").tobytes()
    assert EventDataset(**FIELDS).fingerprint() == hashlib.sha256(content).hexdigest()


def test_the_form_does_not_count(tmp_path):
    data = EventDataset(**FIELDS, class_names=("a", "b", "c"), source="here")
    save_npz(tmp_path / "a.npz", data)
    save_store(tmp_path / "a", data)
    stored = load_store(tmp_path / "a")
    forms = [EventDataset(**FIELDS), load_npz(tmp_path / "a.npz"), stored]
    assert {form.fingerprint() for form in forms} == {data.fingerprint()}
    chosen = np.array([2, 0])
    assert stored.take(chosen).fingerprint() == data.take(chosen).fingerprint() != data.fingerprint()
    assert data.take(chosen).fingerprint() != data.take(chosen[::-1]).fingerprint()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("times", [0.1, 0.4, 0.2, np.nextafter(0.2, 1.0), 0.9]),
        ("channels", [0, 2, 1, 1, 2]),
        ("offsets", [0, 2, 3, 5]),
        ("labels", [1, 0, 0]),
        ("split", [0, 0, 2]),
        ("num_channels", 5),
        ("num_classes", 4),
        ("duration", np.nextafter(1.0, 2.0)),
    ],
)
def test_every_change_counts(field, value):
    changed = {**FIELDS, field: np.array(value) if isinstance(value, list) else value}
    assert EventDataset(**changed).fingerprint() != EventDataset(**FIELDS).fingerprint()


def test_blocks_of_a_large_set(monkeypatch):
    monkeypatch.setattr(samples, "WHOLE", 100)
    monkeypatch.setattr(samples, "BLOCKS", 5)
    monkeypatch.setattr(samples, "BLOCK", 4)
    times = np.sort(np.random.default_rng(0).random(101))

    def fingerprint(changed):
        channels = np.zeros(101, np.int64)
        channels[changed] = 1
        return EventDataset(
            times, channels, np.array([0, 50, 101]), np.zeros(2, int), np.zeros(2, int), num_channels=2, duration=1.0
        ).fingerprint()

    times[50:].sort()
    times[:50].sort()
    plain = fingerprint([])
    seen = [event for event in range(101) if fingerprint([event]) != plain]
    assert seen == [*range(4), *range(24, 28), *range(48, 52), *range(72, 76), *range(97, 101)]
    monkeypatch.setattr(samples, "WHOLE", 101)
    plain = fingerprint([])
    assert all(fingerprint([event]) != plain for event in range(101))

import numpy as np
import pytest

from saltation.experiments.tasks import YIN_YANG_NETWORK
from saltation.train import load_config

TINY = {
    "data.options.publication": False,
    "data.options.sizes": [60, 30, 30],
    "train.batch_size": 20,
    "train.epochs": 2,
    "model.layers.0.size": 6,
}


@pytest.fixture
def tiny():
    """A Yin-Yang configuration that trains in a moment, with changes."""

    def make(recipe=YIN_YANG_NETWORK, **changes):
        overrides = {key.replace("__", "."): value for key, value in changes.items()}
        return load_config(recipe, {**TINY, **overrides})

    return make


@pytest.fixture
def recording(tmp_path):
    """A small event file of three classes without validation samples: class k fires early on channel k."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    times = np.sort(rng.uniform(0.3, 1.0, size=(60, 4)), axis=1)
    times[:, 0] = rng.uniform(0.0, 0.1, size=60)
    channels = rng.integers(0, 3, size=(60, 4))
    channels[:, 0] = labels
    file = tmp_path / "recording.npz"
    split = np.where(np.arange(60) < 48, 0, 2)
    np.savez(
        file, times=times.ravel(), channels=channels.ravel(), offsets=np.arange(61) * 4, labels=labels, split=split
    )
    return file

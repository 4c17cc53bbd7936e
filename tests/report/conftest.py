import numpy as np
import pytest

from saltation.experiments.tasks import YIN_YANG_NETWORK
from saltation.train import load_config, train

HOSTILE = ["<script>alert(1)</script>", 'a "quoted" & <b>bold</b> $name', "\x1b[31mred"]
TINY = {"data.options": {"publication": False, "sizes": [60, 30, 30]}, "train.batch_size": 20, "train.epochs": 2}


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run of Yin-Yang."""
    folder = tmp_path_factory.mktemp("report") / "run"
    train(load_config(YIN_YANG_NETWORK, {**TINY, "model.layers.0.size": 6, "name": "tiny"}), out=folder, quiet=True)
    return folder


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """A run of a recording whose classes, and folder, have names that a page must not take for its own."""
    folder = tmp_path_factory.mktemp("recording")
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0.0, 1.0, size=(60, 4)), axis=1)
    np.savez(
        folder / "events.npz", times=times.ravel(), channels=rng.integers(0, 3, size=240), offsets=np.arange(61) * 4,
        labels=np.arange(60) % 3, split=np.where(np.arange(60) < 48, 0, 2), class_names=np.array(HOSTILE),
    )  # fmt: skip
    (folder / "recipe.yaml").write_text(
        "model: {layers: [{size: 8, tau_mem: 0.5, tau_syn: 0.2, jump: 0.1, tau_adapt: 1.0, weights: {drive: 2.0}},"
        " {neuron: li, tau_mem: 0.5, tau_syn: 0.1}]}\n"
        "loss: {name: readout, readout: integral}\ntrain: {epochs: 2, batch_size: 16}\n"
    )
    data = {"data.name": "events", "data.path": str(folder / "events.npz"), "data.duration": 2.0}
    run = folder / "<i>run & co"
    train(load_config(folder / "recipe.yaml", data), out=run, quiet=True)
    return run

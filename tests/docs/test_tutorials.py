"""The tutorials run, and what their text says of their results is so. `make docs` runs them once more for pictures."""

import runpy
import warnings

import matplotlib
import matplotlib.pyplot as plt
import pytest
from docs.pages import ROOT

FOLDER = ROOT / "docs" / "tutorials"


def run(number):
    """What a tutorial leaves behind."""
    (file,) = FOLDER.glob(f"plot_{number}_*.py")
    matplotlib.use("agg")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            return runpy.run_path(str(file))
        finally:
            plt.close("all")


def test_a_first_network():
    assert run(1)["accuracy"] > 0.9


def test_the_gradient_of_a_spike_time(capsys):
    left = run(2)
    assert abs(left["found"][:, 0] - left["formula"](left["weights"])).max() < 1e-13
    assert abs(left["found"][:, 1] / left["slope"] - 1).max() < 1e-6
    assert "grazing: 1" in capsys.readouterr().out


def test_learning_delays():
    left = run(3)
    assert left["accuracy"] == 1.0 and left["losses"][-1] < 0.2 * left["losses"][0]
    closest = (left["times"][0] + left["after"]).sort(1).values.diff(dim=1).min(1).values  # two arrivals of pattern 0
    assert float(closest.max()) < 0.3


@pytest.mark.slow
def test_a_network_that_is_silent():
    left = run(4)
    assert left["result"].spikes.times.numel() == 0 and left["result"].peak.max().item() < 0
    ends = {way: curve[-1] for way, curve in left["curves"].items()}
    assert len(set(left["curves"]["nothing"])) == 1
    assert min(ends["peak"], ends["bump"], ends["smoothed"]) > 0.85


@pytest.mark.slow
def test_your_own_signals():
    assert run(5)["result"]["test_accuracy"] > 0.9


def test_they_are_short():
    files = [*FOLDER.glob("plot_*.py"), *(ROOT / "examples").glob("*.py")]
    assert len(list(FOLDER.glob("plot_*.py"))) == 5
    for file in files:
        assert len(file.read_text().splitlines()) < 80, file

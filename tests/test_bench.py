import json
from pathlib import Path

import numpy as np
import pytest

from saltation.bench import growth, run
from saltation.bench.fused import FusedGrid
from saltation.bench.measure import contestants, peak_megabytes, reset_peak
from saltation.bench.workloads import WORKLOADS, Ours, Workload
from saltation.cli import main


def test_quick_run_from_the_command_line(tmp_path, capsys):
    arguments = ["bench", "W1", "W5", "--quick", "--no-peers", "--repeats", "2", "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert "saltation" in capsys.readouterr().out
    record = json.loads((tmp_path / "bench-1.json").read_text())
    ours = record["workloads"]["W1"]["saltation"]
    assert ours["ratio"] == 1.0 and len(ours["all_ms"]) == 2 and ours["ms"] > 0
    assert ours["spikes_per_neuron"] == pytest.approx(0.8, rel=0.1)
    (curve,) = record["growth"].values()
    assert [point["neurons"] for point in curve] == [8, 16]
    assert all(point["seconds"] > 0 and point["megabytes"] >= 0 for point in curve)
    assert record["machine"]["threads"] == 1 and (tmp_path / "growth.png").stat().st_size > 10_000
    assert main(["bench", "W9", "--out", str(tmp_path)]) == 2
    assert "there is no workload 'W9'" in capsys.readouterr().err
    assert main(["bench", "W1", "--repeats", "0"]) == 2
    assert main(["bench", "W1", "--limit", "nan"]) == 2


def test_what_was_measured_before_stays(tmp_path):
    (tmp_path / "bench-1.json").write_text('{"workloads": {"W2": {"saltation": {"ms": 1.0}}}}')
    run(["W1"], threads=1, repeats=1, out=tmp_path, peers=False, quick=True, limit=60.0)
    assert set(json.loads((tmp_path / "bench-1.json").read_text())["workloads"]) == {"W1", "W2"}


def test_workloads_are_as_stated():
    for workload in WORKLOADS.values():
        spikes = workload.spikes()
        assert (spikes.num_samples, spikes.num_units, spikes.duration) == (
            workload.batch, workload.inputs, workload.duration,
        )  # fmt: skip
    assert WORKLOADS["W2"].spikes().times.numel() / 32 == pytest.approx(7000, rel=0.02)
    small = Ours(Workload("small", 20, 10, 3, 4, 0.5, 20.0, 5.0, "mean", (50,), delay=True))
    assert small.spikes_per_neuron() == pytest.approx(5.0, rel=0.05)
    assert small.silence() == small.spikes.times.numel() * 10
    assert small.spikes_per_neuron() == 0.0


@pytest.mark.parametrize("readout", ["mean", "maximum", "first"])
def test_the_grid_of_ours_is_a_contestant(readout):
    """The same input, spikes and loss as the exact network; at fine steps nearly the same number of spikes."""
    workload = Workload("small", 20, 10, 3, 4, 0.5, 20.0, 5.0, readout, (500,))
    make = contestants(workload, peers=True)[-1]
    grid, exact = make(), Ours(workload)
    assert isinstance(grid, FusedGrid) and grid.name == "fused surrogate grid 1 ms"
    assert grid.spikes_per_neuron() == pytest.approx(5.0, rel=0.05)
    assert grid.scale == pytest.approx(exact.scale, rel=0.1)
    grid.step()
    hidden, output = (layer.connection.weight for layer in grid.twin.network.layers)
    assert hidden.grad.shape == (10, 20) and hidden.grad.any() and output.grad.any()


def test_slope_and_limit():
    assert growth.slope([1.0, 10.0, 100.0, 1000.0], [5.0, 7.0, 1.0, 10.0]) == pytest.approx(1.0)
    point = growth.measure_point({**growth.BASE, "events": 10}, limit=0.01)
    assert point["seconds"] is None and point["events"] == 10


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak cannot be set back here")
def test_the_peak_counts_anew():
    block = np.ones(30_000_000)
    high = peak_megabytes()
    del block
    reset_peak()
    assert peak_megabytes() < high - 200

"""Spikes to and from `nir.EventData`."""

import numpy as np
import pytest
import torch
from problems import random_spikes

import saltation as sal

nir = pytest.importorskip("nir")


def test_there_and_back(tmp_path):
    spikes = random_spikes(torch.Generator().manual_seed(0))
    data = sal.to_nir_events(spikes, time_unit=1e-3)
    assert data.shape == (3, 8) and data.n_neurons == 4 and data.t_max == pytest.approx(10e-3)
    assert (data.idx[2] == -1).all() and np.isinf(data.time[2]).all()
    path = tmp_path / "spikes.nir"
    nir.write_data(path, nir.NIRGraphData({"input": nir.NIRNodeData({"spikes": data})}))
    read = nir.read_data(path).nodes["input"].observables["spikes"]
    back = sal.from_nir_events(read, time_unit=1e-3)
    assert back.offsets.equal(spikes.offsets) and back.units.equal(spikes.units) and back.num_units == 4
    assert torch.allclose(back.times, spikes.times, rtol=1e-15) and back.duration == pytest.approx(10.0)


def test_times_in_seconds_come_back_to_the_bit():
    spikes = random_spikes(torch.Generator().manual_seed(0))
    back = sal.from_nir_events(sal.to_nir_events(spikes))
    assert back.times.equal(spikes.times) and back.duration == spikes.duration
    silent = sal.Spikes.silent(2, 3, 1.0)
    assert sal.from_nir_events(sal.to_nir_events(silent)).counts().tolist() == [[0, 0, 0], [0, 0, 0]]


def events(**changes):
    """Two samples in no order, filled up in the middle and with a finite time, as jaxsnn does."""
    fine = {
        "idx": np.array([[2, -1, 0], [1, -1, -1]]),
        "time": np.array([[0.3, 2.0, 0.1], [0.2, 2.0, 2.0]]),
        "n_neurons": 3,
        "t_max": 1.0,
    }
    return nir.EventData(**(fine | changes))


def test_events_of_others():
    spikes = sal.from_nir_events(events())
    assert spikes.to_lists() == [[(0.1, 0), (0.3, 2)], [(0.2, 1)]]
    by_step = nir.TimeGriddedData(np.array([[[True, False], [False, True]]]), dt=0.5).to_event(3, time_shift=0.25)
    assert sal.from_nir_events(by_step).to_lists() == [[(0.25, 0), (0.75, 1)]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"idx": np.array([[3, -1, 0], [1, -1, -1]])}, r"units\[1\] = 3 \(sample 0\)"),
        ({"idx": np.array([[-2, -1, 0], [1, -1, -1]])}, r"units\[1\] = -2 \(sample 0\)"),
        ({"t_max": 0.25}, r"times\[1\] = 0.3 \(sample 0\)"),
        ({"t_max": None}, "t_max = None: must be a number"),
        ({"t_max": np.inf}, "duration = inf"),
        ({"n_neurons": 2.5}, "num_units = 2.5"),
        ({"time": np.full((2, 3), np.nan)}, r"times\[0\] = nan"),
        ({"time": np.full((2, 3), "x")}, "must be numbers"),
        ({"idx": np.zeros((2, 3))}, "idx has dtype float64: must be whole numbers"),
        ({"idx": np.zeros(3, int), "time": np.zeros(3)}, r"idx has shape \(3,\): must be \(samples, events\)"),
    ],
)
def test_bad_events(changes, message):
    with pytest.raises(ValueError, match=message):
        sal.from_nir_events(events(**changes))


def test_other_kinds_of_data():
    with pytest.raises(TypeError, match="data is TimeGriddedData: must be nir.EventData"):
        sal.from_nir_events(nir.TimeGriddedData(np.zeros((1, 2, 3)), dt=0.1))
    fields = {"idx": np.zeros((1, 1), int), "time": np.zeros((1, 1)), "n_neurons": 1, "t_max": 1.0}
    with pytest.raises(TypeError, match="ValuedEventData.*have no values"):
        sal.from_nir_events(nir.ValuedEventData(**fields, value=np.ones((1, 1))))
    with pytest.raises(TypeError, match="spikes is list"):
        sal.to_nir_events([])
    with pytest.raises(ValueError, match="time_unit = -1"):
        sal.to_nir_events(sal.Spikes.silent(1, 1, 1.0), time_unit=-1)

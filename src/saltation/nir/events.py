"""Spikes to and from `nir.EventData`."""

import numbers
from typing import Any

import numpy as np
import torch

from saltation import check
from saltation.spikes import Spikes, by_sample_and_time

from .library import nir_package


def to_nir_events(spikes: Spikes, *, time_unit: float = 1.0) -> Any:
    """The same events as a `nir.EventData`: (B, most events of a sample), filled up with unit -1 at time inf.

    Args:
        spikes: B samples; gradients and ghosts stay behind.
        time_unit: seconds of a unit of time of `spikes`; NIR counts in seconds.

    Raises:
        ValueError: if the package nir is missing.
    """
    nir = nir_package()
    if not isinstance(spikes, Spikes):
        raise TypeError(f"spikes is {type(spikes).__name__}: must be Spikes")
    unit = check.finite_number(time_unit, "time_unit", low=0.0, strict=True)
    counts = spikes.offsets.diff().numpy()
    shape = (spikes.num_samples, int(counts.max(initial=0)))
    place = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = spikes.sample_index().numpy()
    idx, time = np.full(shape, -1), np.full(shape, np.inf)
    idx[rows, place] = spikes.units.numpy()
    time[rows, place] = unit * spikes.times.detach().numpy()
    return nir.EventData(idx=idx, time=time, n_neurons=spikes.num_units, t_max=unit * spikes.duration)


def from_nir_events(data: Any, *, time_unit: float = 1.0) -> Spikes:
    """`Spikes` from a `nir.EventData`, in any order within a sample; entries with unit -1 are none.

    Args:
        data: `idx` and `time` (samples, events), times in seconds within [0, t_max].
        time_unit: seconds of a unit of time of what is returned.

    Raises:
        ValueError, TypeError: if the package nir is missing, or the events are not such; `Spikes` says which.
    """
    nir = nir_package()
    if not isinstance(data, nir.EventData) or isinstance(data, nir.ValuedEventData):
        raise TypeError(f"data is {type(data).__name__}: must be nir.EventData, whose events have no values")
    unit = check.finite_number(time_unit, "time_unit", low=0.0, strict=True)
    idx, time = np.asarray(data.idx), np.asarray(data.time)
    check.require(idx.ndim == 2, f"idx has shape {idx.shape}: must be (samples, events)")
    check.require(time.shape == idx.shape, f"time has shape {time.shape}, but idx {idx.shape}")
    check.require(np.issubdtype(idx.dtype, np.integer), f"idx has dtype {idx.dtype}: must be whole numbers")
    check.require(np.issubdtype(time.dtype, np.number), f"time has dtype {time.dtype}: must be numbers")
    check.require(
        isinstance(data.t_max, numbers.Real | np.number), f"t_max = {check.shown(data.t_max)}: must be a number"
    )
    real = idx != -1
    sample, _ = real.nonzero()
    times = torch.from_numpy(time[real].astype(np.float64)) / unit
    units = torch.from_numpy(idx[real].astype(np.int64))
    order = by_sample_and_time(torch.from_numpy(sample), times)
    offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(real.sum(axis=1))]).astype(np.int64))
    return Spikes(times[order], units[order], offsets, data.n_neurons, float(data.t_max) / unit)

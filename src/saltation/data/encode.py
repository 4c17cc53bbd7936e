"""From numbers to spikes: latency, population and level-crossing codes. All spike times lie off any grid."""

import numpy as np

from saltation.data.events import EventDataset
from saltation.data.latency import check_window, encode_latency


def latency(
    values: np.ndarray,
    labels: np.ndarray,
    split: np.ndarray,
    *,
    t_early: float = 0.15,
    t_late: float = 2.0,
    duration: float = 6.0,
    class_names: tuple[str, ...] = (),
    source: str = "latency code",
) -> EventDataset:
    """One spike per value at t_late - value (t_late - t_early): the larger, the earlier. 0 and NaN do not spike.

    values  (samples, channels) in [0, 1]; labels, split (samples,) as in `EventDataset`

    Raises ValueError, naming the entry, for a value out of range.
    """
    check_window(t_early, t_late, duration)
    values = _finite_or_missing(values, 2)
    bad = np.argwhere((values < 0) | (values > 1))
    if len(bad):
        i, j = bad[0]
        raise ValueError(f"{source}: values[{i}, {j}] is {values[i, j]}; scale all values to [0, 1] first")
    times = np.where(values > 0, t_late - values * (t_late - t_early), np.inf)
    return encode_latency(times, labels, split, duration, class_names, source)


def population(
    values: np.ndarray,
    labels: np.ndarray,
    split: np.ndarray,
    *,
    neurons: int = 8,
    low: float | np.ndarray = 0.0,
    high: float | np.ndarray = 1.0,
    weakest: float = 0.1,
    t_early: float = 0.15,
    t_late: float = 2.0,
    duration: float = 6.0,
    class_names: tuple[str, ...] = (),
    source: str = "population code",
) -> EventDataset:
    """Each value seen by `neurons` Gaussian receptive fields; the stronger one responds, the earlier it spikes.

    The centres are spread evenly over [low, high] (numbers, or one per feature), the width is 1/1.5 of their distance
    (Bohte et al. 2002). A response in (weakest, 1] spikes at t_late - response (t_late - t_early); weaker ones and NaN
    do not.

    values  (samples, features); channel f * neurons + k is field k of feature f

    Raises ValueError if low is not below high or there are fewer than 2 neurons.
    """
    if neurons < 2:
        raise ValueError(f"neurons is {neurons}; a population needs at least 2")
    if not 0 <= weakest < 1:
        raise ValueError(f"weakest is {weakest}; it must be in [0, 1)")
    values = _finite_or_missing(values, 2)
    low, high = (np.broadcast_to(np.asarray(edge, float), values.shape[1]) for edge in (low, high))
    if not (low < high).all():
        raise ValueError(f"{source}: low must be below high for every feature; a constant feature can be left out")
    place = (values - low) / (high - low) * (neurons - 1)  # in distances between centres
    response = np.exp(-0.5 * (1.5 * (place[:, :, None] - np.arange(neurons))) ** 2)
    response = np.where(response > weakest, response, 0.0).reshape(len(values), -1)
    rest = {"t_early": t_early, "t_late": t_late, "duration": duration}
    return latency(response, labels, split, **rest, class_names=class_names, source=source)


def level_crossing(
    series: np.ndarray,
    labels: np.ndarray,
    split: np.ndarray,
    *,
    dt: float,
    delta: float | np.ndarray,
    class_names: tuple[str, ...] = (),
    source: str = "level crossings",
) -> EventDataset:
    """An event whenever a signal has moved by one level, at the time where a straight line between samples gets there.

    Levels are multiples of `delta`. Channel 2 c tells that variable c went up by one, channel 2 c + 1 that it went down
    (send on delta: after a level has been told, only another one is news).

    series  (samples, variables, steps), step k at time k dt; NaN at the end of a shorter recording
    delta   > 0, a number or one per variable

    Raises ValueError for NaN inside a recording and values that are infinite.
    """
    series = _finite_or_missing(series, 3)
    samples, variables, steps = series.shape
    spacing = np.broadcast_to(np.asarray(delta, float), variables)
    if not (spacing > 0).all() or not dt > 0:
        raise ValueError(f"{source}: delta is {delta}, dt {dt}; both must be > 0")
    missing = np.isnan(series)
    gap = np.argwhere(missing[:, :, :-1] & ~missing[:, :, 1:])
    if len(gap):
        raise ValueError(f"{source}: sample {gap[0][0]}, variable {gap[0][1]} has NaN before its end; fill it in first")
    levels = (series / spacing[:, None]).reshape(samples * variables, steps)
    told = np.round(levels[:, 0])
    found: list[tuple[np.ndarray, np.ndarray, bool]] = []  # lanes, times, upwards
    for k in range(1, steps):
        start, stop = levels[:, k - 1], levels[:, k]
        for direction in (1.0, -1.0):
            while len(lanes := np.flatnonzero((stop - told) * direction >= 1.0)):
                told[lanes] += direction
                run = stop[lanes] - start[lanes]
                part = np.divide(told[lanes] - start[lanes], run, out=np.zeros(len(lanes)), where=run != 0)
                found.append((lanes, (k - 1 + part.clip(0.0, 1.0)) * dt, direction > 0))
    lanes = np.concatenate([entry[0] for entry in found] or [np.empty(0, np.int64)])
    times = np.concatenate([entry[1] for entry in found] or [np.empty(0)])
    down = np.concatenate([np.full(len(entry[0]), not entry[2]) for entry in found] or [np.empty(0, bool)])
    sample, variable = np.divmod(lanes, variables)
    order = np.lexsort((variable, times, sample))
    return EventDataset(
        times=times[order],
        channels=(2 * variable + down)[order],
        offsets=np.concatenate(([0], np.bincount(sample, minlength=samples).cumsum())),
        labels=labels,
        split=split,
        num_channels=2 * variables,
        duration=(steps - 1) * dt,
        class_names=class_names,
        source=source,
    )


def _finite_or_missing(values: np.ndarray, dimensions: int) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != dimensions:
        raise ValueError(f"the values have shape {values.shape}; they must have {dimensions} dimensions")
    bad = np.argwhere(np.isinf(values))
    if len(bad):
        raise ValueError(f"the value at {bad[0].tolist()} is infinite; leave it out or clip it")
    return values

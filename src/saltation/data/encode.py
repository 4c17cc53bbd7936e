"""From numbers to spikes: latency, population and level-crossing codes. All spike times lie off any grid."""

import numpy as np

from saltation.data.events import EventDataset
from saltation.data.latency import check_window, encode_latency
from saltation.data.validate import EXACT, whole
from saltation.spikes import MOST_EVENTS


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
    neurons = whole(source, "neurons", neurons)
    if neurons < 2:
        raise ValueError(f"neurons is {neurons}; a population needs at least 2")
    if not 0 <= weakest < 1:
        raise ValueError(f"weakest is {weakest}; it must be in [0, 1)")
    values = _finite_or_missing(values, 2)
    if max(values.size, 1) * neurons > MOST_EVENTS:  # the centres alone take memory
        raise ValueError(f"{source}: {values.size} values seen by {neurons} neurons each are more than 2^28; use fewer")
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

    Raises ValueError for NaN inside a recording, values that are infinite, values of more than 2^53 levels (which
    float64 cannot count), and more than 2^28 events.
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
    if steps < 2:
        raise ValueError(f"{source}: the series have {steps} steps; a crossing needs at least 2")
    with np.errstate(over="ignore"):  # inf is refused below
        levels = (series / spacing[:, None]).reshape(samples * variables, steps)
    far = np.argwhere(np.abs(levels) > EXACT)
    if len(far):
        lane, step = far[0]
        sample, variable = divmod(int(lane), variables)
        raise ValueError(
            f"{source}: series[{sample}, {variable}, {step}] is {series[sample, variable, step]}, more than 2^53 "
            f"levels of delta = {spacing[variable]}; use a larger delta"
        )
    lanes, times, down = _crossings(source, levels)
    sample, variable = np.divmod(lanes, variables)
    times = times * dt
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


def _crossings(source: str, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lane, time in steps, and whether downwards, of every crossing in (lanes, steps) of signals in units of levels."""
    told = np.empty_like(levels)
    told[:, 0] = np.round(levels[:, 0])
    for k in range(1, levels.shape[1]):  # the last level told is the one that the signal has come by
        before, stop = told[:, k - 1], levels[:, k]
        told[:, k] = np.where(stop > before, np.maximum(before, np.floor(stop)), np.minimum(before, np.ceil(stop)))
        told[:, k] = np.where(np.isnan(stop), before, told[:, k])
    moves = np.nan_to_num(np.diff(told, axis=1).T)  # (steps - 1, lanes): earlier events come first
    total = float(np.abs(moves).sum())
    if total > MOST_EVENTS:
        raise ValueError(f"{source}: there would be {total:.3g} events, more than 2^28; use a larger delta")
    step, lane = moves.nonzero()
    move = moves[step, lane]
    counts = np.abs(move).astype(np.int64)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + 1  # 1, 2, ... within a move
    step, lane, sign = (np.repeat(values, counts) for values in (step, lane, np.sign(move)))
    start, stop = levels[lane, step], levels[lane, step + 1]
    level = told[lane, step] + sign * number
    run = stop - start
    part = np.divide(level - start, run, out=np.zeros(len(run)), where=run != 0)
    return lane, step + part.clip(0.0, 1.0), sign < 0


def _finite_or_missing(values: np.ndarray, dimensions: int) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind not in "fiub":
        raise ValueError(f"the values have dtype {values.dtype}; they must be real numbers, for example .astype(float)")
    values = values.astype(np.float64)
    if values.ndim != dimensions:
        raise ValueError(f"the values have shape {values.shape}; they must have {dimensions} dimensions")
    bad = np.argwhere(np.isinf(values))
    if len(bad):
        raise ValueError(f"the value at {bad[0].tolist()} is infinite; leave it out or clip it")
    return values

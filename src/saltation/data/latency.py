"""Latency coding: values become one spike per channel, the time of which carries the value."""

import numpy as np

from saltation.data.events import EventDataset


def encode_latency(
    times: np.ndarray,
    labels: np.ndarray,
    split: np.ndarray,
    duration: float,
    class_names: tuple[str, ...],
    source: str,
) -> EventDataset:
    """A data set from a dense (samples, channels) array of spike times; a channel with time inf stays silent.

    Raises ValueError for NaN and -inf, as for any other time that is not legal.
    """
    order = np.argsort(times, axis=1, kind="stable")
    ordered = np.take_along_axis(times, order, axis=1)
    fires = ordered != np.inf
    return EventDataset(
        times=ordered[fires],
        channels=order[fires],
        offsets=np.concatenate(([0], np.cumsum(fires.sum(axis=1)))),
        labels=labels,
        split=split,
        num_channels=times.shape[1],
        num_classes=len(class_names),
        duration=duration,
        class_names=class_names,
        source=source,
    )


def check_window(t_early: float, t_late: float, duration: float) -> None:
    """Raise ValueError unless 0 <= t_early < t_late <= duration."""
    if not 0 <= t_early < t_late <= duration:
        raise ValueError(
            f"t_early is {t_early}, t_late {t_late}, duration {duration}; they must obey "
            "0 <= t_early < t_late <= duration"
        )

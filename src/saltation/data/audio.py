"""From sound to spikes: a bank of gammatone filters (SciPy), envelopes in decibels, and level crossings."""

from collections.abc import Sequence

import numpy as np

from saltation.data.encode import level_crossing
from saltation.data.events import EventDataset
from saltation.data.validate import whole
from saltation.extras import need

FRAMES_PER_SECOND = 500.0  # envelopes are slower than this; crossings between frames are interpolated
SILENT = 1e-12
MOST = 4096  # channels; an ear has 3,500 hair cells
FASTEST = 1e6  # samples per second; beyond, the coefficients of the filters cancel to nothing
WIDEST = 1000.0  # dB, what float64 can tell apart


def audio_events(
    waves: Sequence[np.ndarray],
    rate: float,
    labels: np.ndarray,
    split: np.ndarray,
    *,
    channels: int = 40,
    lowest: float = 100.0,
    highest: float | None = None,
    step: float = 6.0,
    dynamic_range: float = 40.0,
    smoothing: float = 50.0,
    class_names: tuple[str, ...] = (),
    source: str = "audio",
) -> EventDataset:
    """Recordings as events of an artificial ear, times in seconds.

    Each wave is scaled to its root mean square, filtered by `channels` gammatone filters whose centres are evenly
    spaced in the width of auditory filters (Glasberg & Moore 1990), rectified and smoothed. An event tells that the
    envelope of a filter has risen (channel 2 c) or fallen (2 c + 1) by `step` decibels; what is `dynamic_range` below
    the loudest moment of the recording counts as silence.

    waves      one array (samples,) of any number type each; they may differ in length
    rate       samples per second
    lowest, highest  centres of the first and last filter in Hz; highest: default 0.4 rate
    smoothing  cut-off of the envelope in Hz

    Raises ValueError for frequencies that do not fit the rate, and for an empty or not finite wave, naming it;
    MissingPackageError without SciPy.
    """
    need("data", "audio_events")
    from scipy import signal

    channels = whole(source, "channels", channels)
    highest = 0.4 * rate if highest is None else highest
    _check(rate, channels, lowest, highest, step, dynamic_range, smoothing)
    filters = [signal.gammatone(f, "iir", fs=rate) for f in centres(channels, lowest, highest)]
    smooth = signal.butter(2, smoothing, fs=rate, output="sos")
    hop = max(round(rate / FRAMES_PER_SECOND), 1)
    if len(waves) == 0:
        raise ValueError(f"{source}: there are no recordings; waves must hold at least one")
    levels = []
    for i, wave in enumerate(waves):
        wave = _scaled(wave, f"{source}: recording {i}")
        bands = np.stack([signal.lfilter(b, a, wave) for b, a in filters])
        envelope = signal.sosfilt(smooth, np.maximum(bands, 0.0), axis=1)[:, ::hop]
        floor = max(float(envelope.max()), SILENT) * 10 ** (-dynamic_range / 20)
        levels.append(20 * np.log10(np.maximum(envelope, floor) / floor))
    frames = max(level.shape[1] for level in levels)
    series = np.stack([np.pad(x, ((0, 0), (0, frames - x.shape[1])), constant_values=np.nan) for x in levels])
    return level_crossing(series, labels, split, dt=hop / rate, delta=step, class_names=class_names, source=source)


def _check(
    rate: float, channels: int, lowest: float, highest: float, step: float, dynamic_range: float, smoothing: float
) -> None:
    """Raise ValueError for what does not fit."""
    if not 0 < lowest < highest < 0.5 * rate or not 2 <= channels <= MOST:
        raise ValueError(
            f"lowest {lowest:g}, highest {highest:g} Hz, {channels} channels: at {rate:g} samples per second it must "
            f"be 0 < lowest < highest < half of that, with at least 2 channels and at most {MOST}"
        )
    if rate > FASTEST:
        raise ValueError(f"rate is {rate:g}; it must be at most {FASTEST:g} samples per second; leave some of them out")
    if not (0 < step < dynamic_range <= WIDEST and 0 < smoothing < 0.5 * rate):
        raise ValueError(
            f"step {step:g}, dynamic_range {dynamic_range:g} dB, smoothing {smoothing:g} Hz: it must be 0 < step < "
            f"dynamic_range <= {WIDEST:g}, and 0 < smoothing < half the rate of {rate:g}"
        )


def _scaled(wave: np.ndarray, name: str) -> np.ndarray:
    """A recording divided by its root mean square, float64."""
    wave = np.asarray(wave)
    if wave.dtype.kind not in "fiu" or wave.ndim != 1 or wave.size == 0 or not np.isfinite(wave).all():
        raise ValueError(
            f"{name} has shape {wave.shape} and dtype {wave.dtype}; it must be a flat, finite, non-empty array of "
            "numbers"
        )
    wave = wave.astype(np.float64)
    return wave / max(float(np.sqrt(np.mean(wave**2))), SILENT)


def centres(channels: int, lowest: float, highest: float) -> np.ndarray:
    """Frequencies evenly spaced on the scale of equivalent rectangular bandwidths, 21.4 log10(1 + 0.00437 f)."""
    low, high = (21.4 * np.log10(1 + 0.00437 * f) for f in (lowest, highest))
    return (10 ** (np.linspace(low, high, channels) / 21.4) - 1) / 0.00437

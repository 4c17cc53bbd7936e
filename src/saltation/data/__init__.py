"""Event data sets: Yin-Yang, digits, Braille, and any recording in the generic `.npz` format."""

from saltation.data.augment import drop, jitter
from saltation.data.digits import digits
from saltation.data.events import TEST, TRAIN, VALIDATION, EventDataset
from saltation.data.npz import load_npz, save_npz
from saltation.data.registry import available, data_root, load
from saltation.data.yin_yang import yin_yang, yin_yang_points

__all__ = [
    "TEST",
    "TRAIN",
    "VALIDATION",
    "EventDataset",
    "available",
    "data_root",
    "digits",
    "drop",
    "jitter",
    "load",
    "load_npz",
    "save_npz",
    "yin_yang",
    "yin_yang_points",
]

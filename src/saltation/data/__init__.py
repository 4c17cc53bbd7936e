"""Event data sets: generated ones, published recordings, and any recording in the generic `.npz` format."""

from saltation.data.audio import audio_events
from saltation.data.augment import blend, drop, insert, jitter, shift_channels, shift_image, stretch
from saltation.data.convert import from_dense
from saltation.data.digits import digits
from saltation.data.encode import latency, level_crossing, population
from saltation.data.events import TEST, TRAIN, VALIDATION, EventDataset
from saltation.data.npz import load_npz, save_npz
from saltation.data.registry import available, data_root, load
from saltation.data.samples import Samples
from saltation.data.store import StoreWriter, load_store, save_store
from saltation.data.tonic import from_tonic
from saltation.data.yin_yang import yin_yang, yin_yang_points

__all__ = [
    "TEST",
    "TRAIN",
    "VALIDATION",
    "EventDataset",
    "Samples",
    "StoreWriter",
    "audio_events",
    "available",
    "blend",
    "data_root",
    "digits",
    "drop",
    "from_dense",
    "from_tonic",
    "insert",
    "jitter",
    "latency",
    "level_crossing",
    "load",
    "load_npz",
    "load_store",
    "population",
    "save_npz",
    "save_store",
    "shift_channels",
    "shift_image",
    "stretch",
    "yin_yang",
    "yin_yang_points",
]

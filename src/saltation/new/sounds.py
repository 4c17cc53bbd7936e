"""A folder of .wav files as events of an artificial ear."""

import re
import warnings
from pathlib import Path

import numpy as np

from saltation.check import cut
from saltation.data.audio import audio_events
from saltation.data.events import EventDataset
from saltation.extras import need
from saltation.new.split import draw_split

LONGEST = 30.0  # seconds
MOST_FILES = 100_000


def sound_files(folder: Path) -> list[Path]:
    """All .wav files of a folder and its folders, in order."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".wav" and path.is_file())


def read_sounds(folder: Path) -> tuple[EventDataset, list[str]]:
    """The recordings of a folder, and what was assumed.

    The class of a file is the name of its folder, or the first word of its own name where all lie side by side; one
    more word that few values share, such as a speaker, makes groups. Raises ValueError naming the file,
    MissingPackageError without SciPy.
    """
    need("data", "reading .wav files")
    files = sound_files(folder)
    if len(files) > MOST_FILES:
        raise ValueError(f"{folder} holds {len(files)} .wav files; at most {MOST_FILES:,} are read at once")
    parents = {path.parent for path in files}
    words = [re.split(r"[_\-. ]+", path.stem) for path in files]
    flat = len(parents) == 1
    classes = [word[0] if flat else path.parent.name for word, path in zip(words, files, strict=True)]
    groups, which = _groups(words, int(flat))
    said = [f"classes: {'the first word of the names of the files' if flat else 'the folders of the files'}"]
    if groups is not None:
        said.append(f"groups: word {which + 1} of the names of the files")
    waves, rates = zip(*(read_wave(path) for path in files), strict=True)
    if len(set(rates)) > 1:
        raise ValueError(
            f"{folder}: the files have {len(set(rates))} sampling rates; bring them to one, {min(rates)} Hz"
        )
    names, labels = np.unique(classes, return_inverse=True)
    split, how = draw_split(labels, groups)
    events = audio_events(waves, float(rates[0]), labels, split, class_names=tuple(names.tolist()), source=str(folder))
    return events, [*said, how, f"40 gammatone filters from 100 to {0.4 * rates[0]:g} Hz, steps of 6 decibels"]


def _groups(words: list[list[str]], start: int) -> tuple[np.ndarray | None, int]:
    """The first word of names, from `start` on, that is no number and that at most half as many values share."""
    for k in range(start, min(map(len, words))):
        column = np.array([word[k] for word in words])
        count = len(np.unique(column))
        if 3 <= count <= len(words) // 4 and not any(word.isdigit() for word in column.tolist()):
            return column, k
    return None, 0


def read_wave(path: Path) -> tuple[np.ndarray, int]:
    """One recording, the mean of its channels, and its samples per second. Raises ValueError naming the file."""
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks of other kinds, which are no sound
            rate, wave = wavfile.read(path)
    except (ValueError, EOFError, OSError, MemoryError, TypeError, UnboundLocalError) as error:
        raise ValueError(f"{path} is not a .wav file that can be read ({cut(str(error))}); convert it") from error
    wave = np.asarray(wave, np.float64)
    wave = wave.mean(1) if wave.ndim == 2 else wave
    if not len(wave) or len(wave) > LONGEST * rate or not np.isfinite(wave).all():
        raise ValueError(
            f"{path} lasts {len(wave) / max(rate, 1):.3g} s; it must hold sound, at most {LONGEST:g} s: cut it"
        )
    return wave, int(rate)

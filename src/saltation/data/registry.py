"""Data sets by name, and where their files are looked for."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from saltation.check import shown
from saltation.data.digits import digits
from saltation.data.heidelberg import load_heidelberg
from saltation.data.images import load_images
from saltation.data.nmnist import load_nmnist
from saltation.data.npz import load_npz
from saltation.data.options import check_options
from saltation.data.samples import Samples
from saltation.data.series import bundled, load_series
from saltation.data.store import load_store
from saltation.data.yin_yang import PUBLICATION_FILE, yin_yang

ROOT_VARIABLE = "SALTATION_DATA"
_Location = str | os.PathLike[str] | None


class Recording(NamedTuple):
    """A data set in files: how it is read, where its files are under the data root, and where it was published."""

    load: Callable[..., Samples]  # load(path, **options)
    places: tuple[str, ...]  # a file or folder; the first that exists
    what: str
    published: str


RECORDINGS = {
    "braille": Recording(
        load_npz,
        ("braille27_th10/braille27_th10.npz",),
        "27 tactile letters as events, in the generic .npz format",
        "doi 10.5281/zenodo.7050094",
    ),
    "spoken_digits": Recording(
        load_npz,
        ("fsdd/fsdd_cochlea70.npz",),
        "spoken digits as spikes of an artificial cochlea of 70 channels, in the generic .npz format",
        "github.com/Jakobovski/free-spoken-digit-dataset (audio)",
    ),
    "mnist": Recording(
        load_images,
        ("mnist/mnist.npz", "mnist"),
        "the four original idx files of MNIST, or an .npz of them",
        "yann.lecun.org/exdb/mnist (saltation data get mnist)",
    ),
    "fashion_mnist": Recording(
        load_images,
        ("fashion_mnist/fashion_mnist.npz", "fashion_mnist"),
        "the four original idx files of Fashion-MNIST, or an .npz of them",
        "github.com/zalandoresearch/fashion-mnist",
    ),
    "nmnist": Recording(
        load_nmnist,
        ("nmnist", "nmnist_small/nmnist_small.npz"),
        "N-MNIST: the folders Train and Test of .bin files, or an .npz of them",
        "garrickorchard.com/datasets/n-mnist",
    ),
    "shd": Recording(
        load_heidelberg, ("shd",), "a folder with shd_train.h5 and shd_test.h5", "zenkelab.org/datasets"
    ),
    "japanese_vowels": Recording(
        load_series,
        ("JapaneseVowels",),
        "the folder of JapaneseVowels_TRAIN.ts and JapaneseVowels_TEST.ts",
        "timeseriesclassification.com, and part of the package aeon (pip install --no-deps aeon)",
    ),
    "basic_motions": Recording(
        load_series,
        ("BasicMotions",),
        "the folder of BasicMotions_TRAIN.ts and BasicMotions_TEST.ts",
        "timeseriesclassification.com, and part of the package aeon (pip install --no-deps aeon)",
    ),
    "ssc": Recording(
        load_heidelberg,
        ("ssc",),
        "a folder with ssc_train.h5, ssc_valid.h5 and ssc_test.h5",
        "zenkelab.org/datasets",
    ),
}  # fmt: skip
GENERATORS: dict[str, Callable[..., Samples]] = {"yin_yang": yin_yang, "digits": digits}
FROM_PATH: dict[str, Callable[..., Samples]] = {"events": load_npz, "series": load_series, "images": load_images}
NAMES = (*GENERATORS, *RECORDINGS, *FROM_PATH)
IN_STEPS = ("japanese_vowels", "basic_motions", "series")  # dt is 1 unless a recipe says otherwise
IN_TAU_SYN = (*GENERATORS, "mnist", "fashion_mnist", "images")


def data_root(root: _Location = None) -> Path | None:
    """The folder with downloaded data: `root`, else the environment variable SALTATION_DATA, else None."""
    root = root or os.environ.get(ROOT_VARIABLE)
    return Path(root).expanduser() if root else None


def load(name: str, path: _Location = None, root: _Location = None, **options: Any) -> Samples:
    """A data set by name.

    name     "yin_yang" (generated, or the publication points if the root has them), "digits" (scikit-learn), one of
             RECORDINGS; or, from a path, "events" (any file in the generic format, see `load_npz`, or folder of
             `save_store`), "series" (a folder of .ts files, see `load_series`) or "images" (see `load_images`)
    path     the file or folder, for recordings and events
    root     where files are looked for; default: the environment variable SALTATION_DATA
    options  passed to `yin_yang`, `digits` or what reads the files

    Raises ValueError for an unknown name, and for an unknown option or one of another type, FileNotFoundError if a file
    is missing, saying where to get it.
    """
    if name not in NAMES:
        remedy = f"; to read the file or folder of that name: events, with path {name}" if os.path.exists(name) else ""
        raise ValueError(f"no data set named {shown(name)}; there are {', '.join(NAMES)}{remedy}")
    if name == "events" and path is not None and os.path.isdir(Path(path).expanduser()):
        function: Callable[..., Samples] = load_store
    else:
        function = RECORDINGS[name].load if name in RECORDINGS else (GENERATORS | FROM_PATH)[name]
    check_options(name, function, options)
    if name in GENERATORS:
        if path is not None:
            raise ValueError(
                f"data set {shown(name)} takes no path (got {path}); use --data.name events for your own file"
            )
        return yin_yang(data_root(root), **options) if name == "yin_yang" else digits(**options)
    place = Path(path).expanduser() if path is not None else None
    if name in FROM_PATH and place is None:
        what = {"events": "an .npz file", "series": "a folder of .ts files", "images": "a folder of idx files"}[name]
        raise ValueError(f"data set {name!r} needs the path of {what} (--data.path PATH)")
    if name in RECORDINGS:
        place = place or find(name, data_root(root))
        if place is None or not os.path.exists(place):
            raise FileNotFoundError(missing(name, place))
    return function(place, **options)


def time_unit(name: str) -> str:
    """In what the times of a data set are, for the axes of pictures; "" if only its files know."""
    if name in IN_TAU_SYN:
        return "τ_syn"
    return "s" if name in RECORDINGS and name not in IN_STEPS else ""


def find(name: str, root: Path | None) -> Path | None:
    """Where the files of a recording are, under the data root or in a package that has them; or None."""
    recording = RECORDINGS[name]
    places = [root / place for place in recording.places] if root else []
    found = next((place for place in places if os.path.exists(place)), None)
    return bundled(recording.places[0]) if found is None and recording.load is load_series else found


def missing(name: str, path: Path | None = None) -> str:
    """What to do if a recording is not there."""
    recording = RECORDINGS[name]
    return (
        f"no {name} recordings{f' at {path}' if path else ''}: they are {recording.what}, published at "
        f"{recording.published}; put them at {recording.places[0]} under the data root ({ROOT_VARIABLE} or "
        "--data.root), or give --data.path FILE"
    )


def available(root: _Location = None) -> dict[str, str]:
    """For every data set, where it is, or why it cannot be had."""
    folder = data_root(root)
    points = folder / PUBLICATION_FILE if folder else None
    places = {
        "yin_yang": str(points) if points and os.path.isfile(points) else "generated",
        "digits": "comes with scikit-learn",
    }
    for name, recording in RECORDINGS.items():
        where = (
            folder / recording.places[0]
            if folder
            else f"set {ROOT_VARIABLE} to the folder that holds {recording.places[0]}"
        )
        places[name] = str(find(name, folder) or f"not found: {where}")
    return places | {
        "events": "any .npz in the generic format: --data.path FILE",
        "series": "any folder of NAME_TRAIN.ts and NAME_TEST.ts: --data.path FOLDER",
        "images": "any folder of four idx files: --data.path FOLDER",
    }

"""Data sets by name, and where their files are looked for."""

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from saltation.data.digits import digits
from saltation.data.events import EventDataset
from saltation.data.npz import load_npz
from saltation.data.yin_yang import PUBLICATION_FILE, yin_yang

ROOT_VARIABLE = "SALTATION_DATA"
BRAILLE_FILE = Path("braille27_th10") / "braille27_th10.npz"
_Location = str | os.PathLike[str] | None


def data_root(root: _Location = None) -> Path | None:
    """The folder with downloaded data: `root`, else the environment variable SALTATION_DATA, else None."""
    root = root or os.environ.get(ROOT_VARIABLE)
    return Path(root).expanduser() if root else None


def load(name: str, path: _Location = None, root: _Location = None, **options: Any) -> EventDataset:
    """A data set by name.

    name     "yin_yang" (generated, or the publication points if the root has them), "digits" (scikit-learn),
             "braille" (27 tactile letters) or "events" (any file in the generic format, see `load_npz`)
    path     the file, for braille and events
    root     where files are looked for; default: the environment variable SALTATION_DATA
    options  passed to `yin_yang`, `digits` or `load_npz`

    Raises ValueError for an unknown name or option, FileNotFoundError if a file is missing, saying where to get it.
    """
    if name not in _LOADERS:
        raise ValueError(f"no data set named {name!r}; there are {', '.join(_LOADERS)}")
    loader, function = _LOADERS[name]
    known = [key for key in inspect.signature(function).parameters if key not in ("path", "root")]
    for key in options:
        if key not in known:
            raise ValueError(f"data set {name!r} has no option {key!r}; it has {', '.join(known)}")
    if path is not None and name in ("yin_yang", "digits"):
        raise ValueError(f"data set {name!r} takes no path (got {path}); use --data.name events for a file of your own")
    return loader(None if path is None else Path(path).expanduser(), data_root(root), options)


def available(root: _Location = None) -> dict[str, str]:
    """For every data set, where it is, or why it cannot be had."""
    folder = data_root(root)

    def found(file: Path) -> str:
        if folder is None:
            return f"not found: set {ROOT_VARIABLE} to the folder that holds {file}"
        return str(folder / file) if (folder / file).is_file() else f"not found: {folder / file}"

    points = found(PUBLICATION_FILE)
    return {
        "yin_yang": "generated" if points.startswith("not found") else points,
        "digits": "comes with scikit-learn",
        "braille": found(BRAILLE_FILE),
        "events": "any .npz in the generic format: --data.path FILE",
    }


def _yin_yang(path: Path | None, root: Path | None, options: dict[str, Any]) -> EventDataset:
    return yin_yang(root, **options)


def _digits(path: Path | None, root: Path | None, options: dict[str, Any]) -> EventDataset:
    return digits(**options)


def _events(path: Path | None, root: Path | None, options: dict[str, Any]) -> EventDataset:
    if path is None:
        raise ValueError("data set 'events' needs the path of an .npz file (--data.path FILE)")
    return load_npz(path, **options)


def _braille(path: Path | None, root: Path | None, options: dict[str, Any]) -> EventDataset:
    file = path or (root / BRAILLE_FILE if root else None)
    if file is None or not file.is_file():
        raise FileNotFoundError(
            f"no Braille recordings at {file or BRAILLE_FILE}: 27 tactile letters as events, "
            "published at doi 10.5281/zenodo.7050094; convert them to the generic .npz format and put them at "
            f"{BRAILLE_FILE} under the data root ({ROOT_VARIABLE} or --data.root), or give --data.path FILE"
        )
    return load_npz(file, **options)


_Loader = Callable[[Path | None, Path | None, dict[str, Any]], EventDataset]
_LOADERS: dict[str, tuple[_Loader, Callable[..., EventDataset]]] = {
    "yin_yang": (_yin_yang, yin_yang),
    "digits": (_digits, digits),
    "braille": (_braille, load_npz),
    "events": (_events, load_npz),
}

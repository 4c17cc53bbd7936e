"""Every reader of data sets."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np

from saltation import data

from . import files, mutate
from .engine import target
from .targets_spikes import events, use_dataset


def _options(rng: Random, legal: dict[str, Any], often: float = 0.2) -> dict[str, Any]:
    """Some options of a data set, and now and then an odd value or name."""
    options = {key: legal[key] for key in legal if rng.random() < 0.3}
    if rng.random() < often:
        options[rng.choice([*legal, "unknown"])] = mutate.thing(rng)
    return options


def _arrays(rng: Random) -> dict[str, Any]:
    fields = events(rng)
    arrays = {key: np.asarray(value) for key, value in fields.items()}
    arrays["class_names"] = np.array(["a", "b"])
    arrays["speaker"] = np.arange(len(fields["labels"])) % 3
    return arrays


@target(60_000, ValueError, FileNotFoundError)
def npz(rng: Random, folder: Path) -> Callable[[], Any]:
    path = folder / "events.npz"
    path.write_bytes(files.changed_npz(rng, _arrays(rng)))
    legal = {"split_key": "split", "duration": 2.0, "group_key": "speaker", "test_group": 1, "validation_group": [2]}
    options = _options(rng, legal)
    name = rng.choice(("events", "braille", "spoken_digits"))
    return lambda: use_dataset(data.load(name, path=path, **options))


@target(60_000, ValueError, FileNotFoundError)
def store(rng: Random, folder: Path) -> Callable[[], Any]:
    arrays = _arrays(Random(1))
    meta: dict[str, Any] = {"num_channels": 5, "num_classes": 2, "duration": 1.0, "class_names": ["a", "b"]}
    names = ("times", "channels", "offsets", "labels", "split")
    contents = {f"{name}.npy": files.npy(arrays[name]) for name in names} | {"meta.json": json.dumps(meta).encode()}
    place = _folder(folder / "store", contents)
    name = rng.choice(("meta.json", *contents))
    how = rng.random()
    new: bytes | None
    if how < 0.04:
        new = None
    elif how < 0.3:
        new = mutate.raw(rng, contents[name])
    elif how < 0.33:
        new = mutate.garbage(rng)
    elif name == "meta.json" and how < 0.6:
        new = mutate.text(rng, contents[name].decode()).encode("utf-8", "surrogatepass")
    elif name == "meta.json":
        new = json.dumps(mutate.tree(rng, meta, _jsonable), default=str).encode()
    elif how < 0.4:
        hostile = files.hostile_array(rng)
        new = hostile if isinstance(hostile, bytes) else files.npy(hostile)
    else:
        new = files.npy(mutate.array(rng, arrays[name.removesuffix(".npy")]))
    place.change({name: new})
    return lambda: use_dataset(data.load("events", path=place.path))


def _jsonable(rng: Random) -> Any:
    return rng.choice((*mutate.NUMBERS, None, True, "", "x", "é", [], {}, [1], {"a": 1}, "1"))


@target(40_000, ValueError, FileNotFoundError)
def images(rng: Random, folder: Path) -> Callable[[], Any]:
    values = Random(2)
    arrays = {}
    for part, count in (("train", 4), ("test", 3)):
        arrays[f"{part}_images"] = np.frombuffer(values.randbytes(count * 6), np.uint8).reshape(count, 3, 2)
        arrays[f"{part}_labels"] = np.arange(count, dtype=np.uint8)
    options = _options(rng, {"t_early": 0.15, "t_late": 2.0, "duration": 6.0, "darkest": 3})
    set_name = rng.choice(("mnist", "fashion_mnist"))
    if rng.random() < 0.3:
        path = folder / "images.npz"
        path.write_bytes(files.changed_npz(rng, arrays))
        return lambda: use_dataset(data.load(set_name, path=path, **options))
    kinds = {"train": "train", "test": "t10k"}
    names = {f"{p}_{w}": f"{kinds[p]}-{w}-idx{d}-ubyte.gz" for p in kinds for w, d in (("images", 3), ("labels", 1))}
    place = _folder(folder / "images", {names[key]: files.gz(files.idx(arrays[key])) for key in arrays})
    key = rng.choice(list(arrays))
    how = rng.random()
    new: bytes | None
    if how < 0.0005:
        new = files.gzip_bomb()
    elif how < 0.04:
        new = None
    elif how < 0.3:
        new = mutate.raw(rng, place.files[names[key]])
    elif how < 0.33:
        new = mutate.garbage(rng, b"\x1f\x8b\x08")
    elif how < 0.7:
        new = files.gz(mutate.raw(rng, files.idx(arrays[key])))
    else:
        changed = mutate.array(rng, arrays[key])
        dimensions = changed.ndim if changed.dtype.kind != "O" else 0
        new = files.gz(files.idx(changed) if dimensions else mutate.raw(rng, files.idx(arrays[key])))
    place.change({names[key]: new})
    return lambda: use_dataset(data.load(set_name, path=place.path, **options))


def _bin(rng: Random, count: int) -> bytes:
    times = sorted(rng.randrange(300_000) for _ in range(count))
    rows = (
        (rng.randrange(34), rng.randrange(34), rng.randrange(2) << 7 | t >> 16, t >> 8 & 255, t & 255) for t in times
    )
    return b"".join(bytes(row) for row in rows)


@target(12_000, ValueError, FileNotFoundError)
def nmnist_bin(rng: Random, folder: Path) -> Callable[[], Any]:
    valid = Random(3)
    contents = {f"{part}/{digit}/1.bin": _bin(valid, 4) for part in ("Train", "Test") for digit in range(10)}
    place = _folder(folder / "nmnist", contents)
    options = _options(rng, {"duration": 0.34, "per_class": 1})
    name = rng.choice(list(contents))
    how = rng.random()
    if how < 0.05:
        place.change({name: None})
    elif how < 0.1:
        place.change({name.replace("1.bin", rng.choice(("._1.bin", "é.bin", "2.bin"))): mutate.garbage(rng)})
    elif how < 0.3:
        place.change({name: rng.randbytes(5 * rng.randrange(200))})
    else:
        place.change({name: mutate.raw(rng, contents[name])})
    return lambda: use_dataset(data.load("nmnist", path=place.path, **options))


@target(30_000, ValueError, FileNotFoundError)
def nmnist_npz(rng: Random, folder: Path) -> Callable[[], Any]:
    arrays = {
        "address": np.array([rng.randrange(2312) for _ in range(6)], np.uint16),
        "dt_us": np.array([rng.randrange(50_000) for _ in range(6)], np.uint32),
        "offsets": np.array([0, 2, 2, 6]),
        "labels": np.array([0, 9, 4]),
        "split": np.array([0, 1, 2]),
    }
    path = folder / "nmnist.npz"
    path.write_bytes(files.changed_npz(rng, arrays))
    options = _options(rng, {"duration": 0.34, "per_class": 1}, 0.1)
    return lambda: use_dataset(data.load("nmnist", path=path, **options))


@target(24_000, ValueError, FileNotFoundError)
def heidelberg(rng: Random, folder: Path) -> Callable[[], Any]:
    place = _folder(folder / "shd", {f"shd_{part}.h5": _valid_cochlea() for part in ("train", "test")})
    secret = folder / "secret.h5"
    if not secret.exists():
        secret.write_bytes(_valid_cochlea())
    options = _options(rng, {"duration": 1.4, "validation_speaker": 5, "group": 5})
    how = rng.random()
    escape = False
    new: bytes | None
    if how < 0.03:
        new = None
    elif how < 0.4:
        new = mutate.raw(rng, _valid_cochlea())
    elif how < 0.42:
        new = mutate.garbage(rng, b"\x89HDF\r\n\x1a\n")
    elif how < 0.55:
        new, escape = _leads_out(rng, secret), True
    else:
        new = _odd_cochlea(rng)
    place.change({f"shd_{rng.choice(('train', 'test'))}.h5": new})

    def call() -> None:
        dataset = data.load("shd", path=place.path, **options)
        assert not escape, "the file refers to another one, and was read"
        use_dataset(dataset)

    return call


_COCHLEA: list[bytes] = []


def _valid_cochlea() -> bytes:
    if not _COCHLEA:
        _COCHLEA.append(files.cochlea())
    return _COCHLEA[0]


def _odd_cochlea(rng: Random) -> bytes:
    flat: dict[str, Any] = {
        "labels": np.array([0, 1, 1], np.uint16),
        "extra/speaker": np.array([3, 5, 5]),
        "extra/keys": np.array([b"null", b"eins"]),
    }
    what = rng.random()
    if what < 0.5:
        name = rng.choice(list(flat))
        changed = mutate.array(rng, flat[name])
        flat[name] = None if rng.random() < 0.1 else changed
        if changed.dtype.kind in "UMmO" or changed.dtype.itemsize == 0 or changed.dtype == np.dtype("f16"):
            flat[name] = rng.choice(("text", np.array(1.5), 3, b"\xff\xfe"))
        return files.cochlea(**flat)
    rows: Any = [[0.1, 0.5, 0.9], [], [0.2, 1.3]]
    units: Any = [[3, 699, 5], [], [0, 1]]
    if what < 0.6:
        dense = np.array([[0.1, 0.5], [0.2, 1.3], [0.3, 0.4]])
        return files.cochlea(dense, (dense * 10).astype(int))
    odd = rng.choice((rows, units))
    odd[rng.randrange(3)] = [mutate.number(rng) for _ in range(rng.randrange(5))] if rng.random() < 0.8 else []
    if rng.random() < 0.2:
        odd.append([])
    with np.errstate(all="ignore"):
        try:
            return files.cochlea(rows, units, dtype=rng.choice((np.float64, np.int64, np.float32)))
        except (OverflowError, ValueError, TypeError):
            return files.cochlea(rows[:2], [[1, 2, 3], []])


def _leads_out(rng: Random, secret: Path) -> bytes:
    """A file that links to values in another one: by a link, by external storage, or virtually."""
    stream = io.BytesIO()
    name = rng.choice(("labels", "spikes/times", "spikes/units", "extra/speaker", "extra", "spikes"))
    target_file = rng.choice((str(secret), os.path.relpath(secret, secret.parent / "shd"), "../secret.h5"))
    with files.open_cochlea(stream) as file:
        how = rng.randrange(4)
        if how == 3 or name in ("extra", "spikes", "spikes/times", "spikes/units"):
            del file[name]
            file[name] = h5py.ExternalLink(target_file, name)
        elif how == 0:
            del file[name]
            file.create_dataset(name, (3,), np.int64, external=[(target_file, 0, 24)])
        elif how == 1:
            del file[name]
            layout = h5py.VirtualLayout((3,), np.int64)
            layout[:] = h5py.VirtualSource(target_file, name, (3,))
            file.create_virtual_dataset(name, layout)
        else:
            del file["extra"]
            file["extra"] = h5py.ExternalLink(target_file, "extra")
    return stream.getvalue()


_SERIES = """# a comment
@problemName toy
@timeStamps false
@univariate false
@dimensions 2
@classLabel true a b
@data
1.0,3.5,2:0,-1,0.5:a
2,2,2.25:4,4,4:b
0,1:1,0:a
"""


@target(50_000, ValueError, FileNotFoundError)
def series(rng: Random, folder: Path) -> Callable[[], Any]:
    names = [f"Toy_{part}.ts" for part in ("TRAIN", "TEST")]
    place = _folder(folder / "Toy", {name: _SERIES.encode() for name in names})
    how = rng.random()
    new: bytes | None
    if how < 0.02:
        new = None
    elif how < 0.2:
        new = mutate.raw(rng, _SERIES.encode())
    elif how < 0.22:
        new = mutate.garbage(rng, b"@data\n")
    else:
        new = mutate.text(rng, _SERIES).encode("utf-8", "surrogatepass")
    place.change({rng.choice(names): new})
    options = _options(rng, {"delta": 0.5, "dt": 1.0, "rest": 3})
    set_name = rng.choice(("japanese_vowels", "basic_motions"))
    return lambda: use_dataset(data.load(set_name, path=place.path, **options))


@target(10_000, ValueError, FileNotFoundError)
def yin_yang(rng: Random, folder: Path) -> Callable[[], Any]:
    arrays = {}
    for part in ("train", "validation", "test"):
        arrays[f"{part}_samples"] = np.array([[rng.random() for _ in range(4)] for _ in range(3)])
        arrays[f"{part}_labels"] = np.array([0, 1, 2])
    (folder / "yin_yang").mkdir(exist_ok=True)
    (folder / "yin_yang" / "yin_yang_publication.npz").write_bytes(files.changed_npz(rng, arrays))
    options = _options(rng, {"bias": 0.5, "t_early": 0.1, "t_late": 2.0, "duration": 6.0, "publication": True})
    options["sizes"] = (5, 2, 2) if rng.random() < 0.9 else mutate.thing(rng)
    return lambda: use_dataset(data.load("yin_yang", root=folder, **options))


_FOLDERS: dict[Path, files.Folder] = {}


def _folder(path: Path, contents: dict[str, bytes]) -> files.Folder:
    """The valid folder at `path`, as it was before the last input changed it."""
    known = _FOLDERS.get(path)
    if known is None or not path.exists():
        known = _FOLDERS[path] = files.Folder(path, contents)
    known.restore()
    return known

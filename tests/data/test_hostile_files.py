"""Files made to fill the memory, run code or read other files: refused, quickly and without much memory."""

import gzip
import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from saltation.data import EventDataset, hdf5, load, load_npz, load_store, save_npz, save_store
from saltation.data.arrays import RATIO, ROOM
from saltation.train import load_config

h5py = pytest.importorskip("h5py")
SMALL = 64 << 20  # bytes that a refusal may take


@pytest.fixture
def dataset():
    return EventDataset([0.1, 0.2], [0, 1], [0, 1, 2], [0, 1], [0, 0], duration=1.0)


@pytest.fixture(autouse=True)
def bounded():
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < SMALL


def header(shape, descr="<f8", version=1):
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text


class Boom:
    def __reduce__(self):
        return (os.system, ("touch boom",))


def pickled():
    buffer = io.BytesIO()
    np.save(buffer, np.array([Boom()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


HEADERS = {
    "announces 7 TiB": header((10**12,)),
    "announces more than 2^64 bytes": header((2**40, 2**40)),
    "announces more than 2^64 bytes, but none": header((0, 2**60, 2**60)),
    "announces less than there is": header(()) + bytes(80),
    "negative": header((-1,)),
    "negative twice": header((-2, -1)) + bytes(16),
    "bools": header((True, True)) + bytes(8),
    "not a tuple": header([2]) + bytes(16),
    "33 dimensions": header((1,) * 33) + bytes(8),
    "objects": header((1,), "|O") + bytes(8),
    "a pickle": pickled(),
    "structured": header((1,), [("a", "<f8"), ("b", "<f8")]) + bytes(16),
    "no bytes an entry": header((2**40,), "<U0"),
    "void": header((1,), "|V8") + bytes(8),
    "dates": header((1,), "<M8[us]") + bytes(8),
    "unknown dtype": header((1,), "<q9") + bytes(8),
    "brackets": b"\x93NUMPY\1\0" + struct.pack("<H", 9000) + b"(" * 9000,
    "deep": b"\x93NUMPY\1\0" + struct.pack("<H", 9000) + b"-" * 9000,
    "code": b"\x93NUMPY\1\0" + struct.pack("<H", 40) + b"__import__('os').system('touch boom')   ",
    "version 9": b"\x93NUMPY\x09\0" + header((1,))[8:] + bytes(8),
    "long header": header((1,), version=2)[:8] + struct.pack("<I", 2**32 - 1) + b"{",
    "empty": b"",
    "text": b"hello",
}


@pytest.mark.parametrize("content", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("name", ["times", "labels"])
def test_headers(dataset, tmp_path, monkeypatch, name, content):
    monkeypatch.chdir(tmp_path)
    save_store(tmp_path / "store", dataset)
    (tmp_path / "store" / f"{name}.npy").write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}\.npy|'{name}'"):
        load_store(tmp_path / "store")
    save_npz(tmp_path / "a.npz", dataset)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for member, value in {**members, f"{name}.npy": content}.items():
            archive.writestr(member, value)
    with pytest.raises(ValueError, match=rf"'{name}' of .*a\.npz|a\.npz: '{name}'"):
        load_npz(tmp_path / "a.npz")
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("order", ["<", ">"])
def test_text_that_is_none(dataset, tmp_path, order):
    save_npz(tmp_path / "a.npz", dataset)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    members["class_names.npy"] = header((2,), f"{order}U1") + struct.pack(f"{order}II", ord("a"), 0x110000)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for member, value in members.items():
            archive.writestr(member, value)
    with pytest.raises(ValueError, match=r"'class_names' of .* is damaged: it holds text in which a character is none"):
        load_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("load", [load_npz, load_store, load_config])
def test_names_longer_than_any_file_has(load):
    with pytest.raises(FileNotFoundError, match="xxxxxxx"):
        load("x" * 300)


def test_pickles_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.npz").write_bytes(pickle.dumps(Boom()))
    with pytest.raises(ValueError, match=r"is not an \.npz file"):
        load_npz(tmp_path / "a.npz")
    assert not (tmp_path / "boom").exists()


def bomb(path, size, method=zipfile.ZIP_DEFLATED):
    """An .npz with one array of `size` zero bytes."""
    block = bytes(1 << 20)
    with zipfile.ZipFile(path, "w", method, compresslevel=1) as archive, archive.open("times.npy", "w") as file:
        file.write(header((size // 8,)))
        for _ in range(size >> 20):
            file.write(block)


def test_a_zip_bomb(tmp_path):
    bomb(tmp_path / "a.npz", 2 * ROOM)
    assert (tmp_path / "a.npz").stat().st_size * RATIO < ROOM
    for name in ("events", "nmnist", "mnist"):
        with pytest.raises(ValueError, match=r"a\.npz has \d+ bytes and announces 0.5 GiB.*only fill the memory"):
            load(name, path=tmp_path / "a.npz")
    (tmp_path / "yin_yang").mkdir()
    (tmp_path / "a.npz").rename(tmp_path / "yin_yang" / "yin_yang_publication.npz")
    with pytest.raises(ValueError, match="only fill the memory"):
        load("yin_yang", root=tmp_path)


def test_a_zip_that_lies_about_its_sizes(dataset, tmp_path):
    """Sizes in the directory are believed, so what is read may not go beyond them."""
    bomb(tmp_path / "a.npz", 4 << 20)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    true = struct.pack("<I", (4 << 20) + len(header(((4 << 20) // 8,))))
    assert content.count(true) >= 1
    (tmp_path / "a.npz").write_bytes(bytes(content).replace(true, struct.pack("<I", 200)))
    with pytest.raises(ValueError, match=r"a\.npz"):
        load_npz(tmp_path / "a.npz")


def test_overlapping_members(tmp_path):
    """One compressed kernel that a thousand members share: every one of them counts."""
    bomb(tmp_path / "a.npz", 64 << 20)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        first = archive.infolist()[0]
        for k in range(20):
            twin = zipfile.ZipInfo(f"x{k}.npy")
            for field in ("header_offset", "CRC", "compress_size", "file_size", "compress_type"):
                setattr(twin, field, getattr(first, field))
            archive.filelist.append(twin)
        archive._didModify = True
    with pytest.raises(ValueError, match="only fill the memory|damaged"):
        load_npz(tmp_path / "a.npz")


def test_encrypted_members(dataset, tmp_path):
    save_npz(tmp_path / "a.npz", dataset)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    directory = content.index(b"PK\1\2")
    content[directory + 8] |= 1
    content[6] |= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged.*(encrypted|password)"):
        load_npz(tmp_path / "a.npz")


def test_names_that_leave_the_folder_are_only_names(dataset, tmp_path):
    folder = tmp_path / "inside"
    folder.mkdir()
    save_npz(folder / "a.npz", dataset)
    with zipfile.ZipFile(folder / "a.npz", "a") as archive:
        for name in ("../escaped.npy", str(tmp_path / "escaped.npy")):
            archive.writestr(name, header((1,)) + bytes(8))
    assert load_npz(folder / "a.npz").fingerprint() == dataset.fingerprint()
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]


def test_a_gzip_bomb(tmp_path):
    with gzip.open(tmp_path / "train-images-idx3-ubyte.gz", "wb", compresslevel=1) as file:
        for _ in range(2 * (ROOM >> 20)):
            file.write(bytes(1 << 20))
    tracemalloc.stop()  # it is read up to the limit, which takes as much
    with pytest.raises(ValueError, match="only fill the memory"):
        load("mnist", path=tmp_path)
    tracemalloc.start()


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, '{"num_channels": 1' + "0" * 5000 + "}", "null", "3", '"text"', "[]", "\xff\xfe", "{}", "NaN"],
    ids=lambda text: text[:20],
)
def test_meta(dataset, tmp_path, text):
    save_store(tmp_path / "store", dataset)
    (tmp_path / "store" / "meta.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"meta\.json is damaged"):
        load_store(tmp_path / "store")


META = [("num_channels", v) for v in ("x", None, 1.5, -1, True, 2**70, 2**31, [2], {})]
META += [("num_classes", v) for v in ("x", None, 0.5, -1, 2**70, 2**31)]
META += [("duration", v) for v in ("x", None, [1.0], {}, -1.0, float("inf"), float("nan"), 10**400, True)]
META += [("class_names", v) for v in (None, "ab", 3, ["a"], ["a", "\0"])]


@pytest.mark.parametrize(("key", "value"), META, ids=repr)
def test_values_of_meta(dataset, tmp_path, key, value):
    save_store(tmp_path / "store", dataset)
    meta = tmp_path / "store" / "meta.json"
    meta.write_text(json.dumps({**json.loads(meta.read_text()), key: value}))
    with pytest.raises(ValueError, match=rf"store: .*({key}|class name)"):
        load_store(tmp_path / "store")


ARRAYS = [np.empty(0), np.asarray(1), np.zeros((2, 2)), np.array(["a", "b"]), np.array([0.5, 1.5]), np.zeros(2, bool)]
ARRAYS += [np.zeros(2, complex), np.array([-1, 0]), np.array([2**64 - 1, 0], np.uint64), np.zeros(7, np.int8)]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
@pytest.mark.parametrize("name", ["times", "channels", "offsets", "labels", "split"])
def test_wrong_arrays(dataset, tmp_path, name, array):
    if name == "times" and array.dtype == float and array.shape == (2,):
        array = array.astype(np.int64)  # right in an .npz, but no store is written so
    save_store(tmp_path / "store", dataset)
    np.save(tmp_path / "store" / f"{name}.npy", array)
    with pytest.raises(ValueError, match="store"):
        load_store(tmp_path / "store").batch([0, 1])
    fields = {key: getattr(dataset, key) for key in ("times", "channels", "offsets", "labels", "split")}
    if name != "times" or array.dtype.kind not in "iu" or array.shape != (2,) or array.min() < 0:
        np.savez(tmp_path / "a.npz", **{**fields, name: array}, duration=1.0)
        with pytest.raises(ValueError, match=r"a\.npz"):
            load_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
@pytest.mark.parametrize("name", ["address", "dt_us", "offsets", "labels", "split"])
def test_wrong_arrays_of_an_event_camera(tmp_path, name, array):
    fields = {"address": [5, 6], "dt_us": [1, 2], "offsets": [0, 1, 2], "labels": [0, 1], "split": [0, 0]}
    np.savez(tmp_path / "a.npz", **{**fields, name: array})
    with pytest.raises(ValueError, match=r"a\.npz"):
        load("nmnist", path=tmp_path / "a.npz")


def shd(folder, change=lambda file: None):
    folder.mkdir()
    for part in ("train", "test"):
        with h5py.File(folder / f"shd_{part}.h5", "w") as file:
            for name, dtype in (("times", np.float16), ("units", np.uint16)):
                values = file.create_dataset(f"spikes/{name}", (2,), dtype=h5py.vlen_dtype(dtype))
                values[0], values[1] = np.array([0, 1], dtype), np.array([1], dtype)
            file["labels"] = np.array([0, 1], np.uint16)
            file["extra/speaker"] = np.array([3, 5])
            file["extra/keys"] = np.array([b"null", b"eins"])
            change(file)
    return folder


def replaced(name, make):
    def change(file):
        del file[name]
        make(file, name)

    return change


def external_link(file, name):
    with h5py.File(file.filename + ".other", "w") as other:
        other["secret"] = np.array([0, 1], np.uint16)
    file[name] = h5py.ExternalLink(file.filename + ".other", "secret")


def external_storage(file, name):
    path = file.filename + ".raw"
    with open(path, "wb") as raw:
        raw.write(bytes(4))
    file.create_dataset(name, (2,), np.uint16, external=[(path, 0, 4)])


def virtual(file, name):
    with h5py.File(file.filename + ".other", "w") as other:
        other["secret"] = np.array([0, 1], np.uint16)
    layout = h5py.VirtualLayout((2,), np.uint16)
    layout[:] = h5py.VirtualSource(file.filename + ".other", "secret", (2,))
    file.create_virtual_dataset(name, layout)


def soft_link(file, name):
    file["hidden"] = np.array([0, 1], np.uint16)
    file[name] = h5py.SoftLink("/hidden")


def huge(dtype):
    return lambda file, name: file.create_dataset(name, (10**12,), dtype, chunks=(1 << 20,))


def shared_rows(file, name):
    """A thousand million rows, all of them nothing: 16 bytes each in memory, none in the file."""
    file.create_dataset(name, (10**9,), h5py.vlen_dtype(np.float16), chunks=(1 << 16,))


H5 = {
    "external link": (replaced("labels", external_link), "labels of labels is a link to elsewhere"),
    "external group": (replaced("spikes", external_link), "link to elsewhere"),
    "external names": (replaced("extra/keys", external_link), "link to elsewhere"),
    "external extra": (replaced("extra", external_link), "extra of extra/speaker is a link to elsewhere"),
    "loop": (replaced("extra", lambda f, n: f.__setitem__(n, h5py.SoftLink("/extra"))), "link to elsewhere"),
    "external storage": (replaced("labels", external_storage), "keeps its values in other files"),
    "virtual": (replaced("labels", virtual), "keeps its values in other files"),
    "soft link": (replaced("labels", soft_link), "labels of labels is a link"),
    "huge labels": (replaced("labels", huge(np.uint16)), "only fill the memory"),
    "huge rows": (replaced("spikes/times", shared_rows), "only fill the memory"),
    "group": (replaced("labels", lambda f, n: f.create_group(n)), "labels is no flat array"),
    "scalar": (replaced("labels", lambda f, n: f.create_dataset(n, data=3)), "labels is no flat array"),
    "null": (replaced("labels", lambda f, n: f.create_dataset(n, data=h5py.Empty("i8"))), "no flat array|damaged"),
    "missing": (replaced("labels", lambda f, n: None), "no labels"),
    "strings": (replaced("labels", lambda f, n: f.create_dataset(n, data=np.array([b"a", b"b"]))), "must be integers"),
    "reals": (replaced("labels", lambda f, n: f.create_dataset(n, data=np.array([0.5, 1]))), "must be integers"),
    "compound": (replaced("labels", lambda f, n: f.create_dataset(n, data=np.zeros(2, "i4,i4"))), "must be integers"),
    "plain times": (replaced("spikes/times", lambda f, n: f.create_dataset(n, data=np.zeros(2))), "hold rows of num"),
    "text as units": (
        replaced("spikes/units", lambda f, n: f.create_dataset(n, data=["a", "b"], dtype=h5py.string_dtype())),
        "hold rows of integers",
    ),
    "numbers as names": (replaced("extra/keys", lambda f, n: f.create_dataset(n, data=[1, 2])), "must hold strings"),
    "extra is no group": (replaced("extra", lambda f, n: f.create_dataset(n, data=[1, 2])), None),
    "no samples": (
        replaced("labels", lambda f, n: f.create_dataset(n, (0,), "i8")),
        "0 labels",
    ),
}


@pytest.mark.parametrize(("change", "message"), H5.values(), ids=H5)
def test_hdf5(tmp_path, change, message):
    folder = shd(tmp_path / "shd", change)
    if message is None:
        assert load("shd", path=folder).class_names == ()
        return
    with pytest.raises(ValueError, match=rf"shd_train\.h5.*({message})|({message}).*shd_train\.h5"):
        load("shd", path=folder)


STORED = [
    {},
    {"chunks": (3,)},
    {"chunks": (3,), "compression": "gzip"},
    {"chunks": (3,), "compression": "gzip", "shuffle": True},
    {"chunks": (2,), "shuffle": True},
]


@pytest.mark.parametrize("how", STORED, ids=str)
def test_ragged_rows_are_measured_before_they_are_read(tmp_path, monkeypatch, how):
    """What rows announce is counted: many may share one place in the file, or lie about their length."""
    from saltation.data import arrays

    rows = [np.arange(n, dtype=np.float32) for n in (3, 0, 7, 1)]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        values = file.create_dataset("rows", (4,), dtype=h5py.vlen_dtype(np.float32), **how)
        for i, row in enumerate(rows):
            values[i] = row
    monkeypatch.setattr(arrays, "RATIO", 0)
    for room, message in ((44, None), (43, "rows of .*a.h5 has .* only fill the memory")):
        monkeypatch.setattr(arrays, "ROOM", room)
        with h5py.File(tmp_path / "a.h5") as file:
            if message is None:
                for row, expected in zip(hdf5.ragged(file, "rows", "f"), rows, strict=True):
                    assert np.array_equal(row, expected)
            else:
                with pytest.raises(ValueError, match=message):
                    hdf5.ragged(file, "rows", "f")


def heap_of(path):
    content = bytearray(path.read_bytes())
    return content, content.index(b"GCOL")


def test_a_row_that_lies_about_its_length(tmp_path):
    path = shd(tmp_path / "shd") / "shd_train.h5"
    content, heap = heap_of(path)
    reference = content.index(struct.pack("<IQI", 2, heap, 1))
    content[reference : reference + 4] = struct.pack("<I", 2**32 - 1)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"spikes/times of .*shd_train\.h5 has \d+ bytes and announces 8 GiB"):
        load("shd", path=path.parent)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 2**64 - 16), (1, 2**40), (0, 8)])
def test_a_heap_without_an_end(tmp_path, index, size):
    """The HDF5 library would walk some of these for ever."""
    path = shd(tmp_path / "shd") / "shd_train.h5"
    content, heap = heap_of(path)
    content[heap + 16 : heap + 32] = struct.pack("<HHIQ", index, 1, 0, size)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"shd_train\.h5 is damaged at byte {heap + 16}"):
        load("shd", path=path.parent)


@pytest.mark.parametrize(
    ("length", "shift", "index", "message"),
    [
        (3, 0, 1, r"spikes/times\[0\] is longer than what is stored"),  # the HDF5 library reads what lies behind
        (2, 0, 9, r"spikes/times\[0\] is longer than what is stored"),
        (2, 8, 1, "is damaged at byte"),
        (2, 2**62, 1, "is damaged at byte"),
    ],
)
def test_a_row_that_is_not_there(tmp_path, length, shift, index, message):
    path = shd(tmp_path / "shd") / "shd_train.h5"
    content, heap = heap_of(path)
    reference = content.index(struct.pack("<IQI", 2, heap, 1))
    content[reference : reference + 16] = struct.pack("<IQI", length, heap + shift, index)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"shd_train\.h5.*{message}"):
        load("shd", path=path.parent)


def test_ragged_rows_are_what_was_written(tmp_path):
    rng = np.random.default_rng(0)
    written = [rng.integers(0, 100, i % 2 * rng.integers(0, 2000)) for i in range(300)]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for dtype in ("<f2", ">f8", "<i4", ">u2"):
            rows = file.create_dataset(dtype, (300,), dtype=h5py.vlen_dtype(np.dtype(dtype)), chunks=(64,))
            for i in range(1, 300, 2):
                rows[i] = written[i].astype(dtype)
        file.create_dataset("words", data=["a", "", "\xe4\u4e00"], dtype=h5py.string_dtype())
        file.create_dataset("bytes", data=np.array([b"a", b"", b"bcd"]))
        file.create_dataset("unwritten", (5,), h5py.vlen_dtype(np.float32), chunks=(2,))
    with h5py.File(tmp_path / "a.h5") as file:
        for dtype in ("<f2", ">f8", "<i4", ">u2"):
            ours = hdf5.ragged(file, dtype, "fiu")
            assert all(np.array_equal(row, theirs) for row, theirs in zip(ours, written, strict=True))
            assert all(row.dtype == dtype for row in ours)
        assert hdf5.texts(file, "words") == ("a", "", "\xe4\u4e00") and hdf5.texts(file, "bytes") == ("a", "", "bcd")
        assert [len(row) for row in hdf5.ragged(file, "unwritten", "fiu")] == [0] * 5

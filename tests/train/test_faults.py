"""A few of the faults of faults.py; `python tests/train/faults.py --all` tries every one."""

import errno
import os
import random
import re

import pytest
import torch
from train import faults

from saltation.files import append_line, hold, whole_lines, write_bytes
from saltation.plot import figures


@pytest.fixture
def no_drawing(monkeypatch):
    for name in faults.PICTURES:
        monkeypatch.setattr(figures, name, faults.picture)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", list(faults.SCENARIOS))
def test_nothing_is_lost_whatever_fails(name, no_drawing, tmp_path):
    bench = faults.Bench(faults.SCENARIOS[name], tmp_path)
    cases = bench.cases()
    assert {fault for _, fault in cases} == set(faults.FAULTS) and len(bench.steps) > 90
    chance = random.Random(len(name))
    for fault in faults.FAULTS if name == "run" else chance.sample(faults.FAULTS, 2):
        bench.case(*chance.choice([case for case in cases if case[1] == fault]))
    bench.kills(1, chance)


def test_the_harness_notices_a_loss(no_drawing, tmp_path, monkeypatch):
    bench = faults.Bench(faults.SCENARIOS["run"], tmp_path)
    monkeypatch.setattr("saltation.train.loop.keep_best", lambda *_: None)
    with pytest.raises(AssertionError, match="best.safetensors"):
        bench.case(60, "kill")


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "a"
    write_bytes(file, b"old")
    append_line(tmp_path / "b", "one")

    def full(handle, content, write=os.write):
        write(handle, bytes(content)[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    for work in (lambda: write_bytes(file, b"new content"), lambda: append_line(tmp_path / "b", "two")):
        with pytest.raises(OSError, match="No space left on device: .*[ab]"):
            work()
    monkeypatch.undo()
    assert file.read_bytes() == b"old" and whole_lines(tmp_path / "b") == ["one"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("code", [errno.EIO, errno.EINVAL])
def test_file_systems_without_synced_folders(tmp_path, monkeypatch, code):
    def fails(handle, sync=os.fsync):
        if os.path.isdir(os.readlink(f"/proc/self/fd/{handle}")):
            raise OSError(code, "of the folder")
        sync(handle)

    monkeypatch.setattr("os.fsync", fails)
    if code == errno.EINVAL:
        write_bytes(tmp_path / "a", b"content")
        return
    with pytest.raises(OSError, match=f"of the folder: '{tmp_path}'"):
        write_bytes(tmp_path / "a", b"content")


def test_every_write_is_synced_with_its_folder(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", lambda handle: synced.append(os.readlink(f"/proc/self/fd/{handle}")))
    write_bytes(tmp_path / "a", b"content")
    append_line(tmp_path / "b", "line")
    append_line(tmp_path / "b", "line")
    folder = str(tmp_path)
    assert re.fullmatch(rf"{re.escape(folder)}/a\.[0-9a-f]{{8}}\.partial", synced[0])
    assert synced[1:] == [folder, f"{folder}/b", folder, f"{folder}/b"]


def test_two_may_write_the_same_file_at_once(tmp_path, monkeypatch):
    def meanwhile(handle, sync=os.fsync):
        monkeypatch.undo()
        write_bytes(tmp_path / "a", b"of the other one")
        sync(handle)

    monkeypatch.setattr("os.fsync", meanwhile)
    write_bytes(tmp_path / "a", b"of the last one")
    assert (tmp_path / "a").read_bytes() == b"of the last one"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_who_holds_a_folder_removes_what_killed_writers_left(tmp_path):
    for name in ("a.0123abcd.partial", "a", "film.partial", "a.0123abcd.partial.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "store.89abcdef.partial").mkdir()
    (tmp_path / "store.89abcdef.partial" / "times.npy").write_bytes(b"")
    hold(tmp_path).release()
    left = {path.name for path in tmp_path.iterdir()}
    assert left - {".lock"} == {"a", "film.partial", "a.0123abcd.partial.txt"}


def test_an_unfinished_last_line_is_left_out(tmp_path):
    file = tmp_path / "a"
    assert whole_lines(file) == []
    for content, lines in ((b"", []), (b"ab", []), (b"ab\n", ["ab"]), (b"ab\ncd\xc3", ["ab"]), (b"\n\n", ["", ""])):
        file.write_bytes(content)
        assert whole_lines(file) == lines
    file.write_bytes(b"\xff\n")
    with pytest.raises(ValueError, match="a is damaged"):
        whole_lines(file)

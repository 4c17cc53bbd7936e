"""The cache of compiled kernels: whatever is left of its files, the next start works."""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest

from saltation.kernels import jit

pytestmark = pytest.mark.skipif(bool(os.environ.get("NUMBA_DISABLE_JIT")), reason="nothing is compiled")


def tripled(x):
    """What the tests compile."""
    return 3.0 * x


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A function that compiles, or loads, `tripled` as a new process would: returns whether it came from the cache."""
    monkeypatch.setattr(jit, "CACHE_DIR", tmp_path)

    def start():
        compiled = jit.kernel(tripled)
        assert compiled(2.0) == 6.0
        hits, misses = (sum(counter.values()) for counter in (compiled.stats.cache_hits, compiled.stats.cache_misses))
        assert hits + misses == 1
        return hits == 1

    return start


def files(tmp_path, ending):
    found = [path for path in tmp_path.rglob(f"*{ending}") if path.is_file()]
    assert len(found) == 1
    return found[0]


def test_the_cache_is_one_of_all_kernels_but_not_of_their_twins(tmp_path, monkeypatch):
    monkeypatch.setattr(jit, "__file__", str(tmp_path / "jit.py"))
    folders = []
    for name, text in (("flow.py", "a = 1"), ("reference_flow.py", "b = 1"), ("flow.py", "a = 2"), ("walk.py", "")):
        (tmp_path / name).write_text(text)
        folders.append(jit._cache_dir())
    assert folders[0] == folders[1] and len(set(folders[1:])) == 3


def test_compiled_once(fresh):
    assert [fresh(), fresh(), fresh()] == [False, True, True]


@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
@pytest.mark.parametrize("left", [0.0, 1, 31, 32, 33, 0.5, 0.99, -1])
def test_a_truncated_file_is_made_again(fresh, tmp_path, ending, left):
    fresh()
    path = files(tmp_path, ending)
    content = path.read_bytes()
    path.write_bytes(content[: left if isinstance(left, int) else int(left * len(content))])
    assert [fresh(), fresh()] == [False, True]


@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
def test_a_file_with_lost_blocks_is_made_again(fresh, tmp_path, ending):
    """The right length, but zeros where a block never reached the disk; and single bytes that have turned over."""
    fresh()
    path = files(tmp_path, ending)
    content = path.read_bytes()
    for place in np.linspace(0, len(content) - 1, 9).astype(int):
        damaged = bytearray(content)
        damaged[place] ^= 0x40
        path.write_bytes(damaged)
        assert not fresh()
        path.write_bytes(content[:place] + bytes(len(content) - place))
        assert not fresh()
    assert fresh()


@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
def test_a_missing_file_is_made_again(fresh, tmp_path, ending):
    fresh()
    files(tmp_path, ending).unlink()
    assert [fresh(), fresh()] == [False, True]


def test_two_processes_that_compile_for_other_types_at_once(tmp_path, monkeypatch):
    """Neither has seen the other's index; the data of the first arrive last. What is loaded is of the right types."""
    monkeypatch.setattr(jit, "CACHE_DIR", tmp_path)
    waiting, save = [], jit.CheckedFile._save_data
    with monkeypatch.context() as at_once:
        at_once.setattr(jit.CheckedFile, "_load_index", lambda _: {})
        at_once.setattr(jit.CheckedFile, "_save_data", lambda *data: waiting.append(data))
        for x in (2.0, 2):
            assert jit.kernel(tripled)(x) == 6.0
    for data in reversed(waiting):
        save(*data)
    for x, kind in ((2, numba.int64), (2.0, numba.float64)):
        later = jit.kernel(tripled)
        assert later(x) == 6.0 and later.signatures == [(kind,)]


def test_the_next_start_of_the_package(tmp_path):
    """In new processes, with every file of the cache cut short."""
    script = "from saltation.kernels.flow import phi; print(repr(phi(1.0, 2.0, 3.0)), phi.stats.cache_hits.total())"
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}

    def start():
        run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return run.stdout.split()

    value, hits = start()
    assert hits == "0"
    cached = [path for path in tmp_path.rglob("*.nb?") if path.is_file()]
    assert {path.suffix for path in cached} == {".nbi", ".nbc"}
    for path in cached:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert start() == [value, "0"]
    assert start() == [value, "1"]

"""A small part of the fuzzer, and what it notices. `python -m tests.fuzz` runs all of it."""

import pickle
import socket
import subprocess
import sys

import pytest
import yaml

from fuzz import load_targets
from fuzz.engine import WARM_UP, Target, run_one, run_range, shares, source
from fuzz.guard import Payload, memory_limit

INPUTS, SEED = 2000, 20
SHARES = {target.name: count for target, count in shares(INPUTS, list(load_targets()))}


@pytest.mark.parametrize("name", SHARES)
def test_inputs(name, tmp_path):
    outcome = run_range(load_targets()[name], SEED, range(SHARES[name]), tmp_path)
    assert not outcome.failures, "\n".join(map(str, outcome.failures))
    assert outcome.inputs == SHARES[name]


def test_shares():
    assert sum(target.share for target in load_targets().values()) == 1_000_000
    assert 0.99 * INPUTS < sum(SHARES.values()) < 1.01 * INPUTS


def hang(folder):
    while True:
        pass


def ended(folder):
    raise SystemExit(3)


def refuse(text, kind=ValueError):
    def call(folder):
        raise kind(text)

    return call


HARM = {
    "another error": (refuse("x", KeyError), "KeyError at"),
    "no message": (refuse(" "), "message of 1 characters"),
    "an endless message": (refuse("x" * 2001), "message of 2001 characters"),
    "the process ends": (ended, "SystemExit at"),
    "time": (hang, "Hang at"),
    "memory": (lambda folder: bytearray(2 << 30), "MemoryError at"),
    "a pickle": (lambda folder: pickle.loads(pickle.dumps(Payload())), "Breach at"),
    "a YAML tag": (
        lambda folder: yaml.unsafe_load("!!python/object/apply:fuzz.guard.witness [1]"),
        "Breach at",
    ),
    "a file elsewhere": (lambda folder: (folder.parent / "escaped").write_text("x"), "Breach at"),
    "a folder elsewhere": (lambda folder: (folder.parent / "escaped").mkdir(), "Breach at"),
    "a file taken away": (lambda folder: (folder.parent / "kept").rename(folder / "kept"), "Breach at"),
    "a program": (lambda folder: subprocess.run([sys.executable, "-c", ""]), "Breach at"),
    "the network": (lambda folder: socket.socket().connect_ex(("127.0.0.1", 9)), "Breach at"),
}


@pytest.mark.parametrize("name", HARM)
def test_harm_is_noticed(name, tmp_path):
    call, kind = HARM[name]
    (tmp_path / "kept").touch()

    (tmp_path / "harm").mkdir()
    target = Target("harm", lambda rng, folder: lambda: call(folder), (ValueError,), 1, 0.3)
    with memory_limit():
        how, failure = run_one(target, 0, 0, tmp_path / "harm")
    assert not how and failure.kind.startswith(kind)


def test_what_is_allowed(tmp_path):
    def make(rng, folder):
        def call():
            (folder / "a").mkdir(exist_ok=True)
            (folder / "a" / "b").write_text(str(rng.random()))
            (folder / "a" / "b").rename(folder / "c")
            if rng.random() < 0.5:
                raise ValueError("half of all are refused")

        return call

    outcome = run_range(Target("fine", make, (ValueError,), 1, 1.0), 0, range(50), tmp_path)
    assert not outcome.failures and outcome.accepted + outcome.refused == 50 and 5 < outcome.accepted < 45
    assert not (tmp_path / "fine").exists() and WARM_UP > 0


def test_an_input_can_be_made_again(tmp_path):
    names = {
        "npz": "events.npz",
        "series": "Toy/Toy_TRAIN.ts",
        "heidelberg": "shd/shd_train.h5",
        "config": "recipe.yaml",
    }
    for name, file in names.items():
        (tmp_path / name).mkdir()
        contents = []
        for index in (*range(10), *range(10)):
            load_targets()[name].make(source(name, 3, index), tmp_path / name)
            place = tmp_path / name / file
            contents.append(place.read_bytes() if place.exists() else None)
        assert contents[:10] == contents[10:] and len(set(contents)) > 3

"""Checkpoints: what is written is what is read, and no damage goes unseen."""

import json

import pytest
import torch
from safetensors.torch import save

from saltation.train import checkpoint
from saltation.train.checkpoint import read_checkpoint, write_checkpoint


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.safetensors"
    tensors = {
        "model.w": torch.arange(3.0),
        "model.empty": torch.empty(0, 2),
        "generator": torch.tensor([7], dtype=torch.uint8),
    }
    write_checkpoint(path, tensors, {"epoch": 3, "best_loss": float("inf"), "text": '"sha256":"' + "0" * 64})
    return path


def test_reads_back(file):
    tensors, record = read_checkpoint(file)
    assert record == {"epoch": 3, "best_loss": float("inf"), "text": '"sha256":"' + "0" * 64}
    assert tensors["model.w"].tolist() == [0, 1, 2] and tensors["model.empty"].shape == (0, 2)


def test_a_flipped_bit_anywhere_and_every_cut_is_seen(file):
    content = file.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        file.write_bytes(damaged)
        with pytest.raises(ValueError):
            read_checkpoint(file)
    for length in range(0, len(content), 7):
        file.write_bytes(content[:length])
        with pytest.raises(ValueError):
            read_checkpoint(file)
    file.write_bytes(content + b"\0")
    with pytest.raises(ValueError, match="damaged"):
        read_checkpoint(file)
    file.write_bytes(content)
    read_checkpoint(file)


@pytest.mark.parametrize("version", [checkpoint.FORMAT - 1, checkpoint.FORMAT + 1])
def test_older_and_newer_formats_are_refused(file, monkeypatch, version):
    monkeypatch.setattr(checkpoint, "FORMAT", version)
    write_checkpoint(file, {}, {})
    monkeypatch.undo()
    with pytest.raises(ValueError, match="was written by another version of saltation"):
        read_checkpoint(file)


@pytest.mark.parametrize("record", ["{}", "[]", "3", "null", "{", "[" * 10_000, '{"format": null}', None])
def test_other_files_of_tensors_are_refused(tmp_path, record):
    path = tmp_path / "other.safetensors"
    path.write_bytes(save({"a": torch.ones(1)}, metadata=None if record is None else {"saltation": record}))
    with pytest.raises(ValueError, match="not a checkpoint of saltation|another version"):
        read_checkpoint(path)


def test_a_sum_is_needed(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save({}, metadata={"saltation": json.dumps({"format": checkpoint.FORMAT})}))
    with pytest.raises(ValueError, match="its checksum is wrong"):
        read_checkpoint(path)

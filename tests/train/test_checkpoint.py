"""Checkpoints: what is read back, and what is not."""

import pytest
import torch

from saltation.train import checkpoint


@pytest.mark.parametrize("off", [-1, 1])
def test_another_format_is_refused(tmp_path, monkeypatch, off):
    """Older or newer: nothing is read as if it were of this version."""
    path = tmp_path / "last.safetensors"
    monkeypatch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + off)
    checkpoint.write_checkpoint(path, {"x": torch.arange(3)}, {"epoch": 2})
    tensors, record = checkpoint.read_checkpoint(path)
    assert tensors["x"].tolist() == [0, 1, 2] and record == {"epoch": 2}
    monkeypatch.undo()
    with pytest.raises(ValueError, match="another version of saltation"):
        checkpoint.read_checkpoint(path)

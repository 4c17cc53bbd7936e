"""Checkpoints: one safetensors file of tensors, with a JSON record in its header. No pickle.

Everything lies in one file, written beside its place and renamed, so a checkpoint is either the old or the new one.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

RECORD = "saltation"
FORMAT = 1


def write_checkpoint(path: Path, tensors: dict[str, torch.Tensor], record: dict[str, Any]) -> None:
    """Write named tensors and a JSON-able record, atomically."""
    partial = path.with_name(path.name + ".partial")
    flat = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    partial.write_bytes(save(flat, metadata={RECORD: json.dumps({"format": FORMAT, **record})}))
    os.replace(partial, path)


def read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and record of a checkpoint. Raises FileNotFoundError, or ValueError if it is damaged or not ours."""
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; give the folder of a run that was started with saltation")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or cut short ({error}); use another checkpoint") from error
    if RECORD not in metadata:
        raise ValueError(
            f"{path} is a safetensors file but not a checkpoint of saltation; choose one from a run folder"
        )
    record = json.loads(metadata[RECORD])
    if record.pop("format") != FORMAT:
        raise ValueError(f"{path} was written by another version of saltation; train again with this one")
    return tensors, record


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The state of Adam or AdamW as tensors named `optimizer.<parameter number>.<entry>`."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{index}.{entry}": torch.as_tensor(value)
        for index, entries in state.items()
        for entry, value in entries.items()
    }


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Put back what `optimizer_tensors` took out."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, entry = name.split(".")
            state.setdefault(int(index), {})[entry] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def prefixed(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names with `prefix.` in front."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def unprefixed(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors whose names start with `prefix.`, without it."""
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(prefix + ".")}

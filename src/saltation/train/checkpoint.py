"""Checkpoints: one safetensors file of tensors, with a JSON record in its header. No pickle.

Everything lies in one file, written atomically, so a checkpoint is either the old or the new one. The header also holds
the SHA-256 of the whole file, computed with zeros in its place: no damage goes unseen.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from saltation.files import write_bytes

RECORD, SUM = "saltation", "sha256"
AVERAGE = "average"  # tensors of that name are the state of torch's AveragedModel, whose network is its `module`
FORMAT = 3
ZEROS = "0" * 64
_SUM_IN_HEADER = re.compile(rb'"sha256":"([0-9a-f]{64})"')


def write_checkpoint(path: Path, tensors: dict[str, torch.Tensor], record: dict[str, Any]) -> None:
    """Write named tensors and a JSON-able record, atomically."""
    flat = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    content = save(flat, metadata={RECORD: json.dumps({"format": FORMAT, **record}), SUM: ZEROS})
    write_bytes(path, _with_sum(content, hashlib.sha256(content).hexdigest()))


def read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and record of a checkpoint. Raises FileNotFoundError, or ValueError if it is damaged or not ours."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no checkpoint at {path}; give the folder of a run that was started with saltation")
    content = path.read_bytes()
    try:
        tensors = load(content)
        record = json.loads(json.loads(_header(content))["__metadata__"][RECORD])
        version = record.pop("format")
    except (SafetensorError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged or cut short ({error}); use another checkpoint") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} is a safetensors file but not a checkpoint of saltation; choose one from a run folder"
        ) from error
    if version != FORMAT:
        raise ValueError(f"{path} was written by another version of saltation; train again with this one")
    found = _SUM_IN_HEADER.search(_header(content))
    if found is None or hashlib.sha256(_with_sum(content, ZEROS)).hexdigest() != found[1].decode():
        raise ValueError(f"{path} is damaged (its checksum is wrong); use another checkpoint")
    return tensors, record


def _header(content: bytes) -> bytes:
    return content[8 : 8 + int.from_bytes(content[:8], "little")]


def _with_sum(content: bytes, digest: str) -> bytes:
    """The same file with another sum in its header."""
    header = _header(content)
    return content[:8] + _SUM_IN_HEADER.sub(f'"{SUM}":"{digest}"'.encode(), header, 1) + content[8 + len(header) :]


def load_parameters(
    model: torch.nn.Module, tensors: dict[str, torch.Tensor], path: Path, prefix: str = "model"
) -> None:
    """Put the parameters of the checkpoint at `path` into `model`. Raises ValueError if they do not fit."""
    saved = unprefixed(prefix, tensors)
    wanted = model.state_dict()
    _compare(path, saved, wanted)
    try:
        model.load_state_dict(saved)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"{path} does not fit the network of config.yaml: {error}") from error


def load_answering(model: torch.nn.Module, tensors: dict[str, torch.Tensor], path: Path) -> None:
    """As `load_parameters`, those that answer for the network: their moving average if the checkpoint holds one."""
    averaged = any(name.startswith(f"{AVERAGE}.") for name in tensors)
    load_parameters(model, tensors, path, f"{AVERAGE}.module" if averaged else "model")


def _compare(path: Path, saved: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    """Raise ValueError unless names, shapes and types agree."""
    for name in saved.keys() | wanted.keys():
        here, there = (
            f"{str(values[name].dtype).removeprefix('torch.')} {tuple(values[name].shape)}"
            if name in values else "nothing" for values in (saved, wanted)
        )  # fmt: skip
        # what the tensors mean is compared, and told apart in words, when they are loaded
        if here != there and not name.endswith("_extra_state"):
            raise ValueError(f"{path} does not fit the network of config.yaml: {name} is {here}, needed is {there}")


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The state of Adam or AdamW as tensors named `optimizer.<parameter number>.<entry>`."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{index}.{entry}": torch.as_tensor(value)
        for index, entries in state.items()
        for entry, value in entries.items()
    }


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Put back what `optimizer_tensors` took out. Raises ValueError if it does not fit the parameters."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in unprefixed("optimizer", tensors).items():
        index, _, entry = name.partition(".")
        if not index.isdecimal() or int(index) >= len(parameters):
            raise ValueError(f"{path} holds the state of another optimizer: {name}")
        state.setdefault(int(index), {})[entry] = tensor
    for number, entries in state.items():
        shape = tuple(parameters[number].shape)
        wanted = {"step": (), "exp_avg": shape, "exp_avg_sq": shape}
        if {entry: tuple(value.shape) for entry, value in entries.items()} != wanted:
            raise ValueError(f"{path} holds the state of another optimizer: {sorted(entries)} of parameter {number}")
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def prefixed(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names with `prefix.` in front."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def unprefixed(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors whose names start with `prefix.`, without it."""
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(prefix + ".")}

"""Configurations, checkpoints, run folders and the command line."""

import contextlib
import copy
import io
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import save

import saltation as sal
from saltation import cli
from saltation.data import EventDataset, save_npz
from saltation.train import evaluate_run, evaluate_runs, load_config, train
from saltation.train.checkpoint import read_checkpoint, write_checkpoint
from saltation.train.recipes import parse_overrides, recipe_names, to_yaml

from . import files, mutate
from .engine import target
from .guard import Breach

SECRET = "a-secret-of-the-environment"
os.environ["SALTATION_FUZZ_SECRET"] = SECRET
_WITNESS = f"!!python/object/apply:{__package__}.guard.witness [yaml]"
WORDS = (*mutate.TEXTS, _WITNESS,
         f"!!python/name:{__package__}.guard.witness", "${oc.env:SALTATION_FUZZ_SECRET}", "${seed}",
         "&x [*x]", "!!binary aGk=",
         "!!set {a}", "!!timestamp 2001-01-01", "? [a]", "=", "0o7", "1:30", "\u2028")  # fmt: skip
RECIPE = """name: toy
seed: 1
data:
  name: events
  path: events.npz
  validation_fraction: 0.3
  options: {duration: 1.0}
model:
  layers:
    - {size: 3, delay: axonal, max_delay: 0.3, tau_mem: 0.2, tau_syn: 0.1, train: [threshold]}
    - {neuron: li, tau_mem: 0.2, tau_syn: 0.1, weights: {drive: 2.0}}
loss: {name: readout, window: 0.5}
train:
  epochs: 2
  batch_size: 4
  average: 0.9
  lr: {weight: 0.01, delay: 1e-3}
  betas: [0.9, 0.99]
"""


def _bomb(rng: Random) -> str:
    """Aliases that would grow to 10^9 entries."""
    levels = rng.choice((5, 9, 30))
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "data:\n  options:\n" + "\n".join("    " + line for line in lines) + "\n"


def _use_config(config: Any) -> None:
    text = to_yaml(config)
    assert len(text) < 1_000_000, f"a small recipe became {len(text)} characters"
    if SECRET in text:
        raise Breach("a secret of the environment is in the configuration")


@target(6_000, ValueError, FileNotFoundError)
def config(rng: Random, folder: Path) -> Callable[[], Any]:
    path = folder / "recipe.yaml"
    how = rng.random()
    if how < 0.05:
        text = _bomb(rng)
    elif how < 0.1:
        text = rng.choice(("data: {options: {a: %s}}", "%s", "model: {layers: %s}")) % (
            "[" * rng.choice((3, 90, 3000)) + "]" * rng.choice((3, 90, 3000))
        )
    elif how < 0.5:
        text = mutate.text(rng, RECIPE, WORDS)
    else:
        text = yaml.safe_dump(mutate.tree(rng, yaml.safe_load(RECIPE), _plain), allow_unicode=True)
    content = text.encode("utf-8", "surrogatepass")
    path.write_bytes(mutate.raw(rng, content) if rng.random() < 0.05 else content)
    return lambda: _use_config(load_config(path))


def _plain(rng: Random) -> Any:
    """What YAML can say."""
    things = (None, True, "", "x", "1e-3", "nan", "é", "../../x", [], [1, 2], {}, {"a": 1}, "???", "${seed}")
    return rng.choice((*mutate.NUMBERS, *things, *WORDS[-14:]))


_KEYS = (
    "name", "seed", "threads", "data.name",
    "data.path", "data.options", "data.options.a", "data.options.a.b", "data.duration",
    "model.image", "model.layers", "model.layers.0",
    "model.layers.0.size", "model.layers.1.delay_init", "model.layers.9.size",
    "model.layers.-1.size", "model.layers.0.conv", "model.layers.0.conv.channels", "model.layers.0.recurrent",
    "model.layers.0.recurrent.delay", "model.layers.0.train", "loss", "loss.name", "train.lr", "train.lr.weight",
    "train.betas", "train.betas.0", "train.epochs", "train.counts.weight", "train.epochs.x", "", ".", "..", "train.",
    "train.average", "train.report", "train.refit", "train.starts",
    "train..lr", "[0]", "__class__", "train.lr.weight.real", "é", "data.options.${seed}",
)  # fmt: skip


@target(6_000, ValueError, FileNotFoundError)
def overrides(rng: Random, folder: Path) -> Callable[[], Any]:
    arguments = []
    for _ in range(rng.choice((1, 1, 2, 4))):
        value = rng.choice(WORDS) if rng.random() < 0.4 else yaml.safe_dump(_plain(rng)).strip().removesuffix("\n...")
        key = rng.choice(_KEYS)
        arguments += [f"--{key}={value}"] if rng.random() < 0.3 else [f"--{key}", value]
    if rng.random() < 0.1:
        arguments.insert(rng.randrange(len(arguments)), rng.choice(("--", "-x", "x", "--=", "---a")))
    path = folder / "recipe.yaml"
    path.write_text(RECIPE)
    recipe: Any = path
    if rng.random() < 0.1:
        recipe = rng.choice(
            (*recipe_names(), "yin", "", ".", "a\0b", "x" * 5000, "/", "/dev/null", "../yin_yang", folder)
        )
    return lambda: _use_config(load_config(recipe, parse_overrides(arguments)))


def _model() -> sal.Sequential:
    hidden = sal.Layer(sal.Linear(2, 3, delay="axonal", max_delay=0.3), sal.LIF(3, tau_mem=0.2, tau_syn=0.1))
    return sal.Sequential(hidden, sal.Layer(sal.Linear(3, 2), sal.LI(2, tau_mem=0.2, tau_syn=0.1)))


def _tensors(rng: Random, tensors: dict[str, Any]) -> dict[str, Any]:
    """Some tensors changed, missing, too many or under another name."""
    changed = dict(tensors)
    for _ in range(rng.choice((0, 1, 1, 2))):
        name = rng.choice(list(tensors))
        how = rng.randrange(7)
        old = tensors[name]
        if how == 0:
            changed.pop(name, None)
        elif how == 1:
            changed[rng.choice(("x", "model.x", "optimizer.0.x", "optimizer.x.step", "optimizer", name + ".y", ""))] = (
                old
            )
        elif how == 2:
            changed[name] = old.to(rng.choice((torch.float16, torch.float32, torch.float64, torch.int64, torch.bool)))
        elif how == 3:
            changed[name] = rng.choice(
                (old[None], old.reshape(-1), old.reshape(-1)[:1], torch.empty(0), old.new_zeros(7))
            )
        elif old.dtype.is_floating_point and old.numel():
            changed[name] = old.clone()
            value = torch.tensor(float(mutate.number(rng)), dtype=torch.float64).to(old.dtype)
            changed[name].reshape(-1)[rng.randrange(old.numel())] = value
    return changed


def _record(rng: Random, record: Any) -> Any:
    """The JSON record changed."""
    odd = (None, True, "", "x", [], {}, 0, -1, 1, 10**30, 1e300, "é", {"a": 1}, [[]])
    return mutate.tree(rng, copy.deepcopy(record), lambda rng: rng.choice(odd)) if rng.random() < 0.6 else record


@target(50_000, ValueError, FileNotFoundError)
def checkpoint(rng: Random, folder: Path) -> Callable[[], Any]:
    path = folder / "last.safetensors"
    tensors = {
        "model.a": torch.arange(6.0).reshape(2, 3),
        "model.b": torch.ones(3, dtype=torch.float64),
        "c": torch.tensor(1),
    }
    record = {"epoch": 3, "best": 0.5, "origin": {"config": {"a": 1}}}
    how = rng.random()
    if how < 0.1:
        header = rng.choice(
            (b"{}", b"[]", b"null", b"3", b'{"a":' * 200, b"\xff" * 30, b'{"__metadata__":{"saltation":"{}"}}')
        )
        length = rng.choice((len(header), len(header) + 8, 2**63, 2**64 - 1, 0, 10**9))
        path.write_bytes(struct.pack("<Q", length) + header + bytes(rng.randrange(30)))
    elif how < 0.25:
        note = rng.choice(
            ("{}", "[]", "3", "null", '{"format": 1}', '{"format": 2}', "x", "", "[" * 5000, '{"format": {}}')
        )
        path.write_bytes(save(tensors, metadata={rng.choice(("saltation", "other")): note}))
    else:
        write_checkpoint(path, _tensors(rng, tensors), _record(rng, record) if how < 0.6 else record)
        if how > 0.5:
            path.write_bytes(mutate.raw(rng, path.read_bytes()) if rng.random() < 0.95 else mutate.garbage(rng))
    return lambda: read_checkpoint(path)


@target(30_000, ValueError, TypeError, RuntimeError)
def state_dict(rng: Random, folder: Path) -> Callable[[], Any]:
    model = _model()
    state = _tensors(rng, model.state_dict())
    if rng.random() < 0.2:
        name = rng.choice(list(state) or ["x"])
        state[name] = rng.choice((None, 3, "x", [1.0], np.ones(3), b"x", {}, torch.tensor([1, 0]).to_sparse()))
    strict = rng.random() < 0.8
    return lambda: model.load_state_dict(state, strict=strict)


def _dataset() -> EventDataset:
    rng = np.random.default_rng(0)
    return EventDataset(
        times=np.sort(rng.uniform(0, 0.9, (12, 4)), axis=1).reshape(-1),
        channels=rng.integers(0, 2, 48),
        offsets=np.arange(0, 49, 4),
        labels=np.arange(12) % 2,
        split=np.repeat([0, 1, 2], [6, 3, 3]),
        num_channels=2,
        duration=1.0,
    )


class Enough(Exception):
    """Ends a training after its first epoch."""


def _enough(line: Any) -> None:
    raise Enough


_RUNS: dict[Path, tuple[files.Folder, dict[str, Any]]] = {}


def _run(folder: Path) -> tuple[files.Folder, dict[str, Any]]:
    """A run that was stopped after the first of two epochs, and the tensors and records of its checkpoints."""
    path = folder / "run"
    if path not in _RUNS or not path.exists():
        save_npz(folder / "events.npz", _dataset())
        (folder / "recipe.yaml").write_text(RECIPE.replace("events.npz", str(folder / "events.npz")))
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(Enough):
            train(load_config(folder / "recipe.yaml"), path, quiet=True, on_epoch=_enough)
        names = [file.name for file in path.iterdir() if file.is_file()]
        parsed: dict[str, Any] = {name: read_checkpoint(path / name) for name in names if name.endswith(".safetensors")}
        _RUNS[path] = files.Folder(path, {name: (path / name).read_bytes() for name in names}), parsed
    place, parsed = _RUNS[path]
    shutil.rmtree(path, ignore_errors=True)
    for name, content in place.files.items():
        place._write(name, content)
    return place, parsed


def _damage(rng: Random, place: files.Folder, parsed: dict[str, Any], names: list[str]) -> None:
    name = rng.choice(names)
    how = rng.random()
    if how < 0.1:
        place.change({name: None})
    elif how < 0.3:
        place.change({name: mutate.raw(rng, place.files[name])})
    elif name.endswith(".safetensors"):
        tensors, record = parsed[name]
        record = {key: value for key, value in record.items() if key != "format"}
        changed = _record(rng, record)
        write_checkpoint(place.path / name, _tensors(rng, tensors), changed if isinstance(changed, dict) else record)
    elif name == "config.yaml" and how < 0.6:
        tree = mutate.tree(rng, yaml.safe_load(place.files[name]), _plain)
        place.change({name: yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")})
    else:
        text = mutate.text(rng, place.files[name].decode(), WORDS if name == "config.yaml" else mutate.TEXTS)
        place.change({name: text.encode("utf-8", "surrogatepass")})


@target(1_500, ValueError, OSError, sal.SpikeBudgetError, seconds=20.0)
def run_eval(rng: Random, folder: Path) -> Callable[[], Any]:
    place, parsed = _run(folder)
    _damage(rng, place, parsed, ["config.yaml", "best.safetensors", "best.safetensors"])
    split = rng.choice(("test", "validation", "train"))
    if rng.random() < 0.3:
        return lambda: json.dumps(evaluate_runs([place.path, place.path], split))
    return lambda: json.dumps(evaluate_run(place.path, split))


@target(1_000, ValueError, OSError, sal.SpikeBudgetError, Enough, seconds=20.0)
def run_resume(rng: Random, folder: Path) -> Callable[[], Any]:
    place, parsed = _run(folder)
    _damage(rng, place, parsed, ["config.yaml", "last.safetensors", "last.safetensors", "metrics.jsonl"])

    def call() -> None:
        try:
            train(resume=place.path, quiet=True, on_epoch=_enough)
        except Enough as enough:
            raise Enough("one more epoch was trained") from enough

    return call


def _words(rng: Random, folder: Path) -> list[str]:
    """A command line that does little, or goes wrong early."""
    odd = (
        "",
        "x",
        "--",
        "-h",
        "--version",
        "é",
        "\udcff",
        "a" * 3000,
        "-1",
        "--json",
        "--out",
        "--root",
        "--traceback",
        "nan",
    )
    npz, recipe, out = str(folder / "events.npz"), str(folder / "recipe.yaml"), str(folder / "out" / "x")
    lines = [
        ["data", "info", npz],
        ["data", "info", str(folder / "odd.npz")],
        ["data", "info", str(folder / "odd.npz"), "--split-key", "split"],
        ["data", "convert", out + ".npz", "--events", npz],
        ["data", "convert", out, "--events", str(folder / "odd.npz")],
        ["data", "convert", out + ".npz", "--dense", str(folder / "dense.npz"), "--dt", "0.1"],
        ["data", "convert", out, "--tonic", rng.choice(("SHD", "__name__", "os", "x")), "--root", str(folder)],
        ["data", "list", "--root", str(folder)],
        ["data", "get", rng.choice(("x", "shd", "../x", "yin_yang")), "--root", str(folder)],
        ["eval", str(folder / rng.choice(("run", "nothing", "events.npz"))), "--split", "test", "--json"],
        ["train", recipe, "--out", out, "--train.lr.weight", "-1"],
        ["train", rng.choice(("no_recipe", "", ".", npz, str(folder))), "--out", out],
        ["train", "--resume", rng.choice((str(folder), "x", "", npz))],
        ["train", recipe, f"--{rng.choice(_KEYS)}", rng.choice(WORDS), "--data.path", "nowhere.npz", "--out", out],
        ["tune", recipe, "--search", rng.choice((
         "x", "x=1:2", "train.lr.weight=2:1", "=", "seed=log:0:1", "train.lr.weight=a:b",
         "train.lr.weight=nan:1", "train.epochs=:", "a=:", "train.lr.weight=")), "--trials", "1", "--out", out],
        ["tune", recipe, "--trials", rng.choice(("0", "-3", "x", "1e9")), "--out", out],
        ["bench", "W2", rng.choice(("--threads", "--repeats", "--limit")), rng.choice(("0", "-1", "nan"))],
        ["bench", rng.choice(("W9", "", "x")), "--quick", "--no-peers", "--out", out],
        ["info", "--root", rng.choice((str(folder), "", "nowhere", "\0"))],
    ]  # fmt: skip
    words = rng.choice(lines)
    if rng.random() < 0.6:
        at = rng.randrange(1 if words[0] not in ("warmup", "bench") else len(words), len(words) + 1)
        how = rng.randrange(4)
        if how == 0 and at < len(words) and words[0] != "bench":
            del words[at]
        elif how <= 2:
            words.insert(at, rng.choice(odd))
        elif at < len(words):
            words[at] = rng.choice(odd)
    return words


@target(6_000, ValueError, OSError, sal.SpikeBudgetError, seconds=10.0)
def command_line(rng: Random, folder: Path) -> Callable[[], Any]:
    if not (folder / "events.npz").exists():
        _run(folder)
        save_npz(folder / "events.npz", _dataset())
    fields = {name: getattr(_dataset(), name) for name in ("times", "channels", "offsets", "labels", "split")}
    (folder / "odd.npz").write_bytes(files.changed_npz(rng, fields))
    raster = {"raster": np.ones((2, 3, 2), np.int8), "labels": np.array([0, 1]), "split": np.array([0, 2])}
    (folder / "dense.npz").write_bytes(files.changed_npz(rng, raster))
    shutil.rmtree(folder / "out", ignore_errors=True)
    words = _words(rng, folder)
    (folder / "work").mkdir(exist_ok=True)

    def call() -> None:
        out, err = io.StringIO(), io.StringIO()
        code: Any = None
        before = os.getcwd()
        os.chdir(folder / "work")
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = cli.main(words)
        except SystemExit as end:  # argparse
            code = end.code
        except (ValueError, OSError, sal.SpikeBudgetError) as error:
            assert "--traceback" in words, f"{type(error).__name__}: {error}"
            raise
        finally:
            os.chdir(before)
        text = err.getvalue()
        assert "Traceback" not in text, text[-300:]
        assert code in (0, 2), f"exit code {code}"
        assert (code == 0) or (text.strip() and len(text) < 6000), f"{len(text)} characters of error"
        if SECRET in text or SECRET in out.getvalue():
            raise Breach("a secret of the environment is printed")

    return call

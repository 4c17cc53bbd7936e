"""The recipe as a commented file."""

import math
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from saltation.data.samples import Samples
from saltation.files import make_folder, write_text
from saltation.new.design import Design, first_design, keys
from saltation.new.recording import Recording, look
from saltation.new.scales import Scales, measure
from saltation.new.trial import tried
from saltation.train.config import Config
from saltation.train.recipes import config_of
from saltation.train.run import load_data

SECONDS = 300.0
COMMENTS = {
    "    - size: null": "the number of classes",
    "    - size:": "hidden neurons",
    "      size: null": "the number of classes",
    "      terminals:": "weights and axonal delays for each input and neuron",
    "      max_delay:": "0.4 of the span of a sample",
    "      tau_adapt:": "how long a spike raises the threshold, by jump",
    "      refractory:": "bounds the rate",
    "      train:": "besides weights and delays",
    "      smoothing:": "the gradient also sees spikes that do not exist yet; 0: exact, and twice as fast",
    "      weights: {drive:": "drive: tried, so that no layer is silent; std above 1: weights of both signs",
    "loss:": "window: later values count less; scale: logits of the untrained network are about 1",
    "  epochs:": "as many as fit into the time",
    "  lr:": "weights learn 1.5 % of their size a step",
    "  average:": "of the parameters, over the last hundred steps",
    "  report:": "best: the epoch that validates best; last: where few samples validate",
    "  jitter:": "augmentation, as what follows",
}


def new_recipe(
    file: str | os.PathLike[str], out: str | os.PathLike[str] | None = None, root: str | None = None,
    seconds: float = SECONDS,
) -> tuple[Path, list[str]]:  # fmt: skip
    """Look at a recording and write a recipe that trains at once.

    file  what `look` knows: a file, a folder, or tonic:NAME
    out   the recipe; default: NAME.yaml in the working folder. Events that had to be made lie beside it
    root  of a data set of Tonic
    seconds  of one core that training may take

    Returns its path, and what was found and assumed, line by line. Raises ValueError and FileNotFoundError as `look`
    does, and if the recipe exists; then, and if it is interrupted, it leaves no file behind.
    """
    if not (seconds > 0 and math.isfinite(seconds)):
        raise ValueError(f"seconds is {seconds}; it must be > 0 and finite")
    beside = Path(out).parent if out is not None else Path()
    if out is not None and os.path.exists(out):
        raise ValueError(f"{out} is there already; take it away, or choose another --out")
    recording = look(os.fspath(file), beside, root)
    try:
        return _written(recording, out, seconds)
    except BaseException:
        if recording.made is not None:  # else the next attempt would find it in its way
            with suppress(OSError):
                recording.made.unlink()
        raise


def _written(recording: Recording, out: str | os.PathLike[str] | None, seconds: float) -> tuple[Path, list[str]]:
    """The recipe of a recording that was looked at."""
    recording.name = re.sub(r"[^A-Za-z0-9_.-]+", "_", recording.name)[:60].strip(".") or "recording"
    path = Path(out) if out is not None else Path(f"{recording.name}.yaml")
    if os.path.exists(path):
        raise ValueError(f"{path} is there already; take it away, or choose another with --out")
    scales = measure(recording.samples)
    samples = _as_trained(recording, scales)
    validating = int((samples.split == 1).sum())

    def make(design: Design) -> Config:
        return config_of(keys(recording, scales, design, validating), str(path))

    first = first_design(recording, scales, int((samples.split == 0).sum()))
    design, found = tried(first, make, samples, seconds)
    said = [*_facts(recording, scales, samples), *recording.said, *found]
    make_folder(path.parent)
    write_text(path, _text(keys(recording, scales, design, validating), said))
    return path, said


def _as_trained(recording: Recording, scales: Scales) -> Samples:
    """With the duration and the validation samples that training has."""
    config = config_of(keys(recording, scales, first_design(recording, scales, 1), 0), recording.name)
    return load_data(config.data)


def _facts(recording: Recording, scales: Scales, samples: Samples) -> list[str]:
    counts = [int((samples.split == code).sum()) for code in range(3)]
    lines = [
        f"{recording.samples.source}: {counts[0]} samples train, {counts[1]} validate, {counts[2]} test; "
        f"{samples.num_classes} classes, {scales.channels} of {samples.num_channels} channels with events",
        f"{scales.events:.0f} events a sample; nine of ten last {scales.span:.3g} or less",
    ]
    if not recording.coded:
        lines[-1] += (
            f", and events of one channel follow each other at {scales.interval:.2g}: tau_mem {scales.tau_mem:g}, "
            f"delays up to {scales.max_delay:g}, in the unit of time of the file"
        )
    return lines


def _text(content: dict[str, Any], said: list[str]) -> str:
    """YAML with the findings on top and a remark behind each key that has one."""
    lines = [f"# {line}" for line in ["Written by saltation new. What it found and assumed:", *said]]
    lines += ["# Any key can be changed here or on the command line: --train.epochs 20 --model.layers.0.size 512", ""]
    body = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=1000)
    for line in _indented(body):
        remark = next((text for start, text in COMMENTS.items() if line.startswith(start) and text), None)
        lines.append(f"{line}  # {remark}" if remark else line)
    return "\n".join(lines) + "\n"


def _indented(body: str) -> list[str]:
    """Entries of lists two columns further in than YAML's writer puts them, as in the recipes of the package."""
    result, inside = [], False
    for line in body.splitlines():
        if line.startswith("  layers:"):
            inside = True
        elif inside and line and not line.startswith("  "):
            inside = False
        result.append(f"  {line}" if inside and not line.startswith("  layers:") else line)
    return result

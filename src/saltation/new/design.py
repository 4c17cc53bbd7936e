"""A network and how it is trained, as the keys of a recipe, from what was measured of a recording."""

from dataclasses import dataclass
from typing import Any

from saltation.new.recording import Recording
from saltation.new.scales import Scales, rounded

WIDE = 200  # channels; beyond, an input has fewer terminals
FEW_SAMPLES = 500  # below, the network is smaller


@dataclass
class Design:
    """What the trial may still change: size and terminals for speed, drive for activity; and what it finds out."""

    size: int
    terminals: int
    drive: float
    batch_size: int
    scale: float = 1.0  # of the logits
    rate: float = 0.005  # learning rate of weights
    epochs: int = 3


def first_design(recording: Recording, scales: Scales, training: int) -> Design:
    """Before the trial. training: how many samples there are to train on."""
    size = 128 if training < FEW_SAMPLES else 256
    batch = next(batch for batch in (64, 32, 16, 8) if training >= 30 * batch or batch == 8)
    terminals = 1 if recording.coded else 8 if scales.channels <= WIDE else 2
    return Design(size, terminals, 2.0 if recording.coded else 1.5, batch)


def keys(recording: Recording, scales: Scales, design: Design, validating: int) -> dict[str, Any]:
    """The sections of a recipe. validating: how many samples there are to validate with."""
    coded = recording.coded
    model, duration = (_coded_layers(design), None) if coded else _event_layers(scales, design)
    data = dict(recording.data)
    if recording.steps:  # a series is followed by rest, for delays and the readout
        data["options"] = {**data["options"], "rest": round(scales.max_delay + 2 * scales.readout)}
    elif duration is not None and (data["name"] != "events" or data["path"].lower().endswith(".npz")):  # not a store
        longest = recording.samples.duration
        total = longest + duration
        data["duration"] = rounded(total) if rounded(total) >= longest else total  # never before the last event
    data["validation_fraction"] = 0.1 if len(recording.samples) >= FEW_SAMPLES else 0.2
    window = 4.0 if coded else rounded(scales.span)
    image = list(recording.image) if recording.image is not None else None
    return {
        "name": recording.name,
        "threads": 1,
        "data": data,
        "model": {**({"image": image} if image else {}), "layers": model},
        "loss": {"name": "readout", "readout": "weighted", "window": window, "scale": design.scale},
        "train": _training(recording, scales, design, validating),
    }


def _coded_layers(design: Design) -> list[dict[str, Any]]:
    """Latency codes count time in tau_syn."""
    return [
        {
            "size": design.size,
            "tau_mem": 2.0,
            "tau_syn": 1.0,
            "train": ["threshold"],
            "weights": {"drive": design.drive, "std": 3.0},
        },
        {"neuron": "li", "size": None, "tau_mem": 2.0, "tau_syn": 1.0, "weights": {"mean": 0.0, "std": 0.2}},
    ]


def _event_layers(scales: Scales, design: Design) -> tuple[list[dict[str, Any]], float]:
    """Layers, and for how long after the last event they are simulated."""
    hidden = {
        "size": design.size,
        "terminals": design.terminals,
        "delay": "axonal",
        "max_delay": scales.max_delay,
        "tau_mem": scales.tau_mem,
        "tau_syn": scales.tau_syn,
        "tau_adapt": rounded(4 * scales.tau_mem),
        "jump": 0.2,
        "refractory": rounded(scales.tau_mem / 20),
        "train": ["threshold", "jump"],
        "smoothing": 0.2,
        "weights": {"drive": design.drive, "std": 6.0},
    }
    readout = {
        "neuron": "li",
        "size": None,
        "tau_mem": scales.readout,
        "tau_syn": rounded(scales.tau_syn / 4),
        "weights": {"mean": 0.0, "std": 0.1},
    }
    return [hidden, readout], scales.max_delay + 2 * scales.readout


def _training(recording: Recording, scales: Scales, design: Design, validating: int) -> dict[str, Any]:
    coded = recording.coded
    change = {"jitter": 0.05} if coded else {"jitter": rounded(0.15 * scales.tau_syn), "stretch": 0.05}
    if recording.image is not None and min(recording.image[1:]) >= 20:
        change["shift"] = 1
    return {
        "epochs": design.epochs,
        "batch_size": design.batch_size,
        "lr": {
            "weight": design.rate,
            "readout": 0.01 if coded else 0.02,
            "delay": 0.01,
            "threshold": 0.003 if coded else 0.005,
        },
        "schedule": "cosine",
        "clip_norm": 1.0,
        "average": 0.99,
        "report": "best" if validating >= 200 else "last",
        **change,
        "drop": 0.1,
        "hidden_drop": 0.2,
    }

"""Which experiments there are."""

from importlib import import_module
from typing import cast

from saltation.check import shown
from saltation.experiments.case import Experiment

EXPERIMENTS = {  # name: its module, and what it asks
    "tuning": ("tuning", "which settings suit each gradient, on validation samples"),
    "gradients": ("gradients", "what each gradient says, against what the loss then does"),
    "memory": ("memory", "what a training step keeps and moves, in events and on a grid"),
    "accuracy": ("accuracy", "how well networks answer that were trained by each gradient, at equal processor time"),
    "grid_error": ("grid_error", "how far spike times on a grid are off"),
    "lag": ("lag", "which differences between the times of two channels each gradient learns to tell"),
    "targets": ("targets", "how well a neuron learns to fire at given times"),
    "robustness": ("robustness", "what disturbed input, and devices that deviate, do to networks of each gradient"),
    "noisy_chip": ("noisy_chip", "Yin-Yang on DelGrad's model of noisy hardware, with delays and without"),
}


def find(name: str) -> Experiment:
    """The module of an experiment. Raises ValueError if there is none of this name."""
    if name not in EXPERIMENTS:
        raise ValueError(f"there is no experiment {shown(name)}; choose one of {', '.join(EXPERIMENTS)}, or all")
    return cast(Experiment, import_module(f"saltation.experiments.{EXPERIMENTS[name][0]}"))

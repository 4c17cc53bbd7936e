"""The chip that a recipe trains for: its section `train.hardware`."""

from dataclasses import dataclass
from typing import Any, Literal

import torch

from saltation.check import shown
from saltation.chips import Chip, Mismatch, OnChip, profile, profile_names
from saltation.sequential import Sequential
from saltation.train.ranges import COUNT, NOT_NEGATIVE, POSITIVE, SEED, Range, arguments_of, number


@dataclass
class HardwareConfig:
    """What the parameters may be on a chip (see `saltation.chips.Chip`), and how its circuits deviate (`Mismatch`)."""

    profile: str | None = None  # a chip whose published limits hold where nothing else is said
    time_step: float | None = number(None, POSITIVE)  # of a profile that has one, in the unit of time of the data
    weight_bits: int | None = number(None, Range(2, 32))  # with the sign
    weight_range: float | None = number(None, POSITIVE)  # the largest weight; null: of each connection its largest
    delay_step: float | None = number(None, POSITIVE)
    max_delay: float | None = number(None, NOT_NEGATIVE)
    threshold_bits: int | None = number(None, Range(1, 32))
    fan_in: int | None = number(None, COUNT)  # synapses of a neuron
    threshold_mismatch: float = number(0.0, NOT_NEGATIVE)  # standard deviation of ln(threshold)
    tau_mismatch: float = number(0.0, NOT_NEGATIVE)  # standard deviation of ln(tau)
    weight_noise: float = number(0.0, NOT_NEGATIVE)  # standard deviation of weights, in largest weights
    per: Literal["trial", "device"] = "trial"  # drawn anew for every batch, in training alone; or once, for one device
    device: int = number(0, SEED)  # which one


def chip_of(config: HardwareConfig) -> Chip:
    """The limits. Raises ValueError for an unknown profile, and for a time step that it lacks or does not take."""
    given = {name: value for name, value in arguments_of(Chip, config).items() if value is not None}
    if config.profile is None:
        if config.time_step is not None:
            raise ValueError("train.hardware.time_step goes with a profile; without one set delay_step")
        return Chip(**given)
    if config.profile not in profile_names():
        raise ValueError(
            f"train.hardware.profile is {shown(config.profile)}; choose one of {', '.join(profile_names())}"
        )
    try:
        limits = vars(profile(config.profile).chip(config.time_step))
    except ValueError as error:
        raise ValueError(f"train.hardware: {error}") from error
    return Chip(**{**limits, **given})


def on_hardware(model: Sequential, config: HardwareConfig | None, training: torch.Generator | None = None) -> Any:
    """The network on the chip, with a `run` of its own; the network itself where there is none.

    training  draws the deviations of trials; None: to evaluate, when only those of a device are there
    """
    if config is None:
        return model
    mismatch = Mismatch(config.threshold_mismatch, config.tau_mismatch, config.weight_noise)
    if mismatch.none or (config.per == "trial" and training is None):
        return OnChip(model, chip_of(config))
    device = torch.Generator().manual_seed(config.device)
    return OnChip(model, chip_of(config), mismatch, config.per, training if config.per == "trial" else device)


def quantised(model: Sequential, config: HardwareConfig | None) -> Sequential:
    """The network with the parameters that the chip can hold, without deviations; itself where there is no chip."""
    if config is None:
        return model
    copied: Sequential = OnChip(model, chip_of(config)).as_network()
    return copied

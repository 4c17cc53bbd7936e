"""The published limits of some chips, one file each in profiles/, every figure with its source."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from saltation import check
from saltation.chips.chip import Chip


@dataclass(frozen=True)
class Profile:
    """What is published of a chip.

    name, title: of the file, and as its makers write it. figures: by name, the fields of `Chip` and `max_delay_steps`.
    sources: where each figure is stated. missing: what no public source was found for, so that it is not limited.
    steps: whether the chip counts delays in time steps.
    """

    name: str
    title: str
    figures: dict[str, int]
    sources: dict[str, str]
    missing: str
    steps: bool

    def chip(self, time_step: float | None = None) -> Chip:
        """The limits for networks whose unit of time is that of `time_step`, the chip's time step, > 0.

        Raises ValueError if the chip counts delays in time steps and there is none, or if it has none but one is given.
        """
        figures: dict[str, Any] = dict(self.figures)
        most = figures.pop("max_delay_steps", None)
        check.require(
            self.steps == (time_step is not None),
            f"time_step = {time_step}: {self.title} "
            + ("counts delays in time steps: say how long one is" if self.steps else "has no time steps: leave it out"),
        )
        if time_step is not None:
            figures["delay_step"] = check.finite_number(time_step, "time_step", low=0.0, strict=True)
            if most is not None:
                figures["max_delay"] = most * time_step
        return Chip(**figures)


def profile_names() -> list[str]:
    """The names that `profile` takes."""
    folder = files("saltation.chips") / "profiles"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def profile(name: str) -> Profile:
    """The published limits of a chip: loihi_2, spinnaker_2 or brainscales_2. Raises ValueError for another name.

    Example:
        >>> profile("loihi_2").chip(time_step=1e-3).max_delay
        0.062
    """
    names = profile_names()
    check.require(name in names, f"profile {check.shown(name)}: there are {', '.join(names)}")
    text = (files("saltation.chips") / "profiles" / f"{name}.toml").read_text(encoding="utf-8")
    content = tomllib.loads(text)
    entries = {key: value for key, value in content.items() if isinstance(value, dict)}
    return Profile(
        name,
        content["title"],
        {key: entry["value"] for key, entry in entries.items()},
        {key: entry["source"] for key, entry in entries.items()},
        content["missing"],
        content["steps"],
    )

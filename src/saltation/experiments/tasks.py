"""The data sets of the comparison, the arms on each, and the trials that each arm gets for its settings."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from saltation.experiments.arms import Arm, Gradient, Task
from saltation.train import load_config
from saltation.train.recipes import recipe_digest

MILLISECONDS = (1, 2, 5, 10)  # steps of the grids
SLOPES = (10.0, 5.0, 25.0)  # here and below: the middle first
SMOOTHINGS = (0.2, 0.1, 0.3)
RATES = (1.0, 0.5, 2.0, 0.25, 4.0, 8.0)  # times the recipe's learning rates


@dataclass(frozen=True)
class Setup:
    """A data set with its network. millisecond: in the unit of time of the data; layers: how many spike; epochs: those
    that the same processor time is for each arm; changes: of the recipe.
    """

    recipe: str
    millisecond: float
    layers: int
    epochs: dict[str, int]
    changes: dict[str, Any] = field(default_factory=dict)

    def task(self, name: str, trained: str = "WDT", rate: float = 1.0) -> Task:
        """For an arm of this name. trained: which of weights, delays and thresholds; rate: times the recipe's rates."""
        changes = {**self.changes, "train.epochs": self.epochs[name]}
        rates = load_config(self.recipe).train.lr
        for kind in ("weight", "delay", "threshold", "readout"):
            value = getattr(rates, kind)
            if value is not None:
                changes[f"train.lr.{kind}"] = value * rate
        if "D" not in trained:
            changes["train.lr.delay"] = 0.0
        if "T" not in trained:
            changes |= {f"model.layers.{k}.train": [] for k in range(self.layers)}
        return Task(self.recipe, changes)

    def arm(self, name: str, slope: float = 10.0, smoothing: float = 0.2, epochs: int | None = None) -> Arm:
        """An arm by its name: exact, smoothed, surrogate_5ms, surrogate_5ms_exact; epochs: if not its own."""
        gradient, _, rest = name.partition("_")
        if gradient != "surrogate":
            return Arm("smoothed" if gradient == "smoothed" else "exact", smoothing if gradient == "smoothed" else 0.0)
        step, _, then = rest.partition("ms")
        kind: Gradient = "surrogate_exact" if then else "surrogate"
        before = (epochs or self.epochs[name]) // 2 if then else 0
        return Arm(kind, dt=float(step) * self.millisecond, slope=slope, epochs_before=before)


# One tau_syn of Yin-Yang and of the images is taken for 10 ms; a frame of JapaneseVowels is 6.4 ms. The numbers of
# epochs make, by the seconds of an epoch of each arm when measured one after the other, about 8 CPU seconds of training
# on Yin-Yang, JapaneseVowels and digits, 45 on Braille, 90 on MNIST, 100 on
# Braille with a recurrent layer and 120 on spoken digits.
YIN_YANG = {
    "exact": 40, "smoothed": 36, "surrogate_0.2ms": 26, "surrogate_1ms": 66, "surrogate_2ms": 72, "surrogate_5ms": 88,
    "surrogate_10ms": 100, "surrogate_1ms_exact": 52,
}  # fmt: skip
YIN_YANG_NETWORK = str(Path(__file__).with_name("yin_yang.yaml"))
SETUPS = {
    "yin_yang_30": Setup(YIN_YANG_NETWORK, 0.1, 2, YIN_YANG),
    "yin_yang_5": Setup(YIN_YANG_NETWORK, 0.1, 2, YIN_YANG, {"model.layers.0.size": 5}),
    "braille": Setup(
        "braille", 1e-3, 1,
        {
            "exact": 28, "smoothed": 12, "surrogate_1ms": 21, "surrogate_2ms": 31, "surrogate_5ms": 44,
            "surrogate_10ms": 54, "surrogate_5ms_exact": 34,
        },
        {"model.layers.0.size": 256},  # half as many as in the recipe: more seeds in the same time
    ),
    "braille_recurrent": Setup(
        "braille_recurrent_256", 1e-3, 1, {"exact": 17, "smoothed": 7, "surrogate_5ms": 16, "surrogate_10ms": 27}
    ),
    "japanese_vowels": Setup(
        "japanese_vowels", 1 / 6.4, 1,
        {
            "exact": 60, "smoothed": 22, "surrogate_1ms": 200, "surrogate_5ms": 280, "surrogate_10ms": 280,
            "surrogate_1ms_exact": 94,
        },
    ),
    "digits": Setup(
        "digits", 0.1, 1,
        {"exact": 9, "smoothed": 6, "surrogate_1ms": 50, "surrogate_5ms": 53, "surrogate_1ms_exact": 15},
    ),
    "mnist": Setup("mnist", 0.1, 1, {"exact": 9, "smoothed": 5, "surrogate_1ms": 12, "surrogate_5ms": 15}),
    "spoken_digits": Setup(
        "spoken_digits", 1e-3, 1, {"exact": 12, "smoothed": 5, "surrogate_5ms": 9, "surrogate_10ms": 16}
    ),
}  # fmt: skip


def named(setup: str, arm: str | None = None) -> dict[str, Any]:
    """A data set, and an arm on it, as settings of a case: what has changed since a result was made is then noticed."""
    made = SETUPS[setup]
    said: dict[str, Any] = {"setup": setup, "recipe": recipe_digest(made.recipe), "recipe_changes": made.changes}
    return said if arm is None else {**said, "arm": arm, "epochs": made.epochs[arm]}


def trials(name: str) -> list[dict[str, float]]:
    """Six for every arm, the middle of all first: of its own setting and of learning rates; for the exact gradient,
    which has no setting, of rates alone.
    """
    if name == "exact":
        return [{"rate": rate} for rate in RATES]
    key, values = ("smoothing", SMOOTHINGS) if name == "smoothed" else ("slope", SLOPES)
    which = [(1.0, 0), (0.5, 0), (2.0, 0), (1.0, 1), (1.0, 2), (4.0, 0)]
    return [{"rate": rate, key: values[k]} for rate, k in which]


def words(name: str) -> str:
    """An arm or a data set as it is shown: surrogate_5ms_exact is "surrogate 5 ms, then exact"."""
    return name.replace("_exact", ", then exact").replace("_", " ").replace("ms", " ms")

"""What experiments are made of: cases, the rows that they give, tables and pictures of rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from matplotlib.figure import Figure

Size = Literal["full", "quick", "tiny"]
TRIAL_SEED = 1000


class Case(NamedTuple):
    """One configuration. name: of a file, unique in the experiment; settings: plain values, what `run` is given; seeds:
    how many runs, 0 ... seeds - 1.
    """

    name: str
    settings: dict[str, Any]
    seeds: int = 5


def seed_of(settings: dict[str, Any], seed: int) -> int:
    """Of what a case draws: trials, whose settings say `tune`, draw what no run that is compared draws."""
    return seed + (TRIAL_SEED if settings.get("tune") else 0)


class Row(NamedTuple):
    """What a case gave with one seed."""

    case: str
    seed: int
    settings: dict[str, Any]
    result: dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Words and numbers, as they are shown."""

    header: Sequence[str]
    lines: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """As Markdown has tables."""
        rule = ["---"] * len(self.header)
        return "\n".join("| " + " | ".join(line) + " |" for line in (self.header, rule, *self.lines))


@dataclass(frozen=True)
class Picture:
    """draw: puts rows on an array of Axes of this shape; size: of the figure, in inches."""

    draw: Callable[[Any, list[Row]], None]
    shape: tuple[int, int] = (1, 1)
    size: tuple[float, float] = (7.0, 4.0)

    def figure(self, rows: list[Row]) -> Figure:
        """Of these rows."""
        figure = Figure(figsize=self.size, layout="constrained")
        self.draw(figure.subplots(*self.shape, squeeze=False), rows)
        return figure


class Experiment(Protocol):
    """A module of one experiment; see the package."""

    TABLES: dict[str, Callable[[list[Row]], Table]]
    PICTURES: dict[str, Picture]

    def cases(self, size: Size) -> list[Case]:
        """All configurations."""

    def run(self, settings: dict[str, Any], seed: int) -> dict[str, Any]:
        """One of them, with one seed."""

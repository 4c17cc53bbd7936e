"""What training prints: a progress bar and one line per epoch."""

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

REFRESH_SECONDS = 0.1
HEADER = " epoch     loss  train %    val %  spikes/neuron  silent %  grazing  grad norm"
GHOSTS = "  ghosts/spike  ghost share %"  # of networks with smoothing


class Progress:
    """A bar over epochs, and one line per finished epoch; nothing if quiet. Use as a context manager."""

    def __init__(self, epochs: int, done: int, samples: int, quiet: bool, ghosts: bool = False) -> None:
        self.samples = samples
        self.done = float(done)
        self.quiet = quiet
        self.ghosts = ghosts
        self.refreshed = 0.0
        self.console = Console(quiet=quiet, highlight=False)
        self.bar = Bar(
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=quiet or not self.console.is_terminal,
        )
        self.task = self.bar.add_task("", total=epochs, completed=done)

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def start(self, title: str) -> None:
        """Print the title and the names of the columns."""
        self._print(title)
        self._print(HEADER + (GHOSTS if self.ghosts else ""))

    def batch(self, samples: int) -> None:
        """Move the bar on by a batch."""
        self.done += samples / self.samples
        now = time.monotonic()
        if now - self.refreshed > REFRESH_SECONDS:
            self.refreshed = now
            self.bar.update(self.task, completed=int(self.done))

    def epoch(self, line: dict[str, Any]) -> None:
        """Print the line of a finished epoch."""
        self.done = float(line["epoch"])
        self.bar.update(self.task, completed=line["epoch"])
        self._print(
            f"{line['epoch']:6d} {line['loss']:8.4f} {_percent(line['accuracy']):>8} "
            f"{_percent(line['validation_accuracy']):>8} {line['spikes_per_neuron']:14.3f} "
            f"{100 * line['silent_neurons']:9.1f} {line['grazing']:8d} {line['gradient_norm']:10.3g}"
            + (f"{line['ghosts_per_spike']:14.3f}{_percent(line['ghost_share']):>15}" if self.ghosts else "")
        )

    def say(self, text: str) -> None:
        """Print a remark on the epoch."""
        self._print(f"  note: {text}")

    def _print(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, markup=False)


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.2f}"

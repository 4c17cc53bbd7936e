"""saltation experiment NAME|all [--quick]."""

import argparse
from collections.abc import Callable
from pathlib import Path

from saltation.check import shown


def add_experiment(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command."""
    what = (
        "Run the experiments behind docs/results.md, or go on with them where they were stopped, and make their tables "
        "and figures; see docs/experiments.md."
    )
    parser = add("experiment", _experiment, "the comparisons with surrogate gradients", description=what)
    parser.add_argument("names", nargs="+", metavar="NAME", help="accuracy, memory, gradients, ... or all")
    parser.add_argument("--quick", action="store_true", help="few and small runs, to see that it works: minutes")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="run the cases of these names, such as 'braille-*'",
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side, one thread each (default: 1)")
    parser.add_argument("--tables", action="store_true", help="run nothing: tables and figures of what is there")
    parser.add_argument(
        "--out", metavar="DIR", help="of results (default: experiments/results; with --quick runs/experiments-quick)"
    )


def _experiment(options: argparse.Namespace) -> None:
    from saltation.experiments import experiment
    from saltation.experiments.case import Size
    from saltation.experiments.registry import EXPERIMENTS

    if options.jobs < 1:
        raise ValueError(f"--jobs is {shown(options.jobs)}; it must be at least 1")
    names = list(EXPERIMENTS) if "all" in options.names else options.names
    out = Path(options.out) if options.out else None
    size: Size = "quick" if options.quick else "full"
    for path in experiment(names, size, out, options.only or ["*"], options.jobs, not options.tables):
        print(f"wrote {path}")

"""The command line: saltation new, train, eval, tune, export, report, compare, data, info, warmup, bench, ..."""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from saltation import SpikeBudgetError
from saltation.check import cut
from saltation.cli_data import add_data
from saltation.cli_experiment import add_experiment
from saltation.cli_export import add_export
from saltation.cli_new import add_new
from saltation.environment import started
from saltation.extras import MissingPackageError

_EXAMPLES = """examples:
  saltation new recording.npz                                a first recipe for your own data
  saltation train yin_yang                                   a recipe that comes with the package
  saltation train yin_yang --train.epochs 50 --seed 3        with other settings
  saltation train yin_yang --model.layers.0.size 20          list entries by index
  saltation train braille --data.path braille27_th10.npz     a recording in the generic .npz format
  saltation train --resume runs/yin_yang-20260101-120000     continue after Ctrl-C
  torchrun --nproc-per-node 4 -m saltation train yin_yang    by four processes that share every batch
  saltation tune yin_yang --search train.lr.weight=log:1e-2:1 --trials 30
  saltation eval runs/yin_yang-20260101-120000               test accuracy, with its standard error
  saltation eval runs/a runs/b runs/c                        of each, and of the average of their class probabilities
  saltation export runs/yin_yang-20260101-120000 --to nir    the network for other frameworks and chips
  saltation report runs/yin_yang-20260101-120000             a page about it, to open in a browser
  saltation compare runs/yin_yang-*                          a table and a picture of several runs
  saltation data info spoken_digits                          events per sample, rates, duration
  saltation data plot recording.npz                          rasters of some classes
  saltation warmup                                           compile all kernels now
  saltation bench W2                                         speed, beside the packages that are installed
  saltation experiment all --quick                           what docs/results.md compares, small
  saltation info                                             versions, threads, cache, data sets, recipes
  saltation info yin_yang                                    in which order of work each layer is simulated, and why
"""
LONGEST_MESSAGE = 2000  # characters
INTERRUPTED, USER_ERROR, BROKEN_PIPE = 130, 2, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 2 for an error of the user, 130 after Ctrl-C, 141 for a closed pipe."""
    options, rest = _parser().parse_known_args(arguments, argparse.Namespace(settings=False))
    options.rest = rest
    try:
        if options.rest and not options.settings:
            raise ValueError(f"unknown argument {options.rest[0]}; see saltation {options.command} --help")
        if started()[1] > 1 and options.command != "train":
            raise ValueError(f"saltation {options.command} is one process; torchrun is for saltation train")
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            options.run(options)
        return 0
    except KeyboardInterrupt as interrupt:
        if started()[0] == 0:
            print(f"\n{str(interrupt) or 'stopped before the first checkpoint'}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as head, has gone: nothing to tell, and nobody to tell it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        if options.traceback or not _of_the_user(error):
            raise
        rank, count = started()
        who = f"saltation, process {rank}" if count > 1 else "saltation"
        print(f"{who}: error: {_one_line(str(error)) or type(error).__name__}", file=sys.stderr)
        return USER_ERROR


def _of_the_user(error: Exception) -> bool:
    """Whether it is an error of the input or the machine, whose message helps, and not one of saltation's."""
    if isinstance(error, RuntimeError) and "allocate memory" in str(error):  # torch has no class for it
        return True
    return isinstance(error, ValueError | TypeError | OSError | MemoryError | SpikeBudgetError | MissingPackageError)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    print(f"saltation: warning: {_one_line(str(message))}", file=sys.stderr)


def _one_line(text: str) -> str:
    """One line of bounded length, without characters that could steer a terminal."""
    words = cut(" ".join(text.split()), LONGEST_MESSAGE)
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in words)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--traceback", action="store_true", help="on an error, show where in the code it arose")
    parser = argparse.ArgumentParser(
        prog="saltation",
        description="Train spiking neural networks in continuous time, with exact gradients.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], None], help: str, **rest: Any) -> argparse.ArgumentParser:
        made = commands.add_parser(name, parents=[common], help=help, allow_abbrev=False, **rest)
        made.set_defaults(run=run)
        return made

    for add_command in (add_new, _add_train, _add_tune, _add_eval, add_export, _add_report, _add_compare):
        add_command(add)
    add_data(commands, common)
    for add_command in (_add_info, _add_warmup, _add_bench, add_experiment):
        add_command(add)
    return parser


def _add_train(add: Any) -> None:
    parser = add(
        "train",
        _train,
        "train a recipe",
        description="Train a recipe. Any of its keys can be overridden: --section.key VALUE.",
        usage="saltation train RECIPE [--section.key VALUE ...] [--out DIR]\n       saltation train --resume RUN",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(settings=True)
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="a name (see saltation info) or a YAML file")
    parser.add_argument("--out", metavar="DIR", help="the run folder (default: runs/<name>-<time>)")
    parser.add_argument(
        "--resume", metavar="RUN", help="continue the run in this folder; its settings stay as they are"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--tensorboard", action="store_true", help="also write what TensorBoard shows")


def _train(options: argparse.Namespace) -> None:
    from saltation.train import load_config, train
    from saltation.train.recipes import parse_overrides

    overrides = parse_overrides(options.rest)
    if options.resume is not None:
        if options.recipe or overrides or options.out:
            raise ValueError("--resume continues a run as it was; leave out RECIPE, --out and settings")
        train(resume=options.resume, quiet=options.quiet, tensorboard=options.tensorboard)
        return
    if options.recipe is None:
        raise ValueError("give a RECIPE to train (saltation info lists them) or --resume RUN")
    config = load_config(options.recipe, overrides)
    train(config, out=options.out, quiet=options.quiet, tensorboard=options.tensorboard)


def _add_tune(add: Any) -> None:
    parser = add(
        "tune",
        _tune,
        "search for better settings of a recipe",
        description="Search for settings that validate best; the test samples are never looked at. Further options "
        "--section.key VALUE hold for all trials. The same command continues a search.",
        usage="saltation tune RECIPE [--search KEY=RANGE ...] [--trials N] [--out DIR] [--section.key VALUE ...]",
    )
    parser.set_defaults(settings=True)
    parser.add_argument("recipe", metavar="RECIPE", help="a name (see saltation info) or a YAML file")
    parser.add_argument(
        "--search",
        action="append",
        default=[],
        metavar="KEY=RANGE",
        help="LOW:HIGH, log:LOW:HIGH or A,B,C (default: the learning rates, from a fifth to five times the recipe's)",
    )
    parser.add_argument("--trials", type=int, default=20, help="how many in all, earlier ones included (default: 20)")
    parser.add_argument("--out", metavar="DIR", help="default: runs/tune-<recipe>")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def _tune(options: argparse.Namespace) -> None:
    from saltation.train.recipes import parse_overrides
    from saltation.train.tune import tune

    out = Path(options.out or f"runs/tune-{Path(options.recipe).stem}")
    tune(options.recipe, options.search, options.trials, out, parse_overrides(options.rest), options.quiet)


def _add_eval(add: Any) -> None:
    what = (
        "Evaluate the epoch that a run reports: the one that validated best, or the last one (train.report). Several "
        "runs on the same data: each of them, and the average of their class probabilities."
    )
    parser = add("eval", _eval, "evaluate a run, or the average of several", description=what)
    parser.add_argument("run_folders", nargs="+", metavar="RUN", help="a run folder")
    parser.add_argument("--split", default="test", choices=("train", "validation", "test"), help="default: test")
    parser.add_argument(
        "--dt", type=float, metavar="STEP", help="time step for NeuroBench's figures that are defined by steps"
    )
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")


def _eval(options: argparse.Namespace) -> None:
    from saltation.train import evaluate_run, evaluate_runs
    from saltation.train.result import with_error

    several = len(options.run_folders) > 1
    if several:
        if options.dt is not None:
            raise ValueError("--dt is for the figures of one network; give one run")
        result = evaluate_runs(options.run_folders, options.split)
    else:
        result = evaluate_run(options.run_folders[0], options.split, options.dt)
    if options.json:
        print(json.dumps(result))
        return
    for run in result.get("runs", []):
        print(f"{run['run']}: {options.split} accuracy {with_error(run['accuracy'], run['standard_error'])}")
    accuracy = f"{options.split} accuracy {with_error(result['accuracy'], result['standard_error'])}"
    if several:
        print(f"average of {len(result['runs'])} networks: {accuracy}")
        return
    print(f"{accuracy}, loss {result['loss']:.4f}")
    print(f"spikes per neuron {result['spikes_per_neuron']:.3f}, silent neurons {100 * result['silent_neurons']:.1f} %")
    print(_neurobench(result["neurobench"]))


def _neurobench(found: dict[str, Any]) -> str:
    """One line."""
    operations = found["synaptic_operations"]
    words = [f"synaptic operations {operations['Effective_ACs']:.1f} a sample"]
    if found["dt"] is not None:
        words[0] += f" (dense {operations['Dense']:.1f})"
    if found["activation_sparsity"] is not None:  # there is none without layers that spike
        words.append(f"activation sparsity {found['activation_sparsity']:.4f}")
    words.append(f"connection sparsity {found['connection_sparsity']:.4f}")
    return ", ".join([*words, f"footprint {found['footprint']} bytes"])


def _add_report(add: Any) -> None:
    what = "Write one HTML page about a run, finished or not, that can be opened anywhere, also without a network."
    parser = add("report", _report, "a page about a run, to open in a browser", description=what)
    parser.add_argument("run_folder", metavar="RUN", help="a run folder")
    parser.add_argument("--out", metavar="FILE", help="default: report.html in the run folder")


def _report(options: argparse.Namespace) -> None:
    from saltation.report import report

    path = report(options.run_folder, options.out)
    print(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB")


def _add_compare(add: Any) -> None:
    what = (
        "Show several runs side by side: a table of what they reached and in which settings they differ, and a picture."
    )
    parser = add("compare", _compare, "runs side by side", description=what)
    parser.add_argument("run_folders", nargs="+", metavar="RUN", help="two run folders or more")
    parser.add_argument("--out", default="compare.png", metavar="FILE", help="the picture (default: compare.png)")


def _compare(options: argparse.Namespace) -> None:
    from saltation.report import compare

    table = compare(options.run_folders, options.out)
    from rich.console import Console  # now that it has been asked for

    Console(highlight=False).print(table)
    print(f"wrote {options.out}")


def _add_info(add: Any) -> None:
    what = (
        "Show versions, threads, the cache folder, the data sets found and the recipes; or, of a run or a recipe, in "
        "which order of work each layer is simulated, and why."
    )
    parser = add("info", _info, "versions, threads, cache, data sets, recipes; how a network is run", description=what)
    parser.add_argument("of", nargs="?", metavar="RUN|RECIPE", help="a run folder, a name or a YAML file")
    parser.add_argument("--root", metavar="DIR", help="data root (default: the environment variable SALTATION_DATA)")


def _info(options: argparse.Namespace) -> None:
    if options.of is None:
        _info_here(options)
        return
    from saltation.train.orders import orders_of_work

    print("\n".join(orders_of_work(options.of, options.root)))


def _info_here(options: argparse.Namespace) -> None:
    from saltation.data import available, data_root
    from saltation.environment import PACKAGES, environment
    from saltation.kernels.jit import CACHE_DIR
    from saltation.train.recipes import recipe_names

    here = environment()
    for name in ("saltation", "python", "threads"):
        print(f"{name:<13} {here[name]}")
    print(f"packages      {', '.join(f'{name} {here[name]}' for name in PACKAGES)}")
    print(f"kernel cache  {CACHE_DIR}")
    print(f"data root     {data_root(options.root) or 'not set (environment variable SALTATION_DATA)'}")
    print("data sets")
    for name, where in available(options.root).items():
        print(f"  {name:<11} {where}")
    print(f"recipes       {', '.join(recipe_names())}")


def _add_warmup(add: Any) -> None:
    what = "Compile all kernels into the cache, so that no later run has to wait."
    add("warmup", _warmup, "compile all kernels", description=what)


def _warmup(options: argparse.Namespace) -> None:
    from saltation.warmup import warmup

    print(f"all kernels are compiled, {warmup():.0f} s")


def _add_bench(add: Any) -> None:
    what = "Measure speed and memory, side by side with the packages that are installed (see benchmarks/)."
    parser = add("bench", _bench, "measure speed and memory", description=what)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="W1 to W5 (default: all)")
    parser.add_argument("--threads", type=int, default=1, help="default: 1")
    parser.add_argument("--repeats", type=int, default=7, help="timed runs of each package (default: 7)")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds that a point of W5 may take (default: 120)")
    parser.add_argument("--out", default="benchmarks/results", metavar="DIR", help="default: benchmarks/results")
    parser.add_argument("--no-peers", action="store_true", help="saltation alone")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it works")


def _bench(options: argparse.Namespace) -> None:
    from saltation.bench import run

    for name in ("threads", "repeats", "limit"):
        if not getattr(options, name) > 0:
            raise ValueError(f"--{name} is {getattr(options, name)}; it must be > 0")
    peers = not options.no_peers
    run(options.workloads, options.threads, options.repeats, Path(options.out), peers, options.quick, options.limit)


if __name__ == "__main__":
    sys.exit(main())

"""The baseline: recipes on a time grid with surrogate gradients.

    python experiments/surrogate.py braille --dt 0.005 --seeds 0 1 2 --slope 10
    python experiments/surrogate.py braille --set train.epochs=10 --then 4 --then-set model.layers.0.smoothing=0.1
    python experiments/surrogate.py braille --timing --dt 0.001 0.005 0.01

The network of the recipe, its start, samples, random changes, loss, optimiser and schedule are the recipe's own; only
what simulates and differentiates it is another (saltation.experiments.grid). Every run is also evaluated in continuous
time, by the exact network with its parameters. It goes on where it was stopped. Results go to
experiments/results/surrogate_RECIPE_dtDT_slopeSLOPE.json (with --tag: ..._TAG), runs to runs/surrogate/.

With --then, the exact network is trained for so many more epochs, from the parameters of the epoch that the recipe
reports (train.report), with fresh optimiser and schedule, and the changes of --then-set. Names then end in _thenEPOCHS
and these changes; several of these continue one run on the grid.

Results of --timing, one training step of the twin and of the exact network side by side, go to
surrogate_timing_RECIPE.json. One thread a run. Data root: SALTATION_DATA, or --set data.root=FOLDER.
"""

import argparse
import re
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from runner import per_cent, write


class Job(NamedTuple):
    """One run: of which recipe with which changes, `Settings` of the grid, and where it goes under runs/."""

    recipe: str
    changes: dict[str, Any]
    settings: dict[str, Any]
    place: str
    test: bool
    then: dict[str, Any] | None = None  # further changes, with which the exact network goes on
    then_name: str = ""


def train_one(job: Job) -> dict[str, Any]:
    """One run, in a process of its own."""
    import torch

    from saltation.experiments.grid.pack import Settings
    from saltation.experiments.grid.then import train_on
    from saltation.experiments.grid.train import train_twin
    from saltation.train import load_config
    from saltation.train.run import RunFolder

    torch.set_num_threads(1)
    config, out = load_config(job.recipe, job.changes), Path("runs") / job.place
    further = None if job.then is None else load_config(job.recipe, {**job.changes, **job.then})
    result = train_twin(config, Settings(**job.settings), out, job.test)
    if further is not None:
        place = out.with_name(out.name + job.then_name)
        result["then"] = train_on(RunFolder(out), config.train.report, further, place, job.test)
        print(f"{place.name}: {result['then']}", flush=True)
    return result


def summary(results: list[dict[str, Any]], test: bool) -> dict[str, Any]:
    """Means and standard deviations over the seeds, per cent."""
    table: dict[str, Any] = {}
    names = ("validation", "test") if test else ("validation",)
    for which in ("best", "last"):
        for name in names:
            for how in ("grid", "continuous"):
                each = [{how: result[f"{which}_{name}"][how]} for result in results]
                table[f"{which}_{name}_{how}"] = per_cent(each, how)
    table["cpu_seconds_per_epoch"] = median_seconds(results)
    if "then" in results[0]:
        after = [result["then"] for result in results]
        for name in [name for name in names if after[0][f"{name}_accuracy"] is not None]:  # refitted: no validation
            table[f"then_{name}"] = per_cent(after, f"{name}_accuracy")
        table["then_cpu_seconds_per_epoch"] = median_seconds(after)
    return table


def median_seconds(results: list[dict[str, Any]]) -> float:
    """Of an epoch."""
    return round(float(np.median([result["cpu_seconds_per_epoch"] for result in results])), 2)


def named(changes: dict[str, Any]) -> str:
    """Changes as part of a file name: the last words of their keys, and their values."""
    parts = [f"_{key.rpartition('.')[2]}{value}" for key, value in changes.items()]
    return re.sub(r"[^\w.+-]", "", "".join(parts))


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--dt", type=float, nargs="+", default=[0.005], help="steps, in the recipe's unit of time")
    parser.add_argument("--slope", type=float, default=10.0, help="of the surrogate 1 / (1 + slope |V - theta|)^2")
    parser.add_argument("--through-reset", action="store_true", help="let the gradient flow through the reset of V")
    parser.add_argument(
        "--gaussian", type=float, metavar="SIGMA", help="steps: share arrivals of the input out, as DCLS"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--no-test", action="store_true", help="leave the test samples alone")
    parser.add_argument("--timing", action="store_true", help="time one training step instead")
    parser.add_argument("--tag", default="", help="added to the names of results and runs")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override, as in train")
    parser.add_argument("--then", type=int, metavar="EPOCHS", help="train the exact network from there")
    parser.add_argument(
        "--then-set", action="append", default=[], metavar="KEY=VALUE", help="override for these epochs"
    )
    return parser


def main() -> None:
    """Command line."""
    arguments = parser().parse_args()
    from saltation.train.recipes import parse_overrides

    changes, further = (
        parse_overrides([f"--{item}" for item in items]) for items in (arguments.set, arguments.then_set)
    )
    then = None if arguments.then is None else {**further, "train.epochs": arguments.then}
    then_name = "" if then is None else f"_then{arguments.then}{named(further)}"
    if further and then is None:
        raise SystemExit("--then-set changes what --then EPOCHS trains: give both")
    recipe, tag = Path(arguments.recipe).stem, f"_{arguments.tag}" if arguments.tag else ""
    if arguments.timing:
        from saltation.experiments.grid.timing import timing

        write(f"surrogate_timing_{recipe}{tag}", timing(arguments.recipe, changes, arguments.dt))
        return
    test = not arguments.no_test
    for dt in arguments.dt:
        settings = {
            "dt": dt,
            "slope": arguments.slope,
            "detach": not arguments.through_reset,
            "sigma": arguments.gaussian,
        }
        name = f"{recipe}_dt{dt:g}_slope{arguments.slope:g}" + ("_reset" if arguments.through_reset else "")
        name += tag if arguments.gaussian is None else f"_gaussian{arguments.gaussian:g}{tag}"
        jobs = []
        for seed in arguments.seeds:
            own, place = {**changes, "seed": seed, "threads": 1}, f"surrogate/{name}-{seed}"
            jobs.append(Job(arguments.recipe, own, settings, place, test, then, then_name))
        with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
            results = list(pool.map(train_one, jobs))
        shown = summary(results, test)
        overrides = {key: value for key, value in changes.items() if key != "data.root"}
        after = {} if then is None else {"then": then}
        content = {"recipe": arguments.recipe, "overrides": overrides, **settings, **after, **shown, "runs": results}
        write(f"surrogate_{name}{then_name}", content)
        print(f"{name}{then_name}: {shown}", flush=True)


if __name__ == "__main__":
    main()

"""The baseline: recipes on a time grid with surrogate gradients.

    python experiments/surrogate.py braille --dt 0.005 --seeds 0 1 2 --slope 10
    python experiments/surrogate.py braille --timing --dt 0.001 0.005 0.01

The network of the recipe, its start, samples, random changes, loss, optimiser and schedule are the recipe's own; only
what simulates and differentiates it is another (experiments/grid). Every run is also evaluated in continuous time, by
the exact network with its parameters. It goes on where it was stopped. Results go to
experiments/results/surrogate_RECIPE_dtDT_slopeSLOPE.json (with --tag: ..._TAG), runs to runs/surrogate/; those of
--timing, one training step of the twin and of the exact network side by side, to surrogate_timing_RECIPE.json. One
thread a run. Data root: SALTATION_DATA, or --set data.root=FOLDER.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from runner import write


class Job(NamedTuple):
    """One run: of which recipe with which changes, `Settings` of the grid, and where it goes under runs/."""

    recipe: str
    changes: dict[str, Any]
    settings: dict[str, Any]
    place: str
    test: bool


def train_one(job: Job) -> dict[str, Any]:
    """One run, in a process of its own."""
    import torch
    from grid.pack import Settings
    from grid.train import train_twin

    from saltation.train import load_config

    torch.set_num_threads(1)
    return train_twin(
        load_config(job.recipe, job.changes), Settings(**job.settings), Path("runs") / job.place, job.test
    )


def summary(results: list[dict[str, Any]], test: bool) -> dict[str, Any]:
    """Means and standard deviations over the seeds, per cent."""
    table: dict[str, Any] = {}
    for which in ("best", "last"):
        for name in ("validation", "test") if test else ("validation",):
            for how in ("grid", "continuous"):
                values = 100 * np.array([result[f"{which}_{name}"][how] for result in results])
                spread = round(float(values.std(ddof=1)), 2) if len(values) > 1 else None
                table[f"{which}_{name}_{how}"] = {"mean": round(float(values.mean()), 2), "std": spread}
    table["cpu_seconds_per_epoch"] = round(float(np.median([r["cpu_seconds_per_epoch"] for r in results])), 2)
    return table


def main() -> None:
    """Command line."""
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
    arguments = parser.parse_args()
    from saltation.train.recipes import parse_overrides

    changes = parse_overrides([f"--{item}" for item in arguments.set])
    tag = f"_{arguments.tag}" if arguments.tag else ""
    if arguments.timing:
        from grid.timing import timing

        write(f"surrogate_timing_{arguments.recipe}{tag}", timing(arguments.recipe, changes, arguments.dt))
        return
    test = not arguments.no_test
    for dt in arguments.dt:
        settings = {
            "dt": dt,
            "slope": arguments.slope,
            "detach": not arguments.through_reset,
            "sigma": arguments.gaussian,
        }
        name = f"{arguments.recipe}_dt{dt:g}_slope{arguments.slope:g}" + ("_reset" if arguments.through_reset else "")
        name += tag if arguments.gaussian is None else f"_gaussian{arguments.gaussian:g}{tag}"
        jobs = [
            Job(arguments.recipe, {**changes, "seed": seed, "threads": 1}, settings, f"surrogate/{name}-{seed}", test)
            for seed in arguments.seeds
        ]
        with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
            results = list(pool.map(train_one, jobs))
        shown = summary(results, test)
        overrides = {key: value for key, value in changes.items() if key != "data.root"}
        content = {"recipe": arguments.recipe, "overrides": overrides, **settings, **shown, "runs": results}
        write(f"surrogate_{name}", content)
        print(f"{name}: {shown}", flush=True)


if __name__ == "__main__":
    main()

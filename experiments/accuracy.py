"""Train recipes over several seeds and write mean and standard deviation of the test accuracy.

    python experiments/accuracy.py yin_yang_synaptic yin_yang --seeds 5 --jobs 2
    python experiments/accuracy.py spoken_digits --seeds 1 --leave-out speaker=0,1,2,3,4,5

Every run keeps the epoch that validates best; the test set is looked at once per run, at its end. One thread a run.
With --leave-out every group, such as a speaker, is tested in turn by networks that never heard it; the next one in the
list validates. Results go to experiments/results/RECIPE.json, or RECIPE_KEY.json with groups, runs to runs/accuracy/.
Data root: SALTATION_DATA.
"""

import argparse
import json
import os
import platform
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from saltation.train.recipes import parse_overrides

RESULTS = Path(__file__).parent / "results"


def run(recipe: str, seed: int, overrides: dict[str, Any]) -> dict:
    """One training run."""
    from saltation.train import load_config, train

    options = overrides.get("data.options", {})
    group = {"test_group": options["test_group"]} if "group_key" in options else {}
    name = "-".join(str(part) for part in (recipe, *group.values(), seed))
    out = Path("runs/accuracy") / name
    shutil.rmtree(out, ignore_errors=True)
    result = train(load_config(recipe, {**overrides, "seed": seed, "threads": 1}), out=out, quiet=True) | group
    print(f"{name}: {100 * result['test_accuracy']:.2f} % in {result['seconds']:.0f} s", flush=True)
    return result


def folds(leave_out: str | None) -> tuple[str, list[dict[str, Any]]]:
    """From KEY=A,B,...: KEY, and the overrides of every fold. Without: no key, and one fold that changes nothing."""
    if leave_out is None:
        return "", [{}]
    key, _, values = leave_out.partition("=")
    groups = [int(value) for value in values.split(",")]
    return key, [
        {"data.options": {"group_key": key, "test_group": group, "validation_group": groups[(k + 1) % len(groups)]}}
        for k, group in enumerate(groups)
    ]


def summarise(recipe: str, results: list[dict], overrides: dict[str, Any], key: str) -> None:
    """Write and print one recipe's summary."""
    test = np.array([100 * result["test_accuracy"] for result in results])
    seconds = [result["seconds"] for result in results]
    kept = ("seed", *(["test_group"] if key else []), "test_accuracy", "validation_accuracy", "best_epoch", "seconds")
    summary = {
        "recipe": recipe,
        "overrides": overrides,
        **({"left_out": key} if key else {}),
        "test_mean": round(float(test.mean()), 2),
        "test_std": round(float(test.std(ddof=1)), 2) if len(test) > 1 else None,
        "parameters": results[0]["parameters"],
        "data": results[0]["data"].replace(os.environ.get("SALTATION_DATA", "\0"), "$SALTATION_DATA"),
        "median_seconds": round(float(np.median(seconds)), 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread a run, runs side by side",
        "runs": [{key: result[key] for key in kept} for result in results],
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{'_'.join([recipe, key] if key else [recipe])}.json").write_text(json.dumps(summary, indent=2) + "\n")
    spread = "" if summary["test_std"] is None else f" +- {summary['test_std']:.2f}"
    print(f"{recipe}: {summary['test_mean']:.2f}{spread} % over {len(test)} runs", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--leave-out", metavar="KEY=A,B,...", help="test one group at a time")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override, as in train")
    arguments = parser.parse_args()
    overrides = parse_overrides([f"--{item}" for item in arguments.set])
    key, changes = folds(arguments.leave_out)
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        futures = {
            recipe: [
                pool.submit(run, recipe, seed, {**overrides, **change})
                for change in changes
                for seed in range(arguments.seeds)
            ]
            for recipe in arguments.recipes
        }
        for recipe, runs in futures.items():
            summarise(recipe, [future.result() for future in runs], overrides, key)


if __name__ == "__main__":
    main()

"""Train recipes over several seeds and write mean and standard deviation of the test accuracy.

    python experiments/accuracy.py yin_yang_synaptic yin_yang --seeds 5 --jobs 2
    python experiments/accuracy.py spoken_digits --seeds 1 --leave-out speaker=0,1,2,3,4,5

Every run reports the epoch that validates best, or the last one (train.report); the test set is looked at once per run,
at its end. One thread a run.
With --leave-out every group, such as a speaker, is tested in turn by networks that never heard it; the next one in the
list validates. Results go to experiments/results/RECIPE.json, or RECIPE_KEY.json with groups, or with --tag
RECIPE_TAG.json; runs to runs/accuracy/.
Data root: SALTATION_DATA.
"""

import argparse
import os
from itertools import islice
from typing import Any

import numpy as np
from runner import Run, per_cent, train_all, words, write

from saltation.train.recipes import parse_overrides


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


def group(changes: dict[str, Any]) -> dict[str, int]:
    """The group that is tested, if there is one."""
    options = changes.get("data.options", {})
    return {"test_group": options["test_group"]} if "test_group" in options else {}


def place(recipe: str, changes: dict[str, Any], tag: str, seed: int) -> str:
    """Where a run goes, under runs/."""
    parts = [recipe, *([tag] if tag else []), *(str(value) for value in group(changes).values()), str(seed)]
    return "accuracy/" + "-".join(parts)


def summarise(recipe: str, results: list[dict], overrides: dict[str, Any], key: str, tag: str) -> None:
    """Write and print one recipe's summary."""
    test = per_cent(results, "test_accuracy")
    kept = ["seed", *(["test_group"] if key else []), "test_accuracy", "test_standard_error", "validation_accuracy"]
    kept += ["reported_epoch", "seconds"]
    summary = {
        "recipe": recipe,
        "overrides": overrides,
        **({"left_out": key} if key else {}),
        "test_mean": test["mean"],
        "test_std": test["std"],
        "parameters": results[0]["parameters"],
        "data": results[0]["data"].replace(os.environ.get("SALTATION_DATA", "\0"), "$SALTATION_DATA"),
        "median_seconds": round(float(np.median([result["seconds"] for result in results])), 1),
        "runs": [{key: result[key] for key in kept} for result in results],
    }
    write("_".join(part for part in (recipe, key, tag) if part), summary)
    print(f"{recipe}: {words(test, 2)} % over {len(results)} runs", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--leave-out", metavar="KEY=A,B,...", help="test one group at a time")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override, as in train")
    parser.add_argument("--tag", default="", help="part of the names of results and runs, for those with --set")
    arguments = parser.parse_args()
    overrides = parse_overrides([f"--{item}" for item in arguments.set])
    key, changes = folds(arguments.leave_out)
    runs = [
        Run(recipe, seed, {**overrides, **change}, place(recipe, change, arguments.tag, seed))
        for recipe in arguments.recipes
        for change in changes
        for seed in range(arguments.seeds)
    ]
    done = zip(runs, train_all(runs, arguments.jobs), strict=True)
    for recipe in arguments.recipes:
        own = islice(done, len(changes) * arguments.seeds)
        summarise(recipe, [result | group(run.changes) for run, result in own], overrides, key, arguments.tag)


if __name__ == "__main__":
    main()

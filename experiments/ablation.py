"""What each ingredient of a recipe brings: it is trained once without each, all else equal.

    python experiments/ablation.py spoken_digits --epochs 15 --seeds 1 --jobs 2
    python experiments/ablation.py braille --seeds 5 --set model.layers.0.size=256 --only "no smoothing" "no delays"

Accuracy on the validation samples, at the epoch that the recipe reports; the test samples are left alone. What a recipe
does not have is not left out of it. Results go to experiments/results/ablation_RECIPE.json. Data root: SALTATION_DATA.
"""

import argparse
from itertools import islice
from typing import Any

from runner import Run, per_cent, train_all, words, write

from saltation.train import load_config
from saltation.train.recipes import parse_overrides

LAYER = "model.layers.0"
PLAIN = {"jitter": 0, "drop": 0, "stretch": 0, "shift": 0, "blend": 0}
CHANGES: dict[str, dict[str, Any]] = {
    "no smoothing": {f"{LAYER}.smoothing": 0.0},
    "no recurrence": {f"{LAYER}.recurrent": None},
    "one terminal": {f"{LAYER}.terminals": 1},
    "no delays": {f"{LAYER}.terminals": 1, f"{LAYER}.delay": "none"},
    "delays not trained": {"train.lr.delay": 0.0},
    "no adaptation, thresholds not trained": {f"{LAYER}.jump": 0.0, f"{LAYER}.train": []},
    "no augmentation": {f"train.{name}": value for name, value in PLAIN.items()},
    "no hidden_drop": {"train.hidden_drop": 0.0},
    "weights mostly of one sign": {f"{LAYER}.weights.std": 1.5},
    "time constants trained as well": {f"{LAYER}.train": ["threshold", "jump", "tau_mem", "tau_syn"]},
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override, as in train")
    parser.add_argument("--only", nargs="+", metavar="ROW", choices=list(CHANGES), help="these, and all of it")
    arguments = parser.parse_args()
    base = {**parse_overrides([f"--{item}" for item in arguments.set]), "train.epochs": arguments.epochs}
    whole = load_config(arguments.recipe, base)
    rows = {"all of it": base}
    for name in arguments.only or CHANGES:
        rates = {"train.lr.tau": 1e-4} if "tau_mem" in CHANGES[name].get(f"{LAYER}.train", []) else {}
        settings = {**base, **CHANGES[name], **rates}
        if load_config(arguments.recipe, settings) != whole:  # else the recipe has none of it
            rows[name] = settings
    runs = [
        Run(arguments.recipe, seed, rows[name], f"ablation/{arguments.recipe}-{name.replace(' ', '_')}-{seed}", False)
        for name in rows
        for seed in range(arguments.seeds)
    ]
    done = train_all(runs, arguments.jobs)
    table: dict[str, list[float]] = {}
    for name in rows:
        results = list(islice(done, arguments.seeds))
        table[name] = [round(100 * result["validation_accuracy"], 2) for result in results]
        print(f"| {name} | {words(per_cent(results, 'validation_accuracy'), 1)} |", flush=True)
        summary = {"recipe": arguments.recipe, "changes": base, "validation_accuracy": table}
        write(f"ablation_{arguments.recipe}", summary)


if __name__ == "__main__":
    main()

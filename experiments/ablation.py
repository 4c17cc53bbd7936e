"""What each ingredient of a recipe brings: it is trained once without each, all else equal.

    python experiments/ablation.py spoken_digits --epochs 15 --seeds 1 --jobs 2

Accuracy on the validation samples, at the best epoch; the test samples are left alone. Results go to
experiments/results/ablation_RECIPE.json. Data root: SALTATION_DATA.
"""

import argparse
from itertools import islice

from runner import Run, per_cent, train_all, write

from saltation.train import load_config

LAYER = "model.layers.0"
PLAIN = {"jitter": 0, "drop": 0, "stretch": 0, "shift": 0, "blend": 0}
CHANGES = {
    "all of it": {},
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
    arguments = parser.parse_args()
    layer = load_config(arguments.recipe).model.layers[0]
    seeds = range(arguments.seeds)
    runs: dict[str, list[Run]] = {}
    for name, changes in CHANGES.items():
        if name == "no recurrence" and getattr(layer, "recurrent", None) is None:
            continue
        rates = {"train.lr.tau": 1e-4} if "tau_mem" in changes.get(f"{LAYER}.train", []) else {}
        settings = {"train.epochs": arguments.epochs, **changes, **rates}
        place = f"ablation/{arguments.recipe}-{name.replace(' ', '_')}"
        runs[name] = [Run(arguments.recipe, seed, settings, f"{place}-{seed}", test=False) for seed in seeds]
    done = train_all([run for name in runs for run in runs[name]], arguments.jobs)
    table: dict[str, list[float]] = {}
    for name in runs:
        results = list(islice(done, arguments.seeds))
        table[name] = [round(100 * result["validation_accuracy"], 2) for result in results]
        print(f"| {name} | {per_cent(results, 'validation_accuracy')['mean']:.1f} |", flush=True)
        summary = {"recipe": arguments.recipe, "epochs": arguments.epochs, "validation_accuracy": table}
        write(f"ablation_{arguments.recipe}", summary)


if __name__ == "__main__":
    main()

"""What each ingredient of a recipe brings: it is trained once without each, all else equal.

    python experiments/ablation.py spoken_digits --epochs 15 --seeds 1

Accuracy on the validation samples, at the best epoch; the test samples are left alone. Results go to
experiments/results/ablation_RECIPE.json. Data root: SALTATION_DATA.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from saltation.train import load_config, train

RESULTS = Path(__file__).parent / "results"
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


def validation_accuracy(recipe: str, epochs: int, seed: int, changes: dict) -> float:
    """In per cent, at the best epoch of one run."""
    rates = {"train.lr.tau": 1e-4} if "tau_mem" in changes.get(f"{LAYER}.train", []) else {}
    common = {"train.epochs": epochs, "seed": seed, "threads": 1}
    with tempfile.TemporaryDirectory() as folder:
        config = load_config(recipe, {**common, **changes, **rates})
        result = train(config, out=Path(folder) / "run", quiet=True, test=False)
    return 100 * result["validation_accuracy"]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    layer = load_config(arguments.recipe).model.layers[0]
    table: dict[str, list[float]] = {}
    for name, changes in CHANGES.items():
        if layer.recurrent is None and name == "no recurrence":
            continue
        accuracies = [
            validation_accuracy(arguments.recipe, arguments.epochs, seed, changes) for seed in range(arguments.seeds)
        ]
        table[name] = [round(accuracy, 2) for accuracy in accuracies]
        print(f"| {name} | {np.mean(accuracies):.1f} |", flush=True)
        summary = {"recipe": arguments.recipe, "epochs": arguments.epochs, "validation_accuracy": table}
        (RESULTS / f"ablation_{arguments.recipe}.json").write_text(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main()

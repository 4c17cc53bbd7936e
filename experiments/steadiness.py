"""Is training steady? Accuracy, silent outputs, grazing spikes and gradient norm over all seeds of a recipe.

python experiments/accuracy.py yin_yang --seeds 5          # first: the runs
python experiments/steadiness.py yin_yang                  # then: docs/images/yin_yang_steadiness.png
"""

import json
import sys
from pathlib import Path

from matplotlib.figure import Figure

PANELS = {
    "validation_accuracy": "validation accuracy",
    "silent_outputs": "silent outputs (fraction)",
    "grazing": "grazing spikes per epoch",
    "gradient_norm_max": "largest gradient norm",
}


def main(recipe: str) -> None:
    """Draw the four curves, one line a seed, and print the largest drop of the validation accuracy."""
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True).ravel()
    for folder in sorted(Path("runs/accuracy").glob(f"{recipe}-[0-9]*")):
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for axis, (key, label) in zip(axes, PANELS.items(), strict=True):
            axis.plot([line["epoch"] for line in lines], [line[key] for line in lines], lw=0.9, label=folder.name)
            axis.set_title(label, fontsize=10)
        accuracy = [line["validation_accuracy"] for line in lines]
        half = accuracy[len(accuracy) // 4 :]
        print(f"{folder.name}: final {accuracy[-1]:.3f}, lowest after the first quarter {min(half):.3f}")
    axes[0].set_ylim(0.6, 1.0)
    for axis in axes[2:]:
        axis.set_xlabel("epoch")
    figure.suptitle(f"{recipe}: every seed")
    figure.savefig(f"docs/images/{recipe}_steadiness.png", dpi=110)


if __name__ == "__main__":
    main(sys.argv[1])

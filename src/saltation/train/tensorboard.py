"""Training as TensorBoard shows it: an optional package writes what metrics.jsonl says, and histograms."""

from collections.abc import Sequence
from typing import Any

from saltation.extras import need
from saltation.parameters import parameters
from saltation.sequential import Sequential
from saltation.train.run import RunFolder

TAGS = {
    "loss": "loss/training",
    "validation_loss": "loss/validation",
    "accuracy": "accuracy/training",
    "validation_accuracy": "accuracy/validation",
    "spikes_per_neuron": "spikes per neuron/all layers",
    "spikes_by_layer": "spikes per neuron/layer",
    "silent_neurons": "silence/neurons",
    "silent_by_layer": "silence/neurons of layer",
    "silent_outputs": "silence/output spikes",
    "gradient_norm": "gradient norm/mean",
    "gradient_norm_max": "gradient norm/largest",
}  # all other figures go by their names


def check_tensorboard() -> None:
    """Raise MissingPackageError if the package is not there, saying how to get it."""
    need("tensorboard", "--tensorboard", "; metrics.jsonl and saltation report have the same figures without it")


class Board:
    """Writes the epochs of a run into its folder `tensorboard`; use as a context manager.

    history: the epochs that are behind it, which are written if there is no such folder yet. What a crash left of later
    ones is taken back.
    """

    def __init__(self, run: RunFolder, history: Sequence[dict[str, Any]]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = run.path / "tensorboard"
        known = folder.exists()
        self.writer = SummaryWriter(str(folder), purge_step=len(history) + 1)
        if not known:
            self.writer.add_text("configuration", f"```yaml\n{run.config.read_text(encoding='utf-8')}```")
            for line in history:
                self._figures(line)

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, *_: Any) -> None:
        self.writer.close()

    def epoch(self, line: dict[str, Any], model: Sequential) -> None:
        """Write the metrics of an epoch, and histograms of weights, delays and what is trained of neurons."""
        self._figures(line)
        for place, found in parameters(model).items():
            values = {"weights": found.weights, **found.neurons}
            if found.delays is not None:
                values["delays"] = found.delays.values
            for name, array in values.items():
                self.writer.add_histogram(f"{name}/{place}", array, line["epoch"])
        self.writer.flush()

    def _figures(self, line: dict[str, Any]) -> None:
        for key, value in line.items():
            tag = TAGS.get(key, f"others/{key}")
            numbered = (
                {f"{tag} {k}": entry for k, entry in enumerate(value)} if isinstance(value, list) else {tag: value}
            )
            for name, number in numbered.items():
                if key != "epoch" and isinstance(number, int | float):
                    self.writer.add_scalar(name, number, line["epoch"])

"""What a finished run reports: result.json, pictures, the last lines."""

import json
from typing import Any

from saltation.data.registry import time_unit
from saltation.extras import missing
from saltation.files import write_text
from saltation.train.checkpoint import load_answering, unprefixed
from saltation.train.evaluate import evaluate
from saltation.train.hardware import on_hardware, quantised
from saltation.train.run import RunFolder
from saltation.train.state import State
from saltation.train.training import Training


def finish(training: Training, state: State, run: RunFolder, history: list[dict[str, Any]]) -> dict[str, Any]:
    """Test the parameters of the epoch that `train.report` names, write result.json, and pictures with matplotlib."""
    config, dataset = training.config, training.dataset
    reported = run.checkpoint(config.train.report)
    tensors, _ = state.origin.read(reported)
    load_answering(state.model, tensors, reported)
    test_data = dataset.subset("test")
    chip = config.train.hardware
    test: dict[str, Any] = {}
    if len(test_data):
        test = evaluate(on_hardware(state.model, chip), training.objective, test_data, config.train.batch_size)
    epoch = state.best_epoch if config.train.report == "best" else state.epoch
    result = {
        "name": config.name,
        "seed": config.seed,
        "data": dataset.source,
        "parameters": sum(p.numel() for p in state.model.parameters() if p.requires_grad),
        "epochs": state.epoch,
        "best_epoch": None if config.train.refit else state.best_epoch,
        "report": config.train.report,
        "reported_epoch": epoch,
        "validation_accuracy": history[epoch - 1]["validation_accuracy"],
        **{f"test_{key}": value for key, value in test.items()},
        "seconds": state.seconds,
        "start": state.start,
        "run": str(run.path),
    }
    result.setdefault("test_accuracy", None)
    if not run.writes:
        return result
    write_text(run.result, json.dumps(result, indent=2) + "\n")
    if not missing("plots"):
        from saltation import plot

        initial, _ = state.origin.read(run.checkpoint("initial"))
        examples = test_data if len(test_data) else dataset.subset("train")
        before, unit, shown = unprefixed("model", initial), time_unit(config.data.name), quantised(state.model, chip)
        plot.run_pictures(run.path, shown, before, history, examples, test.get("confusion"), unit)
    if not training.quiet:
        print(summary(result))
    return result


def summary(result: dict[str, Any]) -> str:
    """The last lines of a run."""
    reached = "no test samples"
    if result["test_accuracy"] is not None:
        reached = f"test accuracy {with_error(result['test_accuracy'], result['test_standard_error'])}"
    which, validation = "the last", result["validation_accuracy"]
    if validation is None:
        which += "; trained on the validation samples too"
    elif result["report"] == "best":
        which = f"best validation accuracy, {100 * validation:.2f} %"
    else:
        which += f"; validation accuracy {100 * validation:.2f} %"
    lacking = missing("plots")
    where = f"results and pictures are in {result['run']}; all on one page: saltation report {result['run']}"
    if lacking:
        where = f"results are in {result['run']}; pictures need {lacking[0]}: pip install 'saltation[plots]'"
    return (
        f"{reached} at epoch {result['reported_epoch']} ({which}); "
        f"{result['parameters']} parameters, {result['seconds']:.0f} s\n{where}"
    )


def with_error(accuracy: float, error: float) -> str:
    """An accuracy with its standard error, in words."""
    return f"{100 * accuracy:.2f} % (standard error {100 * error:.2f})"

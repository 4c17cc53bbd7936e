"""The run folder of a network that has not trained yet: at its recipe's start, or where training on a grid has led."""

from pathlib import Path

from saltation.data.samples import Samples
from saltation.train.checkpoint import load_answering, read_checkpoint
from saltation.train.config import Config
from saltation.train.optim import make_average
from saltation.train.run import Origin, RunFolder, new_run
from saltation.train.state import State, begin, new_state


def begin_run(config: Config, dataset: Samples, out: Path, start: Path | None = None) -> tuple[RunFolder, State]:
    """A new run in the folder `out`. start: a checkpoint of the same network, whose parameters it begins with.

    Raises ValueError if they are of another network.
    """
    state = new_state(config, dataset.subset("train"), Origin.of(config, dataset))
    if start is not None:
        tensors, record = read_checkpoint(start)
        _check_same_network(record["origin"]["config"], state.origin.config)
        load_answering(state.model, tensors, start)
        state.average = make_average(state.model, config.train)
    run, lock = new_run(config, out)
    try:
        begin(run, state, config.train.refit)
    finally:
        lock.release()
    return run, state


def _check_same_network(saved: dict, wanted: dict) -> None:
    for key in sorted(saved.keys() | wanted.keys()):
        if key.startswith("model.") and not key.endswith(".smoothing") and saved.get(key) != wanted.get(key):
            raise ValueError(
                f"{key} is {wanted.get(key)}, but the parameters were trained with {saved.get(key)}; of the network "
                "only model.layers.N.smoothing may change"
            )

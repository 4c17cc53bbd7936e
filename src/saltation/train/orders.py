"""In which order of work the kernels simulate each layer of a run or a recipe."""

import os
from typing import Any

import torch

from saltation.layer import Layer
from saltation.spikes import Spikes
from saltation.train.objective import Objective
from saltation.train.recipes import load_config
from saltation.train.run import Origin, load_data, load_run
from saltation.train.state import new_state


def orders_of_work(of: str | os.PathLike[str], root: str | None = None) -> list[str]:
    """One line a layer, and one above: what `Layer.plan` says for the first batch of training samples.

    of  a run folder, with the parameters it reports; or what `load_config` takes, with those that training begins with
    root  of the data sets of a recipe
    Raises what `load_config`, `load_data` and `load_run` raise.
    """
    if os.path.isdir(of):
        if root is not None:
            raise ValueError(f"{of} is a run, which knows its data: leave out --root")
        model, config, dataset = load_run(of)
        train_data = dataset.subset("train")
    else:
        config = load_config(of, {} if root is None else {"data.root": root})
        dataset = load_data(config.data, config.train.refit)
        train_data = dataset.subset("train")
        model = new_state(config, train_data, Origin.of(config, dataset)).model
    order = torch.Generator().manual_seed(config.seed)
    batch, labels = next(iter(train_data.batches(config.train.batch_size, order)))
    peak = Objective(config).needs_peak
    lines = [f"{config.name}: orders of work for a batch of {len(labels)} training samples"]

    def told(layer: Any, inputs: Spikes) -> Any:
        k = len(lines) - 1
        if isinstance(layer, Layer):
            what, how = f"{layer.out_size} {type(layer.neuron).__name__}", layer.plan(inputs, peak)
        else:
            what, how = type(layer).__name__, "not simulated: spikes are passed on"
        lines.append(f"  layer {k}  {what:<12} {how}")
        return layer(inputs)

    with torch.no_grad():
        model.walk(batch, told)
    return lines

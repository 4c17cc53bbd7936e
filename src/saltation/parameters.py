"""What is trained in a network, as arrays: for pictures, reports and logs."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from .connections import Connection
from .layer import Layer
from .sequential import Sequential

AT_BOUND = 0.01  # a delay is at a bound if it is nearer to it than this fraction of its legal range


@dataclass(frozen=True)
class Delays:
    """The delays of a connection; those of connections in parallel together.

    values: in the unit of time. low, high: the smallest and largest that are legal. at_low, at_high: the fraction that
    lies within 1 % of the legal range of the smallest, and of the largest, legal delay.
    """

    values: np.ndarray
    low: float
    high: float
    at_low: float
    at_high: float


@dataclass(frozen=True)
class Parameters:
    """Of one place of a network: weights and delays (None without) of a connection, and by name what is trained of the
    neurons behind it (empty for a recurrent connection).
    """

    weights: np.ndarray
    delays: Delays | None
    neurons: dict[str, np.ndarray]


@torch.no_grad()
def parameters(model: Sequential, state: Mapping[str, torch.Tensor] | None = None) -> dict[str, Parameters]:
    """By place: "layer 0" and so on, counted as in recipes, without pools; and "layer 0, recurrent".

    state: a state_dict of this network whose parameters are wanted instead; the network is left as it is.
    """
    if state is None:
        return _parameters(model)
    current = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(dict(state))
    try:
        return _parameters(model)
    finally:
        model.load_state_dict(current)


def _parameters(model: Sequential) -> dict[str, Parameters]:
    result = {}
    for k, layer in enumerate(layers(model)):
        trained = {name: _array(getattr(layer.neuron, name)) for name in layer.neuron.train_names}
        result[f"layer {k}"] = _of_connection(layer.connection, trained)
        if layer.recurrent is not None:
            result[f"layer {k}, recurrent"] = _of_connection(layer.recurrent, {})
    return result


def layers(model: Sequential) -> list[Layer]:
    """The layers of a network, without pools: number k is model.layers.k of a recipe."""
    return [layer for layer in model if isinstance(layer, Layer)]


def _of_connection(connection: Connection, neurons: dict[str, np.ndarray]) -> Parameters:
    parts = connection.parts()
    weights = np.concatenate([_array(part.weight) for part in parts])
    delayed = [part for part in parts if part.delay is not None]
    return Parameters(weights, _delays(delayed) if delayed else None, neurons)


def _delays(parts: list[Connection]) -> Delays:
    values = [_array(part.delays()) for part in parts]
    spans = [
        (value - part.min_delay) / (part.max_delay - part.min_delay) for value, part in zip(values, parts, strict=True)
    ]
    share = np.concatenate(spans)
    return Delays(
        np.concatenate(values),
        min(part.min_delay for part in parts),
        max(part.max_delay for part in parts),
        float(np.mean(share < AT_BOUND)),
        float(np.mean(share > 1.0 - AT_BOUND)),
    )


def _array(values: torch.Tensor) -> np.ndarray:
    return values.detach().double().flatten().numpy().copy()

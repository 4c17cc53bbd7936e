"""Initial weights and delays. Without a generator torch's global one draws."""

import torch

from . import check
from .connections import Connection
from .layer import Layer
from .spikes import Spikes


def _parts(where: Layer | Connection) -> list[Connection]:
    return (where.connection if isinstance(where, Layer) else where).parts()


def normal_(where: Layer | Connection, mean: float, std: float, generator: torch.Generator | None = None) -> None:
    """weight ~ N(mean, std); std >= 0. Of a connection, such as `layer.recurrent`, or of the one that feeds a layer."""
    mean = check.finite_number(mean, "mean")
    std = check.finite_number(std, "std", low=0.0)
    check.generator(generator)
    with torch.no_grad():
        for connection in _parts(where):
            weight = connection.own("weight")
            weight.copy_(torch.randn(weight.shape, generator=generator, dtype=weight.dtype) * std + mean)


def uniform_delays_(
    where: Layer | Connection, low: float, high: float, generator: torch.Generator | None = None
) -> None:
    """delays ~ U(low, high), within the connection's [min_delay, max_delay]; of what, see `normal_`."""
    low, high = check.finite_number(low, "low"), check.finite_number(high, "high")
    check.require(low <= high, f"delays from {low} to {high}: low must not exceed high")
    check.generator(generator)
    connections = _parts(where)
    if len(connections) > 1:  # of a `Beside`, those that have delays
        connections = [connection for connection in connections if connection.delay is not None]
    for connection in connections:
        fraction = torch.rand(connection.delays().shape, generator=generator, dtype=torch.float64)
        connection.set_delays((low + (high - low) * fraction).clamp(low, high))  # rounding may lead beyond high


def drive_(
    layer: Layer, spikes: Spikes, generator: torch.Generator | None = None, drive: float = 1.5, std: float = 1.0
) -> None:
    """Weights that make a layer fire from the start for the given input.

    Draws weight ~ N(1, std) and scales all by one factor, so that the free membrane potential (if there were no
    spikes) peaks on average over samples and neurons at `drive` times the mean threshold; 1 for LI neurons.

    Args:
        layer: changed in place.
        spikes: a batch of typical input.
        generator: draws the weights.
        drive: > 0; 1.2 to 2 works.
        std: spread of the weights relative to their mean, >= 0.

    Raises:
        ValueError: if the input has no spikes that could drive the layer.
    """
    drive = check.finite_number(drive, "drive", low=0.0, strict=True)
    normal_(layer, 1.0, std, generator)
    with torch.no_grad():
        peak = layer.free_peak(spikes).clamp(min=0.0).mean() if spikes.num_samples else torch.tensor(0.0)
        check.require(bool(peak > 0.0), f"{spikes} cannot drive the layer: give a batch of typical, non-silent input")
        threshold = layer.neuron.columns()["threshold"].double().mean()
        for connection in layer.connection.parts():
            connection.own("weight").mul_(drive * (threshold if threshold > 0 else 1.0) / peak)

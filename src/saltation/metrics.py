"""Metrics under the names of NeuroBench (Yik et al., Nature Communications 16, 2025; neurobench.readthedocs.io)."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from . import check
from .connections import Connection
from .layer import Layer
from .readout import Readout
from .sequential import Sequential
from .spikes import Spikes, number_of_steps, step_of
from .wired import Beside, Parallel, Sparse

MOST_STEPS = 1e9


@torch.no_grad()
def neurobench(network: Sequential | Layer, data: Any, dt: float | None = None) -> dict[str, Any]:
    """What a network costs and how active it is, as NeuroBench defines it.

    Args:
        network: is run on the data.
        data: `Spikes`; or several batches, of Spikes or of (Spikes, labels), as `dataset.batches` makes them.
        dt: > 0, the time step for what is defined by steps, activation_sparsity and Dense; in continuous time there is
            none, and without it they are None.

    Returns:
        A dictionary.

        * footprint: bytes of all parameters and buffers.
        * parameter_count: numbers in all parameters.
        * connection_sparsity: share of the weights that are 0; synapses that a `Sparse` leaves out are 0.
        * activation_sparsity: share of all (neuron, time step) pairs, over all spiking layers and samples, without
          spike.
        * synaptic_operations: of a sample, on average. Effective_ACs: for every spike, the synapses it is sent to whose
          weight is not 0, recurrent ones too; delays do not matter. Effective_MACs: 0, since spikes have no size.
          Dense: all synapses in every time step, those of weight 0 and of a `Sparse` that has none too.
        * dt: the same.

    Pooling costs nothing, as there. Raises ValueError if there are no samples.

    Example:
        >>> from saltation import LIF, Linear
        >>> layer = Layer(Linear(2, 3), LIF(3, tau_mem=2.0, tau_syn=1.0, threshold=1e6))
        >>> spikes = Spikes.from_lists([[(0.0, 0), (0.5, 1)]], num_units=2, duration=1.0)
        >>> neurobench(layer, spikes, dt=0.5)["synaptic_operations"]
        {'Effective_MACs': 0.0, 'Effective_ACs': 6.0, 'Dense': 12.0}
    """
    workload = Workload(network, dt)
    for batch in _batches(data):
        spikes = batch if isinstance(batch, Spikes) else batch[0]
        workload.add(spikes, workload.network.run(spikes))
    return workload.summary()


class Workload:
    """Counts what goes on in a network, batch by batch; see `neurobench`."""

    def __init__(self, network: Sequential | Layer, dt: float | None = None) -> None:
        self.network = Sequential(network) if isinstance(network, Layer) else network
        self.dt = None if dt is None else check.finite_number(dt, "dt", low=0.0, strict=True)
        self.samples = 0
        self.operations = 0  # accumulates
        self.dense = 0
        self.active = 0  # (neuron, step) pairs with a spike, and all of them
        self.pairs = 0
        self._layers = [_Fan(layer) for layer in self.network if isinstance(layer, Layer)]

    def add(self, spikes: Spikes, results: list[Any]) -> None:
        """Add a batch: the input of the network, and what `Sequential.run` has returned for it."""
        found = iter(zip(self._layers, results, strict=True))
        self.samples += spikes.num_samples
        steps = 0
        if self.dt is not None:
            check.require(
                spikes.duration / self.dt <= MOST_STEPS,
                f"dt = {self.dt:g}: too short for samples of {spikes.duration:g}, use a larger one",
            )
            steps = number_of_steps(spikes.duration, self.dt)

        def step(module: Any, inputs: Spikes) -> Any:
            if not isinstance(module, Layer):
                return module(inputs)
            fan, result = next(found)
            self.operations += int(fan.effective[inputs.units].sum())
            self.dense += fan.dense * steps * inputs.num_samples
            if isinstance(result, Readout):
                return result
            sent = result.spikes
            if fan.feedback is not None:
                self.operations += int(fan.feedback[sent.units].sum())
            if self.dt is not None:
                number = step_of(sent.times.detach(), self.dt).clamp(0, steps - 1)
                self.active += len((sent.train_index() * steps + number).unique())
                self.pairs += sent.num_samples * sent.num_units * steps
            return sent

        self.network.walk(spikes, step)

    def summary(self) -> dict[str, Any]:
        """What `neurobench` returns."""
        check.require(self.samples > 0, "there are no samples to measure on: give at least one")
        parameters, buffers = list(self.network.parameters()), list(self.network.buffers())
        in_steps = self.dt is not None
        return {
            "footprint": sum(tensor.numel() * tensor.element_size() for tensor in parameters + buffers),
            "parameter_count": sum(parameter.numel() for parameter in parameters),
            "connection_sparsity": _connection_sparsity(self.network),
            "activation_sparsity": 1.0 - self.active / self.pairs if self.pairs else None,
            "synaptic_operations": {
                "Effective_MACs": 0.0,
                "Effective_ACs": self.operations / self.samples,
                "Dense": self.dense / self.samples if in_steps else None,
            },
            "dt": self.dt,
        }


class _Fan:
    """Of a layer: how many synapses with a weight a spike of each input meets, of each neuron's own spike (None without
    feedback), and how many synapses there are in all.
    """

    def __init__(self, layer: Layer) -> None:
        self.effective, every = fan_out(layer.connection)
        self.dense = int(every.sum())
        self.feedback: Tensor | None = None
        if layer.recurrent is not None:
            effective, every = fan_out(layer.recurrent)
            places = layer.out_size // layer.recurrent.in_size  # that share their neurons, channel by channel
            self.feedback = effective.repeat_interleave(places)
            self.dense += places * int(every.sum())


def fan_out(connection: Connection) -> tuple[Tensor, Tensor]:
    """(in_size,) int64 twice: of each input, the synapses whose weight is not 0, and all."""
    if isinstance(connection, Beside):
        parts = [fan_out(part) for part in connection.connections]  # type: ignore[arg-type]
        together = torch.stack if isinstance(connection, Parallel) else torch.cat
        found = [together(list(side)) for side in zip(*parts, strict=True)]
        effective, every = (side.sum(0) for side in found) if isinstance(connection, Parallel) else found
        return effective, every
    connection()  # hooks of torch renew the weights
    there = connection.synapses()[0] != 0
    everything = torch.full((connection.in_size,), connection.out_size)
    if connection.wiring is None:
        return there.sum(0), everything
    source = torch.from_numpy(connection.wiring.source)
    effective = torch.bincount(source[there], minlength=connection.in_size)
    if isinstance(connection, Sparse):
        return effective, everything
    return effective, torch.bincount(source, minlength=connection.in_size)


def _connection_sparsity(network: Sequential) -> float:
    zeros = weights = 0
    for layer in network:
        connections = [layer.connection, layer.recurrent] if isinstance(layer, Layer) else []
        for connection in connections:
            for part in connection.parts() if connection is not None else []:
                size = part.in_size * part.out_size if isinstance(part, Sparse) else part.weight.numel()
                zeros += size - int((part.weight != 0).sum())
                weights += size
    return zeros / weights


def _batches(data: Any) -> Iterable[Any]:
    return [data] if isinstance(data, Spikes) else data

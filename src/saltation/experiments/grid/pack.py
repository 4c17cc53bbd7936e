"""From the layers of a network to what the kernels take: one `Stage` for each layer, whose tensors carry gradients."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from saltation import LI, LIF, Layer, Sequential
from saltation.connections import Connection
from saltation.kernels.flow import phi
from saltation.wired import Parallel


@dataclass(frozen=True)
class Settings:
    """How the network is simulated and differentiated.

    dt: length of a step, in the unit of the spike times. slope: of the surrogate 1 / (1 + slope |V - theta|)^2.
    dtype: of the kernels.
    """

    dt: float
    slope: float = 10.0
    dtype: type = np.float32


class Source(NamedTuple):
    """Where the spikes of a layer come from: the stage, -1 for the input; the row of the weights for each unit."""

    stage: int
    rows: np.ndarray


class Packed(NamedTuple):
    """The tensors of a stage, which carry gradients, or arrays of their values. Rows are sources; delays in steps.

    weights (M, N); delays (M,), or (M, N) where targets differ; neurons (3, N): threshold, jump and what is added to V
    at a reset; recurrent ones likewise, or None.
    """

    weights: Any
    delays: Any
    neurons: Any
    recurrent_weights: Any
    recurrent_delays: Any


class Stage:
    """A layer, and where its spikes come from."""

    def __init__(self, layer: Layer, sources: list[Source], settings: Settings):
        self.layer, self.sources, self.settings = layer, sources, settings
        connection, neuron = layer.connection, layer.neuron
        kind = type(neuron).__name__
        if not isinstance(neuron, LIF | LI):
            raise ValueError(f"{kind} neurons have no twin on a grid: choose a recipe of LIF neurons")
        if any(name.startswith("tau") for name in neuron.train_names):
            raise ValueError("trained time constants have no twin on a grid: take them out of train")
        self.copies = len(connection.connections) if isinstance(connection, Parallel) else 1
        self.stride = connection.in_size
        self.size, self.spiking = layer.out_size, neuron.spiking
        self.subtract = getattr(neuron, "reset", "") == "subtract"
        dt, dtype = settings.dt, settings.dtype
        tau_mem, tau_syn, tau_adapt, refractory = (
            _shared(neuron, name) for name in ("tau_mem", "tau_syn", "tau_adapt", "refractory")
        )
        flow = math.exp(-dt / tau_mem), phi(dt, tau_mem, tau_syn), math.exp(-dt / tau_syn), math.exp(-dt / tau_adapt)
        self.dynamics: Any = np.array([*flow, float(self.subtract), settings.slope], dtype)
        hold = refractory if math.isinf(refractory) else round(refractory / dt)
        self.hold = dtype(hold) if hold > 0 else None
        self.tau_mem, self.tau_syn = tau_mem, tau_syn
        self.delayed = any(part.delay is not None for part in connection.parts())
        feedback = layer.recurrent
        self.reach = 0 if feedback is None or feedback.delay is None else math.ceil(feedback.max_delay / dt)

    def pack(self) -> Packed:
        """The parameters as they are now."""
        dtype = torch.float64 if self.settings.dtype is np.float64 else torch.float32
        weights, delays = self._synapses(self.layer.connection, dtype)
        neuron = self.layer.neuron
        places = self.size // neuron.size  # those of a convolution share the parameters
        columns = neuron.columns()
        if "threshold" not in columns or not self.spiking:
            rows = torch.zeros(3, self.size, dtype=dtype)
        else:
            reset = -columns["threshold"] if self.subtract else columns["v_reset"]
            values = columns["threshold"], columns["jump"], reset
            rows = torch.stack([value.to(dtype).expand(neuron.size).repeat_interleave(places) for value in values])
        recurrent = self.layer.recurrent
        feedback = (None, None) if recurrent is None else self._synapses(recurrent, dtype)
        return Packed(weights, delays, rows, *feedback)

    def _synapses(self, connection: Connection, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Weights (M, N) and delays in steps, (M,) or (M, N)."""
        weight, delay = connection.dense()
        delay = delay.double() / self.settings.dt
        if delay.shape[0] == 1:
            delay = delay[0].expand(weight.shape[1])
        else:
            delay = delay.expand(weight.shape).T
        return weight.T.to(dtype).contiguous(), delay.contiguous()


def _shared(neuron: LIF | LI, name: str) -> float:
    """A parameter that all neurons share."""
    values = getattr(neuron, name, None)
    if values is None:  # of leaky integrators
        return 1.0 if name.startswith("tau") else 0.0
    low, high = float(values.min()), float(values.max())
    if low != high:
        raise ValueError(f"{name} differs between neurons, from {low:g} to {high:g}: on a grid they must share it")
    return low


def stages(network: Sequential, settings: Settings) -> list[Stage]:
    """One for each layer; pools only change which unit a spike is of."""
    made: list[Stage] = []
    width: int = network[0].in_size
    sent = [(-1, np.arange(width), width)]  # to each module: from which stage, the unit of each neuron, how many units
    modules: list[Any] = list(network.layers)
    for k, module in enumerate(modules):
        if isinstance(module, Layer):
            sources, shift = [], 0
            for stage, units, width in (sent[i] for i in (k, *network.beside.get(k, ()))):
                sources.append(Source(stage, units + shift))
                shift += width
            made.append(Stage(module, sources, settings))
            sent.append((len(made) - 1, np.arange(module.out_size), module.out_size))
        else:
            stage, units, _ = sent[k]
            sent.append((stage, module.unit.numpy()[units], module.out_size))
    return made

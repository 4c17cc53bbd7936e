"""A network of one layer and its input as plain tensors, so that a law can transform all of it; and its answer.

`Network.values` holds every number by name: "times" (E,), "0.weight" and "0.delay" of each part of the connection,
"recurrent.weight", "neuron.tau_mem", "readout.points" and so on. A transformation computes new values from old ones
with torch, so that autograd pulls the gradients of the transformed network back to those of the first.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

import saltation as sal
from saltation.spikes import by_sample_and_time

LIF_PARAMETERS = ("tau_mem", "tau_syn", "tau_adapt", "threshold", "jump", "v_reset", "refractory")
QIF_PARAMETERS = ("tau_mem", "threshold", "pseudo_time", "pseudo_drive")
IF_PARAMETERS = ("tau_syn", "threshold", "v_reset", "refractory")
LI_PARAMETERS = ("tau_mem", "tau_syn")
NAMES = {"LIF": LIF_PARAMETERS, "QIF": QIF_PARAMETERS, "IF": IF_PARAMETERS, "LI": LI_PARAMETERS}
MOST_SPIKES = 60  # of a neuron in a sample; networks that run away are left out


@dataclass(frozen=True)
class Part:
    """One connection: what is not a value. source, target: of a sparse one, sorted by target, then source; geometry:
    in_shape, out_channels, kernel_size, stride, padding, groups of a convolution.
    """

    kind: str  # linear, sparse, conv
    inputs: int
    outputs: int
    delay: str | None = None
    longest: float = 4.0  # max_delay, a power of two, so that raw_delay = delay / longest is exact
    source: Tensor | None = None
    target: Tensor | None = None
    geometry: tuple | None = None

    def build(self) -> sal.connections.Connection:
        options = {} if self.delay is None else {"delay": self.delay, "max_delay": self.longest}
        if self.kind == "linear":
            return sal.Linear(self.inputs, self.outputs, **options).double()
        if self.kind == "sparse":
            return sal.Sparse(self.inputs, self.outputs, self.source, self.target, **options).double()
        return sal.Conv2d(*self.geometry, **options).double()


@dataclass(frozen=True)
class Network:
    """A layer, its input, and what its loss counts.

    samples (E,), units (E,): of the events, in any order. sample_names (B,), unit_names (N,), factors (1 if not given):
    the loss is the sum of cos(phase) factor x over all outputs, with a phase made of these names, the kind of output
    and the rank of a spike; so a network with renamed samples can have the same loss. horizon, only_first: spikes from
    this time on, or later than a neuron's first, are left out of the outputs and of the loss.
    """

    parts: tuple[Part, ...]
    joint: str  # alone, beside, parallel
    recurrent: Part | None
    model: str
    size: int  # of neurons: as many as outputs, or as channels where places share them
    reset: str
    train: tuple[str, ...]
    min_slope: float
    peak: bool
    values: dict[str, Tensor]
    samples: Tensor
    units: Tensor
    batch: int
    duration: float
    sample_names: Tensor
    unit_names: Tensor
    factors: dict[str, float]
    horizon: float = torch.inf
    only_first: bool = False
    muted: Tensor | None = None  # inputs with zero weights only
    weights: dict[str, Tensor] | None = None  # of the loss, if not the usual

    @property
    def inputs(self) -> int:
        """Number of input units."""
        sizes = [part.inputs for part in self.parts]
        return sizes[0] if self.joint == "parallel" else sum(sizes)

    @property
    def outputs(self) -> int:
        """Number of output units."""
        return self.parts[0].outputs

    def trained(self) -> list[str]:
        """Names of the values that carry gradients."""
        wires = [name for name in self.values if name.endswith((".weight", ".delay"))]
        return ["times", *wires, *(f"neuron.{name}" for name in self.train)]

    def with_values(self, **changed: Tensor) -> "Network":
        """With other values; `__` in a name stands for a dot."""
        return replace(self, values=self.values | {name.replace("__", "."): v for name, v in changed.items()})

    def with_leaves(self) -> "Network":
        """With values that carry gradients where they are trained."""
        leaves = {name: self.values[name].detach().clone().requires_grad_() for name in self.trained()}
        return replace(self, values=self.values | leaves)

    def detached(self) -> "Network":
        """With values that carry none."""
        return replace(self, values={name: value.detach() for name, value in self.values.items()})

    def _repr_pretty_(self, printer, cycle) -> None:
        """Short, for the reports of Hypothesis."""
        printer.text(repr(self))

    def __repr__(self) -> str:
        """Short."""
        parts = [f"{p.kind}({p.inputs}, {p.outputs}, {p.delay})" for p in self.parts]
        back = "" if self.recurrent is None else f", recurrent {self.recurrent.kind} {self.recurrent.delay}"
        return (
            f"Network({self.joint} {', '.join(parts)}{back} -> {self.size} {self.model} {self.reset} "
            f"train={self.train} peak={self.peak} min_slope={self.min_slope}; "
            f"{self.batch} samples, {self.units.numel()} events)"
        )


Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Answer:
    """What a network answers: outputs, each (B, N, ...), and the gradients of its loss by the names of the values."""

    outputs: Tensors
    gradients: Tensors


def named_parts(network: Network) -> list[tuple[str, Part]]:
    """All connections with the names of their values, the recurrent one last."""
    parts = [(str(k), part) for k, part in enumerate(network.parts)]
    return parts if network.recurrent is None else [*parts, ("recurrent", network.recurrent)]


def build(network: Network) -> tuple[sal.Layer, dict[str, nn.Parameter]]:
    """The layer, and its parameters by the names of the values."""
    values = network.values
    modules = {name: part.build() for name, part in named_parts(network)}
    recurrent = modules.get("recurrent")
    connections = [modules[str(k)] for k in range(len(network.parts))]
    joined = {"alone": lambda only: only, "beside": sal.Beside, "parallel": sal.Parallel}[network.joint](*connections)
    parameters = {}
    for name, part in named_parts(network):
        module = modules[name]
        module.weight.data.copy_(values[f"{name}.weight"])
        parameters[f"{name}.weight"] = module.weight
        if part.delay is not None:
            module.raw_delay.data.copy_(values[f"{name}.delay"] / part.longest)
            parameters[f"{name}.delay"] = module.raw_delay
    options = {name: values[f"neuron.{name}"] for name in NAMES[network.model]} | {"train": network.train}
    if network.model in ("LIF", "IF"):
        options |= {"min_slope": network.min_slope} | ({"reset": network.reset} if network.model == "LIF" else {})
    neuron = getattr(sal, network.model)(network.size, **options)
    parameters |= {f"neuron.{name}": getattr(neuron, name) for name in network.train}
    budget = {} if network.model == "LI" else {"max_spikes": MOST_SPIKES}
    return sal.Layer(joined, neuron, recurrent=recurrent, **budget), parameters


def table(spikes: sal.Spikes, values: Tensor) -> Tensor:
    """(B, N, K): one value for each spike, those of a neuron in the order of time; inf where there is none."""
    B, N = spikes.num_samples, spikes.num_units
    key = spikes.sample_index() * N + spikes.units
    order = torch.argsort(key, stable=True)
    counts = spikes.counts().flatten()
    starts = counts.cumsum(0) - counts
    rank = torch.arange(order.numel()) - starts[key[order]]
    K = int(counts.max()) if counts.numel() else 0
    empty = torch.full((B * N, K), torch.inf, dtype=torch.float64)
    return empty.index_put((key[order], rank), values[order]).view(B, N, K)


def phases(network: Network, kind: int, width: int) -> Tensor:
    """cos of these are the weights of the loss; (B, N, width)."""
    sample, unit = network.sample_names[:, None, None].double(), network.unit_names[None, :, None].double()
    return 1.3 * sample + 0.7 * unit + 2.1 * torch.arange(width).double() + 1.7 * kind


def _outputs(network: Network, layer: sal.Layer, spikes: sal.Spikes) -> Tensors:
    """With gradients."""
    values = network.values
    if network.model == "LI":
        readout = layer(spikes)
        simple = {
            "integral": readout.integral(),
            "weighted": readout.weighted(float(values["readout.tau"])),
            "maximum": readout.maximum(),
        }
        return {name: x[:, :, None] for name, x in simple.items()} | {"at": readout.at(values["readout.points"])}
    result = layer.run(spikes, peak=network.peak)
    output = result.spikes
    sample = output.sample_index()
    step = output.times.detach().diff()
    assert bool(((step >= 0) | (sample.diff() > 0)).all()), "output spikes are not sorted"
    assert bool(((output.times >= 0) & (output.times <= network.duration)).all()), "spikes outside the sample"
    outputs = {"spikes": table(output, output.times), "slopes": table(output, result.slopes)}
    late = outputs["spikes"].detach() >= network.horizon
    late[:, :, 1:] |= network.only_first
    most = int((~late & outputs["spikes"].isfinite()).sum(2).max()) if late.numel() else 0
    outputs = {name: x.masked_fill(late, torch.inf)[:, :, :most] for name, x in outputs.items()}
    return outputs | ({"peak": result.peak[:, :, None]} if network.peak else {})


def loss_weights(network: Network, outputs: Tensors) -> Tensors:
    """What each output counts in the loss."""
    if network.weights is not None:
        return network.weights
    return {
        name: network.factors.get(name, 1.0) * torch.cos(phases(network, kind, x.shape[2]))
        for kind, (name, x) in enumerate(outputs.items())
        if name != "slopes"
    }


def answer(network: Network) -> Answer:
    """Simulate, and differentiate the loss."""
    layer, parameters = build(network)
    times = network.values["times"].clone().requires_grad_()
    order = by_sample_and_time(network.samples, times)
    counts = torch.bincount(network.samples, minlength=network.batch)
    offsets = torch.cat([torch.zeros(1).long(), counts.cumsum(0)])
    spikes = sal.Spikes(times[order], network.units[order], offsets, network.inputs, network.duration)
    outputs = _outputs(network, layer, spikes)
    weights = loss_weights(network, outputs)
    loss = sum((weight * outputs[name])[outputs[name].isfinite()].sum() for name, weight in weights.items())
    leaves = {"times": times, **parameters}
    found = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    if loss.requires_grad:
        gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        found |= {name: g for name, g in zip(leaves, gradients, strict=True) if g is not None}
    for name, part in named_parts(network):
        if part.delay is not None:
            found[f"{name}.delay"] = found[f"{name}.delay"] / part.longest
    return Answer({name: x.detach() for name, x in outputs.items()}, found)


def perturbed(network: Network, generator: torch.Generator, size: float) -> Network:
    """With every value changed by a relative amount of up to `size`; what is equal for all neurons stays equal."""
    values = {}
    for name, value in network.values.items():
        shape = value.shape
        if name.startswith("neuron.") and value.numel() and bool((value == value.flatten()[0]).all()):
            shape = (1,)
        noise = 1.0 + size * (2.0 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1.0)
        values[name] = value * noise
    for name in ("times", "readout.points"):
        if name in values:
            values[name] = values[name].clamp(max=network.duration)
    return replace(network, values=values)

"""The laws: each makes other networks from a network, and says how their answers give that of the first.

A law is `transform(network, generator) -> (networks, back)`: back(list of outputs) must equal the outputs of the
network, and the gradients of the networks, pulled back through the transformation and added up, must equal its
gradients.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from properties import orders
from properties import transform as to
from properties.networks import Network, Tensors, answer, loss_weights, named_parts
from properties.orders import same
from torch import Tensor

Transformed = tuple[list[Network], Callable[[list[Tensors]], Tensors]]


@dataclass(frozen=True)
class Law:
    """prepare: what the network must be for the law to say something; draws: arguments of `draw.networks`; view: what
    of the gradients the law is about; exact: holds to the last bit, for ill-conditioned networks too.
    """

    transform: Callable[[Network, torch.Generator], Transformed]
    prepare: Callable[[Network, torch.Generator], Network] = lambda network, generator: network
    draws: dict[str, Any] = field(default_factory=dict)
    view: Callable[[Network, Tensors], Tensors] = lambda network, gradients: gradients
    exact: bool = False


# -- scales and shifts -----------------------------------------------------------------------------------------------

TIMES = ("tau_mem", "tau_syn", "tau_adapt", "refractory", "pseudo_time", "tau", "points", "delay", "times")
VOLTAGES = ("threshold", "jump", "v_reset", "weight")


def _scaled(network, scale: float, kinds: tuple[str, ...], outputs: dict[str, float]):
    """Values of these kinds times `scale`; outputs: the powers of `scale` in them."""
    values = {n: v * scale if n.rsplit(".", 1)[-1] in kinds else v for n, v in network.values.items()}
    inverse = {name: scale**-power for name, power in outputs.items()}
    factors = {name: f * network.factors.get(name, 1.0) for name, f in inverse.items()}
    back = lambda found: {n: x * inverse.get(n, 1.0) for n, x in found[0].items()}  # noqa: E731
    return replace(network, values=values, factors=network.factors | factors), back


def _time_scaled(network, scale):
    new, back = _scaled(network, scale, TIMES, {"spikes": 1, "integral": 1, "weighted": 1})
    changed = {name: (replace(part, longest=part.longest * scale), to.of(new, name)) for name, part in named_parts(new)}
    new = to.with_parts(new, changed)
    return [replace(new, duration=network.duration * scale, min_slope=network.min_slope / scale)], back


def time_scaled_by_power_of_two(network, generator):
    return _time_scaled(network, 2.0 ** int(torch.randint(-12, 13, (1,), generator=generator)))


def time_scaled(network, generator):
    return _time_scaled(network, math.exp(float(torch.randn(1, generator=generator).double()) * 3.0))


def _voltage_scaled(network, scale):
    new, back = _scaled(network, scale, VOLTAGES, {"peak": 1, "integral": 1, "weighted": 1, "maximum": 1, "at": 1})
    return [replace(new, min_slope=network.min_slope * scale)], back


def voltage_scaled_by_power_of_two(network, generator):
    return _voltage_scaled(network, 2.0 ** int(torch.randint(-12, 13, (1,), generator=generator)))


def voltage_scaled(network, generator):
    return _voltage_scaled(network, math.exp(float(torch.randn(1, generator=generator).double()) * 3.0))


def time_shifted(network, generator):
    """Nothing happens before the first input; the end is later by as much."""
    shift = float(torch.randint(1, 2**33, (1,), generator=generator)) * 2.0**-30
    moved = {"times", "neuron.pseudo_time", "readout.points"}
    values = {n: v + shift if n in moved else v for n, v in network.values.items()}
    grow = math.exp(shift / float(network.values["readout.tau"])) if network.model == "LI" else 1.0

    def back(outputs):
        change = {"spikes": lambda x: x - shift, "weighted": lambda x: x * grow}
        return {n: change.get(n, lambda x: x)(x) for n, x in outputs[0].items()}

    return [
        replace(network, values=values, duration=network.duration + shift, factors=network.factors | {"weighted": grow})
    ], back


def _until(network, end: float) -> Network:
    """Without the events after `end`."""
    return to.select_events(network, network.values["times"] <= end)


def one_delay(network, generator):
    """All delays equal."""
    c = float(torch.randint(0, 2**30, (1,), generator=generator)) * 3.0 * 2.0**-30
    changed = {}
    for name, part in named_parts(network):
        if name != "recurrent":
            weight = network.values[f"{name}.weight"]
            new, tensors = to.richer(replace(part, delay=None), {"weight": weight}, part.delay or "axonal")
            changed[name] = new, {"weight": weight, "delay": torch.full_like(tensors["delay"], c)}
    return to.with_parts(network, changed)


def _input_delays(tensors: Tensors) -> list[Tensor]:
    return [x.flatten() for n, x in tensors.items() if n.endswith(".delay") and not n.startswith("recurrent")]


def common_delay(network, generator):
    """All delays equal to c = inputs later by c, without delay."""
    changed = {}
    for name, part in named_parts(network):
        if name != "recurrent":
            changed[name] = replace(part, delay=None), {"weight": network.values[f"{name}.weight"]}
    later = network.values["times"] + torch.cat(_input_delays(network.values)).mean()
    shifted = to.with_parts(network.with_values(times=later), changed)
    return [_until(shifted, network.duration)], same


def sum_of_delays(network, gradients):
    """The gradient of the common delay instead of those of all delays."""
    rest = {n: g for n, g in gradients.items() if not n.endswith(".delay") or n.startswith("recurrent")}
    return rest | {"common delay": torch.cat(_input_delays(gradients)).sum()[None]}


def richer_delays(network, generator):
    """No delay = delays of zero; an axonal or dendritic delay = equal synaptic ones. Recurrent ones too."""
    changed = {}
    for name, part in named_parts(network):
        most = "kernel" if part.kind == "conv" else "synaptic"
        kinds = {
            None: ("axonal", "channel" if part.kind == "conv" else "dendritic", most), most: (most,)
        }.get(part.delay, (part.delay, most))  # fmt: skip
        kind = kinds[int(torch.randint(0, len(kinds), (1,), generator=generator))]
        changed[name] = to.richer(part, to.of(network, name), kind)
    return [to.with_parts(network, changed)], same


# -- zero weights ----------------------------------------------------------------------------------------------------


def silence(network, generator):
    """Some inputs of the first part (of all parts, if they share them) get zero weights only."""
    first = network.parts[0]
    if first.kind == "conv":
        channels, *extent = first.geometry[0]
        inner = torch.rand(channels // first.geometry[-1], generator=generator) < 0.5
        mute = inner.repeat(first.geometry[-1]).repeat_interleave(math.prod(extent))
    else:
        inner = mute = torch.rand(first.inputs, generator=generator) < 0.5
    values = dict(network.values)
    for k, part in enumerate(network.parts if network.joint == "parallel" else network.parts[:1]):
        weight = values[f"{k}.weight"].clone()
        weight[(mute[part.source]) if part.kind == "sparse" else (slice(None), inner)] = 0.0
        values[f"{k}.weight"] = weight
    rest = torch.zeros(network.inputs - mute.numel(), dtype=torch.bool)
    return replace(network, values=values, muted=torch.cat([mute, rest]))


def without_silent_inputs(network, generator):
    return [to.select_events(network, ~network.muted[network.units])], same


def _not_of_zeros(network, gradients):
    """A weight of zero has a gradient; without its events or its synapse it has none."""
    weights = {n: g * (network.values[n] != 0) for n, g in gradients.items() if n.endswith(".weight")}
    return gradients | weights


def cut_feedback(network, generator):
    return network.with_values(recurrent__weight=torch.zeros_like(network.values["recurrent.weight"]))


def without_feedback(network, generator):
    values = {n: v for n, v in network.values.items() if not n.startswith("recurrent.")}
    return [replace(network, recurrent=None, values=values)], same


# -- one connection in terms of another ------------------------------------------------------------------------------


def as_linear(network, generator):
    return [to.as_list(network, dense=True)], same


def as_sparse(network, generator):
    return [to.as_list(network, dense=False)], same


def own_neurons(network, generator):
    return [to.own_neurons(network)], same


def joined_alone(network, generator):
    """Parallel(one) and Beside(one) = the one."""
    joint = ("parallel", "beside")[int(torch.randint(0, 2, (1,), generator=generator))]
    if joint == "beside":
        network = to.own_neurons(network)
    return [replace(network, joint=joint)], same


def split_inputs(network, generator):
    """Linear or Sparse = two of them beside each other, each with a part of the inputs."""
    part = network.parts[0]
    cut = int(torch.randint(1, part.inputs, (1,), generator=generator)) if part.inputs > 1 else 1
    halves = [half for half in torch.arange(part.inputs).tensor_split([cut]) if half.numel()]
    made = [to.columns(part, to.of(network, "0"), half) for half in halves]
    values = {n: v for n, v in network.values.items() if not n.startswith("0.")}
    for k, (_, tensors) in enumerate(made):
        values |= {f"{k}.{key}": value for key, value in tensors.items()}
    return [replace(network, joint="beside", parts=tuple(half for half, _ in made), values=values)], same


def no_instant_self(network, generator):
    """No neuron reaches itself without delay: its spike would arrive at the very time that it is fired."""
    part, weight = network.recurrent, network.values["recurrent.weight"].clone()
    if part.delay is None and part.kind == "linear":
        weight.fill_diagonal_(0.0)
    elif part.delay is None:
        weight[part.source == part.target] = 0.0
    return network.with_values(recurrent__weight=weight)


def unrolled(network, generator):
    """Its own spikes as further inputs. Their dL/dt add to what each of them counts, until nothing changes."""
    spikes = answer(network.detached()).outputs["spikes"]
    sample, unit, _ = spikes.isfinite().nonzero(as_tuple=True)
    number, E = len(network.parts), network.units.numel()
    values = {n.replace("recurrent.", f"{number}."): v for n, v in network.values.items()}
    values["times"] = torch.cat([network.values["times"], spikes[spikes.isfinite()]])
    flat = replace(
        network, joint="beside", parts=(*network.parts, network.recurrent), recurrent=None, values=values,
        samples=torch.cat([network.samples, sample]), units=torch.cat([network.units, network.inputs + unit]),
    )  # fmt: skip
    outputs = answer(flat.detached()).outputs
    if outputs["spikes"].shape != spikes.shape:
        return [flat], same
    weights = loss_weights(flat, outputs)
    direct, told = weights["spikes"], None
    while told is None or not torch.equal(told, weights["spikes"]):
        told = weights["spikes"]
        later = torch.zeros_like(spikes)
        later[spikes.isfinite()] = answer(replace(flat.detached(), weights=weights)).gradients["times"][E:]
        weights = weights | {"spikes": direct + later}
    return [replace(flat, weights=weights)], same


# -- causality -------------------------------------------------------------------------------------------------------


def early(network, generator):
    return replace(network, peak=False, horizon=network.duration * float(torch.rand(1, generator=generator)))


def shorter(network, generator):
    """What happens until a time does not depend on what comes later."""
    cut = _until(network, network.horizon)
    return [replace(cut, duration=network.horizon, horizon=math.inf)], same


def spent(network, generator):
    """One spike at most."""
    forever = torch.full_like(network.values["neuron.refractory"], torch.inf)
    return replace(network.with_values(neuron__refractory=forever), peak=False)


def first_spike(network, generator):
    """An endless refractory period leaves the first spike as it is."""
    again = torch.rand(network.size, generator=generator).double() + 0.3  # not so many as to run away
    return [replace(network.with_values(neuron__refractory=again), only_first=True)], same


SPIKING = {"models": ("LIF", "LIF", "LIF", "QIF", "IF")}
APART = {"recurrent": (False,)}
FLAT = {"kinds": ("linear", "sparse", "beside", "parallel"), "convolutions": (False,)}

FEEDBACK = {"models": ("LIF", "LIF", "LIF", "IF"), "recurrent": (True,)}

LAWS = {
    "samples permute": Law(orders.permuted_samples),
    "batches split": Law(orders.split_batch),
    "neurons permute": Law(orders.permuted_neurons),
    "neurons are independent": Law(orders.split_neurons, draws=FLAT | APART),
    "inputs permute": Law(orders.permuted_inputs),
    "ties in any order": Law(orders.permuted_ties, draws={"grids": (2.0**-3, 2.0**-1)}),
    "time scales by powers of two": Law(time_scaled_by_power_of_two, exact=True),
    "time scales": Law(time_scaled),
    "voltage scales by powers of two": Law(voltage_scaled_by_power_of_two, exact=True),
    "voltage scales": Law(voltage_scaled),
    "time shifts": Law(time_shifted),
    "a common delay is a shift": Law(common_delay, one_delay, view=sum_of_delays),
    "delays in another kind": Law(richer_delays),
    "inputs of zero weight": Law(without_silent_inputs, silence, view=_not_of_zeros),
    "feedback of zero weight": Law(without_feedback, cut_feedback, FEEDBACK, _not_of_zeros),
    "as Linear": Law(as_linear),
    "as Sparse": Law(as_sparse),
    "shared neurons = own neurons": Law(own_neurons, draws={"kinds": ("conv", "parallel"), "convolutions": (True,)}),
    "Parallel(one) = Beside(one) = one": Law(joined_alone, draws={"kinds": ("linear", "sparse", "conv")}),
    "Beside = one": Law(split_inputs, draws={"kinds": ("linear", "sparse")}),
    "recurrent = unrolled": Law(
        unrolled, no_instant_self, FEEDBACK | {"kinds": ("linear", "sparse", "beside")}, _not_of_zeros
    ),
    "the past does not know the future": Law(shorter, early, SPIKING),
    "the first spike": Law(first_spike, spent, {"models": ("LIF", "LIF", "IF")} | APART),
}

"""Laws of renaming and splitting: samples, neurons, inputs and events in another order, or some at a time."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from properties import transform as to
from properties.networks import Tensors, named_parts
from torch import Tensor


def same(outputs: list[Tensors]) -> Tensors:
    """For one network whose outputs are those of the first."""
    return outputs[0]


def _picked(index: Tensor, dim: int) -> Callable[[list[Tensors]], Tensors]:
    """Undo outputs[:, index] or outputs[index]."""
    inverse = torch.argsort(index)
    return lambda outputs: {name: x.index_select(dim, inverse) for name, x in outputs[0].items()}


def _padded(pieces: list[Tensor], dim: int) -> Tensor:
    """Side by side, with as many ranks of spikes as the largest needs."""
    width = max(piece.shape[2] for piece in pieces)
    fill = [torch.full((*piece.shape[:2], width - piece.shape[2]), torch.inf).double() for piece in pieces]
    return torch.cat([torch.cat(pair, 2) for pair in zip(pieces, fill, strict=True)], dim)


def permuted_samples(network, generator):
    order = torch.randperm(network.batch, generator=generator)
    return [to.select_samples(network, order)], _picked(order, 0)


def split_batch(network, generator):
    cut = int(torch.randint(0, network.batch + 1, (1,), generator=generator))
    halves = torch.arange(network.batch).tensor_split([cut])
    joined = lambda outputs: {n: _padded([x[n] for x in outputs], 0) for n in outputs[0]}  # noqa: E731
    return [to.select_samples(network, half) for half in halves], joined


def _channel_order(part, generator) -> tuple[Tensor, Tensor]:
    """A permutation of the output channels of a convolution within its groups, and that of its outputs."""
    out_channels, groups = part.geometry[1], part.geometry[-1]
    per_group, places = out_channels // groups, part.outputs // out_channels
    channels = torch.cat([torch.randperm(per_group, generator=generator) + g * per_group for g in range(groups)])
    return channels, (channels[:, None] * places + torch.arange(places)).flatten()


def permuted_neurons(network, generator):
    convs = [part for part in network.parts if part.kind == "conv"]
    order = torch.randperm(network.outputs, generator=generator)
    channels = order
    if convs:
        channels, order = _channel_order(convs[0], generator)
    changed = {}
    for name, part in named_parts(network):
        tensors = to.of(network, name)
        if part.kind == "conv":
            axonal = part.delay == "axonal"
            changed[name] = part, {k: v if k == "delay" and axonal else v[channels] for k, v in tensors.items()}
        else:
            chosen = channels if name == "recurrent" and network.size < network.outputs else order
            changed[name] = to.rows(part, tensors, chosen)
            if name == "recurrent":
                changed[name] = to.columns(*changed[name], chosen)
    new = to.with_parts(network, changed)
    own = channels if network.size < network.outputs else order
    values = {n: v[own] if n.startswith("neuron.") else v for n, v in new.values.items()}
    return [replace(new, values=values, unit_names=network.unit_names[order])], _picked(order, 1)


def permuted_inputs(network, generator):
    changed, places, shift, shared = {}, [], 0, None
    for name, part in named_parts(network):
        if name == "recurrent":
            continue
        tensors = to.of(network, name)
        if part.kind == "conv":
            shape, groups = part.geometry[0], part.geometry[-1]
            per_group, extent = shape[0] // groups, math.prod(shape[1:])
            inner = torch.randperm(per_group, generator=generator) if shared is None else shared
            units = torch.cat([inner + g * per_group for g in range(groups)])
            units = (units[:, None] * extent + torch.arange(extent)).flatten()
            by_output = part.delay == "channel"
            changed[name] = part, {k: v if k == "delay" and by_output else v[:, inner] for k, v in tensors.items()}
        else:
            inner = units = torch.randperm(part.inputs, generator=generator) if shared is None else shared
            changed[name] = to.columns(part, tensors, units)
        places.append(torch.argsort(units) + shift)
        if network.joint == "parallel":
            shared = inner
        else:
            shift += part.inputs
    moved = places[0] if network.joint == "parallel" else torch.cat(places)
    return [replace(to.with_parts(network, changed), units=moved[network.units])], same


def permuted_ties(network, generator):
    order = torch.randperm(network.units.numel(), generator=generator)
    return [to.select_events(network, order)], same


def split_neurons(network, generator):
    """Neurons are independent where they are not connected."""
    cut = int(torch.randint(0, network.outputs + 1, (1,), generator=generator))
    halves = [half for half in torch.arange(network.outputs).tensor_split([cut]) if half.numel()]
    made = []
    for half in halves:
        changed = {name: to.rows(part, to.of(network, name), half) for name, part in named_parts(network)}
        values = {
            n: v[half] if n.startswith("neuron.") else v for n, v in to.with_parts(network, changed).values.items()
        }
        new = replace(to.with_parts(network, changed), values=values, size=half.numel())
        made.append(replace(new, unit_names=network.unit_names[half]))
    joined = lambda outputs: {n: _padded([x[n] for x in outputs], 1) for n in outputs[0]}  # noqa: E731
    return made, joined

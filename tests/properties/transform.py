"""Networks made from networks; every value of the new one is a torch function of those of the old one."""

from dataclasses import replace

import torch
from properties.networks import Network, Part, Tensors
from torch import Tensor
from torch.nn.functional import unfold


def with_parts(network: Network, changed: dict[str, tuple[Part, Tensors]]) -> Network:
    """With other connections of these names; their values are "weight" and, with a delay, "delay"."""
    values = {n: v for n, v in network.values.items() if n.split(".")[0] not in changed}
    for name, (_, tensors) in changed.items():
        values |= {f"{name}.{key}": value for key, value in tensors.items()}
    parts = tuple(changed[str(k)][0] if str(k) in changed else part for k, part in enumerate(network.parts))
    recurrent = changed["recurrent"][0] if "recurrent" in changed else network.recurrent
    return replace(network, parts=parts, recurrent=recurrent, values=values)


def of(network: Network, name: str) -> Tensors:
    """The values of one connection: weight, and delay if there is one."""
    return {key: network.values[f"{name}.{key}"] for key in ("weight", "delay") if f"{name}.{key}" in network.values}


def sparse_part(part: Part, source: Tensor, target: Tensor, weight: Tensor, delay: Tensor | None):
    """(Part, values) of a Sparse with these synapses, given in any order."""
    order = torch.argsort(target * part.inputs + source)
    kind = None if delay is None else "synaptic"
    new = replace(part, kind="sparse", source=source[order], target=target[order], geometry=None, delay=kind)
    return new, {"weight": weight[order]} | ({} if delay is None else {"delay": delay[order]})


def linear_part(part: Part, source: Tensor, target: Tensor, weight: Tensor, delay: Tensor | None):
    """(Part, values) of a Linear with these synapses and zeros."""
    empty = torch.zeros(part.outputs, part.inputs, dtype=torch.float64)
    kind = None if delay is None else "synaptic"
    new = replace(part, kind="linear", source=None, target=None, geometry=None, delay=kind)
    values = {"weight": empty.index_put((target, source), weight)}
    return new, values | ({} if delay is None else {"delay": empty.index_put((target, source), delay)})


def conv_elements(part: Part) -> tuple[Tensor, Tensor, Tensor]:
    """(source, target, element of the weight) of every synapse of a convolution, by torch's unfold."""
    (C, H, W), out_channels, kernel, stride, padding, groups = part.geometry
    numbers = torch.arange(1, C * H * W + 1, dtype=torch.float64).view(1, C, H, W)
    seen = unfold(numbers, kernel, padding=padding, stride=stride)[0].long() - 1  # (C kh kw, places)
    places, per_group = seen.shape[1], seen.shape[0] // groups
    output, element, place = torch.meshgrid(
        torch.arange(out_channels), torch.arange(per_group), torch.arange(places), indexing="ij"
    )
    source = seen[output // (out_channels // groups) * per_group + element, place]
    inside = source >= 0
    return source[inside], (output * places + place)[inside], (output * per_group + element)[inside]


def synapses(part: Part, values: Tensors) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """(source, target, weight, delay) of every synapse."""
    weight, delay = values["weight"], values.get("delay")
    if part.kind == "conv":
        source, target, element = conv_elements(part)
        shape = weight.shape
        if delay is not None:
            delay = (delay.view(-1, 1, 1, 1) if part.delay == "channel" else delay).expand(shape).flatten()[element]
        return source, target, weight.flatten()[element], delay
    if part.kind == "linear":
        target, source = torch.ones(part.outputs, part.inputs).nonzero(as_tuple=True)
        return source, target, weight.flatten(), None if delay is None else delay.expand(weight.shape).flatten()
    index = {"axonal": part.source, "dendritic": part.target}.get(part.delay)
    return part.source, part.target, weight, delay if index is None else delay[index]


def as_list(network: Network, dense: bool) -> Network:
    """The same with one Sparse (or Linear) for all parts, synaptic delays; each neuron with its own parameters."""
    lists, shift = [], 0
    for k, part in enumerate(network.parts):
        source, target, weight, delay = synapses(part, of(network, str(k)))
        lists.append((source + shift, target, weight, delay))
        shift += part.inputs
    some = any(delay is not None for *_, delay in lists)
    whole = replace(network.parts[0], inputs=shift)
    joined = [torch.cat(tensors) for tensors in zip(*(synapse[:3] for synapse in lists), strict=True)]
    delays = [torch.zeros_like(weight) if delay is None else delay for _, _, weight, delay in lists]
    part, tensors = (linear_part if dense else sparse_part)(whole, *joined, torch.cat(delays) if some else None)
    values = {n: v for n, v in network.values.items() if not n.split(".")[0].isdigit()}
    values |= {f"0.{key}": value for key, value in tensors.items()}
    copies = len(network.parts) if network.joint == "parallel" else 1
    values["times"] = values["times"].repeat(copies)
    units = torch.cat([network.units + k * network.parts[0].inputs for k in range(copies)])
    flat = replace(
        network, joint="alone", parts=(part,), values=values, units=units, samples=network.samples.repeat(copies)
    )
    return own_neurons(flat)


def own_neurons(network: Network) -> Network:
    """The same where each place of a convolution has neurons of its own."""
    places = network.outputs // network.size
    values = {
        name: value.repeat_interleave(places) if name.startswith("neuron.") else value
        for name, value in network.values.items()
    }
    own = replace(network, size=network.outputs, values=values)
    if network.recurrent is None or places == 1:
        return own
    source, target, weight, delay = synapses(network.recurrent, of(network, "recurrent"))
    wide = replace(network.recurrent, inputs=network.outputs, outputs=network.outputs)
    place = torch.arange(places)
    source, target = ((index[:, None] * places + place).flatten() for index in (source, target))
    delay = None if delay is None else delay.repeat_interleave(places)
    changed = sparse_part(wide, source, target, weight.repeat_interleave(places), delay)
    return with_parts(own, {"recurrent": changed})


def richer(part: Part, tensors: Tensors, kind: str) -> tuple[Part, Tensors]:
    """The same connection with a kind of delay that has more values; kind "synaptic" (or "kernel") has the most."""
    shape, weight = tensors["weight"].shape, tensors["weight"]
    new = replace(part, delay=kind)
    if part.delay == kind:
        return part, tensors
    if part.kind == "sparse" and kind == "synaptic":
        delay = synapses(part, tensors)[3]
        return new, {"weight": weight, "delay": torch.zeros_like(weight) if delay is None else delay}
    if part.delay is None:
        shapes = {
            "axonal": (1, *shape[1:]), "dendritic": (shape[0], 1), "synaptic": shape, "kernel": shape,
            "channel": shape[:1],
        }  # fmt: skip
        if part.kind == "sparse":
            shapes = {"axonal": (part.inputs,), "dendritic": (part.outputs,)}
        return new, {"weight": weight, "delay": torch.zeros(shapes[kind], dtype=torch.float64)}
    delay = tensors["delay"].view(-1, 1, 1, 1) if part.delay == "channel" else tensors["delay"]
    return new, {"weight": weight, "delay": delay.expand(shape)}


def select_events(network: Network, keep: Tensor, **changes) -> Network:
    """Only the events `keep` (indices or mask), in this order."""
    values = network.values | {"times": network.values["times"][keep]}
    return replace(network, values=values, samples=network.samples[keep], units=network.units[keep], **changes)


def select_samples(network: Network, chosen: Tensor) -> Network:
    """The samples `chosen`, in this order."""
    place = torch.full((network.batch,), -1)
    place[chosen] = torch.arange(chosen.numel())
    keep = (place[network.samples] >= 0).nonzero()[:, 0]
    names = network.sample_names[chosen]
    fewer = select_events(network, keep, batch=chosen.numel(), sample_names=names)
    return replace(fewer, samples=place[fewer.samples])


def rows(part: Part, tensors: Tensors, chosen: Tensor) -> tuple[Part, Tensors]:
    """The neurons `chosen` of a Linear or Sparse, in this order."""
    weight, delay = tensors["weight"], tensors.get("delay")
    new = replace(part, outputs=chosen.numel())
    if part.kind == "linear":
        values = {"weight": weight[chosen]}
        if delay is not None:
            values["delay"] = delay if part.delay == "axonal" else delay[chosen]
        return new, values
    return _reindexed(new, tensors, part.source, _places(chosen, part.outputs)[part.target], "dendritic", chosen)


def columns(part: Part, tensors: Tensors, chosen: Tensor) -> tuple[Part, Tensors]:
    """The inputs `chosen` of a Linear or Sparse, in this order."""
    weight, delay = tensors["weight"], tensors.get("delay")
    new = replace(part, inputs=chosen.numel())
    if part.kind == "linear":
        values = {"weight": weight[:, chosen]}
        if delay is not None:
            values["delay"] = delay if part.delay == "dendritic" else delay[:, chosen]
        return new, values
    return _reindexed(new, tensors, _places(chosen, part.inputs)[part.source], part.target, "axonal", chosen)


def _places(chosen: Tensor, size: int) -> Tensor:
    """Where each of `size` indices went; -1 for those that are left out."""
    place = torch.full((size,), -1)
    place[chosen] = torch.arange(chosen.numel())
    return place


def _reindexed(new: Part, tensors: Tensors, source: Tensor, target: Tensor, kind: str, chosen: Tensor):
    """A Sparse after its sources or targets got new numbers, -1 for none; kind: of delays, those that go by them."""
    kept = ((source >= 0) & (target >= 0)).nonzero()[:, 0]
    kept = kept[torch.argsort(target[kept] * new.inputs + source[kept])]
    values = {"weight": tensors["weight"][kept]}
    if new.delay == kind:
        values["delay"] = tensors["delay"][chosen]
    elif new.delay is not None:
        values["delay"] = tensors["delay"][kept] if new.delay == "synaptic" else tensors["delay"]
    return replace(new, source=source[kept], target=target[kept]), values

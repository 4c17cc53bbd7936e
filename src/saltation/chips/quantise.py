"""`quantise`: the parameters of a network as a chip can hold them, with gradients that pass straight through."""

import math

import torch
from torch import Tensor, nn

from saltation import check
from saltation.chips.chip import Chip
from saltation.chips.places import connections_of, layers_of, tensor_of
from saltation.connections import Connection
from saltation.convolution import Conv2d
from saltation.layer import Layer
from saltation.neuron import Neuron
from saltation.wired import Sparse

AGAINST_V = ("threshold", "jump", "v_reset")  # what is compared with V, and so has the step of the threshold
ROUNDING = 1e-9  # relative; a bound that is a multiple of a step up to this is one
BELOW_ONE = math.nextafter(1.0, 0.0)  # a raw delay of 1 lies on the falling side of the triangle wave


def quantise(network: nn.Module, chip: Chip) -> dict[str, Tensor]:
    """The parameters of a network as a chip can hold them; the network is left as it is.

    Weights are rounded to the nearest step and clipped to the range; neurons with more synapses than `fan_in` keep the
    largest ones. Delays are rounded to the nearest multiple of `delay_step` that is legal for the connection and not
    above `max_delay`. Thresholds (at least one step), jumps and reset potentials are rounded to steps of the layer's
    largest threshold. To quantise what is quantised already changes nothing but roundings.

    Gradients pass *straight through*: that of a value counts as that of the parameter it was rounded or clipped from,
    and the steps count as constants (Bengio et al. 2013).

    Returns:
        Tensors by the names they have in the network, of those parameters (and fixed values of neurons) that the chip
        limits; weights in their dtype, the rest in float64. `OnChip` runs a network with them.

    Raises:
        ValueError: if no legal delay fits the chip, a parameter is computed from others (by `bound_`, pruning), or
            neurons with a limited fan-in have a convolution beside another connection.

    Example:
        >>> from saltation import LIF, Layer, Linear
        >>> layer = Layer(Linear(3, 1), LIF(1, tau_mem=2.0, tau_syn=1.0))
        >>> _ = layer.connection.weight.data.copy_(torch.tensor([[1.0, 0.4, -0.8]]))
        >>> quantise(layer, Chip(weight_bits=2))["connection.weight"]
        tensor([[ 1.,  0., -1.]], grad_fn=<AddBackward0>)
    """
    values: dict[str, Tensor] = {}
    for prefix, layer in layers_of(network).items():
        kept = kept_synapses(layer, chip.fan_in)
        for name, connection in connections_of(layer):
            if (chip.weight_bits, chip.weight_range) != (None, None) or name in kept:
                values[f"{prefix}{name}weight"] = _weight(connection, chip, kept.get(name))
            if connection.delay is not None and (chip.delay_step, chip.max_delay) != (None, None):
                values[f"{prefix}{name}raw_delay"] = _raw_delay(f"{prefix}{name}", connection, chip)
        if chip.threshold_levels is not None and "threshold" in layer.neuron.names:
            found = _thresholds(layer.neuron, chip.threshold_levels)
            values |= {f"{prefix}neuron.{name}": value for name, value in found.items()}
    return values


def straight_through(value: Tensor, wanted: Tensor) -> Tensor:
    """`wanted` to the last bit, with the gradient of `value`."""
    return wanted.detach() + (value - value.detach())


def weight_step(weight: Tensor, chip: Chip) -> float | None:
    """The distance of two neighbouring weights of a connection, or None if they are not rounded."""
    levels = chip.weight_levels
    largest = chip.weight_range if chip.weight_range is not None else float(weight.detach().abs().max())
    return None if levels is None or largest == 0.0 else largest / levels


def delay_limits(where: str, connection: Connection, chip: Chip) -> tuple[float, float]:
    """The smallest and largest delay of a connection on a chip. Raises ValueError if there is none."""
    low, high = connection.min_delay, min(connection.max_delay, chip.largest_delay)
    if chip.delay_step is not None:
        low = chip.delay_step * math.ceil(low / chip.delay_step * (1.0 - ROUNDING))
        high = chip.delay_step * math.floor(high / chip.delay_step * (1.0 + ROUNDING))
    check.require(
        low <= high,
        f"{where.removesuffix('.')} has delays from {connection.min_delay:g} to {connection.max_delay:g}, of which the "
        f"chip has none: its step is {chip.delay_step}, its largest delay {chip.max_delay}; train with delays that it "
        "has",
    )
    return low, high


def kept_synapses(layer: Layer, fan_in: int | None) -> dict[str, Tensor]:
    """By connection, which weights stay (bool) where neurons have more synapses than allowed; empty if none has."""
    parts = dict(connections_of(layer))
    if fan_in is None:
        return {}
    kinds = {isinstance(part, Conv2d) for part in parts.values()}
    check.require(
        len(kinds) == 1 or layer._patches is not None,
        f"fan_in = {fan_in}: the synapses of a convolution beside another connection are not counted together; give "
        "the convolution neurons that its places share",
    )
    owner = torch.cat([_owners(part).flatten() for part in parts.values()])
    size = torch.cat([tensor_of(part, "weight").detach().double().abs().flatten() for part in parts.values()])
    counts = torch.bincount(owner[size > 0], minlength=1)
    if int(counts.max()) <= fan_in:
        return {}
    order = torch.argsort(size, descending=True, stable=True)
    order = order[torch.argsort(owner[order], stable=True)]  # by neuron, the largest first
    grouped = owner[order]
    rank = torch.arange(len(order)) - torch.searchsorted(grouped, grouped)
    kept = torch.empty(len(order), dtype=torch.bool)
    kept[order] = rank < fan_in
    split = kept.split([part.weight.numel() for part in parts.values()])
    return {name: mask.view(part.weight.shape) for (name, part), mask in zip(parts.items(), split, strict=True)}


def _owners(connection: Connection) -> Tensor:
    """The neuron, or channel of neurons, that each weight leads to."""
    if isinstance(connection, Sparse):
        return connection.target
    weight = connection.weight
    rows = torch.arange(weight.shape[0]).view(-1, *(1,) * (weight.ndim - 1))
    return rows.expand(weight.shape)


def _weight(connection: Connection, chip: Chip, kept: Tensor | None) -> Tensor:
    weight = tensor_of(connection, "weight")
    wanted = weight.detach().double()
    if kept is not None:
        wanted = wanted * kept
    if wanted.numel():
        step = weight_step(wanted, chip)
        if chip.weight_range is not None:
            wanted = wanted.clamp(-chip.weight_range, chip.weight_range)
        if step is not None:
            wanted = (wanted / step).round() * step
    return straight_through(weight, wanted.to(weight.dtype))


def _raw_delay(where: str, connection: Connection, chip: Chip) -> Tensor:
    """On the rising side of the triangle wave, so that the gradient is that of the delay."""
    tensor_of(connection, "raw_delay")
    low, high = delay_limits(where, connection, chip)
    delays, span = connection.delays(), connection.max_delay - connection.min_delay
    wanted = delays.detach()
    if chip.delay_step is not None:
        wanted = (wanted / chip.delay_step).round() * chip.delay_step
    wanted = wanted.clamp(low, high)
    fraction, goal = ((values - connection.min_delay) / span for values in (delays, wanted))
    return straight_through(fraction, goal.clamp(0.0, BELOW_ONE))


def _thresholds(neuron: Neuron, levels: int) -> dict[str, Tensor]:
    values = {name: tensor_of(neuron, name).double() for name in AGAINST_V if name in neuron.names}
    step = float(values["threshold"].detach().max()) / levels
    steps = {name: (value.detach() / step).round() for name, value in values.items()}
    above = steps["v_reset"].clamp(min=0.0) if "v_reset" in steps else torch.zeros(())
    steps["threshold"] = torch.maximum(steps["threshold"], above + 1.0)  # the lowest legal one
    return {name: straight_through(value, steps[name] * step) for name, value in values.items()}

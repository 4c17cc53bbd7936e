"""What a chip does to the parameters of a network, in words."""

import torch
from torch import Tensor, nn

from saltation.chips.chip import Chip
from saltation.chips.places import connections_of, layers_of
from saltation.chips.quantise import delay_limits, kept_synapses, quantise, weight_step
from saltation.connections import Connection
from saltation.layer import Layer


@torch.no_grad()
def changes(network: nn.Module, chip: Chip) -> list[str]:
    """One line for each kind of parameter of each connection and layer: what `quantise` clips, rounds or leaves out.

    Raises what `quantise` raises.
    """
    values = quantise(network, chip)
    lines = []
    for number, (prefix, layer) in enumerate(layers_of(network).items()):
        kept = kept_synapses(layer, chip.fan_in)
        for name, connection in connections_of(layer):
            where = f"layer {number}, {_words(name)}"
            after = values.get(f"{prefix}{name}weight")
            if after is not None:
                lines.append(f"{where} weights: {_of_weights(connection, after, chip, kept.get(name))}")
            if connection.delay is not None:
                lines.append(f"{where} delays: {_of_delays(f'{prefix}{name}', connection, values, chip)}")
        lines += _of_thresholds(f"layer {number}", prefix, layer, values)
    return lines


def _words(name: str) -> str:
    """`connection.connections.2.` as it is counted in a recipe."""
    first, *rest = name.rstrip(".").split(".")
    part = "recurrent" if first == "recurrent" else "input"
    return f"{part} {rest[-1]}" if rest else part


def _of_weights(connection: Connection, after: Tensor, chip: Chip, kept: Tensor | None) -> str:
    before = connection.weight.double()
    said = []
    if kept is not None:
        said.append(f"{int((~kept & (before != 0)).sum())} synapses of {before.numel()} left out (fan-in)")
    if chip.weight_range is not None:
        said.append(f"{int((before.abs() > chip.weight_range).sum())} clipped to +-{chip.weight_range:g}")
    step = None if not before.numel() else weight_step(before if kept is None else before * kept, chip)
    if step is not None:
        lost = int(((after == 0) & (before != 0)).sum()) - (0 if kept is None else int((~kept & (before != 0)).sum()))
        error = (after - before if kept is None else (after - before)[kept]).double()
        said.append(
            f"rounded to multiples of {step:.4g}, off by {_root(error) / max(_root(before), 1e-300):.2%} (root mean "
            f"square), {lost} of {before.numel()} to 0"
        )
    return ", ".join(said) or "as they are"


def _of_delays(prefix: str, connection: Connection, values: dict[str, Tensor], chip: Chip) -> str:
    raw = values.get(f"{prefix}raw_delay")
    if raw is None:
        return "as they are"
    before = connection.delays()
    low, high = delay_limits(prefix, connection, chip)
    after = connection.min_delay + (connection.max_delay - connection.min_delay) * raw
    inside = (before >= low) & (before <= high)
    said = f"{int((~inside).sum())} of {before.numel()} clipped to [{low:g}, {high:g}]"
    if chip.delay_step is not None and bool(inside.any()):
        moved = (after - before)[inside].abs().max()
        said += f", the others rounded to multiples of {chip.delay_step:g}, by at most {float(moved):.3g}"
    return said


def _of_thresholds(where: str, prefix: str, layer: Layer, values: dict[str, Tensor]) -> list[str]:
    after = values.get(f"{prefix}neuron.threshold")
    if after is None:
        return []
    before = layer.neuron.threshold.double()
    moved = float(((after - before) / before).abs().max())
    lines = [f"{where} thresholds: {before.numel()} rounded, by at most {moved:.2%}"]
    for name, words in (("jump", "jumps"), ("v_reset", "reset potentials")):  # of the same step; 0 stays 0
        after = values.get(f"{prefix}neuron.{name}")
        before = getattr(layer.neuron, name, torch.zeros(())).double()
        if after is not None and bool(before.any()):
            lost = int(((after == 0) & (before != 0)).sum())
            moved = float((after - before).abs().max())
            lines.append(f"{where} {words}: {before.numel()} rounded, by at most {moved:.3g}, {lost} to 0")
    return lines


def _root(values: Tensor) -> float:
    return float(values.double().square().mean().sqrt()) if values.numel() else 0.0

"""What goes wrong in training, said once and with a remedy. All of it is read from the metrics of the epochs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from saltation.parameters import parameters
from saltation.sequential import Sequential
from saltation.train.config import Config

PATIENCE = 3  # epochs in a row, so that the start of training and chance say nothing
SILENT = 0.5  # of the neurons of a layer
AT_BOUND = 0.25  # of the delays of a connection, at one of the two
CLIPPED = 0.5  # of the steps
RUN_AWAY, MANY = 5.0, 10.0  # times the spikes of the first epoch, and at least so many per neuron and sample


@dataclass(frozen=True)
class Remark:
    """What is wrong, since which epoch, and what to do. what: names the fault, for saying it once."""

    what: str
    epoch: int
    text: str


def remarks(history: Sequence[dict[str, Any]], config: Config) -> list[Remark]:
    """Every fault once, at the first epoch that shows it, in this order. What metrics do not record is no fault."""
    found: dict[str, Remark] = {}
    for end in range(1, len(history) + 1):
        for what, text in _shown(history[:end], config).items():
            found.setdefault(what, Remark(what, history[end - 1]["epoch"], text))
    return list(found.values())


def new_remarks(history: Sequence[dict[str, Any]], config: Config) -> list[str]:
    """What the last epoch is the first to show. Most faults last, so that a look at the epoch before is enough."""
    new = _shown(history, config)
    for end in range(len(history) - 1, 0, -1):
        if not new:
            break
        for what in _shown(history[:end], config):
            new.pop(what, None)
    return list(new.values())


def delays_at_bounds(model: Sequential) -> dict[str, list[float]]:
    """By connection, the shares of the delays at the smallest and at the largest that is legal; see `Delays`."""
    places = parameters(model).items()
    return {name: [place.delays.at_low, place.delays.at_high] for name, place in places if place.delays is not None}


def _shown(history: Sequence[dict[str, Any]], config: Config) -> dict[str, str]:
    """What the last epoch shows, and its text."""
    return dict(_faults(history[0], history[-PATIENCE:], config))


def _faults(first: dict[str, Any], lines: Sequence[dict[str, Any]], config: Config) -> Iterator[tuple[str, str]]:
    """(what, text) of all that the last of `lines`, or all of them, show."""
    last = lines[-1]
    for k, rate in enumerate(_list(last, "spikes_by_layer")[: len(config.model.layers)]):
        if rate == 0.0:
            yield f"silent layer {k}", _silent_layer(k, last["epoch"], config)
        begun = _list(first, "spikes_by_layer")
        if k < len(begun) and rate >= MANY and rate > RUN_AWAY * begun[k]:
            yield f"run away {k}", _run_away(k, rate, begun[k], last["epoch"], config)
    if len(lines) < PATIENCE:
        return
    for k, share in enumerate(_least(lines, "silent_by_layer")[: len(config.model.layers)]):
        if SILENT < share < 1.0:
            yield f"silent neurons {k}", _silent_neurons(k, share, lines, config)
    clipped = min(_number(line, "clipped") for line in lines)
    if clipped > CLIPPED:
        yield "clipped", _clipped(clipped, lines, config)
    bounds = [_shares(line, config) for line in lines]
    for place, shares in bounds[-1].items():
        for side in (0, 1):
            if min(line.get(place, [0.0, 0.0])[side] for line in bounds) > AT_BOUND:
                yield f"delays {place} {side}", _delays(place, side, shares[side], last["epoch"], config)


def _silent_layer(k: int, epoch: int, config: Config) -> str:
    return (
        f"layer {k} sent no spike in epoch {epoch}, so that neither it nor what lies before it learns from spikes; "
        f"start with stronger weights (model.layers.{k}.weights '{{mean: null, drive: 3}}'), or {_revival(k, config)}"
    )


def _silent_neurons(k: int, share: float, lines: Sequence[dict[str, Any]], config: Config) -> str:
    return (
        f"{100 * share:.0f} % of the neurons of layer {k} or more never spiked in epochs {_span(lines)}, and without "
        f"spikes they do not learn; {_revival(k, config)}, or take fewer neurons"
    )


def _revival(k: int, config: Config) -> str:
    """What wakes silent neurons, as far as it is not on already."""
    remedies = []
    layer, *later = config.model.layers[k:]
    smooth = later and all(hasattr(other, "smoothing") or not other.spikes for other in later)
    if smooth and config.train.peak_hinge == 0.0 and getattr(layer, "smoothing", None) == 0.0:
        remedies.append(f"set model.layers.{k}.smoothing 0.1")
    if config.train.bump.amount == 0.0:
        remedies.append("set train.bump.amount 0.01")
    return " or ".join(remedies) or f"raise train.bump.amount, which is {config.train.bump.amount:g}"


def _run_away(k: int, rate: float, begun: float, epoch: int, config: Config) -> str:
    layer = config.model.layers[k]
    remedies = [f"hold them back by train.counts.weight 0.1 and train.counts.target {max(begun, 1.0):.2g}"]
    if hasattr(layer, "refractory"):
        remedies.append(f"set a longer model.layers.{k}.refractory")
    if getattr(layer, "recurrent", None) is not None:
        remedies.append(f"weaken the feedback (model.layers.{k}.recurrent.std)")
    return (
        f"the spikes of layer {k} run away: {rate:.3g} per neuron and sample in epoch {epoch}, {begun:.3g} in the "
        f"first; lower train.lr.weight, {', '.join(remedies[:-1])}{', or ' if remedies[1:] else 'or '}{remedies[-1]}"
    )


def _clipped(share: float, lines: Sequence[dict[str, Any]], config: Config) -> str:
    norms = [_number(line, "gradient_norm") for line in lines]
    mean = sum(norms) / len(norms)
    grows = norms[-1] > 2 * norms[0]
    cure = "lower train.lr.weight, as it grows" if grows else f"set train.clip_norm {_rounded_up(3 * mean):g}"
    return (
        f"the gradient was clipped in {100 * share:.0f} % of the steps or more in epochs {_span(lines)}, which keeps "
        f"its direction but not its size: its mean norm is {mean:.3g} and train.clip_norm {config.train.clip_norm:g}; "
        f"{cure}"
    )


def _delays(place: str, side: int, share: float, epoch: int, config: Config) -> str:
    number, _, recurrent = place.removeprefix("layer ").partition(", ")
    layer = config.model.layers[int(number)]
    key, section = f"model.layers.{number}", layer
    if recurrent:
        key, section = f"{key}.recurrent", getattr(layer, "recurrent", layer)
    where = f"{100 * share:.0f} % of the delays of {place} pile up at the"
    if side == 1:
        return f"{where} largest that is legal (epoch {epoch}); raise {key}.max_delay, or lower train.lr.delay"
    shorter = f"lower {key}.min_delay, or " if section.min_delay > 0 else "if short delays are no help, "
    return f"{where} smallest that is legal (epoch {epoch}); {shorter}lower train.lr.delay"


def _span(lines: Sequence[dict[str, Any]]) -> str:
    return f"{lines[0]['epoch']} to {lines[-1]['epoch']}"


def _rounded_up(value: float) -> float:
    """With one digit."""
    return float(f"{value:.0e}")


def _shares(line: dict[str, Any], config: Config) -> dict[str, list[float]]:
    """The delays at their bounds, of connections that there are and whose delays are trained."""
    places = [f"layer {k}{part}" for k in range(len(config.model.layers)) for part in ("", ", recurrent")]
    recorded = line.get("delays_at_bounds")
    if config.train.lr.delay == 0 or not isinstance(recorded, dict):
        return {}
    return {place: _list(recorded, place) for place in places if len(_list(recorded, place)) == 2}


def _list(line: dict[str, Any], key: str) -> list[float]:
    """Numbers; none if the metrics say something else."""
    value = line.get(key)
    numbers = isinstance(value, list) and all(isinstance(entry, int | float) for entry in value)
    return value if isinstance(value, list) and numbers else []


def _number(line: dict[str, Any], key: str) -> float:
    value = line.get(key)
    return float(value) if isinstance(value, int | float) else 0.0


def _least(lines: Sequence[dict[str, Any]], key: str) -> list[float]:
    """Entry by entry of lists, the smallest of all lines."""
    return [min(entries) for entries in zip(*(_list(line, key) for line in lines), strict=False)]

"""Neurons as nodes of NIR, and nodes of NIR as neurons."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from saltation import check, neurons
from saltation.neuron import Neuron

from .conventions import Convention, Synapse
from .metadata import arrays, noted, notes, text

LOSSY = "with lossy=True it is kept as metadata that saltation alone reads, and others simulate the rest"
SAME = 1e-9  # relative: how far node values may be from those that the metadata belongs to
HELD = 10.0  # synaptic time constants, after which next to nothing of a current is left
CURRENT_BASED = ("CubaLIF", "CubaLI")


class Cell(NamedTuple):
    """One population as nodes one after the other: names, classes of NIR and their fields (size,)."""

    rows: list[tuple[str, str, dict[str, np.ndarray]]]
    gain: np.ndarray  # (size,): by what the weights of its inputs are multiplied
    metadata: dict[str, Any] = {}

    def nodes(self, nir: Any, spread: Callable[[np.ndarray], np.ndarray]) -> list[tuple[str, Any]]:
        """Names and nodes; signals enter the first and leave the last. spread: from (size,) to their shape."""
        made = []
        for name, kind, fields in self.rows:
            made.append((name, getattr(nir, kind)(**{field: spread(value) for field, value in fields.items()})))
        made[-1][1].metadata = dict(self.metadata)
        return made


def values_of(neuron: Neuron) -> dict[str, np.ndarray]:
    """All parameters that a user can set, each (size,) float64."""
    return {name: getattr(neuron, name).detach().double().expand(neuron.size).numpy() for name in neuron.names}


def what_is_lost(neuron: Neuron) -> str | None:
    """What NIR can not say of a population, in words; None if it can say everything."""
    if isinstance(neuron, neurons.QIF):
        return "QIF neurons, for which NIR has no node"
    if not neuron.spiking:
        return None
    if isinstance(neuron, neurons.LIF) and bool(neuron.jump.ne(0).any()):
        return "an adaptive threshold (jump is not 0)"
    return "a refractory period" if bool(neuron.refractory.ne(0).any()) else None


def cell(neuron: Neuron, convention: Convention, unit: float, lossy: bool) -> Cell:
    """A population for NIR; unit: seconds of a unit of time.

    Raises ValueError if NIR, or who reads by this convention, can not say what the neurons are.
    """
    lost = what_is_lost(neuron)
    check.require(lost is None or lossy, f"NIR can not express {lost}; {LOSSY}")
    parameters = values_of(neuron)
    if isinstance(neuron, neurons.IF):
        made = _nonleaky(parameters, convention, unit)
    else:
        made = _leaky(neuron, parameters, convention, unit)
    if lost is None:
        return made
    reset = neuron.reset if isinstance(neuron, neurons.LIF) else None
    return made._replace(metadata=noted(model=type(neuron).__name__, parameters=parameters, reset=reset))


def _leaky(neuron: Any, parameters: dict[str, np.ndarray], convention: Convention, unit: float) -> Cell:
    """CubaLIF or CubaLI. Of QIF neurons: LIF ones with the same time constants."""
    tau_mem = unit * parameters["tau_mem"]
    tau_syn = unit * neuron.tau_syn.detach().double().expand(neuron.size).numpy()
    node, gain = convention.rule.encode(tau_mem, tau_syn)
    fields = {**node._asdict(), "v_leak": np.zeros_like(tau_mem)}
    if not neuron.spiking:
        return Cell([("li", "CubaLI", fields)], gain)
    subtract = getattr(neuron, "reset", "constant") == "subtract"  # of the whole V, as the threshold is constant
    v_reset = np.zeros_like(tau_mem) if subtract else parameters.get("v_reset", np.zeros_like(tau_mem))
    threshold, v_reset, scale = _potentials(parameters["threshold"], v_reset, convention)
    return Cell([("lif", "CubaLIF", fields | {"v_threshold": threshold, "v_reset": v_reset})], gain * scale)


def _potentials(threshold: np.ndarray, v_reset: np.ndarray, convention: Convention) -> tuple[np.ndarray, ...]:
    """Threshold and reset as a framework can take them, and by what all potentials have been multiplied."""
    check.require(
        not convention.zero_reset or not v_reset.any(),
        f"v_reset is not 0, which {convention.name} takes it to be without a word; use convention='nir', or train "
        "with v_reset = 0",
    )
    if convention.one_threshold and threshold.min() < threshold.max():
        return np.ones_like(threshold), v_reset / threshold, 1.0 / threshold
    return threshold, v_reset, np.ones_like(threshold)


def _nonleaky(parameters: dict[str, np.ndarray], convention: Convention, unit: float) -> Cell:
    """A leaky integrator of the input, which is the current, before an IF:  dv/dt = I/tau_syn."""
    check.require(
        not convention.stepped,
        f"{convention.name} has no IF neurons with synaptic currents; use convention='nir'",
    )
    tau = unit * parameters["tau_syn"]
    node, gain = convention.rule.encode(tau, tau)
    synapse = {"tau": tau, "r": node.w_in, "v_leak": np.zeros_like(tau)}
    membrane = {"r": 1.0 / tau, "v_threshold": parameters["threshold"], "v_reset": parameters["v_reset"]}
    return Cell([("syn", "LI", synapse), ("if", "IF", membrane)], gain)


class Read(NamedTuple):
    """A population that was read: how to make its neurons from values (size,), and the gain of its weights."""

    make: Callable[[Callable[[np.ndarray], Any], int], Neuron]  # of (how to show an array, size)
    values: dict[str, np.ndarray]
    gain: np.ndarray
    spiking: bool


class Reader:
    """Reads the nodes of populations.

    unit: seconds of a unit of time. kernel: time constant of the synapses, in that unit, of neurons that have none;
    None: those are refused. train: names of parameters to train, None for those of the classes.
    """

    def __init__(self, convention: Convention, unit: float, kernel: float | None, train: Sequence[str] | None):
        self.convention, self.unit, self.kernel, self.train = convention, unit, kernel, train

    def read(self, kinds: tuple[str, ...], fields: list[dict[str, np.ndarray]], node: Any) -> Read:
        """A population of nodes of these kinds and values (size,). Raises ValueError if there is no such neuron."""
        found = notes(node)
        if text(found, "model") is not None:
            return self._noted(found, fields[-1])
        if kinds[-1] in CURRENT_BASED:
            return self._current_based(fields[0])
        if kinds == ("LI", "LIF") or kinds == ("LI", "LI"):
            synapse, membrane = fields
            check.require(not synapse["v_leak"].any(), "the v_leak of the synapse before it must be 0")
            taken = {"tau_mem": membrane["tau"], "tau_syn": synapse["tau"], "w_in": synapse["r"]}
            return self._current_based(membrane | taken)
        if kinds == ("LI", "IF"):
            return self._nonleaky(*fields)
        return self._without_synapse(kinds[-1], fields[-1])

    def _current_based(self, fields: dict[str, np.ndarray]) -> Read:
        _positive(fields, "tau_mem", "tau_syn")
        check.require(bool((fields["r"] * fields["w_in"] != 0).all()), "r and w_in must not be 0")
        node = Synapse(fields["tau_mem"], fields["tau_syn"], fields["r"], fields["w_in"])
        tau_mem, tau_syn, gain = self.convention.rule.decode(node)
        return self._linear(fields, {"tau_mem": tau_mem / self.unit, "tau_syn": tau_syn / self.unit}, gain)

    def _linear(
        self, fields: dict[str, np.ndarray], taus: dict[str, np.ndarray], gain: np.ndarray, **rest: Any
    ) -> Read:
        """LIF neurons, or LI ones if there is no threshold."""
        leak = fields["v_leak"]
        if "v_threshold" not in fields:
            check.require(not leak.any(), "v_leak must be 0 where V is read out")
            return self._population(neurons.LI, taus, gain)
        check.require(
            not self.convention.stepped or not leak.any(),
            "v_leak must be 0; only in continuous time (convention 'nir' or 'unit') is V known to start there",
        )
        potentials = {"threshold": fields["v_threshold"] - leak, "v_reset": fields["v_reset"] - leak}
        return self._population(neurons.LIF, taus | potentials | rest, gain)

    def _nonleaky(self, synapse: dict[str, np.ndarray], membrane: dict[str, np.ndarray]) -> Read:
        """See `_nonleaky` of writing."""
        check.require(not self.convention.stepped, "an IF with a synapse is read by convention 'nir' or 'unit' alone")
        check.require(not synapse["v_leak"].any(), "the v_leak of the synapse before it must be 0")
        _positive(synapse, "tau")
        node = Synapse(synapse["tau"], synapse["tau"], membrane["r"] * synapse["tau"], synapse["r"])
        check.require(bool((node.r * node.w_in != 0).all()), "r must not be 0")
        _, tau_syn, gain = self.convention.rule.decode(node)
        values = {"tau_syn": tau_syn / self.unit, "threshold": membrane["v_threshold"], "v_reset": membrane["v_reset"]}
        return self._population(neurons.IF, values, gain)

    def _without_synapse(self, kind: str, fields: dict[str, np.ndarray]) -> Read:
        """Neurons whose V jumps at a spike, approximated with short currents that bring V to the same course.

        A current J of time constant ts makes V = J ts/(tm - ts) (e^{-t/tm} - e^{-t/ts}), which is the wanted jump once
        the current has passed. What is left of it at a spike passes while V is held.
        """
        if self.kernel is None:
            raise ValueError(
                f"a {kind} whose potential jumps at every spike, as it has no synaptic current, is not exactly one of "
                "saltation's neurons; give tau_syn=, a time constant much shorter than all others, to approximate it"
            )
        tau_syn = np.full_like(fields["r"], self.kernel)
        held = {"refractory": HELD * tau_syn}
        if kind == "IF":
            values = {"tau_syn": tau_syn, "threshold": fields["v_threshold"], "v_reset": fields["v_reset"]}
            return self._population(neurons.IF, values | held, 1.0 / self.convention.rule.charge(fields["r"]))
        _positive(fields, "tau")
        tau, jump = self.convention.rule.kick(fields["tau"], fields["r"])
        tau = tau / self.unit
        check.require(bool((tau > tau_syn).all()), f"tau_syn = {self.kernel:g} must be shorter than tau, {tau.min():g}")
        gain = tau_syn / (tau - tau_syn) / jump
        taus = {"tau_mem": tau, "tau_syn": tau_syn}
        return self._linear(fields, taus, gain, **({} if kind == "LI" else held))

    def _noted(self, found: dict[str, Any], fields: dict[str, np.ndarray]) -> Read:
        """A population whose parameters are in the metadata, if the node still is the one that was written."""
        name = text(found, "model")
        model: Any = {"LIF": neurons.LIF, "IF": neurons.IF, "QIF": neurons.QIF}.get(name or "")
        if model is None:
            raise ValueError(f"metadata saltation.model = {check.shown(name)}: must be LIF, IF or QIF")
        values, size = arrays(found, "parameters"), len(fields["v_threshold"])
        legal = set(values) == set(model.names) and all(np.size(value) in (1, size) for value in values.values())
        check.require(legal, f"metadata saltation.parameters are not those of {size} {name} neurons")
        values = {key: np.broadcast_to(value.reshape(-1), (size,)).copy() for key, value in values.items()}
        reset = text(found, "reset")
        options = {} if reset is None else {"reset": reset}
        read = self._population(model, values, np.ones(size), **options)
        return read._replace(gain=self._gain_of(read, fields))

    def _gain_of(self, read: Read, fields: dict[str, np.ndarray]) -> np.ndarray:
        """The gain with which these neurons were written. Raises ValueError if the node's values are others."""
        neuron = read.make(torch.from_numpy, len(read.gain))
        written = cell(neuron, self.convention, self.unit, lossy=True)
        for name, expected in written.rows[-1][2].items():
            if name not in fields or not np.allclose(fields[name], expected, rtol=SAME, atol=0.0):
                raise ValueError(
                    f"its {name} is no longer the one that its metadata was written with; take the key 'saltation' out "
                    "of its metadata to read the node as it stands, or give the convention, time_unit and dt that it "
                    "was written with"
                )
        return written.gain

    def _population(self, model: Any, values: dict[str, Any], gain: np.ndarray, **options: Any) -> Read:
        trained = {} if self.train is None else {"train": tuple(n for n in self.train if n in model.names)}

        def make(show: Callable[[np.ndarray], Any], size: int) -> Neuron:
            return model(size, **{name: show(value) for name, value in values.items()}, **trained, **options)

        return Read(make, values, gain, model.spiking)


def _positive(fields: dict[str, np.ndarray], *names: str) -> None:
    for name in names:
        low = float(fields[name].min())
        check.require(low > 0, f"{name} = {low:g}: must be > 0")

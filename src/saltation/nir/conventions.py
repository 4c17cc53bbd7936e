"""How the numbers of a NIR graph are meant: what current a spike adds, and how a time step decays.

NIR states, with times in seconds,

    tau_syn dI/dt = -I + w_in S          tau_mem dv/dt = (v_leak - v) + r I

and leaves open what a spike S is, and in what steps this is solved. Here a spike adds w_j to the current of
tau_mem dV/dt = -V + I. A `Rule` says for each neuron which node values mean the same, and by which `gain` its incoming
weights are multiplied: weights in the graph = gain * weights here. Where the neuron of a framework takes time steps,
the node's values make its V at the end of every step that of the exact solution: see `Euler` and `Exponential`.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np

from saltation import check
from saltation.extras import need

DEFAULT_DT = 1e-4  # seconds, that of snnTorch, SpikingJelly and Lava
SAME_DT = 1e-3  # relative: by how much the steps that Rockpool's r of different neurons tells may differ


class Synapse(NamedTuple):
    """Time constants in seconds, and the values of a node of a current-based neuron; arrays of one shape."""

    tau_mem: np.ndarray
    tau_syn: np.ndarray
    r: np.ndarray
    w_in: np.ndarray


def phi(s: float, tau_mem: np.ndarray, tau_syn: np.ndarray) -> np.ndarray:
    """V after s that a unit current at 0 causes, (e^{-s/tau_syn} - e^{-s/tau_mem}) / (1 - tau_mem/tau_syn), in the form
    of kernels/flow.py, without cancellation.
    """
    x = s / tau_mem
    d = np.abs(x - s / tau_syn)
    slope = np.where(d == 0.0, 1.0, -np.expm1(-d) / np.where(d == 0.0, 1.0, d))
    return x * np.exp(-s / np.maximum(tau_mem, tau_syn)) * slope


@dataclass(frozen=True)
class Delta:
    """By the letter: S is a sum of delta functions, so that a spike adds w_in/tau_syn times its weight to I."""

    dt: float | None = None
    text: ClassVar[str] = "a spike is a delta function: the current jumps by weight * w_in / tau_syn"
    steps: ClassVar[str] = "none, continuous time"

    def jump(self, w_in: np.ndarray, tau_syn: np.ndarray) -> np.ndarray:
        """How much a spike of weight 1 adds to I."""
        return w_in / tau_syn

    def encode(self, tau_mem: np.ndarray, tau_syn: np.ndarray) -> tuple[Synapse, np.ndarray]:
        """The node's values and the gain of its weights, for time constants in seconds."""
        one = np.ones_like(tau_mem)
        return Synapse(tau_mem, tau_syn, one, tau_syn), one

    def decode(self, node: Synapse) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """tau_mem and tau_syn in seconds and the gain of a node."""
        return node.tau_mem, node.tau_syn, 1.0 / (node.r * self.jump(node.w_in, node.tau_syn))

    def kick(self, tau: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of neurons without a synapse, tau dv/dt = -v + r S: tau in seconds, and what a spike adds to v."""
        return tau, r / tau

    def charge(self, r: np.ndarray) -> np.ndarray:
        """Of neurons without a synapse and without leak, dv/dt = r S: what a spike adds to v."""
        return r


@dataclass(frozen=True)
class Unit(Delta):
    """A spike adds its weight times w_in to I, whatever tau_syn is."""

    text: ClassVar[str] = "the current jumps by weight * w_in"

    def jump(self, w_in: np.ndarray, tau_syn: np.ndarray) -> np.ndarray:
        """See Delta."""
        return w_in

    def encode(self, tau_mem: np.ndarray, tau_syn: np.ndarray) -> tuple[Synapse, np.ndarray]:
        """See Delta."""
        one = np.ones_like(tau_mem)
        return Synapse(tau_mem, tau_syn, one, one), one

    def kick(self, tau: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See Delta."""
        return tau, r


@dataclass(frozen=True)
class Euler(Delta):
    """Steps of dt, in which a spike is S = 1:  I += dt/tau_syn (w_in S - I),  v += dt/tau_mem (r I - v).

    With r = tau_mem/dt and w_in = tau_syn/dt these are  I = alpha I + S,  v = beta v + I. Where alpha = 1 - dt/tau_syn
    is e^{-dt/tau} of the exact tau, and beta likewise, v is 1/phi(dt) times the exact solution at the end of each step.
    """

    text: ClassVar[str] = "a spike is 1 for one step: the current jumps by weight * w_in * dt / tau_syn"
    steps: ClassVar[str] = "forward Euler, decays 1 - dt/tau"

    def encode(self, tau_mem: np.ndarray, tau_syn: np.ndarray) -> tuple[Synapse, np.ndarray]:
        """See Delta."""
        assert self.dt is not None
        mem, syn = (-self.dt / np.expm1(-self.dt / tau) for tau in (tau_mem, tau_syn))
        return Synapse(mem, syn, mem / self.dt, syn / self.dt), phi(self.dt, tau_mem, tau_syn)

    def decode(self, node: Synapse) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See Delta."""
        assert self.dt is not None
        tau_mem, tau_syn = self._exact(node.tau_mem), self._exact(node.tau_syn)
        unit = node.w_in * self.dt / node.tau_syn * node.r * self.dt / node.tau_mem
        return tau_mem, tau_syn, phi(self.dt, tau_mem, tau_syn) / unit

    def kick(self, tau: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See Delta."""
        assert self.dt is not None
        return self._exact(tau), r * self.dt / tau

    def charge(self, r: np.ndarray) -> np.ndarray:
        """See Delta."""
        assert self.dt is not None
        return r * self.dt

    def _exact(self, tau: np.ndarray) -> np.ndarray:
        """The time constant that decays as 1 - dt/tau does."""
        assert self.dt is not None
        short = tau <= self.dt
        check.require(
            not bool(short.any()),
            f"a time constant of {tau[short].min() if short.any() else 0:g} s is not longer than the time step of "
            f"{self.dt:g} s: in this convention nothing would be left of it after a step; check dt=",
        )
        return -self.dt / np.log1p(-self.dt / tau)


@dataclass(frozen=True)
class Exponential(Delta):
    """Rockpool's steps of dt:  I = alpha (I + S),  v = beta v + I.

    alpha = e^{-dt/tau_syn}, beta = e^{-dt/tau_mem}. It takes dt from r = tau_mem/dt e^{-dt/tau_mem}, and w_in as 1.
    """

    text: ClassVar[str] = "a spike is 1 for one step: v gains weight * e^{-dt/tau_syn} in it; r tells dt"
    steps: ClassVar[str] = "exponential, decays e^{-dt/tau}"

    def encode(self, tau_mem: np.ndarray, tau_syn: np.ndarray) -> tuple[Synapse, np.ndarray]:
        """See Delta."""
        assert self.dt is not None
        r = tau_mem / self.dt * np.exp(-self.dt / tau_mem)
        gain = phi(self.dt, tau_mem, tau_syn) * np.exp(self.dt / tau_syn)
        return Synapse(tau_mem, tau_syn, r, np.ones_like(r)), gain

    def decode(self, node: Synapse) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See Delta."""
        dt = self.dt or self._told(node.tau_mem, node.r)
        gain = phi(dt, node.tau_mem, node.tau_syn) * np.exp(dt / node.tau_syn)
        return node.tau_mem, node.tau_syn, gain

    def kick(self, tau: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See Delta."""
        return tau, np.ones_like(r)

    def charge(self, r: np.ndarray) -> np.ndarray:
        """See Delta."""
        return np.ones_like(r)

    @staticmethod
    def _told(tau_mem: np.ndarray, r: np.ndarray) -> float:
        """dt, from r = e^{-x}/x with x = dt/tau_mem: x is Lambert's W of 1/r."""
        need("nir", "a graph of Rockpool without dt")
        from scipy.special import lambertw  # takes its time to import

        check.require(bool((r > 0).all()), "r must be > 0: Rockpool's r tells the time step; or give dt=")
        dt = lambertw(1.0 / r).real * tau_mem
        same = float(dt.max()) <= (1.0 + SAME_DT) * float(dt.min())
        check.require(same, f"r tells time steps from {dt.min():g} to {dt.max():g} s; say which by dt=")
        return float(dt.min())


@dataclass(frozen=True)
class Convention:
    """A rule, and what a framework that reads by it can not take.

    one_threshold: the same for all neurons of a node; others are scaled to 1. zero_reset: v_reset is taken to be 0.
    """

    name: str
    rule: Delta
    one_threshold: bool = False
    zero_reset: bool = False

    @property
    def stepped(self) -> bool:
        """Whether time goes in steps."""
        return isinstance(self.rule, Euler | Exponential)


CONVENTIONS = {
    convention.name: convention
    for convention in (
        Convention("nir", Delta()),
        Convention("unit", Unit()),
        Convention("jaxsnn", Unit()),
        Convention("snntorch", Euler(DEFAULT_DT), one_threshold=True, zero_reset=True),
        Convention("spikingjelly", Euler(DEFAULT_DT), one_threshold=True),
        Convention("norse", Euler(1e-3), zero_reset=True),
        Convention("lava", Euler(DEFAULT_DT), one_threshold=True, zero_reset=True),
        Convention("rockpool", Exponential(DEFAULT_DT), zero_reset=True),
    )
}


def convention_of(name: str, dt: float | None = None, reading: bool = False) -> Convention:
    """A convention by name, with another time step in seconds if one is given.

    reading: a dt that is not given is to be found in the graph, where it can be.
    Raises ValueError if there is none of that name, or it has no time steps.
    """
    known = CONVENTIONS.get(name) if isinstance(name, str) else None
    if known is None:
        raise ValueError(f"convention = {check.shown(name)}: must be one of {', '.join(CONVENTIONS)}; see docs/nir.md")
    if dt is not None:
        check.require(known.stepped, f"dt = {dt}: the convention {name} is of continuous time; leave dt out")
        return replace(known, rule=replace(known.rule, dt=check.finite_number(dt, "dt", low=0.0, strict=True)))
    if reading and isinstance(known.rule, Exponential):
        return replace(known, rule=replace(known.rule, dt=None))
    return known

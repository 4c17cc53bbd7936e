"""`Layer` = connection + neuron, and `Sequential`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import check, ops
from .connections import Connection
from .convolution import SumPool2d
from .kernels.flow import phi
from .kernels.layout import JUMP, PSEUDO_DRIVE, PSEUDO_TIME, TAU_ADAPT, TAU_MEM, THRESHOLD, Wiring, full_wiring
from .kernels.qif import flow
from .neurons import LI, LIF, QIF
from .readout import Readout
from .spikes import Spikes
from .tree import walked
from .wired import Parallel

# A spike counts as grazing if tau_mem d(V - theta)/dt < GRAZING threshold: its gradient is 1/GRAZING or larger.
GRAZING = 1e-2
LARGEST_WEIGHT = 1e100


@walked
@dataclass(frozen=True)
class Result:
    """What `Layer.run` returns.

    spikes: the output spikes. peak: (B, N), maximum of V - theta since the last spike, or None if not asked for;
    slopes: (S,), tau_mem d(V - theta)/dt / threshold at every spike, by which its gradient is divided; inf where it is
    not: at the spikes of QIF neurons, and where V is above theta when the refractory period ends. grazing: how many
    slopes are below 0.01, which makes a large gradient.
    """

    spikes: Spikes
    peak: Tensor | None
    slopes: Tensor

    @property
    def grazing(self) -> int:
        """Number of spikes that graze the threshold."""
        return int((self.slopes < GRAZING).sum())


class Layer(nn.Module):
    """A population of neurons and the connection that feeds it, simulated on [0, duration] of its input.

    Args:
        connection: `Linear`, `Sparse`, `Conv2d`, `Beside` or `Parallel`.
        neuron: `LIF`, `QIF` or `LI`, as many as the connection has outputs. LIF and QIF after a `Conv2d` may also be as
            many as it has output channels: all places then share their parameters.
        recurrent: a `Linear(n, n)` (or `Sparse`) from the n neurons of this layer to themselves, with any kind of delay
            or none; only for LIF neurons. Where places share their neurons: from channel to channel, within each place.
        max_spikes: budget of one neuron in one sample, >= 1; a neuron that runs away raises `SpikeBudgetError`. None:
            100,000, or 10,000 in a recurrent layer, where all of it can run away together.

    Calling the layer with `Spikes` returns `Spikes` (LIF, QIF) or a `Readout` (LI). It holds no state between calls.

    Example:
        >>> from saltation import LIF, Linear
        >>> layer = Layer(Linear(2, 1), LIF(1, tau_mem=2.0, tau_syn=1.0))
        >>> _ = torch.nn.init.constant_(layer.connection.weight, 3.0)
        >>> layer(Spikes.from_lists([[(0.0, 0), (0.5, 1)]], num_units=2, duration=5.0)).counts().tolist()
        [[1]]
    """

    def __init__(
        self,
        connection: Connection,
        neuron: LIF | QIF | LI,
        recurrent: Connection | None = None,
        max_spikes: int | None = None,
    ):
        super().__init__()
        patches = None if isinstance(neuron, LI) else connection.patches()
        if patches is None or neuron.size * patches.places != connection.out_size:
            what = "the neurons of a layer and the outputs of its connection"
            if patches is not None:
                what += f" (or {connection.out_size // patches.places}, shared by its {patches.places} places)"
            check.width(connection.out_size, neuron.size, what)
            patches = None
        self._patches = patches
        if recurrent is not None:
            check.require(
                isinstance(neuron, LIF), "recurrent= is for LIF neurons: LI never spike, and QIF have no kernel"
            )
            check.require(not isinstance(recurrent, Parallel), "recurrent= takes no Parallel: feedback arrives once")
            check.width(recurrent.in_size, neuron.size, "the neurons of a layer and the inputs of its recurrent part")
            check.width(recurrent.out_size, neuron.size, "the neurons of a layer and the outputs of its recurrent part")
        self.connection = connection
        self.neuron = neuron
        self.recurrent = recurrent
        if max_spikes is None:
            max_spikes = ops.DEFAULT_BUDGET if recurrent is None else ops.RECURRENT_BUDGET
        self.max_spikes = check.whole_number(max_spikes, "max_spikes")
        self._units_checked = False

    @property
    def in_size(self) -> int:
        """Number of inputs."""
        return self.connection.in_size

    @property
    def out_size(self) -> int:
        """Number of outputs."""
        return self.connection.out_size

    def forward(self, spikes: Spikes) -> Any:
        """Output spikes, or the readout of LI neurons, for a batch of input spikes."""
        if isinstance(self.neuron, LI):
            arguments = self._arguments(spikes)
            # the readout computes when asked, perhaps after a step of the optimiser: it keeps the weights of now
            arguments = arguments._replace(weight=arguments.weight.clone())
            return Readout(arguments, self.neuron.size, spikes.duration)
        return self.run(spikes).spikes

    def run(self, spikes: Spikes, peak: bool = False) -> Result:
        """As calling the layer, with more about what happened. Only for spiking neurons.

        Args:
            peak: also compute `Result.peak`, with exact gradients (it can revive silent neurons); only for LIF neurons,
                since the pseudospikes of QIF neurons do the same.
        """
        if isinstance(self.neuron, LI):
            raise TypeError("run() is for spiking neurons; call the layer to get the readout of leaky integrators")
        arguments = self._arguments(spikes)
        quadratic = isinstance(self.neuron, QIF)
        check.require(not (peak and quadratic), "peak is for LIF neurons; give QIF neurons a pseudo_time instead")
        setting = ops.Setting(
            subtract=isinstance(self.neuron, LIF) and self.neuron.reset == "subtract",
            spiking=True,
            duration=spikes.duration,
            want_peak=peak,
            min_slope=self.neuron.min_slope if isinstance(self.neuron, LIF) else 0.0,
            budget=self.max_spikes,
            with_taus=self.neuron.tau_mem.requires_grad or self.neuron.tau_syn.requires_grad,
            wiring=self._wiring(),
            quadratic=quadratic,
        )
        try:
            times, units, offsets, peaks, slopes = ops.lif(arguments, setting)
        except ops.SpikeBudgetError as error:
            raise self._located(error) from None
        output = Spikes.unchecked(times, units, offsets, self.neuron.size, spikes.duration)
        if self._patches is not None:
            output, order = self._patches.fold(output)
            slopes = slopes[order]
            peaks = self._patches.fold_units(peaks) if peak else peaks
        return Result(output, peaks if peak else None, slopes)

    def _located(self, error: ops.SpikeBudgetError) -> ops.SpikeBudgetError:
        """The same error, with the numbers of a neuron and sample as the user counts them."""
        if self._patches is None:
            return error
        sample, place = divmod(error.sample, self._patches.places)
        return ops.SpikeBudgetError(error.neuron * self._patches.places + place, sample, error.budget)

    def free_peak(self, spikes: Spikes) -> Tensor:
        """(B, N): the largest V if no neuron ever spiked, and QIF neurons were linear; how strong the input is."""
        setting = ops.Setting(False, False, spikes.duration, True, 0.0, 1, wiring=self._wiring())
        arguments = self._arguments(spikes)._replace(**ops.NOT_RECURRENT)
        neurons = arguments.neurons.detach().clone()
        neurons[:, TAU_ADAPT], neurons[:, THRESHOLD], neurons[:, JUMP] = 1.0, 0.0, 0.0
        peak = ops.lif(arguments._replace(neurons=neurons), setting)[3]
        return peak if self._patches is None else self._patches.fold_units(peak)

    def trace(self, spikes: Spikes, sample: int, unit: int, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Membrane potential and threshold of one spiking neuron at the given times, for pictures.

        Returns:
            V, theta: arrays like `times`. At the very time of a spike they hold the values just before it. The V of
            QIF neurons, which passes through infinity, is cut at +-3 thresholds.
        """
        arrivals: list[tuple[float, float]] = []
        with torch.no_grad():
            inputs = spikes.sample(sample)
            output = self(inputs)
            for events, connection in ((inputs, self.connection), (output, self.recurrent)):
                if connection is not None:
                    events = connection.incoming(events)
                    weights, delays = connection.dense()
                    delay = delays.expand(weights.shape)[unit].double().numpy()
                    weight = weights[unit].double().numpy()
                    arrivals += [(t + delay[i], weight[i]) for t, i in events.detach().to_lists()[0]]
            places = 1 if self._patches is None else self._patches.places
            neuron = self.neuron.packed()[unit // places].numpy()
        own = [t for t, j in output.to_lists()[0] if j == unit]
        if isinstance(self.neuron, QIF):
            return _quadratic_trace(np.asarray(times, float), own, arrivals, neuron)
        return _trace(np.asarray(times, float), own, arrivals, neuron, self.neuron)

    def constrain_(self) -> None:
        """Move trained neuron parameters back into their legal range; call it after optimiser steps."""
        self.neuron.constrain_()

    def _arguments(self, spikes: Spikes) -> ops.Arguments:
        """Checked and in float64."""
        if not isinstance(spikes, Spikes):
            raise TypeError(f"a layer takes Spikes, not {type(spikes).__name__}: see Spikes.from_lists and from_dense")
        check.width(self.connection.in_size, spikes.num_units, "the input of this layer")
        self.connection()  # hooks of torch renew the weights
        if self._patches is not None:
            spikes, synapses = self._patches.unfold(spikes), self.connection.shared()
        elif self._wiring() is not None:
            synapses = self.connection.synapses()
        else:
            synapses = self.connection.dense()
        spikes = self.connection.incoming(spikes)
        weight, delay = _checked(*synapses, "")
        if isinstance(self.neuron, QIF) and weight.dim() == 2:
            weight, delay = weight.flatten(), delay.expand(weight.shape).flatten()
        packed = self.neuron.packed()
        if not self._units_checked:
            check.time_scales(packed, spikes.duration)
            self._units_checked = True
        arguments = ops.Arguments(
            spikes.times, weight, delay, packed, units=spikes.units, offsets=spikes.offsets, **ops.NOT_RECURRENT
        )
        if self.recurrent is None:
            return arguments
        self.recurrent()
        weight, delay = _checked(*self.recurrent.dense(), "recurrent ")
        return arguments._replace(recurrent_weight=weight, recurrent_delay=delay)

    def _wiring(self) -> Wiring | None:
        """The synapses, where there are kernels for wiring: not in recurrent layers, nor for readouts."""
        quadratic, parts = isinstance(self.neuron, QIF), self.connection.parts()
        if self._patches is not None:
            return full_wiring(self._patches.elements * len(parts), self.neuron.size) if quadratic else None
        if quadratic and self.connection.wiring is None:
            return full_wiring(sum(part.in_size for part in parts), self.out_size)
        alone = self.recurrent is None and not isinstance(self.neuron, LI)
        return self.connection.wiring if alone else None


def _checked(weight: Tensor, delay: Tensor, which: str) -> tuple[Tensor, Tensor]:
    """Weights and delays, checked and in float64."""
    check.floating(weight, f"{which}weight")
    check.floating(delay, f"{which}delay")
    rule = f"must be finite and below {LARGEST_WEIGHT:g} in size, so that no sum of weights overflows"
    check.legal_values(f"{which}weight", weight, weight.abs() < LARGEST_WEIGHT, rule)
    check.legal_values(f"{which}delay", delay, delay.isfinite(), "must be finite")
    return weight.double(), delay.double()


def _trace(
    times: np.ndarray,
    own: list[float],
    arrivals: list[tuple[float, float]],
    neuron: np.ndarray,
    population: LIF | LI,
) -> tuple[np.ndarray, np.ndarray]:
    """V and theta at `times`, given own spikes and arrivals [(time, weight)]."""
    tau_mem, tau_syn, tau_adapt, threshold, jump, v_reset, refractory = neuron
    V, theta, held = np.zeros_like(times), np.full_like(times, threshold), 0.0
    resets = [(0.0, 0.0, 0.0), *[(T, T + refractory, v_reset) for T in own]]
    for n, (start, release, V_start) in enumerate(resets):
        stop = resets[n + 1][0] if n + 1 < len(resets) else np.inf
        if isinstance(population, LIF) and population.reset == "subtract" and n > 0:
            a = sum(jump * np.exp(-(start - T) / tau_adapt) for T in own[: n - 1])  # just before the spike
            forced = n > 1 and np.isclose(start, resets[n - 1][1], rtol=1e-12) and held > threshold + a
            V_start = held - threshold if forced else a
            held = V_start
        before = sum(w * np.exp(-(release - t) / tau_syn) for t, w in arrivals if t <= release)
        for m in np.nonzero((times > start if n else times >= 0) & (times <= stop))[0]:
            s = max(times[m] - release, 0.0)
            V[m] = V_start * np.exp(-s / tau_mem) + before * phi(s, tau_mem, tau_syn) if s > 0 else V_start
            V[m] += sum(w * phi(times[m] - t, tau_mem, tau_syn) for t, w in arrivals if release < t < times[m])
            theta[m] += sum(jump * np.exp(-(times[m] - T) / tau_adapt) for T in own[:n])
    return V, theta


def _quadratic_trace(
    times: np.ndarray, own: list[float], arrivals: list[tuple[float, float]], neuron: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """As `_trace`, for QIF neurons."""
    tau, threshold = neuron[TAU_MEM], neuron[THRESHOLD]
    changes = [(t, w / threshold) for t, w in arrivals] + [(neuron[PSEUDO_TIME], neuron[PSEUDO_DRIVE])]
    changes = sorted([*changes, *((T, np.nan) for T in own)], key=lambda change: change[0])
    V, n, t, p, q, current = np.zeros_like(times), 0, 0.0, 0.0, 1.0, 0.0
    for m in np.argsort(times, kind="stable"):
        while n < len(changes) and changes[n][0] < times[m]:
            p, q, current = flow(changes[n][0] - t, p, q, current, tau)
            t, w = changes[n]
            p, q, current = (-1.0, 0.0, current) if np.isnan(w) else (p / (abs(p) + q), q / (abs(p) + q), current + w)
            n += 1
        p_m, q_m, _ = flow(times[m] - t, p, q, current, tau)
        V[m] = p_m / q_m if q_m > 0.0 else np.inf
    return threshold * V.clip(-3.0, 3.0), np.full_like(times, threshold)


class Sequential(nn.Module):
    """Layers one after the other.

    Args:
        layers: at least one `Layer`; between them there may be `SumPool2d`. The sizes must match, and only the last may
            hold leaky integrators.
        beside: connections that skip layers. {k: (i, ...)}: layer k, whose connection is a `Beside`, gets the spikes of
            the layer before it and, beside them, the input of each layer i < k; i = 0 is the input of the network.
    """

    def __init__(self, *layers: Layer | SumPool2d, beside: Mapping[int, Sequence[int]] | None = None):
        super().__init__()
        check.require(len(layers) > 0, "Sequential needs at least one layer")
        self.beside = {k: tuple(others) for k, others in (beside or {}).items()}
        sizes = [layers[0].in_size]
        for k, layer in enumerate(layers):
            others = self.beside.get(k, ())
            legal = all(0 <= i < k for i in others)
            check.require(legal, f"beside = {beside}: the others of layer {k} must be layers before it")
            check.width(sum(sizes[i] for i in (k, *others)), layer.in_size, f"the input of layer {k}")
            spikes = not isinstance(layer, Layer) or not isinstance(layer.neuron, LI)
            check.require(spikes or k == len(layers) - 1, f"layer {k} does not spike: leaky integrators must come last")
            sizes.append(layer.out_size)
        self.layers = nn.ModuleList(layers)

    def forward(self, spikes: Spikes) -> Any:
        """The last layer's output."""
        return self.walk(spikes, lambda layer, inputs: layer(inputs))

    def run(self, spikes: Spikes, peak: bool = False, between: Callable[[Spikes], Spikes] | None = None) -> list[Any]:
        """One `Result` per spiking layer; the `Readout` for a last layer of leaky integrators; none for pooling.

        Args:
            peak: see `Layer.run`.
            between: changes the spikes that a layer sends to the next, for example leaves some out in training; results
                hold those before the change.
        """
        results: list[Any] = []

        def step(layer: Any, inputs: Spikes) -> Any:
            if not isinstance(layer, Layer):
                return layer(inputs)
            readout = isinstance(layer.neuron, LI)
            results.append(layer(inputs) if readout else layer.run(inputs, peak))
            if readout:
                return results[-1]
            return results[-1].spikes if between is None else between(results[-1].spikes)

        self.walk(spikes, step)
        return results

    def walk(self, spikes: Spikes, step: Callable[[Any, Spikes], Any]) -> Any:
        """`step(layer, its input)` for one layer after the other; what it returns goes on. Returns the last."""
        sent: list[Any] = [spikes]
        for k, layer in enumerate(self.layers):
            first, *others = (sent[i] for i in (k, *self.beside.get(k, ())))
            sent.append(self._numbered(k, step, layer, first.beside(*others) if others else first))
        return sent[-1]

    def constrain_(self) -> None:
        """Move trained neuron parameters back into their legal range; call it after optimiser steps."""
        for layer in self.layers:
            if isinstance(layer, Layer):
                layer.constrain_()

    @staticmethod
    def _numbered(k: int, run: Callable[..., Any], *arguments: Any) -> Any:
        """Errors say which layer they come from."""
        try:
            return run(*arguments)
        except ops.SpikeBudgetError as error:
            raise ops.SpikeBudgetError(error.neuron, error.sample, error.budget, layer=k) from None
        except (ValueError, TypeError) as error:
            error.args = (f"layer {k}: {error}",)
            raise

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)  # type: ignore[arg-type]

    def __getitem__(self, k: int) -> Layer:
        return self.layers[k]  # type: ignore[return-value]

    def __len__(self) -> int:
        return len(self.layers)

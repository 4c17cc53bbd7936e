"""`Layer` = connection + neuron."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import check, ops, trace
from .connections import Connection
from .drive import driven
from .kernels.layout import Wiring
from .neuron import Neuron
from .neurons import LIF
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
    slopes are below 0.01, which makes a large gradient. The ghosts of a layer with `smoothing` are `spikes.ghosts`.
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
        neuron: `LIF`, `QIF`, `IF` or `LI`, as many as the connection has outputs. But for LI neurons, there may also be
            as many as a `Conv2d` has output channels: all places then share their parameters.
        recurrent: a `Linear(n, n)` (or `Sparse`) from the n neurons of this layer to themselves, with any kind of delay
            or none; not for LI neurons. Where places share their neurons: from channel to channel, within each place.
        max_spikes: budget of one neuron in one sample, >= 1; a neuron that runs away raises `SpikeBudgetError`. None:
            100,000, or 10,000 in a recurrent layer, where all of it can run away together.
        smoothing: >= 0, of LIF neurons only. 0: the exact gradient, which cannot see spikes that do not exist. > 0: the
            *smoothed* gradient. It adds what the loss would change, to first order, if spikes appeared at near misses
            (ghosts): where V comes within 3 `smoothing` thresholds of theta and leaves again without a spike, at its
            highest point; times the density with which noise of the threshold, normally distributed and `smoothing`
            thresholds wide, would let a spike be. The spikes stay as they are, and the next layers must be of LIF or LI
            neurons; losses of spikes see the near misses of a last layer. 0.1 to 0.3 is usual. Without effect where
            gradients are off (`torch.no_grad`).

    Calling the layer with `Spikes` returns `Spikes`, or a `Readout` with LI neurons. It holds no state between calls.

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
        neuron: Neuron,
        recurrent: Connection | None = None,
        max_spikes: int | None = None,
        smoothing: float = 0.0,
    ):
        super().__init__()
        self.smoothing = check.finite_number(smoothing, "smoothing", low=0.0)
        check.require(
            self.smoothing == 0.0 or isinstance(neuron, LIF),
            f"smoothing is for LIF neurons, not {type(neuron).__name__}",
        )
        patches = connection.patches() if neuron.spiking else None
        if patches is None or neuron.size * patches.places != connection.out_size:
            what = "the neurons of a layer and the outputs of its connection"
            if patches is not None:
                what += f" (or {connection.out_size // patches.places}, shared by its {patches.places} places)"
            check.width(connection.out_size, neuron.size, what)
            patches = None
        self._patches = patches
        if recurrent is not None:
            check.require(neuron.spiking, f"recurrent= is not for {type(neuron).__name__} neurons: they never spike")
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
        if self.neuron.spiking:
            return self.run(spikes).spikes
        arguments, setting = self._prepared(spikes)
        # the readout computes when asked, perhaps after a step of the optimiser: it keeps the weights of now
        return Readout(arguments._replace(weight=arguments.weight.clone()), setting, self.neuron.size)

    def run(self, spikes: Spikes, peak: bool = False) -> Result:
        """As calling the layer, with more about what happened. Only for spiking neurons.

        Args:
            peak: also compute `Result.peak`, with exact gradients (it can revive silent neurons); not for QIF neurons,
                since their pseudospikes do the same.
        """
        if not self.neuron.spiking:
            raise TypeError("run() is for spiking neurons; call the layer to get the readout of leaky integrators")
        kind = type(self.neuron).__name__
        check.require(
            not peak or self.neuron.has_peak,
            f"peak is for LIF and IF neurons, not {kind}; a pseudo_time does the same for QIF neurons",
        )
        check.require(not peak or self.smoothing == 0.0, "peak and smoothing do not go together: ghosts take its place")
        arguments, setting = self._prepared(spikes, peak)
        try:
            times, units, offsets, peaks, slopes, *near = ops.spikes(arguments, setting)
        except ops.SpikeBudgetError as error:
            raise self._located(error) from None
        output = Spikes.unchecked(times, units, offsets, self.neuron.size, spikes.duration)
        if setting.smoothing > 0.0:
            ghost_times, ghost_units, ghost_offsets = near
            ghosts = Spikes.unchecked(ghost_times, ghost_units, ghost_offsets, self.neuron.size, spikes.duration)
            output = output.haunted(ghosts)
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
        return ops.SpikeBudgetError(error.neuron * self._patches.places + place, sample, error.budget, error.plan)

    def free_peak(self, spikes: Spikes) -> Tensor:
        """(B, N): the largest V if no neuron ever spiked, and QIF neurons were linear; how strong the input is."""
        arguments, setting = self._prepared(spikes, True)
        neurons, population = self.neuron.free()
        linear = arguments._replace(neurons=neurons, **ops.NOT_RECURRENT)
        integrators = setting._replace(population=population, smoothing=0.0)
        peak = ops.spikes(linear, integrators)[3]
        return peak if self._patches is None else self._patches.fold_units(peak)

    def plan(self, spikes: Spikes, peak: bool = False) -> str:
        """How the kernels would simulate this layer for these input spikes, and why."""
        arguments, setting = self._prepared(spikes, peak)
        if not self.neuron.spiking:
            return "in closed form: leaky integrators are evaluated where the readout is asked for"
        plan = ops.choose(arguments, setting, setting.with_taus)
        return f"{plan.name}: {plan.why}"

    def trace(self, spikes: Spikes, sample: int, unit: int, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Membrane potential and threshold of one spiking neuron at the given times, for pictures.

        Returns:
            V, theta: arrays like `times`. At the very time of a spike they hold the values just before it. The V of
            QIF neurons, which passes through infinity, is cut at +-3 thresholds.
        """
        return trace.trace(self, spikes, sample, unit, np.asarray(times, float))

    def constrain_(self) -> None:
        """Move trained neuron parameters back into their legal range; call it after optimiser steps."""
        self.neuron.constrain_()

    def _prepared(self, spikes: Spikes, peak: bool = False) -> tuple[ops.Arguments, ops.Setting]:
        """Checked and in float64."""
        if not isinstance(spikes, Spikes):
            raise TypeError(f"a layer takes Spikes, not {type(spikes).__name__}: see Spikes.from_lists and from_dense")
        for name in ("times", "units", "offsets"):
            check.on_cpu(getattr(spikes, name), name)
        check.width(self.connection.in_size, spikes.num_units, "the input of this layer")
        parts = [self.connection, *([] if self.recurrent is None else [self.recurrent])]
        for part in parts:
            part()  # hooks of torch renew the weights
        wirings = self._wirings()
        if self._patches is not None:
            spikes, synapses = self._patches.unfold(spikes), self.connection.shared()
        else:
            synapses = self.connection.dense() if wirings[0] is None else self.connection.synapses()
        spikes = self.connection.incoming(spikes)
        weight, delay = _checked(*synapses, "")
        packed = self.neuron.packed()
        if not self._units_checked:
            check.time_scales(self.neuron.taus(), spikes.duration)
            self._units_checked = True
        feedback = ops.NOT_RECURRENT
        if self.recurrent is not None:
            synapses = self.recurrent.dense() if wirings[1] is None else self.recurrent.synapses()
            feedback = dict(zip(ops.NOT_RECURRENT, _checked(*synapses, "recurrent "), strict=True))
        drive = self.neuron.drive()
        if drive is not None:
            spikes, weight, delay, wirings[0] = driven(spikes, weight, delay, wirings[0], drive)
        neuron = self.neuron
        setting = ops.Setting(
            neuron.population, spikes.duration, peak, neuron.min_slope, self.max_spikes,
            any(tau.requires_grad for tau in neuron.taus()), wirings[0], wirings[1],
            self.smoothing if torch.is_grad_enabled() else 0.0,
        )  # fmt: skip
        ghosts = spikes.ghosts
        if ghosts is None:
            ghosts = Spikes.silent(spikes.num_samples, spikes.num_units, spikes.duration)
        elif neuron.spiking and not isinstance(neuron, LIF):
            raise ValueError(f"ghosts of a layer with smoothing can not go on through {type(neuron).__name__} neurons")
        return ops.Arguments(
            spikes.times, weight, delay, packed, **feedback, ghost_times=ghosts.times, units=spikes.units,
            offsets=spikes.offsets, ghost_units=ghosts.units, ghost_offsets=ghosts.offsets,
        ), setting  # fmt: skip

    def _wirings(self) -> list[Wiring | None]:
        """Of the connection and the recurrent part; None: a matrix. All parts of a recurrent layer of LIF neurons
        become matrices, as the orders of work for these are much faster than windows.
        """
        alone = self.neuron.spiking and not (self.recurrent is not None and isinstance(self.neuron, LIF))
        parts = (None if self._patches is not None else self.connection), self.recurrent
        return [part.wiring if part is not None and alone else None for part in parts]


def _checked(weight: Tensor, delay: Tensor, which: str) -> tuple[Tensor, Tensor]:
    """Weights and delays, checked and in float64."""
    check.floating(weight, f"{which}weight")
    check.floating(delay, f"{which}delay")
    rule = f"must be finite and below {LARGEST_WEIGHT:g} in size, so that no sum of weights overflows"
    check.bounded(f"{which}weight", weight, LARGEST_WEIGHT, rule)
    check.bounded(f"{which}delay", delay, math.inf, "must be finite")
    return weight.double(), delay.double()

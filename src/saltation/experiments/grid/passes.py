"""Forward and backward pass of a few samples through all layers: arrays and kernels, no torch."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from saltation.experiments.grid import kernels
from saltation.experiments.grid.pack import Packed, Stage


class Events(NamedTuple):
    """offsets (G + 1,); times (E,) float64 in steps; units (E,); of a layer's spikes also codes (E,), step * N + unit,
    and, if some do not go on to the next layer, kept (E,) bool.
    """

    offsets: np.ndarray
    times: np.ndarray
    units: np.ndarray
    codes: Any = None
    kept: np.ndarray | None = None


class Buffers:
    """Arrays that are used again from batch to batch: to get fresh memory costs as much as the work on it."""

    def __init__(self) -> None:
        self.free: dict[Any, list[np.ndarray]] = defaultdict(list)

    def take(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array with anything in it."""
        try:
            return self.free[shape, np.dtype(dtype)].pop()
        except IndexError:
            return np.empty(shape, dtype)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array of zeros."""
        array = self.take(shape, dtype)
        array.fill(0)
        return array

    def give(self, *arrays: np.ndarray | None) -> None:
        """Take these back; nobody must use them any more."""
        for array in arrays:
            if array is not None:
                self.free[array.shape, array.dtype].append(array)


class Plan(NamedTuple):
    """What does not change from batch to batch. steps: T; functional: of the last layer, or None: first spikes; window
    (T + 1,): what an arrival in a slot is worth to it; worth (T + 1,): of a spike in a penalty on counts, or None.
    """

    stages: list[Stage]
    steps: int
    functional: Any  # a Functional, or None
    window: np.ndarray
    worth: Any
    buffers: Buffers


@dataclass
class Tape:
    """What the backward pass of a few samples needs."""

    inputs: Events
    keep: float  # share of hidden spikes that go on
    courses: list[np.ndarray] = field(default_factory=list)
    spikes: list[Events] = field(default_factory=list)
    values: Any = None  # (G, C)
    rest: Any = None  # of the readout

    def sent(self, stage: int) -> Events:
        """What a stage sends; -1: the input."""
        return self.inputs if stage < 0 else self.spikes[stage]


class Sent(NamedTuple):
    """The gradient with respect to a layer's output at every step: window[t] sent (G, N) + dense (G, T + 1, N)."""

    sent: np.ndarray
    dense: np.ndarray | None


# -- forwards ----------------------------------------------------------------------------------------------------


def forwards(plan: Plan, packed: list[Packed], inputs: Events, keep: float, rng: np.random.Generator | None) -> Tape:
    """Simulate all layers; rng: leaves hidden spikes out."""
    tape = Tape(inputs, keep)
    for stage, arrays in zip(plan.stages, packed, strict=True):
        if not stage.spiking:
            _read_out(plan, stage, arrays, tape)
            continue
        course = _input_course(plan, stage, arrays, tape)
        G, slots, N = course.shape
        codes, counts = plan.buffers.take((G, plan.steps * N), np.int32), np.empty(G, np.int64)
        feedback = arrays.recurrent_weights, arrays.recurrent_delays
        kernels.simulate(course, stage.dynamics, arrays.neurons, stage.hold, *feedback, codes, counts)
        last = stage is plan.stages[-1]
        tape.courses.append(course)
        tape.spikes.append(_listed(codes, counts, N, None if last else rng, keep))
        plan.buffers.give(codes)
    if plan.functional is None:
        _read_first_spikes(plan, tape)
    elif plan.functional.name == "spikes":
        _read_raster(plan, tape)
    return tape


def _input_course(plan: Plan, stage: Stage, arrays: Packed, tape: Tape) -> np.ndarray:
    """(G, T + 1, N): the input of every slot."""
    shape = len(tape.inputs.offsets) - 1, plan.steps + 1, stage.size
    course = plan.buffers.zeros(shape, arrays.weights.dtype)
    for source in stage.sources:
        events = tape.sent(source.stage)
        kernels.deposit_all(
            course, events.offsets, events.times, source.rows[events.units], events.kept,
            stage.copies, stage.stride, arrays.weights, arrays.delays,
        )  # fmt: skip
    return course


def _listed(codes: np.ndarray, counts: np.ndarray, N: int, rng: np.random.Generator | None, keep: float) -> Events:
    """The spikes of a few samples, one sample after the other."""
    total = int(counts.sum())
    offsets, flat, units = np.zeros(len(counts) + 1, np.int64), np.empty(total, np.int32), np.empty(total, np.int64)
    times = np.empty(total)
    kernels.list_spikes(codes, counts, N, offsets, flat, times, units)
    return Events(offsets, times, units, flat, None if rng is None else rng.random(total, np.float32) < keep)


def _read_out(plan: Plan, stage: Stage, arrays: Packed, tape: Tape) -> None:
    """Leaky integrators: linear functionals from each spike's worth, the maximum step by step."""
    functional, source = plan.functional, stage.sources[0]
    plain = len(stage.sources) == 1 and source.stage >= 0 and stage.copies == 1 and not stage.delayed
    if functional.name != "maximum" and plain:
        events = tape.sent(source.stage)
        features = np.zeros((len(events.offsets) - 1, len(arrays.weights)), arrays.weights.dtype)
        rows = source.rows[events.units]
        kernels.spike_features(events.offsets, events.times, rows, events.kept, plan.window, features)
        tape.values, tape.rest = features @ arrays.weights, features
        return
    course = _input_course(plan, stage, arrays, tape)
    if functional.name == "maximum":
        shape = course.shape[0], stage.size
        tape.values, step = np.zeros(shape, course.dtype), np.zeros(shape, np.int64)
        kernels.integrate(course, stage.dynamics, tape.values, step)
        tape.rest = course, step
    else:
        tape.values, tape.rest = np.einsum("t,gtn->gn", plan.window, course), (course, None)


def _read_first_spikes(plan: Plan, tape: Tape) -> None:
    """Steps of first spikes, T where there is none."""
    events, N = tape.spikes[-1], plan.stages[-1].size
    first, second = np.empty((2, len(events.offsets) - 1, N), np.int64)
    kernels.first_spikes(events.offsets, events.times, events.units, plan.steps, first, second)
    tape.values, tape.rest = first.astype(np.float64), (first, second)


def _read_raster(plan: Plan, tape: Tape) -> None:
    """(G, T, N): 1 where a neuron of the last layer spikes; step t in row t - 1."""
    events, N = tape.spikes[-1], plan.stages[-1].size
    G = len(events.offsets) - 1
    tape.values = np.zeros((G, plan.steps, N))
    tape.values[np.repeat(np.arange(G), np.diff(events.offsets)), events.times.astype(np.int64) - 1, events.units] = 1.0


# -- backwards ---------------------------------------------------------------------------------------------------


def totals_of(plan: Plan, packed: list[Packed]) -> list[Packed]:
    """Zeros to which gradients are added. For delays, if there are any, (M, N): of arrivals over weights."""
    totals = []
    for stage, arrays in zip(plan.stages, packed, strict=True):
        recurrent = stage.layer.recurrent
        totals.append(
            Packed(
                np.zeros_like(arrays.weights),
                np.zeros_like(arrays.weights) if stage.delayed else None,
                np.zeros_like(arrays.neurons),
                None if recurrent is None else np.zeros_like(arrays.recurrent_weights),
                None if recurrent is None or recurrent.delay is None else np.zeros_like(arrays.recurrent_weights),
            )
        )
    return totals


def gradients(packed: list[Packed], blocks: list[list[Packed]]) -> list[Packed]:
    """The sums of what blocks of samples gave, in their order, as gradients of `packed`."""
    summed = []
    for arrays, *parts in zip(packed, *blocks, strict=True):
        sums = [None if part[0] is None else sum(part[1:], part[0]) for part in zip(*parts, strict=True)]
        weights, delays, neurons, recurrent_weights, recurrent_delays = sums
        delays = _of_delays(arrays.weights, arrays.delays, delays)
        recurrent_delays = _of_delays(arrays.recurrent_weights, arrays.recurrent_delays, recurrent_delays)
        summed.append(Packed(weights, delays, neurons, recurrent_weights, recurrent_delays))
    return summed


def _of_delays(weights: Any, delays: Any, shift: Any) -> Any:
    """From the gradient of arrivals over weights (M, N) to that of the delays."""
    if shift is None:
        return None
    each = weights * shift
    return each.sum(1, dtype=np.float64) if delays.ndim == 1 else each.astype(np.float64)


def backwards(
    plan: Plan,
    packed: list[Packed],
    tape: Tape,
    gradient: np.ndarray,
    counted: list[np.ndarray | None],
    totals: list[Packed],
) -> None:
    """Add the gradients of all parameters to `totals`. gradient: as the values; counted: of the mean counts of every
    spiking layer (N,), or None.
    """
    real: Any = packed[0].weights.dtype.type
    shape = len(tape.inputs.offsets) - 1, plan.steps + 1
    received: list[Any] = [None] * len(plan.stages)  # of `Sent`
    for k in reversed(range(len(plan.stages))):
        stage, arrays, total = plan.stages[k], packed[k], totals[k]
        if not stage.spiking:
            course = _gradient_of_readout(plan, stage, arrays, tape, gradient.astype(real), total, received)
            if course is None:
                continue
        else:
            if k == len(plan.stages) - 1:
                dense = plan.buffers.zeros((*shape, stage.size), real)
                if plan.functional is None:
                    first, second = tape.rest
                    kernels.spread_first(first, second, gradient, dense)
                else:
                    dense[:, : plan.steps] = gradient
                received[k] = Sent(np.zeros((shape[0], stage.size), real), dense)
            course = _unrolled(plan, k, arrays, tape, received[k], counted[k], total)
        if received[k] is not None:
            plan.buffers.give(received[k].dense)
        _to_sources(plan, stage, arrays, tape, course, total, received)
    release(plan, tape)


def release(plan: Plan, tape: Tape) -> None:
    """The tape is not needed any more, but for its spikes and values."""
    plan.buffers.give(*tape.courses)
    tape.courses = []


def _gradient_of_readout(
    plan: Plan,
    stage: Stage,
    arrays: Packed,
    tape: Tape,
    gradient: np.ndarray,
    total: Packed,
    received: list[Sent | None],
) -> np.ndarray | None:
    """(G, T + 1, C): the gradient of the input of every slot; or None, if what led there is dealt with."""
    if not isinstance(tape.rest, tuple):  # features
        total.weights[:] += tape.rest.T @ gradient
        source = stage.sources[0]
        back = gradient @ arrays.weights.T
        received[source.stage] = Sent(np.ascontiguousarray(back[:, source.rows]), None)
        return None
    course, step = tape.rest
    if step is None:
        return np.ascontiguousarray(plan.window[None, :, None] * gradient[:, None, :])
    # V at a step is the sum over the slots before it of their input times phi(distance)
    slots = np.arange(course.shape[1])
    distance = step[:, None, :] - slots[None, :, None]
    course = np.where(distance > 0, gradient[:, None, :] * plan.window[np.maximum(distance, 0)], 0)
    return course.astype(gradient.dtype)


def _unrolled(
    plan: Plan,
    k: int,
    arrays: Packed,
    tape: Tape,
    received: Sent | None,
    counted: np.ndarray | None,
    total: Packed,
) -> np.ndarray:
    """Backwards through the steps of a layer; its course then holds the gradient of the input of every slot."""
    stage, course, events = plan.stages[k], tape.courses[k], tape.spikes[k]
    G, slots, N = course.shape
    real: Any = course.dtype.type
    if received is None:
        received = Sent(np.zeros((G, N), real), None)
    kept, share = (events.kept, tape.keep) if events.kept is not None else (np.ones(len(events.codes), np.bool_), 1.0)
    spikes = events.offsets, events.codes, kept, real(share)
    wanted = None if counted is None else (plan.worth, counted)
    axonal = synaptic = None
    weights, delays = arrays.recurrent_weights, arrays.recurrent_delays
    if weights is not None and delays.ndim == 1:
        whole = delays.astype(np.int64)
        weighed = plan.buffers.zeros((slots + 1 + stage.reach, N, G), real)
        axonal = weights, whole, (delays - whole).astype(real), weighed
    elif weights is not None:
        synaptic = weights, delays
    kernels.unroll(
        course, stage.dynamics, arrays.neurons, None if stage.hold is None else True, spikes,
        (plan.window, received.sent), received.dense, wanted, axonal, synaptic, total.neurons,
    )  # fmt: skip
    if axonal is not None:
        plan.buffers.give(axonal[3])
    if weights is not None:
        kernels.gather_all(
            course, events.offsets, events.times, events.units, None, 1, 0, delays,
            total.recurrent_weights, total.recurrent_delays,
        )  # fmt: skip
    return course


def _to_sources(
    plan: Plan, stage: Stage, arrays: Packed, tape: Tape, course: np.ndarray, total: Packed, received: list[Sent | None]
) -> None:
    """From the gradient of a layer's input to that of its weights and delays, and of the layers before it."""
    weighed = None
    for source in stage.sources:
        events = tape.sent(source.stage)
        kernels.gather_all(
            course, events.offsets, events.times, source.rows[events.units], events.kept, stage.copies, stage.stride,
            arrays.delays, total.weights, total.delays,
        )  # fmt: skip
        if source.stage < 0:
            continue
        sent = received[source.stage]
        if sent is None or sent.dense is None:
            shape = *course.shape[:2], len(source.rows)
            given = np.zeros((shape[0], shape[2]), course.dtype) if sent is None else sent.sent
            sent = received[source.stage] = Sent(given, plan.buffers.zeros(shape, course.dtype))
        if arrays.delays.ndim == 1:
            if weighed is None:
                weighed = course @ np.ascontiguousarray(arrays.weights.T)
            kernels.send_back(weighed, arrays.delays, source.rows, stage.copies, stage.stride, sent.dense)
        else:
            kernels.send_back_synapses(
                course, arrays.weights, arrays.delays, source.rows, stage.copies, stage.stride, sent.dense
            )

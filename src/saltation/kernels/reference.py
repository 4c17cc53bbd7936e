"""Plain-Python twin of LIF neurons: the same spikes by the most direct way, for the tests and for reading.

Crossings are those of `reference_crossing.py`; the way back is in `reference_backward.py`. None of them shares code
with the kernels.
"""

import math
from typing import NamedTuple

import numpy as np

from .layout import (
    ADAPTATION,
    BUDGET_EXCEEDED,
    BUFFER_FULL,
    CURRENT,
    DONE,
    GHOST_REACH,
    JUMP,
    MARGIN,
    REFRACTORY,
    RELEASE_CURRENT,
    TAU_ADAPT,
    TAU_MEM,
    THRESHOLD,
    TIME,
    V_RESET,
)
from .reference_crossing import above, first_crossing, highest, slope_of, state, top_between


class Moment(NamedTuple):
    """One event of a neuron's trajectory: arrival k, own spike n, ghost -1 - n, or the release of V."""

    kind: str
    number: int
    t: float
    before: tuple
    after: tuple
    held_before: bool
    held_after: bool
    forced: bool


class Walk:
    """One neuron on its way through its moments: `plan` says when the next one is, `step` takes it.

    arrivals: sorted [(t, weight, k)]; more may be added as long as they are later than the last step.
    """

    def __init__(self, arrivals, neuron, neurons):
        self.queue, self.neuron, self.neurons = list(arrivals), neuron, neurons
        self.t, self.x, self.held, self.release = 0.0, (0.0, 0.0, 0.0), False, math.inf
        self.spikes, self.moments = 0, []
        self.peak = (-neuron[THRESHOLD], 0.0, 0.0)
        self.planned = None

    def add(self, t, weight, k):
        """One more arrival, behind those of the same time."""
        place = sum(arrival[0] <= t for arrival in self.queue)
        self.queue.insert(place, (t, weight, k))
        self.planned = None

    def plan(self):
        """(time of the next moment, whether it is a spike, whether that is forced); at the end: inf."""
        if self.planned is None and self.t >= self.neurons.duration:
            self.planned = math.inf, False, False
        if self.planned is None:
            stop = min(
                self.queue[0][0] if self.queue else math.inf,
                self.release if self.held else math.inf,
                self.neurons.duration,
            )
            just_released = bool(self.moments) and self.moments[-1].kind == "release" and self.moments[-1].t == self.t
            dt, forced = -1.0, False
            if not self.held and self.neurons.spiking:
                if above(0.0, *self.x, self.neuron) > 0:
                    dt, forced = 0.0, just_released
                else:
                    dt = first_crossing(stop - self.t, *self.x, *self.neuron[:4])
            self.planned = (stop, False, False) if dt < 0 else (self.t + dt, True, forced)
        return self.planned

    def step(self):
        """Go to the next moment and through it; returns whether that was a spike."""
        time, is_spike, forced = self.plan()
        self.planned = None
        neuron, start = self.neuron, self.t
        if not is_spike:
            best = best_between(start, time, self.x, self.held, neuron)
            self.peak = max(self.peak, best, key=lambda candidate: candidate[0])
        x = flow(time - start, self.x, self.held, neuron)
        self.t, self.x = time, x
        if is_spike:
            V_plus = x[0] - neuron[THRESHOLD] if self.neurons.subtract else neuron[V_RESET]
            self.x, self.held = (V_plus, x[1], x[2] + neuron[JUMP]), neuron[REFRACTORY] > 0
            self.moments.append(Moment("spike", self.spikes, time, x, self.x, False, self.held, forced))
            self.release, self.spikes = time + neuron[REFRACTORY], self.spikes + 1
            self.peak = best_between(time, time, self.x, self.held, neuron)
        elif time == self.neurons.duration:
            pass
        elif self.held and time == self.release:
            self.moments.append(Moment("release", self.spikes - 1, time, x, x, True, False, False))
            self.held = False
        else:
            _, w, k = self.queue.pop(0)
            self.x = (x[0], x[1] + w, x[2])
            self.moments.append(Moment("arrival", k, time, x, self.x, self.held, self.held, False))
        return is_spike


def ghosts_of(walk):
    """The ghosts of a neuron that has come to the end: the highest maximum of every visit of g near 0 from below that
    ends without a spike. At the end of the sample it must not be lower than g.
    """
    neuron, neurons = walk.neuron, walk.neurons
    lowest = -GHOST_REACH * neurons.smoothing * abs(neuron[THRESHOLD])
    found, best, rising = [], (0.0, None), None
    t, x, held = 0.0, (0.0, 0.0, 0.0), False
    for moment in [*walk.moments, None]:
        stop = neurons.duration if moment is None else moment.t
        if not held and stop > t:
            top = top_between(stop - t, x, neuron)
            maxima = [(t, rising)] if rising is not None and slope_of(x, neuron) <= 0.0 else []
            maxima += [(t + top, state(top, *x, neuron))] if top < math.inf else []
            for time, y in maxima:
                g = above(0.0, *y, neuron)
                if lowest < g < 0.0 and (best[1] is None or g > best[0]):
                    best = g, Moment("ghost", -1 - len(found), time, y, y, False, False, False)
            before = state(stop - t, *x, neuron)
            g = above(0.0, *before, neuron)
            rising = before if slope_of(before, neuron) > 0.0 and lowest < g < 0.0 else None
            is_spike = moment is not None and moment.kind == "spike"
            if best[1] is not None and not is_spike and (g <= lowest or (stop == neurons.duration and g <= best[0])):
                found.append(best[1])
                best = 0.0, None
        if moment is not None:
            t, x, held = moment.t, moment.after, moment.held_after
            if moment.kind == "spike":
                best, rising = (0.0, None), None
    return found


def trajectory(arrivals, neuron, neurons, budget):
    """All moments of one neuron, given sorted arrivals [(t, weight, k)], and (peak, peak_time, peak_slope)."""
    walk = Walk(arrivals, neuron, neurons)
    while walk.plan()[0] < math.inf:
        if walk.plan()[1] and walk.spikes == budget:
            return None, walk.peak
        walk.step()
    return walk.moments, walk.peak


def flow(s, x, held, neuron):
    """The state after s, with V held or free."""
    V, I, a = state(s, *x, neuron)
    return (x[0] if held else V, I, a)


def best_between(t, stop, x, held, neuron):
    """(g, time, slope of g just before) at the maximum of g between two moments."""
    if held or stop == t:
        options = []
        for s in (0.0, stop - t):
            V, I, a = flow(s, x, held, neuron)
            slope = a / neuron[TAU_ADAPT] + (0.0 if held else (I - V) / neuron[TAU_MEM])
            options.append((V - a - neuron[THRESHOLD], t + s if s == 0.0 else stop, slope))
        return max(options, key=lambda candidate: candidate[0])
    where, g, slope = highest(stop - t, *x, *neuron[:4])
    return g, t + where, slope


def arrivals_of(b, j, events, synapses, duration):
    """Sorted [(t, weight, k)] of neuron j in sample b."""
    N, M = synapses.weight.shape
    delay = np.broadcast_to(synapses.delay, (N, M))
    span = range(events.offsets[b], events.offsets[b + 1])
    found = [(events.times[k] + delay[j, events.units[k]], synapses.weight[j, events.units[k]], k) for k in span]
    return sorted((arrival for arrival in found if arrival[0] < duration), key=lambda arrival: arrival[0])


def lif_forward(events, synapses, neurons, cursor, last, buffer, filled, peaks, budget):
    """Of all-to-all LIF neurons, with the arguments of sweep.sweep_forward but for its tiles."""
    N = synapses.weight.shape[0]
    for position in range(cursor, last * N):
        b, j = divmod(position, N)
        arrivals = arrivals_of(b, j, events, synapses, neurons.duration)
        moments, peak = trajectory(arrivals, neurons.parameters[j], neurons, budget)
        if moments is None:
            return BUDGET_EXCEEDED, position, filled
        spikes = [moment for moment in moments if moment.kind == "spike"]
        if filled + len(spikes) > buffer.rows.shape[0]:
            return BUFFER_FULL, position, filled
        released = {moment.number: moment.before[1] for moment in moments if moment.kind == "release"}
        for spike in spikes:
            row = buffer.rows[filled]
            row[TIME], row[CURRENT], row[ADAPTATION] = spike.t, spike.before[1], spike.before[2]
            row[RELEASE_CURRENT] = released.get(spike.number, spike.before[1])
            row[MARGIN] = 0.0
            filled += 1
        buffer.counts[b, j] = len(spikes)
        if peaks.value.size:
            peaks.value[b, j], peaks.time[b, j], peaks.slope[b, j] = peak
    return DONE, last * N, filled

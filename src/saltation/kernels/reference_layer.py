"""Plain-Python twin of a whole layer: any wiring and delays, recurrent or not, one moment of one neuron after another.

Neurons walk alone (`reference.Walk`); the next moment of all is taken, and a spike adds its arrivals to those it
reaches. Backward the same moments are taken from the last to the first, so that all that a spike causes has been seen.
"""

import math
from typing import NamedTuple

import numpy as np

from .reference import Back, Walk


class Sample(NamedTuple):
    """What happened: the walks of all neurons, and whose moment came when."""

    walks: list
    order: list


def run_sample(b, events, synapses, present, recurrent, neurons):
    """Sample b. synapses, recurrent: weight (N, M) and delay that broadcasts to it; present (N, M): which there are."""
    delay = np.broadcast_to(synapses.delay, synapses.weight.shape)
    walks, order = [], []
    for j, neuron in enumerate(neurons.parameters):
        arrivals = []
        for k in range(events.offsets[b], events.offsets[b + 1]):
            i = events.units[k]
            if present[j, i] and events.times[k] + delay[j, i] < neurons.duration:
                arrivals.append((events.times[k] + delay[j, i], synapses.weight[j, i], ("input", k, i)))
        walks.append(Walk(sorted(arrivals, key=lambda arrival: arrival[0]), neuron, neurons))
    while True:
        j = min(range(len(walks)), key=lambda n: walks[n].plan()[0])
        if walks[j].plan()[0] == math.inf:
            return Sample(walks, order)
        known, is_spike = len(walks[j].moments), walks[j].step()
        order += [j] * (len(walks[j].moments) - known)
        if is_spike and recurrent is not None:
            delays = np.broadcast_to(recurrent.delay, recurrent.weight.shape)[:, j]
            for n, walk in enumerate(walks):
                if walks[j].t + delays[n] < neurons.duration:
                    walk.add(walks[j].t + delays[n], recurrent.weight[n, j], ("own", j, walks[j].spikes - 1))


def back_sample(b, sample, synapses, recurrent, neurons, grad_times, grad_peak, min_slope, gradients, of_recurrent):
    """Add the gradients of sample b. grad_times[j][n] = dL/dT of spike n of neuron j, grad_peak (N,).

    gradients: weight and delay as in synapses (delay of full shape), times, parameters; of_recurrent likewise.
    """
    backs = [
        Back(walk.moments, walk.peak, walk.neuron, neurons, grad_peak[j], min_slope, gradients.parameters[j])
        for j, walk in enumerate(sample.walks)
    ]
    left = [len(walk.moments) for walk in sample.walks]
    for j in reversed(sample.order):
        back, left[j] = backs[j], left[j] - 1
        if left[j] >= len(back.visible):
            continue  # nothing depends on it
        moment = back.visible[left[j]]
        if moment.kind != "arrival":
            back.step(grad_times[j][moment.number] if moment.kind == "spike" else 0.0)
            continue
        grad_w, grad_t = back.step()
        kind, *cause = moment.number
        if kind == "input":
            k, i = cause
            gradients.weight[j, i] += grad_w
            gradients.delay[j, i] += grad_t
            gradients.times[k] += grad_t
        else:
            i, spike = cause
            of_recurrent.weight[j, i] += grad_w
            of_recurrent.delay[j, i] += grad_t
            backs[i].move(spike, grad_t)

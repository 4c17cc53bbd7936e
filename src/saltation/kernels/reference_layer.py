"""Plain-Python twin of a whole layer: any wiring and delays, recurrent or not, one moment of one neuron after another.

Neurons walk alone (`reference.Walk`); the next moment of all is taken, and a spike adds its arrivals to those it
reaches. Backward the same moments are taken from the last to the first, so that all that a spike causes has been seen.
"""

import math
from typing import NamedTuple

import numpy as np

from .reference import Moment, Walk, flow, ghosts_of
from .reference_backward import Back


class Sample(NamedTuple):
    """What happened: the walks of all neurons, and whose moment came when."""

    walks: list
    order: list


def run_sample(b, events, ghosts, synapses, present, recurrent, neurons):
    """Sample b. synapses, recurrent: weight (N, M) and delay that broadcasts to it; present (N, M): which there are;
    ghosts: like events, of strength 0.
    """
    delay = np.broadcast_to(synapses.delay, synapses.weight.shape)
    walks, order = [], []
    for j, neuron in enumerate(neurons.parameters):
        arrivals = []
        for kind, sent, strength in (("input", events, 1.0), ("ghost", ghosts, 0.0)):
            for k in range(sent.offsets[b], sent.offsets[b + 1]):
                i = sent.units[k]
                if present[j, i] and sent.times[k] + delay[j, i] < neurons.duration:
                    arrivals.append((sent.times[k] + delay[j, i], strength * synapses.weight[j, i], (kind, k, i)))
        walks.append(Walk(sorted(arrivals, key=lambda arrival: arrival[0]), neuron, neurons))
    while True:
        j = min(range(len(walks)), key=lambda n: walks[n].plan()[0])
        if walks[j].plan()[0] == math.inf:
            return haunted(walks, order, recurrent, neurons) if neurons.smoothing > 0.0 else Sample(walks, order)
        known, is_spike = len(walks[j].moments), walks[j].step()
        order += [j] * (len(walks[j].moments) - known)
        if is_spike and recurrent is not None:
            delays = np.broadcast_to(recurrent.delay, recurrent.weight.shape)[:, j]
            for n, walk in enumerate(walks):
                if walks[j].t + delays[n] < neurons.duration:
                    walk.add(walks[j].t + delays[n], recurrent.weight[n, j], ("own", j, walks[j].spikes - 1))


def haunted(walks, order, recurrent, neurons):
    """The sample with ghosts among the moments, and their arrivals in the layer, of strength 0."""
    BEFORE, AT, AFTER = range(3)  # of moments at the same time
    moments, taken = [[] for _ in walks], [0] * len(walks)
    for g, j in enumerate(order):
        moment = walks[j].moments[taken[j]]
        moments[j].append(((moment.t, AT, g), moment))
        taken[j] += 1
    for j, walk in enumerate(walks):
        for ghost in ghosts_of(walk):
            moments[j].append(((ghost.t, BEFORE, 0), ghost))
            for n in range(len(walks) if recurrent is not None else 0):
                t = ghost.t + np.broadcast_to(recurrent.delay, recurrent.weight.shape)[n, j]
                if t < neurons.duration:
                    arrival = Moment("arrival", ("own ghost", j, ghost.number), t, None, None, False, False, False)
                    moments[n].append(((t, AFTER, 0), arrival))
    for walk, keyed in zip(walks, moments, strict=True):
        keyed.sort(key=lambda pair: pair[0])
        walk.moments, t, x, held = [], 0.0, (0.0, 0.0, 0.0), False
        for _, moment in keyed:
            if moment.before is None:
                x = flow(moment.t - t, x, held, walk.neuron)
                moment = moment._replace(before=x, after=x, held_before=held, held_after=held)
            walk.moments.append(moment)
            t, x, held = moment.t, moment.after, moment.held_after
    keys = sorted((key, j) for j, keyed in enumerate(moments) for key, _ in keyed)
    return Sample(walks, [j for _, j in keys])


def back_sample(
    b, sample, synapses, recurrent, neurons, grad_times, grad_ghosts, grad_peak, min_slope, gradients, of_recurrent
):
    """Add the gradients of sample b. grad_times[j][n] = dL/dT of spike n of neuron j, grad_ghosts[j][n] = dL/dstrength
    of ghost n; grad_peak (N,).

    gradients: weight and delay as in synapses (delay of full shape), times, parameters, and dL/dstrength of the ghosts
    of the input; of_recurrent likewise.
    """
    backs = [
        Back(walk.moments, walk.peak, walk.neuron, neurons, grad_peak[j], min_slope, gradients.parameters[j])
        for j, walk in enumerate(sample.walks)
    ]
    left = [len(walk.moments) for walk in sample.walks]

    def credit(j, cause, grad_w, grad_t):
        kind, k, i = cause
        if kind == "input":
            gradients.weight[j, i] += grad_w
            gradients.delay[j, i] += grad_t
            gradients.times[k] += grad_t
        elif kind == "ghost":
            gradients.strengths[k] += synapses.weight[j, i] * grad_w
        elif kind == "own":
            of_recurrent.weight[j, k] += grad_w
            of_recurrent.delay[j, k] += grad_t
            backs[k].move(i, grad_t)
        else:
            backs[k].move(i, recurrent.weight[j, k] * grad_w)

    for j in reversed(sample.order):
        back, left[j] = backs[j], left[j] - 1
        if left[j] >= len(back.visible):
            continue  # nothing depends on it
        moment = back.visible[left[j]]
        if moment.kind == "arrival":
            credit(j, moment.number, *back.step())
            continue
        G = 0.0
        if moment.kind == "spike":
            G = grad_times[j][moment.number]
        elif moment.kind == "ghost":
            G = grad_ghosts[j][-1 - moment.number]
        moved = back.step(G)
        if moved is not None:
            credit(j, moved[0], 0.0, moved[1])

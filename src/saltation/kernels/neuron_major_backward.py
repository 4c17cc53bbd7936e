"""The backward pass neuron by neuron: the counterpart of neuron_major.py (README.md, sections 3 and 4).

Own spikes are gone through from the last to the first. With recurrent connections whichever neuron they belong to: a
spike's effects on the layer all come later, so the adjoint at each of its arrivals is known by then, and their dL/dt
add to that of the spike. Without them one neuron after the other.
"""

import numpy as np

from .arrivals import collect, group_inputs, longest_sample
from .chain import most_spikes
from .jit import borrowing, kernel
from .layout import TIME
from .models import arrival_gradient, close_neuron, cross, lacks_arrivals, new_chain, open_group, open_neuron
from .pending import FIRST_QUEUE, fill_inputs, new_collected, new_queue, send
from .reset import is_ghost
from .windows import gather


@borrowing
def arrivals_of_spike(
    j, T, feedback, population, buffer, sent, gradients, feedback_gradients, chain,
):  # fmt: skip
    """dL/dT of the spike of neuron j at T through all its arrivals in the layer; adds the gradients of the synapses."""
    total, stride = 0.0, 1 if feedback.delay.size > 1 else 0
    for k in range(feedback.start[j], feedback.start[j + 1]):
        n, s = feedback.target[k], feedback.synapse[k]
        t = T + feedback.delay[s * stride]
        if t >= population.duration:
            continue
        grad_w, grad_t = arrival_gradient(chain, n, t, feedback.weight[s], population, buffer, sent, gradients)
        feedback_gradients.weight[s] += grad_w
        feedback_gradients.delay[s * stride] += grad_t
        total += grad_t
    return total


@borrowing
def strength_of_ghost(j, T, feedback, population, buffer, sent, gradients, chain):
    """dL/dstrength of the ghost of neuron j at T through all its arrivals in the layer."""
    total, stride = 0.0, 1 if feedback.delay.size > 1 else 0
    for k in range(feedback.start[j], feedback.start[j + 1]):
        n, s = feedback.target[k], feedback.synapse[k]
        t = T + feedback.delay[s * stride]
        if t < population.duration:
            total += feedback.weight[s] * arrival_gradient(chain, n, t, 0.0, population, buffer, sent, gradients)[0]
    return total


@borrowing
def input_strengths(b, n, ghosts, projection, population, buffer, sent, gradients, chain, time, synapse, collected):
    """dL/dstrength of all ghosts of the input that arrive at neuron n in sample b."""
    count = collect(
        projection.wiring, n, ghosts, b, projection, population.duration, collected.start, collected.event, time,
        synapse, collected.cause,
    )  # fmt: skip
    for k in range(count):
        p, _ = arrival_gradient(chain, n, time[k], 0.0, population, buffer, sent, gradients)
        gradients.strengths[collected.cause[k]] += projection.weight[synapse[k]] * p


@borrowing
def input_gradients(b, n, events, projection, population, buffer, sent, gradients, chain, time, synapse, collected):
    """The gradients of all input spikes that arrive at neuron n in sample b."""
    stride = 1 if projection.delay.size > 1 else 0
    count = collect(
        projection.wiring, n, events, b, projection, population.duration, collected.start, collected.event, time,
        synapse, collected.cause,
    )  # fmt: skip
    for k in range(count):
        s = synapse[k]
        grad_w, grad_t = arrival_gradient(chain, n, time[k], projection.weight[s], population, buffer, sent, gradients)
        gradients.weight[s] += grad_w
        gradients.delay[s * stride] += grad_t
        gradients.times[collected.cause[k]] += grad_t


@kernel
def neuron_major_backward(
    events, ghosts, projection, feedback, population, span, buffer, order, sent, gradients, feedback_gradients,
):  # fmt: skip
    """Gradients of the samples span.first ... span.last - 1, added to `gradients` and `feedback_gradients` (layout.py).

    buffer: as filled by neuron_major_forward, of all samples; order (S,): its rows in the order of time, sample by
    sample; feedback_gradients: of the weights and delays of the recurrent synapses.
    """
    N, recurrent = buffer.counts.shape[1], feedback.weight.size > 0
    longest, most = longest_sample(events, span.first, span.last), most_spikes(buffer, span.first, span.last)
    collected, inputs = new_collected(projection.wiring.inputs, longest), new_queue(1, longest)
    at_once = N if recurrent else 1
    chain = new_chain(population, most, at_once * (longest + (most if recurrent else 0)))
    time, weight, queue = np.empty(longest + most), np.empty(longest + most), new_queue(N, FIRST_QUEUE)
    synapse, live, row = np.empty(longest, np.int64), np.empty(N, np.bool_), span.row
    most_ghosts = longest_sample(ghosts, span.first, span.last)
    haunted = new_collected(projection.wiring.inputs, most_ghosts)
    time_g, synapse_g = np.empty(most_ghosts), np.empty(most_ghosts, np.int64)
    for b in range(span.first, span.last):
        group_inputs(projection.wiring, events, b, collected.start, collected.event)
        group_inputs(projection.wiring, ghosts, b, haunted.start, haunted.event)
        for first in range(0, N, at_once):
            spikes = 0
            for n in range(first, first + at_once):
                spikes += buffer.counts[b, n]
            open_group(chain, first, first + at_once, b, row, buffer)
            if recurrent and lacks_arrivals(population):
                queue.head[:], queue.tail[:] = 0, 0
                for m in order[row : row + spikes]:
                    queue = send(buffer.rows[m, TIME], chain.owner[m - row], feedback, population.duration, queue)
            for n in range(first, first + at_once):
                count = 0
                if lacks_arrivals(population):
                    fill_inputs(0, n, events, b, projection, population.duration, inputs, collected)
                    count = gather(
                        0, n, 0.0, population.duration, inputs, projection.weight, queue, feedback.weight, time, weight
                    )
                live[n] = open_neuron(chain, n, b, count, time, weight, population, buffer, sent, gradients)
            for position in range(row + spikes - 1, row - 1, -1):
                m = order[position] if recurrent else position
                G, j = sent.grad_rows[m], first
                if recurrent:
                    j, T = chain.owner[m - row], buffer.rows[m, TIME]
                    if is_ghost(buffer.rows[m]):
                        G += strength_of_ghost(j, T, feedback, population, buffer, sent, gradients, chain)
                    else:
                        G += arrivals_of_spike(
                            j, T, feedback, population, buffer, sent, gradients, feedback_gradients, chain
                        )
                cross(chain, j, G, population, buffer, sent, gradients)
            row += spikes
            for n in range(first, first + at_once):
                if live[n] or buffer.counts[b, n] > 0:
                    input_gradients(
                        b, n, events, projection, population, buffer, sent, gradients, chain, time, synapse, collected
                    )
                    input_strengths(
                        b, n, ghosts, projection, population, buffer, sent, gradients, chain, time_g, synapse_g, haunted
                    )
                    close_neuron(chain, n, population, gradients)
